# %% [markdown] id="symptom"
# # 14. Prefill and chunks
#
# One long prompt took all of a step, and everybody who was being answered waited for it. So somebody lowered the number of
# tokens that a step may compute, and long prompts have come in pieces since. The waiting is gone. But answers to long
# prompts have changed: they are fluent, they know how the prompt began, and they miss what it asks at its end. Short prompts
# are answered as before. Nobody has touched the model.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("14")

# %% [markdown] id="play"
# ## Look before you read
#
# A prompt of 16 tokens that comes in pieces, called **chunks**. A row is a token that asks, a column a key that it may see.
# Step through the chunks, then drag the two dotted numbers. Watch which columns a chunk takes from pages that earlier chunks
# have written, and how many cells are computed only to be hidden: keys come in whole tiles, here of one page.

# %% id="play-widget"
from labkit.widgets import ChunkPlay

ChunkPlay(chunk=5, step=2)

# %% [markdown] id="idea"
# ## Why many tokens at once
#
# In a decode step a sequence brings one token, and its one query reads all keys and values so far. In **prefill** it brings
# its prompt, or a chunk of it, and each key that is read serves a query for each new token. The bytes stay, the arithmetic
# grows: the **intensity**, in operations per byte moved. The cell counts both for one layer of Llama 3 8B (32 query heads,
# 8 KV heads, 128 numbers per head, 16 bits) after 4,096 earlier tokens.

# %% id="intensity"
from labkit.specs.prefill_and_chunks.scenes import work_of_a_chunk

print("new tokens   operations (millions)   KiB moved   operations per byte")
for new in (1, 4, 16, 64, 256, 1024):
    work = work_of_a_chunk(new, past=4096, q_heads=32, kv_heads=8, head_dim=128)
    millions, kib = work.operations / 1e6, work.moved / 1024
    print(f"{new:10,}{millions:24,.0f}{kib:12,.0f}{work.intensity:22,.0f}")

# %% [markdown] id="after-intensity"
# A GPU computes and moves bytes at the same time, and what takes longer decides. An H200 does about 206 operations for each
# byte that it moves (989 TFLOP/s in 16 bits over 4.8 TB/s, its data sheet). Far below that, memory decides, and a decode
# step is far below. A few dozen new tokens come near it, and from there on arithmetic decides: what is computed in vain
# costs then, and what is read again hardly does.
#
# So a prompt is one sequence with many rows, and a step brings rows of several sequences: a chunk of 500 tokens of one, one
# token each of thirty others. A rectangle would pad the thirty to 500. Instead all rows lie end to end, `[tokens, heads,
# head_dim]`, and a list says where each sequence begins: `starts = [0, 500, 501, ..., 530]`, in other libraries `cu_seqlens`,
# for *cumulative sequence lengths*. Nothing is padded. This layout is called **varlen**.

# %% [markdown] id="about-write-kv"
# ### Exercise: `write_kv` (10 minutes, difficulty 3, importance 4)
#
# Before anybody attends, the new tokens' keys and values go to the pages. `slots` says where: one number per token, as in
# lesson 05, page x page size + place in the page. The tokens of a step belong to several sequences, so their slots lie
# anywhere, in a large cache so far behind that an offset needs 64 bits (lesson 11). A step that a GPU recorded once and replays (a CUDA
# graph) has a fixed number of rows; those that stand for nobody have slot -1.
#
# One program writes one token: all heads of its K and of its V. In `k` and in a slot alike the heads of a token lie one behind
# the other. The lines on 8 bits are given; they do nothing where `LIMIT` is 0, and lesson 15 is about them.

