"""What a launcher asks of its arguments before a kernel sees them.

A kernel follows pointers: a page id that is out of range reads, or overwrites, somebody else's memory, and no exception
tells. What can be seen without looking at numbers (shapes, dtypes, devices, layout) is checked at every launch. Page
ids and lengths are numbers; on a GPU a look at them waits for everything launched before. So they are looked at on the
CPU, and on a GPU where `validate` says so.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kvkernels._triton import INTERPRETED
from kvkernels.errors import KernelInputError, KernelPlatformError, need

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
QUANTISED = (torch.int8, torch.float8_e4m3fn)
HEAD_SIZES = (16, 32, 64, 80, 96, 128, 256)
MAX_GROUP = 16
MAX_PAGE = 256


class Shape(NamedTuple):
    """The sizes of one launch."""

    seqs: int
    q_heads: int
    kv_heads: int
    head_dim: int
    num_blocks: int
    page: int
    max_blocks: int

    @property
    def group(self) -> int:
        """Query heads that read the same K and V."""
        return self.q_heads // self.kv_heads


def power_of_2(n: int) -> int:
    """The smallest power of two that is n or more: what `tl.arange` can count to."""
    return 1 << max(n - 1, 0).bit_length()


def check_runs(*tensors: Tensor) -> None:
    """The tensors are where kernels of this process can run.

    Raises:
        KernelInputError: on different devices.
        KernelPlatformError: on the CPU while kernels are compiled for a GPU.
    """
    first = tensors[0].device
    for tensor in tensors:
        need(tensor.device == first, f"Tensors lie on {first} and on {tensor.device}: move all of them to one device.")
    if first.type == "cpu" and not INTERPRETED:
        raise KernelPlatformError(
            "The tensors are on the CPU, and Triton was loaded to compile for a GPU: move them to the GPU, or set "
            "TRITON_INTERPRET=1 before Python starts."
        )


def check_pages(k_cache: Tensor, v_cache: Tensor, quantised: bool | None = False) -> tuple[int, int, int, int]:
    """The two caches [num_blocks, page, kv_heads, head_dim] fit together and are laid out as kernels read them.

    Args:
        quantised: whether they hold int8 or fp8 instead of floats; None takes either.

    Returns:
        Their shape.

    Raises:
        KernelInputError: they do not.
    """
    need(
        k_cache.dim() == 4,
        f"A cache has shape [num_blocks, page, kv_heads, head_dim]; this one has {list(k_cache.shape)}.",
    )
    need(
        k_cache.shape == v_cache.shape,
        f"K and V have one shape; here {list(k_cache.shape)} and {list(v_cache.shape)}.",
    )
    need(k_cache.dtype == v_cache.dtype, f"K and V have one dtype; here {k_cache.dtype} and {v_cache.dtype}.")
    allowed = {None: FLOATS + QUANTISED, False: FLOATS, True: QUANTISED}[quantised]
    names = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
    need(k_cache.dtype in allowed, f"The cache is {k_cache.dtype}; this kernel reads {names}.")
    for name, cache in (("K", k_cache), ("V", v_cache)):
        need(
            cache.is_contiguous(),
            f"The {name} cache is not contiguous (strides {list(cache.stride())}), and a page is read in one piece: "
            "call contiguous() once, where it is made.",
        )
    num_blocks, page, kv_heads, head_dim = k_cache.shape
    need(
        1 <= page <= MAX_PAGE and page == power_of_2(page),
        f"Pages hold {page} tokens; they can hold 1, 2, 4, ... up to {MAX_PAGE}.",
    )
    need(
        head_dim in HEAD_SIZES,
        f"Heads have {head_dim} numbers; these kernels know {', '.join(map(str, HEAD_SIZES))}.",
    )
    need(kv_heads >= 1, "The cache has no KV head; it needs at least 1.")
    return num_blocks, page, kv_heads, head_dim


def check_queries(q: Tensor, k_cache: Tensor, what: str = "seqs") -> None:
    """Queries [rows, q_heads, head_dim] fit the cache.

    Raises:
        KernelInputError: they do not.
    """
    need(q.dim() == 3, f"Queries have shape [{what}, q_heads, head_dim]; these have {list(q.shape)}.")
    need(q.is_contiguous(), f"The queries are not contiguous (strides {list(q.stride())}): call contiguous().")
    need(q.dtype in FLOATS, f"The queries are {q.dtype}; kernels take float32, float16 and bfloat16.")
    if k_cache.dtype in FLOATS:
        need(q.dtype == k_cache.dtype, f"The queries are {q.dtype} and the cache {k_cache.dtype}: make them one dtype.")
    q_heads, kv_heads = q.shape[1], k_cache.shape[2]
    need(
        q.shape[2] == k_cache.shape[3],
        f"Query heads have {q.shape[2]} numbers and KV heads {k_cache.shape[3]}; they are as long as each other.",
    )
    need(
        q_heads >= kv_heads and q_heads % kv_heads == 0,
        f"{q_heads} query heads cannot share {kv_heads} KV heads: the first is a multiple of the second.",
    )
    need(
        q_heads // kv_heads <= MAX_GROUP,
        f"{q_heads // kv_heads} query heads share a KV head; these kernels go up to {MAX_GROUP}.",
    )


def check_tables(block_tables: Tensor, lengths: Tensor, seqs: int, num_blocks: int, page: int, look: bool) -> None:
    """Tables and lengths name pages that are there.

    Args:
        look: whether to look at the numbers too.

    Raises:
        KernelInputError: they do not.
    """
    for name, tensor, dims in (("Block tables", block_tables, 2), ("Lengths", lengths, 1)):
        need(tensor.dtype == torch.int32, f"{name} are {tensor.dtype}; kernels read int32.")
        need(tensor.dim() == dims, f"{name} have {dims} dimension{'s' * (dims > 1)}; these have {tensor.dim()}.")
        need(tensor.shape[0] == seqs, f"{name} are for {tensor.shape[0]} sequences, and there are {seqs}.")
        need(tensor.is_contiguous(), f"{name} are not contiguous: call contiguous().")
    if not look or seqs == 0:
        return
    need(int(lengths.min()) >= 0, f"A length is {int(lengths.min())}; it is 0 or more.")
    blocks = (lengths.long() + page - 1) // page
    short = int(blocks.max())
    need(
        short <= block_tables.shape[1],
        f"{int(lengths.max())} tokens need {short} pages of {page}, and the block table has room for "
        f"{block_tables.shape[1]}.",
    )
    if short == 0:
        return
    used = torch.arange(block_tables.shape[1], device=lengths.device)[None] < blocks[:, None]
    ids = block_tables[used]
    bad = ids[(ids < 0) | (ids >= num_blocks)]
    need(
        len(bad) == 0,
        f"A block table names page {int(bad[0]) if len(bad) else 0}, and the cache has pages 0 to {num_blocks - 1}.",
    )


def check_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    validate: bool | None = None,
    quantised: bool | None = False,
) -> Shape:
    """One query a sequence, over pages.

    Args:
        q: [seqs, q_heads, head_dim].
        k_cache, v_cache: [num_blocks, page, kv_heads, head_dim].
        block_tables: page ids of each sequence in order, int32 [seqs, max_blocks]; what lies beyond a length is not
        read.
        lengths: tokens of each sequence, int32 [seqs]; 0 is allowed.
        validate: look at ids and lengths too; None looks on the CPU alone.

    Returns:
        The sizes.

    Raises:
        KernelInputError: something does not fit; the message says what.
        KernelPlatformError: kernels of this process cannot run there.
    """
    check_runs(q, k_cache, v_cache, block_tables, lengths)
    num_blocks, page, kv_heads, head_dim = check_pages(k_cache, v_cache, quantised)
    check_queries(q, k_cache)
    look = q.device.type == "cpu" if validate is None else validate
    check_tables(block_tables, lengths, q.shape[0], num_blocks, page, look)
    return Shape(q.shape[0], q.shape[1], kv_heads, head_dim, num_blocks, page, block_tables.shape[1])


def softmax_scale(scale: float | None, head_dim: int) -> float:
    """The factor on the scores, times log2(e): e^x is 2^(x log2 e), and a GPU computes powers of 2."""
    return (head_dim**-0.5 if scale is None else scale) * 1.4426950408889634


def check_scales(k_cache: Tensor, k_scale: Tensor | None, v_scale: Tensor | None) -> bool:
    """Pages in 8 bits come with one scale per KV head, float32, and with a device that has such numbers.

    Returns:
        Whether the pages are in 8 bits.

    Raises:
        KernelInputError: the scales are missing or do not fit.
        KernelPlatformError: fp8 on a GPU that has none.
    """
    if k_cache.dtype not in QUANTISED:
        return False
    kv_heads, device = k_cache.shape[2], k_cache.device
    for name, scale in (("k_scale", k_scale), ("v_scale", v_scale)):
        if scale is None:
            raise KernelInputError(f"Pages of {k_cache.dtype} need {name}, one number per KV head; it is missing.")
        need(
            scale.shape == (kv_heads,) and scale.dtype == torch.float32 and scale.is_contiguous(),
            f"{name} is float32 [{kv_heads}], one number per KV head; this one is {scale.dtype} {list(scale.shape)}.",
        )
        need(scale.device == device, f"{name} lies on {scale.device}, and the cache on {device}.")
    if k_cache.dtype == torch.float8_e4m3fn and device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if (major, minor) < (8, 9):
            raise KernelPlatformError(
                f"This GPU (compute capability {major}.{minor}) has no fp8, which needs 8.9: use int8 pages, which are "
                "as small."
            )
    return True
