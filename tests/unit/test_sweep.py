"""Many simulations: on processes of this machine and on a Dask cluster, resumed, and one failing among them."""

from __future__ import annotations

import json
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pytest

from labkit.errors import SimulationError
from labkit.simulate.configuration import Configuration
from labkit.simulate.sweep import run_one, sweep

SMALL = Configuration("chats", requests=40)
BLOCKS = [replace(SMALL, blocks=blocks, name=f"{blocks} blocks") for blocks in (400, 800, 1600)]


def figures(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result["figures"].items() if name != "wall_seconds"}


@pytest.fixture(scope="module")
def expected():
    return [{k: v for k, v in run_one(c).items() if k != "wall_seconds"} for c in BLOCKS]


def test_a_pool_of_processes_gives_what_one_after_the_other_gives(expected):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = sweep(BLOCKS, pool)
    assert [figures(result) for result in results] == expected
    assert [result["configuration"]["name"] for result in results] == [c.name for c in BLOCKS]
    assert expected[0]["ttft_p99_s"] > expected[2]["ttft_p99_s"] and expected[0]["finished"] == 40


def test_a_dask_cluster_gives_the_same(expected):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        results = sweep(BLOCKS, client.get_executor())
    assert [figures(result) for result in results] == expected


def test_one_failed_run_does_not_lose_the_rest_and_is_tried_again(tmp_path, expected):
    file = tmp_path / "sweep.jsonl"
    missing = replace(SMALL, trace=str(tmp_path / "later.csv"), requests=None)
    with ThreadPoolExecutor(2) as pool:
        first = sweep([BLOCKS[0], missing, BLOCKS[2]], pool, results=file)
        assert [figures(first[0]), figures(first[2])] == [expected[0], expected[2]]
        assert first[1]["figures"] is None and "later.csv" in first[1]["error"]
        (tmp_path / "later.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,100,5\n")
        again = sweep([BLOCKS[0], missing, BLOCKS[2]], pool, results=file)
    assert again[1]["error"] is None and again[1]["figures"]["finished"] == 1
    assert again[0]["figures"] == first[0]["figures"], "what has a result is not run again"


class Broken(ThreadPoolExecutor):
    """Counts what it is given, and is interrupted at the third."""

    given = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        if self.given == 3:
            raise KeyboardInterrupt
        future = super().submit(*args, **kwargs)
        future.result()
        return future


def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path, expected):
    file = tmp_path / "sweep.jsonl"
    with ThreadPoolExecutor(1) as pool:
        sweep(BLOCKS[:2], pool, results=file)
    with file.open("a") as half:
        half.write('{"key": "abc", "figu')
    with Broken(1) as pool:
        results = sweep(BLOCKS, pool, results=file)
        assert pool.given == 1, "only what is missing"
    assert [figures(result) for result in results] == expected
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 3


def test_equal_configurations_run_once_and_none_is_no_work():
    with Broken(1) as pool:
        a, b = sweep([BLOCKS[0], replace(BLOCKS[0], name="twin")], pool)
        assert pool.given == 1 and a["figures"] == b["figures"] and b["configuration"]["name"] == "twin"
    assert sweep([]) == []


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("dear diary\ntoday\n")
    with pytest.raises(SimulationError, match=r"Line 1 of .*notes.txt is no result"):
        sweep(BLOCKS, results=file)
    assert file.read_text() == "dear diary\ntoday\n"
