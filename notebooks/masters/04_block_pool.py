# %% [markdown] id="symptom"
# # 04. The block pool
#
# A server has been up for nine days. Every day it answers fewer requests at once than the day before. No request fails;
# more and more of them wait. On the tenth morning somebody restarts it, and all is well again, for another nine days. The
# dashboard said *KV memory full*; nobody can say full **of what**.
#
# In lesson 03, memory was one long row of slots, and what was free was free in the wrong places. Here the row is cut into
# blocks of equal size, once, and from then on the only question is who holds which block. The part that answers it is
# called the **block pool**. You build one in this lesson, and one that notices when its caller makes a mistake; and at the
# end you can say what that server was full of.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("04")

# %% [markdown] id="play"
# ## Look before you read
#
# Sixteen blocks of four tokens each, and four sequences that come, grow and go. Every block is drawn twice. On the right
# all sixteen stand in the order of memory: these are the **physical blocks**, and their numbers are what the pool hands
# out. On the left each sequence has its own in the order of its tokens: its **logical blocks**. The small numbers on the
# left say which physical block each of them is.
#
# The picture opens at step 5. Click into it and step with the arrow keys, or drag the slider; point at a block to see it in
# both places. Watch which blocks A gets after C has gone, and what the pool answers when D wants more than is free.

# %% id="play-widget"
from labkit.mine import BlockPool
from labkit.specs.block_pool.scene import lives
from labkit.widgets import PageTable

story = "A 10, B 18, C 7, A 6, B 2, C ends, D 30, D 20, A 5, B ends, D 10"
log = lives(story, BlockPool(16), block_size=4)
PageTable(log, step=5, title="Sixteen blocks, four sequences",
          subtitle="The line under the picture: what was called, and what came back.")

# %% [markdown] id="idea"
# ## What a pool promises
#
# In the picture nothing ever moved. A sequence that grew took whichever blocks were free, next to its others or not: block
# 3 is as good as block 11. Because every block fits every request, a request for *n* blocks can fail for one reason only,
# that fewer than *n* are free. External waste, the holes that were too small in lesson 03, cannot exist.
#
# The price is a little memory at the end of each sequence, whose last block is rarely full, and some bookkeeping, which is
# what you write now. A pool makes three promises:
#
# 1. **A block has one holder.** What is held is not handed out again.
# 2. **All or nothing.** You get everything you asked for, or nothing at all and nothing has changed.
# 3. **What comes back can be used again.** All of it, and only once.
#
# If the first is broken, one conversation writes into another. If the second or the third is, blocks are lost one by one,
# until somebody restarts the server.

# %% [markdown] id="about-blocks-needed"
# ### Exercise: `blocks_needed` (5 minutes, difficulty 1, importance 4)
#
# Whoever asks for blocks has to know how many. A block that holds even one token is needed whole.

# %% id="ex-blocks-needed"
# %%exercise blocks_needed
def blocks_needed(num_tokens: int, block_size: int) -> int:
    """The number of blocks that hold `num_tokens` tokens.

    Args:
        num_tokens: 0 to 2**53.
        block_size: tokens per block, 1 or more.

    Returns:
        The smallest whole number of blocks with room for all tokens.
        17 tokens at 16 per block need 2.
    """
    # BEGIN SOLUTION
    return (num_tokens + block_size - 1) // block_size
    # END SOLUTION


# %% [markdown] id="about-predict"
# ## One prediction first
#
# The pool that you write next answers three questions: what is `num_free`, what does `allocate(n)` give, what does
# `free(blocks)` take. Before you write it, run one in your head.

# %% id="predict-p1"
predict("04", "p1")

# %% id="reveal-p1"
from labkit.mine import BlockPool

p = BlockPool(4)
a = p.allocate(3)
p.free(a[:1])
print(p.allocate(3), p.num_free)

# %% [markdown] id="after-p1"
# Hold both values against the line. A pool says *no room* with a value and not with an exception, because being full is
# nothing exceptional: a scheduler asks many times per second, and the answer decides who waits. And whoever is told no
# has been given nothing. A pool that takes two blocks, notices that the third is missing and keeps both has lost them.

# %% [markdown] id="about-block-pool"
# ### Exercise: `BlockPool` (12 minutes, difficulty 2, importance 5)
#
# The part itself. It keeps which blocks are free in whatever way you like: a list, a deque, a set, a row of flags. The
# check only calls the four public names and never looks inside.
#
# One thing to settle before you type: in `allocate`, what has already happened when you find that there is no room?

