"""The still picture of a quiz: every question with its options, one below the other, without the key."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.grading.quiz_question import Instance, plain
from labkit.widgets.base import blank_figure, pixel_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Sizes in the picture's own pixels, 900 wide: 15 px of text is 9 points at 120 dots an inch.
WIDTH, PAD, LINE = 900, 20, 21
TITLE_CHARS, TEXT_CHARS = 84, 100
HEIGHTS = {"gap": 14, "sub": 26, "field": 36, "dot": 27, "box": 27, "bar": 27, "pair": 27}
INK: dict[str, Any] = {"va": "center_baseline", "fontsize": 9}


def _rows(title: str, mode: str, instances: list[Instance]) -> list[tuple[str, Any]]:
    """What stands below what: (kind, text), or ("picture", picture) for a diagram."""
    rows: list[tuple[str, Any]] = []
    for n, instance in enumerate(instances, 1):
        kind = instance.question.type
        where = f"question {n} of {len(instances)}" if len(instances) > 1 else ""
        if mode == "prediction":
            where = "a prediction, asked before the cell that shows the answer"
        rows += [("title", line) for line in textwrap.wrap(plain(instance.text), TITLE_CHARS)]
        rows += [("sub", " · ".join(filter(None, (title, where))))]
        rows += [("code", line) for line in instance.code.splitlines()]
        if kind == "click":
            rows += [("picture", instance.picture)]
        else:
            mark = {"multiple": "box", "ordering": "bar"}.get(kind, "dot")
            for option in instance.options:
                first, *more = textwrap.wrap(option.plain, TEXT_CHARS) or [""]
                rows += [(mark, first), *(("more", line) for line in more)]
        rows += [("pair", f"{plain(p.left)}  →") for p in instance.pairs]
        if instance.sides:
            rows += [("sub", "to match with: " + " · ".join(plain(s) for s in instance.sides))]
        if kind in ("numeric", "short") or (kind == "predict" and not instance.options):
            rows += [("field", instance.unit)]
        rows += [("gap", "")]
    return rows[:-1]


def _scale(picture: dict[str, Any]) -> float:
    return min(1.25, (WIDTH - 2 * PAD) / picture["size"][0])


def _height(kind: str, content: Any) -> float:
    if kind == "picture":
        return content["size"][1] * _scale(content) + 8
    return HEIGHTS.get(kind, LINE)


def draw_questions(title: str, mode: str, instances: list[Instance]) -> Figure:
    """The questions as a figure of 900 pixels' width, as high as they need."""
    colors = theme.palette()
    rows = _rows(title, mode, instances)
    height = sum(_height(*row) for row in rows) + 2 * PAD
    figure = blank_figure(height=height / 120)
    axes = pixel_axes(figure, WIDTH, height)
    _box(axes, 2, 2, WIDTH - 4, height - 4, colors["panel"], colors["line"])
    y = float(PAD)
    for kind, content in rows:
        advance = _height(kind, content)
        if kind == "picture":
            _draw_picture(axes, content, y, colors)
        else:
            # A dollar would start mathematics in matplotlib.
            _draw_row(axes, kind, str(content).replace("$", r"\$"), y, advance, colors)
        y += advance
    return figure


def _draw_row(axes: Any, kind: str, text: str, y: float, advance: float, colors: dict[str, str]) -> None:
    from matplotlib.patches import Circle

    middle = y + advance / 2
    ink = {**INK, "color": colors["ink"]}
    dim = {**INK, "color": colors["dim"]}
    if kind == "title":
        axes.text(PAD, middle, text, **{**ink, "fontsize": 9.5, "fontweight": "bold"})
    elif kind == "sub":
        axes.text(PAD, middle, text, **{**dim, "fontsize": 8})
    elif kind == "code":
        axes.text(PAD + 12, middle, text, **{**ink, "fontsize": 8.5, "family": "DejaVu Sans Mono"})
    elif kind == "field":
        _box(axes, PAD, y + 3, 220, advance - 8, colors["sunk"], colors["line"])
        axes.text(PAD + 230, middle, text, **dim)
    elif kind != "gap":
        if kind == "dot":
            axes.add_patch(Circle((PAD + 12, middle), 6, fc="none", ec=colors["edge"], lw=1.2))
        elif kind == "box":
            _box(axes, PAD + 6, middle - 6, 12, 12, "none", colors["edge"], 1.2, 2)
        elif kind == "bar":
            axes.text(PAD + 12, middle, "↕", **{**dim, "ha": "center"})
        axes.text(PAD + (28 if kind != "pair" else 0), middle, text, **ink)


