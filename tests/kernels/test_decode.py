"""Every decode kernel of the ladder against dense attention in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paged_cases import Case, assert_close, dense, make

import kvkernels

KERNELS: dict[str, Callable[..., torch.Tensor]] = {
    "paged": kvkernels.paged_decode,
    "tiled": kvkernels.tiled_decode,
    "grouped": kvkernels.grouped_decode,
    "split": lambda *args: kvkernels.split_decode(*args, splits=3, tile=16),
    "one_launch": lambda *args: kvkernels.one_launch_decode(*args, splits=3, tile=16),
    "cascade": lambda *args: cascade(*args),
    "chosen": kvkernels.decode,
}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def cascade(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, tables: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    groups = kvkernels.share_groups(tables.tolist(), lengths.tolist(), k.shape[1])
    return kvkernels.cascade_decode(q, k, v, tables, lengths, groups, prefix_splits=2, rows=16, tile=16)


def run(kernel: str, case: Case, device: str) -> torch.Tensor:
    return KERNELS[kernel](*(t.to(device) for t in case.args)).cpu()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_ragged_lengths_over_shuffled_pages(kernel: str, dtype: torch.dtype, device: str) -> None:
    case = make([0, 1, 16, 17, 40], dtype=dtype)
    assert_close(run(kernel, case, device), dense(case), dtype)


SHAPES = [
    # page, q_heads, kv_heads, head_dim, lengths
    (1, 3, 1, 64, [5, 2]),
    (8, 4, 4, 80, [9]),
    (32, 5, 1, 96, [33]),
    (64, 16, 1, 128, [65]),
    (128, 2, 1, 256, [130]),
    (256, 8, 1, 64, [257]),
]


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "chosen"])
@pytest.mark.parametrize(("page", "q_heads", "kv_heads", "head_dim", "lengths"), SHAPES)
def test_pages_heads_and_groups(
    kernel: str, page: int, q_heads: int, kv_heads: int, head_dim: int, lengths: Sequence[int], device: str
) -> None:
    case = make(lengths, page=page, q_heads=q_heads, kv_heads=kv_heads, head_dim=head_dim)
    assert_close(run(kernel, case, device), dense(case), torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_empty_batch_is_no_launch(kernel: str, device: str) -> None:
    case = make([])
    assert run(kernel, case, device).shape == (0, 4, 64)


@pytest.mark.parametrize("kernel", ["paged", "grouped", "split", "one_launch"])
def test_scores_far_from_zero_do_not_overflow(kernel: str, device: str) -> None:
    case = make([3, 35])
    big = Case(case.q * 100, case.k_cache * 10, *case.args[2:])
    assert_close(run(kernel, big, device), dense(big), torch.float32, times=20)


@settings(max_examples=8)
@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=3),
    page=st.sampled_from([1, 2, 8, 16, 32]),
    heads=st.sampled_from([(1, 1), (6, 2), (7, 1), (4, 4)]),
    kernel=st.sampled_from(["tiled", "grouped", "split", "one_launch", "cascade"]),
    seed=st.integers(0, 99),
)
@example(lengths=[32, 48], page=16, heads=(6, 2), kernel="cascade", seed=1)
def test_any_batch(lengths: list[int], page: int, heads: tuple[int, int], kernel: str, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    case = make(lengths, page=page, q_heads=heads[0], kv_heads=heads[1], head_dim=16, seed=seed)
    assert_close(run(kernel, case, device), dense(case), torch.float32)


def test_splitting_anywhere_changes_nothing_beyond_rounding(device: str) -> None:
    case = make([70])
    args = tuple(t.to(device) for t in case.args)
    for splits in (2, 5, 8):  # more ranges than tiles too
        assert_close(kvkernels.split_decode(*args, splits=splits, tile=16).cpu(), dense(case), torch.float32)


def test_the_counters_of_one_launch_are_zero_again(device: str) -> None:
    from kvkernels.step8_one_launch import counters

    case = make([20, 33])
    args = tuple(t.to(device) for t in case.args)
    done = counters(args[0], 2)
    for _ in range(2):
        assert_close(kvkernels.one_launch_decode(*args, splits=2, tile=16, done=done).cpu(), dense(case), torch.float32)
        assert not done.any()


def test_counters_are_kept_for_each_stream_and_grow(device: str) -> None:
    from kvkernels.step8_one_launch import kept_counters

    where = torch.device(device)
    first = kept_counters(where, -1, 3, 2)
    assert first.shape == (3, 2) and not first.any()
    assert kept_counters(where, -1, 2, 4).data_ptr() == first.data_ptr()
    assert kept_counters(where, -2, 3, 2).data_ptr() != first.data_ptr()
    assert kept_counters(where, -1, 500, 8).shape == (500, 8)
    case = make([20, 33])
    done = kept_counters(where, -1, 2, 2)
    for _ in range(2):
        got = kvkernels.one_launch_decode(*(t.to(device) for t in case.args), splits=2, tile=16, done=done)
        assert_close(got.cpu(), dense(case), torch.float32)


class TestCascade:
    def test_shared_pages_are_found(self) -> None:
        tables = [[7, 8, 1], [7, 8, 2], [7, 9, 3], [4], [5, 6]]
        groups = kvkernels.share_groups(tables, [40, 48, 33, 10, 32], 16)
        assert [(g.members, g.tokens) for g in groups] == [((0, 1, 2), 16), ((3, 4), 0)]

    def test_a_part_filled_page_is_not_shared(self) -> None:
        groups = kvkernels.share_groups([[1, 2], [1, 2]], [32, 20], 16)
        assert [(g.members, g.tokens) for g in groups] == [((0, 1), 16)]

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_more_members_than_a_stack_holds(self, dtype: torch.dtype, device: str) -> None:
        case = make([40, 50, 37, 64, 33], shared=2, dtype=dtype, q_heads=8)
        groups = kvkernels.share_groups(case.block_tables.tolist(), case.lengths.tolist(), 16)
        assert groups[0].tokens == 32
        args = tuple(t.to(device) for t in case.args)
        got = kvkernels.cascade_decode(*args, groups, splits=2, prefix_splits=2, rows=16, tile=16)
        assert_close(got.cpu(), dense(case), dtype)

    def test_groups_that_share_less_than_they_say_are_refused(self, there: Callable[..., Any]) -> None:
        args = there(*make([40, 50]).args)
        wrong = [kvkernels.SharedPrefix((0, 1), 16)]
        with pytest.raises(kvkernels.KernelInputError, match=r"do not share 16 tokens"):
            kvkernels.cascade_decode(*args, wrong, validate=True)
        with pytest.raises(kvkernels.KernelInputError, match="in one group, once"):
            kvkernels.cascade_decode(*args, [kvkernels.SharedPrefix((0, 0), 0)])


class TestChoice:
    """The rule that stands in kernels/choose.py."""

    @staticmethod
    def chosen(splits: int = 1, longest: int = 100, groups: object = None, dtype: torch.dtype = torch.bfloat16) -> str:
        from kvkernels.choose import choose

        pages = torch.empty(1, 16, 1, 64, device="meta").to(dtype)
        return choose(pages, longest, groups, splits)  # type: ignore[arg-type]

    def test_by_rule(self) -> None:
        worth = [kvkernels.SharedPrefix((0, 1), 1024)]
        assert self.chosen() == "grouped_decode"
        assert self.chosen(splits=4) == "one_launch_decode"
        assert self.chosen(splits=4, longest=9000) == "split_decode"
        assert self.chosen(groups=worth) == "cascade_decode"
        assert self.chosen(groups=[kvkernels.SharedPrefix((0, 1), 512)]) == "grouped_decode"
        assert self.chosen(dtype=torch.int8, groups=worth) == "quantized_decode"

    @pytest.mark.parametrize(
        ("seqs", "longest", "least", "most"), [(1, 131072, 8, 17), (64, 4096, 1, 1), (1, 100, 1, 1), (4, 4096, 3, 5)]
    )
    def test_a_chip_is_filled_and_not_more(self, seqs: int, longest: int, least: int, most: int) -> None:
        from kvkernels.inputs import Shape
        from kvkernels.step4_split import num_splits

        assert least <= num_splits(Shape(seqs, 32, 8, 128, 1, 16, 1), longest, 64, 132) <= most

    def test_a_shared_prefix_on_a_wide_chip_has_room_for_all_its_states(
        self, monkeypatch: pytest.MonkeyPatch, there: Callable[..., Any]
    ) -> None:
        from kvkernels import choose

        monkeypatch.setattr(choose, "multiprocessors", lambda device: 200)
        monkeypatch.setattr(choose, "WORTH_A_STACK", 1)
        case = make([1030, 1040], page=256, shared=4, q_heads=1, kv_heads=1, head_dim=16)
        groups = kvkernels.share_groups(case.block_tables.tolist(), case.lengths.tolist(), 256)
        got = kvkernels.decode(*there(*case.args), longest=100_000, groups=groups)
        assert_close(got.cpu(), dense(case), torch.float32)

    def test_groups_that_share_nothing_are_refused_here_too(
        self, monkeypatch: pytest.MonkeyPatch, there: Callable[..., Any]
    ) -> None:
        from kvkernels import choose

        monkeypatch.setattr(choose, "WORTH_A_STACK", 1)
        with pytest.raises(kvkernels.KernelInputError, match="do not share 16 tokens"):
            groups = [kvkernels.SharedPrefix((0, 1), 16)]
            kvkernels.decode(*there(*make([40, 50]).args), groups=groups, validate=True)
