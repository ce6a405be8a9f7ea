# %% [markdown] id="symptom"
# # 07. Prefix cache I: hash chains
#
# Every request to a server begins with the same instructions and the same list of tools; only the question at the end
# is new. Somebody turns prefix caching on, and from then on nine tokens in ten of every prompt are not computed any
# more. Some weeks later answers are slow to begin again. Nobody has touched the cache, no request has failed, memory
# is fine, and the hit rate on the dashboard is **zero**.
#
# Below the opening card both days are replayed. In the second, somebody has put a request id into the first line of the
# prompt: eight tokens.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("07")

# %% id="symptom-numbers"
from labkit.specs.hash_prefix_cache.prompt_heads import hit_rate

for head in ("nothing volatile", "a request id in front"):
    print(f"{head:24} hit rate {hit_rate(head):.3f}")

# %% [markdown] id="play"
# ## Look before you read
#
# Twelve blocks of four tokens. Five requests come and go, and their first tokens are often the same: instructions that
# all users share. Step through with the right arrow key and read the line below the picture each time.
#
# A **slash** marks a block that nobody holds and whose content is kept all the same. The picture opens where A and B have
# just left: go back to the beginning first. Watch three things: when a slash appears, when it goes away because somebody
# uses the block again (a double outline says so), and when it goes away because the room was needed.

# %% id="play-widget"
from labkit.specs.hash_prefix_cache.scenes import five_requests
from labkit.widgets import PageTable

log = five_requests()
PageTable(log, step=7, title="Twelve blocks, five requests",
          subtitle="A slash: nobody holds it, and it can be found.")

# %% [markdown] id="idea"
# ## What can be used again
#
# The key and the value of a token come out of a layer that has read, by attention, every token before it. Change one
# token in front, and every key and value behind it changes. So a block of somebody else's KV memory is right for you
# exactly if **both prompts are equal from the first token to the end of that block**. Not the block alone: everything
# up to it.
#
# Position is in them too: most models turn a key by an angle that grows with its token's place in the text, so that
# attention sees distances. A passage that two prompts have in common in the middle, behind beginnings of unequal length,
# has other keys in each from the first layer on, and cannot be used again.
#
# Comparing whole prompts with all earlier ones would be slow, so each full block gets a hash that stands for everything
# up to its end. The trick is to chain: hash the tokens of the block *together with the hash of the block before*.
#
# ```
# "the cat sat on | the mat and said | ..."
#
# hash 0 = h(nothing, "the cat sat on")
# hash 1 = h(hash 0,  "the mat and said")
# ```
#
# Equal hash 1 now means equal blocks 0 and 1, and one look into a dictionary answers for both. Three things follow:
#
# - **Full blocks only.** A part-filled block will still change, so it has no hash yet.
# - **A salt goes in at the front.** Whatever is put before the first block's tokens, a tenant's name or the adapter of
#   a fine-tuned model, is in every hash of the chain and keeps it apart from all others.
# - **Nothing behind a difference is ever found.** That is the zero of the first cell.

# %% [markdown] id="about-chain-hashes"
# ### Exercise: `chain_hashes` (8 minutes, difficulty 2, importance 5)
#
# This is the function that the engine runs. Prompts come as bytes (four per token, so that blocks can be cut and hashed
# in one go); the bytes of one block are called its *page*. The hash is handed in, because which one to take is a
# question of its own, further down. The check uses one that can be read: it writes down everything that went into it.

