"""What each step claims about bytes, counted; and addresses that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from paged_cases import make

import kvkernels
from kvkernels._triton import INTERPRETED, tl, triton
from labkit.errors import KernelError
from labkit.kernels.ledger import SECTOR, Ledger, Traffic, floor_bytes, ledger

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="bytes are counted in the interpreter")

KV = ("k_cache", "v_cache")


def counted(launch: Callable[[], Any]) -> Ledger:
    with ledger() as book:
        launch()
    return book


def kv_floor(lengths: list[int], kv_heads: int, head_dim: int, kv_bytes: int) -> int:
    return 2 * sum(lengths) * kv_heads * head_dim * kv_bytes


CASE = dict(q_heads=8, kv_heads=2, head_dim=64, dtype=torch.float16)
LENGTHS = [1, 17, 40]
FLOOR = kv_floor(LENGTHS, 2, 64, 2)


@pytest.mark.parametrize("kernel", ["paged_decode", "tiled_decode"])
def test_one_program_per_head_asks_for_each_key_once_per_query_head(kernel: str) -> None:
    case = make(LENGTHS, **CASE)
    assert counted(lambda: getattr(kvkernels, kernel)(*case.args)).of(*KV).read == 4 * FLOOR


def test_step_3_divides_it_by_the_group() -> None:
    case = make(LENGTHS, **CASE)
    book = counted(lambda: kvkernels.grouped_decode(*case.args))
    assert book.of(*KV).read == FLOOR
    assert book.of(*KV).sectors_read * SECTOR == FLOOR  # rows of 128 bytes: nothing is moved that is not asked for


def test_step_4_reads_no_more_and_pays_for_its_states() -> None:
    case = make(LENGTHS, **CASE)
    book = counted(lambda: kvkernels.split_decode(*case.args, splits=2, tile=16))
    states = 3 * 8 * 2 * (64 + 2) * 4
    assert book.of(*KV).read == FLOOR
    assert book.of("partial_acc", "partial_ml").written == states
    assert book.of("partial_acc", "partial_ml").read <= states  # those of empty ranges are skipped
    assert [launch.kernel for launch in book.launches] == ["split_decode_kernel", "merge_kernel"]


def test_step_5_halves_the_bytes_of_16_bits() -> None:
    q, k, v, tables, lengths = make(LENGTHS, **CASE).args
    small = [c.nan_to_num().to(torch.int8) for c in (k, v)]
    one = torch.ones(2)
    book = counted(lambda: kvkernels.quantized_decode(q, *small, one, one, tables, lengths))
    assert book.of(*KV).read == FLOOR // 2


def test_step_7_reads_a_shared_prefix_once() -> None:
    prefix, suffixes = 32, [8, 5, 20]
    case = make([prefix + s for s in suffixes], shared=2, **CASE)
    groups = kvkernels.share_groups(case.block_tables.tolist(), case.lengths.tolist(), 16)
    book = counted(lambda: kvkernels.cascade_decode(*case.args, groups, rows=16))
    assert book.of(*KV).read == kv_floor([prefix, *suffixes], 2, 64, 2)
    alone = counted(lambda: kvkernels.grouped_decode(*case.args))
    assert alone.of(*KV).read == kv_floor([prefix + s for s in suffixes], 2, 64, 2)


def test_step_8_is_one_launch_and_reads_what_step_4_reads() -> None:
    case = make(LENGTHS, **CASE)
    book = counted(lambda: kvkernels.one_launch_decode(*case.args, splits=2, tile=16))
    assert len(book.launches) == 1
    assert book.of(*KV).read == FLOOR


def test_the_write_moves_each_number_once() -> None:
    new = torch.zeros(3, 2, 64, dtype=torch.float16)
    pages = torch.zeros(4, 16, 2, 64, dtype=torch.float16)
    book = counted(lambda: kvkernels.write_kv(new, new, pages, pages.clone(), torch.tensor([0, 20, 33])))
    assert book.of("k", "v") == Traffic(read=2 * new.nbytes, sectors_read=2 * new.nbytes // SECTOR)
    assert book.of(*KV).written == 2 * new.nbytes


def test_what_prefill_reads_falls_with_the_rows_of_a_program() -> None:
    case = make([32], rows=32, **CASE)
    starts = torch.tensor([0, 32], dtype=torch.int32)
    reads = [
        counted(lambda rows=rows: kvkernels.prefill(*case.args, starts, rows=rows, tile=16)).of(*KV).read
        for rows in (16, 64)
    ]
    assert reads[0] > 2 * reads[1] > 0


def test_the_floor_is_reached_but_for_page_ids_that_lanes_share() -> None:
    case = make(LENGTHS, **CASE)
    book = counted(lambda: kvkernels.grouped_decode(*case.args))
    total = book.of()
    floor = floor_bytes(LENGTHS, 8, 2, 64, 16)
    ids = book.of("block_tables").read + book.of("lengths").read
    assert total.read + total.written - ids == floor - 4 * sum(-(-n // 16) for n in LENGTHS)


@triton.jit
def past_the_end(out, x, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, tl.load(x + i + 4))


@triton.jit
def before(out, x, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i - 3, tl.load(x + i))


def test_an_address_that_leads_nowhere_is_a_sentence_and_no_crash() -> None:
    x, out = torch.zeros(2, 16)
    with ledger(), pytest.raises(Exception, match=r"Program \(0, 0, 0\) reads 1 number past the end of x"):
        past_the_end[(1,)](torch.zeros(16), x.clone(), N=16)
    with ledger(), pytest.raises(Exception, match=r"writes \d+ numbers before the beginning of out"):
        before[(1,)](out.clone(), torch.zeros(16), N=16)


def test_each_access_can_be_kept() -> None:
    case = make([20], **CASE)
    with ledger(keep=True) as book:
        kvkernels.paged_decode(*case.args)
    (launch,) = book.launches
    page = 16 * 2 * 64
    pages = [int(a.offsets[0]) // page for a in launch.accesses if a.argument == "k_cache" and a.program == (0, 0, 0)]
    assert pages == case.block_tables[0, :2].tolist()
    assert launch.grid == (1, 8)


def test_a_closed_ledger_leaves_the_interpreter_as_it_was() -> None:
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    names = ("create_masked_load", "create_masked_store")
    before_it = [getattr(InterpreterBuilder, n) for n in names] + [GridExecutor.__call__, GridExecutor._init_args_hst]
    with ledger():
        pass
    after = [getattr(InterpreterBuilder, n) for n in names] + [GridExecutor.__call__, GridExecutor._init_args_hst]
    assert before_it == after


@triton.jit
def lanes_that_are_off(out, x, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane, tl.load(x + lane, mask=lane < n))


def test_a_lane_that_is_off_and_has_no_other_brings_in_nan_while_watched():
    from labkit.kernels.watched import watched

    out = torch.zeros(4)
    with watched():
        lanes_that_are_off[(1,)](out, torch.ones(4), 3, BLOCK=4)
    assert out[:3].tolist() == [1, 1, 1] and out[3].isnan()
    lanes_that_are_off[(1,)](out, torch.ones(4), 3, BLOCK=4)
    assert out.tolist() == [1, 1, 1, 0]


@triton.jit
def one_block(out, x, block, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    at = block + tl.zeros([BLOCK], tl.int64 if WIDE else tl.int32)
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + at * BLOCK + tl.arange(0, BLOCK)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.float8_e4m3fn], ids=str)
def test_a_tensor_larger_than_memory_has_its_last_blocks_and_no_others(dtype: torch.dtype):
    from labkit.kernels.ledger import larger_than_memory
    from labkit.kernels.watched import watched

    own, out, skipped = torch.arange(8.0).view(2, 4).to(dtype), torch.zeros(4), 2**29
    with larger_than_memory(own, skipped) as large:
        assert large.shape == (skipped + 2, 4)
        with watched():
            one_block[(1,)](out, large, skipped + 1, True, BLOCK=4)
        assert out.tolist() == [4, 5, 6, 7]
        for block, wide in ((skipped + 1, False), (skipped - 1, True)):
            with pytest.raises(KernelError, match="before the beginning of x"), watched():
                one_block[(1,)](out, large, block, wide, BLOCK=4)
