"""What lessons 00, 01 and 02 say is so: their sentences against the log, the model and the cost model they show."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from contrast import contrast
from model_oracle import gguf_root, real_model_dir

from labkit import mine, specs, theme
from labkit.attention import by_hand
from labkit.authoring import layout, master
from labkit.cache.block_table import blocks_needed
from labkit.cache.geometry import GiB, kv_bytes_per_token
from labkit.cache.geometry import model as shape_of
from labkit.errors import GenerationError
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.observe.events import EventLog, Kind
from labkit.observe.pool_state import LogData, pool_state
from labkit.serving import load
from labkit.serving.loaded import LoadedModel
from labkit.serving.one_head import MOST_TOKENS, one_head
from labkit.serving.rotary import Rotary, rotate
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.storm import StormSettings
from labkit.widgets import attention_figures

__all__ = ["gguf_root", "real_model_dir"]

FIRST = ("00", "01", "02")
SMOLLM2_PROMPTS = {"A": 36, "B": 37, "C": 35}
"""Tokens of the three questions of lesson 00 as SmolLM2's tokenizer counts them; the layout depends on nothing else."""


def cells(number: str) -> dict[str, master.MasterCell]:
    (path,) = layout.masters([specs.resolve_key(number)])
    return {cell.id: cell for cell in master.read(path).cells}


def run(number: str, ids: list[str], names: dict[str, Any] | None = None) -> dict[str, Any]:
    """What cells of a lesson leave behind, run as they stand in the notebook."""
    names, found = names if names is not None else {}, cells(number)
    for id in ids:
        exec(found[id].source, names)
    return names


# ----- lesson 00: the picture ---------------------------------------------------------------------------------------


@pytest.fixture(params=["tiny", "SmolLM2"])
def three_answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The cells of lesson 00, on the stand-in with its own tokens, and with prompts as long as SmolLM2's."""
    if request.param == "SmolLM2":
        lengths = iter(SMOLLM2_PROMPTS.values())
        monkeypatch.setattr(LoadedModel, "prompt_ids", lambda *a, **k: list(range(10, 10 + next(lengths))))
    return run("00", ["destination-picture", "destination-live"])


def tables(log: EventLog) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in log.records:
        if event["kind"] == Kind.ALLOCATE:
            found.setdefault(log.names[event["seq"]], []).append(int(event["block"]))
    return found


def test_the_sentences_under_the_picture_are_true_of_it(three_answers: dict[str, Any]) -> None:
    log, answers = three_answers["log"], three_answers["answers"]
    state = pool_state(LogData.of(log), log.num_steps, 24)
    for answer in answers:
        blocks = tables(log)[answer.request]
        read = blocks_needed(len(answer.prompt_ids), 16)
        written = blocks[read:]
        # "Each question was read in one go, so its first blocks are neighbours."
        assert blocks[:read] == list(range(blocks[0], blocks[0] + read))
        # "no two blocks that an answer took while it was written are neighbours"
        assert len(written) >= 3 and all(abs(a - b) > 1 for a in written for b in written if a != b)
        # "Only the last block of each answer is part full."
        fills = [state.fill[b] for b in blocks]
        assert fills[:-1] == [16] * (len(blocks) - 1) and 0 < fills[-1] < 16
        # "until each has 56 tokens and the cell stops"
        assert len(answer.token_ids) == 56
    # What the last token would have left is never kept: a token's key is made when the next one is chosen.
    assert all(sum(state.fill[b] for b in tables(log)[a.request]) == len(a.prompt_ids) + 55 for a in answers)


def test_going_on_fills_memory_and_c_gives_its_blocks_back(three_answers: dict[str, Any]) -> None:
    log, before = three_answers["log"], len(three_answers["log"].labels)
    held = sum(len(blocks) for blocks in tables(log).values())
    assert 12 < held < 24  # "most of them are held"
    run("00", ["destination-on"], three_answers)
    said = log.labels[before:]
    (gone,) = [i for i, label in enumerate(said) if label.startswith("preempt(")]
    # "All blocks were held, and an answer needed one more. ... and it was C": a refusal, and then C's blocks came back.
    full = pool_state(LogData.of(log), before + gone, 24)
    assert said[gone].startswith("preempt(C)") and "1 token) -> False" in said[gone - 1]
    assert full.counts()[0] == 0
    # "Since then A and B go on, and after each of their tokens C asks for its blocks and finds too few."
    later = said[gone + 1 :]
    asks = [label for label in later if label.startswith("allocate(C")]
    assert len(asks) > 3 and all("no room" in label for label in asks)
    assert {label[:9] for label in later if label not in asks} == {"extend(A,", "extend(B,"}
    a, b, c = (len(answer.token_ids) for answer in three_answers["answers"])
    assert a == b == 100 and 56 < c < 97 and not three_answers["table"].live


