# %% [markdown] id="symptom"
# # 11. Your first Triton kernel
#
# A server has run for weeks and every answer was right. It moves to a card with more memory, and a few minutes after the
# start it dies with *an illegal memory access was encountered*. It is started again, and dies again, each time when many
# requests are there. The line that the error names is another one every time, and there is nothing wrong with it.
#
# Pull request 47671 of vLLM, of July 2026, mended such a kernel. It multiplied the number of a page by how many numbers a
# page holds, 480 tokens of 576 each. The cell below computes two figures of its description: the pages
# in a pool of 90 GB, and those whose numbers an int32 can count.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("11")

# %% id="symptom-numbers"
per_page = 480 * 576
print(f"pages in a pool of 90 GB, 2 bytes a number   {90 * 10**9 // (2 * per_page):8,}")
print(f"pages whose numbers an int32 can count       {2**31 // per_page:8,}")

# %% [markdown] id="play"
# ## Look before you read
#
# A request of ten tokens lies in blocks 4, 1 and 6 of a cache of eight; its last page is half full. A kernel, a function on a
# GPU, copies it out. It is started three times, as three **programs**, a row of the picture each, and each copies one page.
# Step with the arrow keys, then press Tab until the picture has a frame and walk through it with them. In which block does
# each program find its page? Which slots does nobody touch?

# %% id="play-widget"
from labkit.widgets.address_picture import picture

picture("gather_page", step=1)

# %% [markdown] id="idea"
# ## What a kernel is
#
# A GPU runs thousands of threads at once, and what runs on it is a **kernel**: one function, started many times. In
# Triton each start is a **program**. All programs run the same text over the same arguments. What tells them apart is a
# number, `tl.program_id(0)`: 0, 1, 2 and so on. Whoever launches the kernel says how many, in square brackets between the
# name and the arguments. That is the **grid**: `kernel[(3,)](...)` starts three programs, `kernel[(4, 3)](...)` starts
# twelve, which have a `program_id(0)` from 0 to 3 and a `program_id(1)` from 0 to 2. Nothing promises an order.
#
# A program computes on many numbers in one go. `tl.arange(0, BLOCK)` is the vector 0, 1, ... BLOCK - 1, and every entry of
# such a vector is a **lane**. `BLOCK: tl.constexpr` is a constant: it is known when the kernel is compiled, as the size of
# every vector must be. And that size is a **power of two**: the compiler deals lanes out to threads, which come in powers of
# two, and each thread gets the same number. The kernel below writes down who did what.

# %% id="who"
from labkit.kernels.recording import can_launch

if can_launch():
    import torch

    from kvkernels import tl, triton
    from kvkernels._triton import INTERPRETED

    device = "cpu" if INTERPRETED else "cuda"

    @triton.jit
    def who(out, BLOCK: tl.constexpr):
        program = tl.program_id(0)
        lane = tl.arange(0, BLOCK)
        tl.store(out + program * BLOCK + lane, 100 * program + lane)

    out = torch.zeros(12, dtype=torch.int32, device=device)
    who[(3,)](out, BLOCK=4)
    print(out.tolist())

# %% [markdown] id="pointers"
# Outside of the kernel `out` is a tensor; inside, it is a **pointer**: the address of the tensor's first number. It
# knows a dtype, and neither shape nor length. `out + 5` is the address of the sixth number, `out + lane` is a vector of
# addresses, `tl.load` brings in what stands there, and `tl.store` writes. Nobody looks whether an address is one of the
# tensor's. A tensor of several axes is rows behind rows, and you compute: in `[tokens, HEAD_DIM]`, number `d` of token `t`
# stands at `t * HEAD_DIM + d`.
#
# Ten numbers in blocks of four make three programs, and the last has two lanes too many. A **mask**, one truth value per
# lane, turns them off: `tl.load(src + at, mask=at < n)` asks for no address where it is false. What stands in a lane that
# was off is left open, unless the load says so: `other=0.0`. A pointer has no `[]`: `tl.load(table + j)` is entry j. How many
# programs ten numbers need, rounded up, is `triton.cdiv(10, 4)`.
#
# **Where this runs.** Here a kernel is run by Triton's *interpreter*: program after program, each line in NumPy, so you can
# see all of it (`print` works inside, and a report echoes it), and it is slow. Where there is a GPU the same cell compiles the kernel, and all programs that fit run at
# once. The checks always take the interpreter, which watches every address before it is followed.

# %% [markdown] id="about-copy-masked"
# ### Exercise: `copy_masked` (8 minutes, difficulty 2, importance 4)
#
# `tl` and `triton` are imported for the cell. In the check nothing before or behind the tensors may be read
# or written.

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


# %% id="use-copy-masked"
from labkit.kernels.recording import can_launch

if can_launch():
    import torch

    from kvkernels import triton
    from kvkernels._triton import INTERPRETED
    from labkit import mine

    device = "cpu" if INTERPRETED else "cuda"
    src = torch.arange(10.0, device=device)
    out = torch.full((12,), -1.0, device=device)
    mine.copy_masked[(triton.cdiv(10, 4),)](out, src, 10, BLOCK=4)
    print(out.tolist())

