"""Still picture of a radix tree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit import theme
from labkit.observe.tree_log import ROOT, Flag, NodeState, TreeLog
from labkit.widgets.still import MARGIN, WIDTH, canvas, mono, rects, rounded, text, tint, wrap
from labkit.widgets.tree_layout import tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_C = theme.LIGHT
_HUE = theme.SEQUENCE_LIGHT[0]
_SHADES = (0.05, 0.14, 0.24, 0.34, 0.46)
_ROOT_WIDE = 38
_SPINE = 9
_TALLEST = 640
_FRESH = Flag.ADDED | Flag.UPPER | Flag.GROWN
_MONO_WIDE = 7.1
"""Pixels of one monospaced letter at size 10.5."""


@dataclass(frozen=True)
class Words:
    """What is written around the picture."""

    title: str
    subtitle: str
    step: int
    label: str
    note: str
    fault: str


@dataclass(frozen=True)
class _Size:
    """Pixels: height of a row, width and height of a node's box, least and most length of an edge; texts or not."""

    row: float
    box: float
    tall: float
    edge: tuple[float, float]
    texts: bool


_SIZES = (
    _Size(46, 96, 32, (80, 230), True),
    _Size(34, 90, 30, (60, 180), True),
    _Size(14, 24, 9, (18, 60), False),
    _Size(7, 12, 4.5, (10, 40), False),
)


def tree_at(log: TreeLog, step: int, text_of: Mapping[bytes, str], title: str, subtitle: str) -> Figure:
    """The tree after `step` snapshots of a log, with what the log says of that step."""
    return radix_tree(
        log.state(step),
        log.path(step),
        text_of=text_of,
        page_bytes=log.page_bytes,
        clock_span=log.clock_span(),
        words=Words(
            title,
            subtitle,
            step,
            log.label(step),
            log.notes[step - 1] if step else "",
            log.faults[step - 1] if step else "",
        ),
    )


def radix_tree(
    nodes: Sequence[NodeState],
    path: Mapping[int, int],
    text_of: Mapping[bytes, str],
    page_bytes: int,
    clock_span: int,
    words: Words,
) -> Figure:
    """The tree from left to right, the match path lit, the sentence below.

    Args:
        path: bytes matched, by node.
        clock_span: the range of last uses in the whole log, so that a shade means the same age at every step.
    """
    by_id = {node.node: node for node in nodes}
    children: dict[int, list[int]] = {}
    for node in sorted(nodes, key=lambda node: (node.order, node.node)):
        if node.parent >= 0:
            children.setdefault(node.parent, []).append(node.node)
    place = tidy(children, ROOT) if ROOT in by_id else {}
    rows = max((row for _, row in place.values()), default=0) + 1
    depth = max((column for column, _ in place.values()), default=1) or 1
    size, edge = _fit(rows, depth)
    row_height = min(size.row, _TALLEST / rows)
    column = size.box + edge
    # A tree too deep for the width is drawn narrower, like one too tall.
    squeeze = min(1.0, (WIDTH - 2 * MARGIN - _ROOT_WIDE - 10) / (depth * column))
    top = 66 if words.subtitle else 44
    body = max(rows * row_height, 24)
    sentence = words.label.replace("->", "→")
    lines = wrap(f"{words.step}  {sentence}" if words.step else "before the first step", 96)[:3]
    lines += wrap(words.note, 96)[:2] if words.note else []
    broken = wrap(f"The tree is broken: {words.fault}", 96)[:2] if words.fault else []
    figure, axes = canvas(top + body + 26 + 16 * len(lines + broken) + 40)
    text(axes, MARGIN, 20, words.title, 14, weight="bold")
    if words.subtitle:
        text(axes, MARGIN, 40, words.subtitle, 12, "dim")
    spots = {}
    for number, (at, row) in place.items():
        x = float(MARGIN) if at == 0 else MARGIN + _ROOT_WIDE + squeeze * ((at - 1) * column + edge)
        spots[number] = (x, top + (row + 0.5) * row_height)
    if not nodes:
        text(axes, MARGIN, top + 12, "The tree is empty.", 12, "dim")
    drawing = _Drawing(
        axes, by_id, children, spots, path, text_of, page_bytes, clock_span, size, squeeze * edge, squeeze
    )
    drawing.edges()
    drawing.boxes()
    y = top + body + 12
    rounded(axes, MARGIN, y, WIDTH - 2 * MARGIN, 16 * len(lines + broken) + 8, radius=6, fill=_C["sunk"])
    for i, line in enumerate(lines + broken):
        mono(axes, MARGIN + 8, y + 12 + 16 * i, line, 11, "bad" if i >= len(lines) else "ink")
    inside = [node for node in nodes if node.node != ROOT and not node.gone]
    total = sum(len(node.blocks) for node in inside)
    locked = sum(len(node.blocks) for node in inside if node.locks > 0)
    counted = f"nodes {len(inside):,} · blocks {total:,} · locked {locked:,} · evictable {total - locked:,}"
    text(axes, WIDTH - MARGIN, 20, counted, 11, "dim", ha="right")
    _legend(axes, y + 16 * len(lines + broken) + 24, nodes, path)
    return figure


