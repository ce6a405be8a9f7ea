# %% [markdown] id="symptom"
# # 06. Sharing and copy-on-write
#
# A writing assistant gets a new button: *show me four drafts*. The four continue the same prompt, and the server
# treats them as what they look like to it, four requests that happen to begin alike. On the day the button goes live
# people wait in line, though there are no more of them than the day before. KV memory is full, and in it every prompt
# stands four times, word for word.
#
# Two tables may list the same block. Then the prompt is stored once, for as many drafts as you like. Two questions
# stand in the way. Who gives back a block that two sequences hold? And what if it is not full, and both want to write
# the next word into it?

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("06")

# %% [markdown] id="play"
# ## Look before you read
#
# One prompt of ten tokens, then drafts that share it, on your parts where they have passed. Click into the picture and
# press the right arrow key, or drag the slider. A block in two colours is held by more than one sequence; the number at
# its corner says by how many.
#
# Watch the block that is not full when B, A and C write their first token: two of them move to a new block, and one
# does not. (It is block 2, unless your own pool hands out others first.) And watch what a sequence gives back when it
# ends.

# %% id="play-widget"
from labkit.specs.sharing.scenes import one_prompt_several_drafts
from labkit.widgets import PageTable

log = one_prompt_several_drafts()
PageTable(log, step=4, title="One prompt, several drafts",
          subtitle="A has ten tokens; B and C begin where it stands, D later where B stands.")

# %% [markdown] id="idea"
# ## Count the holders, copy when it must be
#
# Sharing needs one number per block: **how many tables hold it**. In the picture it stands in the corner. A table that
# forks raises it, a table that ends lowers it, and the block goes back to the pool when it reaches zero.
#
# That would be all, if blocks were only read. So look at which ones are written. A full block never changes again:
# its tokens have their keys and values, and no later token adds anything to them. Any number of tables may share it
# for as long as they like. Only the last block of a sequence has free slots, and only if it is not full. Two
# sequences that share it would both put their next token into the same slot.
#
# The way out is to wait and see. As long as nobody writes, nothing has to be done. The first that wants to write
# takes a block of its own, has the part-filled one copied into it, and lets go of the old one. If then only one
# holder is left, that one writes in place. This is **copy-on-write**. Operating systems do it when a process forks,
# and the PagedAttention paper took it from there (Kwon et al., SOSP 2023, section 4.4).

# %% [markdown] id="about-ref-counts"
# ### Exercise: `RefCounts` (12 minutes, difficulty 2, importance 5)
#
# A layer above your pool that counts. It has the pool's own methods, `allocate` and `free`, so a block table will
# work on it without knowing. It has one new verb, `share`: one more table holds these blocks.
#
# `free` is given, in two steps, and the steps are yours. `drop` lowers the counts and says which blocks nobody holds
# any more. `recycle` gives such blocks back to the pool. In between, a block is held by nobody and not free either.
# Here that lasts for a moment; in lesson 07 it lasts for minutes, and it is where the prefix cache lives. That is why
# `share` must also work on a block that was dropped and not recycled.
#
# You need not check your caller: whoever drops a block holds it, whoever recycles one has dropped it.

# %% id="ex-ref-counts"
# %%exercise RefCounts
class RefCounts:
    """A pool whose blocks can be held by several tables.

    Attributes:
        pool: where blocks come from and go back to, a BlockPool.
    """

    def __init__(self, pool) -> None:
        self.pool = pool
        # BEGIN SOLUTION
        self._counts = [0] * pool.num_blocks
        # END SOLUTION
        # BEGIN STUB
        # # keep here how many tables hold which block
        # END STUB

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        return self.pool.num_blocks

    @property
    def num_free(self) -> int:
        """Blocks in the pool."""
        return self.pool.num_free

    def count(self, block: int) -> int:
        """How many tables hold the block; 0 if none does, also if it was never handed out."""
        # BEGIN SOLUTION
        return self._counts[block]
        # END SOLUTION

    def allocate(self, n: int) -> list[int] | None:
        """What the pool answers; each block of the answer is now held once."""
        # BEGIN SOLUTION
        blocks = self.pool.allocate(n)
        for block in blocks or []:
            self._counts[block] = 1
        return blocks
        # END SOLUTION

    def share(self, blocks: list[int]) -> None:
        """One more table holds each of these blocks. None of them is in the pool."""
        # BEGIN SOLUTION
        for block in blocks:
            self._counts[block] += 1
        # END SOLUTION

    def drop(self, blocks: list[int]) -> list[int]:
        """One table fewer holds each of these blocks. The pool is not told.

        Returns:
            Those that nobody holds any more, in the order in which they were named.
        """
        # BEGIN SOLUTION
        for block in blocks:
            self._counts[block] -= 1
        return [block for block in blocks if self._counts[block] == 0]
        # END SOLUTION

    def recycle(self, blocks: list[int]) -> None:
        """Give blocks that nobody holds back to the pool, in this order."""
        # BEGIN SOLUTION
        self.pool.free(blocks)
        # END SOLUTION

    def free(self, blocks: list[int]) -> None:
        """Let go of blocks as one holder; what nobody else holds goes back."""
        self.recycle(self.drop(blocks))


