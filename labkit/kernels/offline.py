"""Compile kernels for a GPU that is elsewhere, and read what the compiler made of them.

`triton.compile` needs no GPU, and Triton's wheel brings NVIDIA's assembler and disassemblers. From the compiled file
come: registers per thread, bytes that spill to memory, shared memory, and the widest load from global memory. Where
registers spill, STL and LDL stand in the disassembly; the resource usage alone would say 0. For gfx942 the same figures
stand in the AMDGCN text.

Triton is either interpreted or compiled in one process, so this module is run as its own: `inspect` starts `python -m
labkit.kernels.offline`, which answers one JSON line per kernel.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import KernelError
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
        if hasattr(value, "data_ptr") or (type(value) is int and value % 16 == 0):
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


def _of_nvidia(cubin: bytes) -> dict[str, int]:
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
        "widest_load_bits": max((_bits(load) for load in _LOADS.findall(code)), default=0),
    }


def _bits(load: str) -> int:
    """LDG.E.128, LDGSTS.E.BYPASS.128, LDG.E.U16, LDG.E (32)."""
    numbers = [int(part.lstrip("US")) for part in load.split(".")[1:] if part.lstrip("US") in ("8", "16", "64", "128")]
    return numbers[0] if numbers else 32


def _of_amd(text: str) -> dict[str, int]:
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
        "widest_load_bits": max(widths, default=0),
    }


def _output(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def compiled_here(name: str, dtype: str, archs: Sequence[str]) -> Iterator[Compiled]:
    """Each function that a launch of the catalog starts, compiled; in a process whose Triton compiles."""
    with caught_launches() as launches:
        entry(name).launch(dtype)
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
    command = [sys.executable, "-P", "-m", "labkit.kernels.offline", json.dumps(list(rows))]
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
        raise KernelError(f"Compiling {rows[0][0]} failed: {lines[-1] if lines else 'the compiler said nothing'}")
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


def _main(rows: list[list[str]]) -> None:
    for name, dtype, arch in rows:
        for compiled in compiled_here(name, dtype, [arch]):
            print(json.dumps(asdict(compiled)), flush=True)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
