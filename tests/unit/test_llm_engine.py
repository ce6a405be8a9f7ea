"""The engine: whatever is batched, cut, preempted or cancelled beside it, each text is that of the plain loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.cache.block_pool import CheckedPool
from labkit.errors import CacheError, GenerationError, RefusedError, SchedulerError
from labkit.observe.events import EventLog, Kind
from labkit.scheduling.config import SchedulerConfig
from labkit.serving import Sampling, load
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


# ----- what texts end with ------------------------------------------------------------------------------------------


def text_of(model: LoadedModel, **more: Any) -> tuple[str, str, list[str], int]:
    """Text, why it ended, its pieces, and tokens, of one request on an engine."""
    engine = make(model)
    (answer,) = engine.submit(Request("A", requests()[4].prompt_ids, 12, **more))
    pieces = [token.text for token in engine.stream()]
    assert "".join(pieces) == answer.text and nothing_is_held(engine)
    return answer.text, answer.finish_reason, pieces, len(answer.token_ids)


def test_a_stop_string_may_lie_across_tokens_and_is_never_part_of_the_text(model):
    whole, reason, pieces, count = text_of(model)
    assert reason == "length" and len(pieces) == count == 12 and all(len(piece) > 1 for piece in pieces[2:6])
    begin = len("".join(pieces[:3])) - 1
    stop = whole[begin : begin + len(pieces[3]) + 2]  # the end of one token, another one, the beginning of a third
    cut, reason, short, count = text_of(model, stop=("nowhere", stop))
    assert (cut, reason, count) == (whole[: whole.index(stop)], "stop", 5)
    assert len(cut) < len("".join(pieces[:4])) and short[-1] == "", "what came before it was handed out already"


def test_what_only_looked_like_a_stop_string_is_handed_out_in_the_end(model):
    whole, _, pieces, _ = text_of(model)
    last = pieces[-1][-1]
    never = last + "~"
    text, reason, late, _ = text_of(model, stop=(never,))
    assert (text, reason) == (whole, "length") and late[-1] == pieces[-1]
    middle = whole[5:12]
    text, _, late, _ = text_of(model, stop=(middle + "~",))
    assert text == whole and late != pieces


def growing(stop: tuple[str, ...], words: list[str]) -> tuple[list[str], str]:
    """The pieces that a `Growing` hands out where its tokens stand for these words, and why it ended."""
    from labkit.serving.growing import Growing
    from labkit.serving.tiny import tiny_tokenizer

    made = Growing(Request("A", [1], len(words), stop=stop), tiny_tokenizer(), 1000)
    made._text = type("Words", (), {"push": lambda self, token: words[token], "finish": lambda self: ""})()
    pieces = []
    for token in range(len(words)):
        pieces.append(made.take(token).text)
        if made.answer.finish_reason:
            break
    assert "".join(pieces) == made.answer.text
    return pieces, made.answer.finish_reason


@pytest.mark.parametrize(
    ("stop", "words", "pieces", "reason"),
    [
        (("END",), ["a E", "N", "D b"], ["a ", "", ""], "stop"),
        (("END",), ["a E", "N", "E", "ND"], ["a ", "", "EN", ""], "stop"),
        (("END",), ["a E", "N", "o"], ["a ", "", "ENo"], "length"),
        (("END",), ["a E", "N"], ["a ", "EN"], "length"),
        (("aab",), ["a", "a", "a", "b"], ["", "", "a", ""], "stop"),
        (("b", "abcd"), ["abcd"], ["a"], "stop"),
        (("b", "abcd"), ["a", "b", "c"], ["", "a"], "stop"),
        (("x",), ["x"], [""], "stop"),
    ],
)
def test_what_is_held_back(stop, words, pieces, reason):
    assert growing(stop, words) == (pieces, reason)


@given(
    st.lists(st.text("ab", max_size=4), min_size=1, max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_how_tokens_cut_a_text_does_not_matter(words, stop):
    text = "".join(words)
    pieces, reason = growing(tuple(stop), words)
    each, _ = growing(tuple(stop), list(text) or [""])
    assert "".join(pieces) == "".join(each) and not any(one in "".join(pieces) for one in stop)
    assert (reason == "stop") == any(one in text for one in stop)


# ----- chance ------------------------------------------------------------------------------------------------------

DRAWN = Sampling(temperature=1.2, top_k=40, seed=3)


def test_sampling_cannot_be_changed_by_scheduling(model):
    """The same seed alone, in a crowd, in pieces, preempted, swapped out, and with or without a prefix cache."""
    alone: list[Any] = []
    asked = requests(sampling=DRAWN)
    for request in asked:
        list(run(model.model, model.tokenizer, [request], model.paged_cache(30), answers=alone))
    expected = {answer.request: answer.token_ids for answer in alone}
    swap = {"preemption": "swap", "host_blocks": 30}
    for blocks, knobs, more in [
        (60, {}, {}),
        (60, {"token_budget": 5, "longest_chunk": 2}, {}),
        (14, {}, {"prefix_cache": None}),
        (14, swap, {"prefix_cache": "radix"}),
    ]:
        for order in (asked, asked[::-1]):
            engine = make(model, blocks, knobs=knobs, **more)
            for request in order:
                engine.submit(request)
            for _ in engine.stream():
                pass
            assert {name: answer.token_ids for name, answer in engine.answers.items()} == expected
            assert bool(engine.cache.manager.counters.preemptions) == (blocks == 14)


def test_a_key_of_its_own_makes_chance_independent_of_the_name(model):
    texts = {}
    for name, key, seed in [("A", "k", 1), ("B", "k", 1), ("C", "k", 2), ("D", "", 1)]:
        engine = make(model)
        (answer,) = engine.submit(Request(name, [10, 11, 12], 12, replace(DRAWN, seed=seed), key=key))
        list(engine.stream())
        texts[name] = answer.token_ids
    assert texts["A"] == texts["B"] and len({tuple(text) for text in texts.values()}) == 3


def test_several_answers(model):
    engine = make(model, knobs={"seats": 2})  # fewer than answers: who finds no seat waits
    request = Request("A", list(range(10, 23)), 9, DRAWN, n=4, key="k")
    answers = engine.submit(request)
    assert [answer.request for answer in answers] == ["A", "A#2", "A#3", "A#4"] == list(engine.answers)
    tokens = list(engine.stream())
    assert len(tokens) == 36 and nothing_is_held(engine)
    assert len({tuple(answer.token_ids) for answer in answers}) == 4
    for number, answer in enumerate(answers, 1):
        alone = make(model)
        key = "k" if number == 1 else f"k#{number}"
        (same,) = alone.submit(replace(request, name="alone", n=1, key=key))
        list(alone.stream())
        assert same.token_ids == answer.token_ids


def test_several_answers_of_which_some_end_at_once(model):
    for tokens in (1, 5):
        engine = make(model)
        answers = engine.submit(Request("A", [1, 2, 3, 4, 5], tokens, n=3))
        assert len(list(engine.stream())) == 3 * tokens and nothing_is_held(engine)
        assert {answer.finish_reason for answer in answers} == {"length"}


def test_one_of_several_answers_may_be_cancelled_and_all_of_them(model):
    engine = make(model)
    answers = engine.submit(Request("A", [1, 2, 3, 4, 5], 9, DRAWN, n=3))
    assert engine.cancel("A#3")  # before there is anything to share
    engine.step()
    engine.step()
    assert engine.cache.manager.sequences() == ["A", "A#2"]
    assert engine.cancel("A") and not engine.has_work and nothing_is_held(engine)
    assert [len(answer.token_ids) for answer in answers] == [2, 2, 0]
    assert {answer.finish_reason for answer in answers} == {"cancelled"}
    engine.answers.clear()
    (first, second) = engine.submit(Request("A", [1, 2, 3, 4, 5], 9, DRAWN, n=2))
    assert engine.cancel("A#2")
    list(engine.stream())
    assert (first.finish_reason, second.finish_reason) == ("length", "cancelled") and nothing_is_held(engine)


def test_log_probabilities(model):
    engine = make(model)
    (a,) = engine.submit(Request("A", [10, 11, 12], 5, DRAWN, logprobs=3))
    (b, c) = engine.submit(Request("B", [10, 11, 12], 5, logprobs=0, n=2))
    (d,) = engine.submit(Request("D", [10, 11, 12], 5))
    list(engine.stream())
    assert not d.logprobs and [len(x.logprobs) for x in (a, b, c)] == [5, 5, 5]
    for answer in (a, b, c):
        ids = torch.tensor(answer.prompt_ids + answer.token_ids)
        rows = torch.log_softmax(model.model(ids, last_only=False)[2:-1], dim=-1)
        for row, told, token in zip(rows, answer.logprobs, answer.token_ids, strict=True):
            assert told.token == token and told.logprob == pytest.approx(float(row[token]), abs=1e-6)
            assert [t for t, _ in told.top] == row.topk(3).indices.tolist()[: len(told.top)]
            assert [p for _, p in told.top] == sorted((p for _, p in told.top), reverse=True)
    assert all(len(told.top) == 3 for told in a.logprobs) and not any(told.top for told in b.logprobs)


# ----- whose turn it is, and who shares ----------------------------------------------------------------------------


def test_priorities_say_who_comes_first(model):
    engine = make(model, knobs={"seats": 1, "queue": "priority"})
    for name, priority in [("late", 2), ("urgent", -1), ("soon", 0)]:
        engine.submit(Request(name, [10, 11], 2), priority=priority)
    assert list(dict.fromkeys(token.generation.request for token in engine.stream())) == ["urgent", "soon", "late"]
    with pytest.raises(SchedulerError, match="priority of A is 'high'"):
        engine.submit(Request("A", [1], 2), priority="high")


def test_only_equal_salts_share(model):
    engine = make(model)
    for name, salt in [("A", b"x"), ("B", b"y"), ("C", b"x")]:
        engine.submit(Request(name, list(range(10, 30)), 2), salt=salt)
        list(engine.stream())
    assert engine.cache.manager.counters.hit_tokens == 16, "C found what A left, and B nothing"
    with pytest.raises(CacheError, match="salt is 'x'"):
        engine.submit(Request("D", [1], 2), salt="x")
    assert "D" not in engine.answers and not engine.has_work


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"stop": "END"}, "must be a tuple of strings"),
        ({"stop": ("",)}, "none of them empty"),
        ({"n": 0}, "n of request A"),
        ({"n": 1000}, "1,000 answers"),
        ({"logprobs": -1}, "logprobs of request A"),
    ],
)
def test_settings_that_make_no_sense(model, more, message):
    engine = make(model)
    with pytest.raises(GenerationError, match=message):
        engine.submit(Request("A", [1, 2], 4, **more))
    assert not engine.answers and not engine.has_work


def test_a_name_that_an_answer_has(model):
    engine = make(model)
    engine.submit(Request("A#2", [1, 2], 4))
    with pytest.raises(GenerationError, match="'A#2' is here already"):
        engine.submit(Request("A", [1, 2], 4, n=2))
    assert list(engine.answers) == ["A#2"]


def test_what_the_plain_loop_does_not_give(model):
    for more in ({"n": 2}, {"logprobs": 0}):
        with pytest.raises(GenerationError, match="submit it to an engine"):
            list(run(model.model, model.tokenizer, [Request("A", [1], 4, **more)], None))


def test_who_waits_is_told_how_long(model):
    engine = make(model, knobs={"seats": 1, "most_queued": 1})
    engine.submit(Request("A", [10] * 30, 3))
    engine.step()
    engine.submit(Request("B", [11] * 40, 3))
    with pytest.raises(RefusedError) as refused:
        engine.submit(Request("C", [12], 3))
    assert refused.value.retry_after_s == 1.0, "nobody knows yet how fast the queue moves"
    engine.scheduler.queue_speed.see(10, 1.0)
    with pytest.raises(RefusedError) as refused:
        engine.submit(Request("C", [12], 3))
    assert refused.value.retry_after_s == pytest.approx(4.0)


def test_an_interrupt_leaves_a_clean_engine(model, monkeypatch):
    engine = make(model)
    answers = [answer for request in requests() for answer in engine.submit(request)]
    engine.step()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.step()
    assert {answer.finish_reason for answer in answers} == {"cancelled"}
    assert nothing_is_held(engine) and not engine.cache.manager.num_cached


def test_everything_is_in_the_log(model):
    log = EventLog()
    engine = make(model, blocks=14, knobs={"preemption": "swap", "host_blocks": 30}, log=log)
    for request in requests():
        engine.submit(request)
    list(engine.stream())
    assert log.meta["num_blocks"] == 14 and log.labels[0].startswith("allocate(R0, 1 token) -> ")
    assert {Kind.ALLOCATE, Kind.FREE, Kind.STORED, Kind.PREEMPT} <= {Kind(row[1]) for row in log.rows()}
    assert not any("gate" in label or "bytes" in label for label in log.labels)