def _fit(rows: float, depth: int) -> tuple[_Size, float]:
    """The largest size in which the tree fits, else the smallest, and the length of its edges."""
    free = WIDTH - 2 * MARGIN - _ROOT_WIDE - 10
    for size in _SIZES:
        if rows * size.row <= _TALLEST and depth * (size.box + size.edge[0]) <= free:
            break
    return size, max(size.edge[0], min(size.edge[1], free / depth - size.box))


class _Drawing:
    """One tree on one pair of axes."""

    def __init__(
        self,
        axes: Axes,
        nodes: Mapping[int, NodeState],
        children: Mapping[int, Sequence[int]],
        spots: Mapping[int, tuple[float, float]],
        path: Mapping[int, int],
        text_of: Mapping[bytes, str],
        page_bytes: int,
        clock_span: int,
        size: _Size,
        edge: float,
        squeeze: float,
    ) -> None:
        self.axes, self.nodes, self.children, self.spots, self.path = axes, nodes, children, spots, path
        self.text_of, self.page_bytes, self.size, self.edge = text_of, page_bytes, size, edge
        self.box = size.box * squeeze
        self.now = max((node.last_used for node in nodes.values()), default=0)
        self.span = clock_span

    def edges(self) -> None:
        """Lines from parents to children; those of the path thicker and on top, those of what has gone dashed."""
        from matplotlib.collections import LineCollection

        plain, lit, gone = [], [], []
        for parent, below in self.children.items():
            x, y = self.spots[parent]
            right = x + (_ROOT_WIDE if parent == ROOT else self.box)
            spine = right + min(_SPINE, self.edge / 2)
            for child in below:
                cx, cy = self.spots[child]
                node = self.nodes[child]
                corners = [(right, y), (spine, y), (spine, cy), (cx, cy)]
                (gone if node.gone else plain).append(corners)
                matched = self.path.get(child, 0)
                if matched:
                    share = min(1.0, matched / max(1, len(node.key)))
                    lit.append([*corners[:3], (spine + (cx - spine) * share, cy)])
                    if share < 1:
                        stop = spine + (cx - spine) * share
                        lit.append([(stop, cy - 3.5), (stop, cy + 3.5)])
                if self.size.texts:
                    self._edge_text(node, spine, cx, cy)
        for lines, style in (
            (plain, {"colors": _C["edge"], "linewidths": 0.6}),
            (gone, {"colors": _C["dim"], "linewidths": 0.7, "linestyles": (0, (3, 2))}),
            (lit, {"colors": _C["accent"], "linewidths": 1.8 if self.size.texts else 1.1}),
        ):
            self.axes.add_collection(LineCollection(lines, zorder=1, **style), autolim=False)

    def _edge_text(self, node: NodeState, spine: float, x: float, y: float) -> None:
        cut = bool(node.flags & Flag.LOWER)
        left = spine + (13 if cut else 7)  # beside the mark of the cut
        room = x - 6 - left
        lit = self.path.get(node.node, 0)
        # matplotlib's own monospaced face has no bold of the same width, so what is lit is not set bold here.
        words = _cut(self.text_of.get(node.key, ""), room / _MONO_WIDE)
        mono(self.axes, left, y - 9, words, 10.5, "dim" if node.gone else "ink")
        pages = -(-len(node.key) // self.page_bytes)
        below = f"{pages} page" if pages == 1 else f"{pages} pages"
        if 0 < lit < len(node.key):
            below = f"{lit // self.page_bytes} of {below} found"
        if cut:
            for dx in (2.0, 6.5):
                self.axes.plot(
                    [spine + dx - 2.5, spine + dx + 2.5], [y + 5.5, y - 5.5], color=_C["ink"], linewidth=1, zorder=2
                )
        words = _cut(f"split · {below}" if cut else below, room / 5.2)
        text(self.axes, left, y + 9, words, 9, "ink" if cut else "dim")

    def boxes(self) -> None:
        """The nodes themselves."""
        from matplotlib.patches import Rectangle

        marks = []
        for number, (x, y) in self.spots.items():
            node = self.nodes[number]
            if number == ROOT:
                rounded(self.axes, x, y - 9, _ROOT_WIDE, 18, radius=9, fill=_C["sunk"], edge=_C["edge"], zorder=2)
                text(self.axes, x + _ROOT_WIDE / 2, y + 0.5, "root", 10, "dim", ha="center", zorder=3)
                continue
            fill = _C["panel"] if node.gone else tint(_HUE, self._shade(node))
            fresh = bool(node.flags & _FRESH) and not node.gone
            lit = 0 < len(node.key) <= self.path.get(number, 0)
            trimmed = bool(node.flags & Flag.TRIMMED)
            edge = "dim" if node.gone else "ink" if fresh or trimmed else "accent" if lit else "edge"
            top, tall = y - self.size.tall / 2, self.size.tall
            if not self.size.texts:
                marks.append((x, top, self.box, tall, fill))
                if fresh or lit or node.gone or trimmed:
                    style = {"facecolor": "none", "edgecolor": _C[edge], "linewidth": 0.8}
                    dashed = {"linestyle": (0, (2, 1.5))} if node.gone or trimmed else {}
                    self.axes.add_patch(Rectangle((x, top), self.box, tall, zorder=3, **style, **dashed))
                if node.locks > 0 and not node.gone:
                    self.axes.add_patch(Rectangle((x + self.box - 3, top), 3, tall, facecolor=_C["ink"], zorder=4))
                continue
            dashed = {"linestyle": (0, (3, 2))} if node.gone or trimmed else {}
            width = 0.8 if trimmed else 1.3 if fresh or lit else 0.7
            rounded(
                self.axes, x, top, self.box, tall, radius=4, fill=fill, edge=_C[edge], linewidth=width, zorder=2,
                **dashed,
            )  # fmt: skip
            color = "dim" if node.gone else "ink"
            blocks = _blocks(node.blocks, (self.box - 12) / _MONO_WIDE)
            mono(self.axes, x + 7, y - 7, blocks, 10, color, zorder=3)
            used = f"t {node.last_used}"
            if node.delta:
                used += f" · {'−' if trimmed else '+'}{node.delta}"
            text(self.axes, x + 7, y + 8, "evicted" if node.gone else used, 9.5, color, zorder=3)
            if node.locks > 0 and not node.gone:
                self._lock(x + self.box, top, node.locks)
        rects(self.axes, marks, zorder=2)

    def _lock(self, x: float, y: float, locks: int) -> None:
        from matplotlib.patches import Arc, Rectangle

        wide = 17 + 6 * len(str(locks))
        left, y = x - wide - 4, y + self.size.tall - 10
        rounded(self.axes, left, y - 7, wide, 14, radius=7, fill=_C["panel"], edge=_C["edge"], zorder=4)
        self.axes.add_patch(Arc((left + 8.5, y - 1), 5, 6.5, theta1=180, theta2=360, color=_C["ink"], lw=0.8, zorder=5))
        self.axes.add_patch(Rectangle((left + 5, y - 0.8), 7, 4.8, facecolor=_C["ink"], zorder=5))
        text(self.axes, left + 15, y + 0.5, str(locks), 9, weight="bold", zorder=5)

    def _shade(self, node: NodeState) -> float:
        share = 1 - math.log1p(self.now - node.last_used) / math.log1p(self.span)
        shade = max(0, min(4, round(4 * share)))
        return _SHADES[shade] if self.size.texts else 0.18 + 0.2 * shade


def _cut(words: str, columns: float) -> str:
    words = words.replace("\r", "").replace("\n", "↵").replace("\t", "→")
    room = int(columns)
    return words if len(words) <= room else words[: max(0, room - 1)] + "…" if room > 1 else ""


def _blocks(blocks: Sequence[int], columns: float) -> str:
    if not blocks:
        return "no block"
    for count in range(len(blocks), 0, -1):
        left = len(blocks) - count
        words = " ".join(map(str, blocks[:count])) + (f" +{left}" if left else "")
        if len(words) <= columns or count == 1:
            return words
    return ""


def _legend(axes: Axes, y: float, nodes: Sequence[NodeState], path: Mapping[int, int]) -> None:
    """Only what this step shows."""
    from matplotlib.patches import Rectangle

    inside = [node for node in nodes if node.node != ROOT]
    x = float(MARGIN)

    def box(edge: str, width: float, style: object = "-") -> None:
        axes.add_patch(
            Rectangle((x + 1, y - 5), 15, 10, facecolor="none", edgecolor=_C[edge], linewidth=width, linestyle=style)
        )

    if any(path.get(node.node) for node in inside):
        axes.plot([x, x + 17], [y, y], color=_C["accent"], linewidth=1.8)
        x = _word(axes, x, y, "match path")
    if any(node.locks > 0 and not node.gone for node in inside):
        axes.add_patch(Rectangle((x + 5, y - 1), 7, 5, facecolor=_C["ink"]))
        axes.plot([x + 6, x + 6, x + 11, x + 11], [y - 1, y - 4.5, y - 4.5, y - 1], color=_C["ink"], linewidth=0.8)
        x = _word(axes, x, y, "locks: running sequences that hold it")
    if any(node.flags & _FRESH and not node.gone for node in inside):
        box("ink", 1.2)
        x = _word(axes, x, y, "new in this step")
    if any(node.gone or node.flags & Flag.TRIMMED for node in inside):
        box("dim", 0.8, (0, (3, 2)))
        x = _word(axes, x, y, "evicted in this step")
    if inside:
        for i, shade in enumerate(_SHADES):
            rects(axes, [(x + 3.4 * i, y - 5, 3.4, 10, tint(_HUE, shade + 0.04))])
        _word(axes, x, y, "shade and t: last use")


def _word(axes: Axes, x: float, y: float, words: str) -> float:
    text(axes, x + 22, y, words, 10.5, "dim")
    return x + 40 + 6.2 * len(words)
