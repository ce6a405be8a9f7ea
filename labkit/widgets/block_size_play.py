"""BlockSizePlay: a block size that can be dragged, and what it does to the ends of a few sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from labkit import theme
from labkit.cache.block_table import blocks_needed
from labkit.errors import LabkitError
from labkit.simulate.block_size import cost_of_block_sizes
from labkit.simulate.replay import sequence_name
from labkit.widgets.base import LabWidget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""What the number in the sentence can be."""
MOST = 16
"""Sequences that are drawn; more would not fit beside each other."""


class BlockSizePlay(LabWidget):
    """A sentence with one number to drag, the tokens a block, over bars of a few sequences cut into blocks.

    The arithmetic is `labkit.simulate.block_size`, run here in Python for every size; the page only shows it.

    Args:
        lengths: tokens of each sequence, 1 or more; 1 to 16 of them.
        block_size: what the sentence says at first; one of `SIZES`.
        needed: blocks for a number of tokens and a block size; for instance yours.

    Raises:
        LabkitError: lengths or a block size that cannot be drawn.
    """

    _name: ClassVar[str] = "block_size_play"

    sizes = traitlets.List().tag(sync=True)
    block_size = traitlets.Int().tag(sync=True)
    rows = traitlets.List().tag(sync=True)  # for each sequence: name, slot of its colour, tokens
    answers = traitlets.Dict().tag(sync=True)  # by size, as text: blocks of each sequence, and the words
    scale = traitlets.Int().tag(sync=True)  # slots that fill the width of the page

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        block_size: int = 16,
        needed: Callable[[int, int], int] = blocks_needed,
    ) -> None:
        tokens = [int(n) for n in lengths]
        if not 1 <= len(tokens) <= MOST or min(tokens) < 1:
            raise LabkitError(f"lengths must be 1 to {MOST} numbers of tokens, 1 or more each: pass a few of them.")
        if block_size not in SIZES:
            raise LabkitError(f"block_size is {block_size!r}; choose one of {', '.join(map(str, SIZES))}.")
        names = [sequence_name(i) for i in range(len(tokens))]
        answers = {str(size): _answer(tokens, size, needed) for size in SIZES}
        super().__init__(
            sizes=list(SIZES), block_size=block_size, answers=answers,
            rows=[{"name": name, "slot": theme.sequence_slot(name), "tokens": n}
                  for name, n in zip(names, tokens, strict=True)],
            scale=max(size * max(answers[str(size)]["blocks"]) for size in SIZES),
        )  # fmt: skip

    def summary(self) -> str:
        return f"BlockSizePlay({len(self.rows)} sequences; {sentence(self.block_size, self.answers, len(self.rows))})"

    def static_figure(self) -> Figure:
        from labkit.widgets import still

        lines = still.wrap(sentence(self.block_size, self.answers, len(self.rows)), 104)
        top = 56 + 20 * len(lines)
        figure, axes = still.canvas(top + 22 * len(self.rows) + 16)
        still.text(axes, 16, 22, "What a block size does to the last block", 14, weight="bold")
        for i, line in enumerate(lines):
            still.text(axes, 16, 50 + 20 * i, line, 13)
        left, width = 40, still.WIDTH - 40 - 240
        blocks = self.answers[str(self.block_size)]["blocks"]
        for i, (row, count) in enumerate(zip(self.rows, blocks, strict=True)):
            y, held = top + 22 * i, count * self.block_size
            one = width / self.scale
            color = theme.SEQUENCE_LIGHT[row["slot"]]
            still.text(axes, 18, y + 8, row["name"], 12, color, weight="bold")
            still.rects(axes, [(left, y, held * one, 16, still.tint(color, 0.2))])
            still.rects(axes, [(left, y, row["tokens"] * one, 16, color)])
            if self.block_size * one >= 3:
                seams = [left + self.block_size * one * k for k in range(1, count + 1)]
                still.rects(axes, [(x - 0.6, y, 1.2, 16, theme.LIGHT["panel"]) for x in seams])
            words = row_words(row["tokens"], count, self.block_size)
            still.text(axes, left + held * one + 8, y + 8, words, 11.5, "dim")
        return figure


def _answer(tokens: list[int], size: int, needed: Callable[[int, int], int]) -> dict[str, Any]:
    (cost,) = cost_of_block_sizes(tokens, [size], needed)
    blocks = [int(needed(n, size)) for n in tokens]
    return {
        "blocks": blocks,
        "entries": f"{sum(blocks):,}",
        "empty": f"{sum(blocks) * size - sum(tokens):,}",
        "mean": f"{cost.empty:,.1f}",
        "rule": f"{cost.expected_empty:,.1f}",
        "share": f"{cost.empty_share:.1%}",
    }


def row_words(tokens: int, blocks: int, block_size: int) -> str:
    """What stands behind the bar of one sequence."""
    count = "1 block" if blocks == 1 else f"{blocks:,} blocks"
    return f"{tokens:,} tokens, {count}, {blocks * block_size - tokens:,} empty"


def sentence(block_size: int, answers: dict[str, Any], count: int) -> str:
    """The sentence of the page as plain text."""
    a = answers[str(block_size)]
    return (
        f"In blocks of {block_size:,}, these {count} sequences leave {a['empty']} slots empty, {a['share']} of what "
        f"they hold: {a['mean']} a sequence, where (B - 1) / 2 is {a['rule']}. Their tables have {a['entries']} "
        "entries."
    )
