"""Roofline: how many operations a second a card can do for a kernel, by the operations that it does per byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import traitlets

from labkit.errors import LabkitError
from labkit.simulate.cost_model import CARDS, Card
from labkit.widgets.base import LabWidget

MOST = 6
"""Points that can be told apart."""


class Work(NamedTuple):
    """One kernel's work: what it asks memory for, and what it computes.

    Attributes:
        name: a few words.
        bytes: between the kernel and memory, 1 or more.
        flops: operations, 1 or more.
    """

    name: str
    bytes: int
    flops: int


class Roofline(LabWidget):
    """The roofs of some cards on log axes, and the points of some kernels on the roof of the card that is chosen.

    Nothing here is measured: a point lies where its kernel is at best, by the data sheet of the card (Williams,
    Waterman and Patterson, 2009).

    Args:
        works: what is placed, at most six: (name, bytes, flops).
        card: the card that is chosen at first; one of `labkit.simulate.cost_model.CARDS`.
        point: the point that is looked at first.
        title, subtitle: above the picture.

    Raises:
        LabkitError: there is no such card, no work, too much of it, or one without bytes or operations.
    """

    _name: ClassVar[str] = "roofline"

    title = traitlets.Unicode().tag(sync=True)
    subtitle = traitlets.Unicode().tag(sync=True)
    cards = traitlets.List(help="{name, peak, bandwidth, ridge, source}").tag(sync=True)
    points = traitlets.List(help="{name, bytes, flops, intensity}").tag(sync=True)
    says = traitlets.List(help="the sentence for each card and point").tag(sync=True)
    card = traitlets.Int(0).tag(sync=True)
    point = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        works: Sequence[Work | tuple[str, int, int]],
        card: str = "H100",
        point: int = 0,
        title: str = "What a card can do at best",
        subtitle: str = "",
    ) -> None:
        placed = [Work(*work) for work in works]
        if card not in CARDS:
            raise LabkitError(f"There is no card {card!r}; choose one of {', '.join(CARDS)}.")
        if not 1 <= len(placed) <= MOST:
            raise LabkitError(f"{len(placed)} kernels cannot be placed: give 1 to {MOST}.")
        for work in placed:
            if work.bytes < 1 or work.flops < 1:
                raise LabkitError(
                    f"{work.name} has {work.bytes} bytes and {work.flops} operations; each must be 1 or more."
                )
        super().__init__(
            title=title,
            subtitle=subtitle,
            cards=[
                {
                    "name": c.name, "peak": c.flops_per_s, "bandwidth": c.bytes_per_s,
                    "ridge": c.flops_per_s / c.bytes_per_s, "source": c.source,
                }
                for c in CARDS.values()
            ],
            points=[w._asdict() | {"intensity": w.flops / w.bytes} for w in placed],
            says=[[_sentence(c, w) for w in placed] for c in CARDS.values()],
            card=list(CARDS).index(card),
            point=max(0, min(int(point), len(placed) - 1)),
        )  # fmt: skip

    def summary(self) -> str:
        card = self.cards[self.card]
        points = ", ".join(f"{p['name']} {short(p['intensity'])}" for p in self.points)
        return f"Roofline({card['name']}, ridge at {short(card['ridge'])} flop/byte; {points} flop/byte)"

    def text_form(self) -> str:
        return "\n".join([self.summary(), *self.says[self.card]])


def _sentence(card: Card, work: Work) -> str:
    """What the card can do for it at best, and what it waits for."""
    intensity, ridge = work.flops / work.bytes, card.flops_per_s / card.bytes_per_s
    best = min(card.flops_per_s, intensity * card.bytes_per_s)
    seconds = max(work.bytes / card.bytes_per_s, work.flops / card.flops_per_s)
    said = (
        f"{work.name}: {scaled(work.bytes, 'byte')}, {scaled(work.flops, 'flop')}, {short(intensity)} flop per byte. "
    )
    if intensity < ridge:
        waits = f"The ridge of the {card.name} is at {short(ridge)}, so memory is what it waits for"
    else:
        waits = f"That is beyond the ridge of the {card.name} at {short(ridge)}, so arithmetic is what it waits for"
    share = 100 * best / card.flops_per_s
    return (
        said + f"{waits}: at best {scaled(seconds, 's')}, with {'all' if share > 99.9 else f'{short(share)}%'} of the "
        "arithmetic in use."
    )


def short(x: float) -> str:
    """Two or three digits that say something: 0.99, 3.9, 206."""
    return f"{x:,.0f}" if x >= 10 else f"{x:.1f}" if x >= 1 else f"{x:.2f}"


def scaled(x: float, unit: str) -> str:
    """A number with a prefix: 12.9 MB, 137 Mflop, 40.3 µs."""
    word = {"byte": "B", "flop": "flop", "s": "s"}[unit]
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ")):
        if x >= factor:
            return f"{x / factor:,.3g} {prefix}{word}"
    return f"{x / 1e-9:,.3g} n{word}"
