"""How many cards and blocks: dealt without loss, searched to the edge, and told as tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labkit.errors import SimulationError
from labkit.scheduling.config import SchedulerConfig
from labkit.simulate.capacity import enough, fewer_blocks, fewest_cards, serve, shared_prefixes
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import Target
from labkit.simulate.replicas import routed
from labkit.simulate.trace import Trace

L4 = Configuration("chats", card="L4", blocks=600, requests=90, speed=3.0, target=Target(5.0, 0.2))


def test_dealing_loses_nobody_and_serving_counts_all() -> None:
    trace = replace(L4.workload(), hash_ids=[np.array([at]) for at in range(90)], block_tokens=512)
    parts = routed(trace, 4, "round robin")
    assert [len(part) for part in parts] == [23, 23, 22, 22]
    assert sorted(np.concatenate([part.arrival_s for part in parts])) == sorted(trace.arrival_s)
    assert [ids.tolist() for ids in parts[1].hash_ids or ()][:2] == [[1], [5]]
    served = serve(L4, L4.workload(), 3)
    totals = served.totals
    assert totals["requests"] == 90 == totals["finished"] + totals["refused"] + totals["unfinished"]
    assert totals["ttft_p99_s"] == max(run.totals["ttft_p99_s"] for run in served.runs)
    assert served.share == sum(run.metrics.good for run in served.runs) / 90
    with pytest.raises(SimulationError, match="cannot be dealt to 91 cards"):
        serve(L4, L4.workload(), 91)


def test_the_fewest_cards_are_found_and_the_next_fewer_were_tried() -> None:
    tried: list[int] = []
    found = fewest_cards(L4, L4.workload(), 0.9, most=16, tell=lambda served: tried.append(served.cards))
    met = [served.cards for served in found if served.share >= 0.9]
    assert met and met[0] > 1, "one card is too few, or the test shows nothing"
    assert met[0] - 1 in [served.cards for served in found], "the edge was looked at from below"
    assert sorted(tried) == [served.cards for served in found]
    blocks = fewer_blocks(L4, L4.workload(), next(s for s in found if s.cards == met[0]), 0.9)
    assert [s.blocks for s in blocks] == sorted({s.blocks for s in blocks}, reverse=True) and blocks[0].blocks == 600
    fewest = enough(blocks, 0.9)
    assert fewest is not None and fewest.share >= 0.9
    assert all(s.share >= 0.9 for s in blocks if s.blocks >= fewest.blocks)
    assert blocks[-1].share < 0.9, "75 blocks are too few for prompts of a thousand tokens"


def test_with_far_more_blocks_than_are_needed_the_edge_is_found_all_the_same() -> None:
    easy = replace(L4, blocks=50_000, speed=0.1, requests=20)
    trace = easy.workload()
    blocks = fewer_blocks(easy, trace, serve(easy, trace), 0.9)
    fewest = enough(blocks, 0.9)
    assert fewest is not None and fewest.blocks < 50_000 / 8 and blocks[-1].share < 0.9
    below = max(served.blocks for served in blocks if served.blocks < fewest.blocks)
    assert fewest.blocks - below <= fewest.blocks / 4, "the gap was halved"


def test_a_target_that_nobody_meets_ends_at_the_most() -> None:
    hopeless = replace(L4, target=Target(1e-6, 0.2))
    found = fewest_cards(hopeless, L4.workload(), 0.95, most=4)
    assert [served.cards for served in found] == [1, 2, 4] and not any(served.share for served in found)
    assert enough(fewer_blocks(hopeless, L4.workload(), found[0], 0.95), 0.95) is None
    with pytest.raises(SimulationError, match="share is 0"):
        fewest_cards(L4, L4.workload(), 0)


def test_shared_prefixes_count_what_came_before() -> None:
    ids = [np.array([1, 2, 3]), np.array([1, 2, 9]), np.array([], dtype=np.int64), np.array([1, 2, 3])]
    trace = Trace("t", "here", np.arange(4.0), np.array([40, 40, 5, 48]), np.ones(4, np.int64), ids, block_tokens=16)
    shares = shared_prefixes(trace)
    assert shares is not None and shares.tolist() == [0.0, 32 / 40, 0.0, 1.0]
    assert shared_prefixes(replace(trace, hash_ids=None)) is None


def test_fewer_seats_are_a_setting_like_any_other() -> None:
    few = serve(replace(L4, scheduler=SchedulerConfig(seats=1)), L4.workload().head(20))
    many = serve(L4, L4.workload().head(20))
    assert few.totals["seconds_simulated"] > many.totals["seconds_simulated"]
