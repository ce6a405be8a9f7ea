# %% [markdown] id="symptom"
# # 08. Prefix cache II: the radix tree
#
# An assistant with many tools sends eight thousand tokens of instructions in front of every question. They have been
# cached for weeks, and the hit rate is above 99%. Then somebody profiles the process that is there to keep the GPU
# busy, and finds it busy with something else: learning, request after request, that nothing has changed in five hundred
# blocks.
#
# The cell after the opening card asks the caches of both kinds, the hash chain of lesson 07 and the tree of this one.
# Each has the instructions, and finds all 500 blocks of them. The line between says how much of the first is hashing the
# prompt. A server can do that once per request and keep the hashes, as vLLM does; what is left is a look in a
# dictionary for every block. None of the times looks long. But SGLang's policy `lpm` lets those go first of whom most is
# cached: it asks for every request that waits, and again at its next step.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("08")

# %% id="symptom-times" tags=["nbval-ignore-output"]
from labkit.specs.radix_prefix_cache.scenes import lookup_times

took = lookup_times()
for what, name in [("a lookup in the hash cache", "hash"), ("   of it, hashing", "hashing"),
                   ("a lookup in the tree", "radix")]:
    print(f"{what:27} {took[name] * 1e6:6.1f} us")

# %% [markdown] id="play"
# ## Look before you read
#
# Fourteen blocks of four letters. Six requests come and go. The picture opens where the second has just come: click into
# it and step with the arrow keys, or drag the slider; point at a node for its text and its blocks.
#
# The text on a line is what leads to the node at its end, and the way from the root to a node spells the beginning of a
# prompt. In a node stand its blocks and *t*, the moment of its last use. Watch three things: when a node is **cut in
# two**, when a **lock** appears and goes away, and what goes first when a long request finds no room.

# %% id="play-widget"
from labkit.specs.radix_prefix_cache.scenes import letters, six_requests
from labkit.widgets import RadixTree

RadixTree(six_requests(), show=letters, step=2, title="Fourteen blocks, six requests",
          subtitle="Step through: each step is a request that comes or ends.")

# %% [markdown] id="idea"
# ## One node for a run of blocks
#
# A hash chain keeps a key for every block, and a lookup asks for every key. But look at the picture: no two prompts that
# have come so far differ inside "Be kind. ". As long as that is so, these blocks are found together or not at all, and
# **one node** can stand for all of them. That is a radix tree:
#
# - an **edge** carries a run of tokens; the node at its end has the blocks in which their keys and values lie;
# - no two edges that leave a node begin with the same page, so one look in a dictionary says which edge a prompt goes
#   on;
# - whether the edge agrees is one comparison of two runs of bytes, which a processor does many bytes at a time.
#
# So a lookup costs something for each **edge** it follows and next to nothing for each block. Tokens are compared with
# tokens: there is no hash that could be fooled. What it costs is the other side, keeping the tree in shape, and that is
# what you write now. A node is given:
#
# ```python
# class RadixNode:
#     def __init__(self, key=b"", blocks=(), parent=None,
#                  locks=0, last_used=0):
#         self.key = key  # of its edge: whole pages, as bytes
#         self.blocks = list(blocks)  # one per page
#         self.parent = parent  # None at the root
#         self.children = {}  # by the first page of their key
#         self.locks = locks  # running requests that need it
#         self.last_used = last_used
# ```
#
# A **page** is the tokens of one block, cut out of the bytes of the prompt: `page_bytes` of them. The tree deals in
# whole pages, because a block cannot be shared in part.

# %% [markdown] id="about-match"
# ### Exercise: `match` (10 minutes, difficulty 3, importance 5)
#
# How far is a prompt known? You walk down: the next page of the prompt says which child, the child's key says how much
# of the edge agrees. `shared_pages(key, tokens, start, page_bytes)` is given and counts how many whole pages at the
# beginning of `key` stand in `tokens` from byte `start` on.
#
# The way can end in three places: at a node that has no child for the next page; inside an edge, where the prompt
# leaves it; and wherever the prompt itself ends.
#
# In the check, prompts are words in which a letter is a byte, so that you can read them, and a tree is one line:
# `aabb*2:4,41 [cc:78 dd*1:89]` is an edge `aabb` to a node with the blocks 4 and 41, and below that two more. `*2` says
# that two requests lock the node; locks come later.

