# %% [markdown] id="symptom"
# # 05. Block tables
#
# A team has cut its KV memory into blocks, tested it for a week, one request after the other, and found every answer
# right. On Monday the first hundred users come at once. Their replies begin well. Then, always after the same number of
# tokens, they go on in the middle of somebody else's text. In the evening, with one user left, every answer is right
# again. No error was raised, and the pool lost no block.
#
# The pool is not to blame: it hands out free blocks, whichever they are. What is missing is the part that remembers which
# ones, and in what order: the **block table**. You build it in this lesson, and at the end you know what small blocks cost
# and what large ones do.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("05")

# %% [markdown] id="play"
# ## Look before you read
#
# Twelve blocks of four tokens and three sequences, in the middle of their lives. On the left, every sequence has its blocks
# in the order of its tokens, its **logical blocks**; on the right are the same blocks where they lie in memory, the
# **physical blocks**. Click into the picture and step with the arrow keys; point at a block to see both places.
#
# Watch when an append takes a block and when it takes none, and where C's blocks lie after B has left.

# %% id="play-widget"
from labkit.mine import BlockPool
from labkit.specs.block_pool.scene import lives
from labkit.widgets import PageTable

story = "A 6, B 3, A 1, A 1, A 1, B 6, C 10, C 16, B ends, C 16, A 8"
log = lives(story, BlockPool(12), block_size=4)
PageTable(log, step=6, title="Twelve blocks, three sequences",
          subtitle="Left: in the order of the tokens. Right: where they lie.")

# %% [markdown] id="idea"
# ## A sequence believes that it lies in one piece
#
# The model counts the tokens of a sequence 0, 1, 2, ... That number is the token's **position**, and it is all that the
# model knows of memory. Memory has a place for the keys and values of one token, the **slot**, and counts its slots 0, 1,
# 2, ... over all blocks.
#
# Cut the sequence into pieces as long as a block: these are its logical blocks 0, 1, 2, ... The blocks of memory, which the
# pool hands out, are the physical ones. Between the two stands one short list for each sequence, the block table: entry
# *i* is the physical block that holds logical block *i*.
#
# ```
# block_size 4, table of A: [7, 1, 3]
#
# position      0  1  2  3 |  4  5  6  7 |  8  9 10
# logical block      0     |      1      |     2
# physical block     7     |      1      |     3
# slot         28 29 30 31 |  4  5  6  7 | 12 13 14  (15 is free)
# ```
#
# The offset within a block stays as it is, so only the number of the block has to be looked up: one entry for four tokens
# here, and for sixteen in vLLM unless told otherwise. An operating system does the same for the memory of every program on
# your computer, and the idea is from there (Kwon et al., *Efficient Memory Management for Large Language Model Serving
# with PagedAttention*, SOSP 2023, section 4).

# %% [markdown] id="about-slot-of"
# ### Exercise: `slot_of` (5 minutes, difficulty 1, importance 5)
#
# The arithmetic of the picture above. Two questions are hidden in it: which logical block does a position lie in, and
# how far into that block?
#
# A position that lies in no block of the table is a mistake of the caller, and must be refused. Python alone refuses only
# some of them: think of what `blocks[-1]` is. `BlockError` is imported for the cell.

# %% id="ex-slot-of"
# %%exercise slot_of
def slot_of(blocks: list[int], position: int, block_size: int) -> int:
    """The slot of token number `position` of one sequence.

    Args:
        blocks: the block table: physical blocks in the order of the tokens.
        position: counted from 0.
        block_size: tokens per block, 1 or more.

    Returns:
        The slot, counted from 0 over all of memory; physical block b holds slots
        b * block_size to (b + 1) * block_size - 1.
        slot_of([7, 1, 3], 9, block_size=4) is 13.

    Raises:
        BlockError: the position is below 0, or lies behind the last block.
    """
    # BEGIN SOLUTION
    logical, offset = divmod(position, block_size)
    if not 0 <= logical < len(blocks):
        raise BlockError(f"Position {position} lies in no block of a table of {len(blocks)}.")
    return blocks[logical] * block_size + offset
    # END SOLUTION


# %% [markdown] id="busy"
# ## The server that was right when nobody was there
#
# Now the symptom from the beginning. The next cell is a whole server in which a token is a word and memory is a list of
# words. Its requests take turns, a few words at a time. Then each reply is read back from memory twice: by the table, and
# as the team had written it, by looking up the first block and counting on from there.

# %% id="busy-demo"
from labkit.mine import BlockPool, BlockTable, slot_of

