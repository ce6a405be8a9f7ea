"""Where the nodes of a tree stand: a tidy drawing from left to right, one column a depth, leaves in rows.

After Reingold and Tilford (1981, https://doi.org/10.1109/TSE.1981.234519): subtrees are laid out alone and pushed
together until their outlines nearly touch; a parent stands midway between its first and its last child. Outlines are
merged along the shallower of the two, so the work grows with the number of nodes and not with their depth.

`static/tree_replay.js` does the same with the same sums; a browser test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def tidy(children: Mapping[int, Sequence[int]], root: int) -> dict[int, tuple[int, float]]:
    """(depth, row) of every node below and including `root`; the smallest row is 0, and no two share a place.

    Args:
        children: the children of each node in order; a node without an entry is a leaf.
    """
    order = [root]
    for node in order:  # grows while it is walked: parents before children
        order.extend(children.get(node, ()))
    shift = dict.fromkeys(order, 0.0)  # of a node's subtree, relative to its parent's
    middle: dict[int, float] = {}
    outline: dict[int, _Outline] = {}
    for node in reversed(order):
        below = children.get(node, ())
        merged: _Outline | None = None
        for child in below:
            mine = outline.pop(child)
            if merged is None:
                merged = mine
                continue
            shift[child] = merged.clear_of(mine)
            merged = merged.merge(mine, shift[child])
        if merged is None:
            merged = _Outline()
        first, last = (below[0], below[-1]) if below else (None, None)
        middle[node] = 0.0 if first is None else (shift[first] + middle[first] + shift[last] + middle[last]) / 2
        merged.push(middle[node])
        outline[node] = merged
    base = outline[root].highest()
    place: dict[int, tuple[int, float]] = {}
    offset = {root: -base}
    depth = {root: 0}
    for node in order:
        place[node] = (depth[node], offset[node] + middle[node])
        for child in children.get(node, ()):
            offset[child] = offset[node] + shift[child]
            depth[child] = depth[node] + 1
    return place


class _Outline:
    """The highest and lowest row of a subtree at each depth, deepest first, all moved by `by`."""

    def __init__(self) -> None:
        self.top: list[float] = []
        self.bottom: list[float] = []
        self.by = 0.0

    def push(self, row: float) -> None:
        """A new root above what is there."""
        self.top.append(row - self.by)
        self.bottom.append(row - self.by)

    def clear_of(self, other: _Outline) -> float:
        """How far `other` must go down to stand one row below this one at every depth they share."""
        shared = min(len(self.top), len(other.top))
        gap = max(self.bottom[-i] - other.top[-i] for i in range(1, shared + 1))
        return gap + self.by - other.by + 1

    def merge(self, other: _Outline, down: float) -> _Outline:
        """This one with `other` moved `down` below it; the deeper of the two is kept and grows."""
        other.by += down
        if len(self.top) >= len(other.top):
            for i in range(1, len(other.top) + 1):
                self.bottom[-i] = other.bottom[-i] + other.by - self.by
            return self
        for i in range(1, len(self.top) + 1):
            other.top[-i] = self.top[-i] + self.by - other.by
        return other

    def highest(self) -> float:
        """The smallest row anywhere in it."""
        return min(self.top) + self.by
