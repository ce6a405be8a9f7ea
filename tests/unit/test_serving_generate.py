"""The generation loop: how texts end, who gets memory back, and what is written down."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from labkit.cache.block_pool import CheckedPool
from labkit.errors import GenerationError
from labkit.observe.events import EventLog, Kind
from labkit.serving import Sampling, load
from labkit.serving.loaded import LoadedModel, sequence_name

PROMPT = list(range(10, 20))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load("tiny", dtype=torch.float64)


def paged(model: LoadedModel, blocks: int, block_size: int = 4, **more):
    return model.paged_cache(blocks, block_size, pool=CheckedPool(blocks), **more)


def test_the_limit_ends_a_text(model):
    answer = model.generate(PROMPT, max_new_tokens=5, stop=False, cache=paged(model, 10))
    assert (answer.finish_reason, len(answer.token_ids)) == ("length", 5)
    assert answer.text == model.tokenizer.decode(answer.token_ids)
    assert len(answer.step_s) == 4 and answer.tokens_per_s > 0 and answer.prefill_s > 0


def test_the_model_s_end_token_ends_a_text(model):
    plain = model.generate(PROMPT, max_new_tokens=6, stop=False, cache="contiguous")
    ending = LoadedModel(model.model, model.tokenizer, name="t", source="")
    third = plain.token_ids[2]
    first_seen = plain.token_ids.index(third)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoadedModel, "config", property(lambda self: with_end(self.model.config, third)))
        answer = ending.generate(PROMPT, max_new_tokens=6, cache="contiguous")
    assert answer.finish_reason == "stop"
    assert answer.token_ids == plain.token_ids[: first_seen + 1]


def with_end(config, token):
    from dataclasses import replace

    return replace(config, eos_token_ids=(token,))


def test_no_tokens_wanted(model):
    answer = model.generate(PROMPT, max_new_tokens=0, cache=paged(model, 4))
    assert (answer.finish_reason, answer.token_ids, answer.text) == ("length", [], "")


def test_no_room_ends_a_text_and_keeps_what_there_is(model):
    cache = paged(model, 3)  # 12 slots for 10 prompt tokens: room to compute two more
    answer = model.generate(PROMPT, max_new_tokens=50, stop=False, cache=cache)
    whole = model.generate(PROMPT, max_new_tokens=50, stop=False, cache="contiguous")
    assert answer.finish_reason == "no_room"
    # The third token was chosen from the second's logits; it is the one that found no slot.
    assert answer.token_ids == whole.token_ids[:3]
    assert answer.text == model.tokenizer.decode(whole.token_ids[:3])
    assert cache.manager.num_free == 3


def test_no_room_for_the_prompt(model):
    cache = paged(model, 2)
    answer = model.generate(PROMPT, cache=cache, prefill_chunk=4)  # two chunks find room, the third does not
    assert (answer.finish_reason, answer.text, answer.token_ids) == ("no_room", "", [])
    assert cache.manager.num_free == 2


def test_of_several_only_the_one_without_room_ends(model):
    cache = paged(model, 7)  # 3 blocks each to begin with, and one more for whoever asks first
    answers = model.generate_many([PROMPT, PROMPT], max_new_tokens=6, stop=False, cache=cache)
    alone = model.generate(PROMPT, max_new_tokens=6, stop=False, cache="none")
    assert [answer.finish_reason for answer in answers] == ["length", "no_room"]
    assert answers[0].token_ids == alone.token_ids
    assert answers[1].token_ids == alone.token_ids[:3]
    assert cache.manager.num_free == 7


def test_a_contiguous_cache_without_a_free_row(model):
    cache = model.contiguous_cache(1, 30)
    answers = model.generate_many([PROMPT, PROMPT], max_new_tokens=4, stop=False, cache=cache)
    assert [answer.finish_reason for answer in answers] == ["length", "no_room"]
    assert cache.extend("again", [0] * 30)


def test_the_model_s_own_limit_ends_a_text(model):
    short = load("tiny", dtype=torch.float64)
    from dataclasses import replace

    short.model.config = replace(short.model.config, max_position_embeddings=14)
    answer = short.generate(PROMPT, max_new_tokens=50, stop=False, cache=paged(short, 4))
    assert (answer.finish_reason, answer.num_tokens) == ("length", 14)
    with pytest.raises(GenerationError, match="14 tokens, but with its answer it must fit into the 14"):
        short.generate(list(range(14)), cache=paged(short, 4))


def test_requests_that_make_no_sense(model):
    for prompt, message in [([], "has no tokens"), ("", "has no tokens"), ([10**6], "holds token 1000000")]:
        with pytest.raises(GenerationError, match=message):
            model.generate(prompt, chat=False, cache="contiguous")
    with pytest.raises(GenerationError, match="named 'A' is here already"):
        model.generate_many([PROMPT, PROMPT], requests=["A", "A"], cache="contiguous")
    with pytest.raises(ValueError, match="cache is 'pages'"):
        model.generate(PROMPT, cache="pages")


def test_a_poisoned_request_gives_an_error_and_its_memory_back(model):
    cache = paged(model, 8)
    broken = load("tiny", dtype=torch.float64)
    broken.model.norm.weight.data[0] = float("nan")
    with pytest.raises(GenerationError, match="not finite"):
        broken.generate(PROMPT, cache=cache)
    assert cache.manager.num_free == 8


def test_a_poisoned_block_does_not_reach_its_next_owner(model):
    expected = model.generate(PROMPT, max_new_tokens=8, stop=False, cache="none").token_ids
    for cache in (paged(model, 5), model.contiguous_cache(1, 20)):
        assert cache.extend("poison", [0] * 18)
        plan = cache.plan(["poison"], [18])
        for layer in range(2):
            nan = torch.full((18, 2, 8), float("nan"), dtype=torch.float64)
            cache.write(layer, plan, nan, nan)
        cache.drop("poison")
        assert model.generate(PROMPT, max_new_tokens=8, stop=False, cache=cache).token_ids == expected


def test_sequences_of_one_batch_do_not_touch_each_other(model):
    """Also where one of them holds nothing but NaN: padding and masks must not let it through."""
    prompts = [PROMPT, list(range(30, 33)), list(range(40, 57))]
    cache = paged(model, 24)
    seen = {}
    for name, prompt in zip("ABC", prompts, strict=True):
        assert cache.extend(name, prompt)
        seen[name] = model.model(torch.tensor(prompt), cache, cache.plan([name], [len(prompt)]))
    slots = cache.manager.slots("C", 0, 17)
    cache.k.flatten(1, 2)[:, slots] = float("nan")
    cache.v.flatten(1, 2)[:, slots] = float("nan")
    for name in "ABC":
        assert cache.extend(name, [0])
    logits = model.model(torch.tensor([7, 8, 9]), cache, cache.plan(list("ABC"), [1, 1, 1]))
    assert torch.isfinite(logits[:2]).all() and torch.isnan(logits[2]).all()
    for row, prompt, token in zip(logits, prompts[:2], (7, 8), strict=False):
        torch.testing.assert_close(row, model.model(torch.tensor([*prompt, token]))[0], rtol=1e-9, atol=1e-9)


def test_a_stream_that_is_closed_gives_its_memory_back(model):
    cache = paged(model, 10)
    stream = model.stream(PROMPT, max_new_tokens=20, stop=False, cache=cache)
    pieces = iter(stream)
    assert next(pieces)
    assert cache.manager.num_free < 10
    stream.close()
    assert cache.manager.num_free == 10
    assert len(stream.result.token_ids) >= 1


def test_a_stream_s_pieces_are_its_text(model):
    stream = model.stream("Hello", max_new_tokens=12, cache="contiguous")
    with pytest.raises(RuntimeError, match="not been read yet"):
        _ = stream.result
    assert "".join(stream) == stream.result.text
    heard: list[str] = []
    answer = model.generate("Hello", max_new_tokens=12, cache="contiguous", on_text=heard.append)
    assert "".join(heard) == answer.text == stream.result.text


def test_memory_can_be_kept_to_look_at(model):
    cache = paged(model, 10)
    answer = model.generate(PROMPT, max_new_tokens=5, stop=False, cache=cache, release=False)
    assert cache.length("A") == answer.num_tokens - 1  # the last token was chosen, but never computed
    cache.drop("A")
    assert cache.manager.num_free == 10


def test_sampling_does_not_depend_on_company(model):
    """The same seed draws the same text alone, in a batch, and under any cut of the prompt."""
    how = Sampling(temperature=1.0, seed=11)
    prompts = [PROMPT, list(range(30, 37)), list(range(60, 80))]
    together = model.generate_many(prompts, max_new_tokens=15, sampling=how, stop=False, cache=paged(model, 40))
    for name, prompt, answer in zip("ABC", prompts, together, strict=True):
        alone = model.generate(
            prompt, max_new_tokens=15, sampling=how, stop=False, request=name, cache="contiguous", prefill_chunk=3
        )
        assert alone.token_ids == answer.token_ids
    assert (
        together[0].token_ids
        != model.generate(
            PROMPT, max_new_tokens=15, sampling=Sampling(temperature=1.0, seed=12), stop=False, cache="contiguous"
        ).token_ids
    )


def test_the_log_tells_how_the_table_fills(model):
    log = EventLog()
    answer = model.generate(PROMPT, max_new_tokens=4, stop=False, cache=paged(model, 6, log=log))
    assert log.meta == {"num_blocks": 6, "block_size": 4}
    kinds = log.records["kind"]
    taken = log.records[kinds == Kind.ALLOCATE]
    assert (taken["block"].tolist(), taken["arg"].tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert sorted(log.records[kinds == Kind.FREE]["block"].tolist()) == [0, 1, 2, 3]
    fills = log.records[kinds == Kind.FILL]
    assert fills[-1]["block"] == 3 and fills[-1]["arg"] == 1
    assert set(np.unique(log.records["seq"])) == {log.names.index("A")}
    # One step for the prompt, one per token that was computed after it, one for the release.
    assert log.num_steps == 1 + 3 + 1
    assert log.labels[1].startswith(repr(model.tokenizer.piece(answer.token_ids[0])))


def test_a_contiguous_cache_logs_its_reservation(model):
    log = EventLog()
    model.generate(PROMPT, max_new_tokens=4, stop=False, cache="contiguous", log=log)
    assert [Kind(kind) for kind in log.records["kind"]] == [Kind.RESERVE, *[Kind.USE] * 4, Kind.RELEASE]
    assert log.records["arg"].tolist() == [14, 10, 11, 12, 13, 14]
    assert log.num_steps == 1 + 3 + 1
    assert log.labels[0] == "extend(A, 10) -> 10 of 14 reserved slots are used"


def test_a_pool_of_the_learner_s_own_serves_the_model(model):
    """Another style of pool: highest block first, kept in a set. The text must not care."""

    class SetPool:
        def __init__(self, num_blocks):
            self.num_blocks, self.free_ids = num_blocks, set(range(num_blocks))

        @property
        def num_free(self):
            return len(self.free_ids)

        def allocate(self, n):
            if n > len(self.free_ids):
                return None
            taken = sorted(self.free_ids, reverse=True)[:n]
            self.free_ids -= set(taken)
            return taken

        def free(self, blocks):
            self.free_ids |= set(blocks)

    expected = model.generate(PROMPT, max_new_tokens=9, stop=False, cache="none").token_ids
    cache = model.paged_cache(20, 3, pool=SetPool(20))
    assert model.generate(PROMPT, max_new_tokens=9, stop=False, cache=cache).token_ids == expected
    assert cache.manager.num_free == 20


@pytest.mark.parametrize("kind", ["hash", "radix"])
def test_a_beginning_that_is_here_already_is_not_computed_again(model, kind):
    """Chunked and at once, the answer is that of a model that computes everything."""
    long = [*PROMPT, *range(40, 60)]
    expected = model.generate(long, max_new_tokens=9, stop=False, cache="none").token_ids
    for chunk in (3, 512):
        cache = model.paged_cache(40, 4, prefix_cache=kind)
        for _ in range(2):
            answer = model.generate(long, max_new_tokens=9, stop=False, cache=cache, prefill_chunk=chunk)
            assert answer.token_ids == expected
        assert cache.lookup([*long, 1]) == len(long) // 4 * 4
        assert cache.manager.counters.hit_tokens == (len(long) - 1) // 4 * 4


def test_names_of_sequences():
    assert [sequence_name(i) for i in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_asking_about_the_model_imports_no_torch():
    code = (
        "import sys, labkit.serving, labkit.attention, labkit.serving.commands as c; c.model_info(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