# %% id="picture-copy-masked"
from labkit.widgets.address_picture import picture

picture("copy_masked",
        subtitle="The numbers of src, four per program. Two lanes of program 2 are off.")

# %% [markdown] id="about-pictures"
# This picture and those below are drawn from **your** kernel as it stands in the notebook, also before it passes: a wrong
# address is a red cell. If a check puzzles you, run the picture below it. To make it, your kernel is launched in a process
# of its own, whose end is not the end of this notebook. That is needed, as the next cell shows. It follows an address that
# lies far outside of everything, with nobody watching.

# %% id="wild-read"
from labkit.kernels.recording import can_launch, record

if can_launch():
    from kvkernels import tl, triton

    @triton.jit
    def wild_read(out, src, n, BLOCK: tl.constexpr):
        far = tl.full([], 2**43, tl.int64)
        tl.store(out, tl.load(src + far))

    scene = "labkit.specs.first_kernel.scenes:ten_numbers"
    print(record(wild_read, scene, watch=False).sentence)

# %% [markdown] id="after-wild-read"
# On a GPU it is the *illegal memory access* of the symptom. It ends all that the process does on that GPU, and since a
# launch only hands the kernel over and does not wait, the error comes up in whichever call waits next.
#
# ## One prediction first
#
# The kernel of the question has no mask: `at` is computed as in your copy, and then comes
# `tl.store(out + at, tl.load(src + at))`.

# %% id="predict-p1"
predict("11", "p1")

# %% id="reveal-p1"
from labkit.kernels.recording import can_launch

