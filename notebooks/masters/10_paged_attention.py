# %% [markdown] id="symptom"
# # 10. Attention over pages, in PyTorch
#
# A server has paged its memory, and more people fit than ever. Then somebody looks at what a step does. For every new
# token it reads its weights, and then it copies the keys and values of everybody out of their pages, side by side, so that
# one call of attention can be made over them. In the next step the copy is gone and is made again, one token longer.
#
# That is how the model of this course has decoded so far. The cell below counts it, while it answers four requests of 400,
# 90, 60 and 20 tokens.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("10")

# %% id="symptom-numbers" tags=["nbval-ignore-output"]
from labkit.serving import load
from labkit.specs.paged_attention.scenes import moved_per_token

model = load()
moved = moved_per_token(model, [[7] * n for n in (400, 90, 60, 20)])
print(f"KV bytes that one new token needs to read   {moved.needed:12,.0f}")
print(f"KV bytes that are written into the copy     {moved.copied:12,.0f}")
print(f"pages read, copy written, copy read         {moved.moved:12,.0f}"
      f"   ({moved.moved / moved.needed:.1f} times what it needs)")

# %% [markdown] id="play"
# ## Look before you read
#
# One query, and a request of 14 tokens in four pages. Attention without a copy takes one page at a time, in the order of
# the block table, and keeps three things: the largest score so far, a sum and an output. Click into the picture and step
# with the arrow keys. Watch the numbers in bold under the bars when page 2 comes, and where the dots end.

# %% id="play-widget"
from labkit.mine import online_update
from labkit.specs.paged_attention.scenes import one_request
from labkit.widgets import OnlineSoftmax

OnlineSoftmax(*one_request(), update=online_update, step=2, title="One query over four pages",
              subtitle="Bars: the scores of the query. Diamonds: where two passes end.")

# %% [markdown] id="idea"
# ## Two passes, then one
#
# Softmax over all scores $s_i$, and the mixture of the values $v_i$ by its weights, are computed as in lesson 01:
#
# $$m = \max_i s_i, \qquad \ell = \sum_i e^{s_i - m}, \qquad \text{output} = \frac{1}{\ell}\sum_i e^{s_i - m}\, v_i.$$
#
# The largest score is subtracted so that no exponential overflows. It is known only after all keys have been seen, so
# this takes **two passes**: one over the keys for $m$, and one over keys and values for the sums. Here it is over the
# pages of the picture.

# %% id="two-passes"
import torch

scores, values, block_table = one_request()
tiles = list(zip(scores.split(4), values.split(4)))

m = max(s.max() for s, _ in tiles)          # pass 1: every page, for the maximum
p = [torch.exp(s - m) for s, _ in tiles]    # pass 2: every page again, for the sums
l = sum(weights.sum() for weights in p)
output = sum(weights @ v for weights, (_, v) in zip(p, tiles)) / l
print(f"m = {m:.2f}, l = {l:.4f}")
print("output =", [round(x, 4) for x in output.tolist()])

# %% [markdown] id="derive"
# Now let the pages come one after the other, and say that so far the maximum is $m$, and the sums $\ell$ and
# $acc = \sum e^{s_i - m} v_i$ were made with it. A page comes with a larger score, and the maximum is $m'$ from here on.
# Every term of both sums was made with the wrong maximum. All of them are wrong by the same factor:
#
# $$e^{s_i - m'} = e^{s_i - m} \cdot e^{m - m'}.$$
#
# So nothing has to be read again: multiply $\ell$ and $acc$ by $e^{m - m'}$, and add the terms of the new page, made with
# $m'$. The output is $acc / \ell$, **divided once, at the end**. That is the **online softmax** (Milakov and Gimelshein,
# 2018); FlashAttention is built on it, and so is every kernel of the following lessons.
#
# Before the first page $m = -\infty$ and the sums are 0. The factor is then $e^{-\infty} = 0$, and takes nothing over.

# %% [markdown] id="about-online-update"
# ### Exercise: `online_update` (10 minutes, difficulty 3, importance 5)
#
# One more tile. A tile is a page here, and in a later lesson a piece of one or of several. The state has a row for each
# query that reads the same keys and values: `m` and `l` one number per row, `acc` one vector per row.

