# %% [markdown] id="symptom"
# # 11. Your first Triton kernel

# %% id="start"
from labkit.lesson import finish, start

start("11")

# %% [markdown] id="about-copy-masked"
# ### Exercise: `copy_masked` (8 minutes, difficulty 2, importance 4)

# %% id="ex-copy-masked"
# %%exercise copy_masked
@triton.jit
def copy_masked(out, src, n, BLOCK: tl.constexpr):
    """Copy the first n numbers of src to out; the grid is (cdiv(n, BLOCK),).

    Args:
        out, src: pointers to tensors of n numbers or more.
        n: how many to copy, 1 or more.
        BLOCK: numbers per program, a power of two.
    """
    # BEGIN SOLUTION
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = at < n
    tl.store(out + at, tl.load(src + at, mask=there), mask=there)
    # END SOLUTION


# %% [markdown] id="about-gather-page"
# ### Exercise: `gather_page` (10 minutes, difficulty 3, importance 5)

# %% id="ex-gather-page"
# %%exercise gather_page
@triton.jit
def gather_page(out, cache, block_table, length, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr):
    """Copy the tokens of one sequence out of their pages; program j copies page j.

    The grid is (cdiv(length, PAGE),).

    Args:
        out: pointer to [length, HEAD_DIM]; row t is to hold token t.
        cache: pointer to [num_blocks, PAGE, HEAD_DIM]; any number of blocks.
        block_table: pointer to int32 block ids, page 0 first.
        length: tokens of the sequence, 1 or more.
        HEAD_DIM, PAGE: powers of two.
    """
    # BEGIN SOLUTION
    page = tl.program_id(0)
    block = tl.load(block_table + page).to(tl.int64)
    slot = tl.arange(0, PAGE)
    d = tl.arange(0, HEAD_DIM)
    token = page * PAGE + slot
    used = (token < length)[:, None]
    source = (block * PAGE + slot)[:, None] * HEAD_DIM + d[None, :]
    target = token[:, None] * HEAD_DIM + d[None, :]
    tl.store(out + target, tl.load(cache + source, mask=used), mask=used)
    # END SOLUTION


# %% [markdown] id="about-page-scores"
# ### Exercise: `page_scores` (10 minutes, difficulty 3, importance 5)

# %% id="ex-page-scores"
# %%exercise page_scores
@triton.jit
def page_scores(
    out, q, k_cache, block_table, length, scale,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
):
    """The scores of every query head over one page per program.

    The grid is (q_heads, cdiv(length, PAGE)).

    Args:
        out: pointer to float32 [q_heads, length].
        q: pointer to [q_heads, HEAD_DIM].
        k_cache: pointer to [num_blocks, PAGE, KV_HEADS, HEAD_DIM], dtype of q.
        block_table: pointer to int32 block ids, page 0 first.
        length: tokens of the sequence, 1 or more.
        scale: factor on every score.
        GROUP: query heads per KV head; query head h reads KV head h // GROUP.
        HEAD_PAD: HEAD_DIM rounded up to a power of two.
        PAGE: a power of two.
    """
    # BEGIN SOLUTION
    head = tl.program_id(0)
    page = tl.program_id(1)
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    slot = tl.arange(0, PAGE)
    token = page * PAGE + slot
    used = token < length
    query = tl.load(q + head * HEAD_DIM + d, mask=in_head, other=0.0).to(tl.float32)
    block = tl.load(block_table + page).to(tl.int64)
    row = (block * PAGE + slot) * KV_HEADS + head // GROUP
    at = row[:, None] * HEAD_DIM + d[None, :]
    there = used[:, None] & in_head[None, :]
    keys = tl.load(k_cache + at, mask=there, other=0.0).to(tl.float32)
    score = tl.sum(query[None, :] * keys, 1) * scale
    tl.store(out + head * length + token, score, mask=used)
    # END SOLUTION


# %% [markdown] id="about-break-it"
# ### Break it: a larger card (5 minutes, difficulty 3, importance 5)
#
# ```python
# @triton.jit
# def gather_page(out, cache, block_table, length, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr):
#     page = tl.program_id(0)
#     block = tl.load(block_table + page)
#     slot = tl.arange(0, PAGE)
#     d = tl.arange(0, HEAD_DIM)
#     token = page * PAGE + slot
#     used = (token < length)[:, None]
#     source = (block * PAGE + slot)[:, None] * HEAD_DIM + d[None, :]
#     target = token[:, None] * HEAD_DIM + d[None, :]
#     tl.store(out + target, tl.load(cache + source, mask=used), mask=used)
# ```