CHATS = {
    "Ada": "dear diary today I saw a heron by the river",
    "Bob": "my new card has the number four seven one one",
}


def serve(names, size=4):
    """Serve these chats in turns of three words; print what is read back."""
    pool, memory = BlockPool(16), ["-"] * 20 * size  # counting on may run over the end
    words = {name: CHATS[name].split() for name in names}
    tables = {name: BlockTable(pool, size) for name in names}
    for turn in range(0, 12, 3):
        for name, table in tables.items():
            for word in words[name][turn : turn + 3]:
                table.append()
                memory[slot_of(table.blocks, table.num_tokens - 1, size)] = word
    for name, table in tables.items():
        positions = range(table.num_tokens)
        by_table = [memory[slot_of(table.blocks, p, size)] for p in positions]
        counted_on = [memory[table.blocks[0] * size + p] for p in positions]
        print(f"{name}, blocks {table.blocks}")
        print("   by the table:", " ".join(by_table))
        print("   counted on:  ", " ".join(counted_on))


print("ALONE")
serve(["Ada"])
print("\nTOGETHER")
serve(["Ada", "Bob"])

# %% [markdown] id="after-busy"
# Alone, a sequence gets neighbouring blocks, and counting on is right by luck. As soon as two sequences grow in turns, the
# luck ends with the first block: Ada's reply goes on with Bob's card. A test with one request cannot see it. (Your own pool
# may hand out blocks in another order, and then even Ada alone is read wrongly. For a test that is the better pool.)
#
# That is why the checks of this lesson never give you blocks in order.

# %% [markdown] id="about-slot-mapping"
# ### Exercise: `slot_mapping` (8 minutes, difficulty 2, importance 4)
#
# The model does not compute tokens one at a time: a prompt comes in chunks, and each layer produces the keys and values of
# a whole chunk at once. To write them it needs one slot for each token of the chunk, in order. That list is called the
# **slot mapping**, here as in the code of real servers.
#
# A chunk begins wherever the one before it ended, which is seldom at the edge of a block. `slot_of` (yours, if it passed)
# and `BlockError` are imported for the cell.

# %% id="ex-slot-mapping"
# %%exercise slot_mapping
def slot_mapping(blocks: list[int], start: int, stop: int, block_size: int) -> list[int]:
    """The slots of the tokens at positions `start` to `stop - 1`, in order.

    Args:
        blocks: the block table of the sequence.
        start, stop: positions, as in range(start, stop): stop itself is not asked for.
        block_size: tokens per block, 1 or more.

    Returns:
        stop - start slots. Where start equals stop that is the empty list, also at the
        very end of the last block; below 0 or farther behind, BlockError is right too.
        slot_mapping([7, 1, 3], 6, 10, block_size=4) is [6, 7, 12, 13].

    Raises:
        BlockError: start is above stop, or a position lies in no block.
    """
    # BEGIN SOLUTION
    if start > stop:
        raise BlockError(f"start is {start}, stop is {stop}: start may not be above stop.")
    return [slot_of(blocks, position, block_size) for position in range(start, stop)]
    # END SOLUTION


# %% [markdown] id="about-chunks"
# With a slot mapping, the code of the model needs one index more, and nothing else. The next cell writes the keys of a
# 50-token prompt into memory in three chunks, through a table whose blocks lie anywhere, and reads all of them back.

# %% id="chunks"
import numpy as np

from labkit.mine import slot_mapping

table = [5, 0, 11, 2]
keys = np.random.default_rng(5).standard_normal((50, 8))  # 50 tokens, 8 numbers each
memory = np.full((16 * 16, 8), np.nan)  # 16 blocks of 16 slots

for start, stop in [(0, 20), (20, 37), (37, 50)]:
    slots = slot_mapping(table, start, stop, 16)
    memory[slots] = keys[start:stop]
    print(f"tokens {start:2} to {stop - 1}: slots {slots[0]} ... {slots[-1]}, "
          f"in blocks {list(dict.fromkeys(slot // 16 for slot in slots))}")

print("read back as written:", np.array_equal(memory[slot_mapping(table, 0, 50, 16)], keys))

# %% [markdown] id="halfway"
# ## Half way
#
# You can find every token of a sequence, once somebody has made its table. The second half makes the table grow. This is a
# good place to stop: what you passed is kept.

# %% id="save"
save_point("05")

