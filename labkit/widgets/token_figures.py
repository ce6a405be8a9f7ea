"""Figures of lesson 02: who shares a KV head, what a token and a conversation cost, and what is computed when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.cache.geometry import MODELS, GiB, kv_bytes_per_sequence, model, start_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Calls = Sequence[tuple[Sequence[int], int]]
_DASHES = ("-", "--", "-.", ":")
_KINDS = (("MHA", 8, "a KV head for each\nquery head"), ("GQA", 2, "a group shares\none KV head"),
          ("MQA", 1, "all share\none KV head"), ("MLA", 0, "one compressed vector,\nno heads kept"))  # fmt: skip


def shared_heads() -> Figure:
    """Eight query heads and what they read, under the four kinds of attention."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    theme.use_mpl()
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


def bytes_per_token(per_token: dict[str, int], all_heads: dict[str, int]) -> Figure:
    """What a token costs in each model, and what it would cost if every query head kept a key and a value.

    Args:
        per_token, all_heads: bytes by the name of the model.
    """
    import matplotlib.pyplot as plt

    theme.use_mpl()
    figure, axis = plt.subplots(figsize=(9, 3.2))
    for row, name in enumerate(per_token):
        kept, if_all_kept = per_token[name] / 1024, all_heads[name] / 1024
        axis.plot([kept, if_all_kept], [row, row], color=theme.LIGHT["edge"], linestyle="--", linewidth=1)
        axis.plot(if_all_kept, row, "o", color=theme.LIGHT["panel"], markeredgecolor=theme.LIGHT["ink"])
        axis.plot(kept, row, "o", color=theme.sequence_color("A"), markersize=8)
        axis.annotate(MODELS[name].attention, (kept, row), xytext=(-9, 0), textcoords="offset points", ha="right",
                      va="center", fontsize=9)  # fmt: skip
    axis.set(yticks=range(len(per_token)), yticklabels=list(per_token), xscale="log", xlim=(4, 6000),
             xticks=[10, 100, 1000], xticklabels=["10", "100", "1,000"],
             xlabel="KiB per token, 16-bit; each step tenfold (hollow: if every query head kept its own)")  # fmt: skip
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    plt.close(figure)
    return figure


def conversation_sizes(names: Sequence[str], longest: int = 32_768) -> Figure:
    """What one conversation holds, by its length, for models with and without layers that have a window."""
    import matplotlib.pyplot as plt

    theme.use_mpl()
    lengths = range(512, longest + 1, 512)
    figure, axis = plt.subplots(figsize=(8, 3.0))
    for name, letter, dash in zip(names, "ABCD", _DASHES, strict=False):
        shape = model(name)
        sizes = [kv_bytes_per_sequence(shape, n) / GiB for n in lengths]
        axis.plot(lengths, sizes, dash, color=theme.sequence_color(letter))
        words = f"{name}\n{shape.num_window_layers} of {shape.num_layers} layers have a window"
        axis.annotate(words, (longest, sizes[-1]), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    axis.axvline(4096, color=theme.LIGHT["edge"], linewidth=0.8, linestyle=":")
    axis.set(xlabel="tokens in the conversation", ylabel="GiB kept", xlim=(0, longest), ylim=(0, None),
             xticks=[4096, 8192, 16384, 32768], xticklabels=["4,096", "8,192", "16,384", "32,768"])  # fmt: skip
    plt.close(figure)
    return figure


def requests_at_once(names: Sequence[str], gpu_memory_bytes: int, activation_peak_bytes: int) -> Figure:
    """How many requests fit beside a model on one GPU, by their length."""
    import matplotlib.pyplot as plt

    theme.use_mpl()
    lengths = [512 * 2**i for i in range(9)]
    figure, axis = plt.subplots(figsize=(8, 3.4))
    for name, letter, dash in zip(names, "ABCD", _DASHES, strict=False):
        plan = start_up(model(name), gpu_memory_bytes, activation_peak_bytes=activation_peak_bytes)
        fit = [plan.max_concurrency(n) for n in lengths]
        axis.plot(lengths, fit, dash, color=theme.sequence_color(letter), label=f"{name} ({plan.shape.attention})")
    axis.axhline(1, color=theme.LIGHT["bad"], linewidth=0.9)
    axis.annotate("below this line not one request fits", (600, 1.12), fontsize=9, color=theme.LIGHT["bad"])
    axis.set(xscale="log", yscale="log", xlabel="tokens per request, beyond some models' limits",
             ylabel="requests at once", xticks=lengths, yticks=[1, 10, 100, 1000, 10_000],
             xticklabels=[f"{n:,}" if n < 1000 else f"{n // 1024}k" for n in lengths],
             yticklabels=["1", "10", "100", "1,000", "10,000"])  # fmt: skip
    axis.minorticks_off()
    axis.legend()
    plt.close(figure)
    return figure


def step_times(name: str, context: Sequence[int], milliseconds: dict[str, list[float]]) -> Figure:
    """How long one more token takes after `context` tokens, measured without and with a cache."""
    import matplotlib.pyplot as plt

    theme.use_mpl()
    figure, axis = plt.subplots(figsize=(8, 3.0))
    for (kind, values), letter, line in zip(milliseconds.items(), "BA", ("s--", "o-"), strict=True):
        axis.plot(context, values, line, color=theme.sequence_color(letter), clip_on=False)
        axis.annotate(kind, (context[-1], values[-1]), xytext=(10, 0), textcoords="offset points", va="center")
    axis.set(xlabel="tokens so far", ylabel="ms for one more token", xticks=list(context), xlim=(0, context[-1]),
             ylim=(0, None), title=f"{name}, this machine")  # fmt: skip
    plt.close(figure)
    return figure


def computed_tokens(runs: dict[str, Calls]) -> Figure:
    """Step by step, which tokens a model was asked to compute; one panel for each run, from its `ToyModel.calls`."""
    import matplotlib.pyplot as plt

    theme.use_mpl()
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