# %% id="ex-write-kv"
# %%exercise write_kv
@triton.jit
def write_kv(
    k_cache, v_cache, k, v, slots, k_scale, v_scale,
    KV_HEADS: tl.constexpr, HEADS_PAD: tl.constexpr,
    HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, LIMIT: tl.constexpr, ROUND: tl.constexpr,
):  # fmt: skip
    """Write the new key and value of one token to its slot; the grid is (tokens,).

    Args:
        k_cache, v_cache: pages, [num_blocks, page, KV_HEADS, HEAD_DIM].
        k, v: new rows, [tokens, KV_HEADS, HEAD_DIM].
        slots: int64 [tokens], page * page size + place in the page; below 0: write nothing.
        k_scale, v_scale: one number per KV head, read only where LIMIT > 0.
        HEADS_PAD, HEAD_PAD: KV_HEADS and HEAD_DIM, up to a power of two.
        LIMIT: 0; 127 where pages are int8. ROUND: whether to round to whole numbers, for int8.
    """
    # BEGIN SOLUTION
    token = tl.program_id(0)
    slot = tl.load(slots + token)
    if slot >= 0:
        head = tl.arange(0, HEADS_PAD)
        d = tl.arange(0, HEAD_PAD)
        within = head[:, None] * HEAD_DIM + d[None, :]
        there = (head < KV_HEADS)[:, None] & (d < HEAD_DIM)[None, :]
        source = token.to(tl.int64) * (KV_HEADS * HEAD_DIM) + within
        target = slot * (KV_HEADS * HEAD_DIM) + within
        key = tl.load(k + source, mask=there)
        value = tl.load(v + source, mask=there)
        if LIMIT > 0:
            ks = tl.load(k_scale + head, mask=head < KV_HEADS, other=1.0)
            vs = tl.load(v_scale + head, mask=head < KV_HEADS, other=1.0)
            key = quantize(key.to(tl.float32), ks[:, None], LIMIT, ROUND)
            value = quantize(value.to(tl.float32), vs[:, None], LIMIT, ROUND)
        tl.store(k_cache + target, key.to(k_cache.dtype.element_ty), mask=there)
        tl.store(v_cache + target, value.to(v_cache.dtype.element_ty), mask=there)
    # END SOLUTION
    # BEGIN STUB
    # raise NotImplementedError("write_kv: your code goes here")  # take this line out
    # token = tl.program_id(0)
    # slot = ...
    # if ...:
    #     head = tl.arange(0, HEADS_PAD)
    #     d = tl.arange(0, HEAD_PAD)
    #     there = ...  # [HEADS_PAD, HEAD_PAD], True for what is a number of this token
    #     key = ...
    #     value = ...
    #     if LIMIT > 0:
    #         ks = tl.load(k_scale + head, mask=head < KV_HEADS, other=1.0)
    #         vs = tl.load(v_scale + head, mask=head < KV_HEADS, other=1.0)
    #         key = quantize(key.to(tl.float32), ks[:, None], LIMIT, ROUND)
    #         value = quantize(value.to(tl.float32), vs[:, None], LIMIT, ROUND)
    #     ...  # key.to(k_cache.dtype.element_ty) to its slot, and value likewise
    # END STUB


# %% id="pages-after"
from labkit.specs.prefill_and_chunks.scenes import pages_after_a_write

print(pages_after_a_write(slots=[9, 10, -1, 2, 3, 0]))

# %% [markdown] id="after-pages"
# The lines show which token lies in which slot after one launch of your kernel (of the course's, until yours has passed),
# in Triton's interpreter, or on a GPU where there is one. Each slot is written by one program, so no two of them meet.
#
# Where pages have 8 bits, the scale is applied on the way: the numbers never go to memory in 16 bits only to be read and
# written again. A kernel that does two jobs on one trip like this is called **fused**.

# %% [markdown] id="about-mask"
# ### Exercise: `causal_window_mask` (8 minutes, difficulty 2, importance 5)
#
# Now every new token has its key in the pages, the later ones of its chunk too. A token must see itself and what came before,
# and nothing that comes after. In lesson 01 the mask was a square. A chunk of n tokens that begins at position `start` takes
# rows `start` to `start + n - 1` of that square, and the columns up to its own last token.
#
# Some models let each token see a **sliding window** only: the last `window` tokens, itself among them.

