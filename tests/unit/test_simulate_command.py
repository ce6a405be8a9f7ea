"""`labkit simulate`: its keys, its words, and its refusals."""

from __future__ import annotations

import json

import pytest

from labkit import cli
from labkit.observe.series import Series
from labkit.simulate.clock import simulate
from labkit.simulate.configuration import DRAWN
from labkit.simulate.series_picture import drawn

KEYS = (
    "requests finished refused unfinished seconds_simulated requests_per_second tokens_per_second "
    "computed_tokens_per_second ttft_p50_s ttft_p99_s itl_p99_s goodput blocks_recycled cached_blocks_evicted regret "
    "preemptions recomputed_tokens saturated wall_seconds"
).split()


@pytest.fixture
def labkit(monkeypatch, capsys):
    """`labkit("simulate", ...)`: exit status, what was printed, and what went to stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["labkit", *words])
        # Each call of `main` adds its groups to the one app; here it is called many times.
        monkeypatch.setattr(cli, "GROUPS", {})
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_the_json_has_the_named_keys_and_nothing_else(labkit):
    status, out, _ = labkit("simulate", "chats", "--requests", "60", "--blocks", "600", "--json")
    figures = json.loads(out)
    assert status == 0 and list(figures) == KEYS
    assert figures["requests"] == 60 == figures["finished"] + figures["refused"] + figures["unfinished"]


def test_the_text_names_what_was_simulated_and_says_saturated(labkit):
    words = ("simulate", "chats", "--requests", "120", "--blocks", "500", "--policy", "shortest", "--speed", "4")
    status, out, _ = labkit(*words)
    assert status == 0 and "500 blocks of 16 tokens, 120 requests" in out and "SATURATED" in out
    assert "SATURATED" not in labkit("simulate", "chats", "--requests", "40")[1]


@pytest.mark.parametrize("drawn", sorted(set(DRAWN) - {"chats", "conversations"}))
def test_every_drawn_workload_can_stand_in_a_file_s_place(labkit, drawn):
    status, out, _ = labkit("simulate", drawn, "--requests", "30", "--blocks", "20000", "--json")
    figures = json.loads(out)
    assert status == 0 and figures["requests"] == 30 == figures["finished"] + figures["refused"]
    assert drawn in " ".join(labkit("simulate", "--help")[1].split())


def test_prompts_that_begin_alike_are_found_and_a_policy_evicts(labkit):
    words = ("simulate", "conversations", "--requests", "200", "--speed", "0.5", "--blocks", "500", "--json")
    lru, lfu, none = (json.loads(labkit(*words, *more)[1]) for more in ((), ("--policy", "lfu"), ("--cache", "none")))
    assert lru["cached_blocks_evicted"] > 0 and lru["regret"] > 0 and lfu["regret"] > 0
    assert none["cached_blocks_evicted"] == 0 == none["regret"]
    assert none["computed_tokens_per_second"] > lru["computed_tokens_per_second"]


def test_a_file_of_ones_own_is_served_once_its_columns_and_unit_are_told(labkit, tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("began,asked,said\n" + "".join(f"{at * 500},{100 + at},20\n" for at in range(40)))
    columns = [word for pair in ("arrival=began", "input=asked", "output=said") for word in ("--column", pair)]
    status, _, err = labkit("simulate", str(file), *columns)
    assert status == 2 and "unit" in err
    status, out, err = labkit("simulate", str(file), *columns, "--unit", "ms", "--json")
    figures = json.loads(out)
    assert status == 0 and figures["finished"] == 40
    assert 19.5 < figures["seconds_simulated"] < 25  # the last comes after 19.5 s


def test_what_was_taken_for_granted_of_a_trace_is_told(labkit, tmp_path):
    file = tmp_path / "trace.jsonl"
    rows = ({"timestamp": 1000 * at, "input_length": 600, "output_length": 5, "hash_ids": [at, 99]} for at in range(9))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, err = labkit("simulate", str(file), "--json")
    assert status == 0 and json.loads(out)["finished"] == 9
    assert "millisecond" in err


@pytest.mark.parametrize("columns", [["arrival"], ["arrival=a", "arrival=b"], ["=a"]])
def test_a_column_that_is_no_pair_is_refused(labkit, tmp_path, columns):
    words = [word for column in columns for word in ("--column", column)]
    status, out, err = labkit("simulate", str(tmp_path / "log.csv"), *words)
    assert status == 2 and not out and f"--column {columns[-1]}" in err


def test_the_plot_is_a_picture(labkit, tmp_path):
    file = tmp_path / "run.png"
    assert labkit("simulate", "chats", "--requests", "60", "--plot", str(file))[0] == 0
    assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 20_000


def test_no_legend_lies_on_a_curve_and_where_nothing_happened_no_axis_begins_below_0():
    series = Series("a quiet server")
    for at in range(1, 9):
        series.add(end_s=float(at), seconds=1.0, computed=9000.0 - at, evicted=0.0, held=0.9, running=8.0)
    figure = drawn(series)
    figure.canvas.draw()
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1
    assert figure.axes[1].get_ylim() == (0, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--blocks", "0"], "blocks is 0"),
        (["--token-budget", "8"], "larger budget"),
        (["--watermark", "1"], "watermark"),
        (["--watermark", "nan"], "watermark"),
        (["--policy", "fastest"], "--policy is 'fastest'"),
        (["--policy", "fcfs", "--policy", "shortest"], "one too many"),
        (["--policy", "LRU", "--cache", "none"], "nothing for LRU to evict"),
        (["--cache", "magic"], "cache is 'magic'"),
        (["--victim", "first"], "victim is 'first'"),
        (["--card", "H900"], "card is 'H900'"),
        (["--model", "GPT-9"], "No model 'GPT-9'"),
        (["--model", "Llama-3.1-70B"], "no room for a KV cache"),
        (["--speed", "0"], "speed is 0"),
        (["--requests", "0"], "requests is 0"),
        (["--ttft", "0"], "ttft_s is 0"),
        (["--plot", "no/such/folder/a.png"], "make no/such/folder first"),
        (["--plot", "figure.docx"], "has no form"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(labkit, monkeypatch, tmp_path, words, sentence):
    monkeypatch.chdir(tmp_path)
    status, out, err = labkit("simulate", "chats", "--requests", "5", *words)
    assert status == 2 and sentence in err and len(err.strip().splitlines()) == 1 and not out


def test_a_missing_file_is_named(labkit):
    status, _, err = labkit("simulate", "no-such-trace.csv", "--blocks", "100")
    assert status == 2 and "no-such-trace.csv" in err and len(err.strip().splitlines()) == 1


def test_an_interrupted_run_prints_what_it_has_and_says_so(labkit, monkeypatch):
    def stopped(trace, scheduler, cost, **more):
        return simulate(trace, scheduler, cost, **more | {"most_seconds": 3.0})

    monkeypatch.setattr("labkit.simulate.configuration.simulate", stopped)
    status, out, err = labkit("simulate", "chats", "--requests", "60", "--json")
    figures = json.loads(out)
    assert status == 130 and "stopped after 3" in err and figures["unfinished"] > 0
    assert figures["requests"] == 60 == figures["finished"] + figures["unfinished"]
