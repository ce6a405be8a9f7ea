# %% [markdown] id="symptom"
# # 13. The one very long request
#
# Somebody drops a whole code base into the prompt. It is night, the GPU is theirs alone, and half of the KV cache is
# free. Still each token takes long, and the tools show a chip that mostly stands still. The operator moves the model
# to a card with twice the memory and the same bandwidth, which had helped with the crowd at noon. Nothing changes.
#
# The cell below serves both on more and more blocks, in simulation: the one request of 131,072 tokens, and a crowd of 400
# chats that all come at once.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("13")

# %% id="symptom-numbers"
from labkit.specs.one_long_request.scenes import served

print("blocks    a crowd: at once, tokens/s      one long request: at once, tokens/s")
for blocks in (8_200, 12_300, 16_400):
    crowd, alone = served(blocks, "crowd"), served(blocks, "long")
    print(f"{blocks:6,} {crowd.at_once:18} {crowd.tokens_per_s:10,.0f}",
          f"{alone.at_once:21} {alone.tokens_per_s:13.1f}")

# %% [markdown] id="after-symptom"
# **Paging packs more requests into the same memory, and that is all it does for speed.** Whoever is alone has nobody to be
# packed with: the request takes the same 8,192 blocks in each row and reads each of them for every token. This is one of the
# three limits of paging that this course shows. (The other two: it does not replace admission control, in lesson 17; and it
# does not remove pressure where all contexts together exceed memory, in lesson 18.)
#
# A step of the simulation has a fixed part, and reads all weights and the context at 0.6 of the data sheet's bandwidth.
# That is kind. It charges the bytes as if the whole chip read them. Look at who does.

# %% [markdown] id="play"
# ## Look before you read
#
# A GPU is a row of **multiprocessors**, each of which runs one program of a launch at a time here. In lesson 11 a decode
# step started a program for each sequence and head; with the heads of a group together (lesson 12) it is one for each
# sequence and **KV head**. Each column below is a multiprocessor, each box a program, as high as the pages that it reads.
#
# Drag *ranges* to 16, then one further. Then let there be 16 sequences, and drag it again. Watch the bold number: the pages
# that the busiest multiprocessor reads one after another.

# %% id="play-widget"
from labkit.widgets import SplitView

SplitView(seqs=1, kv_heads=8, tokens=131_072, splits=1, card="H100")

# %% [markdown] id="idea"
# ## Waves, and a count
#
# Programs that find no free multiprocessor wait for the first one that ends, and all programs here are about equally long.
# So they go in **waves** of as many as there are multiprocessors, the last wave counted whole. With $P$ programs of $n$
# pages each on $M$ multiprocessors, the busiest one reads
#
# $$\lceil P / M \rceil \cdot n$$
#
# pages in a row. That is the whole model of this lesson. It counts pages and knows no microseconds: a real multiprocessor
# runs several programs at once, and what is read at the same time shares one memory. What it does show is who stands idle,
# and for 8 programs on 132 multiprocessors that is nearly everybody.
#
# The way out is in your hands since lesson 10. The state of an online softmax forgets where a score stood, so pages may be
# folded in by anybody, in any order. So cut the one context into $S$ **ranges**, give each a program of its own, and merge
# what they found. That is **split-KV**, published as Flash-Decoding (Dao et al., 2023). It takes three things: who reads
# what, how what they found is merged, and how many ranges there should be.

# %% [markdown] id="about-split-ranges"
# ### Exercise: `split_ranges` (7 minutes, difficulty 2, importance 4)
#
# Who reads what. Ranges are cut between pages, so that no two programs look up the same page. A launch has the same number
# of ranges for all its sequences, and so a short one among them gets ranges with nothing in them.