# %% id="ex-mask"
# %%exercise causal_window_mask
def causal_window_mask(start: int, n: int, window: int | None = None) -> Tensor:
    """Which keys each query of a chunk sees.

    Args:
        start: position of the chunk's first token, 0 or more: so many tokens came before.
        n: tokens of the chunk, 1 or more.
        window: a token sees this many, itself among them, 1 or more; None sees all that
            came before it, too.

    Returns:
        bool [n, start + n]. Row i is the query at position start + i, column j the key at
        position j; True where the query sees the key.
    """
    # BEGIN SOLUTION
    query = torch.arange(start, start + n)[:, None]
    key = torch.arange(start + n)[None, :]
    seen = key <= query
    if window is not None:
        seen = seen & (key > query - window)
    return seen
    # END SOLUTION


# %% [markdown] id="about-predict"
# ## One prediction first
#
# However a prompt is cut, the same cells of its mask are True. A chunk reads once each key that one of its rows sees.

# %% id="predict-p1"
predict("14", "p1")

# %% id="reveal-p1"
from labkit.mine import causal_window_mask

for size in (1000, 500, 250):
    masks = [causal_window_mask(start, size) for start in range(0, 1000, size)]
    cells = sum(int(mask.sum()) for mask in masks)
    keys = sum(int(mask.any(dim=0).sum()) for mask in masks)
    print(f"chunks of {size:5,}: {cells:,} cells seen, keys read: {keys:,}")

# %% [markdown] id="after-p1"
# The arithmetic is the same. The reading grows with the number of chunks, for each of them reads the keys of earlier ones
# again. While a chunk has a few hundred tokens its arithmetic takes longer than its reading, as the first table shows, so
# the price is small; with chunks of a few tokens it is not. Who decides how large a chunk is, and who waits meanwhile, is a
# question for lesson 16.

# %% [markdown] id="halfway"
# ## Half way
#
# New keys are in the pages, and you can say which of them a row sees. What is left is to attend, for chunks of several
# sequences at once, and to see what must hold for the cut to make no difference. A good place to stop and come back: what
# you passed is kept.

# %% id="save"
save_point("14")

# %% [markdown] id="about-chunk-prefill"
# ### Exercise: `chunk_prefill` (12 minutes, difficulty 4, importance 5)
#
# Attention of the new tokens of several sequences. Their keys and values are written already, so earlier tokens and new
# ones are read in the same way, through the table. You have the parts: `gather_kv` of lesson 10 and `causal_window_mask`,
# which are imported for the cell, and the softmax of lesson 01, over all keys of a sequence at once. A gather is right here:
# one copy of the keys serves all rows of the chunk. In the check NaN lies in every slot that holds no token of these
# sequences, and chunks come once more in two pieces, whose rows must be the same within 1e-6.

# %% id="ex-chunk-prefill"
# %%exercise chunk_prefill
def chunk_prefill(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    starts: Tensor,
    window: int | None = None,
) -> Tensor:
    """Causal attention of the newest tokens of each sequence over its pages.

    Args:
        q: [tokens, q_heads, head_dim], sequence after sequence, without padding.
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim]. Query head h
            reads KV head h // group, where group = q_heads // kv_heads. A slot that
            holds no token of a sequence may hold anything, NaN too.
        block_tables: int [seqs, max_blocks]. What stands beyond the pages of a
            sequence is no block id.
        lengths: tokens of each sequence, the new ones included, int [seqs].
        starts: int [seqs + 1]. Rows starts[i] to starts[i + 1] - 1 of q are the newest
            tokens of sequence i; there may be none.
        window: as for causal_window_mask.

    Returns:
        softmax(q k / sqrt(head_dim)) v over what each token sees, [tokens, q_heads,
        head_dim], dtype of q.
    """
    # BEGIN SOLUTION
    group = q.shape[1] // k_cache.shape[2]
    out = torch.empty_like(q)
    for i in range(len(lengths)):
        length = int(lengths[i])
        begin, end = int(starts[i]), int(starts[i + 1])
        if begin == end:
            continue
        k, v = gather_kv(k_cache, v_cache, block_tables[i], length)
        k = k.repeat_interleave(group, dim=1)
        v = v.repeat_interleave(group, dim=1)
        scores = torch.einsum("qhd,khd->hqk", q[begin:end], k) / math.sqrt(q.shape[2])
        seen = causal_window_mask(length - (end - begin), end - begin, window).to(q.device)
        weights = scores.masked_fill(~seen, -math.inf).softmax(dim=2)
        out[begin:end] = torch.einsum("hqk,khd->qhd", weights, v)
    return out
    # END SOLUTION
    # BEGIN STUB
    # group = q.shape[1] // k_cache.shape[2]
    # out = torch.empty_like(q)
    # for i in range(len(lengths)):
    #     length = int(lengths[i])
    #     begin, end = int(starts[i]), int(starts[i + 1])
    #     ...  # the rows begin to end of q over the keys of sequence i
    # raise NotImplementedError("chunk_prefill: your code goes here")
    # return out
    # END STUB


