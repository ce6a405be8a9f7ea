"""A series in a file: JSON Lines that grow while it is recorded, and give the same series when they are read back.

The first line says what the file is. The others say, in the order in which it happened, what the figures are worth from
now on, one window, or why there was none:

    {"format": "labkit.series", "version": 1}
    {"source": "vLLM 0.33.0 at ...", "worth": {"recomputed": ["absent", "None of ..."]}}
    {"end_s": 2.0, "seconds": 2.0, "delivered": 1012.5, ...}
    {"at_s": 4.0, "problem": "Nobody listens at ..."}

Each line is written whole and at once, so a recording that was cut off in the middle of one lacks that line alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from labkit.errors import SeriesError, UnreadableError
from labkit.observe.series import FIGURES, Series, Worth
from labkit.reading import parse_json, read_text

FORMAT, VERSION = "labkit.series", 1
MOST_BYTES = 1 << 30


class SeriesLog:
    """A file that a series is recorded in.

    Args:
        path: must not exist, so that no recording is lost.

    Raises:
        SeriesError: it exists, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("x", encoding="utf-8", newline="\n")
        except FileExistsError:
            raise SeriesError(f"{path} is there already: give a new name, so that no recording is lost.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SeriesError(f"{path} cannot be written ({reason}): give a place where it can.") from None
        self._path = path
        self._write({"format": FORMAT, "version": VERSION})

    def describe(self, series: Series) -> None:
        """What it is of, and what its figures are worth from now on."""
        worth = {name: series.worth(name) for name in FIGURES}
        told = {name: [str(how), why] for name, (how, why) in worth.items() if how is not Worth.EXACT}
        self._write({"source": series.source, "worth": told})

    def add(self, row: Mapping[str, float]) -> None:
        """One window, as `Series.rows` has it."""
        self._write(row)

    def problem(self, at_s: float, sentence: str) -> None:
        """Why there is no window."""
        self._write({"at_s": at_s, "problem": sentence})

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise SeriesError(
                f"{self._path} cannot be written any more ({error.strerror}): what came is kept."
            ) from None


def write_series(series: Series, path: Path) -> None:
    """Write a whole series; SeriesError where the file exists or cannot be written."""
    log = SeriesLog(path)
    try:
        log.describe(series)
        for row in series.rows():
            log.add(row)
    finally:
        log.close()


def read_series(path: Path) -> Series:
    """The series in a file; a last line that was cut off is left out.

    Raises:
        SeriesError: there is no such file, or it is no such log.
    """
    try:
        text = read_text(path, MOST_BYTES)
    except UnreadableError as error:
        raise SeriesError(f"{path} cannot be read ({error.reason}): give a file that `--record` wrote.") from None
    whole, _, _ = text.rpartition("\n")
    series = Series()
    for number, line in enumerate(whole.split("\n"), 1):
        try:
            _take(series, parse_json(line), first=number == 1)
        except (UnreadableError, SeriesError) as error:
            raise SeriesError(f"{path}, line {number}: {error}") from None
    return series


def _take(series: Series, line: Any, first: bool) -> None:
    if not isinstance(line, dict):
        raise SeriesError("This is no object, and a line of a series is one.")
    if first:
        if line.get("format") != FORMAT:
            raise SeriesError(f'This is no recorded series: one begins with {{"format": "{FORMAT}", ...}}.')
        if line.get("version") != VERSION:
            raise SeriesError(
                f"It is of version {line.get('version')!r:.20}, and this labkit reads version {VERSION}: update it."
            )
    elif "worth" in line:
        series.describe(str(line.get("source", "")), _worths(line["worth"]))
    elif "end_s" in line:
        row = {name: value for name, value in line.items() if isinstance(value, int | float)}
        if len(row) < len(line) or "seconds" not in row or any(isinstance(value, bool) for value in row.values()):
            raise SeriesError("This window has no length, or a figure that is no number.")
        series.add(row.pop("end_s"), row.pop("seconds"), **{name: float(value) for name, value in row.items()})
    elif "problem" not in line:
        raise SeriesError("This line says nothing that is known: neither a window, nor worths, nor a problem.")


def _worths(value: Any) -> dict[str, tuple[Worth, str]]:
    try:
        return {str(name): (Worth(how), str(why)) for name, (how, why) in dict(value).items()}
    except (ValueError, TypeError):
        raise SeriesError('Worths are given as {"figure": ["exact", "proxy" or "absent", a sentence]}.') from None
