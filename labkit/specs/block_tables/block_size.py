"""What a block size costs: empty places at the end of sequences on one side, entries of block tables on the other.

For lesson 05. A sequence of t tokens has ceil(t / B) blocks of B tokens. Its last block is part filled, so between 0
and B - 1 places stay empty, (B - 1) / 2 on average where lengths are spread evenly over a block; and its table has one
entry per block, to be kept, copied to the device and read by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from labkit import theme
from labkit.cache.block_table import blocks_needed
from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.pictures import Picture, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class BlockSizeCost:
    """Means over sequences at their full length.

    Attributes:
        block_size: tokens per block.
        empty: places of the last block that hold no token, per sequence.
        entries: blocks, and so entries of the table, per sequence.
        empty_share: empty places over all places that the sequences hold, from 0 to 1.
        most_empty: empty places of the sequence that has most of them.
    """

    block_size: int
    empty: float
    entries: float
    empty_share: float
    most_empty: int

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
        block_sizes: tokens per block, 1 or more.
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
                int((blocks * size - distinct).max()),
            )
        )
    return costs


def block_size_picture(costs: Sequence[BlockSizeCost]) -> Picture:
    """Empty slots per sequence beside (B - 1) / 2, and table entries per sequence, both against the block size."""
    figure = blank(3.3, 8.2)
    left, right = figure.subplots(1, 2)
    sizes = [cost.block_size for cost in costs]
    dashed = {"color": theme.LIGHT["dim"], "linestyle": "--", "linewidth": 1.2}
    left.plot(sizes, [cost.expected_empty for cost in costs], label="(B - 1) / 2", **dashed)
    dots = {"color": theme.sequence_color("A"), "markersize": 5.5, "clip_on": False}
    left.plot(sizes, [cost.empty for cost in costs], "o", label="counted", **dots)
    left.legend(loc="upper left")
    line = {"color": theme.sequence_color("B"), "markersize": 5, "linewidth": 1.2}
    right.plot(sizes, [cost.entries for cost in costs], "s-", **line)
    _against_block_size(left, sizes, linear_to=0.5)
    _against_block_size(right, sizes)
    left.set(title="Empty slots per sequence", ylabel="slots", yticks=[0, 1, 10, 100], ylim=(0, None))
    right.set(title="Table entries per sequence", ylabel="entries")
    first, last = costs[0], costs[-1]
    return Picture(
        figure,
        f"Blocks of {first.block_size} to {last.block_size} tokens: empty slots per sequence from "
        f"{first.empty:.1f} to {last.empty:.1f}, table entries from {first.entries:,.1f} to "
        f"{last.entries:,.1f}.",
    )


def bytes_picture(costs: Sequence[BlockSizeCost], bytes_per_token: int, bytes_per_entry: int) -> Picture:
    """What the empty slots and what the table entries of a sequence take, in KiB, against the block size.

    Args:
        costs: by block size.
        bytes_per_token: keys and values of one token, in all layers.
        bytes_per_entry: of the block table.
    """
    figure = blank(3.1)
    axes = figure.subplots()
    sizes = [cost.block_size for cost in costs]
    for name, letter, mark, values in (
        ("empty slots", "A", "o-", [cost.empty * bytes_per_token / 1024 for cost in costs]),
        ("table entries", "B", "s--", [cost.entries * bytes_per_entry / 1024 for cost in costs]),
    ):
        axes.plot(sizes, values, mark, label=name, color=theme.sequence_color(letter), markersize=5, linewidth=1.2)
        for at in (0, sizes.index(16) if 16 in sizes else -1, -1):
            shown = f"{values[at]:,.0f}" if values[at] >= 10 or not values[at] else f"{values[at]:.2g}"
            axes.annotate(shown, (sizes[at], values[at]), xytext=(0, 7), textcoords="offset points", fontsize=8.5)
    _against_block_size(axes, sizes, linear_to=0.01)
    axes.set(title="Memory per sequence", ylabel="KiB", yticks=[0, 0.1, 10, 1_000, 100_000], ylim=(0, None))
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.45))
    said = "; ".join(
        f"blocks of {cost.block_size:,}: {cost.empty * bytes_per_token / 1024:,.0f} KiB empty, "
        f"{cost.entries * bytes_per_entry / 1024:,.2f} KiB of entries"
        for cost in costs
    )
    return Picture(figure, f"Memory per sequence. {said}.")


def _against_block_size(axes: Axes, sizes: Sequence[int], linear_to: float = 0.0) -> None:
    """Logarithmic scales. Blocks of 1 leave nothing empty, and a logarithm has no 0: up to `linear_to` y is linear."""
    if linear_to:
        axes.set_yscale("symlog", linthresh=linear_to, linscale=0.45)
    else:
        axes.set_yscale("log")
    axes.set(xscale="log", xlabel="tokens per block (B)", xlim=(min(sizes) / 1.5, max(sizes) * 1.5))
    axes.set_xticks(sizes[:: max(1, round(len(sizes) / 6))])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.6g}")
    axes.minorticks_off()
