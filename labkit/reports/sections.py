"""The sections of the report: Markdown with pictures in it, every number from the trace or from a simulation."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labkit.cache.geometry import kv_bytes_per_token, model
from labkit.simulate import workload_pictures as pictures
from labkit.simulate.capacity import Served, enough, shared_prefixes
from labkit.simulate.configuration import DRAWN, UTILISATION, Configuration
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.pictures import Picture
from labkit.simulate.sketch import ERROR
from labkit.simulate.trace import Trace
from labkit.words import plural


@dataclass(frozen=True)
class Findings:
    """All that the report speaks of.

    Attributes:
        share: of the requests, how many must meet the target.
        cards: numbers of cards that were tried, ascending.
        blocks: with the number of cards that was settled on, numbers of blocks, descending.
        own_work: what the learner wrote down of their own work, by field; empty for nothing.
    """

    configuration: Configuration
    trace: Trace
    share: float
    cards: Sequence[Served]
    blocks: Sequence[Served]
    own_work: Mapping[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> Served | None:
        """The fewest cards that met the target."""
        return next((served for served in self.cards if served.share >= self.share), None)

    @property
    def answer(self) -> str:
        """How many cards of how many blocks are enough, in a sentence."""
        settled, fewest = self.settled, enough(list(self.blocks), self.share)
        if settled is None or fewest is None:
            return "No number of cards that was tried meets the target."
        are = "is" if settled.cards == 1 else "are"
        each = f"{plural(fewest.blocks, 'block')}{' each' if settled.cards > 1 else ''}"
        return f"{plural(settled.cards, 'card')} with {each} {are} enough: {fewest.share:.1%} served well."


@dataclass(frozen=True)
class Section:
    """Markdown, and the pictures that it names as `attachment:NAME.png`."""

    text: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def sections(found: Findings) -> list[Section]:
    """The report in order."""
    own = [_own_work(found)] if found.own_work else []
    return [_answer(found), _workload(found), _needs(found), _fewer(found), _assumptions(found), *own]


def plain(text: object) -> str:
    """Text from outside as text in Markdown and HTML, whatever it holds."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$^-])", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


# ----- the sections ----------------------------------------------------------------------------------------------


def _answer(found: Findings) -> Section:
    what, target = found.configuration, found.configuration.target
    asked = (
        f"{found.share:.1%} of the requests with their first token within {target.ttft_s:g} s and at most "
        f"{target.tpot_s:g} s a token after it, on average"
    )
    settled, fewest = found.settled, enough(list(found.blocks), found.share)
    if settled is None:
        best = max(found.cards, key=lambda served: served.share)
        said = (
            f"**{found.answer}** The best of them, "
            f"{plural(best.cards, 'card')}, serves {best.share:.1%} within it. Where more cards do not help, it is not "
            "the load: a single prompt takes longer than the target, or a step does."
        )
        if best.totals["refused"]:
            said += f" {plural(best.totals['refused'], 'request')} can never fit on one card, or came too late."
    else:
        had = "that a card was given" if what.blocks else "that fit on a card"
        said = f"**{found.answer}**"
        if fewest is not None and fewest.blocks < settled.blocks:
            said += f" With all {settled.blocks:,} blocks {had} it is {settled.share:.1%}."
        elif fewest is not None:
            said += f" It takes all of the {settled.blocks:,} blocks {had}; fewer were tried and miss it."
    return Section(
        f"# What {plain(found.trace.name)} needs\n\n"
        f"{plain(what.model)} on {plain(what.card)}, {plural(len(found.trace), 'request')} in "
        f"{found.trace.duration_s:,.0f} s. Asked for: {asked}.\n\n{said}\n\n"
        f"It is one draw: {plural(len(found.trace), 'request')} in {found.trace.duration_s:,.0f} s, of which "
        f"{int((1 - found.share) * len(found.trace) + 1e-9):,} may miss the target. Another day, or the same load for "
        "longer, may need more.\n\n"
        "This is a simulation with a cost model from data sheets. Nothing was measured; the last section says what was "
        "taken for granted."
    )


