"""One thing that `labkit author check` found, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """`rule` is a short hyphenated name, `cell` the id of the cell or "" where the whole file is meant; `message`
    says what is wrong and what to do."""

    path: Path
    cell: str
    rule: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path.name}, cell {self.cell}" if self.cell else self.path.name
        return f"{place}: {self.message} [{self.rule}]"
