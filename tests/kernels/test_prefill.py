"""The prefill kernel against dense attention in float64: ragged batches, chunks, windows, caps and sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paged_cases import Case, assert_close, dense, make

import kvkernels

SINKS = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0, -2.0])


def starts_of(new: Sequence[int], device: str) -> torch.Tensor:
    return torch.tensor([0, *accumulate(new)], dtype=torch.int32, device=device)


def run(case: Case, new: Sequence[int], device: str, **how: Any) -> torch.Tensor:
    how = {"rows": 32, "tile": 16} | how
    args = (t.to(device) for t in case.args)
    return kvkernels.prefill(*args, starts_of(new, device), **how).cpu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "how",
    [{}, {"window": 5}, {"softcap": 2.0}, {"sinks": SINKS}, {"window": 7, "softcap": 3.0, "sinks": SINKS}],
    ids=["plain", "window", "softcap", "sinks", "all"],
)
def test_prompts_chunks_and_decodes_in_one_launch(how: dict[str, Any], dtype: torch.dtype, device: str) -> None:
    new = [20, 1, 0, 9, 2]
    case = make([20, 1, 40, 33, 17], dtype=dtype, q_heads=6, rows=sum(new))
    how_there = {name: value.to(device) if name == "sinks" else value for name, value in how.items()}
    assert_close(run(case, new, device, **how_there), dense(case, new, **how), dtype)


@settings(max_examples=6)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), min_size=1, max_size=4),
    heads=st.sampled_from([(1, 1), (6, 2), (5, 1)]),
    page=st.sampled_from([1, 8, 32]),
    window=st.sampled_from([None, 1, 9]),
    seed=st.integers(0, 99),
)
def test_any_ragged_batch(
    sizes: list[tuple[int, int]], heads: tuple[int, int], page: int, window: int | None, seed: int
) -> None:
    new = [n for n, _ in sizes]
    lengths = [n + past for n, past in sizes]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    case = make(lengths, page=page, q_heads=heads[0], kv_heads=heads[1], head_dim=16, rows=sum(new), seed=seed)
    assert_close(run(case, new, device, window=window), dense(case, new, window=window), torch.float32)


@pytest.mark.parametrize("chunks", [[33], [16, 17], [1, 2, 30], [10, 10, 10, 3]])
def test_any_chunking_of_a_prompt_gives_the_same_rows(chunks: list[int], device: str) -> None:
    case = make([33], rows=33)
    rows, done = [], 0
    for n in chunks:
        so_far = torch.tensor([done + n], dtype=torch.int32)
        chunk = Case(case.q[done : done + n].contiguous(), *case.args[1:4], so_far)
        rows.append(run(chunk, [n], device))
        done += n
    assert_close(torch.cat(rows), dense(case, [33]), torch.float32)


def test_a_decode_step_is_a_prefill_of_one_token_each(device: str) -> None:
    case = make([1, 17, 40])
    assert_close(run(case, [1, 1, 1], device), dense(case), torch.float32)


@pytest.mark.parametrize(
    ("new", "how", "says"),
    [
        ([2, 2], {}, "more new tokens than it has"),
        ([1, 1], {"window": 0}, "A window is 1 token or more, not 0"),
        ([1, 1], {"softcap": -1.0}, r"A soft cap is above 0, not -1\.0"),
        ([1, 1], {"rows": 24}, r"16, 32, 64, \.\.\. rows, not 24"),
        ([1, 1], {"sinks": torch.zeros(3)}, "one number per query head"),
        ([1, 2], {}, r"number of query rows, 2, and never fall; these are \[0, 1, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    new: list[int], how: dict[str, Any], says: str, there: Callable[..., Any]
) -> None:
    case = make([1, 9], rows=4 if new == [2, 2] else 2)
    with pytest.raises(kvkernels.KernelInputError, match=says):
        kvkernels.prefill(*there(*case.args, starts_of(new, "cpu")), validate=True, **how)
