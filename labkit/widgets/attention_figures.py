"""The still figures of lesson 01: which query sees which key, the weights, shared heads, and the two phases.

Each function draws with matplotlib in the look of the course and shows the figure. Blue and full against hatched: the
two kinds of cell differ without colour too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labkit import theme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

_C = theme.LIGHT
FULL = theme.sequence_color("A")
OTHER = theme.sequence_color("B")


@contextmanager
def _figure(width: float, height: float, panels: int = 1) -> Iterator[Any]:
    """Axes (a list of them for several panels) without frame, ticks or grid; shown when the block ends."""
    import matplotlib.pyplot as plt

    with plt.rc_context(theme.rc_params()):
        figure, axes = plt.subplots(1, panels, figsize=(width, height), sharey=True)
        for one in [axes] if panels == 1 else axes:
            one.grid(False)
            one.tick_params(length=0)
            for side in one.spines.values():
                side.set_visible(False)
        yield axes
        plt.show()
        plt.close(figure)


def _cell(axes: Axes, row: int, column: int, face: str, edge: str = "none", hatched: bool = False) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (column + 0.04, row + 0.04),
            0.92,
            0.92,
            facecolor=face,
            edgecolor=edge,
            linewidth=0.8,
            hatch="///" if hatched else None,
        )
    )


def _names(axes: Axes, rows: Sequence[str], columns: Sequence[str], room: float = 0.0) -> None:
    """Name rows on the left and columns on top; `room` is left free on the right, in cells."""
    axes.set(xlim=(0, len(columns) + room), ylim=(len(rows), 0), aspect="equal")
    axes.set_xticks([j + 0.5 for j in range(len(columns))], labels=columns)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], labels=rows)
    axes.xaxis.tick_top()


def seen_table(n: int) -> None:
    """The causal mask of n tokens: query i sees keys 0 to i."""
    with _figure(4.6, 3.8) as axes:
        for i in range(n):
            for j in range(n):
                seen = j <= i
                _cell(axes, i, j, FULL if seen else _C["free"], "none" if seen else _C["faint"], hatched=not seen)
                axes.text(
                    j + 0.5,
                    i + 0.52,
                    "seen" if seen else "\u2212\u221e",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=_C["onfill"] if seen else _C["ink"],
                    bbox=None if seen else {"facecolor": _C["free"], "edgecolor": "none", "pad": 1.5},
                )
        _names(axes, [f"q{i}" for i in range(n)], [f"k{j}" for j in range(n)])
        axes.set_title("Which query sees which key", pad=22)


MOST_SHADE = 0.75
"""How far a weight of 1 is on the way to `FULL`: dark ink is still 4.5:1 on it, and no shade needs white letters."""


def weight_shade(weight: float) -> str:
    """Colour of a cell that holds a weight from 0 to 1, as #rrggbb."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    return to_hex(LinearSegmentedColormap.from_list("weight", [_C["free"], FULL])(MOST_SHADE * weight))


def weight_table(weights: Any, tokens: Sequence[str] = ()) -> None:
    """Causal weights: row i holds what query i gives to keys 0 to i.

    Args:
        weights: [n, n], a tensor or an array.
        tokens: the text of each token, written beside its row and above its column; else q0, k0 and so on.
    """
    n = len(weights)
    small = n > 8
    with _figure(*((8.0, 6.4) if small else (4.8, 3.8))) as axes:
        for i in range(n):
            for j in range(n):
                if j > i:
                    _cell(axes, i, j, _C["panel"], _C["line"], hatched=True)
                    continue
                weight = float(weights[i][j])
                _cell(axes, i, j, weight_shade(weight))
                words = f"{weight:.2f}".removeprefix("0") if small else f"{weight:.2f}"
                axes.text(
                    j + 0.5, i + 0.52, words, ha="center", va="center", fontsize=8 if small else 9, color=_C["ink"]
                )
        if tokens:
            plain = [token.strip().replace("$", r"\$") or "\u2423" for token in tokens]
            _names(axes, plain, plain)
            axes.tick_params(axis="x", labelrotation=45)
            for label in axes.get_xticklabels():
                label.set(ha="left", rotation_mode="anchor")
        else:
            _names(axes, [f"q{i}" for i in range(n)], [f"k{j}" for j in range(n)])
        axes.set_title("Weights: each row sums to 1", pad=22)


def shared_heads(query_heads: int = 8, grouped: int = 2) -> None:
    """MHA, GQA and MQA side by side: which query head reads which KV head."""
    kinds = (("MHA", query_heads), ("GQA", grouped), ("MQA", 1))
    with _figure(7.5, 2.2, panels=3) as panels:
        for axes, (name, kv_heads) in zip(panels, kinds, strict=True):
            group = query_heads // kv_heads
            for h in range(query_heads):
                kv = h // group
                below = (kv + 0.5) * group - 0.5
                color = theme.sequence_color("ABCDEFGH"[kv % 8])
                axes.plot([h, below], [0.86, 0.24], color=color, linewidth=1.2, zorder=1)
                _head(axes, h, 1, "o", color, str(h))
                if h % group == 0:
                    _head(axes, below, 0.1, "s", color, str(kv))
            axes.set(xlim=(-0.7, query_heads - 0.3), ylim=(-0.2, 1.3), xticks=[])
            axes.set_yticks([1, 0.1], labels=["query heads", "KV heads"])
            axes.set_title(f"{name}: {kv_heads} KV head{'' if kv_heads == 1 else 's'}")


