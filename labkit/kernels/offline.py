"""Compile kernels for a GPU that is elsewhere, and read what the compiler made of them.

`triton.compile` needs no GPU, and Triton's wheel brings NVIDIA's assembler and disassemblers. From the compiled file
come: registers per thread, bytes that spill to memory, shared memory, and the widest load from global memory. Where
registers spill, STL and LDL stand in the disassembly; the resource usage alone would say 0. For gfx942 the same figures
stand in the AMDGCN text.

Triton is either interpreted or compiled in one process, so this module is run as its own: `inspect` starts `python -m
labkit.kernels.offline`, which answers one JSON line per kernel.
"""

from __future__ import annotations

import importlib
import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import KernelError
from labkit.grading.definitions import split
from labkit.grading.source import compile_kept, fresh_module
from labkit.kernels.catalog import ARCHITECTURES, DTYPES, entry

_SPILLS = re.compile(r"\b(?:STL|LDL)(?:\.[A-Z0-9]+)*\b")
_LOADS = re.compile(r"\b(?:LDG|LDGSTS)\.[A-Z0-9.]*")
_AMD_LOADS = re.compile(r"(?:global|buffer)_load_(?:b|dword)(x?\d*)")
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of one kernel function.

    Attributes:
        name, dtype, arch: of the launch.
        kernel: the function.
        registers: per thread.
        spill_bytes: of a thread's memory that registers spill to, 0 where nothing spills.
        shared_bytes: of shared memory per program.
        widest_load_bits: the widest load from global memory.
        loads: how many instructions load from global memory, by their bits.
        warps: per program, of 32 threads (64 on gfx942).
        seconds: that compiling took.
        triton: the version that compiled.
    """

    name: str
    dtype: str
    arch: str
    kernel: str
    registers: int
    spill_bytes: int
    shared_bytes: int
    widest_load_bits: int
    loads: dict[str, int]
    warps: int
    seconds: float
    triton: str


@dataclass(frozen=True)
class Launch:
    """A call of a kernel that was caught before it ran."""

    function: Any
    arguments: dict[str, Any]
    options: dict[str, Any]


@contextmanager
def caught_launches() -> Iterator[list[Launch]]:
    """Inside, launches are noted instead of run."""
    from triton.runtime.jit import JITFunction

    launches: list[Launch] = []

    def note(self: Any, *args: Any, **kwargs: Any) -> None:
        names = list(self.arg_names)
        arguments = dict(zip(names, args, strict=False)) | {k: v for k, v in kwargs.items() if k in names}
        options = {k: v for k, v in kwargs.items() if k not in (*names, "grid", "warmup")}
        launches.append(Launch(self, arguments, options))

    run, JITFunction.run = JITFunction.run, note
    try:
        yield launches
    finally:
        JITFunction.run = run


def target_of(arch: str) -> Any:
    """Triton's name for an architecture.

    Raises:
        KernelError: it is none of those that are known.
    """
    from triton.backends.compiler import GPUTarget

    if arch not in ARCHITECTURES:
        raise KernelError(f"Kernels are compiled for {', '.join(ARCHITECTURES)}, not for {arch!r}.")
    return GPUTarget("hip", arch, 64) if arch.startswith("gfx") else GPUTarget("cuda", int(arch[3:]), 32)


def source_of(launch: Launch) -> Any:
    """The launch as the compiler takes it: constants, types, and which arguments are multiples of 16.

    Triton looks at the values of a real launch in the same way. Without the multiples of 16 another kernel is
    compiled, one that loads two bytes at a time.
    """
    from triton.compiler import ASTSource
    from triton.runtime.jit import mangle_type

    signature, constants, attrs = {}, {}, {}
    for at, parameter in enumerate(launch.function.params):
        name = parameter.name
        value = launch.arguments[name]
        if parameter.is_constexpr or (type(value) is int and value == 1):
            signature[name] = "constexpr"
            constants[name] = value
            continue
        signature[name] = mangle_type(value)
        if hasattr(value, "data_ptr"):
            value = value.storage_offset() * value.element_size()  # memory itself begins at multiples of 16
        if type(value) is int and value % 16 == 0:
            attrs[(at,)] = [["tt.divisibility", 16]]
    return ASTSource(launch.function, signature, constants, attrs)


def compile_launch(launch: Launch, arch: str) -> dict[str, Any]:
    """The figures of one launch for one architecture, by the names of `Compiled`."""
    import triton

    started = time.perf_counter()
    compiled = triton.compile(source_of(launch), target=target_of(arch), options=launch.options)
    figures = _of_amd(compiled.asm["amdgcn"]) if arch.startswith("gfx") else _of_nvidia(compiled.asm["cubin"])
    return {
        "kernel": launch.function.__name__,
        **figures,
        "shared_bytes": compiled.metadata.shared,
        "warps": compiled.metadata.num_warps,
        "seconds": round(time.perf_counter() - started, 3),
        "triton": triton.__version__,
    }


def _of_nvidia(cubin: bytes) -> dict[str, Any]:
    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        usage = _output(tools / "cuobjdump", "--dump-resource-usage", file)
        code = _output(tools / "nvdisasm", "-c", file)
    registers = re.search(r"\bREG:(\d+)", usage)
    stack = re.search(r"\bSTACK:(\d+)", usage)
    if not registers or not stack:
        raise KernelError("The disassembler's answer names no registers: this Triton brings another cuobjdump.")
    spills = len(_SPILLS.findall(code))
    return {
        "registers": int(registers[1]),
        "spill_bytes": max(int(stack[1]), 4 * spills),
        **_widths(map(_bits, _LOADS.findall(code))),
    }


def _widths(bits: Iterable[int]) -> dict[str, Any]:
    counted = Counter(bits)
    return {"widest_load_bits": max(counted, default=0), "loads": {str(b): n for b, n in sorted(counted.items())}}


def _bits(load: str) -> int:
    """LDG.E.128, LDGSTS.E.BYPASS.128, LDG.E.U16, LDG.E (32)."""
    numbers = [int(part.lstrip("US")) for part in load.split(".")[1:] if part.lstrip("US") in ("8", "16", "64", "128")]
    return numbers[0] if numbers else 32


def _of_amd(text: str) -> dict[str, Any]:
    def number(name: str) -> int:
        found = re.search(rf"\.{name}:\s*(\d+)", text)
        if not found:
            raise KernelError(f"The AMDGCN text has no .{name}: this Triton writes it otherwise.")
        return int(found[1])

    widths = [32 * int(found.lstrip("x") or 1) if found.startswith("x") or not found else int(found)
              for found in _AMD_LOADS.findall(text)]  # fmt: skip
    return {
        "registers": number("vgpr_count"),
        "spill_bytes": max(4 * number("vgpr_spill_count"), number("private_segment_fixed_size")),
        **_widths(widths),
    }


def _output(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def compiled_here(name: str, dtype: str, archs: Sequence[str], **given: Any) -> Iterator[Compiled]:
    """Each function that a launch of the catalog starts, compiled; in a process whose Triton compiles."""
    with caught_launches() as launches:
        entry(name).launch(dtype, **given)
    for arch in archs:
        for launch in launches:
            yield Compiled(name=name, dtype=dtype, arch=arch, **compile_launch(launch, arch))


def inspect(
    rows: Sequence[tuple[str, str, str]], each: Callable[[Compiled], Any] | None = None, timeout_s: float = _TIMEOUT_S
) -> list[Compiled]:
    """Compile rows (kernel, dtype, architecture) of the matrix in a process of their own.

    Args:
        each: called with each result as it comes.
        timeout_s: after so long the process is ended.

    Raises:
        KernelError: a row that the matrix does not have, a compiler that failed, or one that never ended.
    """
    for name, dtype, arch in rows:
        check_row(name, dtype, arch)
    return _in_its_own_process(list(rows), rows[0][0], each, timeout_s)


def inspect_kernel(kernel: Any, launcher: str, aligned: Sequence[bool], arch: str = "sm_90") -> list[Compiled]:
    """Compile one kernel, such as a learner's, as `launcher` would launch it over bf16 in the place of its own.

    Args:
        kernel: of a kernel file, or a `@triton.jit` function of a cell, whose text `linecache` knows.
        aligned: False for caches that begin one number behind a multiple of 16 bytes; one result for each.

    Raises:
        KernelError: the matrix has no such row; or the compiler refuses the kernel (its last words are told).
    """
    check_row(launcher, "bf16", arch)
    module, name, file = kernel.fn.__module__, kernel.fn.__name__, kernel.fn.__code__.co_filename
    text = "" if module.startswith("kvkernels") else "".join(linecache.getlines(file))
    return _in_its_own_process([[launcher, "bf16", arch, module, name, text, one] for one in aligned], name)


def _kernel_of(module: str, name: str, text: str) -> Any:
    if not text:
        return getattr(importlib.import_module(module), name)
    prelude, namespace = "from kvkernels import tl, triton", fresh_module()
    exec(prelude, namespace)
    exec(compile_kept(text, split(text, prelude), "<kernel>"), namespace)
    return namespace[name]


def _in_its_own_process(
    rows: list[Any], what: str, each: Callable[[Compiled], Any] | None = None, timeout_s: float = _TIMEOUT_S
) -> list[Compiled]:
    command = [sys.executable, "-P", "-m", "labkit.kernels.offline", json.dumps(rows)]
    results: list[Compiled] = []
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command, env=os.environ | {"TRITON_INTERPRET": "0"}, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdout is not None
        alarm = threading.Timer(timeout_s, process.kill)
        alarm.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    results.append(Compiled(**json.loads(line)))
                    if each:
                        each(results[-1])
            process.wait()
            in_time = alarm.is_alive()
        finally:
            alarm.cancel()
            process.kill()
        if not in_time:
            raise KernelError(f"The compiler had not ended after {timeout_s:.0f} s: compile fewer kernels at once.")
        complaints.seek(0)
        lines = complaints.read().strip().splitlines()
    if process.returncode or not results:
        raise KernelError(f"Compiling {what} failed: {lines[-1] if lines else 'the compiler said nothing'}")
    return results


def check_row(name: str, dtype: str, arch: str) -> None:
    """The matrix has this row.

    Raises:
        KernelError: it has not; the message says which it has.
    """
    known = entry(name)
    if dtype not in known.dtypes:
        raise KernelError(f"{name} takes pages of {', '.join(known.dtypes)}, not of {dtype}.")
    if arch not in ARCHITECTURES:
        raise KernelError(f"Kernels are compiled for {', '.join(ARCHITECTURES)}, not for {arch!r}.")
    if not known.supports(dtype, arch):
        raise KernelError(f"{arch} has no {dtype} of the kind that these kernels read (e4m3): take int8 there.")


def whole_matrix() -> list[tuple[str, str, str]]:
    """Every row that is claimed."""
    from labkit.kernels.catalog import ENTRIES

    return [(name, dtype, arch) for name, known in ENTRIES.items() for dtype in DTYPES for arch in ARCHITECTURES
            if known.supports(dtype, arch)]  # fmt: skip


def _main(rows: list[list[Any]]) -> None:
    for name, dtype, arch, *given in rows:
        more = {"kernel": _kernel_of(*given[:3]), "aligned": given[3]} if given else {}
        for compiled in compiled_here(name, dtype, [arch], **more):
            print(json.dumps(asdict(compiled)), flush=True)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
