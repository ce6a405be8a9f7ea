"""BlockSizePlay: a block size that can be dragged, and what it does to the ends of a few sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets

from labkit import theme
from labkit.cache.block_table import blocks_needed
from labkit.errors import LabkitError
from labkit.simulate.replay import sequence_name
from labkit.specs.block_tables.block_size import cost_of_block_sizes
from labkit.widgets.base import LabWidget

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""What the number in the sentence can be."""
MOST = 16
"""Sequences that are drawn; more would not fit beside each other."""


class BlockSizePlay(LabWidget):
    """A sentence with one number to drag, the tokens per block, over bars of a few sequences cut into blocks.

    The arithmetic is `labkit.specs.block_tables.block_size`, run here in Python for every size; the page only shows it.

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


def sentence(block_size: int, answers: dict[str, Any], count: int) -> str:
    """The sentence of the page as plain text."""
    a = answers[str(block_size)]
    return (
        f"In blocks of {block_size:,}, these {count} sequences leave {a['empty']} slots empty, {a['share']} of what "
        f"they hold: {a['mean']} per sequence, where (B - 1) / 2 is {a['rule']}. Their tables have {a['entries']} "
        "entries."
    )