# %% [markdown] id="about-fork"
# ### Exercise: `fork` (6 minutes, difficulty 2, importance 4)
#
# A second table that begins where the first one stands. A table is four things: `pool`, `block_size`, `blocks` and
# `num_tokens`. The pool of the table is a `RefCounts` from here on; call its methods and do not reach behind them, for
# it need not be yours. `BlockTable` is imported for the cell.

# %% id="ex-fork"
# %%exercise fork
def fork(table: BlockTable) -> BlockTable:
    """A second table over the same tokens, in the same blocks.

    Args:
        table: its pool counts references, as RefCounts does.

    Returns:
        A table with the same pool and block size, the same blocks in the same
        order, and as many tokens. No block is taken from the pool and the
        parent does not change. Afterwards either table can grow or be released
        without the other noticing.
    """
    # BEGIN SOLUTION
    child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child
    # END SOLUTION


# %% id="use-fork"
from labkit.mine import BlockPool, BlockTable, RefCounts, fork

refs = RefCounts(BlockPool(100))
prompt = BlockTable(refs, 16)
prompt.append(1000)
held = refs.num_blocks - refs.num_free
copies = [fork(prompt) for _ in range(3)]
print("One prompt of 1,000 tokens:", held, "blocks")
print("The same prompt for four drafts:", refs.num_blocks - refs.num_free, "blocks")
listed = sum(len(table.blocks) for table in [prompt, *copies])
print("Without sharing:", listed, "blocks, and the pool has", refs.num_blocks)

# %% [markdown] id="halfway"
# ## Half way
#
# Four drafts hold one prompt, and nothing was copied. As long as nobody writes, that is all there is to it. A good
# place to stop and come back: what you passed is kept.

# %% id="save"
save_point("06")

# %% [markdown] id="both-write"
# ## Where two would write
#
# The next cell lets them write, with the `append` of lesson 05, which knows nothing of sharing. Memory is a
# dictionary from slot to word. A sentence of six words is forked, and then both drafts add two words of their own.

# %% id="both-write-demo"
from labkit.mine import BlockPool, BlockTable, RefCounts, fork

memory = {}


def write(table, words):
    for word in words.split():
        table.append(1)
        memory[table.slot(table.num_tokens - 1)] = word


def read(table):
    return " ".join(memory[slot] for slot in table.slots(0, table.num_tokens))


one = BlockTable(RefCounts(BlockPool(8)), 4)
write(one, "the cat sat on the mat")
two = fork(one)
write(one, "and slept")
print("one:", read(one))
write(two, "then left")
print("two:", read(two))
print("one:", read(one))

# %% [markdown] id="after-both-write"
# The first draft was right until the second began to write. Nothing failed: no count is wrong, no block is lost, and
# the text is somebody else's. Drafts differ because the next word is drawn by chance among the probable ones, which is
# called **sampling**. So nobody knows what a draft should have said, and you may not even notice.

# %% [markdown] id="about-predict"
# ## One prediction first
#
# `append_cow`, which you write next, avoids this. It makes room like `append`, and copies where it must. Before you
# write it, say what must be copied.

# %% id="predict-p1"
predict("06", "p1")

# %% id="reveal-p1"
from labkit.mine import BlockPool, BlockTable, RefCounts, append_cow, fork

refs = RefCounts(BlockPool(8))
a = BlockTable(refs, 4)
a.append(6)
b = fork(a)
print("a:", append_cow(a, 1))
print("b:", append_cow(b, 1))
print(refs.num_free, "blocks are free")

# %% [markdown] id="after-p1"
# Hold what you predicted against the last line; under the question stands what was overlooked, if anything was. The
# lines above it say which copies were made. Two things decide that: which block a new token falls into, and who else
# holds this block at that moment.

# %% [markdown] id="about-append-cow"
# ### Exercise: `append_cow` (15 minutes, difficulty 4, importance 5)
#
# Room for `n` more tokens in a table whose blocks may be shared. The function moves no bytes, just as a table moves
# none: it answers with the copies that have to be made, as pairs of source and destination, and whoever owns the
# memory makes them before the tokens are written.
#
# First decide whether there is a copy. Then count how many blocks you need, *the copy included*, and ask the pool
# once. The promise of lesson 04 holds here too: all of it or nothing, and a refusal changes nothing. `blocks_needed`
# is imported for the cell.

