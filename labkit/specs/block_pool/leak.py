"""A day of a small server whose requests come, hold blocks and go; some of them forget to give their blocks back.

For lesson 04. Nothing is computed and nothing waits: a request that finds no room is turned away.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit import theme
from labkit.cache.base import BlockPoolLike
from labkit.cache.block_table import blocks_needed
from labkit.simulate.pictures import Picture, blank


@dataclass
class Day:
    """What was counted at each step.

    Attributes:
        num_blocks: size of the pool.
        held: blocks that running requests hold.
        free: blocks that the pool calls free.
        served, refused: steps at which the arriving request was let in, or turned away.
    """

    num_blocks: int
    held: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @property
    def lost(self) -> list[int]:
        """Blocks at each step that are neither held nor free."""
        return [self.num_blocks - h - f for h, f in zip(self.held, self.free, strict=True)]


def a_day(pool: BlockPoolLike, steps: int = 900, forget: float = 0.0, seed: int = 4) -> Day:
    """One request of 5 to 200 tokens arrives at each step and, if there is room, stays for 5 to 40 steps.

    Args:
        pool: hands out blocks of 16 tokens.
        forget: share of requests that end without returning their blocks.
        seed: of the random lengths; the same seed gives the same requests.
    """
    rng = random.Random(seed)
    day = Day(pool.num_blocks)
    running: list[tuple[int, list[int]]] = []
    for step in range(steps):
        for request in [r for r in running if r[0] <= step]:
            running.remove(request)
            if rng.random() >= forget:
                pool.free(request[1])
        blocks = pool.allocate(blocks_needed(rng.randint(5, 200), 16))
        stays = rng.randint(5, 40)
        if blocks is None:
            day.refused.append(step)
        else:
            day.served.append(step)
            running.append((step + stays, blocks))
        day.held.append(sum(len(held) for _, held in running))
        day.free.append(pool.num_free)
    return day


def leak_picture(days: Mapping[str, Day]) -> Picture:
    """Held, lost and free blocks over time, one panel a day."""
    from matplotlib.patches import Patch

    figure = blank(2.9, 8.2)
    panels = figure.subplots(1, len(days), sharey=True, squeeze=False)[0]
    looks = [("held", theme.sequence_color("A"), None), ("lost", "#f3d5d2", "xxxx"), ("free", theme.LIGHT["bg"], None)]
    for panel, (title, day) in zip(panels, days.items(), strict=True):
        steps = range(len(day.held))
        bottom = [0] * len(day.held)
        for (_, color, hatch), counts in zip(looks, (day.held, day.lost, day.free), strict=True):
            top = [b + c for b, c in zip(bottom, counts, strict=True)]
            look = {"facecolor": color, "hatch": hatch, "edgecolor": theme.LIGHT["dim"], "linewidth": 0.0}
            panel.fill_between(steps, bottom, top, **look)
            bottom = top
        panel.set(title=title, xlabel="step", xlim=(0, len(day.held) - 1), ylim=(0, day.num_blocks))
    panels[0].set_ylabel("blocks")
    rim = {"edgecolor": theme.LIGHT["dim"], "linewidth": 0.6}  # what is free is white, and a swatch needs an edge
    handles = [Patch(facecolor=color, hatch=hatch, label=name, **rim) for name, color, hatch in looks]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    said = "; ".join(
        f"{title}: {day.lost[-1]} of {day.num_blocks} blocks are lost at the end" for title, day in days.items()
    )
    return Picture(figure, f"Held, lost and free blocks over {len(day.held)} steps. {said}.")
