"""What a block size costs: empty places at the end of sequences on one side, entries of block tables on the other.

For lesson 05. A sequence of t tokens has ceil(t / B) blocks of B tokens. Its last block is part filled, so between 0
and B - 1 places stay empty, (B - 1) / 2 on average where lengths are spread evenly over a block; and its table has one
entry a block, to be kept, copied to the device and read by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit import theme
from labkit.cache.block_table import blocks_needed
from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.pictures import Picture


@dataclass(frozen=True)
class BlockSizeCost:
    """Means over sequences at their full length.

    Attributes:
        block_size: tokens a block.
        empty: places of the last block that hold no token, a sequence.
        entries: blocks, and so entries of the table, a sequence.
        empty_share: empty places over all places that the sequences hold, from 0 to 1.
    """

    block_size: int
    empty: float
    entries: float
    empty_share: float

    @property
    def expected_empty(self) -> float:
        """(B - 1) / 2: the mean if every number of tokens in the last block, from 1 to B, is equally frequent."""
        return (self.block_size - 1) / 2


def cost_of_block_sizes(
    lengths: Sequence[int] | np.ndarray, block_sizes: Iterable[int], needed: Callable[[int, int], int] = blocks_needed
) -> list[BlockSizeCost]:
    """Count empty places and table entries of sequences of these lengths, for each block size.

    Args:
        lengths: tokens of each sequence when it ends; at least one.
        block_sizes: tokens a block, 1 or more.
        needed: blocks for a number of tokens and a block size; for instance yours.

    Raises:
        LabkitError: no lengths, or one that is negative.
        BlockError: a block size below 1.
    """
    lengths = np.asarray(lengths, np.int64)
    if lengths.ndim != 1 or not len(lengths) or lengths.min() < 0:
        raise LabkitError("lengths must be one or more numbers of tokens, none negative: pass those of a trace.")
    distinct, times = np.unique(lengths, return_counts=True)
    costs = []
    for size in block_sizes:
        size = whole_number(size, "block_size", at_least=1)
        blocks = np.array([needed(int(tokens), size) for tokens in distinct], np.int64)
        entries, tokens = int(blocks @ times), int(distinct @ times)
        places = entries * size
        costs.append(
            BlockSizeCost(
                size,
                (places - tokens) / len(lengths),
                entries / len(lengths),
                (places - tokens) / places if places else 0.0,
            )
        )
    return costs


def block_size_picture(costs: Sequence[BlockSizeCost]) -> Picture:
    """Empty slots a sequence beside (B - 1) / 2, and table entries a sequence, both against the block size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(8.2, 3.3))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    sizes = [cost.block_size for cost in costs]
    shown = [cost for cost in costs if cost.block_size > 1]  # a logarithmic scale has no place for the 0 of blocks of 1
    at, dashed = [cost.block_size for cost in shown], {"color": theme.LIGHT["dim"], "linestyle": "--", "linewidth": 1.2}
    left.plot(at, [cost.expected_empty for cost in shown], label="(B - 1) / 2", **dashed)
    dots = {"color": theme.sequence_color("A"), "markersize": 5.5}
    left.plot(at, [cost.empty for cost in shown], "o", label="counted", **dots)
    left.set(title="Empty slots a sequence", ylabel="slots")
    left.legend(loc="upper left")
    line = {"color": theme.sequence_color("B"), "markersize": 5, "linewidth": 1.2}
    right.plot(sizes, [cost.entries for cost in costs], "s-", **line)
    right.set(title="Table entries a sequence", ylabel="entries")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="tokens a block (B)", xlim=(min(sizes) / 1.5, max(sizes) * 1.5))
        axes.set_xticks(sizes[:: max(1, round(len(sizes) / 6))])
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.4g}")
        axes.minorticks_off()
    first, last = costs[0], costs[-1]
    return Picture(
        figure,
        f"Blocks of {first.block_size} to {last.block_size} tokens: empty slots a sequence from "
        f"{first.empty:.1f} to {last.empty:.1f}, table entries from {first.entries:,.1f} to "
        f"{last.entries:,.1f}.",
    )
