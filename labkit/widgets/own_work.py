"""OwnWork: a form for the learner's own project: one detail, the claim to check, and where it was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from labkit.errors import LabkitError
from labkit.grading import own_work
from labkit.widgets.base import LabWidget

if TYPE_CHECKING:
    from labkit.grading.progress import Progress


class OwnWork(LabWidget):
    """Four fields that are kept on this machine, shown again when the cell runs again, and sent nowhere.

    Args:
        progress: where they are kept; left out, this machine's.
    """

    _name: ClassVar[str] = "own_work"

    fields = traitlets.List(help="name, label and text of each field").tag(sync=True)
    said = traitlets.Dict(help="what became of the last try to keep them: ok, text, and the number of tries").tag(
        sync=True
    )

    def __init__(self, progress: Progress | None = None) -> None:
        self._kept_in = progress
        said = {"ok": True, "text": "", "tries": 0}
        try:
            written = own_work.fields(progress)
        except LabkitError as error:
            written, said = dict.fromkeys(own_work.FIELDS, ""), {"ok": False, "text": str(error), "tries": 0}
        super().__init__(fields=_shown(written), said=said)

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """`keep` with the `fields` by name."""
        if content.get("type") == "keep" and isinstance(content.get("fields"), dict):
            self.keep(content["fields"])

    def keep(self, written: dict[str, Any]) -> None:
        """Keep the fields, and say whether that worked; what was kept before stays where it did not."""
        tries = self.said["tries"] + 1  # or the page would not hear the same words twice
        try:
            whole = own_work.keep(written, self._kept_in)
        except LabkitError as error:
            self.said = {"ok": False, "text": f"Not kept: {error}", "tries": tries}
            return
        empty = sum(not text for text in whole.values())
        more = f" {empty} of {len(whole)} fields are empty." if empty else ""
        with self.hold_sync():
            self.fields = _shown(whole)
            self.said = {"ok": True, "text": f"Kept on this machine.{more}", "tries": tries}

    def summary(self) -> str:
        return "Your own work: a form of four fields, kept on this machine"

    def text_form(self) -> str:
        return "\n".join([self.summary(), *(f"  {f['label']}: {f['text']}".rstrip() for f in self.fields)])


def _shown(written: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "label": label, "text": written[name], "most": own_work.LONGEST}
        for name, label in own_work.FIELDS.items()
    ]
