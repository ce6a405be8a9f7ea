"""What the columns of a trace mean: the public formats as a table of data, or a column map that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import LabkitError
from labkit.simulate.trace_files import trace_error

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_UNIT_IN_NAME = re.compile(rf"(?:^|[_\W])({'|'.join([*PER_SECOND, *WORDS.values()])})[)\]]?$")


@dataclass(frozen=True)
class Columns:
    """The columns of a file by what they mean, spelled as the file spells them.

    Attributes:
        kind: whose format it is.
        arrival, input, output, block_ids: when a request came; tokens of the prompt; tokens generated (None: one
            each); ids of the prompt's blocks (None: nothing says).
        unit: of arrival where it is a number, a key of `PER_SECOND`; None as long as nothing says.
        unit_from: how the unit is known, for a note; "" where the caller gave it.
        mark: a column that only this format has.
        whole: times with fractions are not of this format.
        idle_start: the beginning of this format's public traces is nearly idle.
    """

    kind: str
    arrival: str
    input: str
    output: str | None
    block_ids: str | None = None
    unit: str | None = None
    unit_from: str = ""
    mark: str = ""
    whole: bool = False
    idle_start: bool = False

    @property
    def names(self) -> tuple[str, str, str | None, str | None]:
        """What a request is read from, in the order of `Rows.add`."""
        return self.arrival, self.input, self.output, self.block_ids

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that every request must have."""
        return tuple(name for name in (self.arrival, self.input, self.output, self.mark) if name)


_MOONCAKE = ("timestamp", "input_length", "output_length", "hash_ids")
# The first whose columns are all there is taken. Sources: github.com/Azure/AzurePublicDataset (2023 and 2024 alike),
# HPMLL/BurstGPT (seconds: its issue 11; with and without Session ID), alibaba-edu/qwen-bailian-usagetraces-anon
# (Mooncake's names, but seconds), kvcache-ai/Mooncake (milliseconds: its issue 4).
FORMATS = (
    Columns("Azure LLM inference", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    Columns("BurstGPT", "Timestamp", "Request tokens", "Response tokens", unit="s", idle_start=True),
    Columns("Qwen-Bailian", *_MOONCAKE, unit="s", mark="chat_id"),
    Columns("Mooncake", *_MOONCAKE, unit="ms", whole=True),
)


def columns_of(
    path: Path, where: int | str, names: Sequence[str], column_map: Mapping[str, str] | None, unit: str | None
) -> Columns:
    """Find out which column means what.

    Args:
        path, where: the file, and the place of its header or first request, for an error.
        names: the columns that there are.
        column_map, unit: as for `read_trace`.

    Raises:
        TraceFileError: a column is missing, or no format fits; the sentence lists the columns that the file has.
        LabkitError: a map with other keys, or a unit that there is none of.
    """
    if unit is not None and unit not in PER_SECOND:
        raise LabkitError(f"unit is {unit!r:.60}, but must be one of {', '.join(PER_SECOND)}: name the unit of time.")
    # An exact name first; else spaces around it and capitals make no difference.
    spelled = {name.strip().lower(): name for name in names} | {name: name for name in names}

    def find(name: str | None) -> str | None:
        return None if name is None else spelled.get(name, spelled.get(name.strip().lower()))

    def missing(columns: Columns) -> list[str]:
        return [name for name in columns.needed if find(name) is None]

    formats = FORMATS if column_map is None else [_mapped(column_map)]
    # With equally many missing the shorter stands nearer: what lacks Qwen-Bailian's mark is told of Mooncake.
    nearest = min(formats, key=lambda columns: (len(missing(columns)), len(columns.needed)))
    if missing(nearest):
        has = f"the file has {', '.join(name.strip() for name in names)[:200] or 'none'}"
        if column_map is not None:
            what, remedy = f"column_map names the column {missing(nearest)[0]}, which is missing", "correct it"
        else:
            what = f"the column {missing(nearest)[0]} is missing, which a {nearest.kind} trace has"
            remedy = 'say which is which by column_map={"arrival": "...", "input": "...", "output": "..."}'
            if len(missing(nearest)) == len(nearest.needed):
                kinds = ", ".join(columns.kind for columns in formats)
                what = f"the line begins with {''.join(names[:1])[:40]!r}, which is of no trace known here ({kinds})"
        raise trace_error(path, where, f"{what}; {has}", remedy)
    chosen = next(columns for columns in formats if not missing(columns))
    unit_from = "" if unit else f"as in {chosen.kind}'s traces"
    if not (unit or chosen.unit) and (said := _UNIT_IN_NAME.search(chosen.arrival.strip().lower())):
        unit_from, unit = "as its name says", next(unit for unit in PER_SECOND if said[1] in (unit, WORDS[unit]))
    return replace(
        chosen,
        arrival=find(chosen.arrival) or "",
        input=find(chosen.input) or "",
        output=find(chosen.output),
        block_ids=find(chosen.block_ids) or chosen.block_ids,  # the first line of JSON may lack what others have
        mark=find(chosen.mark) or "",
        unit=unit or chosen.unit,
        unit_from=unit_from,
    )


def _mapped(column_map: Mapping[str, str]) -> Columns:
    fields = ("arrival", "input", "output", "block_ids")
    fits = isinstance(column_map, Mapping) and {"arrival", "input"} <= {*column_map} <= {*fields}
    if not fits or not all(isinstance(name, str) for name in column_map.values()):
        raise LabkitError(
            f"column_map is {str(column_map)[:120]}, but must say under 'arrival', 'input' and 'output' (and "
            "'block_ids', where there are any) what the file calls them: mend it."
        )
    arrival, input, output, block_ids = map(column_map.get, fields)
    assert arrival is not None and input is not None
    return Columns("mapped", arrival, input, output, block_ids, mark=block_ids or "")