# %% [markdown] id="about-predict"
# ## One prediction first
#
# A block table has a pool, shared with all other sequences. `append(n)` makes room for *n* more tokens: first the free end
# of the last block is used, and what remains takes new blocks. Like the pool, it answers when there is no room, with
# `False`. Run these lines in your head.

# %% id="predict-p1"
predict("05", "p1")

# %% id="reveal-p1"
from labkit.mine import BlockPool, BlockTable

pool = BlockPool(5)
a, b = BlockTable(pool, 4), BlockTable(pool, 4)
a.append(6)
b.append(3)
a.append(2)
print(a.append(9), a.num_tokens, pool.num_free)

# %% [markdown] id="after-p1"
# Hold the three values against the line. Two questions decide them: which tokens still find a free end in the last
# block, and whether as many blocks are free as the rest would need.
#
# Where they are not, the table could make room for some of the nine. It must not: the scheduler that asked has nine
# tokens to compute, and would learn of the missing slots only when it writes there.

# %% [markdown] id="about-block-table"
# ### Exercise: `BlockTable` (15 minutes, difficulty 3, importance 5)
#
# The part itself. `__init__` and `slot` are given; you write `append`, `slots` and `release`. Start with `append` and run
# the cell: the report shows one rule at a time, those of `append` first, and *not written yet* at `release` means that your
# `append` is right. Write `release` next, then `slots`.
#
# Three things decide whether it is right:
#
# - **How many blocks are missing** depends on all tokens together, not on the *n* new ones alone.
# - **When may something change?** Only after the pool has said yes.
# - **Room is not a token.** The free end of the last block belongs to the table, and holds whatever its last owner left
#   there. `slots` answers for tokens that have been appended, and for no others.
#
# `release` returns the last block first. The course's own pool reuses first what came back first (yours may do otherwise,
# and is right all the same), and the beginning of a sequence is what another request may have in common with this one;
# lesson 07 depends on it. `blocks_needed` (lesson 04), `slot_mapping` and `BlockError` are imported for the cell.

# %% id="ex-block-table"
# %%exercise BlockTable
class BlockTable:
    """The blocks of one sequence, which grows and gives everything back at the end.

    Attributes:
        pool: where blocks come from; other tables take from it too.
        block_size: tokens per block, 1 or more.
        blocks: list of physical blocks, in the order of the tokens.
        num_tokens: tokens appended so far.
    """

    def __init__(self, pool, block_size: int) -> None:
        self.pool = pool
        self.block_size = block_size
        self.blocks = []
        self.num_tokens = 0

    def append(self, n: int = 1) -> bool:
        """Make room for n more tokens, all or none.

        The free end of the last block is used first; then as many blocks are taken
        from the pool as the tokens need, and no more.

        Args:
            n: tokens, 0 or more.

        Returns:
            True; or False if pool.allocate answers None, and then neither the table
            nor the pool has changed.
        """
        # BEGIN SOLUTION
        total = self.num_tokens + n
        missing = blocks_needed(total, self.block_size) - len(self.blocks)
        new_blocks = self.pool.allocate(missing)
        if new_blocks is None:
            return False
        self.blocks.extend(new_blocks)
        self.num_tokens = total
        return True
        # END SOLUTION

    def slot(self, position: int) -> int:
        """The slot of one token."""
        return self.slots(position, position + 1)[0]

    def slots(self, start: int, stop: int) -> list[int]:
        """The slots of tokens start to stop - 1.

        Raises:
            BlockError: unless 0 <= start <= stop <= num_tokens (below 0, the empty list is
            right as well where start equals stop).
        """
        # BEGIN SOLUTION
        if stop > self.num_tokens:
            raise BlockError(f"Token {stop - 1} is not there: the table has {self.num_tokens}.")
        return slot_mapping(self.blocks, start, stop, self.block_size)
        # END SOLUTION

    def release(self) -> None:
        """Give every block back to the pool, the last one first, and be empty.

        The table can be used again afterwards.
        """
        # BEGIN SOLUTION
        self.pool.free(self.blocks[::-1])
        self.blocks = []
        self.num_tokens = 0
        # END SOLUTION


# %% [markdown] id="your-table-at-work"
# ## Your table at work
#
# From here on your table runs under every picture, as soon as its check has passed; the next cell says whose is at work.
# In decoding, a sequence grows by one token per step. Watch the last block fill, and count how many of the thirteen tokens
# take a block.

# %% id="decode-widget"
from labkit import engine
from labkit.mine import BlockPool, BlockTable
from labkit.observe.events import EventLog
from labkit.observe.recorder import record
from labkit.widgets import PageTable

