"""ProgressOverview: what is passed, what was answered, which hints were opened, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from labkit.grading.standing import open_in, progress_rows, sums, whats_next
from labkit.widgets.base import LabWidget

if TYPE_CHECKING:
    from labkit.grading.progress import Progress


class ProgressOverview(LabWidget):
    """Progress over all lessons, or in one.

    Args:
        lesson: number or key of one lesson (the save point in its middle); None shows all.
        rows: instead of the learner's progress, rows as `labkit.grading.standing.progress_rows` gives them.
        progress: where progress is kept; left out, this machine's.
    """

    _name: ClassVar[str] = "progress_overview"

    data = traitlets.Dict({}).tag(sync=True)

    def __init__(
        self,
        lesson: str | None = None,
        rows: Sequence[dict[str, Any]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._lesson, self._progress = lesson, progress
        super().__init__(data=overview(progress_rows(lesson, progress) if rows is None else rows, lesson is not None))
        self._fixed = rows is not None

    def refresh(self) -> None:
        """Read the progress again."""
        if not self._fixed:
            self.data = overview(progress_rows(self._lesson, self._progress), self._lesson is not None)

    def summary(self) -> str:
        return f"{self.data['title']}: {self.data['headline']}"

    def text_form(self) -> str:
        lines = [self.summary()]
        for row in self.data["rows"]:
            lines.append(f"  {row['number']} {row['title']}: {sums([row]) or 'no exercises'}")
        if self.data["next"]:
            lines.append(f"Next: {self.data['next']}")
        return "\n".join(lines)


def overview(rows: Sequence[dict[str, Any]], one_lesson: bool) -> dict[str, Any]:
    """What the page draws: rows, a headline, and the next thing to do."""
    number, words = whats_next(rows)
    return {
        "title": "Save point" if one_lesson else "Progress",
        "headline": sums(rows) or "no exercises",
        "rows": [{**row, "next": row["number"] == number and not one_lesson} for row in rows],
        "next": open_in(rows[0]) if one_lesson and rows else words,
        "note": SAVED if one_lesson else "",
    }


SAVED = (
    "Everything up to here is kept. You can stop now and go on another day: then click into this cell and choose "
    "Run > Run All Above Selected Cell."
)
