"""`labkit bench simulate`, and the simulator on real traces where they are at hand."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.bench import bench_commands, simulate_bench
from labkit.bench.simulate_bench import PIECE, bench_length, loads, stream

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_both_ways_of_printing_show_speed_and_what_a_request_costs(monkeypatch):
    monkeypatch.setattr(simulate_bench, "LIKE_TRACES", ("chats",))
    monkeypatch.setattr(simulate_bench, "SIZES", ())
    command = ["simulate", "--requests", "120"]
    result = CliRunner().invoke(bench_commands.app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [row["name"] for row in data["speeds"]] == ["chats, room for all", "chats, tight"]
    for row in data["speeds"]:
        assert row["requests_per_cpu_second"] > 0 and row["figures"]["finished"] == 120
    text = CliRunner().invoke(bench_commands.app, [*command, "--no-curve"])
    assert "chats, tight" in text.stdout and "requests per second" in text.stdout


def test_the_long_run_is_a_stream_in_order_that_a_server_keeps_up_with():
    times = [request.arrival for request in islice(stream(PIECE + 200), PIECE - 100, PIECE + 200)]
    assert len(times) == 300 and times == sorted(times)
    row = bench_length(400)
    assert row["requests"] == 400 and not row["saturated"] and row["cpu_us_a_request"] > 0


@pytest.mark.parametrize("name", ["azure_llm_2023_conv.csv", "mooncake_conversation.jsonl"])
def test_real_traces_are_served_and_memory_is_short_where_it_should_be(name):
    if not (DATA / name).exists():
        pytest.skip("the trace is not here")
    roomy, tight = loads(str(DATA / name), 1500)
    for configuration in (roomy, tight):
        totals = configuration.run().totals
        assert totals["finished"] == totals["requests"] == 1500 and not totals["saturated"]
    if "azure" in name:
        assert totals["preemptions"] > 0
    else:  # it takes more of this one for a preemption
        assert totals["cached_blocks_evicted"] > totals["regret"] > 0