def _workload(found: Findings) -> Section:
    trace = found.trace
    shares = (1, 25, 50, 75, 90, 99, 100)
    columns = {
        "prompt, tokens": trace.input_tokens,
        "answer, tokens": trace.output_tokens,
        "both, tokens": trace.total_tokens,
    }
    rows = [
        [name, f"{values.mean():,.0f}", *(f"{v:,.0f}" for v in np.percentile(values, shares))]
        for name, values in columns.items()
    ]
    gaps = np.diff(trace.arrival_s)
    if len(gaps):
        rows.append(["between two arrivals, s", _short(gaps.mean()), *map(_short, np.percentile(gaps, shares))])
    known = shared_prefixes(trace)
    if known is not None:
        rows.append(
            [
                "prompt seen before, %",
                f"{100 * known.mean():,.0f}",
                *(f"{100 * v:,.0f}" for v in np.percentile(known, shares)),
            ]
        )
    of = trace.summary()["arrivals"]
    shown = {"lengths": pictures.lengths(trace), "arrivals": pictures.arrivals(trace)}
    text = [
        "## The workload",
        table(["", "mean", *(f"{s}%" for s in shares[:-1]), "most"], rows),
        f"{trace.per_s:,.3g} requests per second in the mean. The times between them vary by {of['cv']:.2f} of their "
        "mean (standard deviation over mean, the coefficient of variation): 1 is what people who know nothing of each "
        "other make, below it they come evenly, above it in bursts."
        if len(gaps) > 1 and trace.duration_s
        else "All requests came at once.",
        _image("lengths", shown["lengths"]),
        _image("arrivals", shown["arrivals"]),
    ]
    if known is None:
        text.append(
            "**Shared prefixes: not known.** The file does not say which prompts begin alike, so nothing is found in a "
            "prefix cache here. A real server may need less."
        )
    else:
        tokens = float((known * trace.input_tokens).sum() / max(1, trace.input_tokens.sum()))
        shown["prefixes"] = pictures.prefixes(known)
        text += [
            f"**Shared prefixes:** an earlier request had {tokens:.1%} of all prompt tokens (in blocks of "
            f"{trace.block_tokens:,} tokens). That is what a prefix cache without end would find on one card.",
            _image("prefixes", shown["prefixes"]),
        ]
    return Section("\n\n".join(text), _png(shown))


HEAD = [
    "met",
    "first token, 99%",
    "between tokens, 99%",
    "delivered/s",
    "computed/s",
    "again",
    "preempted",
    "regret",
    "refused",
]


def _needs(found: Findings) -> Section:
    what = found.configuration
    shape, card = model(what.model), CARDS[what.card]
    some = found.cards[0]
    size = some.runs[0].metrics.scheduler.manager.block_size
    rows = [[_mark(served, found.settled, served.cards), *_row(served)] for served in found.cards]
    chosen = "as the caller asked" if what.blocks else "what fits"
    return Section(
        "\n\n".join(
            [
                "## What it needs",
                f"A token of {plain(what.model)} takes {kv_bytes_per_token(shape):,} bytes of keys and values. "
                f"{plain(what.card)} has {card.memory_bytes / 1e9:,.0f} GB; {UTILISATION:.0%} of it less "
                f"{shape.weights_bytes / 1e9:,.1f} GB of weights is for the cache. Each card has {some.blocks:,} "
                f"blocks of {plural(size, 'token')} ({chosen}): room for {some.blocks * size:,} tokens.",
                "Requests are dealt to the cards in turn, and every card is simulated by itself.",
                table(["cards", *HEAD], rows),
                _legend(),
            ]
        )
    )


def _fewer(found: Findings) -> Section:
    blocks = list(found.blocks)
    fewest = enough(blocks, found.share)
    rows = [[_mark(served, fewest, served.blocks), *_row(served)] for served in blocks]
    cards = blocks[0].cards
    shown = fewest or blocks[0]
    short = next((s for s in blocks if s.blocks <= shown.blocks / 2), blocks[-1])  # far enough to look different
    over = pictures.over_blocks(blocks, found.share)
    seen = {"over": over._repr_png_()}
    text = [
        "## With less memory",
        f"The same requests on {plural(cards, 'card')}, with fewer blocks on each: what is lost when another service "
        "wants memory, or a larger model.",
        table(["blocks per card", *HEAD], rows),
        _image("over", over),
    ]
    for served in dict.fromkeys((shown, short)):
        name = f"series{served.blocks}"
        seen[name] = pictures.of_series(served.runs[0].metrics.series)
        where = f", of which the first card of {cards:,} is shown" if cards > 1 else ""
        says = f"{served.blocks:,} blocks per card{where}: {_happened(served)}"
        alt = "Four panels over time: tokens per second, evictions, memory, and requests that run and wait."
        text += [f"**{says}**", f"![{alt}](attachment:{name}.png)"]
    return Section("\n\n".join(text), seen)


def _happened(served: Served) -> str:
    t = served.totals
    said = [f"{served.share:.1%} of all requests within the target"]
    said.append(
        f"{plural(t['preemptions'], 'preemption')}, {t['recomputed_tokens']:,} tokens computed again"
        if t["preemptions"]
        else "nobody was preempted"
    )
    if t["cached_blocks_evicted"]:
        regret = "" if t["regret"] is None else f", {t['regret']:,} of them wanted again"
        said.append(f"{t['cached_blocks_evicted']:,} cached blocks evicted{regret}")
    if t["refused"]:
        said.append(f"{t['refused']:,} refused")
    if t["saturated"]:
        said.append("requests came faster than they were served")
    return "; ".join(said) + "."


