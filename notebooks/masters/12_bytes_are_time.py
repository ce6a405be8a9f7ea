# %% [markdown] id="symptom"
# # 12. Bytes are time
#
# A server decodes, and its GPU is called 100% busy all day. Somebody profiles a step and finds that the arithmetic units
# have next to nothing to do. The card is then replaced by one that computes no faster, and attention takes a good quarter
# less time.
#
# The cell below computes what one layer's attention costs in a step that decodes 32 conversations of 4,096 tokens, with the
# heads of Llama-3.1-8B. It takes the figures of the two data sheets for granted; nothing in this lesson was measured on a
# GPU.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("12")

# %% id="symptom-numbers"
from labkit.attention.decode_bytes import decode_flops, expected_bytes as bytes_of
from labkit.simulate.cost_model import CARDS
from labkit.specs.bytes_are_time.scenes import SERVER

needed = bytes_of(*SERVER).floor
flops = decode_flops(SERVER.lengths, SERVER.q_heads, SERVER.head_dim)
print(f"one layer: {needed / 1e6:,.0f} MB to read, {flops / 1e9:,.1f} Gflop to compute")
for card in (CARDS["H100"], CARDS["H200"]):
    read, compute = needed / card.bytes_per_s, flops / card.flops_per_s
    print(f"{card.name}: reading {read * 1e6:4.0f} microseconds, computing {compute * 1e6:4.1f}"
          f"   ({card.source})")

# %% [markdown] id="play"
# ## Look before you read
#
# To the right a kernel does more operations for each byte that it moves; upwards a card does more operations a second. The
# bold line is the most that the card can do, and the letters are four pieces of attention. Choose a card, and choose a
# letter with the mouse or the arrow keys. Watch two things: which letters lie on the slope, and what another card changes
# for them.

# %% id="play-widget"
from labkit.specs.bytes_are_time.scenes import four_works
from labkit.widgets import Roofline

Roofline(four_works(), title="Four pieces of attention under the roof of a card")

# %% [markdown] id="idea"
# ## The slope and the roof
#
# A kernel takes as long as its reading or its computing, whichever takes longer; the two go on side by side. What decides is
# how many operations it does for each byte, its **arithmetic intensity**:
#
# $$\text{operations a second} \le \min(\text{peak},\; \text{intensity} \times \text{bandwidth}).$$
#
# Drawn with both axes logarithmic this is a **roofline** (Williams, Waterman and Patterson, 2009). Left of the **ridge**, at
# peak / bandwidth, a kernel is **memory-bound**: it waits for bytes, and faster arithmetic does nothing for it. Right of it
# the kernel is compute-bound.
#
# A decode step multiplies each number of a key with one number of each query that reads it, and adds: 2 operations, and 2
# more for the value. With $G$ query heads to a KV head and numbers of $b$ bytes that is $4G$ operations for $2b$ bytes:
#
# $$\text{intensity} = 2G / b \quad\text{flop per byte}.$$
#
# However long the context is, and however many sequences there are: both sides grow alike. With groups of 4 to 8 no card
# here has its ridge anywhere near. So time is bytes, and a kernel is judged by how many it asks for beyond the **floor**,
# everything once.

# %% id="any-length"
ridge = CARDS["H100"].flops_per_s / CARDS["H100"].bytes_per_s
for tokens in (128, 4096, 131_072):
    per_byte = decode_flops([tokens], 32, 128) / bytes_of([tokens], *SERVER[1:]).floor
    print(f"{tokens:7,} tokens: {per_byte:.2f} flop per byte; ridge of an H100: {ridge:.0f}")

# %% [markdown] id="about-expected-bytes"
# ### Exercise: `expected_bytes` (8 minutes, difficulty 2, importance 5)
#
# A prediction that can be wrong. Say for a decode step what it needs at least, what a kernel asks for that has a program for
# each query head, as lesson 11's has, and what one asks for whose programs serve a KV head and all query heads of its group.