# %% id="ex-split-ranges"
# %%exercise split_ranges
def split_ranges(length: int, page: int, splits: int) -> list[tuple[int, int]]:
    """The positions that each of `splits` programs reads of one context.

    Args:
        length: tokens of the context, 0 or more.
        page: tokens per page, 1 or more.
        splits: programs, 1 or more.

    Returns:
        `splits` pairs (start, stop): positions start to stop - 1, empty where both are
        equal. Every position stands in exactly one range. A range that is not empty
        begins where a page begins, and none has more pages than all pages shared by
        `splits`, rounded up.
    """
    # BEGIN SOLUTION
    pages = -(-length // page)
    each = -(-pages // splits) * page
    ranges = []
    for i in range(splits):
        start = min(i * each, length)
        stop = min(start + each, length)
        ranges.append((start, stop))
    return ranges
    # END SOLUTION


# %% id="use-split-ranges"
from labkit.mine import split_ranges

for length in (131_072, 1_000, 40):
    ranges = split_ranges(length, 16, 16)
    sizes = [stop - start for start, stop in ranges]
    print(f"{length:7,} tokens in 16 ranges: the longest {max(sizes):5,},"
          f" empty ones {sizes.count(0):2}")

# %% [markdown] id="derive"
# ## What a range hands on
#
# A program that has seen only some of the keys knows its own maximum $m$, its sum $\ell = \sum e^{s_i - m}$ and its output.
# What whoever merges must know beside the output is how much weight all its scores have together,
# $\sum e^{s_i} = \ell\, e^m$. That number can be astronomically large, so its logarithm is kept, the
# **log-sum-exp**:
#
# $$\text{lse} = \log \sum_i e^{s_i} = m + \log \ell .$$
#
# So a range hands on `(out, lse)`: the output as if there were no other keys, and the log of the weight that stands behind
# it. The output over all ranges $j$ is the mean of their outputs by these weights, and its lse is the log of their sum:
#
# $$w_j = e^{\text{lse}_j - \text{top}}, \qquad \text{out} = \frac{\sum_j w_j\, \text{out}_j}{\sum_j w_j}, \qquad
# \text{lse} = \text{top} + \log \sum_j w_j .$$
#
# *Top* is the largest of the lses, subtracted so that no exponential overflows. An **empty range** has the weight 0, so its
# lse is $-\infty$. Its program has no output to hand on, so what stands in its place may be anything.

# %% [markdown] id="about-predict"
# ## One prediction first
#
# Work this one out on paper. Two ranges of one context: the first has 4,080 tokens, all with the score 0, and its output is
# 0. The second has 16 tokens, all with the score 6.64, and its output is 1.

# %% id="predict-p1"
predict("13", "p1")

# %% id="reveal-p1"
import math

import torch

from labkit.mine import merge_partials

sums = torch.tensor([[4080.0], [16 * math.exp(6.64)]])
out, lse = merge_partials(torch.tensor([[[0.0]], [[1.0]]]), sums.log())
print(f"sums {sums[0, 0]:,.0f} and {sums[1, 0]:,.0f}; merged output {out[0, 0]:.2f}")

# %% [markdown] id="after-p1"
# Neither the number of tokens nor the largest score decides alone, and the mean of the two outputs is no answer either. What
# counts is how much weight stands behind an output, and that is exactly what the lse keeps.

# %% [markdown] id="about-merge-partials"
# ### Exercise: `merge_partials` (10 minutes, difficulty 3, importance 5)
#
# Two traps lie where there is nothing. A row may have no range at all with a key in it: then *top* is $-\infty$, and
# $-\infty - (-\infty)$ is not a number. And in the check NaN stands in the output of every empty range; a NaN with the
# weight 0 is NaN still.

# %% id="ex-merge-partials"
# %%exercise merge_partials
def merge_partials(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over several ranges, from attention over each of them.

    Args:
        outs: the output of each range, [splits, rows, dv]. That of an empty range may be
            anything, NaN too.
        lses: log of the sum of exp(score) in each range, [splits, rows], dtype of outs;
            -inf where the range is empty.

    Returns:
        (out, lse), [rows, dv] and [rows]: what one range over all of it gives. Where all
        ranges of a row are empty, its out is 0 and its lse -inf. New tensors, dtype of
        outs.
    """
    # BEGIN SOLUTION
    top = lses.amax(dim=0)
    base = top.masked_fill(top.isneginf(), 0.0)
    weights = torch.exp(lses - base)
    total = weights.sum(dim=0)
    known = outs.masked_fill(lses.isneginf()[..., None], 0.0)
    out = (weights[..., None] * known).sum(dim=0) / total.clamp(min=1.0)[:, None]
    lse = base + torch.log(total)
    return out, lse
    # END SOLUTION


# %% id="any-split"
from labkit.attention.split import range_state
from labkit.mine import merge_partials
from labkit.specs.one_long_request.scenes import one_head

scores, values = one_head()
whole = scores.softmax(dim=1) @ values
for splits in (1, 3, 16, 100):
    parts = [range_state(scores, values, *each) for each in split_ranges(1_000, 16, splits)]
    outs, lses = (torch.stack(each) for each in zip(*parts))
    at_once, _ = merge_partials(outs, lses)
    state = outs[0], lses[0]
    for part in zip(outs[1:], lses[1:]):
        state = merge_partials(*(torch.stack(both) for both in zip(state, part)))
    apart = [(out - whole).abs().max() < 1e-5 for out in (at_once, state[0])]
    print(f"{splits:3} ranges, {int(lses.isneginf()[:, 0].sum()):2} of them empty;"
          f" as in one range: {bool(apart[0])}, merged one by one: {bool(apart[1])}")

# %% [markdown] id="after-any-split"
# However the context is cut, and in whatever grouping the pieces are merged, the output is that of one range but for
# roundings of float32, less than 0.00001 here; the check holds yours to a bound of that kind. If a single empty range
# had counted, the answer would have been NaN.
#
# Merging costs bytes. In a kernel every range leaves head_dim + 2 numbers of four bytes for each query head (the kernel of
# this course keeps $m$, $\ell$ and the undivided sum; the fold at the end says why), and the merge reads them again. For $B$
# sequences with $H_q$ query heads of $D$ numbers, cut into $S > 1$ ranges, that is
#
# $$8 \cdot B \cdot H_q \cdot S \cdot (D + 2) \text{ bytes;}$$
#
# in one range there is nothing to merge.

# %% [markdown] id="halfway"
# ## Half way
#
# You can cut a context and put its answer together again. What is left is how far to cut. A good place to stop and come
# back: what you passed is kept.

# %% id="save"
save_point("13")

# %% [markdown] id="how-far"
# ## How far to cut
#
# The request of the beginning again: 131,072 tokens in pages of 16, 8 KV heads, 132 multiprocessors.

# %% id="waves"
from labkit.attention.split import pages_in_a_row

print("ranges   programs   waves   pages in a row")
least = min(range(1, 2_049), key=lambda splits: pages_in_a_row(8, 8_192, 132, splits))
for splits in (1, 8, 15, 16, 17, 33, least):
    waves, n = -(-8 * splits // 132), pages_in_a_row(8, 8_192, 132, splits)
    print(f"{splits:6} {8 * splits:10} {waves:7} {n:16,}")

# %% [markdown] id="after-waves"
# In 17 ranges four programs are too many for one wave: they begin when all the others have ended, and everybody waits for
# them. More ranges are not always better. The last row has the least count that there is, and 16 ranges come close to it
# with far fewer states, which the merge has to read.

# %% [markdown] id="about-choose-splits"
# ### Exercise: `choose_splits` (8 minutes, difficulty 3, importance 4)
#
# How many ranges, by a rule that counts. On average a range is to have at least **four pages**, so there are pages // 4 of
# them at most: a shorter one has been read before the second launch, that of the merge, has begun. Of those numbers of
# ranges take the smallest whose count of pages in a row is **at most a tenth above** the least count.

# %% id="ex-choose-splits"
# %%exercise choose_splits
def choose_splits(programs: int, pages: int, multiprocessors: int) -> int:
    """How many ranges each context of a launch is cut into.

    Args:
        programs: of the launch without a split: sequences times KV heads, 1 or more.
        pages: of each context, 1 or more.
        multiprocessors: of the GPU, 1 or more.

    Returns:
        With S ranges the busiest multiprocessor reads, one after another, as many pages
        as there are waves of programs * S programs, times the pages in the longest range.
        Of S = 1 to pages // 4 (1 at least) the smallest for which that is at most a tenth
        above the least of all.
    """
    # BEGIN SOLUTION
    count = {}
    for s in range(1, max(1, pages // 4) + 1):
        waves = -(-programs * s // multiprocessors)
        longest = -(-pages // s)
        count[s] = waves * longest
    least = min(count.values())
    return min(s for s in count if 10 * count[s] <= 11 * least)
    # END SOLUTION


# %% id="use-choose-splits"
from labkit.attention.split import state_bytes
from labkit.mine import choose_splits
from labkit.simulate.cost_model import CARDS

chip = CARDS["H100"].multiprocessors
print("people   tokens   ranges   idle in wave 1   pages in a row   merge adds to the bytes")
crowds = (1, 131_072), (1, 4_096), (1, 100), (4, 32_768), (16, 8_192), (64, 2_048)
for people, tokens in crowds:
    programs, pages = 8 * people, -(-tokens // 16)
    s = choose_splits(programs, pages, chip)
    idle = max(0, chip - programs * s) / chip
    kv = people * tokens * 2 * 8 * 128 * 2
    share = state_bytes(people, 32, 128, s) / kv
    before, after = (pages_in_a_row(programs, pages, chip, n) for n in (1, s))
    print(f"{people:6} {tokens:8,} {s:8} {idle:15.0%} {before:8,} -> {after:5,} {share:20.1%}")

# %% [markdown] id="after-choose-splits"
# The rule finds by itself **when not to split**. A chip that is full stays as it is: more programs would read the same pages
# in more waves, and leave states behind for nothing. A context of 100 tokens is over before a second launch begins. A
# single request of 4,096 tokens gains as much as the long one, but there the states are already some per cent of what is
# read; for the long one they are next to nothing.
#
# What it cannot find is memory bandwidth. Once enough multiprocessors read to keep the memory busy, more of them do not make
# it faster. No GPU was at hand to measure where that is; FlashInfer's post of February 2024 tells of close to all
# bandwidth for a single request, if it is long. And the bytes stay what they were: 131,072 tokens of 128 KiB (lesson 02),
# 16 GiB, for every token that comes out.

# %% [markdown] id="about-break-it"
# ### Break it: two logarithms (5 minutes, difficulty 3, importance 4)
#
# A chat gets worse the longer it goes on, and repeats itself, but only where its beginning was found in the prefix cache. A
# test of the kernel passes, and one of the merge passes. Found part and new part are two ranges there, and this is what
# became of them (vLLM pull request 52796; SGLang issue 40903 tells of the same):
#
# ```python
# def part_of(scores, values):  # the kernel: a GPU computes powers of 2
#     s = scores * math.log2(math.e)
#     m = s.amax(dim=1, keepdim=True)
#     p = torch.exp2(s - m)
#     l = p.sum(dim=1, keepdim=True)
#     return p @ values / l, (m + torch.log2(l))[:, 0]
#
# def split_attention(scores, values, ranges):
#     parts = [part_of(scores[:, a:b], values[a:b]) for a, b in ranges]
#     outs, lses = (torch.stack(each) for each in zip(*parts))
#     return merge_partials(outs, lses)[0]
# ```
#
# `merge_partials` is yours. Convict `split_attention`. `("Request", 32)` makes a context of 32 tokens (64 at most) in pages of 4,
# whose keys all have the score 0 and whose values are their positions, and comes first; `("prefer", 5)` adds 1 to the score of position 5; `("decode", 4)` cuts it
# into 4 ranges with `split_ranges` and compares the output with that of one range. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_two_logarithms
# BEGIN SOLUTION
ops = [
    ("Request", 5),
    ("decode", 2),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Request", 32),
#     ("decode", 4),
# ]
# END STUB

# %% [markdown] id="after-break-it"
# SGLang's issue measures how wrong it is, with 3,072 tokens found and 64 new ones: the new ones, which are the question,
# got 0.37% of the attention where 2.03% was theirs. The fold *In production* says where such places were mended.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("13")

# %% id="finish"
finish("13")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: `split_decode`, in Triton (15 minutes, difficulty 4)
#
# The first of the two kernels, on step 3 of the ladder: `load_group` gives the queries of a group, `[ROWS, HEAD_PAD]`, and
# `attend_range` the state of these rows over the positions start to stop - 1; both are imported for the cell. A tile takes the
# place of a page here: a range is whole **tiles**. What is left to you: which range is this program's, and where in
# `[seqs, q_heads, SPLITS]` the states of its rows belong. The merge is that of `kernels/step4_split.py`.
#
# On Linux, or in WSL, this cell is checked in Triton's interpreter, with or without a GPU. Triton has no build for
# other systems, and the check says so there.

# %% id="ex-split-decode"
# %%exercise split_decode
@triton.jit
def split_decode(
    partial_acc, partial_ml, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    SPLITS: tl.constexpr, Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """The states of one group of query heads over one range of one sequence.

    Args:
        partial_acc: to write, float32 [seqs, Q_HEADS, SPLITS, HEAD_DIM].
        partial_ml: to write, float32 [seqs, Q_HEADS, SPLITS, 2]: m, then l.
        q: [seqs, Q_HEADS, HEAD_DIM]; k_cache, v_cache: [blocks, PAGE, KV_HEADS, HEAD_DIM].
        block_tables: int32 [seqs, max_blocks]; lengths: int32 [seqs], 0 or more.
        scale: on the scores.
        HEAD_PAD, ROWS: HEAD_DIM and the query heads of a group, rounded up to what fits.

    The grid is (seqs, KV_HEADS, SPLITS). An empty range leaves m = -inf, l = 0, acc = 0.
    """
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    # BEGIN SOLUTION
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    length = tl.load(lengths + seq)
    per_split = tl.cdiv(tl.cdiv(length, TILE), SPLITS) * TILE
    start = tl.minimum(split * per_split, length)
    stop = tl.minimum(start + per_split, length)
    place = (seq * Q_HEADS + kv_head * GROUP + r).to(tl.int64) * SPLITS + split
    mine = r < GROUP
    # END SOLUTION
    # BEGIN STUB
    # seq = ...
    # kv_head = ...
    # split = ...
    # start = ...  # of this program: whole tiles, as many as its share
    # stop = ...
    # place = ...  # of each row's state in [seqs, Q_HEADS, SPLITS], as one number: [ROWS]
    # mine = ...  # which rows are heads of the group: [ROWS]
    # raise NotImplementedError("split_decode: your code goes here")
    # END STUB
    query = load_group(q, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)
    m, l, acc = attend_range(
        query, k_cache, v_cache, block_tables + seq * max_blocks, kv_head, start, stop, scale,
        KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    tl.store(partial_ml + place * 2, m, mask=mine)
    tl.store(partial_ml + place * 2 + 1, l, mask=mine)
    there = mine[:, None] & (d < HEAD_DIM)[None, :]
    tl.store(partial_acc + place[:, None] * HEAD_DIM + d[None, :], acc, mask=there)


# %% id="use-split-decode"
try:
    import kvkernels
    from kvkernels._triton import INTERPRETED
except ImportError as error:  # no build of Triton for this platform
    print(error)
else:
    from labkit import mine
    from labkit.specs.one_long_request.scenes import long_and_short

    case = long_and_short("cpu" if INTERPRETED else "cuda")
    one = kvkernels.grouped_decode(*case)
    for splits in (2, 4, 7):
        out = kvkernels.split_decode(*case, splits=splits, kernel=mine.split_decode)
        same = torch.allclose(out, one, rtol=1e-4, atol=1e-4)
        print(f"{splits} ranges, {2 * 2 * splits:2} programs for 4: same output {same}")

# %% [markdown] id="drill" tags=["fold"]
# ## Drill: fits and starts (optional, 15 minutes)
#
# Somebody else's server, whose answers come in fits and starts, and two minutes of its board. Pin what on it convicts and
# what rules another cause out, look at one thing more, name the cause, and change something: the score says what became of
# the same requests. Queue, budget and preemptions are explained in lessons 16 to 18.

# %% id="drill-board"
from labkit.widgets import DrillBoard

DrillBoard("a-long-letter")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **vLLM**, `kernel_unified_attention` in `vllm/v1/attention/ops/triton_unified_attention.py`: the third axis of its grid is
#   your split. There are 16 segments, used for decodes of fewer sequences than 128 divided by the number of KV heads; a
#   second kernel merges, with a program per token and query head.
# - **SGLang**'s Triton decode has a number of splits for each sequence, and keeps partial outputs divided, with their lse,
#   as your merge takes them.
# - **FlashAttention-3** cuts nothing where the programs fill 0.8 of the multiprocessors or a context has at most 4 tiles;
#   else it takes the fewest splits whose waves are within 85% of the best use of the chip. The kernels of this course have
#   that rule (kernels/step4_split.py); the cell below puts it beside yours. They nearly agree but for the last row: 112
#   programs leave 20 multiprocessors idle, and FlashAttention-3 lets them be.
# - **The merge is used more often than split.** A prefix that many requests share is attended once and merged with each
#   one's own rest (kernels/step7_cascade.py); a context that several GPUs hold is attended by each and merged over the
#   network. Everywhere both sides must mean the same logarithm: FlashInfer's kernels hand out base 2, most merges take base
#   e. vLLM pull requests 47079 and 52796 mend one place each. A test whose ranges are equally long and whose keys are alike
#   cannot see it.
# - **Nothing and nothing is nothing:** flashinfer issue 4051 has NaN from merging two empty states, vLLM pull request 39148
#   the same in a Triton merge.
# - The bytes stay. Pages in 8 bits halve them (lesson 15), and several GPUs share the KV heads.

# %% id="two-rules"
try:
    from kvkernels.inputs import Shape
    from kvkernels.step4_split import num_splits
except ImportError as error:
    print(error)
else:
    print("people   tokens   your rule   FlashAttention-3's, tiles of 64")
    for people, tokens in ((1, 131_072), (1, 4_096), (4, 32_768), (12, 8_192), (14, 8_192)):
        shape = Shape(people, 32, 8, 128, 1, 16, 1)
        yours = choose_splits(8 * people, -(-tokens // 16), chip)
        print(f"{people:6} {tokens:8,} {yours:11} {num_splits(shape, tokens, 64, chip):10}")

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about long contexts wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("13", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Two forms of the same state
#
# A kernel that has folded in its last tile holds $(m, \ell, acc)$. It can hand on these, head_dim + 2 numbers, or divide and
# hand on $(acc / \ell,\; m + \log \ell)$, head_dim + 1 of them. With the second form inserted in the merge,
#
# $$\text{out} = \frac{\sum_j e^{m_j + \log \ell_j - top}\; acc_j / \ell_j}{\sum_j e^{m_j + \log \ell_j - top}}
# = \frac{\sum_j e^{m_j - top}\; acc_j}{\sum_j e^{m_j - top}\; \ell_j},$$
#
# which is the merge of lesson 10's last fold, so both say the same. The undivided form saves a division and a logarithm in
# each program, and that is why `kernels/step4_split.py` has it; with $\ell = 0$ there is also nothing to divide by in an
# empty range. The divided form can be handed to anybody, since an output means something by itself.
#
# **Associative within a bound.** Over real numbers the merge of merges is the merge, since the weights add up:
# $e^{\text{lse}_{12}} = e^{\text{lse}_1} + e^{\text{lse}_2}$. In floating point each merge rounds: its weights are at most
# 1, their sum is at least 1, and out is a mean, so no error that was made before is enlarged. A few roundings of the
# largest output for each merge is the bound, and the check allows 16.
