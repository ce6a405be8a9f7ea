"""Quantised pages: the write, the read, and how far off they may be; and the copy of pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from paged_cases import Case, assert_close, dense, make

import kvkernels

KINDS = [torch.int8, torch.float8_e4m3fn]


def quantised(case: Case, kind: torch.dtype, device: str) -> tuple[Case, torch.Tensor, torch.Tensor]:
    """The case with its pages written in 8 bits, token by token, into pages of zeros; and the scales."""
    new = [case.keys_and_values(seq) for seq in range(len(case.lengths))]
    k, v = (torch.cat([pair[i] for pair in new]).float() for i in (0, 1))
    page = case.k_cache.shape[1]
    slots = torch.cat(
        [
            case.block_tables[seq, torch.arange(length) // page].long() * page + torch.arange(length) % page
            for seq, length in enumerate(case.lengths.tolist())
        ]
    )
    scales = kvkernels.head_scales(k, kind).to(device), kvkernels.head_scales(v, kind).to(device)
    pages = [torch.zeros(case.k_cache.shape, dtype=kind, device=device) for _ in range(2)]
    kvkernels.write_kv(k.to(device), v.to(device), *pages, slots.to(device), k_scale=scales[0], v_scale=scales[1])
    return Case(case.q, *pages, case.block_tables, case.lengths), *scales


def read_back(case: Case, k_scale: torch.Tensor, v_scale: torch.Tensor) -> Case:
    """The same case with the numbers that the pages stand for."""
    k, v = ((c.cpu().float() * s.cpu()[:, None]) for c, s in ((case.k_cache, k_scale), (case.v_cache, v_scale)))
    return Case(case.q, k, v, case.block_tables, case.lengths)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("splits", [1, 3])
def test_the_kernel_reads_what_the_pages_stand_for(kind: torch.dtype, splits: int, device: str) -> None:
    small, *scales = quantised(make([0, 1, 17, 40], q_heads=6), kind, device)
    args = [t.to(device) for t in (small.q, small.k_cache, small.v_cache, *scales, small.block_tables, small.lengths)]
    got = kvkernels.quantized_decode(*args, splits=splits, tile=16)
    assert_close(got.cpu(), dense(read_back(small, *scales)), torch.float32)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_chunks_over_quantised_pages(kind: torch.dtype, device: str) -> None:
    small, k_scale, v_scale = quantised(make([21, 3], rows=7), kind, device)
    args = [t.to(device) for t in small.args]
    starts = torch.tensor([0, 5, 7], dtype=torch.int32, device=device)
    got = kvkernels.prefill(*args, starts, k_scale=k_scale, v_scale=v_scale, rows=16, tile=16)
    assert_close(got.cpu(), dense(read_back(small, k_scale, v_scale), [5, 2]), torch.float32)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_number_is_off_by_no_more_than_its_kind_allows(kind: torch.dtype, device: str) -> None:
    case = make([40])
    small, k_scale, v_scale = quantised(case, kind, device)
    back = read_back(small, k_scale, v_scale)
    for true, seen, scale in zip(case.keys_and_values(0), back.keys_and_values(0), (k_scale, v_scale), strict=True):
        step = scale.cpu()[:, None].double()
        # int8: half a step. fp8: 3 bits of fraction, so a 16th; and below 2**-6 half of 2**-9.
        allowed = step / 2 if kind == torch.int8 else (true.abs() / 16).clamp_min(step * 2**-10)
        assert ((true - seen).abs() <= allowed * 1.0001).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_numbers_beyond_the_scale_are_cut_not_wrapped(kind: torch.dtype, device: str) -> None:
    pages = [torch.zeros(1, 1, 1, 16, dtype=kind, device=device) for _ in range(2)]
    big = torch.full((1, 1, 16), 1e4, device=device)
    one = torch.ones(1, device=device)
    kvkernels.write_kv(big, -big, *pages, torch.zeros(1, dtype=torch.int64, device=device), k_scale=one, v_scale=one)
    largest = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}[kind]
    assert (pages[0].float() == largest).all()
    assert (pages[1].float() == -largest).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_write_reaches_its_slots_and_nothing_else(dtype: torch.dtype, device: str) -> None:
    pages = [torch.full((4, 8, 3, 80), torch.nan, dtype=dtype, device=device) for _ in range(2)]
    k, v = (torch.randn(3, 3, 80, device=device).to(dtype) for _ in range(2))
    kvkernels.write_kv(k, v, *pages, torch.tensor([25, -1, 6], device=device))
    for new, cache in ((k, pages[0]), (v, pages[1])):
        flat = cache.flatten(0, 1)
        assert (flat[25] == new[0]).all()
        assert (flat[6] == new[2]).all()
        flat[25], flat[6] = torch.nan, torch.nan
        assert flat.isnan().all()


@pytest.mark.parametrize(
    ("dtype", "head_dim"), [(torch.bfloat16, 16), (torch.int8, 64), (torch.int8, 5), (torch.float32, 80)]
)
def test_pages_are_copied_in_every_layer(dtype: torch.dtype, head_dim: int, device: str) -> None:
    k, v = ((torch.randn(3, 5, 1, 3, head_dim, device=device) * 9).to(dtype) for _ in range(2))
    before = [k.clone(), v.clone()]
    kvkernels.copy_blocks(k, v, torch.tensor([[0, 3], [1, 4]], device=device))
    for cache, was in zip((k, v), before, strict=True):
        assert (cache[:, 3:] == was[:, :2]).all()
        assert (cache[:, :3] == was[:, :3]).all()


PAGES = (torch.zeros(4, 8, 2, 64), torch.zeros(4, 8, 2, 64))
NEW = (torch.zeros(2, 2, 64), torch.zeros(2, 2, 64))


@pytest.mark.parametrize(
    ("slots", "says"),
    [
        ([3, 32], "A slot is 32, and the cache has slots 0 to 31"),
        ([3, 3], "A slot is named twice"),
        ([1, 2, 3], r"New keys have shape \[3, 2, 64\]"),
    ],
)
def test_a_write_out_of_place_is_refused(slots: list[int], says: str, there: Callable[..., Any]) -> None:
    with pytest.raises(kvkernels.KernelInputError, match=says):
        kvkernels.write_kv(*there(*NEW, *PAGES, torch.tensor(slots)), validate=True)


def test_whole_numbers_are_no_keys(there: Callable[..., Any]) -> None:
    new = [x.int() for x in NEW]
    small, one = [c.to(torch.int8) for c in PAGES], there(torch.ones(2))
    with pytest.raises(kvkernels.KernelInputError, match=r"are torch.int32; kernels take float32"):
        kvkernels.write_kv(*there(*new, *small, torch.tensor([1, 2])), k_scale=one, v_scale=one)


def test_pages_in_8_bits_need_their_scales(there: Callable[..., Any]) -> None:
    small = [c.to(torch.int8) for c in PAGES]
    with pytest.raises(kvkernels.KernelInputError, match="need k_scale, one number per KV head; it is missing"):
        kvkernels.write_kv(*there(*NEW, *small, torch.tensor([1, 2])))
    case = make([3])
    q, _, _, tables, lengths = case.args
    pages = torch.zeros(8, 16, 2, 64, dtype=torch.int8)
    with pytest.raises(kvkernels.KernelInputError, match=r"k_scale is float32 \[2\]"):
        kvkernels.quantized_decode(*there(q, pages, pages, torch.ones(3), torch.ones(2), tables, lengths))


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([[0, 5]], "pages 0 to 5; the cache has 0 to 4"),
        ([[0, 1], [1, 2]], "written by one pair"),
        ([[0, 2], [1, 2]], "written by one pair"),
    ],
)
def test_copies_that_depend_on_an_order_are_refused(
    pairs: list[list[int]], says: str, there: Callable[..., Any]
) -> None:
    cache = torch.zeros(1, 5, 8, 2, 16)
    with pytest.raises(kvkernels.KernelInputError, match=says):
        kvkernels.copy_blocks(*there(cache, cache, torch.tensor(pairs)), validate=True)