# %% id="ex-block-pool"
# %%exercise BlockPool
class BlockPool:
    """Hands out block ids 0 to num_blocks - 1 and takes them back.

    Attributes:
        num_blocks: the size of the pool, 0 or more. It never changes.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        # BEGIN SOLUTION
        self._free = list(range(num_blocks))
        # END SOLUTION
        # BEGIN STUB
        # # keep here which blocks are free
        # END STUB

    @property
    def num_free(self) -> int:
        """How many blocks nobody holds."""
        # BEGIN SOLUTION
        return len(self._free)
        # END SOLUTION

    def allocate(self, n: int) -> list[int] | None:
        """Take n blocks that nobody holds, all or none.

        Args:
            n: 0 or more.

        Returns:
            A list of n different ids; for n = 0 the empty list. None if fewer
            than n blocks are free, and then nothing has changed.
        """
        # BEGIN SOLUTION
        if n > len(self._free):
            return None
        return [self._free.pop() for _ in range(n)]
        # END SOLUTION

    def free(self, blocks: list[int]) -> None:
        """Give blocks back. The caller holds every one of them, and names each once."""
        # BEGIN SOLUTION
        self._free.extend(blocks)
        # END SOLUTION


# %% [markdown] id="your-pool-at-work"
# ## Your pool at work
#
# From here on, every picture and every engine in this course runs on your pool, as soon as its check has passed. Until
# then the reference stands in, so you can always go on. The card says which of the two is at work.
#
# Here it is, to play with. Requests wait in a queue, each with the tokens shown on the first button, and each takes its
# blocks from the pool; **A**, **B**, ... choose the one that the other buttons are about. Every button has a key. Let
# requests in until one is refused: how many fitted? Then end one, and let the next in.

# %% id="pool-play"
from labkit.widgets import PagePlay

PagePlay(12, title="Twelve blocks: how many requests fit?",
         subtitle="A block holds four tokens, and a request takes whole blocks.")

# %% [markdown] id="about-a-day"
# The next cell runs a whole day of a small server on the pool: in every step a request of 5 to 200 tokens arrives, takes
# its blocks, and gives them back 5 to 40 steps later. A request that finds no room is turned away.

# %% id="a-day"
from labkit import engine
from labkit.mine import BlockPool
from labkit.specs.block_pool.leak import a_day

day = a_day(BlockPool(200))
print("The pool at work:", engine.owner("block_pool"))
print(len(day.served), "requests served,", len(day.refused), "turned away")
print("Held + free, over all steps:", sorted({h + f for h, f in zip(day.held, day.free)}))

# %% [markdown] id="halfway"
# ## Half way
#
# You have the part that everything else stands on. This is a good place to stop: what you passed is kept.

# %% id="save"
save_point("04")

# %% [markdown] id="double-free"
# ## The mistake that nobody sees
#
# `BlockPool` trusts its caller. In the next cell a request is cancelled twice, once by its user and once by a timeout, and
# its block goes back two times. Then three new requests arrive. (The cell uses the course's own pool, so that everybody
# sees the same blocks.)

# %% id="double-free-demo"
from labkit.cache.block_pool import BlockPool as PlainPool

plain = PlainPool(2)
block = plain.allocate(1)
plain.free(block)  # the user pressed stop
plain.free(block)  # and the timeout fired as well

memory = {}
chats = {"Ada": "a haiku, please", "Bob": "my PIN is 4711", "Eve": "hello"}
for name, text in chats.items():
    mine = plain.allocate(1)
    print(f"{name} gets block {mine[0]}")
    memory.setdefault(mine[0], []).append(f"{name}: {text}")
for number, texts in sorted(memory.items()):
    print(f"block {number} holds", " | ".join(texts))

# %% [markdown] id="after-double-free"
# A pool of two blocks, three requests served, and no error anywhere. Bob and Eve share a block without knowing it: each
# writes keys and values over the other's, and the model goes on from what it finds. What a user sees is a reply that
# wanders off into somebody else's conversation, in a request that did nothing wrong, long after the mistake.
#
# Does your own pool do the same? Scroll up to the twelve blocks, choose a request, press **cancel twice**, and let in whoever
# comes next. A pool that keeps its free blocks in a list hands one block to two requests; one that keeps a set or a row of
# flags does not, and still nobody learns that something went wrong.
#
# So the mistake has to be caught where it is made.

# %% [markdown] id="about-checked-pool"
# ### Exercise: `CheckedPool` (12 minutes, difficulty 3, importance 4)
#
# A second layer on top of the pool, which refuses to take back what its caller does not hold. It calls the pool below with
# `super()` and adds one thing that the pool below does not know. The cell may use `BlockPool`, `DoubleFreeError` and
# `ForeignBlockError`; they are imported for it.
#
# The check puts the course's pool below your class first, and yours after that. So use only what every pool has,
# `num_blocks`, `num_free`, `allocate` and `free`, and nothing that your own `BlockPool` keeps inside.
#
# The last sentence of the docstring is the promise *all or nothing* again, this time on the way back.

# %% id="ex-checked-pool"
# %%exercise CheckedPool
class CheckedPool(BlockPool):
    """A BlockPool whose `free` refuses blocks that its caller does not hold."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__(num_blocks)
        # BEGIN SOLUTION
        self._held = set()
        # END SOLUTION
        # BEGIN STUB
        # # what must be known to tell a held block from a free one?
        # END STUB

    def allocate(self, n: int) -> list[int] | None:
        """As BlockPool.allocate."""
        # BEGIN SOLUTION
        blocks = super().allocate(n)
        if blocks is not None:
            self._held.update(blocks)
        return blocks
        # END SOLUTION
        # BEGIN STUB
        # return super().allocate(n)
        # END STUB

    def free(self, blocks: list[int]) -> None:
        """Give blocks back, all or none.

        Raises:
            ForeignBlockError: an id below 0 or above num_blocks - 1.
            DoubleFreeError: a block that is free (returned already, or never
                handed out), or one that is named twice in this call.

        After either error nothing has changed: no block of the call was
        returned, and every one that was held still is.
        """
        # BEGIN SOLUTION
        seen = set()
        for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"Block {block} is not in this pool.")
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"Block {block} is free, or named twice.")
            seen.add(block)
        self._held -= seen
        super().free(blocks)
        # END SOLUTION