def _assumptions(found: Findings) -> Section:
    what, trace = found.configuration, found.trace
    settings = inspect.signature(cost_model).parameters
    reached, fixed = settings["share"].default, settings["fixed_s"].default
    drawn = what.trace in DRAWN
    columns = ", ".join(f"{plain(k)} from {plain(v)}" for k, v in (what.columns or {}).items())
    refused: dict[str, int] = {}
    for run in found.blocks[0].runs:
        for reason, count in run.metrics.scheduler.refusals.items():
            refused[str(reason)] = refused.get(str(reason), 0) + count
    of_file = [
        f"Source: {plain(trace.source)}.",
        *(f"The reader says: {plain(note)}" for note in trace.notes),
        f"Columns as they were named: {columns}."
        if columns
        else ""
        if drawn
        else "Columns were recognised by their names.",
        f"Unit of time as it was named: {plain(what.unit)}." if what.unit else "",
        f"The first {what.requests:,} requests at most were taken." if what.requests else "All requests were taken.",
        f"Requests come {what.speed:g} times as fast as in the file." if what.speed != 1 else "",
        ""
        if drawn
        else "A file with a row that cannot be read, a time below 0 or a hole is refused as a whole: no row is lost in "
        "silence.",
    ]
    of_model = [
        f"A step takes {1000 * fixed:g} ms and the longer of reading and computing, at {reached:.0%} of the data sheet "
        f"({plain(CARDS[what.card].source)}), in bfloat16. No measurement of this card stands behind "
        "it: measure a step with your model, and hold it against `labkit.simulate.cost_model` before you order.",
        "Each card holds the whole model: no tensor parallelism, no speculation, no quantised cache. No memory is set "
        "aside for activations.",
        "Requests come when the file says, however slow the server is: nobody gives up, and nobody asks again. Answers "
        "are as long as in the file.",
        "Requests are dealt in turn. A router that knows prefixes finds more of them.",
        f"Percentiles are at most {ERROR:.1%} of themselves away from the true ones; those of several cards are the "
        "worst card's.",
        "The fewest cards or blocks are the fewest of those that were tried. More is not better by any law, so every "
        "one that was tried stands in its table.",
        "Refused at the door: "
        + (", ".join(f"{n:,} {plain(r)}" for r, n in refused.items()) if refused else "nobody")
        + ".",
    ]
    knobs = {"cache": what.cache, "eviction": what.eviction or "the cache's own", **vars(what.scheduler)}
    rows = [[f"`{name}`", plain("none" if value is None else value)] for name, value in knobs.items()]
    return Section(
        "\n\n".join(
            [
                "## What was taken for granted",
                "### Of the file\n\n" + "\n".join(f"- {line}" for line in of_file if line),
                "### Of the server\n\n" + "\n".join(f"- {line}" for line in of_model),
                "### The scheduler's settings\n\n" + table(["setting", "value"], rows),
            ]
        )
    )


def _own_work(found: Findings) -> Section:
    rows = "\n\n".join(f"**{plain(name)}**\n\n{plain(text)}" for name, text in found.own_work.items())
    return Section(f"## From your own work\n\n{rows}")


# ----- words and cells -------------------------------------------------------------------------------------------


def _row(served: Served) -> list[str]:
    t = served.totals
    evicted = t["cached_blocks_evicted"]
    regret = "not known" if t["regret"] is None else f"{t['regret'] / evicted:.0%}" if evicted else "none"
    return [
        f"{served.share:.1%}",
        _seconds(t["ttft_p99_s"]),
        _seconds(t["itl_p99_s"]),
        f"{t['tokens_per_second']:,.0f}",
        f"{t['computed_tokens_per_second']:,.0f}",
        f"{served.again:.1%}",
        f"{t['preemptions']:,}",
        regret,
        f"{t['refused']:,}",
    ]


def _legend() -> str:
    return (
        "*met*: requests within the target. *again*: of the computed tokens, those computed before. *regret*: of the "
        "cached blocks evicted, those wanted again. The row in bold is the fewest that meet the target."
    )


def _mark(served: Served, chosen: Served | None, number: int) -> str:
    return f"**{number:,}**" if served is chosen else f"{number:,}"


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:,.3f} s" if value < 10 else f"{value:,.0f} s"


def _short(value: float) -> str:
    return f"{value:,.3g}"


def _image(name: str, picture: Picture) -> str:
    return f"![{picture.says}](attachment:{name}.png)"


def _png(shown: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: picture._repr_png_() for name, picture in shown.items()}