def test_the_three_grow_in_turns(three_answers: dict[str, Any]) -> None:
    order = [n for _, n in sorted((b, n) for n, blocks in tables(three_answers["log"]).items() for b in blocks)]
    changes = sum(a != b for a, b in pairwise(order))
    assert changes >= 10  # two between the questions, and one at almost every block that is taken after them


def test_the_picture_stands_in_a_cell_above_the_one_that_fills_it(three_answers: dict[str, Any]) -> None:
    ids = [id for id, cell in cells("00").items() if cell.kind == "code"]
    assert ids.index("destination-picture") + 1 == ids.index("destination-live")
    assert not {"submit", "step()"} & set(re.findall(r"submit|step\(\)", cells("00")["destination-picture"].source))
    assert not three_answers["table"].live and three_answers["table"].names[1:] == ["A", "B", "C"]


def test_the_questions_are_as_long_for_smollm2_as_the_picture_takes_them_to_be(real_model_dir: Path) -> None:
    lm = load(real_model_dir)
    questions = re.findall(r'"([^"]+)"', cells("00")["destination-live"].source.split("]")[0])
    assert [len(lm.prompt_ids(text, chat=True)) for text in questions] == list(SMOLLM2_PROMPTS.values())


def test_the_model_is_a_sixtieth_of_the_server_s() -> None:
    assert "sixtieth" in cells("00")["destination"].source and "8 billion" in cells("00")["about-storm"].source
    assert round(shape_of("Llama-3.1-8B").weights_bytes / shape_of("SmolLM2-135M").weights_bytes, -1) == 60
    assert StormSettings().seats == 64


# ----- what is still to come ----------------------------------------------------------------------------------------

TO_COME = sorted(set(range(22)) - {int(key[:2]) for key in specs.KEYS})


def test_what_does_not_stand_yet_is_called_so() -> None:
    assert TO_COME == [21], "a lesson has come: the texts below, and lesson 00's map, speak of it"
    assert "One lesson is not written: 21" in cells("00")["map-about"].source
    for number in FIRST:
        for cell in cells(number).values():
            named = {int(n) for n in re.findall(r"[Ll]essons? (\d\d)", cell.source)} & set(TO_COME)
            assert not named or re.search(r"still\s+to\s+come", cell.source), cell.id


def test_the_first_lesson_ends_with_both_ways_on() -> None:
    last = cells("00")["next"]
    linked = re.findall(r"\]\(([^)]+)\)", last.source)
    assert linked == [f"{specs.resolve_key(n)}.ipynb" for n in ("01", "02")]
    assert all((layout.notebooks_dir() / name).is_file() for name in linked)


# ----- lesson 01 ----------------------------------------------------------------------------------------------------


def test_order_is_nothing_to_attention_and_a_position_makes_it_something() -> None:
    numbers = torch.Generator().manual_seed(0)
    q, K, V = (torch.randn(*s, generator=numbers, dtype=torch.float64) for s in ((8,), (3, 8), (3, 8)))
    order = [2, 1, 0]  # "man bites dog"
    torch.testing.assert_close(by_hand.attend(q, K[order], V[order]), by_hand.attend(q, K, V))
    rotary = Rotary(load("tiny").config, torch.float64)

    def turned(x: torch.Tensor, positions: list[int]) -> torch.Tensor:
        return rotate(x[:, None], *rotary.at(torch.tensor(positions)))[:, 0]

    last = turned(q[None], [3])[0]
    there, here = turned(K, [0, 1, 2]), turned(K[order], [0, 1, 2])
    assert not torch.allclose(by_hand.attend(last, there, V), by_hand.attend(last, here, V[order]))
    # "dog at place 0 and dog at place 2 have different keys", and only the distance counts.
    assert not torch.allclose(turned(K[:1], [0]), turned(K[:1], [2]))
    products = [turned(q[None], [at + 5])[0] @ turned(K[:1], [at])[0] for at in (0, 7)]
    torch.testing.assert_close(*products)


