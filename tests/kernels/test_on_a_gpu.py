"""What only a GPU shows: sizes that the interpreter is too slow for, races, graphs, and that a launch waits for nobody.

The other tests of this folder run on the GPU too, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from paged_cases import Case, assert_close, dense, make

import kvkernels

pytestmark = pytest.mark.gpu

LLAMA = {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": torch.bfloat16}
DECODES: dict[str, Callable[..., torch.Tensor]] = {
    "paged": kvkernels.paged_decode,
    "tiled": kvkernels.tiled_decode,
    "grouped": kvkernels.grouped_decode,
    "split": lambda *args, **how: kvkernels.split_decode(*args, splits=7, **how),
    "one_launch": lambda *args, **how: kvkernels.one_launch_decode(*args, splits=7, **how),
    "chosen": kvkernels.decode,
}


@pytest.mark.parametrize("page", [1, 16, 256])
@pytest.mark.parametrize("kernel", DECODES)
def test_a_batch_of_the_size_that_is_served(kernel: str, page: int, there: Callable[..., Any]) -> None:
    case = make([1500, 1, 0, 777, 2048, 16], page=page, **LLAMA)
    assert_close(DECODES[kernel](*there(*case.args)).cpu(), dense(case), torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_prompt_of_a_thousand_tokens_beside_decodes(dtype: torch.dtype, there: Callable[..., Any]) -> None:
    new = [1000, 1, 1]
    case = make([1000, 900, 17], rows=1002, **LLAMA | {"dtype": dtype})
    starts = torch.tensor([0, 1000, 1001, 1002], dtype=torch.int32)
    got = kvkernels.prefill(*there(*case.args, starts), window=600)
    assert_close(got.cpu(), dense(case, new, window=600), dtype)


def test_who_finishes_last_sees_the_states_of_all(there: Callable[..., Any]) -> None:
    """A race would show as another result now and then."""
    args = there(*make([3000, 40, 2999], **LLAMA).args)
    first = kvkernels.one_launch_decode(*args, splits=32)
    assert all(torch.equal(kvkernels.one_launch_decode(*args, splits=32), first) for _ in range(200))


def test_launches_of_two_streams_do_not_share_counters(there: Callable[..., Any]) -> None:
    args = there(*make([4000], **LLAMA).args)  # one that `decode` cuts and merges in one launch
    first = kvkernels.decode(*args)
    streams = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    answers = []
    for _ in range(100):
        for stream in streams:
            with torch.cuda.stream(stream):
                answers.append(kvkernels.decode(*args))
    torch.cuda.synchronize()
    assert all(torch.equal(answer, first) for answer in answers)


def test_offsets_beyond_32_bits(device: str) -> None:
    """The used pages lie behind 2**31 numbers of K."""
    page = 256 * 8 * 128
    blocks = 2**31 // page + 3
    if torch.cuda.mem_get_info()[0] < 3 * 2 * blocks * page:
        pytest.skip("takes 13 GB of GPU memory")
    case = make([500], page=256, **LLAMA)
    k, v = (torch.empty(blocks, 256, 8, 128, dtype=torch.bfloat16, device=device) for _ in range(2))
    for wide, small in ((k, case.k_cache), (v, case.v_cache)):
        wide[-2:] = small[case.block_tables[0, :2].long()].to(device)
    tables = torch.tensor([[blocks - 2, blocks - 1]], dtype=torch.int32, device=device)
    got = kvkernels.decode(case.q.to(device), k, v, tables, case.lengths.to(device))
    assert_close(got.cpu(), dense(case), torch.bfloat16)
    slots = torch.tensor([blocks * 256 - 1], device=device)
    new = torch.randn(1, 8, 128, device=device).bfloat16()
    kvkernels.write_kv(new, new, k, v, slots)
    assert torch.equal(k[-1, -1], new[0])


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever makes the host wait for the GPU in here raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_launch_does_not_wait_for_what_was_launched_before(there: Callable[..., Any]) -> None:
    case = make([40, 3], rows=2)
    q, k, v, tables, lengths = args = there(*case.args)
    starts, slots = there(torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([40, 50]))
    pairs = there(torch.tensor([[0, 1]]))
    new = there(torch.randn(2, 2, 64))
    scales = there(torch.ones(2), torch.ones(2))
    small = there(torch.zeros(k.shape, dtype=torch.int8), torch.zeros(k.shape, dtype=torch.int8))
    with no_waiting():
        for kernel in DECODES.values():
            kernel(*args)
        kvkernels.prefill(*args, starts)
        kvkernels.quantized_decode(q, *small, *scales, tables, lengths)
        kvkernels.write_kv(new, new, k, v, slots)
        kvkernels.copy_blocks(k[None], v[None], pairs)


def test_validation_looks_at_numbers_on_the_device(there: Callable[..., Any]) -> None:
    q, k, v, tables, lengths = there(*make([40, 3]).args)
    with pytest.raises(kvkernels.KernelInputError, match="names page 77"):
        kvkernels.decode(q, k, v, torch.full_like(tables, 77), lengths, validate=True)
    with pytest.raises(kvkernels.KernelInputError, match="A length is -1"):
        kvkernels.decode(q, k, v, tables, lengths - 41, validate=True)
    with pytest.raises(kvkernels.KernelInputError, match="A slot is 999999"):
        kvkernels.write_kv(q[:, :2].contiguous(), q[:, :2].contiguous(), k, v, there(torch.tensor([1, 999999])),
                           validate=True)  # fmt: skip


@pytest.mark.parametrize("kernel", ["grouped", "split", "one_launch", "chosen"])
def test_a_graph_replayed_over_other_contents(kernel: str, there: Callable[..., Any]) -> None:
    from labkit.bench.kernel_peers import captured

    before, after = (make([700, 30], seed=seed, **LLAMA) for seed in (0, 1))
    args = there(*before.args)
    replay = captured(lambda: DECODES[kernel](*args))
    assert_close(replay().cpu(), dense(before), torch.bfloat16)
    shorter = Case(*after.args[:4], torch.tensor([650, 30], dtype=torch.int32))
    for mine, other in zip(args, shorter.args, strict=True):
        mine.copy_(other)
    assert_close(replay().cpu(), dense(shorter), torch.bfloat16)


def test_the_bench_times_ours_alone_and_as_a_graph() -> None:
    from labkit.bench.kernel_bench import bench_workload
    from labkit.bench.kernel_shapes import TINY
    from labkit.bench.kernel_timing import Clock, gpu, machine

    clock = Clock(gpu(), 3)
    for workload in TINY:
        rows = {row["name"]: row for row in bench_workload(clock, workload, 4e12)["rows"]}
        for name in {"ours", "ours, as a CUDA graph", "gather + SDPA"} & set(rows):
            assert rows[name].get("us", 0) > 0, rows[name]
    assert machine(clock.device)["card"]