# %% id="ex-match"
# %%exercise match
def match(root, tokens: bytes, page_bytes: int):
    """How far `tokens` agree with the tree, in whole pages. Nothing changes.

    Args:
        root: the node to begin at: the root of the tree, or one below it when
            `tokens` are what comes after that node.
        tokens: what comes after `root`. A started page at the end is not found.
        page_bytes: bytes of one page, 1 or more.

    Returns:
        (node, pages, blocks): the last node reached; how many pages of its own
        edge agree, which is all of them unless the way ends inside the edge;
        and a new list with the blocks of every page found below `root`.
        Where no page agrees: `root`, all pages that its own edge has, and [].
    """
    # BEGIN SOLUTION
    node, start, blocks = root, 0, []
    while start < len(tokens):
        child = node.children.get(tokens[start : start + page_bytes])
        if child is None:
            break
        pages = shared_pages(child.key, tokens, start, page_bytes)
        blocks += child.blocks[:pages]
        if pages < len(child.blocks):
            return child, pages, blocks
        start += len(child.key)
        node = child
    return node, len(node.blocks), blocks
    # END SOLUTION


# %% id="use-match"
from labkit.cache.radix_node import RadixNode
from labkit.mine import insert, match

root = RadixNode()
insert(root, b"aabbccdd", [0, 1, 2, 3], 2)
insert(root, b"aabbee", [0, 1, 4], 2)
for prompt in (b"aabbccdd", b"aabbccxx", b"aabbc", b"xxbbcc"):
    node, pages, blocks = match(root, prompt, 2)
    print(f"{prompt!r:12} blocks {blocks}, ends after {pages} page(s) "
          f"of the edge {node.key!r}")

# %% [markdown] id="about-predict"
# ## One prediction first
#
# One prompt is in the tree, as one edge of 62 pages, 16 tokens each. A second prompt agrees with it for 647 tokens,
# that is 40 pages and 7 tokens, and goes on for 20 pages of its own.

# %% id="predict-p1"
predict("08", "p1")

# %% id="reveal-p1"
from labkit.engine import kv_cache_manager

manager = kv_cache_manager(256, block_size=16, prefix_cache="radix")
first = list(range(62 * 16))
second = first[:647] + list(range(5000, 5000 + 20 * 16 - 7))
manager.allocate("first", first)
print("nodes before:", manager.cache.num_nodes)
print("cached:", manager.allocate("second", second).num_cached_tokens)
print("nodes after:", manager.cache.num_nodes)

# %% [markdown] id="after-p1"
# Hold both numbers against the lines. What can be shared are whole pages: tokens that agree inside page 41 lie in one
# block with nine that do not. And an edge of the tree has to be cut where somebody leaves it, since both must be able
# to say "up to here, and no further".

# %% [markdown] id="about-split"
# ### Exercise: `split` (10 minutes, difficulty 3, importance 5)
#
# Cutting an edge changes nothing about what can be found. It only makes a place where something can end or be hung.
#
# Before you type, settle which of the two parts is the new object. A running request remembers the node at which its
# way **ends**, and will come back to it to unlock; nobody remembers a place in the middle of an edge. (`RadixNode` and
# `CacheError` are imported for the cell.)

