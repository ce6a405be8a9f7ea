"""The three limits of paging: each is shown in one lesson, over pages that waste next to nothing, and named there."""

from __future__ import annotations

import re

import pytest

from labkit import specs
from labkit.authoring import layout, master
from labkit.cache.block_table import blocks_needed
from labkit.cache.geometry import MODELS
from labkit.scheduling.request import Request
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.specs.admission_control import scenes as admission
from labkit.specs.one_long_request import scenes as one_long
from labkit.specs.preemption import scenes as preemption

COST = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
WORDS = {
    "13": r"has nobody to be packed with",
    "17": r"does not replace admission control",
    "18": r"does not take away pressure|does not remove pressure",
}
"""How the lesson that shows a limit says it; 13 names the other two as well."""


def text(number: str) -> str:
    cells = master.read(layout.files(specs.resolve_key(number)).master).cells
    return " ".join(" ".join(cell.source for cell in cells if cell.kind == "markdown").replace("#", " ").split())


def wasted(requests: list[Request], block_size: int = 16) -> float:
    """The share of empty slots in what these requests hold at their longest."""
    tokens = [request.most_slots for request in requests]
    return 1 - sum(tokens) / sum(blocks_needed(n, block_size) * block_size for n in tokens)


def test_it_does_not_help_one_very_long_request() -> None:
    few, many = (one_long.served(blocks, "long") for blocks in (8_200, 16_400))
    assert few == many and few.at_once == 1
    few, many = (one_long.served(blocks, "crowd") for blocks in (8_200, 16_400))
    assert many.at_once > 1.5 * few.at_once and many.tokens_per_s > few.tokens_per_s


def test_it_does_not_remove_pressure_where_contexts_exceed_memory() -> None:
    wanted = sum(blocks_needed(r.most_slots, 16) for r in preemption.chats())
    assert 3_000 < wanted < 20_000 and wasted(preemption.chats()) < 0.01
    short, enough = (preemption.served(preemption.make(n), preemption.chats(), COST) for n in (3_000, 20_000))
    assert short.preemptions > 0 and short.recomputed > 0 and short.delivered_per_s < 0.85 * enough.delivered_per_s
    assert enough.preemptions == enough.recomputed == 0


def test_it_does_not_replace_admission_control() -> None:
    """The same pages and the same people: what differs is who is let in."""
    assert wasted(admission.busy_minute()) < 0.02
    runs = {
        name: admission.served(admission.make(900, **admission.GATES[name]), admission.busy_minute(), COST)
        for name in ("optimistic", "watermark 0.1", "reserve to max")
    }
    assert runs["optimistic"].preemptions > 10 * runs["watermark 0.1"].preemptions > 0
    assert runs["reserve to max"].preemptions == 0


@pytest.mark.parametrize(("number", "words"), WORDS.items())
def test_the_lesson_says_so_once(number: str, words: str) -> None:
    assert len(re.findall(words, text(number))) == 1
    assert not [n for n in ("16", "19", "20") if re.search(words, text(n))]


@pytest.mark.parametrize("number", ["00", "13"])
def test_whoever_names_the_limits_names_the_lessons_that_show_them(number: str) -> None:
    (said,) = re.findall(r"(?:three things that paging does \*\*not\*\* do|three limits of paging).{400}", text(number))
    assert set(re.findall(r"lesson (\d\d)", said)) | {number} - {"00"} == set(WORDS)
