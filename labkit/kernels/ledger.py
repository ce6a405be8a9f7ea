"""What a launch asked of memory, argument by argument, counted in the interpreter.

Each load and store of the interpreter passes through here: its addresses, its mask, its program. An address belongs to
the argument whose tensor it lies in. So a kernel's traffic can be read without a GPU:

    requested bytes   what the lanes that are not masked ask for; two programs that read the same key ask twice
    sectors           pieces of 32 bytes that one load or store touches: what memory moves, at least, for that load

A cache may serve what is asked for twice; the ledger does not guess. An address in none of the tensors ends the launch
with a sentence before it is followed, where the interpreter alone would end the process.

The interpreter's own functions are wrapped while a ledger is open, and their arguments are bound by name: their order
is another in every release.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labkit.errors import KernelError
from labkit.words import plural

SECTOR = 32
"""Bytes that memory moves at least."""

_NEAR = 1 << 16  # bytes; whose address was meant further off, nobody can say
_BACKED: dict[int, tuple[int, int]] = {}  # first address of a tensor -> where it has memory (`larger_than_memory`)


class OutsideError(KernelError):
    """An address lies in none of the tensors of its launch.

    Attributes:
        access: what was tried: the one offset is counted from the beginning of the nearest tensor; without an argument
            it is the address, far from all.
    """

    def __init__(self, message: str, access: Access | None = None) -> None:
        super().__init__(message)
        self.access = access


@dataclass
class Traffic:
    """Bytes between a kernel and one of its arguments.

    Attributes:
        read, written: bytes asked for.
        sectors_read, sectors_written: pieces of 32 bytes touched, counted per load or store.
    """

    read: int = 0
    written: int = 0
    sectors_read: int = 0
    sectors_written: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.read + other.read,
            self.written + other.written,
            self.sectors_read + other.sectors_read,
            self.sectors_written + other.sectors_written,
        )


@dataclass(frozen=True)
class Access:
    """One load or store of one program.

    Attributes:
        program: its place in the grid.
        argument: whose tensor the addresses lie in.
        offsets: of the numbers in that tensor, int64, in numbers and not in bytes.
        store: whether it writes.
    """

    program: tuple[int, int, int]
    argument: str
    offsets: np.ndarray
    store: bool


@dataclass
class LaunchTraffic:
    """One launch.

    Attributes:
        kernel: its function.
        grid: programs in each direction.
        arguments: traffic by the name of the parameter.
        accesses: each load and store in order, where they are kept.
    """

    kernel: str
    grid: tuple[int, ...]
    arguments: dict[str, Traffic] = field(default_factory=dict)
    accesses: list[Access] = field(default_factory=list)

    def of(self, *names: str) -> Traffic:
        """Traffic of some arguments together; of all of them without names."""
        chosen = names or tuple(self.arguments)
        return sum((self.arguments.get(name, Traffic()) for name in chosen), Traffic())


@dataclass
class Ledger:
    """What happened while it was open: one entry per launch."""

    launches: list[LaunchTraffic] = field(default_factory=list)

    def of(self, *names: str) -> Traffic:
        """Traffic of some arguments over all launches."""
        return sum((launch.of(*names) for launch in self.launches), Traffic())


class _Launch:
    """The tensors of the launch that runs, and whose an address is."""

    def __init__(self, traffic: LaunchTraffic, tensors: dict[str, Any], keep: bool) -> None:
        self.traffic = traffic
        self.keep = keep
        self.large = ""  # the first one that is larger than memory
        spans = []
        for name, tensor in tensors.items():
            start = tensor.data_ptr()
            if start in _BACKED:
                self.large = self.large or name
            start, stop = _BACKED.get(start, (start, start + _span_bytes(tensor)))
            spans.append((start, stop, tensor.element_size(), name))
        # Of tensors that overlap, the smallest says most.
        self.spans = sorted(spans, key=lambda span: span[1] - span[0])

    def note(self, program: tuple[int, int, int], addresses: np.ndarray, size: int, store: bool) -> None:
        left = addresses.astype(np.int64).ravel()
        for start, stop, item, name in self.spans:
            if not len(left):
                return
            here = (left >= start) & (left + size <= stop)
            if not here.any():
                continue
            mine, left = left[here], left[~here]
            entry = self.traffic.arguments.setdefault(name, Traffic())
            sectors = len(np.unique(mine // SECTOR))
            if store:
                entry.written += len(mine) * size
                entry.sectors_written += sectors
            else:
                entry.read += len(mine) * size
                entry.sectors_read += sectors
            if self.keep:
                self.traffic.accesses.append(Access(program, name, (mine - start) // item, store))
        if len(left):
            raise self._outside(program, int(left[0]), store)

    def _outside(self, program: tuple[int, int, int], address: int, store: bool) -> OutsideError:
        does = "writes" if store else "reads"
        where = ", ".join(str(number) for number in program)
        if not self.spans:
            return OutsideError(f"Program ({where}) {does} memory, and no tensor was handed to the kernel.")
        # Whose it was meant to be: of the nearest, or, far from all, of the one that reaches so far.
        near, span = min((max(span[0] - address, address - span[1]), span) for span in self.spans)
        # An offset that went round in 32 bits leads before the end of that one.
        large = next((s for s in self.spans if s[3] == self.large), None)
        if near > _NEAR and (large is None or address >= large[1]):
            return OutsideError(
                f"Program ({where}) {does} an address that is far from every tensor of the launch: an offset is wrong.",
                Access(program, "", np.array([address]), store),
            )
        start, stop, item, name = large if large and near > _NEAR else span
        far = (start - address) // item if address < start else (address - stop) // item
        side = "before the beginning" if address < start else "past the end"
        return OutsideError(
            f"Program ({where}) {does} {plural(far + (address >= stop), 'number')} {side} of {name}: a mask is "
            "missing, or an offset is wrong.",
            Access(program, name, np.array([(address - start) // item]), store),
        )


def _span_bytes(tensor: Any) -> int:
    """Bytes from a tensor's first number to its last."""
    if tensor.numel() == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