# %% id="ex-split"
# %%exercise split
def split(node, pages: int, page_bytes: int):
    """Cut the edge of `node` after its first `pages` pages.

    A new node takes the first part and hangs where `node` hung; `node` keeps
    the rest, its children, and hangs below the new one. Both are locked by
    whoever locked `node`, and were last used when it was.

    Args:
        node: any node but the root.
        pages: 1 or more, and fewer than the node has.
        page_bytes: bytes of one page.

    Returns:
        The new, upper node.

    Raises:
        CacheError: one of the parts would have no page. Nothing has changed.
    """
    # BEGIN SOLUTION
    if not 0 < pages < len(node.blocks):
        raise CacheError(f"{len(node.blocks)} pages, cut after {pages}.")
    cut = pages * page_bytes
    upper = RadixNode(node.key[:cut], node.blocks[:pages], node.parent,
                      node.locks, node.last_used)
    upper.parent.children[upper.key[:page_bytes]] = upper
    node.key, node.blocks, node.parent = node.key[cut:], node.blocks[pages:], upper
    upper.children[node.key[:page_bytes]] = node
    return upper
    # END SOLUTION


# %% [markdown] id="halfway"
# ## Half way
#
# You can find a prefix, and make a place in the middle of one. What is left is to put something new into the tree, and
# to let it serve. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("08")

# %% [markdown] id="about-insert"
# ### Exercise: `insert` (12 minutes, difficulty 3, importance 5)
#
# With `match` and `split`, which are imported for the cell as `RadixNode` and `shared_pages` are, it is three steps: see
# how far the tokens are known, cut there if that is inside an edge, and hang the rest as one node.
#
# The tree may know some of these pages already, in other blocks than yours. **It keeps its own.** Somebody may be
# reading from them at this moment; yours are duplicates, which their request will return to the pool when it ends.

# %% id="ex-insert"
# %%exercise insert
def insert(root, tokens: bytes, blocks: list[int], page_bytes: int):
    """Make a prefix findable.

    Args:
        root: the node to begin at, as in match.
        tokens: what comes after `root`, whole pages.
        blocks: one for each page of `tokens`. The list stays the caller's.
        page_bytes: bytes of one page.

    Returns:
        (node, found): the node at whose end the tokens end now (`root` for no
        tokens), and how many of their pages were in the tree before; these
        keep the blocks they had. A new node is not locked.
    """
    # BEGIN SOLUTION
    node, pages, there = match(root, tokens, page_bytes)
    found = len(there)
    if pages < len(node.blocks):
        node = split(node, pages, page_bytes)
    if found < len(blocks):
        rest = tokens[found * page_bytes :]
        leaf = RadixNode(rest, blocks[found:], node)
        node.children[rest[:page_bytes]] = leaf
        node = leaf
    return node, found
    # END SOLUTION


# %% [markdown] id="two-caches"
# ## Two caches on one trace
#
# `RadixPrefixCache` does the rest, and runs on the functions that you have passed, as the picture at the top of this
# lesson does. It stands behind the same protocol as the hash cache of the last lesson (`labkit/cache/base.py`), so the
# manager can take either. The trace is sixty conversations behind six system prompts. Each turn sends all earlier turns
# again, and one request in six is sent twice, because a client lost its patience:

# %% id="one-trace"
from labkit.engine import kv_cache_manager
from labkit.specs.radix_prefix_cache.chats import chats, serve

prompts = chats()
print(len(prompts), "requests of", sum(map(len, prompts)) // len(prompts),
      "tokens on average")
for name in ("hash", "radix"):
    manager = kv_cache_manager(4000, 16, prefix_cache=name)
    rate = serve(manager, prompts)
    entries = (manager.num_cached if name == "hash"
               else manager.cache.num_nodes)
    print(f"{name:5}  hit rate {rate:.4f}   cached blocks "
          f"{manager.num_cached:5,}   entries {entries:5,}")

# %% [markdown] id="after-one-trace"
# With room for everything, both find exactly the same. They must: at the same page size both answer "the longest prefix
# of whole pages that is there". What differs is the number of **entries** that stand for it. However long prompts get,
# one prompt adds at most two nodes, the cut and the rest.
#
# And the hash cache holds a few blocks more. They come from the impatient clients. Where a prompt of whole blocks is known
# to its end, one token at least must be computed all the same (lesson 07), and a hit is whole blocks: so the last block is
# computed again, into a block of its own, and its content is there twice. The hash cache keeps such *twins*, since one
# hash may lead to several blocks. A tree has one place for one content: while somebody holds the tree's block, the second
# one stays private to its request and goes back to the pool; if nobody does, the tree takes the new block and gives its
# own back.