print("The table at work:", engine.owner("block_table"))
log = EventLog(num_blocks=6, block_size=4)
table = record(BlockTable(record(BlockPool(6), log), 4), log, "A")
for _ in range(13):
    table.append()

PageTable(log, step=4, title="One token at a time",
          subtitle="The token that finds the last block full takes a new one.")

# %% [markdown] id="about-table-play"
# And now the twelve blocks of lesson 04 again, with a table for each request, so that they grow token by token. First let
# requests in until one is refused, and compare with what a reservation of lesson 03 would hold. Then let them grow: who is
# the first that finds no block, and how many tokens had it by then?

# %% id="table-play"
from labkit.widgets import PagePlay

PagePlay(12, tables=True, title="Twelve blocks, and tables that grow")

# %% [markdown] id="block-size"
# ## What a block size costs
#
# Nothing is reserved any more, and no hole is too small. What is left of the waste of lesson 03 is the free end of the last
# block. The next cell draws requests, with a seed, from the statistics of a production trace (Azure LLM inference trace
# 2023, conversation; Azure Public Dataset, CC-BY 4.0) and shows ten of them at their full lengths. Drag the block size,
# and watch the ends and the number of table entries.

# %% id="block-size-play"
from labkit.mine import blocks_needed
from labkit.simulate.workload import draw
from labkit.widgets import BlockSizePlay

requests = draw(20_000, seed=0)
BlockSizePlay(requests.total_tokens[:10], block_size=128, needed=blocks_needed)

# %% [markdown] id="about-costs"
# If the number of tokens in the last block is as often 1 as 2, 3, ... up to *B*, the free end has *B* - 1, *B* - 2, ... or 0
# slots, and the mean of these is (*B* - 1) / 2. That is an assumption about lengths, and ten sequences are too few to tell.
# So it is counted now, over 20,000 requests, with your `blocks_needed`, if it has passed. Small blocks cost something as
# well: every block has an entry in the table of its sequence.

# %% id="block-size-costs"
from labkit.specs.block_tables.block_size import block_size_picture, cost_of_block_sizes

sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
costs = cost_of_block_sizes(requests.total_tokens, sizes, needed=blocks_needed)

print(f"per sequence, {requests.total_tokens.mean():,.0f} tokens long in the mean")
print("block size   empty slots   (B - 1) / 2   at most   of all held   table entries")
for cost in costs:
    print(f"{cost.block_size:10,} {cost.empty:13.1f} {cost.expected_empty:13.1f} "
          f"{cost.most_empty:9,} {cost.empty_share:12.2%} {cost.entries:14,.1f}")

# %% id="block-size-picture"
block_size_picture(costs)

# %% [markdown] id="after-block-size"
# Up to blocks of 128 the count and (*B* - 1) / 2 are nearly the same. For larger blocks the count is first lower and then
# higher (by the printed columns; in the picture, with its logarithmic scales, it seems little). There the assumption
# fails: a block is as long as a request, and where many lengths are alike, many last blocks are filled to the same
# height. The next cell looks at one such group of lengths.

# %% id="crowd"
tokens = requests.total_tokens
crowd = (tokens > 1_280) & (tokens <= 1_536)
print(f"{crowd.mean():.0%} of the requests have 1,281 to 1,536 tokens")
for cost in costs[-3:]:
    empty = -tokens[crowd] % cost.block_size
    print(f"   blocks of {cost.block_size:5,}: {empty.mean():5.1f} empty slots in the mean, "
          f"where (B - 1) / 2 is {cost.expected_empty}")

# %% [markdown] id="after-crowd"
# The same requests end near the end of a block of 512, and before the middle of one of 1,024. So (*B* - 1) / 2 is a good
# guess where lengths are spread over many blocks; where they are not, count.
#
# Small blocks waste little. What do their tables cost? The next cell puts both sides into bytes, with entries of 4 bytes
# (vLLM's block table is of type int32, `vllm/v1/worker/block_table.py`).

# %% id="both-in-bytes"
from labkit.cache.geometry import kv_bytes_per_token, model
from labkit.specs.block_tables.block_size import bytes_picture

per_token = kv_bytes_per_token(model("Llama-3.1-8B"))
print(f"Llama-3.1-8B: {per_token:,} bytes of keys and values per token")
bytes_picture(costs, bytes_per_token=per_token, bytes_per_entry=4)

