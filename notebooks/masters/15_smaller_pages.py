# %% [markdown] id="symptom"
# # 15. Smaller pages
#
# A server evicts all day, and what it evicts is wanted again. More memory is not to be had. Somebody finds a flag,
# `--kv-cache-dtype fp8`, and says that it makes room for twice as many tokens. Somebody else asks what the answers lose by
# it. Nobody knows, and the flag stays off.
#
# The cell below computes the first half, as lesson 02 did: a model on a card, its keys and values in two bytes each and in
# one. The last column is what a decode step spends on reading them, by the data sheet's bandwidth.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("15")

# %% id="symptom-numbers"
from labkit.cache.geometry import GiB, kv_bytes_per_token, model as shape_of, start_up
from labkit.simulate.cost_model import CARDS

shape, card, tokens = shape_of("Llama-3.1-8B"), CARDS["L4"], 4096
print(f"{shape.name} on one {card.name}, requests of {tokens:,} tokens")
print("           KiB a token  blocks  requests  ms to read them all")
for name, size in (("16 bits", 2), ("8 bits", 1)):
    plan = start_up(
        shape, card.memory_bytes, activation_peak_bytes=2 * GiB, bytes_per_value=size
    )
    token = kv_bytes_per_token(shape, size)
    requests = plan.max_concurrency(tokens)
    ms = 1000 * int(requests) * tokens * token / card.bytes_per_s
    print(f"{name:10} {token / 1024:11.0f} {plan.num_blocks:7,}"
          f" {requests:9.1f} {ms:20.1f}")

# %% [markdown] id="play"
# ## Look before you read
#
# Twice the requests in the same memory, and read in the same time. What it costs shows in the picture: eight numbers of
# one head, and below them ticks, the values that a page can hold. Drag the large dot to the right, or select it and use
# the arrow keys. Watch the step of the grid, and how far the *other* seven are read beside what they were. Then choose
# e4m3, and then one scale for all heads.

# %% id="play-widget"
from labkit.mine import quantize_heads
from labkit.widgets import QuantPlay

QuantPlay(quantize=quantize_heads)

# %% [markdown] id="idea"
# ## A scale
#
# Eight bits can tell 256 numbers apart, and keys are any numbers. So a **scale** $s$ is kept beside them. What is written is
# a number of the page, and what is read is that number times the scale:
#
# $$\text{page} = \text{round}(x / s), \qquad x \approx \text{page} \cdot s.$$
#
# The best scale is the smallest under which every number still fits: the largest magnitude there is, divided by the largest
# number that the page can hold. Then no number is cut, and the grid is as fine as it can be. This is the whole of
# **quantisation** as a KV cache uses it. Two kinds of page are in use, and the cell below has torch say what they can hold.
#
# - **int8**: whole numbers. All steps are equally wide.
# - **fp8, e4m3**: a sign, 4 bits of exponent, 3 bits of fraction. Steps are narrow near zero and widen with the number.

# %% id="ranges"
import torch

print(f"{'':14} {'bytes':>5} {'largest':>9} {'step at 1':>10} {'step at 100':>12}")
for dtype in (torch.bfloat16, torch.int8, torch.float8_e4m3fn):
    holds = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    steps = [2.0 ** (x.bit_length() - 1) * holds.eps if dtype.is_floating_point else 1
             for x in (1, 100)]
    name = str(dtype).removeprefix("torch.")
    print(f"{name:14} {holds.bits // 8:5} {holds.max:9.4g} {steps[0]:10.4g} {steps[1]:12.4g}")

# %% [markdown] id="after-ranges"
# A number that is rounded to the nearest is off by **half a step** at most. With int8 that is $s / 2$ for every number of
# the head, small or large: if the scale is 1/127, then 0.5 / s = 63.5 is kept as 64, which is read as 64 / 127 = 0.5039,
# off by half a step. With e4m3 it is a share of the number itself: the step between 1 and 2 is an eighth, so half of it is
# a 16th. (Only the smallest numbers of a page, those below $2^{-6}$, have even steps there too.) bfloat16 has the same
# kind of steps, 16 times as fine. **4 bits**, which the pictures show for comparison, are whole numbers from -7 to 7, two
# of them in a byte.
#
# Who shares a scale? Heads differ: one may go up to 2 and its neighbour to 30. With **one scale per KV head** each has the
# step that it needs. The price is four bytes for each head and layer, once for K and once for V. Scales are measured once
# and kept, so a token is quantised when it is written and never touched again. That is what lets its page be shared,
# hashed and found. The other side of it is that a number that comes later may be larger than the scale was measured for.
# It is then **cut** to the largest there is. If nobody does that, 200 becomes -56 in int8. What 500 becomes in e4m3
# depends on who casts: the torch that this course is tested with makes it 448, the largest, and the format itself has NaN
# for what does not fit. So cut it yourself.