@contextmanager
def ledger(keep: bool = False) -> Iterator[Ledger]:
    """Count what launches ask of memory while this is open.

    Args:
        keep: keep each load and store too, as `LaunchTraffic.accesses`.

    Yields:
        The ledger; it grows launch by launch.

    Raises:
        KernelError: kernels of this process are compiled, not interpreted; or a kernel follows an address that lies in
            none of its tensors (raised as the cause of Triton's own error).
    """
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    from kvkernels._triton import INTERPRETED

    if not INTERPRETED:
        raise KernelError("Bytes are counted in the interpreter: set TRITON_INTERPRET=1 before Python starts.")
    book = Ledger()
    running: list[_Launch] = []  # the innermost last
    kept = {name: getattr(InterpreterBuilder, name) for name in ("create_masked_load", "create_masked_store")}
    signatures = {name: inspect.signature(function) for name, function in kept.items()}
    call, init = GridExecutor.__call__, GridExecutor._init_args_hst

    def access(name: str) -> Any:
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signatures[name].bind(self, *args, **kwargs).arguments
            pointers, mask = bound["ptrs"], bound["mask"]
            size = max(1, pointers.get_element_ty().primitive_bitwidth // 8)
            if running:
                addresses = np.broadcast_to(pointers.data, np.broadcast(pointers.data, mask.data).shape)
                chosen = addresses[np.broadcast_to(mask.data.astype(bool), addresses.shape)]
                x, y, z = map(int, self.grid_idx)
                running[-1].note((x, y, z), chosen, size, name.endswith("store"))
            return kept[name](self, *args, **kwargs)

        return wrapped

    def init_args(self: Any, args: Any, kwargs: Any) -> Any:
        hosts, named = init(self, args, kwargs)
        tensors = dict(zip(self.arg_names, hosts, strict=False)) | named
        tensors = {name: tensor for name, tensor in tensors.items() if hasattr(tensor, "data_ptr")}
        grid = self.grid if isinstance(self.grid, tuple) else ()
        traffic = LaunchTraffic(self.fn.__name__, grid)
        book.launches.append(traffic)
        running.append(_Launch(traffic, tensors, keep))
        return hosts, named

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        depth = len(running)
        try:
            return call(self, *args, **kwargs)
        finally:
            del running[depth:]

    for name in kept:
        setattr(InterpreterBuilder, name, access(name))
    GridExecutor._init_args_hst, GridExecutor.__call__ = init_args, called
    try:
        yield book
    finally:
        for name, function in kept.items():
            setattr(InterpreterBuilder, name, function)
        GridExecutor._init_args_hst, GridExecutor.__call__ = init, call


@contextmanager
def larger_than_memory(tensor: Any, blocks: int) -> Iterator[Any]:
    """The same memory as the last blocks of a tensor that begins `blocks` blocks earlier: its ids are large numbers.

    So offsets beyond 32 bits can be tried on any machine. Before its last blocks that tensor has no memory: it is for
    launches under a ledger, which ends one that looks there.

    Args:
        tensor: on the CPU, its numbers one behind the other; a block is one entry of its first axis.
        blocks: how many are missing in front.
    """
    import ctypes

    import torch

    size, skipped = tensor.numel() * tensor.element_size(), blocks * tensor[0].numel() * tensor.element_size()
    start = tensor.data_ptr() - skipped
    view = np.ctypeslib.as_array((ctypes.c_uint8 * (skipped + size)).from_address(start))
    _BACKED[start] = (tensor.data_ptr(), tensor.data_ptr() + size)
    try:
        yield torch.from_numpy(view).view(tensor.dtype).view(-1, *tensor.shape[1:])
    finally:
        del _BACKED[start]


def floor_bytes(
    lengths: list[int], q_heads: int, kv_heads: int, head_dim: int, page: int, *, kv_bytes: int = 2, q_bytes: int = 2
) -> int:
    """Bytes that a decode step cannot do without: each key and value once, queries in, results out, page ids.

    Args:
        lengths: tokens of each sequence.
        kv_bytes, q_bytes: per number in the pages, and in queries and results.
    """
    tokens = sum(lengths)
    pages = sum(-(-length // page) for length in lengths)
    return 2 * tokens * kv_heads * head_dim * kv_bytes + 2 * len(lengths) * q_heads * head_dim * q_bytes + 4 * pages