# %% [markdown] id="about-any-chunks"
# ## Cut it anywhere
#
# In a step that mixes chunks and decode, a decode is a chunk of one token. All rows get their positions in the same way: a
# sequence with `new` of its `length` tokens in the step goes on at position `length - new`.
#
# Here comes a prompt of 100 tokens over pages of 16, as one chunk and in four other cuts. The sums of a row are made in
# another order in another chunk, so in floating point the rows differ a little (or not at all, where the order happens to
# be the same). The cell prints a bound for that: the mixture of a row is at most 100 additions, and each of them rounds by at
# most $2^{-23}$ of the largest value. (Scores are rounded too. That the differences stay far below the bound shows that
# this adds little here.)

# %% id="any-chunks" tags=["nbval-ignore-output"]
import torch

from labkit.mine import chunk_prefill
from labkit.specs.prefill_and_chunks.scenes import CUTS, one_prompt

q, k_cache, v_cache, table = one_prompt(100)


def in_chunks(cuts, caches=lambda begin, end: (k_cache, v_cache)):
    """The rows of the prompt, chunk by chunk; `caches` gives the pages as a chunk sees them."""
    rows, end = [], 0
    for n in cuts:
        begin, end = end, end + n
        length, starts = torch.tensor([end]), torch.tensor([0, n])
        rows.append(chunk_prefill(q[begin:end], *caches(begin, end), table, length, starts))
    return torch.cat(rows)


whole = in_chunks([100])
bound = 100 * 2.0**-23 * float(v_cache.nan_to_num().abs().max())
print(f"{'bound':24}{bound:.1e}")
for name, cuts in CUTS.items():
    print(f"{name:24}{float((in_chunks(cuts) - whole).abs().max()):.1e}")

# %% [markdown] id="quantized"
# ## Where the cut does make a difference
#
# Pages of 8 bits hold rounded keys and values. A chunk has its own in full precision, fresh from the model, so it seems a
# waste to read them back from pages, rounded. The next cell does both: a chunk reads itself **from pages** like all else, or
# it takes its own keys and values **fresh** and only those of earlier chunks from pages.

# %% id="through-the-quantizer"
from labkit.specs.prefill_and_chunks.scenes import in_eight_bits, with_own_rows

rounded = in_eight_bits(k_cache), in_eight_bits(v_cache)


def from_pages(begin, end):
    return rounded


def fresh(begin, end):
    exact = (k_cache, v_cache)
    return tuple(with_own_rows(r, x, table, begin, end) for r, x in zip(rounded, exact))


print(f"{'difference from one chunk':25}{'from pages':>11}{'fresh':>10}")
for name, cuts in CUTS.items():
    apart = [in_chunks(cuts, way) - in_chunks([100], way) for way in (from_pages, fresh)]
    print(f"{name:24}{float(apart[0].abs().max()):12.4f}{float(apart[1].abs().max()):10.4f}")