# %% id="ex-chain-hashes"
# %%exercise chain_hashes
def chain_hashes(tokens: bytes, page_bytes: int, salt: bytes = b"", hash_block=hash):
    """The hash of every full block of a prompt, and what it was computed from.

    Args:
        tokens: the prompt as bytes.
        page_bytes: bytes of the tokens of one full block, 1 or more.
        salt: goes in front of the first block's tokens; may be empty.
        hash_block: takes one pair, (hash of the block before, tokens of the
            block as bytes), and gives the hash. None stands before block 0.

    Returns:
        (hashes, pages): two lists with one entry for each full block.
        pages[i] is the bytes that went into hashes[i], the salt included.
        What is left over at the end has no entry.
    """
    # BEGIN SOLUTION
    hashes, pages = [], []
    parent = None
    for at in range(0, len(tokens) - page_bytes + 1, page_bytes):
        page = tokens[at : at + page_bytes]
        if at == 0:
            page = salt + page
        parent = hash_block((parent, page))
        hashes.append(parent)
        pages.append(page)
    return hashes, pages
    # END SOLUTION


# %% [markdown] id="after-chain-hashes"
# Three prompts through your chain, ten characters to a block, with SHA-256 for the hash. The second differs from the first
# in its last block, the third in its first three characters. Each hash is shortened to four characters.

# %% id="use-chain-hashes"
from labkit.cache.block_hashes import sha256_block
from labkit.mine import chain_hashes

prompt = b"The cat sat on the mat and said nothing to the dog"
for text in (prompt, prompt.replace(b"dog", b"cow"),
             prompt.replace(b"The", b"Our")):
    hashes, _ = chain_hashes(text, 10, b"", sha256_block)
    print(*(h.hex()[:4] for h in hashes), " ", text.decode())

# %% [markdown] id="about-salts"
# The first two agree up to the block that differs; the third shares nothing with them, although from its fourth character
# on it is the same text. A salt does on purpose what the first three characters did there. And whatever else shapes keys and
# values goes in with it, the name of an adapter, say, or an image; engines call these *extra keys*.

# %% id="salts"
from labkit.engine import kv_cache_manager

manager = kv_cache_manager(16, block_size=4)
manager.allocate("one", range(13), salt=b"tenant 1")

for words, keys in [
    ("the same tenant", {"salt": b"tenant 1"}),
    ("another tenant", {"salt": b"tenant 2"}),
    ("no salt", {}),
    ("the same tenant, an adapter",
     {"salt": b"tenant 1", "extra_keys": ["adapter 7"]}),
]:
    print(f"{words:28} {manager.lookup(range(13), **keys):2} tokens found")

# %% [markdown] id="about-predict"
# ## How much can be found?
#
# A prompt has been answered, and all its blocks are cached. Now the very same prompt comes again.

# %% id="predict-p1"
predict("07", "p1")

# %% id="reveal-p1"
from labkit.engine import kv_cache_manager

manager = kv_cache_manager(64, block_size=16)
manager.allocate("first", range(96))
manager.free("first")
again = manager.allocate("again", range(96))
print("cached:", again.num_cached_tokens)
print("computed:", 96 - again.num_cached_tokens)

# %% [markdown] id="after-p1"
# Hold your number against the last line; under the question stands what was overlooked, if anything was. What comes back
# from a cache is keys and values. What a request needs in order to go on is the *output* of its last token, and nobody has
# kept that.

# %% [markdown] id="about-longest-hit"
# ### Exercise: `longest_hit` (8 minutes, difficulty 2, importance 5)
#
# The other half of a lookup: given the hashes of a prompt and a dictionary from hash to block, which blocks can be used?
# Again this is the function that the engine runs.
#
# What your function does not decide is handed to it as `limit`. **At least one token is computed, always**, so of a
# prompt of `tokens` at most `(tokens - 1) // block_size` blocks may be hits: one that ends on the edge of a block computes
# its last block again for one token. Forgetting this is an easy mistake with a hard ending: nano-vllm handed its
# attention kernel a request with no new token (issue 144).

# %% id="ex-longest-hit"
# %%exercise longest_hit
def longest_hit(hashes, cached, limit: int) -> list[int]:
    """The blocks of the longest prefix that is cached.

    Args:
        hashes: one for each full block of a prompt, in order.
        cached: a dict, hash -> block that holds this content.
        limit: how many blocks may be hits, 0 or more; may be larger than
            the number of hashes.

    Returns:
        Block ids in the order of the prompt; they end before the first
        hash that is not cached. `cached` is left as it is.
    """
    # BEGIN SOLUTION
    hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit
    # END SOLUTION


