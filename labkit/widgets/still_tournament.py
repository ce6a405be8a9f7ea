"""Still picture of the tournament board: the two panels, the sentence, the table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.widgets.still import MARGIN, WIDTH, canvas, mono, rounded, text, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_C = theme.LIGHT
HIGH, LABEL = 210, 13
TONES = (2, 1, 3, 4, 6, 7, 5, 0)
LINES: tuple[Any, ...] = ("solid", (0, (1.2, 1.8)), (0, (5, 1.2, 1.2, 1.2)))
SCALES = ((0.05, 0.01), (0.1, 0.02), (0.2, 0.05), (0.3, 0.1), (0.4, 0.1), (0.5, 0.1), (0.6, 0.2), (0.8, 0.2))
MARKS = ("o", "s", "^", "D", "o", "x", "v", "+")


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels that want to stand at `wanted`: order kept, `gap` apart at least, within low..high."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    groups: list[tuple[float, list[int], float]] = []  # sum of what is wanted, members, top
    for i in order:
        total, members = wanted[i], [i]
        while True:
            size = (len(members) - 1) * gap
            top = max(low, min(high - size, total / len(members) - size / 2))
            if not groups or groups[-1][2] + len(groups[-1][1]) * gap <= top + 1e-9:
                break
            before = groups.pop()
            total, members = before[0] + total, before[1] + members
        groups.append((total, members, top))
    places = [0.0] * len(wanted)
    for _, members, top in groups:
        for k, i in enumerate(members):
            places[i] = top + k * gap
    return places


def look(policy: dict[str, Any]) -> dict[str, Any]:
    """matplotlib's settings for one curve: the bound a plain heavy line, one's own accented and dashed."""
    if policy["role"] == "bound":
        return {"color": _C["ink"], "linewidth": 1.7, "linestyle": "solid", "marker": ""}
    if policy["role"] == "mine":
        return {"color": _C["accent"], "linewidth": 1.9, "linestyle": (0, (3.5, 2)), "marker": "*", "markersize": 6.5}
    i = policy["look"] % len(MARKS)
    settings = {"color": theme.SEQUENCE_LIGHT[TONES[i]], "linewidth": 1.1, "linestyle": LINES[i % 3]}
    settings |= {"marker": MARKS[i], "markersize": 3.6, "markeredgewidth": 1.0}
    return settings | ({"markerfacecolor": _C["panel"]} if i == 4 else {})


def scale_to(most: float) -> tuple[float, float]:
    """(end of a scale from 0 that holds `most`, distance of its lines)."""
    for top, step in SCALES:
        if most <= top:
            return top, step
    return 1.0, 0.25


def tournament(answer: dict[str, Any], at: int | None, bound: str, about: str, title: str, subtitle: str) -> Figure:
    """The board for `answer` (see `TournamentBoard`), the cursor on capacity number `at`."""
    rows = answer["tables"][at] if at is not None else []
    words = wrap(answer["sentences"][at], 118) if at is not None else []
    problem = wrap(answer["problem"], 118) if answer["problem"] else []
    refused = [(row["name"], wrap(f"refused: {row['reason']}", 100)) for row in answer["refused"]]
    lines = len(rows) + sum(len(reason) for _, reason in refused)
    y = 66 if subtitle else 46
    height = y + 22 + 16 * len(problem) + HIGH + 84 + 16 * len(words) + (40 if lines else 0) + 18 * lines + 10
    figure, axes = canvas(height)
    text(axes, MARGIN, 20, title, 14, weight="bold")
    if subtitle:
        text(axes, MARGIN, 40, subtitle, 12, "dim")
    choice = answer["for"]
    text(axes, MARGIN, y, f"trace {choice['trace']}: {about}", 12, "dim")
    for line in problem:
        y += 16
        text(axes, MARGIN, y, line, 12, "bad")
    y += 22
    half = (WIDTH - 3 * MARGIN) / 2
    for left, key, head, note in (
        (MARGIN, "hit_rate", "Hit rate", "share of the blocks found in the cache"),
        (2 * MARGIN + half, "regret", "Regret", "share of the evictions wanted again"),
    ):
        text(axes, left, y, head, 13, weight="bold")
        text(axes, left + (64 if key == "hit_rate" else 58), y + 0.5, note, 11, "dim")
        _panel(axes, left, y + 14, half, answer, key, at)
    y += HIGH + 66
    if words:
        rounded(axes, MARGIN, y, WIDTH - 2 * MARGIN, 16 * len(words) + 10, radius=6, fill=_C["sunk"])
        for i, line in enumerate(words):
            text(axes, MARGIN + 8, y + 13 + 16 * i, line, 12)
        y += 16 * len(words) + 30
    if lines:
        _table(axes, y, rows, refused, {p["name"]: p for p in answer["policies"]}, bound)
    return figure


def _panel(axes: Axes, left: float, top: float, width: float, answer: dict[str, Any], key: str, at: int | None) -> None:
    policies, capacities = answer["policies"], answer["capacities"]
    longest = max([4, *(len(p["name"]) for p in policies)])
    x0, x1 = left + 40, left + width - min(0.34 * width, 50 + 6.4 * min(16, longest))
    first, last = answer["range"]

    def x_of(capacity: int) -> float:
        if last == first:
            return (x0 + x1) / 2
        return x0 + 8 + math.log(capacity / first) / math.log(last / first) * (x1 - x0 - 8)

    most = max([0.0, *(v for p in policies for v in p[key] if v is not None)])
    end, step = scale_to(most if capacities else 1.0)

    def y_of(share: float) -> float:
        return top + HIGH * (1 - share / end)

    for k in range(round(end / step) + 1):
        axes.plot([x0, x1 + 4], [y_of(k * step)] * 2, color=_C["line"], linewidth=0.6)
        text(axes, x0 - 6, y_of(k * step), f"{100 * k * step:.0f}%", 10, "dim", ha="right")
    base, free = top + HIGH, -math.inf
    for i, capacity in enumerate(capacities):
        here, half = x_of(capacity), 3.2 * len(f"{capacity:,}") + 3
        axes.plot([here, here], [base, base + 4], color=_C["edge"], linewidth=0.6)
        close = at is not None and i != at and abs(here - x_of(capacities[at])) < 2 * half
        final = i < len(capacities) - 1 and here + half > x_of(capacities[-1]) - half
        if i == at or (here - half > free and not close and not final):
            text(axes, here, base + 14, f"{capacity:,}", 10, "ink" if i == at else "dim", ha="center",
                 weight="bold" if i == at else "normal")  # fmt: skip
            free = here + half
    text(axes, (x0 + x1) / 2, base + 30, "blocks in the cache", 10, "dim", ha="center")
    if at is not None:
        here = x_of(capacities[at])
        axes.plot([here, here], [top, base], color=_C["ink"], linewidth=0.7, linestyle=(0, (1, 2)))
    curves = []
    for policy in policies:
        points = [(x_of(c), y_of(v)) for c, v in zip(capacities, policy[key], strict=True) if v is not None]
        if points:
            curves.append((policy, points))
    places = spread([points[-1][1] for _, points in curves], LABEL, top + 2, base - 4)
    for (policy, points), place in sorted(
        zip(curves, places, strict=True), key=lambda item: ("", "bound", "mine").index(item[0][0]["role"])
    ):
        style = look(policy)
        mid = x1 + 10
        axes.plot([points[-1][0], mid], [points[-1][1], place], color=_C["edge"], linewidth=0.4, alpha=0.6)
        # A hole in the series, where nothing was evicted, stays a hole.
        axes.plot([x_of(c) for c in capacities], [math.nan if v is None else y_of(v) for v in policy[key]], **style)
        _sample(axes, mid, place, 20, style)
        name = policy["name"] if len(policy["name"]) <= 16 else f"{policy['name'][:15]}…"
        own = policy["role"] == "mine"
        text(axes, mid + 25, place, name, 11, "accent" if own else "ink", weight="bold" if own else "normal")
    if not curves:
        note = "Nothing is evicted at these sizes." if capacities else "Nothing is computed."
        text(axes, (x0 + x1) / 2, top + HIGH / 2, note, 11, "dim", ha="center")


def _sample(axes: Axes, x: float, y: float, width: float, style: dict[str, Any]) -> None:
    axes.plot([x, x + width], [y, y], **{**style, "marker": ""})
    if style["marker"]:
        axes.plot([x + width / 2], [y], **{**style, "linestyle": "none"})


def _table(
    axes: Axes,
    y: float,
    rows: list[dict[str, Any]],
    refused: list[tuple[str, list[str]]],
    policies: dict[str, dict[str, Any]],
    bound: str,
) -> None:
    columns = (280, 440, 540, 630)
    for x, head in zip(columns, ("hit rate", f"below {bound}, points", "evictions", "regret"), strict=True):
        text(axes, x, y, head, 11, "dim", ha="right")
    text(axes, MARGIN + 52, y, "policy", 11, "dim")
    for row in rows:
        y += 18
        policy = policies[row["name"]]
        own = policy["role"] == "mine"
        _sample(axes, MARGIN + 6, y, 34, look(policy))
        text(axes, MARGIN + 52, y, row["name"], 12, "accent" if own else "ink", weight="bold" if own else "normal")
        texts = (row["hit_text"], row["behind_text"], row["evictions_text"], row["regret_text"])
        for x, words in zip(columns, texts, strict=True):
            mono(axes, x, y, words, 11.5, ha="right")
    for name, reason in refused:
        text(axes, MARGIN + 52, y + 18, name, 12)
        for line in reason:
            y += 18
            text(axes, 180, y, line, 12, "bad")
