"""The clock that kernels are timed by, what the card's memory gives at best, and which machine it was."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import torch

from kvkernels._triton import INTERPRETED, tl, triton
from labkit.errors import KernelError

AHEAD_CYCLES = 1_000_000
"""The GPU is kept waiting so long (about half a millisecond) in front of each run, so that the host, which launches, is
ahead of it: what is timed is the GPU, and launches show in a column of their own."""


def gpu() -> torch.device:
    """The card.

    Raises:
        KernelError: there is none.
    """
    if not torch.cuda.is_available():
        raise KernelError(
            "Kernels are timed on a GPU, and torch finds none here: run `labkit bench kernels` on a machine with one; "
            "--dry-run goes through all of it here, on tiny shapes and without a clock."
        )
    return torch.device("cuda")


class Clock:
    """Cold L2: before each run a buffer larger than the cache is written. On a CPU it runs once and times nothing."""

    def __init__(self, device: torch.device, runs: int) -> None:
        self.device, self.runs = device, runs
        l2 = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else 0
        self.flush = torch.empty(max(4 * l2, 2**28) if l2 else 1, dtype=torch.int8, device=device)

    @classmethod
    def dry(cls) -> Clock:
        """For a dry run: on the device that kernels of this process run on."""
        return cls(torch.device("cpu" if INTERPRETED else "cuda"), 1)

    def time(self, call: Callable[[], Any]) -> dict[str, float | None]:
        """`us`: the median of CUDA events around the call; `least_us`: the fastest; `launch_us`: the host's part."""
        if self.device.type != "cuda":
            call()
            return {"us": None, "least_us": None, "launch_us": None}
        for _ in range(3):
            call()
        torch.cuda.synchronize()
        events, host = [], []
        for _ in range(self.runs):
            self.flush.zero_()
            torch.cuda._sleep(AHEAD_CYCLES)
            around = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            around[0].record()
            begun = time.perf_counter()
            call()
            host.append(1e6 * (time.perf_counter() - begun))
            around[1].record()
            events.append(around)
            torch.cuda.synchronize()
        took = [1e3 * begin.elapsed_time(end) for begin, end in events]
        return {"us": statistics.median(took), "least_us": min(took), "launch_us": statistics.median(host)}


@triton.jit
def read_kernel(out, x, size, PIECE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Each program adds up every n-th piece of x: all is read once, and next to nothing written."""
    total = tl.zeros([PIECE], tl.float32)
    for at in range(tl.program_id(0) * PIECE, size, tl.num_programs(0) * PIECE):
        here = at + tl.arange(0, PIECE)
        total += tl.load(x + here, mask=here < size, other=0.0)
    tl.store(out + tl.program_id(0), tl.sum(total, 0))


def read_ceiling(clock: Clock, numbers: int = 2**30) -> dict[str, Any]:
    """The bytes per second that reading a large buffer reaches, the best of a few ways: what decode is held to."""
    device = clock.device
    x = torch.ones(numbers, device=device)
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    best: dict[str, Any] = {"bytes_per_s": None, "bytes": x.nbytes, "how": None}
    for programs, piece, warps in ((4, 4096, 4), (8, 4096, 4), (4, 8192, 8), (16, 2048, 4)):
        out = torch.zeros(programs * processors, device=device)

        def launch(out: Any = out, piece: int = piece, warps: int = warps) -> None:
            read_kernel[(len(out),)](out, x, numbers, PIECE=piece, num_warps=warps, enable_fp_fusion=True)

        us = clock.time(launch)["us"]
        if abs(float(out.double().sum()) / numbers - 1) > 1e-6:
            raise KernelError(f"The read-reduce added up {float(out.sum()):,.0f} ones, and there are {numbers:,}.")
        if us and x.nbytes / us * 1e6 > (best["bytes_per_s"] or 0):
            how = f"{programs} programs per multiprocessor, {piece} numbers at once, {warps} warps"
            best |= {"bytes_per_s": x.nbytes / us * 1e6, "how": how}
    return best


def machine(device: torch.device) -> dict[str, Any]:
    """Card, driver, torch and Triton."""
    here: dict[str, Any] = {"card": None, "torch": torch.__version__, "triton": triton.__version__,
                            "python": platform.python_version()}  # fmt: skip
    if device.type != "cuda":
        return here
    card = torch.cuda.get_device_properties(device)
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = None
    return here | {
        "card": card.name,
        "capability": f"{card.major}.{card.minor}",
        "multiprocessors": card.multi_processor_count,
        "memory_bytes": card.total_memory,
        "l2_bytes": card.L2_cache_size,
        "driver": driver,
        "cuda": torch.version.cuda or torch.version.hip,
    }