error = float((in_chunks([100], from_pages) - whole).abs().max())
print(f"what rounding to 8 bits costs, in any cut: {error:.4f}")

# %% [markdown] id="after-quantized"
# With fresh keys the rows depend on the cut: the same prompt beside another load gets other
# chunks and other numbers, which nobody can reproduce. So the kernels of this course quantise where they write, in
# `kernels/kv_write.py`, and every chunk reads itself back from the pages. Then the same keys are seen in every cut. The price
# is the last line, a rounding that decode pays anyway.

# %% [markdown] id="about-break-it"
# ### Break it: the wrong corner (5 minutes, difficulty 3, importance 4)
#
# This is the attention of the server at the top. It uses PyTorch's own attention, which makes the causal mask itself.
# Its tests pass: a prompt at once, then token by token, all rows right.
#
# ```python
# def chunk_prefill(q, k_cache, v_cache, block_tables, lengths, starts, window=None):
#     group = q.shape[1] // k_cache.shape[2]
#     out = torch.empty_like(q)
#     for i, length in enumerate(lengths.tolist()):
#         rows = slice(int(starts[i]), int(starts[i + 1]))
#         k, v = gather_kv(k_cache, v_cache, block_tables[i], length)
#         k, v = (x.repeat_interleave(group, dim=1).transpose(0, 1) for x in (k, v))
#         queries = q[rows].transpose(0, 1)
#         many = queries.shape[1] > 1  # a decode step needs no mask
#         attended = scaled_dot_product_attention(queries, k, v, is_causal=many)
#         out[rows] = attended.transpose(0, 1)
#     return out
# ```
#
# Convict it. `("chunk", "A", 4)` brings the next 4 tokens of A, 1 to 64 at a time: they are written, and the function is
# called for them. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_corner
# BEGIN SOLUTION
ops = [
    ("chunk", "A", 1),
    ("chunk", "A", 2),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("chunk", "A", 1),
# ]
# END STUB

# %% [markdown] id="after-break-it" tags=["fold"]
# ### Once it has fallen

# %% [markdown] id="after-break-it-text"
# `is_causal` draws its diagonal from the upper left corner: row i sees the keys 0 to i, however many keys there are. That is
# right while there are as many queries as keys, in a prompt at once. In the later chunks of a prompt there are fewer: their
# rows see the first few keys of the prompt and not their own, so the answers at the top knew how the prompt began and
# missed what it asks at its end. One token alone got no mask, and sees all: decode was right.
#
# The diagonal must end in the lower right corner. With `attn_mask=causal_window_mask(length - new, new, window)` in place of
# `is_causal` it does, for decode too. The cell draws what PyTorch makes of 3 queries and 7 keys, and what is due.

# %% id="two-corners"
from torch.nn.functional import scaled_dot_product_attention

from labkit.mine import causal_window_mask

# Equal scores, and value j is 1 in place j alone: what comes out are the weights.
nothing, places = torch.zeros(7, 7), torch.eye(7)
weights = scaled_dot_product_attention(nothing[:3], nothing, places, is_causal=True)
print(f"{'is_causal':18}due")
for rows in zip((weights > 0).tolist(), causal_window_mask(4, 3).tolist()):
    print("    ".join(" ".join("x" if seen else "." for seen in row) + " " for row in rows))

# %% [markdown] id="about-live"
# ## A real model on your prefill
#
# The three questions of lesson 00. Once `causal_window_mask` and `chunk_prefill` have passed, their prompts are computed by
# them, in every layer. (Without the model a tiny one stands in, whose words mean nothing.)

# %% id="live" tags=["nbval-ignore-output"]
from labkit.engine import Parts
from labkit.lesson import live_answer

print("Prefill:", "yours" if Parts().is_yours("chunk_prefill") else "reference")
live_answer("block_pool", "block_table", "attention")

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("14")

# %% id="finish"
finish("14")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: a chunk in one kernel
#
# ### Exercise: `prefill` (15 minutes, difficulty 4, importance 3)
#
# The loop over sequences becomes a grid. A program takes `ROWS` rows: a few tokens with all query heads of one KV head, so that
# a tile of keys serves them all. How many programs a sequence needs depends on its chunk, so `tiles[i]` counts those before
# sequence i, and a program finds its sequence in that list by binary search, in `STEPS` halvings. The state is that of
# `online_update`, with $2^x$ in place of $e^x$, which a GPU computes faster: $e^x = 2^{x \log_2 e}$, and `LOG2E` is
# $\log_2 e$. Fill in what is `...`.

# %% id="ex-prefill"
# %%exercise prefill
@triton.jit
def prefill(
    out, q, k_cache, v_cache, k_scale, v_scale, sinks, block_tables, lengths, starts, tiles,
    seqs, max_blocks, scale, cap, window,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr,
    HEAD_PAD: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr,
    STEPS: tl.constexpr, SCALED: tl.constexpr, CAPPED: tl.constexpr, WINDOWED: tl.constexpr,
    SINKS: tl.constexpr,
):  # fmt: skip
    """Attention of the new tokens of each sequence; the grid is (programs, KV_HEADS).

    Args:
        out, q: [tokens, Q_HEADS, HEAD_DIM]; rows starts[i] to starts[i + 1] are sequence i's.
        k_cache, v_cache: [num_blocks, PAGE, KV_HEADS, HEAD_DIM], new tokens written already.
        block_tables: [seqs, max_blocks]. lengths: tokens of each, the new ones included.
        tiles: programs before each sequence, [seqs + 1].
        ROWS: rows of a program; ROWS // (Q_HEADS // KV_HEADS) tokens. TILE: keys of a tile.
        The rest (scales of 8 bits, soft cap, sinks) is used by lines that are given.
    """
    # BEGIN SOLUTION
    program = tl.program_id(0)
    kv_head = tl.program_id(1)
    if program < tl.load(tiles + seqs):  # there may be a few programs too many
        GROUP: tl.constexpr = Q_HEADS // KV_HEADS
        TOKENS: tl.constexpr = ROWS // GROUP
        seq = sequence_of(tiles, program, seqs, STEPS)
        begin = tl.load(starts + seq)
        new = tl.load(starts + seq + 1) - begin
        past = tl.load(lengths + seq) - new

        r = tl.arange(0, ROWS)
        d = tl.arange(0, HEAD_PAD)
        in_head = d < HEAD_DIM
        first_token = (program - tl.load(tiles + seq)) * TOKENS
        token = first_token + r // GROUP
        head = kv_head * GROUP + r % GROUP
        asked = (r < TOKENS * GROUP) & (token < new)
        at = ((begin + token).to(tl.int64) * Q_HEADS + head)[:, None] * HEAD_DIM + d[None, :]
        query = tl.load(q + at, mask=asked[:, None] & in_head[None, :], other=0.0)

        if SCALED:
            scale *= tl.load(k_scale + kv_head)
        m = tl.full([ROWS], float("-inf"), tl.float32)
        l = tl.zeros([ROWS], tl.float32)
        if SINKS:
            m = tl.load(sinks + head, mask=asked, other=0.0).to(tl.float32) * LOG2E
            l += 1.0
        acc = tl.zeros([ROWS, HEAD_PAD], tl.float32)

        sees_to = past + token  # the last position that each row sees
        stop = past + tl.minimum(first_token + TOKENS, new)
        start = tl.full([], 0, tl.int32)
        if WINDOWED:
            start = tl.maximum(past + first_token - window + 1, 0) // TILE * TILE
        table = block_tables + seq * max_blocks
        for first in range(start, stop, TILE):
            position = first + tl.arange(0, TILE)
            used = position < stop
            block = tl.load(table + position // PAGE, mask=used, other=0).to(tl.int64)
            row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
            there = used[:, None] & in_head[None, :]
            where = row[:, None] * HEAD_DIM + d[None, :]
            keys = tl.load(k_cache + where, mask=there, other=0.0).to(query.dtype)
            values = tl.load(v_cache + where, mask=there, other=0.0).to(query.dtype)

            score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
            if CAPPED:
                score = cap - 2 * cap / (1 + tl.exp2(score * (2 * LOG2E / cap)))
            visible = position[None, :] <= sees_to[:, None]
            if WINDOWED:
                visible &= position[None, :] > sees_to[:, None] - window
            score = tl.where(visible, score * LOG2E, float("-inf"))

            # A row may have seen nothing yet: then its maximum is -inf still.
            new_m = tl.maximum(m, tl.max(score, 1))
            finite = tl.where(new_m == float("-inf"), 0.0, new_m)
            old = tl.exp2(m - finite)
            p = tl.exp2(score - finite[:, None])
            l = l * old + tl.sum(p, 1)
            mixed = tl.dot(p.to(query.dtype), values, input_precision="ieee")
            acc = acc * old[:, None] + mixed
            m = new_m

        if SCALED:
            acc *= tl.load(v_scale + kv_head)
        result = acc / tl.where(l > 0, l, 1.0)[:, None]
        written = asked[:, None] & in_head[None, :]
        tl.store(out + at, result.to(out.dtype.element_ty), mask=written)
    # END SOLUTION
    # BEGIN STUB
    # raise NotImplementedError("prefill: your code goes here")  # take this line out
    # program = tl.program_id(0)
    # kv_head = tl.program_id(1)
    # if program < tl.load(tiles + seqs):  # there may be a few programs too many
    #     GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    #     TOKENS: tl.constexpr = ROWS // GROUP
    #     seq = sequence_of(tiles, program, seqs, STEPS)
    #     begin = tl.load(starts + seq)
    #     new = ...  # tokens of this sequence's chunk
    #     past = ...  # tokens of it that came before
    #
    #     r = tl.arange(0, ROWS)
    #     d = tl.arange(0, HEAD_PAD)
    #     in_head = d < HEAD_DIM
    #     first_token = (program - tl.load(tiles + seq)) * TOKENS
    #     token = ...  # of the chunk, for each row
    #     head = ...  # query head, for each row
    #     asked = (r < TOKENS * GROUP) & (token < new)
    #     at = ((begin + token).to(tl.int64) * Q_HEADS + head)[:, None] * HEAD_DIM + d[None, :]
    #     query = tl.load(q + at, mask=asked[:, None] & in_head[None, :], other=0.0)
    #
    #     if SCALED:
    #         scale *= tl.load(k_scale + kv_head)
    #     m = tl.full([ROWS], float("-inf"), tl.float32)
    #     l = tl.zeros([ROWS], tl.float32)
    #     if SINKS:
    #         m = tl.load(sinks + head, mask=asked, other=0.0).to(tl.float32) * LOG2E
    #         l += 1.0
    #     acc = tl.zeros([ROWS, HEAD_PAD], tl.float32)
    #
    #     sees_to = ...  # the last position that each row sees
    #     stop = past + tl.minimum(first_token + TOKENS, new)
    #     start = tl.full([], 0, tl.int32)
    #     if WINDOWED:
    #         start = tl.maximum(past + first_token - window + 1, 0) // TILE * TILE
    #     table = block_tables + seq * max_blocks
    #     for first in range(start, stop, TILE):
    #         position = first + tl.arange(0, TILE)
    #         used = ...
    #         block = ...  # through the table, as int64: what it is multiplied to is large
    #         row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
    #         there = used[:, None] & in_head[None, :]
    #         where = row[:, None] * HEAD_DIM + d[None, :]
    #         keys = tl.load(k_cache + where, mask=there, other=0.0).to(query.dtype)
    #         values = tl.load(v_cache + where, mask=there, other=0.0).to(query.dtype)
    #
    #         score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
    #         if CAPPED:
    #             score = cap - 2 * cap / (1 + tl.exp2(score * (2 * LOG2E / cap)))
    #         visible = ...  # [ROWS, TILE]
    #         if WINDOWED:
    #             visible &= ...
    #         score = tl.where(visible, score * LOG2E, float("-inf"))
    #
    #         # A row may have seen nothing yet: then its maximum is -inf still.
    #         new_m = tl.maximum(m, tl.max(score, 1))
    #         finite = tl.where(new_m == float("-inf"), 0.0, new_m)
    #         old = tl.exp2(m - finite)
    #         p = tl.exp2(score - finite[:, None])
    #         l = l * old + tl.sum(p, 1)
    #         mixed = tl.dot(p.to(query.dtype), values, input_precision="ieee")
    #         acc = acc * old[:, None] + mixed
    #         m = new_m
    #
    #     if SCALED:
    #         acc *= tl.load(v_scale + kv_head)
    #     result = acc / tl.where(l > 0, l, 1.0)[:, None]
    #     written = asked[:, None] & in_head[None, :]
    #     tl.store(out + at, result.to(out.dtype.element_ty), mask=written)
    # END STUB

# %% [markdown] id="extras" tags=["fold"]
# ## Window, soft cap and sinks
#
# Three things that models add, each a few lines in the kernel above:
#
# - A **sliding window** hides all but the last tokens. The walk over the keys then begins where the first row of the program
#   begins to see, so tiles that nobody sees are not read.
# - A **soft cap** keeps scores between $-c$ and $c$, smoothly: $c \tanh(s / c)$. Gemma 2 has it. The kernel uses
#   $\tanh x = 1 - 2 / (1 + e^{2x})$.
# - A **sink** is a score per head that takes weight and brings no value, as GPT-OSS has it: a row that finds nothing to look at
#   may give its weight there. In the running state it is a maximum and a sum to begin with, before the first key.
#
# The cell asks the course's kernel (yours once `prefill` has passed) for the last row of a prompt of 24 tokens.

# %% id="with-extras"
from labkit.specs.prefill_and_chunks.scenes import with_extras

print(with_extras())

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read): `kernel_unified_attention` (`vllm/v1/attention/ops/triton_unified_attention.py`) is one kernel for
#   decode and prefill. Its grid has as many programs as all queries together fill, and one more for each sequence, whose
#   last program may be partly empty; some of them have nothing to do, as here. A program finds its sequence by binary
#   search over the starts. `TILE_SIZE` is 32 keys for prefill and 16 for decode.
#   Padding rows of a batch have the slot `PAD_SLOT_ID`, which is -1.
# - How many tokens a step may compute is `--max-num-batched-tokens` there, and `--chunked-prefill-size` in **SGLang** (0.5.23).
# - Prefill is where arithmetic decides. FlashInfer's post on its version 0.2 has prefill over pages of a single token at 90%
#   of its kernel without pages, on an H100. The kernels of this lesson have not been measured on a GPU, so
#   no figure of theirs stands here; the page on kernels in the course's documents says what is proved without one.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about chunked prefill wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("14", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## How intensity grows
#
# A chunk of $n$ tokens after $P$ earlier ones, $H_q$ query heads, $H_{kv}$ KV heads, $D$ numbers per head, $b$ bytes each. A
# query and a key cost $2D$ operations for the score and $2D$ for the mixture. The cells that are seen are $nP + n(n+1)/2$:
#
# $$\text{operations} = 4 H_q D \left(nP + \tfrac{n(n+1)}{2}\right), \qquad
# \text{bytes} \approx 2 b H_{kv} D (P + n) + 2 b n H_q D.$$
#
# For $n = 1$ and a long past this is $2 H_q / (b H_{kv})$ operations per byte, whatever the model's width: 4 for the model
# of the table. While the second part of the bytes is small, intensity is $n$ times that, for the same keys serve all $n$
# queries. Once $n H_q$ is large beside $P H_{kv}$, queries and outputs are most of the bytes and grow as fast as the
# operations: then intensity follows the number of keys that a query sees, and no longer the number of queries.
