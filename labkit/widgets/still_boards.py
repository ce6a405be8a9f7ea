"""Still pictures of the page table and of the memory map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.widgets.memory_state import KINDS, MemoryState
from labkit.widgets.replay import LogData, PoolState, is_lost, short_label
from labkit.widgets.still import MARGIN, WIDTH, canvas, mono, rects, rounded, text, tint, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_C = theme.LIGHT


def page_table(
    log: LogData,
    state: PoolState,
    step: int,
    block_size: int,
    title: str,
    subtitle: str,
    focus: tuple[list[int], tuple[str, int] | None],
    legend: set[str],
) -> Figure:
    """Sequences and their logical blocks on the left, the pool on the right, the sentence below.

    `legend` is what the log shows at some step: see `labkit.widgets.replay.seen`.
    """
    num_blocks = len(state.holders)
    rows = [(seq, table) for seq, table in sorted(state.tables.items()) if table and not is_lost(log.names[seq])]
    has_rows = bool(rows)
    shown_rows = rows[:8]
    top = 66 if subtitle else 48
    left = 0.40 * WIDTH if has_rows else 0.0
    x0 = MARGIN + left + (16 if has_rows else 0)
    size, pitch, line, cols, labelled = _grid(num_blocks, WIDTH - MARGIN - x0)
    lines = -(-num_blocks // cols) if num_blocks else 1
    body = max(lines * line, len(shown_rows) * 42 + (14 if len(rows) > 8 else 0), 30)
    sentence = log.label(step).replace("->", "→")
    words = wrap(f"{step}  {sentence}" if step else "before the first step", 84)[:3]
    clash = sorted(state.clash)
    if clash:
        named = ", ".join(map(str, clash[:6])) + (" …" if len(clash) > 6 else "")
        words.append(f"block {named} has two owners" if len(clash) == 1 else f"blocks {named} have two owners")
    height = top + 22 + body + 12 + 16 * len(words) + 14 + 26
    figure, axes = canvas(height)
    text(axes, MARGIN, 20, title, 14, weight="bold")
    if subtitle:
        text(axes, MARGIN, 40, subtitle, 12, "dim")
    if has_rows:
        text(axes, MARGIN, top, "sequences → logical blocks", 11, "dim")
    head = (
        f"physical blocks (pool of {num_blocks:,})"
        if num_blocks
        else "There are no blocks to show: the pool has size 0."
    )
    text(axes, x0, top, head, 11, "dim")
    y0 = top + 20
    places = {b: (x0 + (b % cols) * pitch, y0 + (b // cols) * line) for b in range(num_blocks)}
    if size >= 14:
        for block, (x, y) in places.items():
            _block(axes, x, y, size, state, log.names, block, block_size)
            if labelled:
                mono(
                    axes, x + size / 2, y + size + 8, str(block), 8.5, "bad" if block in state.clash else "dim",
                    ha="center",
                )  # fmt: skip
    else:
        rects(axes, ((x, y, size, size, _flat(state, log.names, block)) for block, (x, y) in places.items()))
        _small_marks(axes, places, state, size)
    for block in focus[0][:64]:
        if block in places:
            x, y = places[block]
            rounded(
                axes, x - 1, y - 1, size + 2, size + 2, radius=3 if size > 12 else 0.5, edge=_C["ink"], linewidth=1.3
            )
    _logical_rows(axes, shown_rows, state, log, block_size, y0, left, places, size, focus[1])
    if len(rows) > len(shown_rows):
        text(axes, MARGIN, y0 + 8 * 42 + 8, f"and {len(rows) - 8} more sequences", 11, "dim")
    y = top + 22 + body + 8
    rounded(axes, MARGIN, y, WIDTH - 2 * MARGIN, 16 * len(words) + 8, radius=6, fill=_C["sunk"])
    for i, words_line in enumerate(words):
        mono(axes, MARGIN + 8, y + 12 + 16 * i, words_line, 11, "bad" if clash and i == len(words) - 1 else "ink")
    free, held, cached = state.counts()
    lost = len(state.lost(log.names))
    counted = f"free {free:,} · held {held - lost:,} · cached {cached:,}" + (f" · lost {lost:,}" if lost else "")
    mono(axes, WIDTH - MARGIN - 8, y + 12, counted, 11, "dim", ha="right")
    _legend(axes, y + 16 * len(words) + 22, legend, bool(block_size), num_blocks > 0)
    return figure


def _grid(num_blocks: int, width: float) -> tuple[float, float, float, int, bool]:
    """(cell, pitch, line height, columns, numbered) that show the pool in at most about 380 pixels of height."""
    choices = [
        (26, 31, 44, True),
        (18, 21, 21, False),
        (13, 15, 15, False),
        (8, 9.5, 9.5, False),
        (5, 6, 6, False),
        (3.2, 4, 4, False),
    ]
    for choice in choices:
        _, pitch, line, labelled = choice
        cols = max(1, int(width // pitch))
        if num_blocks > cols:
            cols = cols - cols % 16 if cols >= 16 else cols
        else:
            cols = max(1, num_blocks)
        if -(-num_blocks // cols) * line <= (230 if labelled else 380):
            break
    size, pitch, line, labelled = choice
    return size, pitch, line, cols, labelled


def _color(names: list[str], seq: int) -> str:
    return theme.sequence_color(names[seq]) if seq and seq < len(names) else _C["held"]


def _lost(names: list[str], holders: list[int]) -> bool:
    return all(is_lost(names[seq]) for seq in holders)


def _flat(state: PoolState, names: list[str], block: int) -> str:
    holders = state.holders[block]
    if holders:
        return _C["edge"] if _lost(names, holders) else _color(names, holders[0])
    return _C["cached"] if state.cached[block] else _C["free"]


def _small_marks(axes: Axes, places: dict[int, tuple[float, float]], state: PoolState, size: float) -> None:
    """In small cells: a slash for cached, a light seam for shared."""
    from matplotlib.collections import LineCollection

    slashes = [
        [(x, y + size), (x + size, y)]
        for block, (x, y) in places.items()
        if state.cached[block] and not state.holders[block]
    ]
    seams = [
        [(x + size / 2, y), (x + size / 2, y + size)]
        for block, (x, y) in places.items()
        if len(state.holders[block]) > 1
    ]
    axes.add_collection(LineCollection(slashes, colors=_C["dim"], linewidths=0.6), autolim=False)
    axes.add_collection(LineCollection(seams, colors=_C["panel"], linewidths=0.8), autolim=False)


def _block(
    axes: Axes, x: float, y: float, size: float, state: PoolState, names: list[str], block: int, block_size: int
) -> None:
    holders = state.holders[block]
    if not holders:
        rounded(axes, x, y, size, size, fill=_C["cached"] if state.cached[block] else _C["free"])
        if state.cached[block]:
            axes.plot([x + 4, x + size - 4], [y + size - 4, y + 4], color=_C["dim"], linewidth=0.8)
        return
    if _lost(names, holders):
        from matplotlib.patches import Rectangle

        style = {"facecolor": _C["free"], "edgecolor": _C["edge"], "linewidth": 0.7, "hatch": "\\\\\\"}
        axes.add_patch(Rectangle((x, y), size, size, **style))
        _letter(axes, x, y, size, None, "?")
        return
    amount = state.fill[block]
    level = 1.0 if amount < 0 or not block_size else min(1.0, amount / block_size)
    labels = [short_label(names[seq]) if seq else "" for seq in holders]
    label = "".join(labels[:2]) if len("".join(labels[:2])) <= 2 else labels[0]
    _held(axes, x, y, size, [_color(names, seq) for seq in holders[:2]], level, label)
    if len(holders) > 1:
        from matplotlib.patches import Circle

        clash = block in state.clash
        if clash:
            rounded(axes, x + 1, y + 1, size - 2, size - 2, edge=_C["bad"], linewidth=1.5)
        face, edge = (_C["bad"], _C["bad"]) if clash else (_C["panel"], _C["edge"])
        axes.add_patch(Circle((x + size - 1, y + 1), 6.5, facecolor=face, edgecolor=edge, linewidth=0.6, zorder=4))
        text(axes, x + size - 1, y + 1.5, str(len(holders)), 8.5, "panel" if clash else "ink", ha="center", zorder=5)


def _held(axes: Axes, x: float, y: float, size: float, colors: list[str], level: float, label: str) -> None:
    from matplotlib.patches import Rectangle

    box = rounded(axes, x, y, size, size, fill=tint(colors[0], 0.2), edge=colors[0], linewidth=0.7)
    top = y + size * (1 - level)
    width = size / len(colors)
    for i, color in enumerate(colors):
        fill = Rectangle((x + i * width, top), width, size * level, facecolor=color, edgecolor="none")
        axes.add_patch(fill)
        fill.set_clip_path(box)
    if len(colors) > 1:
        axes.plot([x + size / 2] * 2, [y, y + size], color=_C["panel"], linewidth=0.9, solid_capstyle="butt")
    _letter(axes, x, y, size, top, label)


def _letter(axes: Axes, x: float, y: float, size: float, top: float | None, label: str) -> None:
    """The letter of a block, whole and in one colour; where the fill ends behind it (or hatching runs), with a rim."""
    from matplotlib.patheffects import withStroke

    points = {0: 10, 1: 10, 2: 10 if size >= 22 else 8}.get(len(label), 8 if size >= 22 else 6)
    middle = y + size / 2 + 0.5
    covered = top is not None and top <= middle - points / 2
    bare = top is not None and top >= middle + points / 2
    rim = [] if covered or bare else [withStroke(linewidth=2.4, foreground=_C["panel"])]
    text(
        axes,
        x + size / 2,
        middle,
        label,
        points,
        "onfill" if covered else "ink",
        ha="center",
        weight="bold",
        path_effects=rim,
    )


def _logical_rows(
    axes: Axes,
    rows: list[tuple[int, list[int]]],
    state: PoolState,
    log: LogData,
    block_size: int,
    y0: float,
    left: float,
    places: dict[int, tuple[float, float]],
    physical_size: float,
    given: tuple[str, int] | None,
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for row, (seq, table) in enumerate(rows):
        y, name = y0 + row * 42, log.names[seq]
        color = theme.sequence_color(name)
        text(axes, MARGIN, y + 8, name if len(name) <= 8 else name[:7] + "…", 12.5, color, weight="bold")
        tokens = state.tokens(seq)
        count = "1 block" if len(table) == 1 else f"{len(table)} blocks"
        text(axes, MARGIN, y + 22, count if tokens is None else f"{tokens:,} tok", 9.5, "dim")
        room = max(1, int((left - 76) // 31))
        shown = table if len(table) <= room else table[: room - 1]
        for index, block in enumerate(shown):
            x = MARGIN + 72 + index * 31
            known = 0 <= block < len(state.fill)
            amount = state.fill[block] if known else -1
            level = 1.0 if amount < 0 or not block_size else min(1.0, amount / block_size)
            if block >= 0:
                _held(axes, x, y, 26, [color], level, short_label(name))
                mono(axes, x + 13, y + 34, str(block), 8.5, "dim", ha="center")
            if given == (name, block):
                rounded(axes, x - 1, y - 1, 28, 28, radius=3, edge=_C["ink"], linewidth=1.3)
                if block in places:
                    px, py = places[block]
                    ex = px + physical_size / 2
                    # Above each row a few pixels are free of numbers, and so is the gap between the sides.
                    gap, lane = MARGIN + left + 4, 3
                    corners = [
                        (x + 13, y),
                        (x + 13, y - lane),
                        (gap, y - lane),
                        (gap, py - lane),
                        (ex, py - lane),
                        (ex, py),
                    ]
                    path = Path(corners)
                    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=color, linewidth=1.1))
        if len(shown) < len(table):
            text(axes, MARGIN + 72 + len(shown) * 31 + 2, y + 13, f"+{len(table) - len(shown)}", 10, "dim")


def _legend(axes: Axes, y: float, seen: set[str], sized: bool, blocks: bool) -> None:
    """Only what the log shows at some step."""
    from matplotlib.patches import Rectangle

    x = float(MARGIN)
    first, second = theme.SEQUENCE_LIGHT[:2]
    means = [
        words
        for words, told in (("letter = sequence", "named" in seen), ("height = fill", sized and "fill" in seen))
        if told
    ]
    entries = [
        ("held", "held" + (f" ({', '.join(means)})" if means else ""), [first]),
        ("shared", "shared (badge = references)", [first, second]),
        ("clash", "two owners: given out twice", [first, second]),
        ("lost", "lost: nobody holds it", [_C["free"]]),
        ("cached", "cached, reference 0 (slash)", [_C["cached"]]),
        ("free", "free", [_C["free"]]),
    ]
    for kind, words, colors in entries:
        if not (blocks if kind == "free" else kind in seen):
            continue
        for i, color in enumerate(colors):
            width = 12 / len(colors)
            rects(axes, [(x + i * width, y - 6, width - (0.8 if len(colors) > 1 else 0), 12, color)])
        if kind == "cached":
            axes.plot([x + 1, x + 11], [y + 5, y - 5], color=_C["dim"], linewidth=0.8)
        if kind in ("clash", "lost"):
            edge = _C["bad" if kind == "clash" else "edge"]
            hatch = "" if kind == "clash" else "\\\\\\\\"
            width = 1.4 if kind == "clash" else 0.6
            axes.add_patch(
                Rectangle((x + 0.5, y - 5.5), 11, 11, facecolor="none", edgecolor=edge, linewidth=width, hatch=hatch)
            )
        text(axes, x + 17, y, words, 10.5, "bad" if kind == "clash" else "dim")
        x += 30 + 6.15 * len(words)


# The memory map.

_HATCH = {"used": "", "reservation": "////", "internal": "....", "external": "xxxx", "free": ""}
_WORDS = {
    "used": "used",
    "reservation": "reservation: used later",
    "internal": "internal: never used",
    "external": "external: no hole fits",
    "free": "free",
}


def memory_map(
    logs: list[LogData], layouts: list[dict[str, Any]], states: list[MemoryState], step: int, title: str, subtitle: str
) -> Figure:
    """One strip of memory a layout, with the share of each kind of slot below it."""
    top = 62 if subtitle else 44
    width = WIDTH - 2 * MARGIN
    lines = [max(1, min(8, -(-int(shown["num_slots"] * 1.5) // width))) for shown in layouts]
    line_height = [28 if n == 1 else 20 for n in lines]
    heights = [20 + n * (h + 4) + 24 for n, h in zip(lines, line_height, strict=True)]
    figure, axes = canvas(top + sum(heights) + 12 * len(layouts) + (62 if layouts else 78))
    text(axes, MARGIN, 20, title, 14, weight="bold")
    if subtitle:
        text(axes, MARGIN, 40, subtitle, 12, "dim")
    if not layouts:
        text(axes, MARGIN, top - 2, "There is no memory to show yet.", 12, "dim")
        top += 16
    y = float(top)
    for log, shown, state, count, height, block in zip(logs, layouts, states, lines, line_height, heights, strict=True):
        counts = state.counts()
        slots = max(1, shown["num_slots"])
        text(axes, MARGIN, y, shown["name"] or "memory", 12.5, weight="bold")
        useful = f"{100 * counts['used'] / slots:.0f}% of memory is used" if state.pieces else "nobody is in memory"
        text(axes, WIDTH - MARGIN, y, useful, 11.5, ha="right")
        _strip(axes, state, shown, log, y + 12, width, count, height)
        words = "   ".join(f"{kind} {counts[kind]:,} ({100 * counts[kind] / slots:.0f}%)" for kind in KINDS)
        mono(axes, MARGIN, y + 12 + count * (height + 4) + 10, words, 10.5, "dim")
        y += block + 12
    labels = [log.label(step) for log in logs if log.label(step)]
    sentence = wrap(f"{step}  {labels[0].replace('->', '→')}" if labels and step else f"step {step}", 110)[0]
    rounded(axes, MARGIN, y - 2, width, 22, radius=6, fill=_C["sunk"])
    mono(axes, MARGIN + 8, y + 9, sentence, 11)
    x = float(MARGIN)
    for kind in KINDS:
        _slot(axes, x, y + 30, 18, 12, kind, _C["dim"] if kind == "external" else _C["held"], edge=True)
        text(axes, x + 24, y + 36, _WORDS[kind], 10.5, "dim")
        x += 42 + 6.2 * len(_WORDS[kind])
    return figure


def _slot(axes: Axes, x: float, y: float, w: float, h: float, kind: str, color: str, edge: bool = False) -> None:
    from matplotlib.patches import Rectangle

    face = {"used": color, "free": _C["free"], "external": _C["free"]}.get(kind, tint(color, 0.14))
    # In matplotlib the hatch takes the edge's colour.
    line = "none" if kind in ("used", "free") and not edge else color if kind != "free" else _C["line"]
    box = Rectangle((x, y), w, h, facecolor=face, edgecolor=line, linewidth=0.5 if edge else 0.0, hatch=_HATCH[kind])
    axes.add_patch(box)


def _strip(
    axes: Axes,
    state: MemoryState,
    shown: dict[str, Any],
    log: LogData,
    y: float,
    width: float,
    lines: int,
    height: float,
) -> None:
    per_line = -(-max(1, shown["num_slots"]) // lines)
    scale = width / per_line
    boxes: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}

    def span(start: int, stop: int, kind: str, color: str) -> None:
        while start < stop:
            line, offset = divmod(start, per_line)
            end = min(stop, (line + 1) * per_line)
            box = (MARGIN + offset * scale, y + line * (height + 4), (end - start) * scale, height)
            boxes.setdefault((kind, color), []).append(box)
            start = end

    labels: list[tuple[float, float, str]] = []
    wanted = 0 if state.paged else state.wanted
    for start, length in state.holes():
        span(start, start + length, "free" if length >= wanted else "external", _C["dim"])
    for piece in state.pieces:
        name = log.names[piece.seq] if piece.seq < len(log.names) else ""
        color = theme.sequence_color(name) if piece.seq else _C["held"]
        final = max(piece.used, piece.final)
        span(piece.start, piece.start + piece.used, "used", color)
        span(piece.start + piece.used, piece.start + final, "reservation", color)
        span(piece.start + final, piece.start + piece.length, "internal", color)
        line, offset = divmod(piece.start, per_line)
        room = min(piece.used, per_line - offset) * scale
        label = short_label(name)
        if label and room > 8 * len(label) + 4:
            at = MARGIN + offset * scale + min(room / 2, 14)
            labels.append((at, y + line * (height + 4) + height / 2, label))
    for (kind, color), places in boxes.items():
        # One artist for each kind and colour: memory may hold thousands of pieces.
        face = {"used": color, "free": _C["free"], "external": _C["free"]}.get(kind, tint(color, 0.14))
        line_color = "none" if kind in ("used", "free") else color
        # A hatch takes the edge's colour, even where the edge has no width.
        rects(axes, ((*place, face) for place in places), edge=line_color, linewidths=0.0, hatch=_HATCH[kind])
    for x, at, label in labels:
        text(axes, x, at, label, 10.5, "onfill", ha="center", weight="bold")