# %% id="ex-expected-bytes"
# %%exercise expected_bytes
def expected_bytes(lengths, q_heads, kv_heads, head_dim, page, kv_bytes=2, q_bytes=2):
    """Bytes that one layer's attention reads and writes in a decode step, counted three ways.

    Args:
        lengths: tokens of each sequence, a list; a sequence may have 0: its query and output
            are still moved.
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

    Example:
        5 tokens in pages of 4, with 4 query heads on 2 KV heads of 8 numbers: the floor is
        320 (keys and values) + 128 (queries and outputs) + 8 (page ids) = 456 bytes.
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


# %% [markdown] id="about-counting"
# Now the count. The **ledger** wraps every load and store of Triton's interpreter and adds up what its lanes ask for,
# argument by argument. The shape is a small one: three sequences, 8 query heads on 2 KV heads. `paged_decode` is the kernel
# of lesson 11, page by page; `grouped_decode` serves a group in one program. Both come from the course's own ladder. The
# last four columns add up to what was counted.

# %% id="ledger"
from labkit.mine import expected_bytes
from labkit.specs.bytes_are_time.scenes import SMALL, count

floor, per_query_head, per_kv_head = expected_bytes(*SMALL)
counts = {}
print(f"{'':14}  predicted  counted keys, values queries, outputs  page ids  lengths")
for name, due in (("paged_decode", per_query_head), ("grouped_decode", per_kv_head)):
    c = counts[name] = count(name, SMALL)
    print(f"{name:14}{due:11,}{c.bytes:9,}{c.kv:13,}{c.ends:17,}{c.ids:10,}{c.lengths:9,}")
print(f"{'floor':14}{floor:11,}")

# %% [markdown] id="after-ledger"
# Keys, values, queries and outputs are what you said, to the byte. The excess has two causes. Each program reads the
# length of its sequence, which the prediction left out. And `grouped_decode` asks for more page ids than there are pages:
# there each *token* of a tile looks its page up, and neighbours on one page ask for the same word. Why that is worth it
# comes next. It costs little, because memory does not move words: it moves **sectors** of 32 bytes, and neighbours that ask
# for the same word share one.

# %% [markdown] id="about-predict"
# ## One prediction first
#
# The allocator would like small pages: less waste in the last one, more prefixes shared. A kernel that goes page by page has
# to follow.

# %% id="predict-p1"
predict("12", "p1")

# %% id="reveal-p1"
from labkit.specs.bytes_are_time.scenes import Case

print("page   keys, values   page ids   loads of keys, bytes in each")
for page in (16, 4, 1):
    c = count("paged_decode", Case([64], 2, 1, 64, page))
    size = c.kv // 2 // max(1, c.loads)
    print(f"{page:4}{c.kv_sectors:15,}{c.id_sectors:11,}{c.loads:10}{size:11,}")

# %% [markdown] id="after-p1"
# The first two columns are bytes, in whole sectors. Compare the first with your prediction: a row of keys is `head_dim`
# numbers in one piece, 128 bytes here, in a page of any size. The page ids rose, since more pages are looked up. Then look
# at the last two columns. A program asks for one page at a time and waits for it, and with small pages it asks for little
# each time. A memory that is far away is kept busy only by much that is asked for at once: **bytes in flight**.

# %% [markdown] id="about-tile-addresses"
# ## A tile is not a page
#
# So the two are taken apart. A **tile** is what a program reads at once, TILE positions, chosen for the GPU. A page is what
# the allocator hands out. Each lane of a tile asks the table for the page of its own position:
#
# ```
# position     40 41 42 43 | 44 45 46 47        a tile of 8, pages of 4
# table entry  10 10 10 10 | 11 11 11 11        position // PAGE
# slot          0  1  2  3 |  0  1  2  3        position % PAGE
# ```
#
# ### Exercise: `tile_addresses` (12 minutes, difficulty 3, importance 5)
#
# The addresses of a tile, as a kernel of its own: no keys are read, and the addresses are what it writes. The cache lies as
# in lesson 10, `[num_blocks, PAGE, KV_HEADS, HEAD_DIM]`, so a slot has the rows of all KV heads side by side. An address is
# counted in numbers. A large cache has more of them than 32 bits can count, and block ids come as 32-bit numbers.

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


# %% [markdown] id="about-page-curve"
# `tiled_decode` is lesson 11's loop with addresses like yours in it, in tiles of 64 positions; it is the course's. The same
# sequence once more, over pages of several sizes, by both kernels. Bytes are counted in sectors, keys, values and page ids
# together, for each program.

# %% id="page-curve"
print("page   kernel          bytes of sectors   loads of keys   bytes in each")
for page in (1, 4, 16, 64):
    for name in ("paged_decode", "tiled_decode"):
        c = count(name, Case([64], 2, 1, 64, page))
        n, loads = max(1, c.programs), max(1, c.loads)
        sectors = (c.kv_sectors + c.id_sectors) // n
        print(f"{page:4}   {name:14}{sectors:18,}{loads // n:16}{c.kv // 2 // loads:16,}")

# %% [markdown] id="after-page-curve"
# By tiles the page size shows only in the bytes of the table, and hardly there. FlashInfer's post of February 2024 reports
# the same of its kernel on a GPU: the size of a page has little effect. So the page can be chosen for the allocator's
# sake alone.

# %% [markdown] id="halfway"
# ## Half way
#
# You can say what a decode needs, count what a kernel asks for, and read a tile whose pages lie anywhere. What is left is
# what the compiler makes of it, and what goes wrong when the numbers get large. A good place to stop and come back.

# %% id="save"
save_point("12")

# %% [markdown] id="grouped"
# ## A group in one program
#
# The ledger has shown the other half already. With a program per query head, the heads of a group ask for the same keys
# again and again; a cache between them and memory may help, and a kernel should not have to hope for that. With a program
# per KV head the queries of a group are the rows of one matrix, and each tile of keys meets all of them in one product:
# bytes of K and V divided by the size of the group. Tensor cores, the units that multiply matrices, take 16 rows at least,
# so a group of 4 rides with 12 rows of zeros. That arithmetic is free: left of the ridge there is plenty of it.
#
# Writing this kernel is the stretch exercise at the end. Below it runs already, yours or the course's.

# %% id="group-bytes"
from labkit.specs.bytes_are_time.scenes import grouped_kernel

grouped_decode = grouped_kernel()  # yours once it has passed, else the course's
mine = count("grouped_decode", SMALL, kernel=grouped_decode)
apart = counts["paged_decode"]
group = SMALL.q_heads // SMALL.kv_heads
print(f"keys and values, a program per query head: {apart.kv:9,} bytes")
print(f"keys and values, a program per KV head:    {mine.kv:9,} bytes")
print(f"{apart.kv / max(1, mine.kv):.0f} times less, with groups of {group} query heads")

# %% [markdown] id="about-compiled"
# ## What the compiler made of it
#
# Triton compiles for a GPU that is elsewhere, so what becomes of a kernel can be read here. The report shows three things:
#
# - **Registers** hold the numbers of a thread, which has 255 of them. What does not fit is **spilled** to memory and read
#   back, bytes that no prediction had.
# - **Wide loads**: a thread loads up to 128 bits at once, 8 numbers of 16 bits, if the compiler knows that they begin at a
#   multiple of 16 bytes.
# - **Occupancy** is how much of what a multiprocessor could keep running fits on it, counted in warps (a warp is 32 threads
#   that go in step). Programs share its registers and its **shared memory**, a small memory inside the multiprocessor.
#
# The cell compiles the grouped kernel twice for an H100 (`sm_90`), with caches as an allocator makes them, and with caches
# that begin one number later, as one does that was cut out of a larger tensor.

# %% id="compiled" tags=["nbval-ignore-output"]
from labkit.widgets.kernel_report import two_ways

two_ways(grouped_decode, "grouped")

# %% [markdown] id="after-compiled"
# One number of misalignment, and the loads of keys and values come a number at a time. Each takes an instruction, an address
# and a register; the registers run out. The bytes of keys and values are the same in both columns, and so is the roof; what
# is spilled comes on top. What differs is whether the kernel can get near the roof. (Where there is no Linux, the report
# shows figures that were recorded.)

# %% [markdown] id="about-placed"
# ## Your kernel under the roof
#
# Bytes from the ledger, operations from the shape, the roof from the data sheet: this is where the kernels lie at best. Where
# they do lie only a GPU tells. None was at hand when this was written, so no measured point is drawn. The shape is tiny:
# read the operations per byte, and not the nanoseconds. `grouped_decode` asks for hardly more than the floor, so its B lies
# under the C of the floor.

# %% id="placed"
small = decode_flops(SMALL.lengths, SMALL.q_heads, SMALL.head_dim)
Roofline(
    [
        ("paged_decode, as counted", max(1, counts["paged_decode"].bytes), small),
        ("grouped_decode, as counted", max(1, mine.bytes), small),
        ("the floor", expected_bytes(*SMALL)[0], small),
    ],
    card="H200", point=1, title="Two kernels and the floor",
)

# %% [markdown] id="about-break-it"
# ### Break it: wide too late (5 minutes, difficulty 3, importance 4)
#
# A model with large pages, 544 tokens and two heads of 256 numbers, has been answering well for months. It moves to a card
# with more memory, and on quiet days all is well there too. When the server is full, requests die of an illegal memory access,
# and the error names a kernel that has nothing to do with it. In another server nothing dies, and some answers are wrong.
# The kernel finds its rows like this, and there is a cast to 64 bits in it:
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

# Convict it. `("Cache", 1000, 544, 2, 256)` is a cache of 1,000 blocks, 544 slots, 2 KV heads of 256 numbers, and comes first;
# `("read", 999, 0, 0)` asks where the row of block 999, slot 0, head 0 begins. No memory is taken for it, so the cache may
# be as large as you like. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_addresses
# BEGIN SOLUTION
ops = [
    ("Cache", 8000, 544, 2, 256),
    ("read", 7711, 0, 0),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Cache", 1000, 544, 2, 256),
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
#
# Lesson 10's state of rows, your tile, and one product for all rows of a group: `tl.dot(a, b)` is a matrix product, and
# `tl.trans` turns a matrix over. `scale` brings $\log_2 e$ along, since a GPU computes powers of 2: the weight of a score is
# `tl.exp2`. A matrix product takes both sides in one dtype: weights are float32, so they are cast to that of the values
# first. Rows beyond the group and positions beyond the end stand for nothing. Three places are left blank: which heads the
# rows are, the body of the loop, and the last line but one. Once it has passed, the cells above run on it.

# %% id="ex-grouped-decode"
# %%exercise grouped_decode
@triton.jit
def grouped_decode(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr,
    HEAD_PAD: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr,
):
    """Attention of one query a sequence over its pages; the grid is (seqs, KV_HEADS).

    Args:
        out, q: pointers to [seqs, Q_HEADS, HEAD_DIM].
        k_cache, v_cache: pointers to [num_blocks, PAGE, KV_HEADS, HEAD_DIM], which may have
            more numbers than 32 bits can count. They and q may be float16: both sides of
            tl.dot need one dtype.
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
        mixed = tl.dot(p.to(values.dtype), values, input_precision="ieee")
        acc = acc * keep[:, None] + mixed
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

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** (0.33.0 read): `kernel_unified_attention` in `vllm/v1/attention/ops/triton_unified_attention.py` has a program for
#   each KV head whose rows are the query heads of the group, 16 rows or more, and tiles apart from pages: `TILE_SIZE` is 16 for
#   decode and 32 for prefill, and 32 where keys have one byte. Offsets are 64 bits wide.
# - Addresses that were too narrow: pull request 47671 mends a decode kernel whose page numbers were multiplied in 32 bits;
#   with pages of 480 x 576 numbers it died once block ids passed about 7,767. In issue 50427 the same happens to pages under
#   FlexAttention, as a crash or as wrong output without a word.
# - **SGLang** (0.5.23) packs 16 heads and tiles of 32 tokens in its Triton decode.
# - FlashInfer's post of February 2024: a single request decodes at close to 100% of the bandwidth where its context is long,
#   and grouped heads through tensor cores were 3 times as fast as vLLM's kernel of that time at a batch of 64.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about decode kernels wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("12", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Where the intensity of a decode comes from
#
# A sequence of $L$ tokens with $H_q$ query heads on $H_{kv}$ KV heads, vectors of $D$ numbers of $b$ bytes. Scores take
# $2 L D$ operations for each query head, and mixing the values as many: $4 H_q L D$. Keys and values have $2 L H_{kv} D b$
# bytes. The quotient is
#
# $$\frac{4 H_q L D}{2 L H_{kv} D b} = \frac{2}{b}\cdot\frac{H_q}{H_{kv}} = \frac{2G}{b},$$
#
# in which neither $L$ nor the number of sequences is left. Queries, outputs and page ids only lower it. A prompt is another
# matter: there $n$ new tokens share the keys that they read, and the intensity grows with $n$. Lesson 14 is about that.
