"""The three servers of lesson 09, the curves of its board, and `labkit tournament`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.cache.belady import belady_victim
from labkit.cache.eviction_policies import POLICIES, Random
from labkit.errors import LabkitError
from labkit.grading.progress import Progress
from labkit.grading.tournament_command import hold, run, text_of
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import cyclic_scan, zipf
from labkit.simulate.tournament import curves
from labkit.specs.eviction_tournament.eviction_scenes import come_back, come_once, evictions_of_replay, grow_too_large

NEWEST = """%%exercise MyPolicy
class MyPolicy(Policy):
    def __init__(self, num_blocks):
        self.queue = {}
    def add(self, block):
        self.queue[block] = None
    def remove(self, block):
        del self.queue[block]
    def evict(self):
        return self.queue.popitem()[0]
"""


def test_only_regret_and_preemptions_tell_the_three_servers_apart():
    once, back, large = come_once(), come_back(), grow_too_large()
    assert min(once.full, back.full, large.full) > 0.9
    assert once.counters.cached_blocks_evicted > 4 * back.counters.cached_blocks_evicted
    assert once.counters.regretted_evictions == once.counters.hit_tokens == 0
    assert back.counters.regretted_evictions > 0.9 * back.counters.cached_blocks_evicted
    assert once.counters.preemptions == back.counters.preemptions == 0
    assert once.counters.recomputed_tokens == back.counters.recomputed_tokens == 0
    assert large.counters.preemptions > 50 and large.counters.recomputed_tokens > 1000
    # Held, the gauge of real servers, tells preemption from the cache; regret tells Monday from Tuesday.
    assert once.held == back.held < 0.1 and large.held > 0.8
    assert once.regret == 0 and back.regret == back.counters.regretted_evictions / back.asked > 0.15
    assert back.found + back.regret <= 1 and come_back(blocks=96).found == 1 - 20 / 400
    for scene in (once, back, large):
        assert scene.counters.blocks_recycled >= scene.counters.cached_blocks_evicted


def test_scenes_take_any_policy_and_are_the_same_at_every_run():
    assert come_back() == come_back()
    assert come_back(lambda: Random(1)).counters.hit_tokens != come_back().counters.hit_tokens
    assert grow_too_large(lambda: Random(1)).counters.preemptions > 0


def test_evictions_of_a_replay_agree_with_its_counts():
    requests = requests_of(zipf(150, 30, 0.5, 3, seed=1))
    outcome = cache_replay(requests, 40, POLICIES["LRU"])
    evictions = evictions_of_replay(requests, 40, POLICIES["LRU"])
    assert len(evictions) == outcome.evictions > 0
    assert sum(e.regretted for e in evictions) == outcome.regret > 0
    assert not any(e.regretted for e in evictions_of_replay(requests_of(cyclic_scan(50, 1)), 10, POLICIES["LRU"]))


def test_curves_ask_every_policy_and_tell_who_is_refused():
    class Liar(Random):
        def evict(self):
            return -1

    compute = curves({"ring": requests_of(cyclic_scan(12, 4))}, {**POLICIES, "Liar": lambda n: Liar(), "Belady": None})
    found = compute("ring", [8, 12])
    assert set(found) == {*POLICIES, "Liar", "Belady"}
    assert "named -1" in found["Liar"]["refused"]
    assert found["LRU"]["hit_rate"] == [0, 0.75] and found["LRU"]["evictions"][1] == 0
    assert found["Belady"]["hit_rate"][0] > found["Random"]["hit_rate"][0] > 0
    assert all(len(series) == 2 for name in found if name != "Liar" for series in found[name].values())


def test_belady_victim():
    assert belady_victim({"A": 0, "B": 0}, ["B", "A"]) == "A"
    assert belady_victim({"A": 0, "B": 0}, ["A", "B", "A"]) == "B"
    assert belady_victim({"A": 0, "B": 1, "C": 1}, ["A"]) == "B"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_tournament_without_a_policy_and_with_one_in_a_file(home: Path) -> None:
    without = hold(seed=3, requests=80, capacities=(100,))
    assert "No policy of yours takes part" in text_of(without) and len(without.overall) == len(POLICIES)
    file = home / "mine.py"
    file.write_text(NEWEST)
    standings = hold(seed=3, requests=80, capacities=(100,), file=file)
    assert "> " in text_of(standings) and f"of {len(POLICIES) + 1} over all capacities" in text_of(standings)
    assert "means over 10 traces" in text_of(standings) and "share a place" in text_of(standings)
    assert standings.looked_up == without.looked_up
    assert next(r for r in standings.rows if r.policy != "MyPolicy") == without.rows[0]


def test_the_policy_that_passed_takes_part(home: Path) -> None:
    Progress().save_pass("09_eviction_tournament", "MyPolicy", NEWEST.partition("\n")[2])
    assert hold(seed=3, requests=60, capacities=(80,)).place_of("MyPolicy")


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peeks = home / "peeks.py"
    peeks.write_text(NEWEST.replace("self.queue = {}", "self.queue = {}; open('trace')"))
    trace = home / "trace.jsonl"
    lines = [
        {"timestamp": i, "input_length": 1024, "output_length": 1, "hash_ids": [i % 900, 1000 + i % 900]}
        for i in range(2000)
    ]
    trace.write_text("\n".join(map(json.dumps, lines)))
    assert run(peeks, trace, None, True) == 1
    said = json.loads(capsys.readouterr().out)
    assert "uses open" in said["refused"]["MyPolicy"] and said["seed"] is None
    assert run(None, trace, None, False) == 0
    said = capsys.readouterr().out
    assert "trace.jsonl: 4,000 blocks asked for" in said and "This is one trace" in said and "+-" not in said
    with pytest.raises(LabkitError, match="not both"):
        run(None, trace, 3, False)
    with pytest.raises(LabkitError, match="give a Python file"):
        run(home / "nothing.py", trace, None, False)
