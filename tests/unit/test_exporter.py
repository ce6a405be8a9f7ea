"""Our own `/metrics`: what it says is what the scheduler and its memory count."""

from __future__ import annotations

import dataclasses

import pytest
from running import Engine

from labkit.errors import WatchError
from labkit.observe.exporter import Exporter
from labkit.observe.exposition import Exposition
from labkit.observe.live import watch
from labkit.observe.series import FIGURES, Worth
from labkit.observe.servers import LABKIT


def test_every_name_of_our_table_is_exported() -> None:
    exporter = Exporter(Engine(regret=True).scheduler)
    there = Exposition(exporter.text())
    for reading in LABKIT.readings:
        assert set(reading.metrics) <= there.metrics, reading.figure


def test_a_window_is_what_happened_in_it() -> None:
    engine = Engine(regret=True)
    exporter = Exporter(engine.scheduler)
    times = iter(range(0, 100, 2))
    with exporter.serve() as url:
        seen = watch(url, clock=lambda: float(next(times)))
        assert seen.ask() is None and seen.problem == ""
        for _ in range(4):
            before, counted = engine.scheduler.totals, engine.manager.counters
            finished = engine.finished
            engine.steps(60, exporter)
            row = seen.ask()
            assert row is not None
            after = engine.scheduler.totals
            for name in ("delivered", "computed", "recomputed"):
                assert row[name] * 2 == getattr(after, name) - getattr(before, name)
            now = dataclasses.asdict(engine.manager.counters)
            was = dataclasses.asdict(counted)
            for name, key in (
                ("evicted", "cached_blocks_evicted"), ("recycled", "blocks_recycled"), ("preempted", "preemptions"),
                ("regretted", "regretted_evictions"),
            ):  # fmt: skip
                assert row[name] * 2 == now[key] - was[key]
            assert row["finished"] * 2 == engine.finished - finished
            manager = engine.manager
            assert row["held"] == manager.num_held / manager.num_blocks
            assert row["held"] + row["cached"] + row["free"] == pytest.approx(1.0)
            assert (row["running"], row["waiting"]) == (len(engine.scheduler.running), len(engine.scheduler.waiting))
    total = {name: sum(row.get(name, 0.0) for row in seen.series.rows()) for name in FIGURES}
    assert min(total[name] for name in ("preempted", "recomputed", "evicted", "regretted", "finished", "hit_rate")) > 0
    assert seen.series.source.startswith("labkit 0.1.0 at http://127.0.0.1:")


def test_without_a_meter_regret_is_absent_and_all_else_but_what_nobody_knows_is_exact() -> None:
    engine = Engine(regret=False)
    with Exporter(engine.scheduler).serve() as url:
        seen = watch(url)
        seen.ask()
    worth = {name: seen.series.worth(name) for name in FIGURES}
    assert worth["regretted"][0] is Worth.ABSENT and "watch_regret" in worth["regretted"][1]
    proxies = {name for name, (how, _) in worth.items() if how is Worth.PROXY}
    assert proxies == {"ttft_p50", "ttft_p99", "itl_p50", "itl_p99", "e2e_p99"}


def test_refusals_are_told_by_reason() -> None:
    engine = Engine()
    engine.refuse()
    assert 'labkit:requests_refused_total{reason="never-fits"} 1.0' in Exporter(engine.scheduler).text()


def test_a_port_that_is_taken_is_refused_in_a_sentence() -> None:
    exporter = Exporter(Engine().scheduler)
    with exporter.serve() as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(WatchError, match="give another port"), exporter.serve(port):
            pass
    with pytest.raises(WatchError, match="give another port"), exporter.serve(99999):
        pass
