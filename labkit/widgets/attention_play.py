"""AttentionPlay: one query and a few keys in the plane, to be dragged; scores, weights and mixture follow exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget

QUERY = (1.0, 1.0)
KEYS = ((2.0, 0.5), (-1.5, 2.0), (-1.5, -1.0))
VALUES = ((-2.0, -1.5), (0.0, 2.0), (2.0, -1.0))
SPAN = 3.0
"""The planes reach from -SPAN to SPAN on both axes."""
MOST = 5

Point = tuple[float, float]


class AttentionPlay(LabWidget):
    """One query over n keys and values, all of them arrows or points in the plane (d = dv = 2).

    Args:
        query: [2]. Every number from -3 to 3, here and below.
        keys, values: [n, 2], n from 1 to 5.
        maskable: whether each key can be hidden, which makes its score minus infinity.
        hidden: the keys hidden at first.
        title: above the picture.
        task: what to try, under the title; "" for nothing.

    Raises:
        LabkitError: the shapes do not fit, a number is outside, or every key is hidden.
    """

    _name: ClassVar[str] = "attention_play"

    title = traitlets.Unicode().tag(sync=True)
    task = traitlets.Unicode().tag(sync=True)
    q = traitlets.List().tag(sync=True)
    K = traitlets.List().tag(sync=True)
    V = traitlets.List().tag(sync=True)
    hidden = traitlets.List(help="indices of hidden keys").tag(sync=True)
    maskable = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        query: Sequence[float] = QUERY,
        keys: Sequence[Sequence[float]] = KEYS,
        values: Sequence[Sequence[float]] = VALUES,
        maskable: bool = False,
        hidden: Sequence[int] = (),
        title: str = "One query, three keys",
        task: str = "",
    ) -> None:
        if not 1 <= len(keys) <= MOST or len(keys) != len(values):
            raise LabkitError(
                f"{len(keys)} keys and {len(values)} values were given; give as many values as keys, from 1 to {MOST}."
            )
        for point in (query, *keys, *values):
            if len(point) != 2 or any(not -SPAN <= x <= SPAN for x in point):
                raise LabkitError(f"{list(point)} is no point of the picture; give two numbers from -3 to 3.")
        if set(hidden) - set(range(len(keys))) or len(set(hidden)) == len(keys):
            raise LabkitError(f"hidden is {list(hidden)}; name keys by index and leave at least one to be seen.")
        super().__init__(
            title=title,
            task=task,
            q=[float(x) for x in query],
            K=[[float(x) for x in k] for k in keys],
            V=[[float(x) for x in v] for v in values],
            hidden=sorted(set(hidden)),
            maskable=maskable or bool(hidden),
        )

    def scores(self) -> list[float]:
        """The score of every key, [n]; -inf for a hidden one."""
        root = math.sqrt(2)
        return [
            -math.inf if i in self.hidden else sum(a * b for a, b in zip(self.q, k, strict=True)) / root
            for i, k in enumerate(self.K)
        ]

    def weights(self) -> list[float]:
        """Softmax of the scores, [n]."""
        s = self.scores()
        e = [math.exp(x - max(s)) for x in s]
        return [x / sum(e) for x in e]

    def mixture(self) -> Point:
        """What comes out: the values in the proportions of the weights."""
        w = self.weights()
        x, y = (sum(a * v[i] for a, v in zip(w, self.V, strict=True)) for i in (0, 1))
        return x, y

    def summary(self) -> str:
        """The numbers as one line."""
        shares = ", ".join(f"{w:.0%}" for w in self.weights())
        return f"AttentionPlay(query=({self.q[0]:g}, {self.q[1]:g}), weights: {shares})"