# %% [markdown] id="after-bytes"
# In bytes the table hardly counts: at block size 1 its entries are a few KiB per sequence, while the empty slots of blocks
# of 16 are hundreds of KiB. By memory alone, one token per block would be best, and there are servers that do it.
#
# What entries cost is work. Each is taken from the pool and given back, copied to the GPU, and looked up in every step by
# the attention kernel, the program that computes attention there; between two entries it jumps to another place in memory.
# The part of the work that you can measure here is the bookkeeping: the time to append a prompt of 1,369 tokens (about the
# mean above) and to release it, on the table and the pool that are at work. The times differ from machine to machine; look
# at their ratio.

# %% id="bookkeeping" tags=["nbval-ignore-output"]
from time import perf_counter

from labkit.mine import BlockPool, BlockTable

pool = BlockPool(4096)
for size in (1, 4, 16, 64, 256):
    best = float("inf")
    for _ in range(200):
        begun = perf_counter()
        table = BlockTable(pool, size)
        table.append(1_369)
        table.release()
        best = min(best, perf_counter() - begun)
    print(f"blocks of {size:3}: {best * 1e6:7.1f} microseconds")

# %% [markdown] id="about-compare"
# Whether that matters depends on the rest of the server: beside the 30 ms that lesson 03 gives a step of the model, tens of
# microseconds are little, and they can run while the GPU computes. What the kernel pays is measured in lesson 12.
#
# What a user notices in the end is how many requests are in memory at once. Here is the replay of lesson 03 again, 400
# requests and 32,768 slots, now on your table, if it has passed.

# %% id="compare"
from labkit.mine import BlockTable
from labkit.simulate import pictures
from labkit.simulate.replay import PagedMemory, replay

SLOTS = 32_768
served = requests.head(400).capped(4_096)


def new_table(pool, block_size, seq):
    """The table of a sequence: yours, if it has passed."""
    return BlockTable(pool, block_size)


runs = [
    replay(served, PagedMemory(SLOTS, size, table=new_table), name=f"blocks of {size:,}")
    for size in (1, 16, 64, 256, 1024)
]
pictures.by_kind(runs)

# %% id="compare-numbers"
for run in runs:
    share = run.shares()
    print(f"{run.name:>15}: {run.mean_running():4.1f} at once, {share['used']:.1%} used, "
          f"{share['reservation']:.1%} reservation, {share['internal']:.1%} internal, "
          f"{run.preemptions} sent back")

# %% [markdown] id="after-compare"
# From 16 down to 1 there is next to nothing left to win. At 256 fewer run at once, and at 1,024 about a third fewer: the
# others wait for slots that are held and empty. In this picture the free end of a last block is *reservation* while tokens
# are still to come there, and *internal* waste once they are not. At small blocks nearly all of it is of the first kind: it
# will be used. White is free: too few blocks for the prompt that waits first, and room to grow for those who run.
#
# Look at the last number too. Sequences are still sent back, at every block size, and least often where fewest run: a table
# that finds no block answers `False`, and somebody has to give way. Paging wastes less memory; it does not make more of it.

