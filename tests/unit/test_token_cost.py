"""The cost calculator of lesson 02 says what the geometry says, in every combination of its choices."""

from __future__ import annotations

import itertools

import pytest

from labkit.cache.geometry import GiB, kv_bytes_per_token, model, start_up
from labkit.errors import GeometryError
from labkit.widgets.token_cost import CHOICES, PEAK_GIB, TokenCost, answer_for, size_text


def test_the_answer_follows_a_change_of_the_choice() -> None:
    widget = TokenCost()
    assert widget.answer["requests"] == "55.0"
    widget.choice = {**widget.choice, "context": 32768}
    assert widget.answer["requests"] == "13.8"
    assert widget.answer["for"] == widget.choice
    assert repr(widget) == "TokenCost(Llama-3.1-8B, 1 x 80 GiB, 32,768 tokens: 128 KiB per token, 13.8 requests)"


def test_numbers_are_those_of_the_geometry() -> None:
    choice = {**TokenCost().choice, "model": "Llama-3.1-70B", "gpus": 16}
    answer = answer_for(choice)
    shape = model("Llama-3.1-70B")
    plan = start_up(shape, 80 * GiB, activation_peak_bytes=PEAK_GIB * GiB, tensor_parallel=16)
    assert answer["token"] == size_text(kv_bytes_per_token(shape, tensor_parallel=16))
    assert answer["blocks"] == f"{plan.num_blocks:,}"
    assert "each head kept 2 times" in answer["shape"]


def test_every_choice_has_an_answer_that_adds_up() -> None:
    for values in itertools.product(CHOICES["model"], [1, 2], CHOICES["gpus"], [16, 80], [0.5, 0.95], [512, 131072]):
        answer = answer_for(dict(zip(CHOICES, values, strict=True)))
        if answer["problem"]:
            assert answer["problem"].endswith(".") and not answer["parts"]
            continue
        assert sum(part["share"] for part in answer["parts"]) == pytest.approx(1)
        assert all(part["share"] >= 0 for part in answer["parts"])


def test_what_cannot_be_shared_or_does_not_fit_is_said() -> None:
    start = TokenCost().choice
    for gpus in (2, 16):
        problem = answer_for({**start, "model": "Falcon-7B", "gpus": gpus})["problem"]
        assert "71 query" in problem and problem.endswith("Of the numbers offered here, only 1 can.")
    assert answer_for({**start, "model": "SmolLM2-135M", "gpus": 2})["problem"].endswith("only 1 can.")
    assert "more than the 72 GiB" in answer_for({**start, "model": "Llama-3.1-70B"})["problem"]


def test_requests_beyond_the_seams_are_announced() -> None:
    start = TokenCost().choice
    assert not answer_for(start)["crowd"]
    crowded = answer_for({**start, "context": 512})
    assert "too many requests to draw" in next(p["words"] for p in crowded["parts"] if p["kind"] == "cache")


def test_a_choice_that_is_not_offered_is_refused() -> None:
    with pytest.raises(GeometryError, match="share"):
        TokenCost(share=0.123)


def test_sizes_read_well() -> None:
    assert [size_text(n) for n in (12, 1024, 23_040, 3 * 2**20, int(1.5 * GiB))] == [
        "12 B",
        "1 KiB",
        "22.5 KiB",
        "3 MiB",
        "1.5 GiB",
    ]
