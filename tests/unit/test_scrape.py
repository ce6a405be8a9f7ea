"""Answers of `/metrics` become rows: rates, gauges, percentiles, and what each figure is worth."""

from __future__ import annotations

import math

import pytest

from labkit.errors import WatchError
from labkit.observe.exposition import Exposition
from labkit.observe.scrape import row, server_of, worths
from labkit.observe.series import FIGURES, Series, Worth
from labkit.observe.servers import LABKIT, SERVERS, SGLANG, VLLM, How


def text(**samples: float) -> str:
    """Samples of one vLLM engine. A name that ends in _total is a counter's."""
    lines = []
    for name, value in samples.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE vllm:{name} {kind}", f'vllm:{name}{{engine="0",model_name="m"}} {value}']
    return "\n".join(lines) + "\n"


def vllm(before: str, after: str, seconds: float = 2.0) -> dict[str, float]:
    return row(VLLM, Exposition(before), Exposition(after), seconds)


def test_counters_become_rates_and_gauges_stay() -> None:
    before = text(generation_tokens_total=100, num_requests_running=3, num_requests_waiting=1, request_success_total=5)
    after = text(generation_tokens_total=180, num_requests_running=4, num_requests_waiting=2, request_success_total=6)
    found = vllm(before, after)
    assert found["delivered"] == 40
    assert (found["running"], found["waiting"]) == (4, 2)
    assert found["finished"] == 0.5
    assert found["arrived"] == 1.5  # two more are there, and one has left


def test_a_counter_that_went_back_counts_from_0() -> None:
    assert vllm(text(generation_tokens_total=1000), text(generation_tokens_total=30))["delivered"] == 15


def test_an_engine_that_is_new_counts_from_0_and_engines_are_added() -> None:
    before = 'vllm:generation_tokens_total{engine="0"} 10\n'
    after = 'vllm:generation_tokens_total{engine="0"} 14\nvllm:generation_tokens_total{engine="1"} 6\n'
    assert vllm(before, after)["delivered"] == 5
    usage = 'vllm:kv_cache_usage_perc{engine="0"} 0.5\nvllm:kv_cache_usage_perc{engine="1"} 0.25\n'
    found = vllm(usage, usage)
    assert (found["held"], found["free"]) == (0.375, 0.625)


def test_a_share_of_nothing_and_nan_are_left_out() -> None:
    same = text(prefix_cache_queries_total=7, prefix_cache_hits_total=3, kv_cache_usage_perc=math.nan)
    assert vllm(same, same) == {}
    after = text(prefix_cache_queries_total=17, prefix_cache_hits_total=8)
    assert vllm(same, after)["hit_rate"] == 0.5


def buckets(**counts: float) -> str:
    name, edges = "vllm:time_to_first_token_seconds", {"a": "0.1", "b": "0.5", "c": "+Inf"}
    lines = [f'{name}_bucket{{le="{edges[key]}"}} {value}' for key, value in counts.items()]
    return "\n".join([f"# TYPE {name} histogram", *lines, f"{name}_count {counts['c']}"]) + "\n"


def test_percentiles_are_of_what_came_in_between() -> None:
    found = vllm(buckets(a=100, b=100, c=100), buckets(a=110, b=120, c=120))
    assert found["ttft_p50"] == pytest.approx(0.1)  # 10 of 20 below 0.1
    assert found["ttft_p99"] == pytest.approx(0.1 + 0.4 * 9.8 / 10)
    beyond = vllm(buckets(a=0, b=0, c=0), buckets(a=0, b=1, c=100))
    assert beyond["ttft_p50"] == 0.5  # the last edge: nothing is known above
    assert "ttft_p50" not in vllm(buckets(a=1, b=1, c=1), buckets(a=1, b=1, c=1))


def test_older_names_are_read_and_the_newer_ones_come_first() -> None:
    old = text(gpu_cache_usage_perc=0.25, gpu_prefix_cache_queries_total=0, gpu_prefix_cache_hits_total=0)
    new = text(gpu_cache_usage_perc=0.25, kv_cache_usage_perc=0.5)
    assert vllm(old, old)["held"] == 0.25 and vllm(new, new)["held"] == 0.5
    assert worths(VLLM, Exposition(old))["hit_rate"][0] is Worth.PROXY


