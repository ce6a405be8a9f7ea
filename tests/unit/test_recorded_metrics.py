"""The tables of `labkit.observe.servers`, held against texts that the servers' own collectors have written."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labkit.observe.exposition import Exposition
from labkit.observe.live import Watch
from labkit.observe.scrape import server_of, worths
from labkit.observe.series import FIGURES, Series, Worth
from labkit.observe.servers import SGLANG, VLLM, Server

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "recordings" / "metrics"
SERVERS = {"vllm": VLLM, "sglang": SGLANG}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="an installed wheel has no recordings of metrics")


def recording(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def texts(name: str) -> list[str]:
    return [(FOLDER / scrape["file"]).read_text(encoding="utf-8") for scrape in recording(name)["scrapes"]]


def watched(name: str, **settings: Any) -> Series:
    """The recording as a server that is watched would have given it."""
    left, times = iter(texts(name)), iter([scrape["at_s"] for scrape in recording(name)["scrapes"]])
    version = json.dumps({"version": recording(name)["version"]})
    answers = {"/version": version, "/server_info": version}

    def get(url: str, **given: Any) -> str:
        path = url.removeprefix("http://recorded")
        return answers[path] if path in answers else next(left)

    seen = Watch("http://recorded/metrics", get=get, clock=lambda: next(times), **settings)
    for _ in recording(name)["scrapes"]:
        seen.ask()
    return seen.series


@pytest.mark.parametrize("name", SERVERS)
def test_every_name_of_the_table_is_there_or_is_an_older_one(name: str) -> None:
    server: Server = SERVERS[name]
    assert server.read == recording(name)["version"]
    there = Exposition(texts(name)[-1])
    assert server_of(there) is server
    newest: dict[str, bool] = {}
    for reading in server.readings:
        missing = [metric for metric in reading.metrics if metric not in there.metrics]
        if reading.older:
            assert newest.get(reading.figure, True), f"{reading.figure}: an older reading stands first"
        else:
            assert not missing, f"{reading.figure}: {missing}"
            assert reading.figure not in newest, f"{reading.figure} has two readings of today"
            newest[reading.figure] = True
        for term in (*reading.terms, *reading.under):
            known = {label for labels in there.samples(term.metric) for label, _ in labels}
            optional = {"priority"}  # of SGLang, where requests have priorities
            assert missing or set(term.where) <= known | optional, f"{reading.figure}: {term}"


@pytest.mark.parametrize("name", SERVERS)
def test_the_collectors_announce_what_they_will_export(name: str) -> None:
    """So a figure is known to be there from the first answer, before anything has happened."""
    first, last = (set(SERVERS[name].choose(Exposition(text))) for text in (texts(name)[0], texts(name)[-1]))
    assert last - first <= {"flops_per_token"}
    assert first <= last


def test_what_vllm_shows_is_what_its_scheduler_did() -> None:
    series = watched("vllm", sample=1.0)
    truth = recording("vllm")["truth"]
    assert series.source == "vLLM 0.33.0 at http://recorded/metrics"

    def counted(figure: str) -> list[float]:
        return [round(n, 6) for n in series[figure] * series.seconds]

    def happened(figure: str) -> list[int]:
        return [after[figure] - before[figure] for before, after in pairwise(truth)]

    assert counted("delivered") == happened("delivered")
    assert counted("finished") == happened("finished")
    assert series.worth("delivered")[0] is series.worth("finished")[0] is Worth.EXACT
    # Late: the victim has not come back when the second window ends.
    assert sum(counted("preempted")) == sum(happened("preempted")) == 5
    assert counted("preempted") != happened("preempted")
    # Nothing of what was computed again is in what vLLM says was computed. (It counts the last token of each request,
    # which goes through the model no more.)
    assert sum(counted("computed")) - truth[-1]["finished"] == truth[-1]["computed"] - truth[-1]["recomputed"]
    assert truth[-1]["recomputed"] > 0 and series.worth("recomputed")[0] is Worth.ABSENT
    # Every recycled block is more than those whose content could still be found.
    assert sum(counted("evicted")) == sum(counted("recycled")) > sum(happened("evicted")) > 0
    assert sum(counted("refused")) == 1


def test_vllms_flops_know_what_its_token_counters_do_not() -> None:
    """FLOPs are of all that went through the model, so a token that the counters know costs more where some is again.

    A DELIVERED token is the weaker sign: here prompts are most of the work at first, and it falls.
    """
    series, truth = watched("vllm", sample=1.0), recording("vllm")["truth"]
    flops = series["flops_per_token"] * series["delivered"]
    a_counted_token = flops / series["computed"]
    again = [after["recomputed"] > before["recomputed"] for before, after in pairwise(truth)]
    assert again == [False, False, True]
    assert max(a_counted_token[:2]) * 1.1 < a_counted_token[2]
    assert series["flops_per_token"][0] > series["flops_per_token"][-1]


def test_without_the_option_flops_are_absent() -> None:
    for name, server in SERVERS.items():
        how, why = worths(server, Exposition(texts(name)[0]))["flops_per_token"]
        assert how is Worth.ABSENT and "--enable-mfu-metrics" in why
        assert worths(server, Exposition(texts(name)[-1]))["flops_per_token"][0] is Worth.PROXY


def test_what_sglang_shows_is_what_its_collectors_were_told() -> None:
    series, states = watched("sglang"), recording("sglang")["settings"]["states"]
    assert series.source == "SGLang 0.5.23 at http://recorded/metrics"
    for at, (gauges, (compute, new, hit), decoded, retracted, evicted, finished) in enumerate(states[1:]):
        running, waiting, used, evictable, free = gauges
        found = {name: series[name][at] for name in FIGURES}
        assert (found["running"], found["waiting"]) == (running, waiting)
        assert (found["held"], found["cached"], found["free"]) == (used / 4096, evictable / 4096, free / 4096)
        assert found["delivered"] == decoded / 2
        assert found["computed"] == (compute + decoded) / 2
        assert found["recomputed"] == (compute - new) / 2
        assert found["preempted"] == retracted[0] / 2
        assert found["evicted"] == evicted / 16 / 2  # pages of 16 tokens
        assert found["hit_rate"] == hit / (hit + new)
        assert found["finished"] == finished / 2
        assert 0.2 * (at + 1) < found["ttft_p50"] <= 0.4 * (at + 1)
        assert 0.01 * (at + 1) < found["itl_p50"] <= 0.015 * (at + 1)


@pytest.mark.parametrize("name", SERVERS)
def test_every_figure_is_there_or_says_why_not(name: str) -> None:
    series = watched(name)
    for figure in FIGURES:
        worth, sentence = series.worth(figure)
        assert bool(sentence) == (worth is not Worth.EXACT)
        if worth is Worth.ABSENT:
            assert figure not in {key for line in series.rows() for key in line}
    absent = {figure for figure in FIGURES if series.worth(figure)[0] is Worth.ABSENT}
    assert (
        absent
        == {
            "vllm": {"recomputed", "regretted", "cached", "goodput"},
            "sglang": {"recycled", "regretted", "refused", "waiting_for_memory", "goodput"},
        }[name]
    )
