"""The engine: whatever is batched, cut, preempted or cancelled beside it, each text is that of the plain loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from labkit.cache.block_pool import CheckedPool
from labkit.errors import GenerationError, RefusedError
from labkit.scheduling.config import SchedulerConfig
from labkit.serving import load
from labkit.serving.generate import run
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel
from labkit.serving.request import Request

LENGTHS = (1, 3, 4, 9, 17, 30)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load("tiny", dtype=torch.float64)


def requests(count: int = 6, tokens: int = 12, **more: Any) -> list[Request]:
    return [Request(f"R{i}", list(range(10 + i, 10 + i + LENGTHS[i % 6])), tokens, **more) for i in range(count)]


@pytest.fixture(scope="module")
def plain(model: LoadedModel) -> dict[str, list[int]]:
    """What the plain loop answers."""
    answers: list[Any] = []
    for _ in run(model.model, model.tokenizer, requests(), model.paged_cache(200, 4), answers=answers):
        pass
    return {answer.request: answer.token_ids for answer in answers}


def make(model: LoadedModel, blocks: int = 60, *, block_size: int = 4, knobs: dict[str, Any] | None = None, **more):
    return model.engine(blocks, block_size, config=SchedulerConfig(**knobs or {}), pool=CheckedPool(blocks), **more)


def nothing_is_held(engine: LLMEngine) -> bool:
    manager = engine.cache.manager
    return not manager.sequences() and manager.num_free + manager.num_cached == manager.num_blocks


@pytest.mark.parametrize("chunk", [1, 7, None])
@pytest.mark.parametrize("budget", [4, 16, 512])
def test_any_batch_says_what_the_plain_loop_says(model, plain, chunk, budget):
    engine = make(model, knobs={"token_budget": budget, "longest_chunk": chunk, "seats": 5})
    for request in requests():
        engine.submit(request)
    seen: dict[str, list[int]] = {}
    for token in engine.stream():
        seen.setdefault(token.generation.request, []).append(token.token)
    assert seen == plain
    assert {name: answer.token_ids for name, answer in engine.answers.items()} == plain
    assert all(answer.text == model.tokenizer.decode(answer.token_ids) for answer in engine.answers.values())
    assert nothing_is_held(engine)


def test_those_who_come_later_join_those_who_run(model, plain):
    engine, coming, ran_together = make(model), requests(), 0
    while coming or engine.has_work:
        if coming:
            engine.submit(coming.pop(0))
        engine.step()
        ran_together = max(ran_together, len(engine.scheduler.running))
    assert {name: answer.token_ids for name, answer in engine.answers.items()} == plain and ran_together > 3


def test_whoever_is_preempted_says_the_same(model, plain):
    engine = make(model, blocks=14, prefix_cache=None)
    for request in requests():
        engine.submit(request)
    for _ in engine.stream():
        pass
    assert {name: answer.token_ids for name, answer in engine.answers.items()} == plain
    assert engine.cache.manager.counters.preemptions > 2 and engine.scheduler.totals.recomputed
    assert nothing_is_held(engine)


def test_whoever_is_cancelled_has_no_memory_and_the_others_say_the_same(model, plain):
    engine = make(model, blocks=24, knobs={"token_budget": 8})
    for request in requests():
        engine.submit(request)
    for _ in range(4):
        engine.step()
    assert engine.cancel("R1") and engine.cancel("R5") and not engine.cancel("R5") and not engine.cancel("nobody")
    assert not {"R1", "R5"} & set(engine.cache.manager.sequences())
    for token in engine.stream():
        assert token.generation.request not in ("R1", "R5")
    for name, answer in engine.answers.items():
        gone = name in ("R1", "R5")
        assert answer.finish_reason == ("cancelled" if gone else "length")
        assert answer.token_ids == plain[name][: len(answer.token_ids) if gone else None]
    assert nothing_is_held(engine)


def test_a_stream_that_is_closed_cancels_who_is_left(model):
    engine = make(model)
    answers = [answer for request in requests() for answer in engine.submit(request)]
    stream = engine.stream()
    next(stream)
    stream.close()
    assert {answer.finish_reason for answer in answers} == {"cancelled"}
    assert not engine.has_work and nothing_is_held(engine)


def test_stop_tokens_end_a_text(model, plain):
    third = plain["R4"][2]
    engine = make(model)
    (answer,) = engine.submit(Request("R4", requests()[4].prompt_ids, 12, stop_ids=frozenset([third])))
    assert [token.token for token in engine.stream()] == plain["R4"][: plain["R4"].index(third) + 1]
    assert answer.finish_reason == "stop" and answer.prefill_s > 0 and nothing_is_held(engine)


def test_no_tokens_wanted(model):
    engine = make(model)
    (answer,) = engine.submit(Request("A", [1], 0))
    assert answer.finish_reason == "length" and not engine.has_work


def test_what_cannot_be_served_is_refused(model):
    engine = make(model, blocks=6, knobs={"most_queued": 1})
    for request, message in [
        (Request("A", []), "has no tokens"),
        (Request("A", [10**6]), "holds token"),
        (Request("A", [1] * 3000), "must fit into the 2048"),
        (Request("A", [1] * 20, 40), "all of memory has 24: give a shorter prompt"),
    ]:
        with pytest.raises(GenerationError, match=message):
            engine.submit(request)
    engine.submit(Request("A", [1] * 5, 4))
    with pytest.raises(GenerationError, match="named 'A' is here already"):
        engine.submit(Request("A", [1], 4))
    with pytest.raises(RefusedError, match="come again later") as refused:
        engine.submit(Request("B", [1], 4))
    assert refused.value.reason == "queue-full" and refused.value.retry_after_s > 0
    assert list(engine.answers) == ["A"]


def test_damaged_logits_end_the_run_and_leave_a_clean_engine():
    broken = load("tiny", dtype=torch.float64)
    engine = make(broken)
    norm = broken.model.norm.weight
    kept = norm.clone()
    answers = [answer for request in requests() for answer in engine.submit(request)]
    engine.step()
    norm[0] = float("nan")
    with pytest.raises(GenerationError, match="not finite"):
        engine.step()
    assert {answer.finish_reason for answer in answers} == {"cancelled"}
    assert not engine.has_work and nothing_is_held(engine) and not engine.cache.manager.num_cached
    norm.copy_(kept)
    again = Request("again", requests()[4].prompt_ids, 4)
    engine.submit(again)
    assert len(list(engine.stream())) == 4