def _box(
    axes: Any, x: float, y: float, w: float, h: float, face: str, edge: str, lw: float = 0.8, radius: float = 6
) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={min(radius, w / 2, h / 2)}"
    axes.add_patch(FancyBboxPatch((x, y), w, h, shape, fc=face, ec=edge, lw=lw))


def _draw_picture(axes: Any, picture: dict[str, Any], top: float, colors: dict[str, str]) -> None:
    """The declarative picture of a click question, as `static/quiz.js` paints it."""
    scale = _scale(picture)
    for shape in (*picture["draw"], *picture["regions"]):
        if "write" in shape:
            x, y = PAD + shape["at"][0] * scale, top + shape["at"][1] * scale
            size = shape.get("size", 11) * scale * 0.6
            align = {"start": "left", "middle": "center", "end": "right"}[shape.get("anchor", "start")]
            axes.text(x, y, shape["write"], ha=align, va="baseline", fontsize=size, color=colors["dim"])
        elif "line" in shape:
            xs, ys = zip(*shape["line"], strict=True)
            color = theme.sequence_color(shape["seq"]) if "seq" in shape else colors["edge"]
            style = "--" if shape.get("dash") else "-"
            axes.plot([PAD + x * scale for x in xs], [top + y * scale for y in ys], color=color, lw=1, ls=style)
        else:
            _draw_block(axes, shape, scale, top, colors)


def _draw_block(axes: Any, shape: dict[str, Any], scale: float, top: float, colors: dict[str, str]) -> None:
    x, y, w, h = (value * scale for value in shape["box"])
    x, y = x + PAD, y + top
    look = shape.get("look", "plain")
    color = theme.sequence_color(shape["seq"]) if "seq" in shape else colors["held"]
    level = shape.get("fill", 1.0)
    if look in ("held", "shared"):
        _box(axes, x, y, w, h, colors["free"], color, 1.0, 3)
        if level:
            _box(axes, x + 1, y + 1 + (h - 2) * (1 - level), w - 2, (h - 2) * level, color, "none", 0, 2)
    elif look in ("cached", "free"):
        _box(axes, x, y, w, h, colors[look], "none", 0, 3)
        if look == "cached":
            axes.plot([x + 4, x + w - 4], [y + h - 4, y + 4], color=colors["edge"], lw=1)
    else:
        _box(axes, x, y, w, h, "none", colors["accent" if look == "accent" else "edge"], 1.0, 3)
    ink = colors["onfill"] if look in ("held", "shared") and level > 0.6 else colors["ink"]
    middle, note = y + h / 2, shape.get("note")
    mark = str(shape.get("mark", "")).replace("$", r"\$")
    common = {"ha": "center", "va": "center_baseline", "color": ink, "fontweight": "bold"}
    axes.text(x + w / 2, middle - (11 * scale if note is not None else 0), mark, fontsize=6.6 * scale, **common)
    if note is not None:
        axes.text(x + w / 2, middle + 10 * scale, str(note).replace("$", r"\$"), fontsize=9 * scale, **common)
    if look == "shared":
        badge = {"boxstyle": "circle,pad=0.2", "fc": colors["panel"], "ec": colors["edge"], "lw": 0.8}
        axes.text(x + w, y, "2", fontsize=6, ha="center", va="center", color=colors["ink"], bbox=badge)
