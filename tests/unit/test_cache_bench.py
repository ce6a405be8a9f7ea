"""`labkit bench cache` and `labkit stress cache`: they run, say what they promise, and do what they time."""

from __future__ import annotations

import itertools
import json

import pytest
from typer.testing import CliRunner

from labkit.bench import bench_commands, cache_bench, stress, stress_commands
from labkit.bench.cache_bench import APPENDS, OurManager, Textbook, bench_sizes, serve
from labkit.bench.token_workload import system_prompts

KEYS = {"append_us", "append_bulk_us", "allocate_us", "free_us", "lookup_hit_us", "hit_rate", "evictions"}


@pytest.fixture(scope="module")
def measured():
    """The benchmark on few requests and a quarter of its blocks, but for the bytes a block takes when all are full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_bench, "NUM_BLOCKS", 1024)
        return cache_bench.bench_cache(None, 0, 150)


@pytest.fixture
def bench(measured, monkeypatch):
    """`bench("--json")`: what the command prints, the benchmark itself run once for all tests."""

    def run(*words):
        asked = []
        monkeypatch.setattr(cache_bench, "bench_cache", lambda *arguments: asked.append(arguments) or measured)
        result = CliRunner().invoke(bench_commands.app, ["cache", "--requests", "150", *words])
        assert asked == [(None, 0, 150)]
        return result

    return run


def test_the_json_has_the_promised_keys_for_all_three(bench):
    result = bench("--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    for part in (data, data["hash"], data["textbook"]):
        assert part.keys() >= KEYS and all(part[key] > 0 for key in KEYS)
    assert 0 < data["bytes_per_block"] < 250 and 0 < data["hash"]["bytes_per_block"] < 250


def test_all_managers_serve_the_same_requests_and_find_about_as_much():
    workload = system_prompts(200, seed=3)
    rates = []
    makers = (lambda: OurManager(1024, "radix"), lambda: OurManager(1024, "hash"), lambda: Textbook(1024))
    for make, operation in itertools.product(makers, APPENDS):
        manager = make()
        times = serve(manager, workload, operation)
        assert times.keys() == {operation, "allocate", "free"}
        assert all(value > 0 for value in times.values())
        rates.append(manager.facts()["hit_rate"])
        assert manager.facts()["evictions"] > 1024
        if isinstance(manager, OurManager):
            assert len(manager.manager) == 0 and manager.manager.num_held == 0
    assert max(rates) - min(rates) < 0.03


def test_pools_are_full_before_anything_is_timed():
    rows = bench_sizes((512, 2048), "hash")
    assert [row["num_blocks"] for row in rows] == [512, 2048] and all(row["allocate_us"] > 0 for row in rows)


def test_the_text_names_the_three(bench):
    result = bench()
    assert result.exit_code == 0 and "radix" in result.stdout and "textbook" in result.stdout


def test_stress_runs_clean():
    result = CliRunner().invoke(stress_commands.app, ["cache", "--operations", "5000", "--seed", "7"])
    assert result.exit_code == 0, result.output
    assert "agree" in result.stdout


def test_stress_prints_the_seed_that_repeats_a_failure(monkeypatch):
    real = stress.draw_manager

    def broken(rng):
        manager, about = real(rng)
        manager._append_cow = lambda table, num_tokens: []  # a shared block is written
        return manager, about

    monkeypatch.setattr(stress, "draw_manager", broken)
    result = CliRunner().invoke(stress_commands.app, ["cache", "--operations", "20000", "--seed", "0"])
    assert result.exit_code == 1
    seed = result.stdout.split("--seed ")[1].split()[0]
    again = CliRunner().invoke(stress_commands.app, ["cache", "--operations", "1", "--seed", seed])
    assert again.exit_code == 1 and again.stdout.splitlines()[0] == result.stdout.splitlines()[0]