# %% id="ex-append-cow"
# %%exercise append_cow
def append_cow(table: BlockTable, n: int = 1) -> list[tuple[int, int]] | None:
    """Make room for n more tokens, and copy the block they begin in if others hold it.

    A block is copied only if it must be: it is the last one, it is part filled, at
    least one token is added, and another table holds it too. The table then lists a
    new block in its place, and holds the old one no longer.

    Args:
        table: its pool counts references, as RefCounts does.
        n: tokens, 0 or more. They may need several blocks.

    Returns:
        The copies to be made before the tokens are written, as a list of
        (source block, destination block): empty, or one pair. None if the pool has
        too few blocks for all of it; then neither table nor pool has changed.
    """
    # BEGIN SOLUTION
    refs, total = table.pool, table.num_tokens + n
    part_filled = table.num_tokens % table.block_size > 0
    copy = n > 0 and part_filled and refs.count(table.blocks[-1]) > 1
    missing = blocks_needed(total, table.block_size) - len(table.blocks)
    fresh = refs.allocate(missing + copy)
    if fresh is None:
        return None
    copies = []
    if copy:
        shared, own = table.blocks[-1], fresh.pop()
        table.blocks[-1] = own
        refs.free([shared])
        copies.append((shared, own))
    table.blocks.extend(fresh)
    table.num_tokens = total
    return copies
    # END SOLUTION


# %% id="both-write-again"
from labkit.mine import BlockPool, BlockTable, RefCounts, append_cow, fork

memory = {}


def write(table, words):
    for word in words.split():
        for source, destination in append_cow(table, 1):
            for i in range(table.block_size):
                if source * table.block_size + i in memory:
                    moved = memory[source * table.block_size + i]
                    memory[destination * table.block_size + i] = moved
        memory[table.slot(table.num_tokens - 1)] = word


one = BlockTable(RefCounts(BlockPool(8)), 4)
write(one, "the cat sat on the mat")
two = fork(one)
write(one, "and slept")
write(two, "then left")
print("one:", read(one))
print("two:", read(two))

# %% [markdown] id="last-holder"
# Both drafts read what they wrote, and there was one copy, not two. When the first one wrote, the second still read the
# part-filled block, so it had to move. When the second wrote, it was the only holder left and could stay. **The last
# holder never copies**, and the full block was not touched at all.

# %% [markdown] id="beams"
# ## Beams
#
# Drafts share a prompt and then go their own ways. **Beam search** shares more. It keeps the k most probable
# continuations, lets each of them propose next tokens, and keeps the k best of all proposals. Two of these may
# continue the same beam, which forks; a beam that none of them continues ends. Beams come and go all the time, and
# what they have in common grows with them.
#
# Here are three beams over your parts, for ten tokens. Which beams go on is made up; what happens to the blocks is
# not. The picture opens near its end. Go back to the beginning and step through, and follow the blocks with a 3 at
# their corner: the past that all beams have in common grows.

# %% id="beams-widget"
from labkit.specs.sharing.scenes import three_beams

beam_log = three_beams()
PageTable(beam_log, step=37, title="Three beams",
          subtitle="A beam that ends gives its letter to the copy that takes its place.")

# %% [markdown] id="saving"
# ## What it saves
#
# The paper measured it: how many blocks fewer are held, in percent of what would be held without sharing (section 6.3
# and Fig. 15). *Parallel sampling* is its name for several drafts of one prompt. The next cell does the same on your
# parts, for 24 short requests and 24 long ones; the bands are what the paper found, from 2 drafts or beams to 6. No
# model runs: the lengths are made up, with about the means of the paper's two datasets (its Fig. 11), and so are the
# scores of the beams. So expect the shape of the figure and not its decimals.

# %% id="saving-run"
from labkit.mine import BlockPool, BlockTable, RefCounts, append_cow, fork
from labkit.specs.sharing.sampling_memory import (
    ALPACA,
    SHAREGPT,
    Parts,
    beam_search,
    draw_lengths,
    parallel_sampling,
    saving_picture,
)

parts = Parts(BlockPool, RefCounts, BlockTable, fork, append_cow)
savings = {}
for dataset in (ALPACA, SHAREGPT):
    lengths = draw_lengths(dataset, 24)
    savings[dataset.name] = {
        "parallel sampling": {n: parallel_sampling(lengths, n, parts) for n in (2, 4, 6)},
        "beam search": {n: beam_search(lengths, n, parts) for n in (2, 4, 6)},
    }
saving_picture(savings, [ALPACA, SHAREGPT])

# %% id="saving-numbers"
for name, kinds in savings.items():
    for kind, by_number in kinds.items():
        four = by_number[4]
        print(f"{name}, {kind}, 4 sequences: {four.percent:.0f} % saved, "
              f"{four.copied:,} blocks copied (whole copies: {four.copied_whole:,})")

