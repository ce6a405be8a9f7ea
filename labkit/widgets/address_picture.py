"""AddressPicture: which program of a launch touched which slots of which block, in which order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget
from labkit.words import plural

if TYPE_CHECKING:
    from labkit.kernels.ledger import Access, LaunchTraffic
    from labkit.kernels.recording import Paged, Recording

MOST_PROGRAMS, MOST_SLOTS, MOST_STEPS = 16, 48, 400
"""What fits: rows, slots beside each other, and accesses to step through."""


class AddressPicture(LabWidget):
    """A row per program, the blocks of one argument side by side, and its loads and stores one after the other.

    Args:
        launch: whose accesses were kept (`labkit.kernels.watched`).
        paged: which argument is drawn, how it lies in blocks, and which of them are the request's.
        step: how many accesses are drawn at first; all of them unless told otherwise.
        outside: an access that lies in no tensor, which ended the launch.
        sentence: why the launch did not come to its end.
        title, subtitle: above the picture.

    Raises:
        LabkitError: there is too much to draw.
    """

    _name: ClassVar[str] = "address_picture"

    title = traitlets.Unicode().tag(sync=True)
    subtitle = traitlets.Unicode().tag(sync=True)
    programs = traitlets.List(help="e.g. '(0, 1)', in the order in which they run").tag(sync=True)
    blocks = traitlets.List(help="{id, page or None, slots: 'token' | 'empty' | 'other'}").tag(sync=True)
    words = traitlets.Dict(help="{slot, block, row}: what they are called, numbers of a slot").tag(sync=True)
    steps = traitlets.List(help="{program, cells: [[block, slot, first, end]], wrong, say, told}").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        launch: LaunchTraffic,
        paged: Paged,
        step: int | None = None,
        outside: Access | None = None,
        sentence: str = "",
        title: str = "Addresses of a launch",
        subtitle: str = "",
    ) -> None:
        accesses = [a for a in launch.accesses if a.argument == paged.argument]
        count = math.prod(launch.grid)
        if count > MOST_PROGRAMS or paged.num_blocks * paged.page > MOST_SLOTS or len(accesses) > MOST_STEPS:
            raise LabkitError(
                f"{plural(count, 'program')}, {plural(paged.num_blocks * paged.page, 'slot')} and "
                f"{plural(len(accesses), 'access', 'accesses')} cannot be drawn: launch at most {MOST_PROGRAMS} "
                f"programs over {MOST_SLOTS} slots."
            )
        self._paged, self._grid = paged, launch.grid
        steps = [self._step_of(access) for access in accesses]
        if outside is not None or sentence:
            cells = [] if outside is None else [[-1 if outside.offsets[0] < 0 else paged.num_blocks, 0, 0, 1]]
            program = 0 if outside is None else self._index(outside.program)
            steps.append({"program": program, "cells": cells, "wrong": True, "say": sentence, "told": sentence})
        super().__init__(
            title=title,
            subtitle=subtitle or f"A row per program; the blocks of {paged.argument} as they lie in memory.",
            programs=[self._label(index) for index in range(count)],
            blocks=[self._block(block) for block in range(paged.num_blocks)],
            words={"slot": paged.slot, "block": paged.block, "row": paged.row},
            steps=steps,
            step=len(steps) if step is None else max(0, min(int(step), len(steps))),
        )

    @classmethod
    def of(cls, recording: Recording, **options: Any) -> AddressPicture:
        """The picture of a launch that was made in the sandbox (`labkit.kernels.recording.record`)."""
        if recording.launch is None or recording.paged is None:
            raise LabkitError(f"There is nothing to draw: {recording.sentence or 'the scene says of no argument how.'}")
        return cls(recording.launch, recording.paged, outside=recording.outside, sentence=recording.sentence, **options)

    def summary(self) -> str:
        wrong = sum(step["wrong"] for step in self.steps)
        told = f", {wrong} of them wrong" if wrong else ""
        return (
            f"AddressPicture({self.title}: {plural(len(self.programs), 'program')}, {self._paged.argument}, "
            f"{plural(len(self.steps), 'access', 'accesses')}{told})"
        )

    def text_form(self) -> str:
        return "\n".join([self.summary(), *(f"{n:3}  {step['say']}" for n, step in enumerate(self.steps, 1))])

    def _index(self, program: tuple[int, ...]) -> int:
        return int(np.ravel_multi_index(program[: len(self._grid)], self._grid))

    def _label(self, index: int) -> str:
        place = [int(i) for i in np.unravel_index(index, self._grid)]
        return str(place[0]) if len(place) == 1 else f"({', '.join(map(str, place))})"

    def _owned(self, block: int) -> int:
        """How many slots of a block hold tokens of the request."""
        paged = self._paged
        if block not in paged.table:
            return 0
        return max(0, min(paged.page, paged.length - paged.table.index(block) * paged.page))

    def _block(self, block: int) -> dict[str, Any]:
        mine = block in self._paged.table
        used, rest = self._owned(block), "empty" if mine else "other"
        slots = ["token"] * used + [rest] * (self._paged.page - used)
        return {"id": block, "page": self._paged.table.index(block) if mine else None, "slots": slots}

    def _step_of(self, access: Access) -> dict[str, Any]:
        """One load or store: the slots it touches, which numbers of each, and what is said of it."""
        paged = self._paged
        cells = []
        for place in np.unique(access.offsets // paged.row):
            numbers = access.offsets[access.offsets // paged.row == place] % paged.row
            cells.append([*divmod(int(place), paged.page), int(numbers.min()), int(numbers.max()) + 1])
        program = self._index(access.program)
        who, does = f"Program {self._label(program)}", "writes" if access.store else "reads"
        touched = sorted({block for block, *_ in cells})
        strange = [b for b in touched if b not in paged.table]
        unused = [(b, s) for b, s, *_ in cells if b in paged.table and s >= self._owned(b)]
        if not cells:
            say = f"{who} asks {paged.argument} for nothing: all lanes are off."
        elif paged.row == 1 and not strange + unused:
            which = _range(sorted(map(int, access.offsets)))
            say = f"{who} {does} {plural(len(access.offsets), 'number')} of {paged.argument}: {which}."
        else:
            where = ", ".join(self._where(block, cells) for block in touched)
            say = f"{who} {does} {plural(len(access.offsets), 'number')} of {paged.argument}: {where}."
        if strange:
            say += f" {paged.block.capitalize()} {strange[0]} is not the request's."
        elif unused:
            say += f" {paged.slot.capitalize()} {unused[0][1]} of {paged.block} {unused[0][0]} holds no token of it."
        told = f"{paged.argument}[{access.offsets.min()}..{access.offsets.max()}]" if cells else "nothing"
        return {"program": program, "cells": cells, "wrong": bool(strange or unused), "say": say, "told": told}

    def _where(self, block: int, cells: list[list[int]]) -> str:
        paged = self._paged
        slots = [slot for b, slot, *_ in cells if b == block]
        where = f"{paged.slot}{'s' if len(slots) > 1 else ''} {_range(slots)} of {paged.block} {block}"
        return where + (f", page {paged.table.index(block)}" if block in paged.table and paged.row > 1 else "")


def _range(numbers: list[int]) -> str:
    """ "3", "0 to 3", or each of them where some are left out."""
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def picture(name: str, **options: Any) -> AddressPicture | None:
    """The addresses of lesson 11's kernel called `name`, as it stands in this notebook (`scenes.newest`).

    Where there is nothing to draw, a sentence is printed.

    Args:
        options: of `AddressPicture`.
    """
    from labkit.kernels.recording import can_launch
    from labkit.specs.first_kernel.scenes import newest

    if not can_launch():
        return None
    recording, whose = newest(name)
    if recording.launch is None:
        print(recording.sentence)
        return None
    return AddressPicture.of(recording, **{"title": f"{name}: {whose}"} | options)
