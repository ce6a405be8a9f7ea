"""What the engine says is what transformers says with the same weights, however it is set up and whoever shares it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from model_oracle import greedy_oracle, make_checkpoint, near_ties, oracle

from labkit.cache.block_pool import CheckedPool
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.ref_counts import CheckedRefCounts
from labkit.engine import PREFIX_CACHES
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.preemption import VICTIMS
from labkit.scheduling.swap import SwapCost
from labkit.scheduling.waiting import ORDERS
from labkit.serving import Sampling, load
from labkit.serving.generate import run
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel
from labkit.serving.request import Request

BOUND = 1e-8
"""A lead below which two fp64 programs may disagree about the highest logit."""
MOST = 14
"""Tokens that are generated at most."""
SYSTEM = list(range(30, 47))
PROMPTS = [
    *(list(range(5, 5 + n)) for n in (1, 2, 5, 16, 33)),
    *(SYSTEM + tail for tail in ([3], [3, 4, 5], [9, 8, 7, 6, 5, 4, 3], SYSTEM)),
]
"""Lengths around the edges of blocks, and a beginning that is shared."""


@dataclass
class Known:
    """A model in fp64 and what is known of it."""

    model: LoadedModel
    greedy: list[tuple[list[int], list[float]]]  # of each of `PROMPTS`, by transformers
    drawn: dict[tuple[int, str], list[int]] = field(default_factory=dict)  # by the plain loop


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Known:
    more = {"head_dim": 16} if request.param == "qwen3" else {}
    folder = make_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param, num_hidden_layers=2, **more)
    theirs = oracle(folder, torch.float64)
    return Known(load(folder, dtype=torch.float64), [greedy_oracle(theirs, prompt, MOST) for prompt in PROMPTS])


def engine_of(known: Known, blocks: int, block_size: int, knobs: dict[str, Any], **more: Any) -> LLMEngine:
    """Over parts that check themselves; what a slot holds before its first token must never matter."""
    config = SchedulerConfig(**knobs)
    parts = {"pool": CheckedPool(blocks), "counts": CheckedRefCounts, "yours": False}
    engine = known.model.engine(blocks, block_size, config=config, **parts, **more)
    for pages in (engine.cache.k, engine.cache.v, engine.host.k, engine.host.v):
        pages.fill_(float("nan"))
    return engine


CHANCE = Sampling(temperature=0.9, top_p=0.95, seed=5)


def drawn(known: Known, prompt: int, name: str) -> list[int]:
    """What the plain loop draws for a prompt under this name, alone."""
    if (prompt, name) not in known.drawn:
        model, answers = known.model, []
        asked = Request(name, PROMPTS[prompt], MOST, CHANCE)
        list(run(model.model, model.tokenizer, [asked], model.paged_cache(4), answers=answers))
        known.drawn[prompt, name] = answers[0].token_ids
    return known.drawn[prompt, name]


def right(known: Known, engine: LLMEngine, prompts: dict[str, int]) -> int:
    """Hold all answers to what is known of their prompts; returns near ties."""
    ties = 0
    for name, answer in engine.answers.items():
        prompt, got = prompts[name.partition("#")[0]], answer.token_ids
        if name.startswith("D"):
            assert got == drawn(known, prompt, name)[: len(got)]
        else:
            tokens, gaps = known.greedy[prompt]
            ties += len(near_ties(got, tokens[: len(got)], gaps, BOUND))
    return ties


def nothing_is_held(engine: LLMEngine) -> None:
    manager, swapped = engine.cache.manager, engine.scheduler.swapper.pool
    assert not engine.has_work and not manager.sequences() and manager.num_held == 0
    assert manager.num_free + manager.num_cached == manager.num_blocks
    assert all(manager.cache.count(block) == 0 for block in range(manager.num_blocks))
    assert swapped is None or swapped.num_free == engine.scheduler.config.host_blocks


@st.composite
def setups(draw: Any) -> tuple[int, int, dict[str, Any], dict[str, Any]]:
    """Blocks, block size, the scheduler's knobs and the parts of the cache; any request alone has room."""
    block_size = draw(st.sampled_from([1, 2, 3, 4, 8, 16]))
    least = -(-(max(map(len, PROMPTS)) + MOST) // block_size)
    blocks = draw(st.integers(least, 3 * least))
    knobs: dict[str, Any] = {
        "token_budget": draw(st.sampled_from([1, 3, 8, 20, 64, 512])),
        "longest_chunk": draw(st.sampled_from([None, 1, 5, 7, 16])),
        "seats": draw(st.integers(1, 8)),
        "queue": draw(st.sampled_from(ORDERS)),
        "victim": draw(st.sampled_from(sorted(VICTIMS))),
        "full_sequence": draw(st.booleans()),
        "watermark": draw(st.sampled_from([0.0, 0.1])),
    }
    if draw(st.booleans()):
        cost = draw(st.sampled_from([None, SwapCost(1.0, 0.1, 1.0, 0.0)]))
        knobs |= {"preemption": "swap", "host_blocks": draw(st.integers(1, 2 * least)), "swap_cost": cost}
    if draw(st.integers(0, 4)) == 0:
        knobs |= {"chunked_prefill": False, "token_budget": 512}
    kind = draw(st.sampled_from(PREFIX_CACHES))
    parts: dict[str, Any] = {"prefix_cache": kind}
    if kind and draw(st.booleans()):
        parts["policy"] = POLICIES[draw(st.sampled_from(sorted(POLICIES)))](blocks)
    return blocks, block_size, knobs, parts


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_engine_says_what_transformers_says(known: Known, data: st.DataObject) -> None:
    blocks, block_size, knobs, parts = data.draw(setups(), "setup")
    engine = engine_of(known, blocks, block_size, knobs, **parts)
    coming, prompts = [], {}
    for i in range(data.draw(st.integers(2, 9), "requests")):
        n = data.draw(st.sampled_from([1, 1, 1, 2, 3]), "n")
        name = f"{data.draw(st.sampled_from('GGD'), 'how')}{i}"
        prompts[name] = data.draw(st.integers(0, len(PROMPTS) - 1), "prompt")
        how = {"sampling": CHANCE} if name[0] == "D" else {}
        most = data.draw(st.integers(1, MOST), "tokens")
        coming.append((data.draw(st.integers(0, 12), "comes"), Request(name, PROMPTS[prompts[name]], most, n=n, **how)))
    gone = data.draw(st.dictionaries(st.sampled_from(sorted(prompts)), st.integers(0, 30), max_size=3), "gone")
    step = 0
    while coming or engine.has_work:
        for at, request in list(coming):
            if at <= step:
                coming.remove((at, request))
                salt = data.draw(st.sampled_from([b"", b"", b"other"]), "salt")
                engine.submit(request, priority=data.draw(st.integers(0, 2), "priority"), salt=salt)
        for name in [name for name, at in gone.items() if at == step]:
            engine.cancel(name)
        engine.step()
        step += 1
        assert step < 3000
    event(f"preempted: {min(engine.cache.manager.counters.preemptions, 1)}")
    assert right(known, engine, prompts) == 0, "near ties are rare in fp64"
    assert all(a.finish_reason == "length" for name, a in engine.answers.items() if name.partition("#")[0] not in gone)
    nothing_is_held(engine)


def serve(known: Known, engine: LLMEngine, asked: list[tuple[str, int, int]], **more: Any) -> None:
    """Submit (name, number of the prompt, tokens), run to the end and check."""
    for name, prompt, tokens in asked:
        engine.submit(Request(name, PROMPTS[prompt], tokens, **more))
    for _ in engine.stream():
        pass
    assert right(known, engine, {name: prompt for name, prompt, _ in asked}) == 0
    assert all(answer.finish_reason == "length" for answer in engine.answers.values())
    nothing_is_held(engine)


EVERYBODY = [(f"G{i}", i, MOST) for i in range(len(PROMPTS))]


@pytest.mark.parametrize("chunk", [1, 7, None])
def test_chunks(known: Known, chunk: int | None) -> None:
    engine = engine_of(known, 60, 4, {"longest_chunk": chunk, "token_budget": 64})
    serve(known, engine, EVERYBODY)


@pytest.mark.parametrize("kind", ["hash", "radix"])
def test_prefix_hits(known: Known, kind: str) -> None:
    engine = engine_of(known, 60, 4, {}, prefix_cache=kind)
    serve(known, engine, EVERYBODY)
    counted = engine.cache.manager.counters.hit_tokens
    assert counted >= 3 * 16, "those who come together share a beginning, which one of them computes"
    for name in list(engine.answers):
        del engine.answers[name]
    before = engine.scheduler.totals.computed
    serve(known, engine, EVERYBODY)
    again = engine.cache.manager.counters
    assert again.hit_tokens - counted >= 100 and engine.scheduler.totals.computed - before < before


@pytest.mark.parametrize("victim", sorted(VICTIMS))
@pytest.mark.parametrize("way", ["recompute", "swap"])
def test_preemption(known: Known, way: str, victim: str) -> None:
    knobs: dict[str, Any] = {"victim": victim, "preemption": way, "host_blocks": 40 if way == "swap" else 0}
    engine = engine_of(known, 20, 4, knobs, prefix_cache=None)
    moved = {"out": 0, "back": 0}
    move = engine.move

    def counted(step: Any) -> None:
        moved["out"] += len(step.swapped_out)
        moved["back"] += len(step.swapped_in)
        move(step)

    engine.move = counted  # type: ignore[method-assign]
    serve(known, engine, EVERYBODY)
    assert engine.cache.manager.counters.preemptions >= 3
    assert bool(moved["out"]) == bool(moved["back"]) == (way == "swap")
    assert bool(engine.scheduler.totals.recomputed) == (way == "recompute")


@pytest.mark.parametrize("kind", PREFIX_CACHES)
def test_several_answers_share_a_prompt_and_part_by_copies(known: Known, kind: str | None) -> None:
    """Prompt 6 ends in the middle of a block: the first to write there gets a copy."""
    engine = engine_of(known, 60, 8, {}, prefix_cache=kind)
    copied: list[tuple[int, int]] = []
    move = engine.move
    engine.move = lambda step: (copied.extend(step.copies), move(step))[1]  # type: ignore[method-assign]
    serve(known, engine, [("D", 6, MOST)], n=3, sampling=CHANCE)
    assert len(copied) == 2 and engine.cache.manager.counters.queried_tokens == len(PROMPTS[6])
    assert len({tuple(answer.token_ids) for answer in engine.answers.values()}) == 3, "each has chances of its own"
    engine.answers.clear()
    serve(known, engine, [("G", 6, MOST)], n=3)
    assert list(engine.answers) == ["G", "G#2", "G#3"]


def test_a_block_that_is_swapped_out_takes_a_copy_in_the_same_step(known: Known) -> None:
    """Memory is full when the first of three answers needs a block of its own, and the victim's is what it gets."""
    knobs = {"victim": "most-blocks", "preemption": "swap", "host_blocks": 12}
    engine = engine_of(known, 10, 4, knobs, prefix_cache=None)
    move, both = engine.move, []

    def watched(step: Any) -> None:
        both.extend({block for block, _ in step.swapped_out} & {block for _, block in step.copies})
        move(step)

    engine.move = watched  # type: ignore[method-assign]
    engine.submit(Request("G", PROMPTS[2], MOST, n=3))  # 2 blocks
    engine.submit(Request("G1", PROMPTS[8][:30], 8))  # 8 blocks
    list(engine.stream())
    alone = engine_of(known, 10, 4, {})
    alone.submit(Request("G1", PROMPTS[8][:30], 8))
    list(alone.stream())
    assert engine.answers.pop("G1").token_ids == alone.answers["G1"].token_ids
    assert right(known, engine, {"G": 2}) == 0 and both


@pytest.mark.parametrize("kind", ["hash", "radix"])
@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_eviction_policy(known: Known, policy: str, kind: str) -> None:
    engine = engine_of(known, 16, 4, {"seats": 3}, prefix_cache=kind, policy=POLICIES[policy](16))
    serve(known, engine, EVERYBODY)
    assert engine.cache.manager.counters.cached_blocks_evicted >= 3


def test_no_block_is_lost_over_many_who_leave(known: Known) -> None:
    """Two of three leave, at every place that there is: in the queue, in mid-prompt, preempted, swapped out."""
    chance = random.Random(0)
    knobs = {"token_budget": 12, "seats": 6, "preemption": "swap", "host_blocks": 12, "full_sequence": False}
    engine = engine_of(known, 16, 4, knobs)
    prompts, seen, finished = {}, set(), 0
    for i in range(200):
        name = f"G{i}"
        prompts[name] = chance.randrange(len(PROMPTS))
        engine.submit(Request(name, PROMPTS[prompts[name]], chance.randint(1, MOST), n=1 + (i % 5 == 0)))
        engine.step()
        here = [*engine.scheduler.running, *engine.scheduler.waiting]
        if i % 3 and here:
            leaves = chance.choice(here)
            seen.add((str(leaves.state), bool(leaves.computed), bool(leaves.output)))
            assert engine.cancel(leaves.id)
        assert right(known, engine, prompts) == 0
        for name in [name for name, answer in engine.answers.items() if answer.finish_reason]:
            finished += engine.answers.pop(name).finish_reason == "length"
    for _ in engine.stream():
        pass
    nothing_is_held(engine)
    assert finished > 40
    assert {("waiting", False, False), ("running", True, False), ("running", True, True)} <= seen
    assert {("preempted", True, True), ("preempted", False, False)} <= seen, "swapped out, and to be computed again"
