"""The compile gate: what the support matrix claims, compiled for GPUs that are elsewhere.

A part of the matrix here: each kernel, each dtype and each architecture at least once. LABKIT_WHOLE_MATRIX=1 takes all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from labkit.errors import KernelError
from labkit.kernels.catalog import ARCHITECTURES, DTYPES, ENTRIES
from labkit.kernels.offline import check_row, inspect, whole_matrix
from labkit.kernels.recorded import key, recorded

MORE_REGISTERS = 8  # than recorded are a change that somebody should look at

PART = [
    ("paged_decode", "bf16", "sm_90"),
    ("tiled_decode", "fp32", "sm_90"),
    ("grouped_decode", "bf16", "sm_90"),
    ("grouped_decode", "fp16", "sm_80"),
    ("grouped_decode", "bf16", "sm_100"),
    ("grouped_decode", "bf16", "gfx942"),
    ("split_decode", "bf16", "sm_120"),
    ("quantized_decode", "int8", "sm_80"),
    ("quantized_decode", "fp8", "sm_90"),
    ("prefill", "bf16", "sm_90"),
    ("cascade_decode", "bf16", "sm_90"),
    ("one_launch_decode", "bf16", "sm_90"),
    ("write_kv", "fp8", "sm_120"),
    ("copy_blocks", "bf16", "sm_90"),
]
ROWS = whole_matrix() if os.environ.get("LABKIT_WHOLE_MATRIX") == "1" else PART


def test_the_part_that_is_always_compiled_touches_every_kernel_dtype_and_architecture() -> None:
    assert {name for name, _, _ in PART} == set(ENTRIES)
    assert {dtype for _, dtype, _ in PART} == set(DTYPES)
    assert {arch for _, _, arch in PART} == set(ARCHITECTURES)


def test_what_is_claimed_compiles_spills_nothing_loads_wide_and_takes_the_registers_recorded() -> None:
    """One test, since compiling is what takes its time."""
    compiled = inspect(ROWS, timeout_s=3600)
    wanted = {(kernel, *row) for row in ROWS for kernel in ENTRIES[row[0]].kernels}
    assert {(r.kernel, r.name, r.dtype, r.arch) for r in compiled} == wanted
    assert [key(r) for r in compiled if r.spill_bytes] == []
    assert [key(r) for r in compiled if r.widest_load_bits < 128 and r.arch != "gfx942"] == []

    known = recorded(compiled[0].triton)  # nothing for a release that nobody has measured
    for result in compiled if known else ():
        before = known[key(result)]
        assert result.registers <= before["registers"] + MORE_REGISTERS, key(result)
        assert result.shared_bytes <= before["shared_bytes"], key(result)
        assert result.widest_load_bits >= before["widest_load_bits"], key(result)


def test_the_written_matrix_is_the_one_that_is_claimed() -> None:
    text = (Path(__file__).parents[2] / "docs" / "kernels.md").read_text()
    rows = {
        line.split("|")[1].strip(" `"): line.split("|")[2:-1] for line in text.splitlines() if line.startswith("| `")
    }
    for name, entry in ENTRIES.items():
        written = dict(zip(DTYPES, (cell.strip() for cell in rows[name]), strict=True))
        for dtype, arch in product(DTYPES, ARCHITECTURES):
            claimed = written[dtype] == "all" or arch in written[dtype].split()
            assert claimed == entry.supports(dtype, arch), (name, dtype, arch)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("flash_decode", "bf16", "sm_90"), "There is no kernel 'flash_decode'; there are: paged_decode"),
        (("paged_decode", "int8", "sm_90"), "paged_decode takes pages of fp32, fp16, bf16, not of int8"),
        (("paged_decode", "bf16", "sm_75"), "compiled for sm_80, sm_90, sm_100, sm_120, gfx942, not for 'sm_75'"),
        (("quantized_decode", "fp8", "sm_80"), "sm_80 has no fp8 of the kind that these kernels read"),
    ],
)
def test_what_is_not_in_the_matrix_is_named(row: tuple[str, str, str], says: str) -> None:
    with pytest.raises(KernelError, match=says):
        check_row(*row)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "labkit.cli", "kernels", *arguments], capture_output=True, text=True)


def test_the_command_lists_and_inspects() -> None:
    rows = json.loads(command("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(ENTRIES)
    assert "step 3  grouped_decode" in command("list").stdout
    (row,) = json.loads(command("inspect", "copy_blocks", "--arch", "sm_80", "--json").stdout)
    assert {"registers", "spill_bytes", "shared_bytes", "widest_load_bits", "seconds"} <= set(row)
    assert row["registers"] > 0
    refused = command("inspect", "copy_blocks", "--arch", "sm_75")
    assert refused.returncode == 2
    assert refused.stderr.startswith("labkit: Kernels are compiled for")