# %% [markdown] id="after-saving"
# Read the figure from the left. Two drafts of a short prompt save little: most of what they hold is their own, and
# the prompt may not even fill one block. Long prompts save more, since more of the memory is prompt. Beams save most,
# because they have most of their answers in common as well. In two places ours save more than the paper's did: drafts
# of short prompts, and beams of long answers, where with made-up scores, it seems, a beam that falls behind is
# replaced sooner than with a model's.
#
# The numbers below the figure show the other half. Before paging, a beam that forked was copied as a whole, from its
# first token. With copy-on-write at most one block is copied, and often none.

# %% [markdown] id="about-break-it"
# ### Break it: the copy that was forgotten (5 minutes, difficulty 3, importance 3)
#
# A server guesses several tokens ahead and appends them in one call. Since then, and only in its busiest hour, a few
# drafts have a hole: the beginning is right, then come a few words that nobody wrote, then it goes on as if nothing had
# been. No error is logged, and every test that appends one token at a time passes.
#
# ```python
# def append_cow(table, n=1):
#     refs, copies = table.pool, []
#     part_filled = table.num_tokens % table.block_size > 0
#     if n and part_filled and refs.count(table.blocks[-1]) > 1:
#         own = refs.allocate(1)
#         if own is None:
#             return None
#         copies.append((table.blocks[-1], own[0]))
#         refs.free([table.blocks[-1]])
#         table.blocks[-1] = own[0]
#     total = table.num_tokens + n
#     more = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
#     if more is None:
#         return None
#     table.blocks.extend(more)
#     table.num_tokens = total
#     return copies
# ```
#
# Convict it. `("BlockPool", 4, 2)` makes a pool of 4 blocks of 2 tokens and comes first; `("prompt", "A", 3)` begins
# a sequence with 3 tokens, `("fork", "A", "B")` forks it, `("append", "B", 1)` calls the function, and `("release",
# "A")` ends a sequence. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_two_requests
# BEGIN SOLUTION
ops = [
    ("BlockPool", 2, 2),
    ("prompt", "A", 1),
    ("fork", "A", "B"),
    ("append", "B", 2),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("BlockPool", 4, 2),
#     ("prompt", "A", 3),
#     ("fork", "A", "B"),
#     ("append", "B", 1),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("06")

# %% id="finish"
finish("06")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read) writes no shared block where every layer attends to the whole text. Several answers to one
#   prompt (`n` above 1) share it through the prefix cache of lesson 07, which shares full blocks only there, so each
#   answer computes the tokens of the part-filled block again. Beam search was moved out of the core. What is left of
#   this lesson is the count: in `vllm/v1/core/block_pool.py`, `touch` adds a reference and `free_blocks` takes one away.
# - Copy-on-write was gone from there, and is back for hybrid models: their Mamba layers make blocks of a thousand tokens
#   and more, so a hit may end inside a block (`--prefix-match-unit`), and whoever goes on from there gets a copy of it
#   (`_apply_cow` in `vllm/v1/core/single_type_kv_cache_manager.py`). `is_block_writable` asks what you asked: is the
#   count 1? And: has nobody published it? Lesson 07 explains the second.
# - The rule *write only where you are the only holder* is obeyed by every cache of the following lessons.
# - **SGLang** shares through its radix tree (lesson 08); `inc_lock_ref` and `dec_lock_ref` count along a whole path
#   to the root.
# - **TensorRT-LLM** reuses part-filled blocks by copying them, which is copy-on-write for prefixes.
# - Two formulas for one question, as in the exercise above: vLLM issue 11168 (2024; `can_allocate` and `allocate`
#   disagreed, and the engine died with `NoFreeBlocksError`).
# - A copy that was missing: xLLM pull request 1984 (2026): on one kind of hardware beams that parted read stale
#   memory, because block copy-on-write was not switched on there. And vLLM issue 417 (2023): a fork in the wrong
#   place, wrong beams.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about copy-on-write wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("06", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## How much can be saved at most
#
# Let the prompt fill $P$ blocks, and let each of $n$ drafts hold $b$ blocks of its own at some moment. Without
# sharing $n(P + b)$ blocks are held, with it $P + nb$. The share that is saved is
#
# $$\frac{(n-1)\,P}{n\,(P+b)} = \Bigl(1 - \frac1n\Bigr)\frac{P}{P+b}.$$
#
# The first factor is why the curves flatten: from 2 to 4 drafts it grows from 1/2 to 3/4, from 4 to 6 only to 5/6.
# The second is the share of the prompt in a sequence. It falls while the drafts grow, and no number of drafts makes
# up for a prompt that is short beside its answers. Beams push the second factor up: there $P$ is everything that all
# beams have in common, and it grows as they do.
