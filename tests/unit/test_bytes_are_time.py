"""Lesson 12: predictions against the count, a kernel of a cell compiled elsewhere, and its two widgets."""

from __future__ import annotations

import linecache
import sys

import pytest

from labkit.attention.decode_bytes import decode_flops, expected_bytes
from labkit.errors import KernelError, LabkitError
from labkit.kernels.ledger import floor_bytes
from labkit.specs.attention_by_hand.referees import plain_words
from labkit.specs.bytes_are_time import scenes
from labkit.widgets import KernelReport, Roofline
from labkit.widgets.kernel_report import LIMITS, occupancy, two_ways
from labkit.widgets.roofline import Work

pytestmark = pytest.mark.early
linux = pytest.mark.skipif(sys.platform != "linux", reason="Triton has no build for this platform")


def test_the_floor_is_the_ledgers() -> None:
    case = scenes.SMALL
    assert expected_bytes(*case).floor == floor_bytes(*case)
    assert decode_flops([10, 0, 5], 4, 8) == 4 * 4 * 15 * 8


@linux
def test_two_kernels_ask_for_what_was_predicted_but_for_lengths_and_ids_of_lanes() -> None:
    case = scenes.Case([20, 0, 5], 4, 2, 64, 16)
    due = expected_bytes(*case)
    paged, grouped = scenes.count("paged_decode", case), scenes.count("grouped_decode", case)
    assert paged.bytes - paged.lengths == due.per_query_head
    assert grouped.bytes - grouped.lengths - grouped.ids == due.per_kv_head - 4 * 2 * 3
    assert grouped.ids == 4 * 2 * 25, "each lane of a tile that has a token looks its page up"
    assert paged.kv == 2 * grouped.kv and (paged.programs, grouped.programs) == (12, 6)


@linux
def test_pages_of_one_token_touch_as_many_sectors_of_keys_in_more_loads() -> None:
    large, small = (scenes.count("paged_decode", scenes.Case([16], 1, 1, 64, page)) for page in (16, 1))
    assert large.kv_sectors == small.kv_sectors == large.kv
    assert (large.loads, small.loads) == (1, 16) and small.id_sectors == 16 * large.id_sectors


@linux
def test_where_kernels_are_compiled_another_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    here = scenes.count("grouped_decode", scenes.Case([3], 1, 1, 16, 4))
    monkeypatch.setattr("kvkernels._triton.INTERPRETED", False)
    assert scenes.count("grouped_decode", scenes.Case([3], 1, 1, 16, 4)) == here


def test_without_triton_a_sentence_is_printed_and_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kvkernels._triton", None)
    assert scenes.count("paged_decode", scenes.SMALL) == scenes.NOTHING
    assert capsys.readouterr().out.strip()


def test_where_nothing_compiles_the_recorded_figures_are_shown_and_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    report = two_ways(None, "grouped")
    assert report.origin.startswith("Recorded with Triton 3.") and report.kernels[0]["registers"] > 0
    assert "widest 128 bits" in report.text_form()


@linux
def test_a_kernel_that_does_not_compile_is_a_sentence_and_the_recorded_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(*_: object) -> None:
        raise KernelError("Compiling mine failed: no such thing.")

    monkeypatch.setattr("labkit.kernels.offline.inspect_kernel", refuses)
    assert two_ways(object(), "grouped").origin.startswith("Recorded")
    assert "Compiling mine failed" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "kvkernels.step3_grouped", None)
    assert scenes.grouped_kernel() is None


CELL = """
helper = 4

@triton.jit
def ask(p):
    return tl.load(p)

@triton.jit
def grouped_decode(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr,
    PAGE: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr,
):
    at = tl.program_id(0) * 1024 + tl.arange(0, 1024)
    tl.store(out + at, tl.load(k_cache + at) * ask(lengths))

print("what runs in the check alone is not run again", grouped_decode[(1,)])
"""