# %% [markdown] id="about-heads"
# ## The zero, explained
#
# Your two functions say what happened on the server of the first paragraph. Here is the same day with five ways to write
# the prompt. The tokens are nearly the same in all of them; what differs is **where** the part stands that changes.

# %% id="volatile-heads"
from labkit.specs.hash_prefix_cache.prompt_heads import HEADS, hit_rate

for head in HEADS:
    rate = hit_rate(head)
    print(f"{head:38} {rate:.3f}  {'#' * round(40 * rate)}")

# %% [markdown] id="after-heads"
# A date costs one miss per day. A request id in front costs everything; the same eight tokens *behind* the instructions
# cost almost nothing. Tools that come in any order (out of a set, say, or out of several threads) make as many prompts as
# there are orders, and the cache has to learn each of them. None of this is a fault of the cache, and none of it shows
# in any metric but the hit rate.
#
# The cure is in the hands of whoever writes the prompt: what never changes first, what changes last.

# %% [markdown] id="halfway"
# ## Half way
#
# You can find a prefix. What is missing is something to find: so far, a block that nobody holds goes back to the pool and
# is overwritten. A good place to stop and come back.

# %% id="save"
save_point("07")

# %% [markdown] id="queue-idea"
# ## The queue is the evictor
#
# When the last holder lets go of a block, its content is worth something and costs nothing, as long as nobody needs the
# room. So it is not returned to the pool. It waits in a queue, and its hash still leads to it:
#
# | where a block is | references | can be found |
# |---|---|---|
# | held by a sequence | 1 or more | yes, once it is full and registered |
# | in the queue | 0 | yes |
# | in the pool | 0 | no, there is nothing in it |
#
# Whoever needs a block gets one from the pool. If that is empty, the block at the **front of the queue** is evicted: its
# hash is forgotten and it starts a new life. Whoever finds a block in the queue takes it out again, from wherever in the
# queue it stands. What was let go of goes to the back. So the front is always what has gone unused for longest, and
# nothing was ever sorted. This is vLLM's design.
#
# A request does both, and first things first: it **holds** its hit, so takes what it has found out of the queue, and only
# then asks for the blocks that are missing. The other way round, the block that is evicted to make room for the rest of
# the prompt may be one that was just found for its beginning.
#
# One order has to be chosen with care. A sequence lets go of all its blocks at once. Which of them should be evicted
# first?

# %% [markdown] id="about-register-release"
# ### Exercise: `register_release` (12 minutes, difficulty 3, importance 5)
#
# Two methods complete the cache. Everything else is given by `QueueCacheBase`, and this is what your methods work with:
#
# - `self.hash_of`: a dict, block -> hash, of all blocks that can be found;
# - `self.by_hash`: the other direction, with `add(hash, block)`. One hash may lead to several blocks: two requests can
#   compute the same content at the same time, and both blocks stay;
# - `self.queue`, with `append(block)` for its back;
# - `self.refs`, your reference counts from lesson 06: `drop(blocks)` takes a list, lets go as one holder and answers with
#   those that nobody holds any more, in the order in which you named them; `recycle(blocks)` returns such blocks to the
#   pool.
#
# The base looks up, holds, allocates and evicts. (In the check a prompt is a word: each letter is a full block, a full
# stop at the end a part-filled one, and the hash of a block is the word up to it. You can read that word; for your code it
# is a hash like any other, with no length and no order.)

