"""Triton's interpreter, made right for bf16 and fp8.

The interpreter keeps a bf16 or fp8 number as the integer of its bits, since numpy has no such types. Arithmetic and
`tl.dot` then work on these integers, and a cast to fewer bits drops the rest instead of rounding: the result is garbage
without a word (Triton 3.7.1 and 3.9.0 alike). Here each operation on such numbers goes through float32, and each cast
through torch, which rounds to the nearest. A float32 holds every bf16 and fp8 number exactly, so a product is rounded
once, as on a GPU.

The operations are replaced on the interpreter's own class, once in a process. A release whose class has other
operations is refused by name.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from kvkernels.errors import KernelPlatformError

OLDEST = (3, 7)
"""Triton 3.6's interpreter breaks on loop bounds that are known at run time only."""
_NEEDED = ("binary_op", "cast_impl", "create_fp_to_fp", "create_dot", "create_masked_load", "create_masked_store")


def make_honest() -> None:
    """Replace what the interpreter does with bf16 and fp8; nothing is done twice.

    Raises:
        KernelPlatformError: this Triton's interpreter has other operations than those that are known here.
    """
    import triton
    from triton.runtime.interpreter import InterpreterBuilder

    release = tuple(int(part) for part in triton.__version__.split(".")[:2])
    missing = [name for name in _NEEDED if not hasattr(InterpreterBuilder, name)]
    if release < OLDEST or missing:
        why = f"its interpreter has no {missing[0]}" if missing else "its interpreter breaks on loops"
        raise KernelPlatformError(
            f"Triton {triton.__version__} cannot interpret these kernels ({why}): install triton 3.7 to 3.9, or use a "
            "machine with a GPU."
        )
    if getattr(InterpreterBuilder, "honest", False):
        return
    # One thread: the tiles are small, and handing them to a pool of threads costs more than the arithmetic.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _replace(InterpreterBuilder)
    InterpreterBuilder.honest = True


def _replace(builder: Any) -> None:
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    torch_type = {
        tl.bfloat16: torch.bfloat16,
        tl.float8e4nv: torch.float8_e4m3fn,
        tl.float8e5: torch.float8_e5m2,
    }
    of_bits = {tl.bfloat16: "uint16", tl.float8e4nv: "uint8", tl.float8e5: "uint8"}

    def plain(handle: Any) -> Any:
        """The numbers of a handle, as float32 where numpy has no type for them."""
        kind = handle.dtype.scalar
        if kind not in torch_type:
            return handle.data
        return torch.from_numpy(handle.data.copy()).view(torch_type[kind]).float().numpy()

    def packed(numbers: Any, kind: Any) -> Any:
        """A handle of dtype `kind`, its numbers rounded to the nearest that there is."""
        if kind in torch_type:
            bits = torch.from_numpy(numbers.astype("float32")).to(torch_type[kind])
            same_width = torch.int16 if of_bits[kind] == "uint16" else torch.uint8
            return TensorHandle(bits.view(same_width).numpy().view(of_bits[kind]), kind)
        return TensorHandle(numbers.astype(_numpy_type(kind)), kind)

    def wrap(name: str, make: Any) -> None:
        setattr(builder, name, make(getattr(builder, name)))

    def binary(original: Any) -> Any:
        def binary_op(self: Any, lhs: Any, rhs: Any, op: Any) -> Any:
            kind = lhs.dtype.scalar
            if kind not in torch_type:
                return original(self, lhs, rhs, op)
            result = op(plain(lhs), plain(rhs))
            return TensorHandle(result, kind) if result.dtype == bool else packed(result, kind)

        return binary_op

    def cast(original: Any) -> Any:
        def cast_impl(self: Any, src: Any, dst_type: Any, *rest: Any) -> Any:
            if src.dtype.scalar in torch_type or dst_type.scalar in torch_type:
                return packed(plain(src), dst_type.scalar)
            return original(self, src, dst_type, *rest)

        return cast_impl

    def dot(original: Any) -> Any:
        def create_dot(self: Any, a: Any, b: Any, d: Any, *rest: Any) -> Any:
            wide = [TensorHandle(plain(x), tl.float32) if x.dtype.scalar in torch_type else x for x in (a, b)]
            return original(self, *wide, d, *rest)

        return create_dot

    wrap("binary_op", binary)
    wrap("cast_impl", cast)
    wrap("create_fp_to_fp", cast)
    wrap("create_dot", dot)


def _numpy_type(kind: Any) -> Any:
    from triton.runtime.interpreter import _get_np_dtype

    return _get_np_dtype(kind)