@linux
def test_a_kernel_of_a_cell_is_compiled_from_its_text_with_caches_that_are_aligned_and_not() -> None:
    from kvkernels import tl, triton
    from labkit.kernels.offline import inspect_kernel

    name = "<exercise 12/test>"
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    namespace = {"tl": tl, "triton": triton, "print": lambda *_: None, "__name__": "labkit_exercise"}
    exec(compile(CELL, name, "exec"), namespace)
    aligned, shifted = inspect_kernel(namespace["grouped_decode"], "grouped_decode", (True, False))
    assert aligned.widest_load_bits == 128 and "16" not in aligned.loads
    assert shifted.loads["16"] >= 8, "one number at a time"
    with pytest.raises(KernelError, match="There is no kernel 'no_decode'"):
        inspect_kernel(namespace["grouped_decode"], "no_decode", (True,))


def test_occupancy_is_what_the_scarcest_thing_allows() -> None:
    assert occupancy("sm_90", 128, 0, 4)[:2] == (4, "registers")
    assert occupancy("sm_90", 129, 0, 4).programs == 3, "a warp's registers come in pieces of 256"
    assert occupancy("sm_90", 32, 113 * 1024, 4)[:2] == (2, "shared memory")
    assert occupancy("sm_120", 32, 0, 4) == (12, "warps", 48, 1.0)
    assert occupancy("sm_80", 16, 0, 1)[:2] == (32, "programs")
    with pytest.raises(LabkitError, match="limits of 'gfx942' are not known"):
        occupancy("gfx942", 1, 1, 1)
    assert set(LIMITS) == {"sm_80", "sm_90", "sm_100", "sm_120"}


def compiled(**more: object) -> object:
    from labkit.kernels.offline import Compiled

    base = {"name": "n", "dtype": "bf16", "arch": "sm_90", "kernel": "k", "registers": 118, "spill_bytes": 0,
            "shared_bytes": 39168, "widest_load_bits": 128, "loads": {"128": 33, "32": 4}, "warps": 4,
            "seconds": 1.0, "triton": "3.7.1"}  # fmt: skip
    return Compiled(**base | more)  # type: ignore[arg-type]


def test_the_report_says_what_spills_and_what_is_narrow() -> None:
    narrow = compiled(registers=255, spill_bytes=572, loads={"16": 128, "32": 50})
    report = KernelReport({"wide": compiled(), "narrow": narrow})
    assert "narrow spills 572 bytes" in report.say and "128 of 16 bits in narrow" in report.say
    assert report.kernels[0]["loads"] == [(32, 4), (128, 33)] and report.kernels[0]["programs"] == 4
    assert repr(report) == repr(KernelReport({"wide": compiled(), "narrow": narrow}))
    for wrong in ({}, {"a": compiled(), "b": compiled(arch="sm_80")}):
        with pytest.raises(LabkitError, match="cannot stand side by side"):
            KernelReport(wrong)


def test_a_point_waits_for_memory_left_of_the_ridge_and_for_arithmetic_right_of_it() -> None:
    board = Roofline([Work("thin", 1000, 1000), Work("thick", 1000, 1_000_000)], card="A100", point=9)
    assert board.point == 1 and board.cards[1]["ridge"] == pytest.approx(312 / 2.039)
    thin, thick = board.says[1]
    assert "memory is what it waits for: at best" in thin and "with 0.65% of the arithmetic" in thin
    assert "arithmetic is what it waits for" in thick and "with all of the" in thick
    assert board.text_form().count("\n") == 2 and repr(board) == board.text_form()


@pytest.mark.parametrize(
    ("works", "card", "says"),
    [
        ([Work("a", 1, 1)], "H9", "There is no card 'H9'; choose one of L4"),
        ([], "H100", "0 kernels cannot be placed"),
        ([Work("a", 0, 1)], "H100", "a has 0 bytes and 1 operations"),
    ],
)
def test_the_roofline_refuses_what_it_cannot_place(works: list[Work], card: str, says: str) -> None:
    with pytest.raises(LabkitError, match=says):
        Roofline(works, card=card)


def test_two_dtypes_in_a_product_of_triton_are_told_in_its_terms() -> None:
    assert "tl.dot takes both sides" in plain_words(
        AssertionError("Both operands must be same dtype. Got fp32 and fp16")
    )
