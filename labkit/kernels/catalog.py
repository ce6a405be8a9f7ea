"""The launches that stand for the support matrix: what is claimed to compile, in which dtype, for which architecture.

A launch is made by its public launcher over tensors that have a shape and a dtype and no memory (torch's "meta"
device), so what is compiled is what would run, with the launcher's own constants, warps and stages. The shape is that
of a decode step of Llama 3 8B: 32 query heads, 8 KV heads, 128 numbers per head, pages of 16 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.errors import KernelError

if TYPE_CHECKING:
    import torch

SEQS, Q_HEADS, KV_HEADS, HEAD_DIM, PAGE, BLOCKS, MAX_BLOCKS, TOKENS = 8, 32, 8, 128, 16, 1024, 256, 512

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942")
"""A100; H100 and H200; B200; RTX PRO 6000 and RTX 50; MI300X."""

DTYPES = ("fp32", "fp16", "bf16", "int8", "fp8")


@dataclass(frozen=True)
class Entry:
    """One kernel of the matrix.

    Attributes:
        name: of its launcher in `kvkernels`.
        step: of the ladder; 0 stands beside it.
        idea: what it adds, in a few words.
        dtypes: of the pages, those that it is claimed to take.
        kernels: functions that its launch starts, in order.
        launch: makes the launch for a dtype.
    """

    name: str
    step: int
    idea: str
    dtypes: tuple[str, ...]
    kernels: tuple[str, ...]
    launch: Callable[..., Any]

    def supports(self, dtype: str, arch: str) -> bool:
        """fp8 (e4m3) needs compute capability 8.9; gfx942 has another fp8, which is not claimed."""
        return dtype in self.dtypes and not (dtype == "fp8" and arch in ("sm_80", "gfx942"))


def _torch_dtype(name: str) -> torch.dtype:
    import torch

    return {
        "fp32": torch.float32,
        "fp16": torch.float16,
        "bf16": torch.bfloat16,
        "int8": torch.int8,
        "fp8": torch.float8_e4m3fn,
    }[name]


def _tensor(*shape: int, dtype: str | torch.dtype) -> torch.Tensor:
    import torch

    kind = _torch_dtype(dtype) if isinstance(dtype, str) else dtype
    return torch.empty(shape, dtype=kind, device="meta")


def _inputs(dtype: str, aligned: bool = True) -> tuple[Any, ...]:
    """q, K, V, block tables and lengths of a decode step; q is bf16 where pages have 8 bits.

    Args:
        aligned: False for a cache that is cut out of memory one number behind its beginning.
    """
    import torch

    def cut(dtype: str) -> torch.Tensor:
        shape = (BLOCKS, PAGE, KV_HEADS, HEAD_DIM)
        return _tensor(math.prod(shape) + 1, dtype=dtype)[0 if aligned else 1 :][: math.prod(shape)].view(shape)

    return (
        _tensor(SEQS, Q_HEADS, HEAD_DIM, dtype="bf16" if dtype in ("int8", "fp8") else dtype),
        cut(dtype),
        cut(dtype),
        _tensor(SEQS, MAX_BLOCKS, dtype=torch.int32),
        _tensor(SEQS, dtype=torch.int32),
    )


def _scales(dtype: str) -> dict[str, Any]:
    if dtype not in ("int8", "fp8"):
        return {}
    return {"k_scale": _tensor(KV_HEADS, dtype="fp32"), "v_scale": _tensor(KV_HEADS, dtype="fp32")}


def _decode(name: str, **more: Any) -> Callable[..., Any]:
    def launch(dtype: str, aligned: bool = True, **given: Any) -> Any:
        import kvkernels

        return getattr(kvkernels, name)(*_inputs(dtype, aligned), **more, **given)

    return launch


def _quantized(dtype: str) -> Any:
    import kvkernels

    q, k, v, tables, lengths = _inputs(dtype)
    scales = _scales(dtype)
    return kvkernels.quantized_decode(q, k, v, scales["k_scale"], scales["v_scale"], tables, lengths, splits=8)


def _prefill(dtype: str) -> Any:
    import torch

    import kvkernels

    q, k, v, tables, lengths = _inputs(dtype)
    queries = _tensor(TOKENS, Q_HEADS, HEAD_DIM, dtype=q.dtype)
    starts = _tensor(SEQS + 1, dtype=torch.int32)
    return kvkernels.prefill(queries, k, v, tables, lengths, starts, **_scales(dtype))


def _cascade(dtype: str) -> Any:
    import kvkernels

    groups = [kvkernels.SharedPrefix(tuple(range(SEQS)), 64 * PAGE)]
    return kvkernels.cascade_decode(*_inputs(dtype), groups, splits=8, prefix_splits=8)


def _write(dtype: str) -> Any:
    import torch

    import kvkernels

    q, k, v, _, _ = _inputs(dtype)
    new = _tensor(TOKENS, KV_HEADS, HEAD_DIM, dtype=q.dtype)
    slots = _tensor(TOKENS, dtype=torch.int64)
    return kvkernels.write_kv(new, new, k, v, slots, **_scales(dtype))


def _copy(dtype: str) -> Any:
    import torch

    import kvkernels

    cache = _tensor(2, BLOCKS, PAGE, KV_HEADS, HEAD_DIM, dtype=dtype)
    return kvkernels.copy_blocks(cache, cache, _tensor(4, 2, dtype=torch.int64))


_FLOATS, _BYTES = ("fp32", "fp16", "bf16"), ("int8", "fp8")

ENTRIES: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("paged_decode", 1, "follow the block table", _FLOATS, ("paged_decode_kernel",), _decode("paged_decode")),
        Entry("tiled_decode", 2, "tile apart from page", _FLOATS, ("tiled_decode_kernel",), _decode("tiled_decode")),
        Entry("grouped_decode", 3, "K and V once per group", _FLOATS, ("grouped_decode_kernel",),
              _decode("grouped_decode")),
        Entry("split_decode", 4, "one context, many programs", _FLOATS, ("split_decode_kernel", "merge_kernel"),
              _decode("split_decode", splits=8)),
        Entry("quantized_decode", 5, "pages in 8 bits", _BYTES, ("quantized_decode_kernel", "merge_kernel"),
        _quantized),
        Entry("prefill", 6, "many new tokens, ragged", _FLOATS + _BYTES, ("prefill_kernel",), _prefill),
        Entry("cascade_decode", 7, "a shared prefix once", _FLOATS,
              ("prefix_kernel", "suffix_kernel", "merge_kernel"), _cascade),
        Entry("one_launch_decode", 8, "the last one merges", _FLOATS, ("one_launch_kernel",),
              _decode("one_launch_decode", splits=8)),
        Entry("write_kv", 0, "new K and V to their slots", _FLOATS + _BYTES, ("write_kv_kernel",), _write),
        Entry("copy_blocks", 0, "pages for copy-on-write", _FLOATS + _BYTES, ("copy_blocks_kernel",), _copy),
    )
}  # fmt: skip
"""The support matrix, by launcher."""


def entry(name: str) -> Entry:
    """The kernel called `name`.

    Raises:
        KernelError: there is none.
    """
    if name not in ENTRIES:
        raise KernelError(f"There is no kernel {name!r}; there are: {', '.join(ENTRIES)}.")
    return ENTRIES[name]