# %% id="ex-register-release"
# %%exercise register_release
class QueuePrefixCache(QueueCacheBase):
    """A prefix cache whose free queue is its evictor."""

    def register(self, hashes, blocks) -> None:
        """Make the full blocks of a sequence findable.

        Args:
            hashes: one for each full block of the sequence, in order.
            blocks: all its blocks in the same order. The last one may be part
                filled, and then it has no hash. A block that is registered
                already stays as it is; one whose content another block holds
                too is registered like any other.
        """
        # BEGIN SOLUTION
        for key, block in zip(hashes, blocks, strict=False):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)
        # END SOLUTION

    def release(self, blocks) -> None:
        """A sequence lets go of all its blocks, given in order.

        A block that somebody else holds stays as it is. Of the others, a
        registered one goes to the back of the queue, and any other one goes
        back to the pool. The block that is least use without the others is
        to be evicted first.
        """
        # BEGIN SOLUTION
        for block in self.refs.drop(blocks[::-1]):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])
        # END SOLUTION


# %% [markdown] id="your-cache-at-work"
# ## Your cache at work
#
# The picture at the top of this lesson runs on your class once it has passed: run its cell again. And so does the whole
# manager that a scheduler talks to. Below, two thousand requests, each behind one of ten different instructions, on a
# cache that is too small to keep the questions as well.

# %% id="at-work"
import random

from labkit import engine

rng = random.Random(7)
heads = [[1000 + i] * 128 for i in range(10)]
yours = engine.kv_cache_manager(150, block_size=16, regret=True)
for i in range(2000):
    question = [rng.randrange(900) for _ in range(24)]
    yours.allocate(i, rng.choice(heads) + question)
    yours.free(i)

counters = yours.counters
print("The prefix cache at work:", engine.owner("prefix_cache"))
print(f"hit rate {counters.hit_tokens / counters.queried_tokens:.3f}")
print("evicted:", counters.cached_blocks_evicted,
      " of these computed again:", counters.regretted_evictions)
print("free + held + cached:",
      yours.num_free + yours.num_held + yours.num_cached)

# %% [markdown] id="why-two"
# That cache evicts all day and is healthy: most of what goes is somebody's question, which nobody will ask again. Lesson
# 09 is about what is computed again.
#
# **What runs here.** `engine.kv_cache_manager` puts the parts together, in the one place that does
# (`labkit/engine.py`): your `chain_hashes` and `longest_hit` find a prefix, your `register` and `release` keep blocks
# findable, over your block tables, your counts and your pool. The order of eviction is built into the queue. Where
# another order is wanted, a policy stands in the queue's place, and everything else stays as it is; then a rule is
# needed about parents and children, which the queue does without. The proof is folded at the end.
#
# Taking a block out of the middle must not cost a walk through the queue. A cell to convince you, with a plain deque
# beside the given queue:

# %% id="unlink-cost" tags=["nbval-ignore-output"]
import time
from collections import deque

from labkit.cache.free_queue import FreeQueue