if can_launch():
    import torch

    from kvkernels import tl, triton
    from kvkernels._triton import INTERPRETED

    device = "cpu" if INTERPRETED else "cuda"

    @triton.jit
    def copy_unmasked(out, src, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(out + at, tl.load(src + at))

    memory = torch.full((16,), 77.0, device=device)  # 10 numbers of src, then another's
    memory[:10] = torch.arange(10.0)
    out = torch.zeros(12, device=device)
    copy_unmasked[(3,)](out, memory[:10], BLOCK=4)
    print("out, the first ten  ", out[:10].tolist())
    print("out, what follows   ", out[10:].tolist())

# %% [markdown] id="after-p1"
# An address need not lie far outside. No error says so, and whoever looks at the ten numbers finds them right. A server's memory is one large piece that it cuts
# itself, so most wrong addresses are like this one. They are found by looking at addresses and not at results.

# %% [markdown] id="about-gather-page"
# ### Exercise: `gather_page` (10 minutes, difficulty 3, importance 5)
#
# The kernel of the first picture. Two things are new. The address of a page is *looked up*: the program loads an entry of
# the table and computes with it. And the tile has two axes: `slot[:, None]` is a column, `d[None, :]` is a row, and what is
# computed of both has a lane for each pair. A mask of rows needs `[:, None]` as well, and is spread over the
# other axis.
#
# An id out of the table has 32 bits, as everything has that `tl.arange` and `tl.program_id` give. `.to(tl.int64)` makes it
# wider, and with it all that is computed from it. In the check NaN lies in every slot without a token, the pages lie in no
# order, and one cache is larger than this machine's memory.

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


# %% id="picture-gather-page"
from labkit.widgets.address_picture import picture

picture("gather_page")

# %% [markdown] id="halfway"
# ## Half way
#
# You have programs, pointers and masks, and a program that finds its page. What is left is arithmetic on what was found. A
# good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("11")

# %% [markdown] id="about-page-scores"
# ### Exercise: `page_scores` (10 minutes, difficulty 3, importance 5)
#
# Now the grid has two axes: a program for each query head and page. Query heads that share a KV head ask for the same
# keys, each for itself. Numbers of a head stand side by side, then come the next KV head of the slot, the next slot, the
# next block.
#
# A head may have 80 or 96 numbers, and lanes come in powers of two: `HEAD_PAD` lanes, of which those from `HEAD_DIM` on are
# idle. They are in the sum all the same, so here `other` matters. The interpreter alone would put 0 into a lane that is off,
# and so do the compilers for NVIDIA's and AMD's cards today; Triton's language does not promise it. The check puts NaN there.
# And since pages may be float16, make what you load float32 before you multiply: `.to(tl.float32)`. `tl.sum(x, 1)` sums
# along axis 1.

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
        k_cache: pointer to [num_blocks, PAGE, KV_HEADS, HEAD_DIM], dtype of q; any
            number of blocks.
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


# %% id="picture-page-scores"
from labkit.widgets.address_picture import picture

picture("page_scores", subtitle="Two KV heads in each slot: the upper half is KV head 0.")

# %% [markdown] id="after-page-scores"
# Programs (0, 0) to (1, 2) touch upper halves, the others lower ones. Each half is touched twice: two query heads share it,
# and neither knows of the other. Those bytes are read twice from memory or from a cache before it; lesson 12 counts them.
#
# The interpreter takes the programs one after the other. The cell below measures that with your kernel.

# %% id="times" tags=["nbval-ignore-output"]
from labkit.kernels.recording import can_launch

if can_launch():
    from labkit import mine
    from labkit.specs.first_kernel.scenes import launch_seconds

    for heads in (1, 2, 4, 8):
        seconds = launch_seconds(mine.page_scores, heads)
        print(f"{heads * 3:3} programs   {1000 * seconds:7.1f} ms")

# %% [markdown] id="after-times"
# In the interpreter twice the programs take about twice the time. An H100 has 132 multiprocessors (NVIDIA's data sheet),
# and each keeps several programs at once: there a few dozen programs start together, and what counts is whether there are
# enough of them to keep all busy. Lesson 13 is about that. No GPU was at hand to measure it, so no figure of one stands here.

# %% [markdown] id="about-break-it"
# ### Break it: a larger card (5 minutes, difficulty 3, importance 5)
#
# The server of the symptom. Its kernel gathers pages, and differs in one place from one that is right:
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
#
# Convict it. `("Cache", 512, 16, 128)` makes a cache of 512 blocks with pages of 16 tokens of 128 numbers, and comes first;
# `("gather", 511)` copies the page in block 511. Only the pages that you gather are really made, so the cache may have up to
# 2**32 numbers; pages and heads are powers of two here, unlike those of the symptom. The shortest list wins.

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

# %% [markdown] id="about-live"
# ## A real model on a kernel
#
# The whole decode step in one kernel is the stretch exercise at the end. The cell below lets the model go on with a
# sentence, every layer attended by that kernel: yours if it has passed, step 1 of the course's ladder if not. Each dot is a
# layer: one launch of nine programs, one per query head. That takes some seconds per token. PyTorch answers beside it. (Without the model a tiny one stands in, whose words mean
# nothing.)

# %% id="live" tags=["nbval-ignore-output"]
from labkit.kernels.recording import can_launch

if can_launch():
    from labkit import mine
    from labkit.serving import load
    from labkit.specs.first_kernel.scenes import decode_with

    decode_with(load(), mine.paged_decode, "The capital of France is")

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("11")

# %% id="finish"
finish("11")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch exercise: the whole loop

# %% [markdown] id="about-paged-decode"
# ### Exercise: `paged_decode` (15 minutes, difficulty 4, importance 4)
#
# A program for each sequence and query head follows the table, page after page, with the online softmax of lesson 10: all
# that your two kernels do, and three numbers of state. Fill what is `...` and take the first line out. Exponentials are
# powers of two here, which is what a GPU computes: $e^x = 2^{x \log_2 e}$, and the factor is in `scale` already. A sequence
# without a token gives zeros. Beside `tl.sum(x, 1)` you need `tl.max(x, 0)`, the largest along an axis, `tl.maximum(a, b)`, the
# larger of two, `tl.exp2(x)`, and `tl.where(condition, a, b)`.

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
    slot = tl.arange(0, PAGE)
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
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
    # slot = tl.arange(0, PAGE)
    # d = tl.arange(0, HEAD_PAD)
    # in_head = d < HEAD_DIM
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


# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM**: pull request 47671 casts the number of the page to int64 right after it is loaded. Its description says that
#   the server crashed each time once block ids crossed 7767, and that the error usually blames another kernel. In 0.33.0
#   `kernel_unified_attention` (`vllm/v1/attention/ops/triton_unified_attention.py`) looks up a page per lane and computes
#   with 64 bits.
# - Pull request 50483 of vLLM is the other half of the symptom: FlexAttention's offsets have 32 bits too, and where the
#   wrapped address is mapped there is no error at all, and the output is silently wrong.
# - **SGLang**: issue 20389 is the same product in its Triton backend, with a token's number in place of a page's.
# - **Lanes that are off**: pull request 127311 of PyTorch says that Triton leaves their values open, that the backends for
#   NVIDIA, AMD and Intel fill in 0, and adds `other` wherever a result depends on it.
# - `TRITON_INTERPRET=1` before Python starts is the interpreter anywhere. It shows no races: its programs never run at once.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked how to test a kernel without a GPU wrote the sentence below. Is it true, false, or too broad?
# Pick the judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("11", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Where a number stands
#
# A tensor of shape $[n_0, n_1, \dots, n_k]$ whose numbers lie one behind the other has number $(i_0, i_1, \dots, i_k)$ at
#
# $$(\dots((i_0 \, n_1 + i_1)\, n_2 + i_2) \dots)\, n_k + i_k,$$
#
# because one step along an axis skips everything behind that axis. For a cache of shape [blocks, PAGE, KV_HEADS, HEAD_DIM]
# these are the three products of `page_scores`: `((block * PAGE + slot) * KV_HEADS + kv_head) * HEAD_DIM + d`.
#
# The largest is below the product of all sizes. With 32 bits the products are computed modulo $2^{32}$ and read as numbers
# from $-2^{31}$ to $2^{31} - 1$. So the last block that is found is the last one whose numbers all stand below $2^{31}$, and
# the next is looked for $2^{32}$ numbers before its place: in front of the whole cache.