# %% [markdown] id="pressure"
# ## Under pressure
#
# Now with less memory than the conversations need. At each size both caches serve the same trace. The last two columns
# count the blocks that were evicted and had to be computed once more.

# %% id="under-pressure"
from labkit.engine import kv_cache_manager
from labkit.specs.radix_prefix_cache.chats import serve

print("blocks   hit rate hash  radix    evicted hash  radix"
      "    computed again hash  radix")
for blocks in (600, 400, 300, 200):
    row = []
    for kind in ("hash", "radix"):
        manager = kv_cache_manager(blocks, 16, prefix_cache=kind, regret=True)
        rate = serve(manager, prompts)
        row.append((rate, manager.counters.cached_blocks_evicted,
                    manager.counters.regretted_evictions))
    (h, he, hr), (r, re, rr) = row
    print(f"{blocks:6}   {h:13.3f}  {r:.3f}    {he:12,}  {re:5,}"
          f"    {hr:19,}  {rr:5,}")

# %% [markdown] id="after-pressure"
# Nearly the same, and what differs are the twins again: a block spent on a second copy is missing elsewhere. On a trace
# without twins the two evict the same blocks in the same order, if both go by last use. (The library's tests hold them
# to that, on random traces.)
#
# Remember this when a benchmark credits a tree with a better hit rate. At the same page size a tree finds nothing that
# the hash chain would not; look for what else changed.

# %% [markdown] id="page-size"
# ## Page-aligned or token-exact
#
# What does change the hit rate is the size of a page. With pages of one token the tree is *token-exact*: it can cut
# anywhere. The same conversations, with room for everything:

# %% id="page-sizes"
from labkit.engine import kv_cache_manager
from labkit.specs.radix_prefix_cache.chats import serve