# %% id="ex-break-it"
# %%exercise break_offsets
# BEGIN SOLUTION
ops = [
    ("Cache", 2**21, 16, 128),
    ("gather", 2**20),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Cache", 512, 16, 128),
#     ("gather", 511),
# ]
# END STUB

# %% [markdown] id="about-paged-decode"
# ### Stretch exercise: `paged_decode` (15 minutes, difficulty 4, importance 4)

# %% id="ex-paged-decode"
# %%exercise paged_decode
@triton.jit
def paged_decode(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
):
    """Attention of one query per sequence and head over its pages.

    The grid is (seqs, q_heads).

    Args:
        out, q: pointers to [seqs, Q_HEADS, HEAD_DIM].
        k_cache, v_cache: pointers to [num_blocks, PAGE, KV_HEADS, HEAD_DIM].
        block_tables: pointer to int32 [seqs, max_blocks].
        lengths: pointer to int32 [seqs], 0 or more.
        max_blocks: entries in a row of block_tables.
        scale: factor on a score, log2(e) included: exp2(scale * product)
            is the exponential of softmax.
        HEAD_PAD: HEAD_DIM rounded up to a power of two.
        PAGE: a power of two.
    """
    # BEGIN SOLUTION
    seq = tl.program_id(0)
    head = tl.program_id(1)
    kv_head = head // (Q_HEADS // KV_HEADS)
    length = tl.load(lengths + seq)
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    slot = tl.arange(0, PAGE)
    mine = (seq * Q_HEADS + head) * HEAD_DIM + d
    query = tl.load(q + mine, mask=in_head, other=0.0).to(tl.float32)

    m = tl.full([], float("-inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.zeros([HEAD_PAD], tl.float32)
    for first in range(0, length, PAGE):
        block = tl.load(block_tables + seq * max_blocks + first // PAGE).to(tl.int64)
        row = (block * PAGE + slot) * KV_HEADS + kv_head
        where = row[:, None] * HEAD_DIM + d[None, :]
        used = first + slot < length
        there = used[:, None] & in_head[None, :]
        keys = tl.load(k_cache + where, mask=there, other=0.0).to(tl.float32)
        score = tl.where(used, tl.sum(query[None, :] * keys, 1) * scale, float("-inf"))
        new_m = tl.maximum(m, tl.max(score, 0))
        old = tl.exp2(m - new_m)
        p = tl.exp2(score - new_m)
        values = tl.load(v_cache + where, mask=there, other=0.0).to(tl.float32)
        l = l * old + tl.sum(p, 0)
        acc = acc * old + tl.sum(p[:, None] * values, 0)
        m = new_m

    result = acc / tl.where(l > 0, l, 1.0)
    tl.store(out + mine, result.to(out.dtype.element_ty), mask=in_head)
    # END SOLUTION
    # BEGIN STUB
    # raise NotImplementedError("paged_decode: fill the ... and take this line out")
    # seq = tl.program_id(0)
    # head = tl.program_id(1)
    # kv_head = ...
    # length = tl.load(lengths + seq)
    # d = tl.arange(0, HEAD_PAD)
    # in_head = d < HEAD_DIM
    # slot = tl.arange(0, PAGE)
    # mine = (seq * Q_HEADS + head) * HEAD_DIM + d
    # query = tl.load(q + mine, mask=in_head, other=0.0).to(tl.float32)
    #
    # m = tl.full([], float("-inf"), tl.float32)
    # l = tl.full([], 0.0, tl.float32)
    # acc = tl.zeros([HEAD_PAD], tl.float32)
    # for first in range(0, length, PAGE):
    #     block = ...  # which block holds the tokens first, first + 1, ...?
    #     row = ...  # [PAGE]: its slots, the rows of this KV head
    #     where = row[:, None] * HEAD_DIM + d[None, :]
    #     used = ...  # [PAGE]: which of them hold a token of this sequence?
    #     there = used[:, None] & in_head[None, :]
    #     keys = tl.load(k_cache + where, mask=there, other=0.0).to(tl.float32)
    #     score = ...  # [PAGE]: -inf where there is no token
    #     new_m = ...
    #     old = ...  # the factor on the sums so far
    #     p = ...
    #     values = tl.load(v_cache + where, mask=there, other=0.0).to(tl.float32)
    #     l = ...
    #     acc = ...
    #     m = new_m
    #
    # result = acc / tl.where(l > 0, l, 1.0)
    # tl.store(out + mine, result.to(out.dtype.element_ty), mask=in_head)
    # END STUB


# %% id="finish"
finish("11")
