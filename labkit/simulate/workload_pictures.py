"""What a workload is, in pictures: lengths, arrivals, shared prefixes; and what became of it. PNG, as bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labkit import theme
from labkit.observe.series import Series
from labkit.simulate.capacity import Served
from labkit.simulate.pictures import Picture, blank
from labkit.simulate.series_picture import draw_series
from labkit.simulate.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOWS = 120


def lengths(trace: Trace) -> Picture:
    """Share of the prompts, and of the answers, that have at most so many tokens."""
    figure = blank(2.6)
    axes = figure.subplots()
    share = np.arange(1, len(trace) + 1) / len(trace)
    for name, tokens, style in (("prompt", trace.input_tokens, "-"), ("answer", trace.output_tokens, "--")):
        axes.step(np.maximum(np.sort(tokens), 1), share, style, where="post", label=name)
    axes.set_xscale("log")
    axes.set_xlabel("tokens")
    _shares(axes, "share of requests")
    axes.legend(loc="upper left")
    return Picture(figure, "Two rising curves: the share of prompts, and of answers, with at most so many tokens.")


def arrivals(trace: Trace) -> Picture:
    """Requests a second over the trace."""
    figure = blank(2.2)
    axes = figure.subplots()
    width = max(1.0, trace.duration_s / WINDOWS)
    edges = np.arange(0, trace.duration_s + width, width)
    counts, _ = np.histogram(trace.arrival_s - trace.arrival_s[0], np.append(edges, edges[-1] + width))
    axes.step(np.append(edges, edges[-1] + width), np.append(counts, counts[-1]) / width, where="post")
    axes.axhline(counts.sum() / max(width, trace.duration_s), linestyle=":", color=theme.LIGHT["dim"])
    axes.set_xlabel(f"seconds since the first request, in windows of {width:,.0f} s")
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    return Picture(figure, "Requests a second over the time of the trace, with a dotted line at their mean.")


def prefixes(shares: np.ndarray) -> Picture:
    """Share of the requests of whose prompt at most so much was seen before."""
    figure = blank(2.2)
    axes = figure.subplots()
    axes.step(np.sort(shares), np.arange(1, len(shares) + 1) / len(shares), where="post")
    axes.set_xlabel("share of the prompt that an earlier request had")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlim(0, 1)
    _shares(axes, "share of requests")
    return Picture(figure, "A rising curve: the share of requests of whose prompt at most so much was seen before.")


def over_blocks(tried: list[Served], share: float) -> Picture:
    """What the share within the target, and the share computed again, do with the blocks of a card."""
    figure = blank(2.6)
    axes = figure.subplots()
    blocks = [served.blocks for served in tried]
    axes.plot(blocks, [served.share for served in tried], "o-", label="requests within the target")
    axes.plot(blocks, [served.again for served in tried], "s--", label="computed tokens that were computed before")
    axes.axhline(share, linestyle=":", color=theme.LIGHT["dim"], label=f"asked for: {share:.0%}")
    axes.set_xlabel("blocks of a card")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    _shares(axes, "share")
    axes.legend(loc="best")
    return Picture(figure, "Over the blocks of a card: the share of requests within the target, and of repeated work.")


def of_series(series: Series) -> bytes:
    """The four panels of `labkit simulate --plot`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.png"
        draw_series(series, path)
        return path.read_bytes()


def _shares(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