# %% [markdown] id="about-quantize-heads"
# ### Exercise: `quantize_heads` (10 minutes, difficulty 3, importance 5)
#
# Keys or values of one chunk, to 8 bits. The check reads back what you have kept, and holds every number to half a step.

# %% id="ex-quantize-heads"
# %%exercise quantize_heads
def quantize_heads(
    x: Tensor, dtype: torch.dtype, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Keys or values in 8 bits, with a scale for each KV head.

    Args:
        x: [tokens, kv_heads, head_dim], finite; float32, float16 or bfloat16.
        dtype: torch.int8, of which -127 to 127 are used, or torch.float8_e4m3fn, which
            goes from -448 to 448.
        scale: float32 [kv_heads], positive, measured before; None: measure it on x.

    Returns:
        (pages, scale). pages has the shape of x and `dtype`; scale is float32 [kv_heads].
        A number of a page times the scale of its head is within half a step of x. A
        scale that is measured here is the smallest under which every number of its head
        fits; for a head of zeros it may be any positive number. What a given scale does
        not reach is cut to the largest number there is, with its sign.
    """
    # BEGIN SOLUTION
    largest = 127.0 if dtype == torch.int8 else 448.0
    x = x.float()
    if scale is None:
        top = x.abs().amax(dim=(0, 2))
        scale = torch.where(top > 0, top / largest, 1.0)
    numbers = (x / scale[:, None]).clamp(-largest, largest)
    if dtype == torch.int8:
        numbers = numbers.round()
    return numbers.to(dtype), scale
    # END SOLUTION
    # BEGIN STUB
    # largest = 127.0 if dtype == torch.int8 else 448.0
    # ...
    # raise NotImplementedError("quantize_heads: your code goes here")
    # END STUB


# %% [markdown] id="about-predict"
# ## One prediction first
#
# A head of 64 numbers, all below 2. Then one of them, and only one, grows to 16. The next cell measures the worst error of
# the *other* 63, before and after, with int8 and with e4m3.

# %% id="predict-p1"
predict("15", "p1")

# %% id="reveal-p1"
from labkit.mine import quantize_heads

draw = torch.Generator().manual_seed(1)
head = torch.rand(1, 1, 64, generator=draw) * 4 - 2
head[..., 0] = 2
grown = head.clone()
grown[..., 0] = 16

print(f"{'':16} {'largest 2':>10} {'largest 16':>11}")
for dtype in (torch.int8, torch.float8_e4m3fn):
    off = []
    for x in (head, grown):
        pages, scale = quantize_heads(x, dtype)
        off.append((pages.float() * scale - x)[..., 1:].abs().max())
    print(f"{str(dtype)[6:]:16} {off[0]:10.4f} {off[1]:11.4f}   {off[1] / off[0]:4.1f} times")

# %% [markdown] id="after-p1"
# An **outlier** is a number far larger than its neighbours. Hold your answer against the last column; then go back to the
# picture, drag the outlier under both kinds of page, and look at which steps change. Compare the first column too.

# %% [markdown] id="about-heads"
# ## Two heads of a model
#
# Here are keys of the model, over a paragraph of text: the head in which the largest number stands out least from the
# median one, and the head in which it stands out most. (The first token is left out: many models put their largest keys
# there. Without the model a tiny one stands in, whose heads are random numbers.) Lower is better, and further left is
# smaller; the three of one byte are drawn beside each other. The error is the root mean square of how far the numbers are
# off, as a share of the root mean square of the keys themselves.

# %% id="real-heads" tags=["nbval-ignore-output"]
from labkit.serving import load
from labkit.specs.smaller_pages.scenes import error_against_bytes

lm = load()
error_against_bytes(lm, quantize_heads)

# %% [markdown] id="after-heads"
# With int8 all numbers of a head have the step of its outlier, and pay for it. With e4m3 each has a step of its own size,
# so an outlier costs the others next to nothing; where there is none, int8 has the finer grid. Which of the two is better
# is a question about the heads of your model: in SmolLM2 int8 is ahead even in the head with the largest outlier, and its
# lead is smaller there. (Both marks of int8 coincide where the head has the largest number of its layer, since the scale
# for all heads is then its own.)

# %% [markdown] id="halfway"
# ## Half way
#
# You have pages in 8 bits and know what they cost in error. Next a kernel reads them, the model answers from them, and then
# comes the question of the symptom. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("15")

# %% [markdown] id="about-quantized-scores"
# ### Exercise: `quantized_scores` (10 minutes, difficulty 4, importance 4)
#
# A page of 16 tokens and 128 numbers has 2,048 numbers per head. To bring each of them back, to *dequantise* it, would be
# 2,048 products, and a copy of the cache in 16 bits would need the memory that was just saved. Neither is needed, since
# all of them have the same scale:
#
# $$\sum_d q_d\,(k^8_d\, s) \;=\; s \sum_d q_d\, k^8_d.$$
#
# One factor per score, and it can be multiplied into the softmax scale beforehand. The values' scale leaves their loop in
# the same way: it is a factor on the output. (Who multiplies every number gets the same scores, so the check cannot tell
# the two apart; the count of products can.)
#
# Write the scores of one query over the keys of a sequence. A program takes one page and one query head, as in lesson 11;
# new are the bytes and the scale. The cache is int8 or e4m3 and your kernel need not know which.

# %% id="ex-quantized-scores"
# %%exercise quantized_scores
@triton.jit
def quantized_scores(
    out, q, k_cache, k_scale, block_table, length, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr,
):
    """Scores of one query over the 8-bit keys of a sequence.

    The grid is (pages of the sequence, Q_HEADS).

    Args:
        out: pointer to float32 [Q_HEADS, length]: q . k * scale for each head and token.
        q: pointer to float32 [Q_HEADS, HEAD_DIM].
        k_cache: pointer to int8 or e4m3 [num_blocks, PAGE, KV_HEADS, HEAD_DIM]; a number
            stands for itself times the scale of its KV head. Query head h reads KV head
            h // (Q_HEADS // KV_HEADS).
        k_scale: pointer to float32 [KV_HEADS].
        block_table: pointer to int32, the block of each page. The cache may have more
            than 2**31 numbers.
        length: tokens of the sequence, 1 or more. The last page may be part filled.
        scale: of the softmax, a float.
        HEAD_DIM, PAGE: powers of two.
    """
    page = tl.program_id(0)
    head = tl.program_id(1)
    d = tl.arange(0, HEAD_DIM)
    position = page * PAGE + tl.arange(0, PAGE)
    there = position < length
    query = tl.load(q + head * HEAD_DIM + d)
    # BEGIN SOLUTION
    kv_head = head // (Q_HEADS // KV_HEADS)
    block = tl.load(block_table + page).to(tl.int64)
    row = (block * PAGE + tl.arange(0, PAGE)) * KV_HEADS + kv_head
    k = tl.load(k_cache + row[:, None] * HEAD_DIM + d[None, :], mask=there[:, None], other=0.0)
    s = tl.sum(query[None, :] * k.to(tl.float32), axis=1)
    s = s * (scale * tl.load(k_scale + kv_head))
    tl.store(out + head * length + position, s, mask=there)
    # END SOLUTION


# %% id="use-quantized-scores"
from labkit.specs.smaller_pages.scenes import through_the_kernel

for kind in ("int8", "float8_e4m3fn"):
    found = through_the_kernel(quantize_heads, kind)
    if found:
        print(f"{kind:14} worst error of a score: {found.off.abs().max():.4f};  asked for:",
              ", ".join(f"{name} {count:,} bytes" for name, count in found.bytes_read.items()))

# %% [markdown] id="after-quantized-scores"
# Without a GPU this ran in Triton's interpreter, where a ledger counts the bytes that each program asks for (on a GPU the
# list is empty). 20 tokens of 64 numbers for 4 query heads are 5,120 bytes, one each: in bfloat16 it would be twice that. The
# scales are 4 bytes a program. How much faster a decode step becomes, no machine at hand could measure for this course; the
# most that can be won is half of the time that the step spends on reading keys and values.
#
# The other half of a step in 8 bits is the **fused write**: `kvkernels.write_kv` quantises new keys and values on their way
# into their slots. They are in registers there anyhow, so the numbers of 16 bits never go to memory to be read again.

# %% [markdown] id="about-answers"
# ## What the answers lose
#
# An error in a key is not yet an error in an answer. Here the model answers one question greedily, from exact pages and
# from four kinds of smaller ones; scales are measured on the prompt and kept. What is printed is how many tokens are the
# same before the first that differs, and how the answer ends. It is one question and one small model: a measurement, and
# no proof for any other.

# %% id="answers" tags=["nbval-ignore-output"]
from labkit.specs.smaller_pages.scenes import answers

print(f"{'':29} tokens the same   the end of the answer")
for kind, same, text in answers(lm, "What is a page table?", quantize_heads, tokens=24):
    print(f"{kind:29} {same:8} of 24   {' '.join(text.split())[-36:]}", flush=True)

# %% [markdown] id="after-answers"
# Greedy text is a hard judge: where two tokens are nearly as likely, a small error swaps them, and from there on the texts
# differ, though the second may be as good. An engine is judged on a benchmark of its task, with and without. A figure of
# others: on Qwen2 7B, whose numbers outgrow e4m3, an 8-bit cache had a perplexity of 34.84 (lower is better) without
# scales, and of 22.62 with scales measured on the first input (vLLM pull request 11906, January 2025). How much of the
# 22.62 is the model's own, only a figure for 16 bits would say; we have none.

# %% [markdown] id="about-quantize-or-evict"
# ## When it beats evicting
#
# Now the symptom. In one round of requests, `wanted` blocks are asked for, and `fit` have room in 16 bits. What is wanted
# and does not fit is evicted; of what is evicted, the share `again` is wanted again and must be computed again. So evicting
# costs, each round,
#
# $$(wanted - fit) \cdot again \cdot compute.$$
#
# (Regret, as lesson 09 defined it, counts the same blocks as a share of all that were asked for.)
#
# In 8 bits twice as many fit. What stands in memory has to be converted once, and only what is wanted *beyond* twice as many
# is evicted:
#
# $$fit \cdot convert + \max(0,\; wanted - 2\,fit) \cdot again \cdot compute.$$
#
# This counts the first round, in which the conversion is paid; later rounds only win more.
#
# Time is one side. The other is the error, which no time pays for: either it is no more than the answers can bear, or the
# matter is closed. And where nothing is gained, exact pages stay.
#
# ### Exercise: `quantize_or_evict` (8 minutes, difficulty 3, importance 4)

# %% id="ex-quantize-or-evict"
# %%exercise quantize_or_evict
def quantize_or_evict(
    wanted: int, fit: int, again: float, compute_s: float, convert_s: float,
    error: float, allowed: float,
) -> str:
    """What to do with the blocks of a prefix cache that is kept in 16 bits.

    Args:
        wanted: blocks that one round of requests asks for.
        fit: blocks of 16 bits that the memory has room for, all of them in use.
        again: share of what is evicted that is wanted again, 0 to 1.
        compute_s: seconds to compute a block again.
        convert_s: seconds to bring a block from 16 bits to 8.
        error, allowed: that of 8 bits, as measured, and the most that the answers bear.

    Returns:
        "keep" where all fit. Else "quantize" where the error is no more than allowed and
        8 bits take less time over the round; else "evict".
    """
    # BEGIN SOLUTION
    if wanted <= fit:
        return "keep"
    if error > allowed:
        return "evict"
    evicting = (wanted - fit) * again * compute_s
    quantizing = fit * convert_s + max(0, wanted - 2 * fit) * again * compute_s
    return "quantize" if quantizing < evicting else "evict"
    # END SOLUTION


# %% id="use-quantize-or-evict"
from labkit.mine import quantize_or_evict
from labkit.simulate.cost_model import cost_model

cost, block, context = cost_model(card, shape), 16, 2_000
compute_s = block * (cost.token_s + context * cost.pair_s)
convert_s = block * 1.5 * cost.context_s  # two bytes are read and one is written, per number
print(f"{shape.name} on one {card.name}: a block is computed in {1000 * compute_s:.1f} ms "
      f"and converted in {1000 * convert_s:.3f} ms")
print(f"{'wanted, of what fits':22}" + "".join(f"{f'again {r:.1%}':>14}"
                                              for r in (0, 0.005, 0.02, 0.2)))
for times in (1, 1.5, 2, 4):
    row = [quantize_or_evict(int(1000 * times), 1000, r, compute_s, convert_s, 0.004, 0.01)
           for r in (0, 0.005, 0.02, 0.2)]
    print(f"{times:22}" + "".join(f"{answer:>14}" for answer in row))

# %% [markdown] id="after-quantize-or-evict"
# A cache that evicts what nobody wants again is healthy, and 8 bits would bring it an error for nothing. As soon as a
# small share comes again, 8 bits pay: converting a block is cheap beside computing it. (The error here is that of int8,
# half a step of 1/127 of the head's largest number. The 0.01 that is *allowed* is made up; a real one comes out of a
# benchmark, and no formula gives it.)
#
# The table does not say what is left at four times as much. The next cell does: prompts of four blocks that come back in
# random order, as in lesson 09, in a cache of 64 blocks and in one of 128, as the same memory has in 8 bits.

# %% id="pressure"
from labkit.specs.eviction_tournament.eviction_scenes import come_back

print("prompts  blocks wanted  regret, 64 blocks  regret, 128 blocks")
for prompts in (15, 20, 30, 60, 100):
    shares = [come_back(prompts=prompts, blocks=blocks).regret for blocks in (64, 128)]
    print(f"{prompts:7} {4 * prompts:14} {shares[0]:18.0%} {shares[1]:19.0%}")

# %% [markdown] id="after-pressure"
# Between 64 and 128 wanted blocks the cure is complete. Beyond 128 regret is back, as it was beyond 64 without them: the
# cliff stands twice as far away. (Where regret falls again in the last row, it is since the number of requests stays the
# same: of 100 prompts more come for the first time, and whoever comes for the first time regrets nothing.) What lessons 17
# and 18 do about too many requests is needed as ever.

# %% [markdown] id="about-break-it"
# ### Break it: whose scale is it (5 minutes, difficulty 3, importance 4)
#
# A server keeps a scale for each block, so that no block pays for the outliers of another. After a restart its answers are
# as good as with 16 bits. Over the day they get worse, for everybody and without an error in any log, and a restart cures it.
# A test that writes random numbers and reads them back has always passed.
#
# ```python
# class Int8Blocks:
#     def __init__(self):
#         self.pages, self.scales = {}, {}
#
#     def write(self, block, x):
#         """Fill a block; x has its numbers."""
#         needed = x.abs().max() / 127
#         # so that nothing is ever cut
#         self.scales[block] = max(needed, self.scales.get(block, needed))
#         self.pages[block] = (x / self.scales[block]).round().to(torch.int8)
#
#     def read(self, block):
#         return self.pages[block] * self.scales[block]
# ```
#
# Convict it. `("write", "A", 100)` gives A one more block and fills it with numbers up to 100, `("end", "A")` gives A's
# blocks back, and `("read", "A")` reads them and holds every number to half a step of a scale that just holds what was
# written there. The block that was given back last is taken first. Other names than A are allowed, and a number is a whole
# one from 1 to 1,000. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_stale_scale
# BEGIN SOLUTION
ops = [
    ("write", "A", 100),
    ("end", "A"),
    ("write", "B", 1),
    ("read", "B"),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("write", "A", 1),
#     ("read", "A"),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("15")

# %% id="finish"
finish("15")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read) takes `--kv-cache-dtype`. Its fp8 has one scale per tensor, K and V apart; without scales in the
#   checkpoint it is 1. The kinds *per token and head*, of int8 and of fp8, measure a scale at each write and keep it for
#   that token (pull request 38378, March 2026): nothing is ever cut, and the scales take room of their own. Its
#   `kernel_unified_attention` multiplies by them as you did; a tile has 32 tokens there where KV has one byte.
# - **Scales of somebody else.** A runtime for one GPU measured its fp8 scales in its first forward pass. That was the
#   warm-up, on made-up tokens; within 30 tokens the answers of Llama 3.2 3B ended in a loop (imp pull request 89, May 2026).
#   Another froze them on the first 13 tokens that came, a readiness probe, where 256 had been asked for (Atlas pull request
#   1041, September 2026).
# - **Scales that nobody reads.** In **SGLang** a file of scales was accepted and never passed on to the write (issue 18818,
#   February 2026): everything worked, with a scale of 1.
# - Where scales lie beside the pages, whoever moves pages (swap, offload, copy-on-write, disaggregation) must move the scales
#   as well. And a hash of a prefix says nothing of the dtype: two servers that share a cache must agree on it.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about 8-bit KV caches wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("15", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## From the error of a key to that of an output
#
# With int8 and a scale $s$ each number of a key is off by at most $s/2$, so a score $q \cdot k / \sqrt{d}$ is off by at most
#
# $$\varepsilon = \frac{s}{2\sqrt d} \sum_i |q_i|.$$
#
# If every score of a softmax is off by at most $\varepsilon$, each weight $e^{s_i} / \sum_j e^{s_j}$ changes by a factor
# between $e^{-2\varepsilon}$ and $e^{2\varepsilon}$: by $\varepsilon$ in the numerator and by $\varepsilon$ in the sum. That
# is a relative error of about $2\varepsilon$ on each weight, however long the context is. The values add their own: the
# output is a mixture of them, so it is off by at most half a step of theirs, again whatever the length.
#
# Such a bound takes all errors to point the same way. Rounding errors have no common sign, so a sum of $d$ of them grows with
# $\sqrt d$ and not with $d$, and what is measured lies far below. A scale that is too large by a factor breaks no bound that
# was made with it: that is why the break-it above is quiet.
