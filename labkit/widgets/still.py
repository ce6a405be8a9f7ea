"""Still pictures of the widgets, drawn with matplotlib from the same tokens, for pages where no kernel runs.

All of them are drawn in pixels on one pair of axes 900 wide with y down, so that they can follow the page's layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.widgets.base import blank_figure, pixel_axes
from labkit.widgets.replay import LogData, PoolState, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 900
"""Pixels across, at the style's 120 dots an inch."""

MARGIN = 14
_C = theme.LIGHT


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure `WIDTH` by `height` pixels with a card's frame, and its pixel axes."""
    figure = blank_figure(height=height / 120, width=WIDTH / 120)
    axes = pixel_axes(figure, WIDTH, height)
    rounded(axes, 1, 1, WIDTH - 2, height - 2, radius=10, fill=_C["panel"], edge=_C["line"])
    return figure, axes


def text(axes: Axes, x: float, y: float, words: str, size: float = 12, color: str = "ink", **kwargs: Any) -> Any:
    """Text at (x, y): size in pixels, colour a token name or `#rrggbb`. A dollar sign is a dollar sign."""
    kwargs.setdefault("va", "center")
    return axes.text(
        x, y, words, fontsize=size * 0.6, color=_C.get(color, color), parse_math=False, **kwargs
    )  # 0.6 points a pixel at 120 dots an inch


def mono(axes: Axes, x: float, y: float, words: str, size: float = 11.5, color: str = "ink", **kwargs: Any) -> Any:
    """Like `text`, in the monospaced face."""
    return text(axes, x, y, words, size, color, family="monospace", **kwargs)


def rounded(
    axes: Axes,
    x: float,
    y: float,
    w: float,
    h: float,
    radius: float = 3,
    fill: str = "none",
    edge: str = "none",
    **kw: Any,
) -> Any:
    """A box with round corners."""
    from matplotlib.patches import FancyBboxPatch

    radius = min(radius, w / 2, h / 2)
    box = FancyBboxPatch(
        (x + radius, y + radius),
        w - 2 * radius,
        h - 2 * radius,
        boxstyle=f"round,pad={radius},rounding_size={radius}",
        facecolor=fill,
        edgecolor=edge,
        linewidth=kw.pop("linewidth", 0.7),
        **kw,
    )
    axes.add_patch(box)
    return box


def rects(axes: Axes, boxes: Iterable[tuple[float, float, float, float, str]], **kwargs: Any) -> None:
    """Many plain boxes (x, y, w, h, colour) as one collection: 10,000 of them are one artist."""
    from matplotlib.collections import PolyCollection

    corners, colors = [], []
    for x, y, w, h, color in boxes:
        corners.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
        colors.append(color)
    if corners:
        axes.add_collection(PolyCollection(corners, facecolors=colors, edgecolors="none", **kwargs), autolim=False)


def wrap(words: str, columns: int) -> list[str]:
    """Lines of at most `columns` characters; a line break in `words` stays one."""
    import textwrap

    lines: list[str] = []
    for line in words.splitlines() or [""]:
        lines += textwrap.wrap(line, columns, break_long_words=True) or [""]
    return lines


# The page table.


