"""Figures of lesson 02: which query heads share a KV head, and which tokens are computed in which step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Calls = Sequence[tuple[Sequence[int], int]]
_KINDS = (("MHA", 8, "a KV head for each\nquery head"), ("GQA", 2, "a group shares\none KV head"),
          ("MQA", 1, "all share\none KV head"), ("MLA", 0, "one compressed vector,\nno heads kept"))  # fmt: skip


def shared_heads() -> Figure:
    """Eight query heads and what they read, under the four kinds of attention."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
    for axis, (name, kept, words) in zip(axes, _KINDS, strict=True):
        color, soft = theme.sequence_color("A"), theme.LIGHT["edge"]
        for h in range(8):
            group = h * kept // 8
            x = (group + 0.5) * 8 / kept - 0.5 if kept else 3.5
            axis.plot([h, x], [1, 0], color=soft, linewidth=0.9, zorder=1)
            axis.plot(h, 1, "o", color=theme.LIGHT["panel"], markeredgecolor=theme.LIGHT["ink"], markersize=7, zorder=2)
        for group in range(kept):
            axis.plot((group + 0.5) * 8 / kept - 0.5, 0, "s", color=color, markersize=9, zorder=2)
        if not kept:
            box = FancyBboxPatch((2.1, -0.1), 2.8, 0.2, boxstyle="round,pad=0.02", facecolor=theme.sequence_color("B"),
                                 edgecolor="none", hatch="//", zorder=2)  # fmt: skip
            axis.add_patch(box)
        axis.set(title=name, xlim=(-0.7, 7.7), ylim=(-0.95, 1.3))
        axis.text(3.5, -0.35, words, ha="center", va="top", fontsize=9, color=theme.LIGHT["dim"])
        axis.axis("off")
    axes[0].text(-0.7, 1.22, "query heads", fontsize=8.5, color=theme.LIGHT["dim"])
    plt.close(figure)  # what a cell returns is shown once, not a second time by pyplot
    return figure


def computed_tokens(runs: dict[str, Calls]) -> Figure:
    """Step by step, which tokens a model was asked to compute; one panel for each run, from its `ToyModel.calls`."""
    import matplotlib.pyplot as plt

    widest = max(start + len(tokens) for calls in runs.values() for tokens, start in calls)
    tallest = max(len(calls) for calls in runs.values())
    figure, axes = plt.subplots(1, len(runs), figsize=(9, 0.24 * tallest + 1.2), sharey=True, squeeze=False)
    for axis, (title, calls) in zip(axes[0], runs.items(), strict=True):
        _steps(axis, calls)
        count = sum(len(tokens) for tokens, _ in calls)
        axis.set(title=f"{title}: {count} tokens computed", xlabel="position in the sequence",
                 xlim=(-0.6, widest - 0.4), ylim=(tallest + 0.6, 0.4))  # fmt: skip
        axis.grid(visible=False)
    axes[0][0].set_ylabel("step")
    plt.close(figure)
    return figure


def _steps(axis: Axes, calls: Calls) -> None:
    from matplotlib.patches import Rectangle

    done = 0
    for step, (tokens, start) in enumerate(calls):
        for position in range(max(done, start + len(tokens))):
            computed = start <= position < start + len(tokens)
            look: dict[str, Any] = {"facecolor": theme.sequence_color("A"), "edgecolor": "none"}
            if not computed:
                look = {"facecolor": theme.LIGHT["cached"], "edgecolor": theme.LIGHT["faint"], "hatch": "///"}
                look["linewidth"] = 0.0
            axis.add_patch(Rectangle((position - 0.42, step + 0.6), 0.84, 0.8, **look))
        done = max(done, start + len(tokens))
