"""EngineMap: the parts of the engine, whose each one is, and which path of the course goes through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import traitlets

from labkit.grading.standing import progress_rows, whats_next
from labkit.widgets.base import LabWidget

PATHS: dict[str, tuple[str, frozenset[int]]] = {
    "storms": (
        "00-07, 09, 16-20: from a block to the cure of an eviction storm.",
        frozenset([*range(8), 9, *range(16, 21)]),
    ),
    "kernels": ("00-05, 10-15: from attention to kernels that read pages.", frozenset([*range(6), *range(10, 16)])),
    "whole": ("00-21: everything, up to your own engine serving a model.", frozenset(range(22))),
}
"""The three paths: what each leads to, and the numbers of the lessons on it."""


class EngineMap(LabWidget):
    """The boxes of the engine: yours, the reference for now, or still to come.

    Args:
        highlight: name of the slot that this lesson lights up, or "".
        path: "storms", "kernels" or "whole": boxes off the path are dimmed.
        boxes: instead of `labkit.engine`, dicts {name, title, lesson, row, column, about, state}; state is "yours",
            "reference" or "later".
        links: pairs of names, with `boxes`.
    """

    _name: ClassVar[str] = "engine_map"

    data = traitlets.Dict({}).tag(sync=True)
    path = traitlets.Unicode("whole").tag(sync=True)

    def __init__(
        self,
        highlight: str = "",
        path: str = "whole",
        boxes: Sequence[dict[str, Any]] | None = None,
        links: Sequence[tuple[str, str]] = (),
    ) -> None:
        if path not in PATHS:
            raise ValueError(f"There is no path {path!r}: name one of {', '.join(PATHS)}.")
        self._highlight, self._boxes, self._links = highlight, boxes, links
        super().__init__(data=self._data(), path=path)

    def refresh(self) -> None:
        """Ask again whose each part is, after a check has passed."""
        self.data = self._data()

    def _data(self) -> dict[str, Any]:
        data = map_data(self._highlight, self._boxes, self._links)
        number, words = ("", "") if self._boxes is not None else whats_next(progress_rows())
        return {**data, "headline": data["headline"] + (f" · next: {words}" if number else "")}

    def summary(self) -> str:
        boxes = self.data["boxes"]
        yours = [box["title"] for box in boxes if box["state"] == "yours"]
        which = f": {', '.join(yours)}" if yours else ""
        return f"EngineMap({len(yours)} of {len(boxes)} parts are yours{which})"


def map_data(
    highlight: str = "", boxes: Sequence[dict[str, Any]] | None = None, links: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """What the page draws: boxes with their state and paths, links, the highlighted box, a headline."""
    if boxes is None:
        boxes, links = _from_engine()
    shown = [dict(box, paths=_paths_of(box["lesson"])) for box in boxes]
    mine = sum(box["state"] == "yours" for box in shown)
    return {
        "boxes": shown,
        "links": [list(link) for link in links],
        "highlight": highlight,
        "headline": f"{mine} of {len(shown)} parts {'is' if mine == 1 else 'are'} yours",
        "paths": [{"name": name, "note": note} for name, (note, _) in PATHS.items()],
    }


def _paths_of(lesson: str) -> list[str]:
    number = int(lesson) if str(lesson).isdigit() else -1
    return [name for name, (_, lessons) in PATHS.items() if number in lessons]


def _from_engine() -> tuple[list[dict[str, Any]], Sequence[tuple[str, str]]]:
    from labkit import engine

    boxes = []
    for slot in engine.SLOTS:
        parts = [exercise.spec.target for _, exercise in engine.exercises(slot.name)]
        boxes.append(
            {
                "name": slot.name,
                "title": slot.title,
                "lesson": slot.lesson,
                "row": slot.row,
                "column": slot.column,
                "about": slot.about + (f" Parts: {', '.join(parts)}." if parts else ""),
                "state": engine.owner(slot.name),
            }
        )
    return boxes, engine.LINKS