def test_recomputation_shows_on_sglang_and_is_absent_on_vllm() -> None:
    def tokens(compute: int, effective: int, decode: int, rank: int = 0) -> str:
        labels = f'model_name="m",tp_rank="{rank}"'
        return (
            f'sglang:realtime_tokens_total{{{labels},mode="prefill_compute"}} {compute}\n'
            f'sglang:realtime_tokens_total{{{labels},mode="decode"}} {decode}\n'
            f'sglang:prefill_effective_tokens_total{{{labels},mode="input"}} {effective}\n'
        )

    # Two ranks of one engine tell the same; it counts once.
    before = Exposition(tokens(100, 100, 50) + tokens(100, 100, 50, rank=1))
    after = Exposition(tokens(400, 300, 150) + tokens(400, 300, 150, rank=1))
    found = row(SGLANG, before, after, 2.0)
    assert (found["computed"], found["recomputed"], found["delivered"]) == (200, 50, 50)
    assert worths(SGLANG, after)["recomputed"][0] is Worth.PROXY
    how, why = worths(VLLM, Exposition(text(generation_tokens_total=1)))["recomputed"]
    assert how is Worth.ABSENT and "FLOPs" in why


def test_sglang_tells_held_cached_and_free_apart_and_evicts_in_pages() -> None:
    gauges = (
        'sglang:kv_used_tokens{x="1"} 500\nsglang:kv_evictable_tokens{x="1"} 300\n'
        'sglang:kv_available_tokens{x="1"} 200\n'
        'sglang:max_total_num_tokens{x="1"} 1000\nsglang:page_size{x="1"} 16\n'
    )
    queue = 'sglang:num_queue_reqs{priority=""} 5\nsglang:num_queue_reqs{priority="1"} 3\n'
    before = Exposition(gauges + queue + "sglang:evicted_tokens_total 0\n")
    after = Exposition(gauges + queue + "sglang:evicted_tokens_total 320\n")
    found = row(SGLANG, before, after, 2.0)
    assert (found["held"], found["cached"], found["free"]) == (0.5, 0.3, 0.2)
    assert found["evicted"] == 10
    assert found["waiting"] == 5  # what has a priority is in the sample without one already


def test_sampled_blocks_are_scaled_up() -> None:
    before, after = text(kv_block_lifetime_seconds_count=0), text(kv_block_lifetime_seconds_count=4)
    answers = Exposition(before), Exposition(after)
    assert row(VLLM, *answers, 2.0)["evicted"] == 200
    assert row(VLLM, *answers, 2.0, sample=0.5)["evicted"] == row(VLLM, *answers, 2.0, sample=0.5)["recycled"] == 4
    assert "every recycled block" in worths(VLLM, answers[1])["evicted"][1]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_table_makes_sense(server) -> None:
    for reading in server.readings:
        assert reading.figure in FIGURES
        assert all(term.metric.startswith(server.prefix) for term in (*reading.terms, *reading.under))
        assert not reading.bias or reading.bias.endswith(".")
        assert reading.how is not How.QUANTILE or 0 < reading.at < 1
    for figure in FIGURES:  # whatever is missing, a series can say why
        assert server.why_absent(figure).endswith(".")
    assert set(server.absent) <= set(FIGURES)
    Series(worth=worths(server, Exposition("\n")))


def test_the_kind_of_server_is_recognised() -> None:
    assert server_of(Exposition("vllm:num_requests_running 1\npython_info 1\n")) is VLLM
    assert server_of(Exposition("sglang:token_usage 0.5\n")) is SGLANG
    assert server_of(Exposition("# TYPE labkit:preemptions counter\n")) is LABKIT
    with pytest.raises(WatchError, match="no metric of vLLM, SGLang and labkit"):
        server_of(Exposition("node_load1 0.5\n"))


@pytest.mark.parametrize(
    "broken",
    [
        "<html><body>Hello</body></html>\n", "vllm:x{a=\n", "x y z\n", "{\n", '{"a": 1}\n',
        "vllm:x\n", "vllm:x 1_0\n", "# TYPE vllm:x banana\nvllm:x one\n", "\x00\x01\n",
    ],
)  # fmt: skip
def test_what_is_no_exposition_is_refused_in_a_sentence(broken: str) -> None:
    with pytest.raises(WatchError, match="text form of Prometheus"):
        Exposition(broken)


def test_half_a_line_is_refused_though_it_would_parse() -> None:
    whole = text(generation_tokens_total=12345)
    with pytest.raises(WatchError, match="middle of a line"):
        Exposition(whole[:-3])
