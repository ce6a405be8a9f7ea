"""Still pictures of the check report, the engine map, the opening card and the progress overview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.widgets.still import MARGIN, WIDTH, canvas, mono, rects, rounded, text, tint, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_C = theme.LIGHT
_TONE = {"ok": "ok", "bad": "bad", "sub": "dim"}


def check_report(
    verdict: dict[str, Any], tag: dict[str, str], heading: str, sentences: list[str], next_step: str
) -> Figure:
    """The tag, the broken rule, the operations with the broken one marked, and the cause."""
    example = verdict.get("counterexample")
    steps = example["steps"] if example else []
    shown = steps if len(steps) <= 14 else [*steps[:2], None, *steps[-10:]]
    said = [line for words in sentences for line in wrap(words.replace("`", ""), 118)][:10]
    rule = next((r for r in verdict["rules"] if r["name"] == verdict.get("rule")), None)
    statement = wrap(rule["statement"].replace("`", ""), 124)[:2] if rule and rule["statement"] else []
    others = [r for r in verdict["rules"] if r["name"] != verdict.get("rule") and r["state"] == "held"]
    foot = [f"Next  {next_step}"] if next_step else []
    if others and verdict["verdict"] != "pass":
        foot.append("1 rule holds" if len(others) == 1 else f"{len(others)} rules hold")
    height = 44 + 17 * len(statement) + (20 * len(shown) + 12 if shown else 0) + 18 * len(said) + 20 * len(foot) + 10
    figure, axes = canvas(height)
    words = f"{tag['mark']} {tag['words']}"
    width = 20 + 6.6 * len(words)
    color = _C[_TONE[tag["tone"]]]
    rounded(axes, MARGIN, 12, width, 20, radius=10, edge=color, linewidth=0.9)
    text(axes, MARGIN + width / 2, 22.5, words, 11, color, ha="center", weight="bold")
    title = verdict.get("rule") or heading
    text(axes, MARGIN + width + 10, 22, title, 13, weight="bold")
    if example and example["setup"]:
        text(axes, WIDTH - MARGIN, 22, example["setup"], 11.5, "dim", ha="right")
    y = 42.0
    for line in statement:
        text(axes, MARGIN, y + 3, line, 11.5, "dim")
        y += 17
    y += 4 if shown else 0
    for step in shown:
        _operation(axes, y, step)
        y += 20
    y += 10 if shown else 4
    for line in said:
        text(axes, MARGIN, y + 6, line, 12)
        y += 18
    for line in foot:
        text(axes, MARGIN, y + 8, line, 11.5, "accent" if line.startswith("Next") else "dim")
        y += 20
    return figure


def _operation(axes: Axes, y: float, step: dict[str, Any] | None) -> None:
    broken = bool(step and step["broken"])
    rects(axes, [(MARGIN, y, 2, 20, _C["bad"] if broken else _C["line"])])
    if step is None:
        mono(axes, MARGIN + 34, y + 10, "...", 11, "dim")
        return
    if broken:
        rects(axes, [(MARGIN + 2, y, WIDTH - 2 * MARGIN - 2, 20, tint(_C["bad"], 0.11))])
    mono(axes, MARGIN + 10, y + 10, str(step["n"]), 11, "dim")
    both = len(step["label"]) + len(step["seen"] or "") + len(step.get("expected") or "")
    mono(axes, MARGIN + 34, y + 10, _cut(step["label"], 62 if both < 84 else 28), 11)
    right = WIDTH - MARGIN - 8
    if broken:
        yours = f"yours {_cut(step['seen'] or 'nothing', 40)}"
        mono(axes, right, y + 10, yours, 11, "bad", ha="right", weight="bold")
        if step.get("expected") is not None:
            mono(axes, right - 7.0 * (len(yours) + 2), y + 10, f"expected {_cut(step['expected'], 30)}", 11, ha="right")
    else:
        words = "  ".join(
            part for part in (f"→ {step['seen']}" if step["seen"] else "", step.get("note") or "") if part
        )
        mono(axes, right, y + 10, _cut(words, 54), 11, "dim", ha="right")


def _cut(words: str, length: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= length else words[: length - 1] + "…"


# The engine map.


def engine_map(data: dict[str, Any]) -> Figure:
    """The boxes, whose they are, and the one that is highlighted."""
    rows = 1 + max((box["row"] for box in data["boxes"]), default=0)
    figure, axes = canvas(62 + rows * 72 + 22)
    text(axes, MARGIN, 20, "Your engine", 14, weight="bold")
    text(axes, MARGIN, 40, data["headline"], 12, "dim")
    draw_boxes(axes, data, MARGIN + 8, 66, 150, 46, 34, 26)
    lit = next((box for box in data["boxes"] if box["name"] == data["highlight"]), None)
    if lit:
        text(axes, 590, 76, lit["title"], 13, weight="bold")
        for i, line in enumerate(wrap(lit["about"], 44)[:4]):
            text(axes, 590, 98 + 18 * i, line, 12)
    _map_legend(axes, 62 + rows * 72 + 4)
    return figure


def draw_boxes(
    axes: Axes, data: dict[str, Any], x0: float, y0: float, w: float, h: float, gap_x: float, gap_y: float
) -> None:
    """The boxes of the engine map from (x0, y0), each `w` by `h` pixels."""
    places = {box["name"]: (x0 + box["column"] * (w + gap_x), y0 + box["row"] * (h + gap_y)) for box in data["boxes"]}
    for one, other in data["links"]:
        if one in places and other in places:
            (x, y), (u, v) = places[one], places[other]
            axes.plot([x + w / 2, u + w / 2], [y + h / 2, v + h / 2], color=_C["line"], linewidth=1.4, zorder=0.5)
    for box in data["boxes"]:
        x, y = places[box["name"]]
        state = box["state"]
        face = tint(_C["ok"], 0.13) if state == "yours" else _C["panel"]
        edge = {"yours": _C["ok"], "reference": _C["accent"], "later": _C["edge"]}[state]
        style = "--" if state == "later" else "-"
        if box["name"] == data["highlight"]:
            rounded(axes, x - 5, y - 5, w + 10, h + 10, radius=9, fill=_C["panel"], edge=_C["ink"], linewidth=1.3)
        rounded(
            axes,
            x,
            y,
            w,
            h,
            radius=6,
            fill=face,
            edge=edge,
            linewidth=0.8 if state == "later" else 1.1,
            linestyle=style,
        )
        mark = "✓ " if state == "yours" else ""
        text(
            axes,
            x + w / 2,
            y + h * 0.38,
            mark + box["title"],
            12 * min(1, w / 130),
            "dim" if state == "later" else "ink",
            ha="center",
        )
        text(axes, x + w / 2, y + h * 0.75, f"lesson {box['lesson']}", 9.5 * min(1, w / 120), "dim", ha="center")


def _map_legend(axes: Axes, y: float) -> None:
    x = float(MARGIN)
    for words, edge, style, face in (
        ("yours", _C["ok"], "-", tint(_C["ok"], 0.13)),
        ("the reference stands in", _C["accent"], "-", _C["panel"]),
        ("comes later", _C["edge"], "--", _C["panel"]),
    ):
        rounded(axes, x, y - 6, 18, 12, radius=2, fill=face, edge=edge, linestyle=style)
        text(axes, x + 24, y, words, 10.5, "dim")
        x += 46 + 6.3 * len(words)


# The opening card.


def opening_card(lesson: dict[str, Any], map: dict[str, Any]) -> Figure:
    """Title, symptom, what is built, how long, and the box that lights up."""
    with_map = bool(map["boxes"])
    columns = 66 if with_map else 108
    symptom = wrap(lesson["symptom"], columns)[:5] if lesson["symptom"] else []
    builds = wrap(f"You build  {lesson['builds']}", columns + 6)[:4] if lesson["builds"] else []
    exercises = "   ".join(f"{'✓' if e['passed'] else '○'} {e['id']} {e['minutes']} min" for e in lesson["exercises"])
    listed = wrap(exercises, columns + 2)[:4] if exercises else []
    facts = [
        f"{lesson['minutes']} minutes" if lesson["minutes"] else "",
        f"{len(lesson['exercises'])} exercises" if lesson["exercises"] else "",
        f"{lesson['questions']} questions" if lesson["questions"] else "",
    ]
    height = 76 + 21 * len(symptom) + 10 + 19 * len(builds) + 26 + 18 * len(listed) + 10
    figure, axes = canvas(max(height, 252 if with_map else 120))
    text(axes, MARGIN, 22, " · ".join(x for x in (f"Lesson {lesson['number']}", lesson["part"]) if x), 11.5, "dim")
    text(axes, MARGIN, 46, lesson["title"], 21, weight="bold")
    y = 82.0
    for line in symptom:
        text(axes, MARGIN, y, line, 13.5)
        y += 21
    y += 8 if symptom else 0
    for line in builds:
        text(axes, MARGIN, y, line, 12.5)
        y += 19
    y += 6
    text(axes, MARGIN, y, " · ".join(fact for fact in facts if fact), 12, weight="bold")
    for i, line in enumerate(listed):
        mono(axes, MARGIN, y + 22 + 18 * i, line, 10.5, "dim")
    if with_map:
        draw_boxes(axes, map, 566, 42, 96, 40, 14, 18)
        text(axes, 724, 42 + 3 * 58 + 2, map.get("note", ""), 11, "dim", ha="center")
    return figure


# The progress overview.


def progress_overview(data: dict[str, Any]) -> Figure:
    """A row a lesson: a mark for each exercise, questions right, hints opened."""
    rows = data["rows"]
    if not rows:
        figure, axes = canvas(58)
        text(axes, MARGIN, 20, data["title"], 14, weight="bold")
        text(axes, MARGIN, 40, "There are no lessons to show.", 12, "dim")
        return figure
    figure, axes = canvas(78 + 28 * len(rows) + (22 if data["next"] else 0) + (20 if data["note"] else 0) + 8)
    text(axes, MARGIN, 20, data["title"], 14, weight="bold")
    text(axes, MARGIN, 40, data["headline"], 12, "dim")
    for x, words, side in (
        (MARGIN, "Lesson", "left"),
        (360, "Exercises", "left"),
        (760, "Questions", "right"),
        (860, "Hints", "right"),
    ):
        text(axes, x, 62, words, 10.5, "dim", ha=side)
    y = 74.0
    for row in rows:
        axes.plot([MARGIN, WIDTH - MARGIN], [y, y], color=_C["line"], linewidth=0.7)
        mono(axes, MARGIN, y + 14, row["number"], 11, "dim")
        text(axes, MARGIN + 28, y + 14, _cut(row["title"], 44), 12, weight="bold" if row.get("current") else "normal")
        for i, e in enumerate(row["exercises"][:15]):
            color = _C["ok"] if e["passed"] else _C["edge"]
            face = tint(_C["ok"], 0.13) if e["passed"] else _C["panel"]
            rounded(
                axes,
                360 + i * 23,
                y + 6,
                17,
                17,
                radius=4,
                fill=face,
                edge=color,
                linestyle="--" if e.get("stretch") else "-",
            )
            mark = "✓" if e["passed"] else "–" if e["attempts"] else ""
            text(axes, 368.5 + i * 23, y + 14.5, mark, 11, color, ha="center")
        asked = row["questions"]
        total = asked["total"] or asked["answered"]
        mono(axes, 760, y + 14, f"{asked['correct']} / {total}" if total else "–", 11, ha="right")
        mono(axes, 860, y + 14, str(row["hints"]) if row["hints"] else "–", 11, ha="right")
        y += 28
    if data["next"]:
        text(axes, MARGIN, y + 14, f"Next  {data['next']}", 12, "accent")
        y += 22
    if data["note"]:
        text(axes, MARGIN, y + 14, data["note"], 11.5, "dim")
    return figure
