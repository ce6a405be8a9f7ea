"""KernelReport: what a compiler made of one kernel or two, and how many of its programs fit on a multiprocessor."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget
from labkit.words import plural

if TYPE_CHECKING:
    from labkit.kernels.offline import Compiled


class Limits(NamedTuple):
    """What one multiprocessor has for all programs that run on it at the same time.

    Attributes:
        registers: of 32 bits.
        shared_bytes: of shared memory; each program costs `RESERVED` bytes more than it asks for.
        warps, programs: that it keeps at most.
    """

    registers: int
    shared_bytes: int
    warps: int
    programs: int


LIMITS = {
    "sm_80": Limits(65_536, 164 * 1024, 64, 32),
    "sm_90": Limits(65_536, 228 * 1024, 64, 32),
    "sm_100": Limits(65_536, 228 * 1024, 64, 32),
    "sm_120": Limits(65_536, 100 * 1024, 48, 24),
}
SOURCE = "NVIDIA, CUDA C++ Programming Guide, technical specifications per compute capability"
RESERVED = 1024
MOST_REGISTERS = 255
"""Of one thread; what does not fit is spilled."""
_A_PIECE = 256
"""Registers are handed to a warp in pieces of so many."""


class Occupancy(NamedTuple):
    """How many programs run on one multiprocessor at the same time.

    Attributes:
        programs: the least of what registers, shared memory and warps allow.
        bound: what allows so few.
        warps: of these programs.
        share: of the warps that it could keep.
    """

    programs: int
    bound: str
    warps: int
    share: float


def occupancy(arch: str, registers: int, shared_bytes: int, warps: int) -> Occupancy:
    """Programs of `warps` warps each, by the limits of an architecture.

    Args:
        registers: per thread.
        shared_bytes: per program.

    Raises:
        LabkitError: the limits of the architecture are not known here.
    """
    if arch not in LIMITS:
        raise LabkitError(f"The limits of {arch!r} are not known here; choose one of {', '.join(LIMITS)}.")
    limits = LIMITS[arch]
    per_warp = -(-32 * registers // _A_PIECE) * _A_PIECE
    allowed = {
        "registers": limits.registers // per_warp // warps,
        "shared memory": limits.shared_bytes // (shared_bytes + RESERVED),
        "warps": limits.warps // warps,
        "programs": limits.programs,
    }
    bound = min(allowed, key=lambda name: allowed[name])
    programs = allowed[bound]
    return Occupancy(programs, bound, programs * warps, programs * warps / limits.warps)


class KernelReport(LabWidget):
    """Registers, spills, shared memory, load widths and occupancy, one column for each kernel.

    Args:
        kernels: label -> what was compiled, one or two, of one architecture.
        recorded: True where the figures were not made here, but are those kept with the course.
        title: above the table.

    Raises:
        LabkitError: no kernel, more than two, or two architectures.
    """

    _name: ClassVar[str] = "kernel_report"

    title = traitlets.Unicode().tag(sync=True)
    origin = traitlets.Unicode(help="where the figures are from").tag(sync=True)
    arch = traitlets.Unicode().tag(sync=True)
    kernels = traitlets.List(help="a column each").tag(sync=True)
    limits = traitlets.List(help="[architecture, registers, shared KiB, warps, programs]").tag(sync=True)
    source = traitlets.Unicode(SOURCE).tag(sync=True)
    say = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, kernels: Mapping[str, Compiled], recorded: bool = False, title: str = "What the compiler made of it"
    ) -> None:
        archs = {compiled.arch for compiled in kernels.values()}
        if not 1 <= len(kernels) <= 2 or len(archs) != 1:
            raise LabkitError(
                f"{plural(len(kernels), 'kernel')} of {plural(len(archs), 'architecture')} cannot stand side by side: "
                "give one or two of the same."
            )
        (arch,) = archs
        columns = [_column(label, compiled) for label, compiled in kernels.items()]
        release = next(iter(kernels.values())).triton
        super().__init__(
            title=title,
            origin=f"{'Recorded with' if recorded else 'Compiled here by'} Triton {release} for {arch}",
            arch=arch,
            kernels=columns,
            limits=[[a, x.registers, x.shared_bytes // 1024, x.warps, x.programs] for a, x in LIMITS.items()],
            say=_sentence(columns),
        )

    def summary(self) -> str:
        told = "; ".join(
            f"{k['label']}: {k['registers']} registers, {k['spill_bytes']} bytes spilled" for k in self.kernels
        )
        return f"KernelReport({self.arch}, {told})"

    def text_form(self) -> str:
        lines = [self.summary(), self.origin]
        for k in self.kernels:
            loads = ", ".join(f"{n} of {bits} bits" for bits, n in k["loads"]) or f"widest {k['widest']} bits"
            lines.append(
                f"{k['label']}: {k['shared_bytes']:,} bytes shared, loads {loads}; "
                f"{plural(k['programs'], 'program')} of {plural(k['warps'], 'warp')} on a multiprocessor "
                f"({int(100 * k['share'] + 0.5)}% of its warps), bound by {k['bound']}"
            )
        return "\n".join([*lines, self.say])


def _column(label: str, compiled: Compiled) -> dict[str, Any]:
    fits = occupancy(compiled.arch, compiled.registers, compiled.shared_bytes, compiled.warps)
    return {
        "label": label,
        "registers": compiled.registers,
        "spill_bytes": compiled.spill_bytes,
        "shared_bytes": compiled.shared_bytes,
        "loads": sorted((int(bits), n) for bits, n in compiled.loads.items()),
        "widest": compiled.widest_load_bits,
        "warps": compiled.warps,
        "programs": fits.programs,
        "bound": fits.bound,
        "share": fits.share,
    }


def _sentence(columns: Sequence[Mapping[str, Any]]) -> str:
    spilled = [f"{k['label']} spills {k['spill_bytes']:,} bytes of a thread" for k in columns if k["spill_bytes"]]
    said = "; ".join(spilled) + " to memory." if spilled else "Nothing spills."
    narrow = [f"{n} of 16 bits in {k['label']}" for k in columns for bits, n in k["loads"] if bits == 16]
    if narrow:
        said += f" Loads that fetch one number at a time: {', '.join(narrow)}."
    return said


def two_ways(kernel: Any, label: str) -> KernelReport:
    """A report on a grouped decode compiled for sm_90, over caches that are aligned and over caches that are not.

    Where nothing can be compiled, the figures recorded for the course's own kernel.
    """
    from labkit.errors import KernelError
    from labkit.kernels.offline import inspect_kernel

    if sys.platform == "linux" and kernel is not None:
        print("Compiling it twice for sm_90 (some seconds).", flush=True)
        try:
            aligned, shifted = inspect_kernel(kernel, "grouped_decode", (True, False))
            return KernelReport({f"{label}, cache aligned": aligned, f"{label}, one number off": shifted})
        except KernelError as error:
            print(error)
    return KernelReport({"grouped_decode, recorded": _recorded()}, recorded=True)


def _recorded() -> Compiled:
    from labkit.kernels.offline import Compiled
    from labkit.kernels.recorded import FILE, recorded

    row, releases = "grouped_decode_kernel grouped_decode bf16 sm_90", json.loads(FILE.read_text())
    release, figures = max((name, recorded(name)[row]) for name in releases if row in recorded(name))
    return Compiled("grouped_decode", "bf16", "sm_90", "grouped_decode_kernel", spill_bytes=0, loads={}, warps=4,
                    seconds=0.0, triton=release, **figures)  # fmt: skip