# %% [markdown] id="about-break-it"
# ### Break it: the room that was counted (5 minutes, difficulty 3, importance 3)
#
# This table keeps the number of free places in its last block as `room`, so that it need not be worked out again. It passed
# every test: thousands of sequences, tokens one by one and in chunks, full pools, refusals. Then memory ran short for the
# first time, sequences were sent back and started again, and some of them had tokens for which they had no block.
#
# ```python
# class BlockTable:
#     def __init__(self, pool, block_size):
#         self.pool = pool
#         self.block_size = block_size
#         self.blocks = []
#         self.num_tokens = 0
#         self.room = 0
#
#     def append(self, n=1):
#         missing = blocks_needed(max(n - self.room, 0), self.block_size)
#         new_blocks = self.pool.allocate(missing)
#         if new_blocks is None:
#             return False
#         self.blocks.extend(new_blocks)
#         self.num_tokens += n
#         self.room += missing * self.block_size - n
#         return True
#
#     def slots(self, start, stop):
#         if stop > self.num_tokens:
#             raise BlockError("there is no such token")
#         return slot_mapping(self.blocks, start, stop, self.block_size)
#
#     def release(self):
#         self.pool.free(self.blocks[::-1])
#         self.blocks = []
#         self.num_tokens = 0
# ```
#
# Write operations that a right table survives and this one does not: `("BlockTable", 4, 2)` makes one over a pool of 4
# blocks of 2 tokens and comes first; `("append", 3)`, `("slots", 0, 3)` and `("release",)` call it. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_counted_room
# BEGIN SOLUTION
ops = [
    ("BlockTable", 1, 2),
    ("append", 1),
    ("release",),
    ("append", 1),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("BlockTable", 4, 2),
#     ("append", 3),
# ]
# END STUB

# %% [markdown] id="after-break-it" tags=["fold"]
# ### Once it has fallen

# %% [markdown] id="after-break-it-text"
# `room` can be computed from two other things that the table knows, and so it can also disagree with them. What is kept
# twice must be changed twice, everywhere. Here it was forgotten in the one place that no test reached: a sequence that
# ends and *begins again*. Servers do that when memory is short, and at no other time.
#
# It has happened. PegaFlow, a store for KV blocks beside vLLM, kept a count of each request's tokens. After a preemption
# vLLM rebuilt the request's block table, the count went on from where it had been, and the two no longer agreed
# (novitalabs/pegaflow, pull request 449, September 2026). Preemption itself is lesson 18.

# %% [markdown] id="about-live"
# ## A real model on your table
#
# The three questions of lesson 00 once more, with the pool of lesson 04 and the table of this one under the model, yours
# where they have passed. Every key and value that the model reads or writes lies in a slot that the table has named; a
# table that counts on would have the three answers go on in each other. (It is a small model, and gets facts wrong.
# Without it a tiny one stands in, whose words mean nothing.)

# %% id="live" tags=["nbval-ignore-output"]
from labkit.lesson import live_answer

live_answer("block_pool", "block_table")

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("05")

# %% id="finish"
finish("05")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read) keeps the tables of all running requests in one tensor, a row for each request, of type
#   int32, and the slot mapping of the step in another, of type int64; a small Triton kernel computes the mapping from the
#   positions on the GPU (`vllm/v1/worker/block_table.py`). Tokens that only pad a step have the slot `PAD_SLOT_ID`.
# - The block size is `--block-size`; 16 tokens unless told otherwise (`CacheConfig`). A kernel may want
#   another one than the allocator: then one block of memory stands for several entries in the table that the kernel reads
#   (`prepare_kernel_block_sizes` in `vllm/v1/worker/utils.py`).
# - **SGLang** calls a block a page, `--page-size`, and was built around pages of one token: its `req_to_token` has one entry
#   per token. When larger pages came, page sizes of 1, 4, 8 and 16 showed no difference in speed, because the bookkeeping
#   is hidden behind the work of the GPU; the reason to have them was attention kernels that demand pages (pull request
#   4356, March 2025).
# - **nano-vllm** has blocks of 256 tokens by default, **mini-sglang** pages of 1, **TensorRT-LLM** 32 tokens per block:
#   compare with the table above.
# - Larger blocks have a second price, which lesson 07 comes to: only whole blocks can be found again by another request,
#   so what two prompts have in common is cut to a multiple of the block size.
# - Neither vLLM nor SGLang has a metric for the empty ends of last blocks. `vllm:kv_cache_usage_perc` counts a block that
#   holds one token as a held block; the waste is inside the figure that says *used*.
# - **vAttention** (arXiv 2405.04437) does without a block table in the kernel: the cache is one piece of virtual memory, and
#   the GPU's own page tables do what `slot_of` does.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about long contexts wrote: *"A block table takes a block only when a token needs it, so a
# sequence never leaves as many slots empty as one block has, whether it has ten tokens or a hundred thousand."* Is it true,
# false, or too broad? Pick the judgement together with the evidence.

# %% id="verify"
predict("05", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Which block size would memory choose?
#
# A sequence of $t$ tokens holds $\lceil t/B \rceil$ blocks of $B$ tokens, each with an entry in the table. Let a slot cost $c$
# bytes and an entry $e$ bytes. On average, where lengths are spread evenly over a block, what it holds beyond its own
# tokens is
#
# $$\frac{B-1}{2}\,c + \Bigl(\frac{t}{B} + \frac{B-1}{2B}\Bigr)\,e ,$$
#
# the first term for the empty end and the second for the entries. The first grows with $B$ and the second falls; the sum
# is least near $B = \sqrt{2\,t\,e/c}$. The next cell puts in the numbers of this lesson.

# %% id="derivation-numbers"
length = requests.total_tokens.mean()
print(f"{(2 * length * 4 / per_token) ** 0.5:.2f} tokens per block")

# %% [markdown] id="after-derivation"
# Less than one: in bytes, no block is too small. What speaks for larger blocks is not memory but time, in the kernel, in the
# bookkeeping and in transfers.
