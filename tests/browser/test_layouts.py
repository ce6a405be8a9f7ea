"""Where the page puts things, asked of its own code in an empty page: nodes of a tree, labels of curves."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from labkit.widgets.base import EXPORT, STATIC


def page_code(*files: str) -> str:
    """Files of the page's code as one text, in the order given."""
    return "\n".join((STATIC / f"{name}.js").read_text(encoding="utf-8").replace(EXPORT, "") for name in files)


def tidy(page: Any, children: dict[int, list[int]]) -> dict[int, tuple[int, float]]:
    """Column and row of every node below node 0, as the tree board lays them out."""
    code = page_code("common", "tree_layout")
    place = "JSON.stringify([...tidy(new Map(JSON.parse(children)), 0)].map(([node, at]) => [node, ...at]))"
    # As one text each way: playwright takes a list apart piece by piece, which for a large tree is seconds.
    told = page.evaluate(f"(children) => {{ {code}; return {place}; }}", json.dumps(list(children.items())))
    return {node: (column, row) for node, column, row in json.loads(told)}


@pytest.mark.parametrize(("seed", "count"), [(1, 1), (2, 2), (3, 12), (4, 300), (5, 2000)])
def test_a_drawing_is_tidy(page: Any, seed: int, count: int) -> None:
    draw = random.Random(seed)
    children: dict[int, list[int]] = {}
    for node in range(1, count):
        children.setdefault(draw.randrange(max(0, node - 60), node), []).append(node)
    place = tidy(page, children)
    assert len(place) == count and min(row for _, row in place.values()) == 0
    columns: dict[int, list[float]] = {}
    for column, row in place.values():
        columns.setdefault(column, []).append(row)
    for rows in columns.values():
        assert all(b - a >= 1 - 1e-9 for a, b in pairwise(sorted(rows))), "two nodes of one column touch"
    for node, below in children.items():
        rows = [place[child][1] for child in below]
        assert rows == sorted(rows), "children stand in their order"
        assert place[node][1] == pytest.approx((rows[0] + rows[-1]) / 2), "a parent stands midway"
        assert all(place[child][0] == place[node][0] + 1 for child in below)
    leaves = sum(1 for node in place if node not in children)
    assert max(row for _, row in place.values()) <= leaves - 1 + 1e-9, "no more rows than leaves"


def test_a_very_deep_tree_is_laid_out(page: Any) -> None:
    assert tidy(page, {node: [node + 1] for node in range(50_000)})[50_000] == (50_000, 0)


def test_subtrees_are_packed_by_their_outlines(page: Any) -> None:
    # 1 is a leaf beside 2, whose children are in the next column: 1 may stand level with them.
    place = tidy(page, {0: [1, 2, 6], 2: [3, 4, 5]})
    assert [place[node][1] for node in (1, 2, 6)] == [0, 1, 2] and [place[n][1] for n in (3, 4, 5)] == [0, 1, 2]


def test_labels_keep_their_order_and_their_distance(page: Any) -> None:
    draw = random.Random(5)
    wanted = [
        [draw.choice([draw.uniform(0, 200), 50.0]) for _ in range(draw.randint(1, 9))] for _ in range(200)
    ] + [[40.0, 100.0]]  # fmt: skip
    code = page_code("common", "tournament_chart")
    got = page.evaluate(f"(all) => {{ {code}; return all.map((wanted) => spread(wanted, 13, 2, 206)); }}", wanted)
    for want, places in zip(wanted, got, strict=True):
        order = sorted((w, i, place) for i, (w, place) in enumerate(zip(want, places, strict=True)))
        assert all(b[2] - a[2] >= 13 - 1e-6 for a, b in pairwise(order)), (want, places)
        assert min(places) >= 2 - 1e-9 and max(places) <= 206 + 1e-9
    assert got[-1] == [40.0, 100.0], "labels with room stay where they are"