@pytest.mark.parametrize("head", range(6))
def test_one_head_is_what_the_model_computes_there(head: int) -> None:
    lm = load("tiny", dtype=torch.float64)
    real = one_head(lm, "the page table of a block", layer=1, head=head)
    rows = by_hand.causal_attend(real.Q, real.K, real.V)
    torch.testing.assert_close(rows, real.rows, atol=1e-4, rtol=1e-4)
    assert len(real.pieces) == len(rows) <= MOST_TOKENS and "".join(real.pieces).strip().startswith("the page")
    real.Q.mul_(2)  # a learner's function may write into what it is given


@pytest.mark.parametrize("wrong", [{"layer": 2}, {"head": 6}, {"layer": -1}, {"head": "1"}, {"text": ""}])
def test_one_head_says_what_it_cannot_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(GenerationError, match=r"give 0 to|write at least one word"):
        one_head(load("tiny"), **{"text": "a page", **wrong})


def test_the_real_head_runs_on_the_learner_s_own_code(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counting = solutions("01")["causal_attend"].replace(
        "    n, d = Q.shape", "    calls.append(len(Q))\n    n, d = Q.shape"
    )
    Progress(fresh_home).save_pass(specs.resolve_key("01"), "causal_attend", f"calls = []\n{counting}")
    names: dict[str, Any] = {"torch": torch}
    run("01", ["real-head"], names)
    calls = mine.causal_attend.__globals__["calls"] or names["causal_attend"].__globals__["calls"]
    assert calls == [len(names["real"].pieces)] * 2  # the mixture, and the weights
    assert "Your rows are the model's own: True" in capsys.readouterr().out
    assert names["sentence"] == "The dog bites the man because it is hungry."


def test_bites_it_and_hungry_look_at_the_dog(real_model_dir: Path) -> None:
    lm = load(real_model_dir)
    source = cells("01")["real-head"].source
    sentence = re.search(r'sentence = "(.+)"', source)[1]
    layer, head = map(int, re.search(r"layer, head = (\d+), (\d+)  #", source).groups())
    assert (lm.config.num_hidden_layers, lm.config.num_attention_heads) == (30, 9)  # "layers 0 to 29, heads 0 to 8"
    real = one_head(lm, sentence, layer, head)
    rows = by_hand.causal_attend(real.Q, real.K, real.V)
    assert torch.allclose(rows, real.rows, atol=0.02, rtol=0.02)
    weights = by_hand.causal_attend(real.Q, real.K, torch.eye(len(rows)))
    for token in (" bites", " it", " hungry"):
        assert weights[real.pieces.index(token), real.pieces.index(" dog")] > 0.5
    before = one_head(lm, sentence, 16, 0)
    weights = by_hand.causal_attend(before.Q, before.K, torch.eye(len(rows)))
    assert sum(int(weights[i].argmax()) == i - 1 for i in range(1, len(rows))) > len(rows) / 2


def test_every_weight_can_be_read_on_its_shade() -> None:
    assert all(contrast(theme.LIGHT["ink"], attention_figures.weight_shade(w / 20)) >= 4.5 for w in range(21))


def test_a_step_has_a_fixed_part_and_a_decode_row_adds_next_to_nothing() -> None:
    parts = attention_figures.step_parts(prompt=2000)
    assert parts["decode"] < parts["fixed"] / 50
    assert 3 < (parts["fixed"] + parts["prefill"]) / (parts["fixed"] + parts["decode"]) < 20  # not 2,000
    card, llama = CARDS["H100"], shape_of("Llama-3.1-8B")
    assert parts["fixed"] / 1e3 >= llama.weights_bytes / card.bytes_per_s  # the weights are in it


# ----- lesson 02 ----------------------------------------------------------------------------------------------------


def test_what_is_said_of_batches_is_what_the_cell_prints(capsys: pytest.CaptureFixture[str]) -> None:
    run("02", ["bytes-a-step", "batches"])
    rows = [
        line.replace(",", "").split() for line in capsys.readouterr().out.splitlines() if line[:8].strip().isdigit()
    ]
    ms = {int(r[0]): float(r[1]) for r in rows}
    rate = {int(r[0]): float(r[2]) for r in rows}
    assert 1.3 < ms[32] / ms[1] < 1.36  # "a third longer"
    assert round(rate[32] / rate[1]) == 24
    assert 1 < rate[128] / rate[64] < 1.5  # "rise by less than half"
    llama = shape_of("Llama-3.1-8B")
    cost = cost_model(CARDS["H100"], llama)
    assert [n for n in ms if 2000 * n * cost.context_s > cost.weights_s] == [64, 128]
    assert float(rows[0][3]) == round(2000 * kv_bytes_per_token(llama) / GiB, 1)