for size in (1_000, 10_000, 100_000):
    micros = []
    for row in (deque(), FreeQueue()):
        for block in range(size):
            row.append(block)
        start_s = time.perf_counter()
        for block in range(size // 2, size // 2 + 50):
            row.remove(block)
        micros.append((time.perf_counter() - start_s) / 50 * 1e6)
    print(f"{size:7,} blocks: deque {micros[0]:8.2f} us, "
          f"free queue {micros[1]:.2f} us per hit")

# %% [markdown] id="publish-time"
# ## Findable before it is computed
#
# When does a block become findable? `register` is called when the blocks are allocated, and that is *before* the model has
# run. So two equal prompts that arrive in the same step look like this:

# %% id="publish-demo"
from labkit.engine import kv_cache_manager

manager = kv_cache_manager(16, block_size=4)
computed = set()  # blocks whose keys and values are there: none so far

for name in ("first", "second"):
    got = manager.allocate(name, range(13))
    hits = got.blocks[: got.num_cached_tokens // 4]
    print(f"{name:6} {got.num_cached_tokens:2} tokens cached,",
          "not computed yet:", [b for b in hits if b not in computed])

# %% [markdown] id="after-publish"
# The second request is promised keys and values that do not exist yet. vLLM publishes at allocation, as here, and that is
# right as long as the engine computes in an order in which they are written before they are read. Publishing only after
# the step is safe as well, and then both requests compute the same blocks in the same step: twins. Either is a decision,
# and a cache that has not made it is a bug that shows only under load.

# %% [markdown] id="about-break-it"
# ### Break it: the hash that stayed (6 minutes, difficulty 4, importance 3)
#
# A user reports an answer with a stranger's address in it. The engine's blocks were all accounted for, and its lookups
# were right in every test. It was the class that you have just written, with an `evict` that somebody had rewritten to be
# careful with twins. (kvcached, an allocator that takes the place of vLLM's, kept a block's hash after its eviction as
# well: ovg-project/kvcached, pull request 363, June 2026.)
#
# ```python
# class QueuePrefixCache(QueueCacheBase):
#     def register(self, hashes, blocks): ...   # as yours
#     def release(self, blocks): ...            # as yours
#
#     def evict(self, n):
#         gone = [self.queue.popleft() for _ in range(n)]
#         for block in gone:
#             key = self.hash_of.pop(block)
#             # get: the one that was added first
#             if self.by_hash.get(key) == block:
#                 self.by_hash.remove(key, block)
#         self.refs.recycle(gone)
#         self.evictions += n
#         return gone
# ```
#
# Convict it. `("QueuePrefixCache", 4)` makes a cache of four blocks and comes first. `("request", "ab.")` looks up,
# holds, allocates and registers a prompt of two full blocks and a part-filled one; without the full stop there is none,
# and the last block is computed again even if it is cached. `("finish", 1)` releases the second of the requests that run
# at that moment, and `("grow", 0, "c")` lets the first fill one more block. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_stale_hash
# BEGIN SOLUTION
ops = [
    ("QueuePrefixCache", 2),
    ("request", "a"),
    ("request", "a"),
    ("finish", 1),
    ("request", "b"),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("QueuePrefixCache", 4),
#     ("request", "ab."),
#     ("finish", 0),
# ]
# END STUB

# %% [markdown] id="collisions"
# ## A hash is not a proof
#
# The chain stands on one sentence: equal hashes mean equal prefixes. For a hash that anybody can compute and that is short
# or simple, it is false, and not only by bad luck. vLLM hashed with Python's built-in `hash`, whose value for
# `None`, the root of every chain, had become predictable; whoever could guess a victim's prompt could look for one of their
# own with the same hash (CVE-2025-25183). Early in 2025 the root became random (pull request 12621) and SHA-256 a choice
# (15297); it is the default since v0.10.2.
#
# Break one yourself. `weak_block` is a checksum cut to 16 bits, so it has 65,536 values. Bad luck comes first: how many
# random prompts does a server see before *any* two of them have the same hash? Guess before you run the cell, and change
# the seed afterwards.

# %% id="birthday"
import random

from labkit.cache.block_hashes import weak_block
from labkit.cache.tokens import token_bytes

traffic, met = random.Random(7), {}
while True:
    block = [traffic.randrange(50_000) for _ in range(8)]
    key = weak_block((None, token_bytes(block)))
    if met.setdefault(key, block) != block:
        break
print(f"prompt number {len(met) + 1} has the hash of an earlier one:")
print(met[key], block, sep="\n")

# %% [markdown] id="after-birthday"
# Far fewer than 65,536: every new prompt can meet every earlier one, so about the square root of the number of values is
# enough. Now on purpose. The victim's instructions are public. The attacker tries random blocks until one has just that
# hash. Change the instructions and run it again: it never takes long.

# %% id="find-collision"
instructions = [101, 7, 7, 2024, 13, 5, 900, 41]  # one block of eight
target = weak_block((None, token_bytes(instructions)))

attacker, tries = random.Random(7), 0
while True:
    forged = [attacker.randrange(50_000) for _ in range(8)]
    tries += 1
    if weak_block((None, token_bytes(forged))) == target:
        break
print(f"{tries:,} tries")
print("public:", instructions)
print("forged:", forged)

# %% [markdown] id="after-collision"
# Now the attacker sends the forged prompt first, and then the victim comes. Three caches: one that trusts the weak
# hash, the same one with SHA-256, and one that has no hash at all: the tree of the next lesson, which compares tokens.

# %% id="use-collision"
from labkit.engine import kv_cache_manager

caches = {
    "trusts a weak hash": {"hash_block": weak_block},
    "trusts SHA-256": {},
    "compares tokens": {"prefix_cache": "radix"},
}
for name, settings in caches.items():
    manager = kv_cache_manager(32, 8, **settings)
    theirs = manager.allocate("attacker", forged + [1])
    mine = manager.allocate("victim", instructions + [2])
    shared = mine.blocks[0] == theirs.blocks[0]
    print(f"{name:20} the victim reads",
          "the attacker's block" if shared else "its own block")

# %% [markdown] id="after-use-collision"
# In the first line the victim's model takes the attacker's text for its own instructions. Nothing crashes, and the hit
# even looks good on the dashboard.
#
# There are two ways out, and each costs something. A **cryptographic hash** can be trusted alone, because nobody knows how
# to find such a pair; it takes a little longer for each block. The cache of this lesson does that, as vLLM does. Or the
# cache **compares tokens** at a hit: what is paid is the memory for the tokens. A longer checksum is no way out: checksums
# are made to notice accidents, and can be solved for the value that one wants.

# %% [markdown] id="side-channel"
# ## The clock tells
#
# One thing leaks even where every hit is right. A hit is *fast*, and the time to the first token can be measured by whoever
# asked. So on a cache that all tenants share, a prompt is a question: has anybody sent this beginning before?
#
# A victim has sent a prompt of five blocks. The attacker thinks that each block is one of twenty (a name from a list, a
# diagnosis, a template filled in), and tries them block by block from the front: the fastest answer wins, and the next
# block is tried behind it. Time is simulated here, 0.4 ms for each computed token and noise of 1 ms; which tokens are
# computed is decided by the real cache. Twenty guesses per block, not twenty to the fifth. Each guess can be asked only
# once: the probe itself is stored as well, and a second time it would be fast because of the first.

# %% id="steal"
import random

from labkit.engine import kv_cache_manager
from labkit.specs.hash_prefix_cache.side_channel import Clock, Server, dictionary, steal

words = dictionary(20, block_size=16)
rng = random.Random(7)
secret = [rng.randrange(20) for _ in range(5)]
sent = [token for number in secret for token in words[number]]

print("secret            ", secret)
for salts in (False, True):
    server = Server(kv_cache_manager(4096, 16), Clock(), salts)
    server.ask("victim", sent + [1])
    guesses, probes = steal(server, words, blocks=5)
    asked = sum(len(block) for block in probes)
    print("a salt per tenant " if salts else "no salt           ",
          guesses, f"after {asked} probes")

# %% [markdown] id="after-steal"
# Without a salt the whole secret falls. With one, each tenant's chain begins with a name that the server puts there, the
# attacker's guesses hit nothing, and what comes out is noise. How well a single probe tells a right guess from a wrong one
# is a number: the **AUC**, the probability that a right guess was faster than a wrong one. 0.5 is a coin, 1 is certainty.

# %% id="auc-picture"
from labkit.specs.hash_prefix_cache.side_channel import measure, side_channel_picture

side_channel_picture({
    "no salt": measure(block_size=8, salts=False),
    "a salt for each tenant": measure(block_size=8, salts=True),
})

# %% id="auc-numbers"
from labkit.specs.hash_prefix_cache.side_channel import auc, measure

print("tokens guessed    no salt   a salt per tenant")
for size in (1, 2, 4, 8, 16):
    plain, salted = (auc(*measure(size, salts=s)) for s in (False, True))
    print(f"{size:14}    {plain:7.2f}   {salted:17.2f}")

# %% [markdown] id="after-auc"
# The report behind CVE-2025-46570 gives 0.99 for a prefix of 8 tokens, on a real server. Ours depends on two numbers that
# we chose: what a computed token costs, and how much the line varies. On your machine, a computed token costs this much:

# %% id="measured-cost" tags=["nbval-ignore-output"]
import time

from labkit.serving import load

model = load()
ids = [100 + i % 90 for i in range(320)]
model.generate(ids[:8], max_new_tokens=1)
took = {}
for n in (64, 320):
    best = []
    for _ in range(3):
        start_s = time.perf_counter()
        model.generate(ids[:n], max_new_tokens=1)
        best.append(time.perf_counter() - start_s)
    took[n] = min(best) * 1000
print(model.name)
print(f"{(took[320] - took[64]) / 256:.2f} ms for each computed token")

# %% [markdown] id="after-measured"
# The larger the model and the quieter the line, the clearer the clock. A salt does not slow the clock: it takes away what
# there was to measure. Its price is that tenants no longer share anything, not even public instructions. And it must come
# from the server: a salt that a client may choose, an attacker chooses to be the victim's.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("07")

# %% id="finish"
finish("07")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: blocks for a prompt
#
# ### Exercise: `allocate_prompt` (12 minutes, difficulty 4, importance 4)
#
# Everything together, as the manager does it: look up, see whether there is room, hold, allocate, register. All or
# nothing, as in lesson 04, and there is a trap. `num_available` counts the blocks in the queue, because they can be
# evicted; some of them may be the very blocks that you have just found.
#
# The cache is a `QueuePrefixCache`. Besides `register` it has `lookup(hashes, limit)`, `num_available`,
# `num_unheld(hit)` (how many of these blocks stand in the queue), `hold(hit)`, and `allocate(n)`, which evicts if it must
# and answers None if even that is not enough. `blocks_needed` from lesson 04 is there as well.

# %% id="ex-allocate-prompt"
# %%exercise allocate_prompt
def allocate_prompt(cache, hashes, num_tokens: int, block_size: int):
    """Blocks for a prompt: cached ones as far as they go, fresh ones after them.

    Args:
        cache: a QueuePrefixCache.
        hashes: one for each full block of the prompt, in order.
        num_tokens: tokens of the prompt, 1 or more.
        block_size: tokens per block.

    Returns:
        (blocks, cached): the blocks in the order of the prompt, each held
        once more and the full ones registered, and how many leading tokens
        need not be computed. One token at least is left to compute.
        None if there is no room, and then nothing has changed, the order of
        the queue included.
    """
    # BEGIN SOLUTION
    hit = cache.lookup(hashes, (num_tokens - 1) // block_size)
    fresh = blocks_needed(num_tokens, block_size) - len(hit)
    if fresh > cache.num_available - cache.num_unheld(hit):
        return None
    cache.hold(hit)
    blocks = hit + cache.allocate(fresh)
    cache.register(hashes, blocks)
    return blocks, len(hit) * block_size
    # END SOLUTION


# %% id="use-allocate-prompt"
from labkit.mine import BlockPool, QueuePrefixCache, RefCounts, allocate_prompt

cache = QueuePrefixCache(RefCounts(BlockPool(3)))
for hashes, tokens in [(["a", "ab", "abc"], 12), (["a", "ab"], 9),
                       (["a", "ab", "abc", "abcd"], 16)]:
    got = allocate_prompt(cache, hashes, tokens, block_size=4)
    print(f"{tokens:2} tokens:", "no room" if got is None else
          f"{len(got[0])} blocks, {got[1]} tokens cached")
    if got:
        cache.release(got[0])

# %% [markdown] id="drill" tags=["fold"]
# ## Drill: a morning at work (optional, 10 minutes)
#
# A server that somebody else runs, and two minutes of its board. Pin on the curves what convicts and what rules another
# cause out, look at one thing more, name the cause, and change something. The score says what your change did to the same
# requests. You need the hit rate, the tokens that come and those that are computed; what the board says of queues and
# preemptions is explained in lessons 16 to 18.

# %% id="drill-board"
from labkit.widgets import DrillBoard

DrillBoard("good-morning")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# Read in vLLM 0.33.0; the other projects in mid-2026.
#
# - **vLLM**: `vllm/v1/core/block_pool.py` (blocks, the map from hash to blocks, `touch` and `free_blocks`) and
#   `kv_cache_utils.py` (`FreeKVCacheBlockQueue`, `hash_block_tokens`). Freed blocks that carry a hash go to the back of the
#   queue, those without one to its front (since pull request 42656), which is what your pool does by being asked first.
#   With caching off all go to the front.
# - At most `num_tokens - 1` tokens may be hits; extra keys are the adapter's name, hashes and offsets of images, prompt
#   embeddings. The salt enters block 0 only. Equal blocks are not merged: tables only ever grow, so one hash may stand for
#   several ids.
# - SHA-256 is the default since v0.10.2, after CVE-2025-25183 (pull requests 12621 and 15297). The per-request salt came
#   with CVE-2025-46570 (proposed in issue 16016, built in pull request 17045).
# - Metrics: counters `vllm:prefix_cache_queries` and `vllm:prefix_cache_hits`, both in **tokens**; the hit rate is the
#   ratio of their rates. `vllm:kv_cache_usage_perc` counts what is not free, so a full cache of reference-0 blocks looks
#   empty. What was not computed is `vllm:prompt_tokens_cached`. What preemption computes again is in no counter of tokens.
# - Exact events, where enabled: `BlockStored`, `BlockRemoved`, `AllBlocksCleared`. The pictures of this course use the same
#   names.
# - A hit rate of exactly 0 and nothing broken: in hybrid models, which have Mamba layers beside attention, blocks are made
#   large enough for both kinds to take equal memory, 528 tokens in one model and 8,320 in another (issues 40696 and 48401;
#   the log says *Setting attention block size to*). A common prefix shorter than a block is never found, unless
#   `--prefix-match-unit` is finer; then a block carries several keys, and a hit that ends inside one is copied (lesson 06).
# - A hit rate can be faked: vLLM issue 25780 and pull request 25787 tell of 30% on random data, which was preempted requests finding
#   their own blocks again. Without them it was 0.2%.
# - **nano-vllm** keeps an xxh64 chain and compares tokens; its queue is a deque, and taking a block out of its middle is
#   O(n). It publishes after the step; issues 219 and 243 are twins of the same step.
# - **SGLang** keeps a tree in place of a chain: the next lesson.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about prefix caching wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("07", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why this queue needs no rule about children
#
# A content is the *child* of the one that it continues by a block: `abc` is the child of `ab`. A child whose parent is gone
# cannot be found until somebody computes the parent again, because lookup stops at the first miss; until then it holds
# memory for nothing. Claim: **with tail-first release the queue never evicts a parent before its child.**
#
# Take a findable block $c$ in the queue, and let $S$ be the last sequence that held it. $S$ held the blocks of its whole
# prefix, so it held some block $p$ with the parent's content, and $p$ was registered, before $c$ or together with it. $S$
# let go of $c$ and then of $p$, because the tail goes first. From that moment on:
#
# - if somebody else still held $p$, it is not in the queue now, or it entered later than $c$;
# - if nobody did, it entered the queue right behind $c$, or a few places behind;
# - if somebody took $p$ out again since (a hit), it enters at the back when it comes again: further behind.
#
# In every case $p$ is held or stands behind $c$. The front of the queue goes first, so $c$ goes before $p$. Twins do no
# harm: the block that *this* $S$ held is registered as well, which is why a second block with the same content is
# registered like any other.
#
# The argument uses that the order in the queue is the order of release. A policy that ranks by anything else, how often a
# block was hit, say, or at random, may put a parent first. That is why a policy that stands in the queue's place is
# offered only blocks without cached children. Lesson 09 builds on that.