def page_table(
    log: LogData,
    state: PoolState,
    step: int,
    block_size: int,
    title: str,
    subtitle: str,
    focus: tuple[list[int], tuple[str, int] | None],
) -> Figure:
    """Sequences and their logical blocks on the left, the pool on the right, the sentence below."""
    num_blocks = len(state.holders)
    rows = [(seq, table) for seq, table in sorted(state.tables.items()) if table]
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
    height = top + 22 + body + 12 + 16 * len(words) + 14 + 26
    figure, axes = canvas(height)
    text(axes, MARGIN, 20, title, 14, weight="bold")
    if subtitle:
        text(axes, MARGIN, 40, subtitle, 12, "dim")
    if has_rows:
        text(axes, MARGIN, top, "sequences → logical blocks", 11, "dim")
    text(axes, x0, top, f"physical blocks (pool of {num_blocks:,})", 11, "dim")
    y0 = top + 20
    places = {b: (x0 + (b % cols) * pitch, y0 + (b // cols) * line) for b in range(num_blocks)}
    if size >= 14:
        for block, (x, y) in places.items():
            _block(axes, x, y, size, state, log.names, block, block_size)
            if labelled:
                mono(axes, x + size / 2, y + size + 8, str(block), 8.5, "dim", ha="center")
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
        mono(axes, MARGIN + 8, y + 12 + 16 * i, words_line, 11)
    free, held, cached = state.counts()
    mono(axes, WIDTH - MARGIN - 8, y + 12, f"free {free:,} · held {held:,} · cached {cached:,}", 11, "dim", ha="right")
    _legend(axes, y + 16 * len(words) + 22)
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
    for size, pitch, line, labelled in choices:
        cols = max(1, int(width // pitch))
        if num_blocks > cols:
            cols = cols - cols % 16 if cols >= 16 else cols
        else:
            cols = max(1, num_blocks)
        if -(-num_blocks // cols) * line <= (230 if labelled else 380):
            break
    return size, pitch, line, cols, labelled


def _color(names: list[str], seq: int) -> str:
    return theme.sequence_color(names[seq]) if seq and seq < len(names) else _C["held"]


def _flat(state: PoolState, names: list[str], block: int) -> str:
    holders = state.holders[block]
    if holders:
        return _color(names, holders[0])
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
    amount = state.fill[block]
    level = 1.0 if amount < 0 or not block_size else min(1.0, amount / block_size)
    labels = [short_label(names[seq]) if seq else "" for seq in holders]
    label = "".join(labels[:2]) if len("".join(labels[:2])) <= 2 else labels[0]
    _held(axes, x, y, size, [_color(names, seq) for seq in holders[:2]], level, label)
    if len(holders) > 1:
        from matplotlib.patches import Circle

        axes.add_patch(Circle((x + size - 1, y + 1), 6.5, facecolor=_C["panel"], edgecolor=_C["edge"], linewidth=0.6))
        text(axes, x + size - 1, y + 1.5, str(len(holders)), 8.5, ha="center")


def _held(axes: Axes, x: float, y: float, size: float, colors: list[str], level: float, label: str) -> None:
    from matplotlib.patches import Rectangle

    box = rounded(axes, x, y, size, size, fill=_tint(colors[0], 0.2), edge=colors[0], linewidth=0.7)
    top = y + size * (1 - level)
    width = size / len(colors)
    for i, color in enumerate(colors):
        fill = Rectangle((x + i * width, top), width, size * level, facecolor=color, edgecolor="none")
        axes.add_patch(fill)
        fill.set_clip_path(box)
    if len(colors) > 1:
        axes.plot([x + size / 2] * 2, [y, y + size], color=_C["panel"], linewidth=0.9, solid_capstyle="butt")
    # The letter changes colour where the fill ends inside it.
    for color, low, high in (("ink", y, top), ("onfill", top, y + size)):
        if high - low > 0.5:
            letter = text(
                axes,
                x + size / 2,
                y + size / 2 + 0.5,
                label,
                10 if len(label) < 3 else 8,
                color,
                ha="center",
                weight="bold",
                clip_on=True,
            )
            clip = Rectangle((x, low), size, high - low, transform=axes.transData)
            letter.set_clip_path(clip)


def _tint(color: str, share: float) -> str:
    mixed = [round(int(color[i : i + 2], 16) * share + 255 * (1 - share)) for i in (1, 3, 5)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


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
        text(axes, MARGIN, y + 8, name if len(name) <= 10 else name[:9] + "…", 12.5, color, weight="bold")
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
                    path = Path(
                        [(x + 13, y), (x + 13, y - 30), (ex, py - 30), (ex, py)],
                        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
                    )
                    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=color, linewidth=1.1))
        if len(shown) < len(table):
            text(axes, MARGIN + 72 + len(shown) * 31 + 2, y + 13, f"+{len(table) - len(shown)}", 10, "dim")


def _legend(axes: Axes, y: float) -> None:
    x = float(MARGIN)
    first, second = theme.SEQUENCE_LIGHT[:2]
    entries = [
        ("held (letter = sequence, height = fill)", [first]),
        ("shared (badge = references)", [first, second]),
        ("cached, reference 0 (slash)", [_C["cached"]]),
        ("free", [_C["free"]]),
    ]
    for words, colors in entries:
        for i, color in enumerate(colors):
            width = 12 / len(colors)
            rects(axes, [(x + i * width, y - 6, width - (0.8 if len(colors) > 1 else 0), 12, color)])
        if words.startswith("cached"):
            axes.plot([x + 1, x + 11], [y + 5, y - 5], color=_C["dim"], linewidth=0.8)
        text(axes, x + 17, y, words, 10.5, "dim")
        x += 30 + 6.15 * len(words)
