"""Attention over pages in PyTorch, against dense attention in float64 over the inputs that are hard on kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paged_cases import Case, assert_close, dense, make

from kvkernels.host import SharedPrefix, head_scales, share_groups
from labkit.attention.over_pages import cascade_decode, decode, prefill
from labkit.attention.page_writes import copy_blocks, quantise, write_kv
from labkit.attention.states import attend_part, finish, merge

SINKS = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0, -2.0])
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SMALL = (torch.int8, torch.float8_e4m3fn)


def starts_of(new: Sequence[int]) -> torch.Tensor:
    return torch.tensor([0, *accumulate(new)], dtype=torch.int32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "how",
    [{}, {"window": 5}, {"softcap": 2.0}, {"sinks": SINKS}, {"window": 7, "softcap": 3.0, "sinks": SINKS}],
    ids=["plain", "window", "softcap", "sinks", "all"],
)
def test_prompts_chunks_and_decodes_together(how: dict[str, Any], dtype: torch.dtype) -> None:
    new = [20, 1, 0, 9, 2]
    case = make([20, 1, 40, 33, 17], dtype=dtype, q_heads=6, rows=sum(new))
    assert_close(prefill(*case.args, starts_of(new), **how), dense(case, new, **how), dtype)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=5),
    heads=st.sampled_from([(1, 1), (6, 2), (5, 1)]),
    page=st.sampled_from([1, 8, 32]),
    window=st.sampled_from([None, 1, 9, 40]),
    softcap=st.sampled_from([None, 4.0]),
    seed=st.integers(0, 99),
)
def test_any_ragged_batch(
    sizes: list[tuple[int, int]],
    heads: tuple[int, int],
    page: int,
    window: int | None,
    softcap: float | None,
    seed: int,
) -> None:
    new = [n for n, _ in sizes]
    case = make([n + past for n, past in sizes], page=page, q_heads=heads[0], kv_heads=heads[1], head_dim=16,
                rows=sum(new), seed=seed)  # fmt: skip
    how = {"window": window, "softcap": softcap}
    assert_close(prefill(*case.args, starts_of(new), **how), dense(case, new, **how), torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_decode_step(dtype: torch.dtype) -> None:
    case = make([0, 1, 16, 17, 40], dtype=dtype)
    assert_close(decode(*case.args), dense(case), dtype)
    assert decode(*make([]).args).shape == (0, 4, 64)


def test_a_window_gathers_the_pages_that_it_sees_and_no_others() -> None:
    case = make([200, 90], page=8)
    gone = case.block_tables.clone()
    gone[0, : (200 - 20) // 8], gone[1, : (90 - 20) // 8] = 2**30, 2**30
    got = decode(*case.args[:3], gone, case.lengths, window=20)
    assert_close(got, decode(*case.args, window=20).double(), torch.float32)


class TestCascade:
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_a_prefix_is_attended_once_for_all(self, dtype: torch.dtype) -> None:
        case = make([40, 50, 37, 64, 33], shared=2, dtype=dtype, q_heads=8)
        groups = share_groups(case.block_tables.tolist(), case.lengths.tolist(), 16)
        assert groups[0].tokens == 32
        assert_close(cascade_decode(*case.args, groups), dense(case), dtype)

    def test_those_who_share_all_that_they_have_and_those_who_share_nothing(self) -> None:
        case = make([32, 48, 0, 7], shared=2)
        groups = [SharedPrefix((0, 1), 32), SharedPrefix((2, 3), 0)]
        assert_close(cascade_decode(*case.args, groups), dense(case), torch.float32)

    def test_states_merge_in_any_order(self) -> None:
        q, k, v = (torch.randn(n, 16, dtype=torch.float64) for n in (3, 30, 30))
        parts = [attend_part(q, k[a:b], v[a:b], None, scale=0.3) for a, b in ((0, 7), (7, 7), (7, 30))]
        whole = finish(attend_part(q, k, v, None, scale=0.3))
        for order in ([0, 1, 2], [2, 0, 1]):
            torch.testing.assert_close(finish(merge([parts[i] for i in order])), whole)
        first = merge([merge(parts[:2]), parts[2]])
        torch.testing.assert_close(finish(first), finish(merge([parts[0], merge(parts[1:])])))


def small(case: Case, kind: torch.dtype) -> tuple[Case, torch.Tensor, torch.Tensor, Case]:
    """The case with its pages in 8 bits, the two scales, and the case with the numbers that these pages stand for."""
    new = [case.keys_and_values(seq) for seq in range(len(case.lengths))]
    page = case.k_cache.shape[1]
    slots = torch.cat(
        [
            case.block_tables[seq, torch.arange(length) // page].long() * page + torch.arange(length) % page
            for seq, length in enumerate(case.lengths.tolist())
        ]
    )
    k, v = (torch.cat([pair[i] for pair in new]).float() for i in (0, 1))
    scales = head_scales(k, kind), head_scales(v, kind)
    pages = [torch.zeros(case.k_cache.shape, dtype=kind) for _ in range(2)]
    write_kv(k, v, *pages, slots, k_scale=scales[0], v_scale=scales[1])
    wide = [c.float() * s[:, None] for c, s in zip(pages, scales, strict=True)]
    where = (case.block_tables, case.lengths)
    return Case(case.q, *pages, *where), *scales, Case(case.q, *wide, *where)


@pytest.mark.parametrize("kind", SMALL, ids=str)
def test_pages_of_8_bits_are_read_as_what_they_stand_for(kind: torch.dtype) -> None:
    case, k_scale, v_scale, wide = small(make([0, 1, 17, 40], q_heads=6), kind)
    how = {"k_scale": k_scale, "v_scale": v_scale}
    assert_close(decode(*case.args, **how), dense(wide), torch.float32)
    case, k_scale, v_scale, wide = small(make([21, 3], rows=7), kind)
    how = {"k_scale": k_scale, "v_scale": v_scale, "window": 9}
    got = prefill(*case.args, starts_of([5, 2]), **how)
    assert_close(got, dense(wide, [5, 2], window=9), torch.float32)
    case, k_scale, v_scale, wide = small(make([40, 50], shared=2), kind)
    got = cascade_decode(*case.args, [SharedPrefix((0, 1), 32)], k_scale=k_scale, v_scale=v_scale)
    assert_close(got, dense(wide), torch.float32)


@pytest.mark.parametrize("kind", SMALL, ids=str)
def test_what_is_too_large_is_cut_and_what_lies_between_is_rounded(kind: torch.dtype) -> None:
    x = torch.tensor([[[1e4, -1e4, 2.5, -2.5, 1.3]]])
    got = quantise(x, torch.ones(1), kind).float().flatten().tolist()
    assert got == ([127, -127, 3, -2, 1] if kind == torch.int8 else [448, -448, 2.5, -2.5, 1.25])


@pytest.mark.parametrize("dtype", [*DTYPES, *SMALL], ids=str)
def test_a_write_reaches_its_slots_and_nothing_else(dtype: torch.dtype) -> None:
    pages = [torch.zeros(4, 8, 3, 80).to(dtype) for _ in range(2)]
    k, v = (torch.randn(3, 3, 80).to(torch.float32 if dtype in SMALL else dtype) for _ in range(2))
    scales = {"k_scale": torch.ones(3), "v_scale": torch.ones(3)} if dtype in SMALL else {}
    write_kv(k, v, *pages, torch.tensor([25, -1, 6]), **scales)
    for new, cache in ((k, pages[0]), (v, pages[1])):
        flat = cache.flatten(0, 1).float()
        right = quantise(new, torch.ones(3), dtype).float() if dtype in SMALL else new.float()
        assert (flat[25] == right[0]).all() and (flat[6] == right[2]).all()
        flat[25], flat[6] = 0, 0
        assert not flat.any()


def test_pages_are_copied_in_every_layer() -> None:
    k, v = (torch.randn(3, 5, 2, 3, 16) for _ in range(2))
    before = k.clone(), v.clone()
    copy_blocks(k, v, torch.tensor([[0, 3], [1, 4]]))
    for cache, was in zip((k, v), before, strict=True):
        assert (cache[:, 3:] == was[:, :2]).all() and (cache[:, :3] == was[:, :3]).all()