def _head(axes: Axes, x: float, y: float, marker: str, color: str, name: str) -> None:
    axes.plot(x, y, marker=marker, markersize=14, color=color, zorder=2)
    axes.text(x, y, name, ha="center", va="center_baseline", fontsize=8, color=_C["onfill"], zorder=3)


def two_phases(prompt: int, answer: int) -> None:
    """Every score of a request as a cell: the prompt's rows at once, then a row per step.

    Args:
        prompt: tokens of the prompt.
        answer: tokens written; the prefill yields the first and each decode step one more, so the last of them is
            never fed.
    """
    steps = answer - 1
    total = prompt + steps
    with _figure(7.5, 4.0) as axes:
        for i in range(total):
            for j in range(i + 1):
                first = i < prompt
                _cell(axes, i, j, FULL if first else _C["panel"], FULL if first else OTHER, hatched=not first)
        _names(axes, [str(i) for i in range(total)], [str(j) for j in range(total)], room=6.5)
        scores = prompt * (prompt + 1) // 2
        axes.text(
            total + 0.4,
            prompt / 2,
            f"step 1, prefill: {prompt} rows at once,\n{scores} scores; answer token 1",
            va="center",
            color=FULL,
        )
        for step in range(steps):
            words = f"step {step + 2}, decode: {prompt + step + 1} scores; answer token {step + 2}"
            axes.text(total + 0.4, prompt + step + 0.5, words, va="center", color=OTHER)
        axes.set_ylabel("query of token")
        axes.set_title("key of token", fontsize=10, fontweight="normal", color=_C["dim"], pad=20)


def step_parts(prompt: int) -> dict[str, float]:
    """Milliseconds of a step of Llama-3.1-8B on an H100, by the cost model that the simulations of this course use.

    Returns:
        "fixed": what a step takes before it holds a single row (each step reads all weights once); "prefill" and
        "decode": what a prompt of `prompt` tokens, and one row that follows as many, add to it.
    """
    from labkit.cache.geometry import model
    from labkit.simulate.cost_model import CARDS, cost_model

    cost = cost_model(CARDS["H100"], model("Llama-3.1-8B"))
    fixed = cost.seconds(0, 0, 0)
    prefill = cost.seconds(prompt, prompt, prompt * (prompt + 1) // 2) - fixed
    decode = cost.seconds(1, prompt + 1, prompt + 1) - fixed
    return {"fixed": 1e3 * fixed, "prefill": 1e3 * prefill, "decode": 1e3 * decode}


def shared_steps(prompt: int, before: int = 4, after: int = 5) -> None:
    """Two requests of one server in time: an answer being written, and a prompt that arrives.

    Each step is a fixed part and what its rows add, to scale (`step_parts`), except that a decode row, which adds too
    little to be seen, is drawn as a line.

    Args:
        prompt: tokens of the prompt that arrives; the other answer follows as many.
        before, after: steps of the other answer before and after it.
    """
    from matplotlib.patches import Patch, Rectangle

    ms = step_parts(prompt)
    with _figure(7.5, 2.9) as axes:
        time = 0.0
        for step in range(before + 1 + after):
            rows = 2 * ms["decode"] if step > before else ms["decode"]
            rows += ms["prefill"] if step == before else 0.0
            length = ms["fixed"] + rows
            axes.add_patch(
                Rectangle((time + 0.5, 0.1), ms["fixed"] - 0.5, 1.7, facecolor=_C["cached"], edgecolor=_C["edge"],
                          linewidth=0.8)
            )  # fmt: skip
            if step == before:
                axes.add_patch(Rectangle((time + ms["fixed"], 1.0), ms["prefill"], 0.8, facecolor=FULL, linewidth=0))
                axes.text(time + ms["fixed"] + ms["prefill"] / 2, 1.4, f"your prompt: {prompt:,} rows", ha="center",
                          va="center", fontsize=9, color=_C["onfill"])  # fmt: skip
                axes.text(time + ms["fixed"] + ms["prefill"] / 2, 0.55, "no word until the step ends", ha="center",
                          va="center", fontsize=9, color=_C["ink"])  # fmt: skip
            at = time + ms["fixed"]
            axes.plot([at, at], [0.1, 1.0 if step >= before else 1.8], color=OTHER, linewidth=3, solid_capstyle="butt")
            if step > before:
                axes.plot([at, at], [1.0, 1.8], color=FULL, linewidth=3, solid_capstyle="butt")
            time += length
            for y, color, writes in ((-0.1, OTHER, True), (-0.42, FULL, step >= before)):
                if writes:
                    axes.plot(time, y, marker="v", markersize=5, color=color, clip_on=False)
        axes.set(xlim=(0, time + 1), ylim=(2.0, -0.65))
        axes.set_xlabel("milliseconds: an 8B model on an H100, from data sheets")
        axes.set_yticks([])
        axes.set_title("Every step carries all requests; \u25be marks a word that comes out")
        legend = (
            Patch(facecolor=_C["cached"], edgecolor=_C["edge"], label="fixed part: all weights are read once"),
            Patch(color=FULL, label="rows of your request"),
            Patch(color=OTHER, label="a row of the other answer"),
        )
        axes.legend(handles=legend, loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=3, frameon=False, fontsize=9)