# %% id="ex-online-update"
# %%exercise online_update
def online_update(
    m: Tensor, l: Tensor, acc: Tensor, s: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fold one more tile of scores and values into the running state of softmax(s) @ v.

    Args:
        m: largest score so far, [rows]; -inf before the first tile.
        l: sum of exp(score - m) so far, [rows]; 0 before the first tile.
        acc: sum of exp(score - m) * value so far, [rows, dv]; 0 before the first tile.
            The output is acc / l; it is divided by whoever has folded the last tile.
        s: scores of the tile, [rows, n], all finite, n at least 1.
        v: values of the tile, [n, dv].

    Returns:
        (m, l, acc) after the tile: new tensors, dtype of those passed in.
    """
    # BEGIN SOLUTION
    new = torch.maximum(m, s.amax(dim=1))
    keep = torch.exp(m - new)
    p = torch.exp(s - new[:, None])
    total = l * keep + p.sum(dim=1)
    out = acc * keep[:, None] + p @ v
    return new, total, out
    # END SOLUTION


# %% id="any-cut"
from labkit.mine import online_update


def in_one_pass(tiles):
    """softmax(scores) @ values, each tile seen once."""
    m, l = values.new_tensor([-torch.inf]), values.new_zeros(1)
    acc = values.new_zeros(1, values.shape[1])
    for s, v in tiles:
        m, l, acc = online_update(m, l, acc, s[None], v)
    return (acc / l[:, None])[0]


cuts = {f"tiles of {n}": zip(scores.split(n), values.split(n)) for n in (1, 3, 4, 14)}
cuts["pages backwards"] = tiles[::-1]
cuts["scores 1000 higher"] = [(s + 1000, v) for s, v in tiles]
print(f"{'two passes':20}", [round(x, 4) for x in output.tolist()])
for name, cut in cuts.items():
    print(f"{name:20}", [round(x, 4) for x in in_one_pass(cut).tolist()])

# %% [markdown] id="after-any-cut"
# However the tokens are cut, and in whichever order the tiles come, the output is the same but for rounding. The state
# forgets where a score stood and remembers only sums. Lesson 13 makes use of that: it gives the pages of one very long
# request to many programs at once.

# %% [markdown] id="about-gather"
# ### Exercise: `gather_kv` (8 minutes, difficulty 2, importance 3)
#
# First what is to be saved: the copy. Write the gather of one sequence, so that you see what it takes. The caches hold the
# pages of everybody, `[num_blocks, block_size, kv_heads, head_dim]`; the table says which are this sequence's, and its
# last page may be part filled. A table is as wide as the longest request needs, so behind the pages of a shorter one it
# holds what is no block at all.

# %% id="ex-gather-kv"
# %%exercise gather_kv
def gather_kv(
    k_cache: Tensor, v_cache: Tensor, block_table: Tensor, length: int
) -> tuple[Tensor, Tensor]:
    """The keys and values of one sequence, copied out of its pages.

    Args:
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim].
        block_table: block ids in the order of the tokens, int [max_blocks]. What
            stands beyond the pages that `length` tokens need is no block id.
        length: tokens of the sequence, an int, 1 or more.

    Returns:
        (k, v), each [length, kv_heads, head_dim], token i in row i. Copies: a later
        write into the cache does not change them.
    """
    # BEGIN SOLUTION
    block_size = k_cache.shape[1]
    count = -(-length // block_size)
    pages = block_table[:count]
    k = k_cache[pages].flatten(0, 1)[:length]
    v = v_cache[pages].flatten(0, 1)[:length]
    return k, v
    # END SOLUTION


# %% [markdown] id="about-predict"
# ## One prediction first
#
# A step that decodes several sequences makes one call of attention for all of them, and a call wants a rectangle. So
# every sequence is gathered to the length of the longest one, in whole pages.

# %% id="predict-p1"
predict("10", "p1")

# %% id="reveal-p1"
from labkit.attention import PagedKVCache

cache = PagedKVCache(layers=1, kv_heads=1, head_dim=1, num_blocks=32, block_size=16)
for name, tokens in (("A", 100), ("B", 1), ("C", 16), ("D", 17)):
    cache.extend(name, [0] * tokens)
(rectangle,) = cache.plan("ABCD", [1, 1, 1, 1]).rectangles
k, v = cache.read(0, rectangle)
print(f"tokens: {int(rectangle.lengths.sum())}, keys copied: {k.shape[0] * k.shape[1]}")

# %% [markdown] id="after-p1"
# The short requests pay for the long one: what they are padded with is copied, read and then hidden by the mask. Beside
# that, the copy itself costs: the pages are read, the copy is written, and attention reads the copy, so each number moves
# three times where once would do. The cell at the top counted both on the model.

# %% [markdown] id="halfway"
# ## Half way
#
# You have softmax in one pass, and you know what the copy costs. What is left is to put the first in the place of the
# second. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("10")

# %% [markdown] id="about-paged-attention"
# ### Exercise: `paged_attention` (12 minutes, difficulty 4, importance 5)
#
# One new token for each sequence, and its query over all tokens of that sequence, itself included: its key and value
# have been written already. Take the pages where they lie, one after the other through the table, and fold each in with
# `online_update`, which is imported for the cell. The query heads that share a KV head are the rows of one state:
# `[group, head_dim]` times the keys of a page gives its scores `[group, n]`.
#
# Two things must never be read: slots of the last page after the last token, and entries of the table behind the last
# page. Others have left numbers there, or nothing. In the check NaN lies in all of them, and a NaN that is multiplied by 0
# is NaN still.

# %% id="ex-paged-attention"
# %%exercise paged_attention
def paged_attention(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, lengths: Tensor
) -> Tensor:
    """One query for each sequence over all its tokens, read from the pages where they lie.

    Args:
        q: [seqs, q_heads, head_dim].
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim]. Query head h
            reads KV head h // group, where group = q_heads // kv_heads. A slot that
            holds no token of a sequence may hold anything, NaN too.
        block_tables: int [seqs, max_blocks]. What stands beyond the pages of a
            sequence is no block id.
        lengths: tokens of each sequence, int [seqs], 1 or more.

    Returns:
        softmax(q k / sqrt(head_dim)) v, [seqs, q_heads, head_dim], dtype of q. No
        tensor as large as the keys of a sequence is made on the way.
    """
    # BEGIN SOLUTION
    seqs, q_heads, head_dim = q.shape
    block_size, kv_heads = k_cache.shape[1:3]
    group = q_heads // kv_heads
    out = torch.empty_like(q)
    for i in range(seqs):
        length = int(lengths[i])
        for h in range(kv_heads):
            queries = q[i, h * group : (h + 1) * group] / math.sqrt(head_dim)
            m = q.new_full((group,), -math.inf)
            l, acc = q.new_zeros(group), q.new_zeros(group, head_dim)
            for j in range(-(-length // block_size)):
                block = int(block_tables[i, j])
                n = min(block_size, length - j * block_size)
                k, v = k_cache[block, :n, h], v_cache[block, :n, h]
                m, l, acc = online_update(m, l, acc, queries @ k.T, v)
            out[i, h * group : (h + 1) * group] = acc / l[:, None]
    return out
    # END SOLUTION
    # BEGIN STUB
    # seqs, q_heads, head_dim = q.shape
    # block_size, kv_heads = k_cache.shape[1:3]
    # group = q_heads // kv_heads
    # out = torch.empty_like(q)
    # for i in range(seqs):
    #     for h in range(kv_heads):
    #         ...  # the pages of sequence i, one after the other
    # raise NotImplementedError("paged_attention: your code goes here")
    # return out
    # END STUB


# %% id="both-ways"
from labkit.attention import grouped_attention
from labkit.mine import gather_kv, paged_attention
from labkit.specs.paged_attention.scenes import four_sequences

q, k_cache, v_cache, block_tables, lengths = four_sequences()
in_place = paged_attention(q, k_cache, v_cache, block_tables, lengths)
for i, length in enumerate(lengths.tolist()):
    k, v = gather_kv(k_cache, v_cache, block_tables[i], length)
    copied = grouped_attention(q[i][None, None], k[None], v[None], None)[0, 0]
    same = torch.allclose(in_place[i], copied)
    print(f"{length:3} tokens: {2 * k.numel():6,} numbers copied, or none; same output: {same}")

# %% [markdown] id="after-both-ways"
# The same output, with no copy and no padding: a sequence of one token costs one page, whatever the others have. In
# Python this is slower than the copy, since every page is a dozen calls into PyTorch and each of them takes longer than its
# arithmetic. A kernel makes one call of it all. The loop stays what you wrote; lesson 11 writes it down for a GPU.

# %% [markdown] id="about-break-it"
# ### Break it: what counts as empty (5 minutes, difficulty 3, importance 4)
#
# After a restart all answers are right. An hour later some of them have a word in them that belongs to nobody's question,
# and a restart cures it. The attention under that server looks itself which slots of a page hold a token:
#
# ```python
# def paged_attention(q, k_cache, v_cache, block_tables, lengths):
#     block_size, kv_heads = k_cache.shape[1:3]
#     rows = q.unflatten(1, (kv_heads, -1)) / math.sqrt(q.shape[-1])
#     out = torch.empty_like(rows)
#     for i, length in enumerate(lengths.tolist()):
#         for h in range(kv_heads):
#             m = q.new_full(rows.shape[2:3], -math.inf)
#             l, acc = torch.zeros_like(m), torch.zeros_like(rows[i, h])
#             for block in block_tables[i, : -(-length // block_size)].tolist():
#                 k, v = k_cache[block, :, h], v_cache[block, :, h]
#                 empty = (k == 0).all(dim=1)
#                 s = (rows[i, h] @ k.T).masked_fill(empty, -math.inf)
#                 m, l, acc = online_update(m, l, acc, s, v)
#             out[i, h] = acc / l[:, None]
#     return out.flatten(1, 2)
# ```
#
# Convict it. `("Memory", 4, 4)` makes a memory of 4 pages of 4 slots, all zeros, and comes first; `("write", "A", 3)`
# writes 3 more tokens of A, `("end", "A")` gives its pages back, and `("attend", "A")` calls the function with A's table and
# length. The page that was given back last is taken first. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_empty_slots
# BEGIN SOLUTION
ops = [
    ("Memory", 1, 2),
    ("write", "A", 2),
    ("end", "A"),
    ("write", "B", 1),
    ("attend", "B"),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Memory", 4, 4),
#     ("write", "A", 3),
#     ("attend", "A"),
# ]
# END STUB

# %% [markdown] id="about-live"
# ## A real model on your attention
#
# The three questions of lesson 00 again. Once `online_update` and `paged_attention` have passed, every token that the model
# generates attends through them, in every layer, over the pages of the picture: nothing is gathered. It is slower, and you
# will see how much. (Without the model a tiny one stands in, whose words mean nothing.)

# %% id="live" tags=["nbval-ignore-output"]
from labkit.lesson import live_answer

live_answer("block_pool", "block_table", "attention")

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("10")

# %% id="finish"
finish("10")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read) took the CUDA kernel named PagedAttention out in 0.25 (pull request 47361); the block table
#   stayed. Its Triton kernel `kernel_unified_attention` (`vllm/v1/attention/ops/triton_unified_attention.py`) is your loop:
#   a program for each KV head and a few queries, a running maximum, sum and output, and the pages looked up in the table.
#   The query heads that share a KV head are its rows, as in your state of rows.
# - There a tile is not a page: `TILE_SIZE` is 32 tokens for prefill and 16 for decode, and each lane of a tile looks up its own
#   page. So the page size may be anything. Lesson 12 does that.
# - **SGLang** (0.5.23) hands its kernels an index for each token and not for each page; FlashInfer's post of February 2024
#   finds that the size of a page has little effect on its decode kernel.
# - FlexAttention's post of April 2025 puts the price of reading through a table, without a copy, under 5%; a gather moves
#   three times what is needed, and more where it pads.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about attention over pages wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("10", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why the order does not matter
#
# A state $(m, \ell, acc)$ stands for a set of scores $S$ with their values: $m = \max S$, and the two sums with $e^{s - m}$.
# Folding a tile in is the merge of two such states, where the tile's own state is made first:
#
# $$m' = \max(m_1, m_2), \quad \ell' = \ell_1 e^{m_1 - m'} + \ell_2 e^{m_2 - m'}, \quad
# acc' = acc_1 e^{m_1 - m'} + acc_2 e^{m_2 - m'}.$$
#
# Written with the sums over $S_1$ and $S_2$, the right sides are the sums over $S_1 \cup S_2$ with $e^{s - m'}$, whichever of
# the two is called the first and however $S_1$ came to be. So merging is associative and commutative, and
# $(-\infty, 0, 0)$ is its neutral element. In floating point both hold up to rounding: the factors are at most 1, so an
# error that was made is never blown up.