for page in (1, 4, 16, 64):
    manager = kv_cache_manager(64_000 // page, page, prefix_cache="radix")
    rate = serve(manager, prompts)
    print(f"page of {page:2} tokens: hit rate {rate:.4f}, "
          f"{manager.cache.num_nodes} nodes, {manager.num_cached:6,} blocks")

# %% [markdown] id="after-page-sizes"
# From 16 tokens per page to one, the hit rate rises by little, and the number of blocks sixteenfold: every table, every
# copy and every gather of the attention kernel has sixteen times as many entries. What is lost at a page edge is less
# than a page for each request, and it matters where prompts are short or part often.

# %% [markdown] id="locks"
# ## A lock is not a reference
#
# Lesson 06 counted who *holds a block*, so that nobody writes into what others read. The tree needs to know something
# else: which nodes lie on the way of a running request, so that they are not evicted. `lock` and `unlock` are given.
# They walk from the end of the way to the root and count:

# %% id="lock-source"
import inspect

from labkit.cache.radix_tree import lock

print(inspect.getsource(lock))

# %% [markdown] id="after-lock-source"
# Two things follow. A locked child has a locked parent, always, so evicting unlocked leaves can never cut off a running
# request. And locking costs a step per **node** of the way, where counting references costs one per block.
#
# Mostly locks and references go together. They part where a request has a private copy of a page that the tree
# has in another block: it locks the tree's page, and holds its own.
#
# A cut is where this is easily broken. You had to think about it in `split`.

# %% [markdown] id="about-break-it"
# ### Break it: the split that forgot (5 minutes, difficulty 4, importance 3)
#
# A server answers well for days. Now and then two users report replies that drift into the same foreign text, and its
# gauge of evictable memory shows more than it should. (Counting what is evictable is easy to get wrong: SGLang once
# counted some of it twice, issue 35270.) This is its split; the rest of its cache is right.
#
# ```python
# def split(node, pages, page_bytes):
#     cut = pages * page_bytes
#     upper = RadixNode(node.key[:cut], node.blocks[:pages],
#                       node.parent)
#     upper.last_used = node.last_used
#     node.key, node.parent = node.key[cut:], upper
#     node.blocks = node.blocks[pages:]
#     upper.children[node.key[:page_bytes]] = node
#     upper.parent.children[upper.key[:page_bytes]] = upper
#     return upper
# ```
#
# Convict it. Here each letter is a page. `("start", "abc")` inserts the prompt and locks its way; `("finish", 0)`
# unlocks the oldest request that still runs, `1` the next; `("evict", 2)` takes two pages from unlocked leaves, the
# least recently used leaf first. It is convicted when a page of a running request goes, when a page that nobody needs
# cannot go, or when a request cannot end because the node at its end has no lock left. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_split
# BEGIN SOLUTION
ops = [
    ("start", "ab"),
    ("start", "a"),
    ("finish", 0),
    ("evict", 2),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("start", "abc"),
#     ("finish", 0),
#     ("evict", 2),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("08")

# %% id="finish"
finish("08")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: leaves first
#
# ### Exercise: `evict_leaf` (12 minutes, difficulty 3, importance 4)
#
# Who goes first is the policy's business, and the next lesson's. *What may go* is the tree's: pages at the end of a
# leaf that nobody locks. A page in the middle is the only way to everything behind it.
#
# A policy names a leaf, and the caller needs `n` blocks. A leaf with more pages than that is shortened; the rest of it
# can still be found. `CacheError` is imported for the cell.

# %% id="ex-evict-leaf"
# %%exercise evict_leaf
def evict_leaf(leaf, n: int, page_bytes: int) -> list[int]:
    """Take up to n pages off the end of a leaf.

    Args:
        leaf: a node that nobody locks, without children, not the root.
        n: pages, 1 or more.
        page_bytes: bytes of one page.

    Returns:
        The blocks of the pages that went, the last page's block first.
        The key and the blocks of the leaf have shrunk by these pages; a leaf
        that has none left is not in the tree any more.

    Raises:
        CacheError: the node is locked, or has children, or is the root.
            Nothing has changed.
    """
    # BEGIN SOLUTION
    if leaf.locks or leaf.children or leaf.parent is None:
        raise CacheError("Only unlocked leaves can be evicted from.")
    keep = max(0, len(leaf.blocks) - n)
    evicted = leaf.blocks[keep:][::-1]
    if keep == 0:
        del leaf.parent.children[leaf.key[:page_bytes]]
    leaf.key = leaf.key[: keep * page_bytes]
    leaf.blocks = leaf.blocks[:keep]
    return evicted
    # END SOLUTION


# %% [markdown] id="about-use-evict"
# The picture below evicts one page after another with your function, always from the leaf that was used longest ago.

# %% id="use-evict"
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_tree import lock
from labkit.mine import evict_leaf, insert, match
from labkit.observe.trees import TreeLog
from labkit.widgets import RadixTree


def leaves(node):
    below = [leaf for child in node.children.values()
             for leaf in leaves(child)]
    return below or [node]


tree, when = RadixNode(), 0
evictions = TreeLog(page_bytes=1)
for word, blocks in ((b"carbon", range(6)), (b"cart", (0, 1, 2, 6)),
                     (b"care", (0, 1, 2, 7)), (b"dog", (8, 9, 10))):
    when += 1
    node, _ = insert(tree, word, list(blocks), 1)
    while node.parent:  # used now, the whole way up
        node.last_used, node = when, node.parent
lock(match(tree, b"cart", 1)[0], when)
evictions.snapshot(tree, 'the request "cart" runs, nothing else does')
while idle := [leaf for leaf in leaves(tree)
               if leaf.parent and not leaf.locks]:
    oldest = min(idle, key=lambda leaf: leaf.last_used)
    evictions.snapshot(tree, f"block {evict_leaf(oldest, 1, 1)[0]} goes")
RadixTree(evictions, show=bytes.decode, step=1, title="Leaves first",
          subtitle="What is locked, and the way to it, stays.")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# Read in SGLang 0.5.23; the other projects in mid-2026.
#
# - **SGLang** keeps its prefix cache in a tree, the RadixAttention of Zheng et al. (arXiv 2312.07104; the paper reports
#   hit rates of 50 to 99% and up to 6.4 times the throughput). `srt/mem_cache/radix_cache.py` is the plain one to read; a
#   server runs `UnifiedRadixCache` (`srt/mem_cache/unified_radix_cache.py`), which also serves layers with windows or
#   states, over a core in Rust (`SGLANG_UNIFIED_RADIX_TREE_CORE_BACKEND`). `inc_lock_ref` and `dec_lock_ref` walk to the
#   root and move tokens between *evictable* and *protected*; a split copies the count.
# - Its `match_prefix` splits a node where a match ends inside it, and refreshes the times of access, on purpose. Its
#   `evict` frees a whole leaf at a time; yours shortens one.
# - Matching is page-aligned. The key of a request can carry an `extra_key` (an adapter, a salt), as the hash chain's
#   does. Here each salt has a root of its own.
# - A prefix becomes findable when it is inserted, after its keys and values are computed; the cache of this lesson
#   publishes at allocation, as vLLM does, so that the two of ours can be compared. A duplicate that a finished request
#   brings is freed in favour of the tree's block.
# - There is no global free queue: a heap over evictable leaves names the victim. `--radix-eviction-policy` takes `lru`,
#   `lfu`, `slru`, `priority` and `tlru`. Lesson 09 builds some of them.
# - The tree also serves the scheduler: with the queue policy `lpm`, longest prefix match, waiting requests that share
#   what is cached go first; above 128 waiting requests it falls back to `fcfs`, because matching all of them costs too
#   much.
# - Metrics: `sglang:cache_hit_rate`, `sglang:cached_tokens_total`, `sglang:evicted_tokens_total`; evictions per
#   second are `rate(sglang:evicted_tokens_total[1m])`. `sglang:token_usage` is the gauge of memory in use.
# - **mini-sglang** does the same with pages of one token and `lock_handle`; it matches all but the last token of a
#   prompt, so that one is always computed.
# - **vLLM** and **nano-vllm** keep hash chains.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked to compare the two caches wrote the sentence below. Is it true, false, or too broad? Pick
# the judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("08", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## What a lookup costs, and how many nodes there are
#
# **Nodes.** An insertion makes at most two: `split` one, and the new leaf is the other. So $n$ prompts make at most $2n$
# nodes, whatever their length, and a way down is followed in at most as many steps as there are places where prompts
# part on it. (The engine's cache hangs what is longer than 4,096 tokens as several nodes in a row, because a cut copies
# what is left of the edge.)
#
# **Comparing.** An edge that agrees is compared in one go. Where it does not, the place is found by halving: compare
# the first half of what is left; if it agrees, the difference is in the second half, else in the first. For an edge of
# $p$ pages that is about $\log_2 p$ comparisons, and it happens at most once a lookup, since the way ends there.
#
# **Bytes.** Every token of a hit is read once and compared, so a lookup is still linear in the length of the prompt. The
# difference is in the constant: bytes are compared many at a time, and a hash with its look in a dictionary is a few
# steps of Python for every block. The cell times comparing and hashing, without the dictionary, for a prompt of 1,000
# tokens.

# %% id="cost-of-comparing" tags=["nbval-ignore-output"]
import timeit

from labkit.cache.hash_prefix_cache import chain_hashes
from labkit.cache.radix_tree import shared_pages

key = bytes(range(250)) * 16  # 1,000 tokens
other = key[:2000] + b"?" + key[2001:]


def micros(work):
    return min(timeit.repeat(work, number=200, repeat=50)) / 200 * 1e6


print(f"one comparison       {micros(lambda: other.startswith(key)):6.2f} us "
      "(differs in the middle)")
print(f"finding where        {micros(lambda: shared_pages(key, other, 0, 64)):6.2f} us")
print(f"hashing 62 blocks    {micros(lambda: chain_hashes(key, 64)):6.2f} us")
