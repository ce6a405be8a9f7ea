# %% [markdown] id="symptom"
# # 12. Bytes are time
#
# tbd

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("12")

# %% [markdown] id="about-expected-bytes"
# ### Exercise: `expected_bytes` (8 minutes, difficulty 2, importance 5)

# %% id="ex-expected-bytes"
# %%exercise expected_bytes
def expected_bytes(lengths, q_heads, kv_heads, head_dim, page, kv_bytes=2, q_bytes=2):
    """Bytes that one layer's attention reads and writes in a decode step, counted three ways.

    Args:
        lengths: tokens of each sequence, a list; a sequence may have 0.
        q_heads, kv_heads: heads of the queries, and of keys and values.
        head_dim: numbers in a query, a key, a value, an output.
        page: tokens of a page. An entry of the block table has 4 bytes.
        kv_bytes, q_bytes: bytes of a number in keys and values, and in queries and outputs.

    Returns:
        (floor, per_query_head, per_kv_head), whole numbers of bytes:
        floor: everything that the step needs, once.
        per_query_head: one program for each sequence and query head reads its keys and
            values, and the page ids of its sequence, for itself.
        per_kv_head: one program for each sequence and KV head does, for its whole group.
        Lengths are left out: a handful of bytes.
    """
    # BEGIN SOLUTION
    token = 2 * head_dim * kv_bytes
    ends = 2 * len(lengths) * q_heads * head_dim * q_bytes
    tokens = sum(lengths)
    ids = 4 * sum(-(-n // page) for n in lengths)
    floor = kv_heads * tokens * token + ends + ids
    per_query_head = q_heads * (tokens * token + ids) + ends
    per_kv_head = kv_heads * (tokens * token + ids) + ends
    return floor, per_query_head, per_kv_head
    # END SOLUTION


# %% [markdown] id="about-tile-addresses"
# ### Exercise: `tile_addresses` (12 minutes, difficulty 3, importance 5)

# %% id="ex-tile-addresses"
# %%exercise tile_addresses
@triton.jit
def tile_addresses(
    out, block_table, length, kv_head,
    KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
):
    """Where the row of each position of one sequence begins, TILE positions per program.

    Args:
        out: pointer to int64 numbers; out[i] is to be the number, counted from the
            beginning of the cache, with which the row of position i begins. Only
            positions below `length` are written. The grid is (cdiv(length, TILE),).
        block_table: pointer to the int32 block ids of this sequence, one for each page;
            what stands behind its own pages must not be looked up.
        length: tokens of the sequence, 1 or more.
        kv_head: which KV head's rows.
        KV_HEADS, HEAD_DIM, PAGE: of the cache [num_blocks, PAGE, KV_HEADS, HEAD_DIM].
            PAGE is any number of tokens, smaller or larger than TILE.
        TILE: positions per program, a power of two.
    """
    # BEGIN SOLUTION
    first = tl.program_id(0) * TILE
    position = first + tl.arange(0, TILE)
    used = position < length
    entry = position // PAGE
    block = tl.load(block_table + entry, mask=used, other=0).to(tl.int64)
    slot = position % PAGE
    row = (block * PAGE + slot) * KV_HEADS + kv_head
    tl.store(out + position, row * HEAD_DIM, mask=used)
    # END SOLUTION


# %% [markdown] id="about-break-it"
# ### Break it: wide too late (5 minutes, difficulty 3, importance 4)
#
# ```python
# @triton.jit
# def tile_addresses(
#     out, block_table, length, kv_head,
#     KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
# ):
#     position = tl.program_id(0) * TILE + tl.arange(0, TILE)
#     used = position < length
#     block = tl.load(block_table + position // PAGE, mask=used, other=0)
#     row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
#     tl.store(out + position, (row * HEAD_DIM).to(tl.int64), mask=used)
# ```

# %% id="ex-break-it"
# %%exercise break_addresses
# BEGIN SOLUTION
ops = [
    ("Cache", 8000, 480, 1, 576),
    ("read", 7768, 0, 0),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Cache", 1000, 480, 1, 576),
#     ("read", 999, 0, 0),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("12")

# %% id="finish"
finish("12")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: a group in one program
#
# ### Exercise: `grouped_decode` (15 minutes, difficulty 4, importance 4)

# %% id="ex-grouped-decode"
# %%exercise grouped_decode
@triton.jit
def grouped_decode(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr,
    PAGE: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr,
):
    """Attention of one query a sequence over its pages; the grid is (seqs, KV_HEADS).

    Args:
        out, q: pointers to [seqs, Q_HEADS, HEAD_DIM].
        k_cache, v_cache: pointers to [num_blocks, PAGE, KV_HEADS, HEAD_DIM].
        block_tables: pointer to block ids, int32 [seqs, max_blocks].
        lengths: pointer to the tokens of each sequence, int32 [seqs]; 0 is allowed.
        scale: log2(e) / sqrt(head_dim).
        HEAD_PAD: the power of two that HEAD_DIM fits in.
        TILE: positions per tile, 16 or more.
        ROWS: rows of the query matrix, 16 or more: a group and rows of nothing.
    """
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    length = tl.load(lengths + seq)

    # The query heads of the group are the first rows of a matrix.
    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    mine = (r < GROUP)[:, None] & in_head[None, :]
    # BEGIN SOLUTION
    head = kv_head * GROUP + r
    at = (seq * Q_HEADS + head[:, None]) * HEAD_DIM + d[None, :]
    # END SOLUTION
    # BEGIN STUB
    # head = r  # which query head is row r?
    # at = (seq * Q_HEADS + head[:, None]) * HEAD_DIM + d[None, :]
    # END STUB
    query = tl.load(q + at, mask=mine, other=0.0)

    m = tl.full([ROWS], float("-inf"), tl.float32)
    l = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_PAD], tl.float32)
    for first in range(0, length, TILE):
        # BEGIN SOLUTION
        position = first + tl.arange(0, TILE)
        used = position < length
        entry = seq * max_blocks + position // PAGE
        block = tl.load(block_tables + entry, mask=used, other=0).to(tl.int64)
        row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
        where = row[:, None] * HEAD_DIM + d[None, :]
        there = used[:, None] & in_head[None, :]
        keys = tl.load(k_cache + where, mask=there, other=0.0)
        values = tl.load(v_cache + where, mask=there, other=0.0)

        score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
        score = tl.where(used[None, :], score, float("-inf"))
        new = tl.maximum(m, tl.max(score, 1))
        keep = tl.exp2(m - new)
        p = tl.exp2(score - new[:, None])
        l = l * keep + tl.sum(p, 1)
        acc = acc * keep[:, None] + tl.dot(p.to(values.dtype), values, input_precision="ieee")
        m = new
        # END SOLUTION
        # BEGIN STUB
        # raise NotImplementedError("grouped_decode: your code goes here")
        # position = ...  # the tile's positions, and which of them are tokens
        # keys, values = ...  # two loads [TILE, HEAD_PAD] through the block table
        # score = ...  # [ROWS, TILE]: one product of all rows with all keys
        # m, l, acc = ...  # the state of lesson 10, with powers of 2
        # END STUB

    # BEGIN SOLUTION
    result = acc / tl.where(l > 0, l, 1.0)[:, None]
    # END SOLUTION
    # BEGIN STUB
    # result = acc  # what is left to do?
    # END STUB
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mine)