# %% id="double-free-caught"
from labkit.errors import DoubleFreeError
from labkit.mine import CheckedPool

checked = CheckedPool(2)
block = checked.allocate(1)
checked.free(block)
try:
    checked.free(block)
except DoubleFreeError as error:
    print("Refused:", type(error).__name__)
print(checked.num_free, "blocks are free")

# %% [markdown] id="about-checked-play"
# And the twelve blocks once more, over the pool that notices. Choose a request and press **cancel twice**.

# %% id="checked-play"
PagePlay(12, pool="CheckedPool", title="Twelve blocks, over a pool that notices")

# %% [markdown] id="about-break-it"
# ### Break it: the pool with two piles (5 minutes, difficulty 3, importance 3)
#
# This pool was written so that one can see how many blocks were ever used: blocks that are new and blocks that came back
# are kept in two piles. It passed its tests and went into production. Then a dashboard showed what must not be possible:
# enough blocks free, and requests refused.
#
# ```python
# class BlockPool:
#     def __init__(self, num_blocks):
#         self.num_blocks = num_blocks
#         self.fresh = list(range(num_blocks))
#         self.returned = []
#
#     @property
#     def num_free(self):
#         return len(self.fresh) + len(self.returned)
#
#     def allocate(self, n):
#         for pile in (self.returned, self.fresh):
#             if n <= len(pile):
#                 return [pile.pop(0) for _ in range(n)]
#         return None
#
#     def free(self, blocks):
#         self.returned.extend(blocks)
# ```
#
# Write a list of operations that a right pool survives and this one does not. There are three:
# `("BlockPool", 4)` makes a pool and comes first; `("allocate", 2)` asks for blocks; `("free", [0, 2])` gives back the first
# and the third of the blocks you hold at that moment, oldest first. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_two_piles
# BEGIN SOLUTION
ops = [
    ("BlockPool", 2),
    ("allocate", 1),
    ("free", [0]),
    ("allocate", 2),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("BlockPool", 4),
#     ("allocate", 4),
# ]
# END STUB

# %% [markdown] id="full-of-what"
# ## Full of what?
#
# Back to the server of the first paragraph. Here is the day from above again, with the same requests on the same pool, and
# one difference: one request in fifty ends without giving its blocks back. Say its stream was cancelled, and the clean-up
# never ran. (Far more is lost per request here than on that server, so that a short day is enough to show it.)

# %% id="leak-figure"
from labkit.mine import BlockPool
from labkit.specs.block_pool.leak import a_day, leak_picture

days = {
    "every request returns its blocks": a_day(BlockPool(200)),
    "one in fifty forgets": a_day(BlockPool(200), forget=0.02),
}
leak_picture(days)

# %% id="leak-numbers"
for title, day in days.items():
    first, last = (sum(start <= s < start + 200 for s in day.served) for start in (0, 700))
    print(f"{title}:")
    print(f"   served {first} of the first 200 requests and {last} of the last 200; "
          f"{day.lost[-1]} blocks lost at the end")

# %% [markdown] id="after-leak"
# In the first quarter of the day nobody could tell the two apart by the requests served. Nothing fails later either: some
# requests are turned away, as on any busy day, and *KV usage*, which counts everything that is not free, is high in any
# case. What gives the leak away is a sum: **held + free must be the size of the pool.** When it is not, blocks are lost,
# and you can say which (that is the stretch exercise below).
#
# It is the first example of something that this course comes back to: a total can look healthy while its parts do not.

# %% [markdown] id="about-live"
# ## A real model on your pool
#
# In lesson 00 a language model answered three questions at once. Here are the same three again, and all the blocks come
# from the pool of this lesson: yours, if it has passed. Click into the picture afterwards and step through what your
# `allocate` was asked, and when. (It is a small model, and gets facts wrong. Without it a tiny one stands in, whose words
# mean nothing.)

# %% id="live" tags=["nbval-ignore-output"]
from labkit.lesson import live_answer

live_answer("block_pool")

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("04")

# %% id="finish"
finish("04")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: find the leak
#
# ### Exercise: `find_leak` (8 minutes, difficulty 2, importance 3)
#
# Given a pool that is full, and the tables of all sequences that are alive: which blocks are lost? This is what you would
# run on the server of the first paragraph.

# %% id="ex-find-leak"
# %%exercise find_leak
def find_leak(num_blocks: int, free_blocks: list[int], tables: list[list[int]]) -> list[int]:
    """The blocks that are neither free nor held.

    Args:
        num_blocks: size of the pool; ids are 0 to num_blocks - 1.
        free_blocks: ids that the pool could still hand out, in any order.
        tables: for each living sequence the ids it holds. Two sequences may
            hold the same block (they share it).

    Returns:
        The lost ids in ascending order, each once. The arguments are left as
        they are.
    """
    # BEGIN SOLUTION
    known = set(free_blocks)
    for table in tables:
        known.update(table)
    return [block for block in range(num_blocks) if block not in known]
    # END SOLUTION


# %% id="use-find-leak"
from labkit.mine import find_leak

print(find_leak(8, free_blocks=[6, 2], tables=[[0, 1, 5], [0, 7]]))

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** keeps the pool in `vllm/v1/core/block_pool.py` (version 0.33.0 read). Block 0 is taken out at
#   start-up and never freed: it is the *null block* that stands for positions a sliding window has passed. So its
#   invariant reads free + held + null = N.
# - Its free list is a doubly linked list, `FreeKVCacheBlockQueue`, so that a block can be taken out of the middle in
#   constant time. Why anybody would want that is the subject of lesson 07: free blocks may still hold something useful.
# - **nano-vllm** keeps a deque of free ids and a set of used ones (`nanovllm/engine/block_manager.py`), and asserts where
#   you raise. Its configuration accepts only multiples of 256 as a block size. Its scheduler, called by hand without that
#   configuration, with a 200-token prompt and a pool of 8 blocks of 16, ends in an `AssertionError` on the first step.
# - *No room* as a value: vLLM's `allocate_slots` returns `None`, and the scheduler preempts somebody.
# - Accounting errors in the wild: SGLang issue 35270 (evictable memory counted twice). And a fragmentation claim that
#   measuring disproved: LMCache issue 3187 turned out to be plain exhaustion of the pool.
# - vLLM's `vllm:kv_cache_usage_perc` is one minus the share of free blocks (`get_usage`). So lost blocks count as used, and
#   a leak shows as a value that stays above zero, and rises, while nothing runs. Blocks that nobody holds and that are
#   still cached count as free.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about block pools wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("04", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why fixed size ends external waste
#
# Let $f$ blocks of the pool be free. With pieces of any size, a request for $k$ needs $k$ *adjacent* slots, and the largest
# hole can be much smaller than all holes together: the difference is external waste. With blocks of one size and a table
# that may name them in any order, a request for $n$ blocks succeeds exactly if $n \le f$, since any $n$ of the free ones
# will do. The difference is zero, whatever has happened before.
#
# What is left is internal. A sequence of $t$ tokens holds $\lceil t/B \rceil$ blocks of $B$ tokens and wastes between 0 and
# $B - 1$ slots in the last one; where lengths are spread evenly over a block, $(B-1)/2$ on average. Lesson 05 measures it.
