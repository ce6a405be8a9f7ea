"""What sharing saves: several answers to one prompt, drawn side by side or kept as beams.

For lesson 06. The question is that of Fig. 15 of the PagedAttention paper (Kwon et al., SOSP 2023, section 6.3): by
what share does the number of blocks fall, averaged over time, if sequences of one request share them?

No model runs. Lengths are made up: geometrically distributed, with about the means that the paper's Fig. 11 gives for
its two datasets. Beams live and die by made-up scores: at every step each beam gets log-probabilities for a few next
tokens (the softmax of normal numbers, peaked so that one token usually has most of it), and the best of all candidates
go on, as in any beam search. What is reproduced is therefore the shape of the figure, not its third digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import numpy as np

from labkit import theme
from labkit.cache.block_table import blocks_needed
from labkit.simulate.pictures import Picture

BLOCK_SIZE = 16
LONGEST = 1024
"""Tokens of a prompt and of an output at most."""

CANDIDATES = 32
"""Next tokens that each beam considers."""

PEAKED = 8.0
"""Standard deviation of a candidate's logit: with 8, the likeliest of 32 tokens has nine tenths of the probability in
about half of the steps."""


@dataclass(frozen=True)
class Dataset:
    """Requests of about these lengths, and what the paper measured on theirs.

    Attributes:
        name: as figures call it.
        input_mean, output_mean: tokens, rounded from the paper's Fig. 11.
        paper_parallel, paper_beam: the paper's lowest and highest saving in percent, over 2 to 6 outputs or beams.
    """

    name: str
    input_mean: int
    output_mean: int
    paper_parallel: tuple[float, float]
    paper_beam: tuple[float, float]


ALPACA = Dataset("short, like Alpaca", 19, 58, (6.1, 9.8), (37.6, 55.2))
SHAREGPT = Dataset("long, like ShareGPT", 161, 338, (16.2, 30.5), (44.3, 66.3))


class Parts(NamedTuple):
    """The parts that the sequences run on: the reference's, or the learner's."""

    BlockPool: Callable[[int], Any]
    RefCounts: Callable[[Any], Any]
    BlockTable: Callable[[Any, int], Any]
    fork: Callable[[Any], Any]
    append_cow: Callable[[Any, int], Any]


@dataclass
class Saving:
    """Blocks, summed over all steps of all requests.

    Attributes:
        listed: blocks in tables: what would be held if nobody shared.
        held: blocks that are held in fact.
        copied: blocks that copy-on-write copied.
        copied_whole: blocks that would have been copied if every fork got a private copy of all that it reads.
    """

    listed: int = 0
    held: int = 0
    copied: int = 0
    copied_whole: int = 0

    @property
    def percent(self) -> float:
        """Memory saved, as the paper defines it: blocks saved by sharing over blocks without it, in percent."""
        return 100 * (1 - self.held / self.listed) if self.listed else 0.0


def draw_lengths(dataset: Dataset, num_requests: int, seed: int = 6) -> list[tuple[int, int]]:
    """(prompt tokens, output tokens) of each request, 1 to `LONGEST` each.

    The lengths are evenly spaced quantiles of a geometric distribution, so that a few requests have its mean and its
    spread; the seed says which prompt gets which output.
    """
    rng = np.random.default_rng(seed)
    shares = (np.arange(num_requests) + 0.5) / num_requests

    def lengths(mean: int) -> list[int]:
        drawn = np.ceil(np.log1p(-shares) / np.log1p(-1 / mean))
        return rng.permutation(np.clip(drawn, 1, LONGEST).astype(int)).tolist()

    return list(zip(lengths(dataset.input_mean), lengths(dataset.output_mean), strict=True))


def parallel_sampling(lengths: Sequence[tuple[int, int]], outputs: int, parts: Parts) -> Saving:
    """Each request, (prompt tokens, output tokens), continues its prompt `outputs` times, all to the same length."""
    return _serve(lengths, outputs, parts, lambda: chain([[0] * outputs], repeat([*range(outputs)])))


def beam_search(lengths: Sequence[tuple[int, int]], width: int, parts: Parts, seed: int = 1) -> Saving:
    """Each request keeps its `width` best continuations; at each step some fork and some end."""
    rng = np.random.default_rng(seed)
    return _serve(lengths, width, parts, lambda: _beams(width, rng))


def _beams(width: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """At each step the beams that the best `width` candidates continue; several may continue one beam."""
    scores = np.zeros(1)
    while True:
        logits = rng.normal(0.0, PEAKED, (len(scores), CANDIDATES))
        logits -= logits.max(axis=1, keepdims=True)
        total = (scores[:, None] + logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).ravel()
        best = np.argsort(-total, kind="stable")[:width]
        scores = total[best][np.argsort(best // CANDIDATES, kind="stable")]
        yield sorted((best // CANDIDATES).tolist())


def _serve(
    lengths: Sequence[tuple[int, int]], most: int, parts: Parts, going_on: Callable[[], Iterator[list[int]]]
) -> Saving:
    """One request after the other, each in a memory of its own that never fills.

    At every step each sequence that `going_on` names goes on by a token, once for each time; the others end.
    """
    saving = Saving()
    for prompt, length in lengths:
        # Every sequence on blocks of its own, and twice that while beams change.
        refs = parts.RefCounts(parts.BlockPool(2 * most * blocks_needed(prompt + length, BLOCK_SIZE)))
        tables = [parts.BlockTable(refs, BLOCK_SIZE)]
        tables[0].append(prompt)
        for parents in islice(going_on(), length):
            forked = [parent for i, parent in enumerate(parents) if parent in parents[:i]]
            saving.copied_whole += sum(len(tables[parent].blocks) for parent in forked)
            before = tables
            tables = [parts.fork(before[p]) if p in parents[:i] else before[p] for i, p in enumerate(parents)]
            for ended in set(range(len(before))).difference(parents):
                before[ended].release()
            for table in tables:
                saving.copied += len(parts.append_cow(table, 1))
            saving.listed += sum(len(table.blocks) for table in tables)
            saving.held += refs.num_blocks - refs.num_free
        for table in tables:
            table.release()
    return saving


def saving_picture(savings: dict[str, dict[str, dict[int, Saving]]], datasets: Sequence[Dataset]) -> Picture:
    """Memory saved against the number of sequences, one panel a dataset; the paper's range as a band.

    Args:
        savings: by dataset name, by "parallel sampling" or "beam search", by number of sequences.
        datasets: the panels, in order.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(8.2, 3.4))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
    said = []
    for panel, dataset in zip(panels, datasets, strict=True):
        looks = [("beam search", "B", "s", dataset.paper_beam), ("parallel sampling", "A", "o", dataset.paper_parallel)]
        for name, letter, marker, (low, high) in looks:
            color = theme.sequence_color(letter)
            curve = {n: saving.percent for n, saving in sorted(savings[dataset.name][name].items())}
            panel.axhspan(low, high, color=color, alpha=0.14, linewidth=0)
            style = "-" if letter == "A" else "--"
            panel.plot(list(curve), list(curve.values()), color=color, marker=marker, linestyle=style, label=name)
            for n, percent in curve.items():
                panel.annotate(
                    f"{percent:.0f}", (n, percent), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8.5
                )
            first, last = next(iter(curve)), list(curve)[-1]
            said.append(
                f"{dataset.name}, {name}: {curve[first]:.0f} % with {first} to {curve[last]:.0f} % with {last} "
                f"(paper: {low} to {high} %)"
            )
        panel.set(title=dataset.name, xlabel="outputs or beams", xticks=sorted(curve), ylim=(0, 90))
        panel.margins(x=0.12)
    panels[0].set_ylabel("memory saved (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        [f"{label} (band: the paper's range)" for label in labels],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return Picture(figure, "Memory saved by sharing. " + "; ".join(said) + ".")
