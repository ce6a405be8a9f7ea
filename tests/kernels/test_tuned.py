"""Measured configurations: what the table may hold, and that a launch takes its row from there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from paged_cases import assert_close, dense, make

import kvkernels
from kvkernels import choose, tuned

KEY = re.compile(
    r"(decode|prefill) (sm_\d+|gfx\w+) (float32|float16|bfloat16|int8|float8_e4m3fn) d\d+ g\d+ page\d+",
)


def test_the_table_holds_rows_that_a_launch_could_take() -> None:
    for name, row in tuned.rows().items():
        assert KEY.fullmatch(name), name
        assert row.tile in (None, 16, 32, 64, 128), name
        assert row.rows in (None, 16, 32, 64, 128) and (row.rows is None or name.startswith("prefill")), name
        assert row.warps in (1, 2, 4, 8) and row.stages in range(1, 8) and row.waves in range(1, 9), name


def test_a_launch_takes_its_row(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    case = make([40, 3], rows=2)
    args = tuple(t.to(device) for t in case.args)
    row = tuned.Configuration(tile=16, rows=32, warps=2, stages=5)
    names = [tuned.key(work, *args[:2]) for work in ("decode", "prefill")]
    assert names[0].endswith(" float32 d64 g2 page16")
    monkeypatch.setattr(tuned, "rows", lambda: dict.fromkeys(names, row))
    asked: list[dict[str, Any]] = []
    launcher = choose.grouped_decode
    monkeypatch.setattr(choose, "grouped_decode", lambda *a, **how: (asked.append(how), launcher(*a, **how))[1])
    assert_close(kvkernels.decode(*args, longest=40).cpu(), dense(case), torch.float32)
    assert asked[0]["tile"] == 16
    assert asked[0]["options"] == {"num_warps": 2, "num_stages": 5, "enable_fp_fusion": True}
    how = kvkernels.prefill_configuration(*args[:2])
    starts = torch.tensor([0, 1, 2], dtype=torch.int32, device=device)
    assert (how["rows"], how["tile"]) == (32, 16)
    assert_close(kvkernels.prefill(*args, starts, **how).cpu(), dense(case), torch.float32)


def test_where_nothing_was_measured_the_rules_of_the_kernels_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "rows", dict)
    case = make([3])
    assert tuned.configuration("decode", *case.args[:2]) == tuned.Configuration()
    assert kvkernels.prefill_configuration(*case.args[:2])["tile"] is None


def test_more_waves_cut_a_context_into_more_ranges() -> None:
    from kvkernels.inputs import Shape
    from kvkernels.step4_split import num_splits

    shape = Shape(1, 32, 8, 128, 1, 16, 1)
    assert num_splits(shape, 131072, 64, 4 * 132) > num_splits(shape, 131072, 64, 132)
