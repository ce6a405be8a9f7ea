"""Request traces: when requests came, and how long they were.

Two public formats are read, both line by line, so that a file larger than memory fails only by what it holds:

- the Azure LLM inference traces (CSV; columns TIMESTAMP, ContextTokens, GeneratedTokens),
github.com/Azure/AzurePublicDataset; - the Mooncake traces (JSON Lines; timestamp in ms, input_length,
output_length, hash_ids), github.com/kvcache-ai/Mooncake.
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from labkit.errors import TraceFileError

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOONCAKE_FIELDS = ("timestamp", "input_length", "output_length")
MAX_TOKENS = 2**31 - 1
MAX_LINE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Trace:
    """Requests in the order in which they came.

    Attributes:
        name: what it is called in figures.
        source: where it is from.
        arrival_s: float64, shape (n,): seconds since the first request, ascending.
        input_tokens, output_tokens: int64, shape (n,): prompt and generated tokens, 0 or more.
        hash_ids: for each request the ids of its prompt's blocks (Mooncake: 512 tokens each; equal ids mean equal
            prefixes), or None where the trace does not say.
        notes: what was done to the file's contents, one sentence each.
    """

    name: str
    source: str
    arrival_s: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    hash_ids: tuple[np.ndarray, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __repr__(self) -> str:
        return f"Trace({self.name}: {len(self):,} requests, {self.duration_s:,.0f} s)"

    @property
    def total_tokens(self) -> np.ndarray:
        """int64, shape (n,): what a request's cache holds when it ends."""
        return self.input_tokens + self.output_tokens

    @property
    def duration_s(self) -> float:
        """From the first to the last arrival."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    def head(self, num_requests: int) -> Trace:
        """The first `num_requests` requests."""
        return replace(
            self,
            arrival_s=self.arrival_s[:num_requests],
            input_tokens=self.input_tokens[:num_requests],
            output_tokens=self.output_tokens[:num_requests],
            hash_ids=None if self.hash_ids is None else self.hash_ids[:num_requests],
        )

    def capped(self, max_tokens: int) -> Trace:
        """As a server with this maximum serves it: prompts cut to leave room for one token, outputs to fit."""
        input_tokens = np.minimum(self.input_tokens, max_tokens - 1)
        output_tokens = np.minimum(self.output_tokens, max_tokens - input_tokens)
        return replace(self, input_tokens=input_tokens, output_tokens=output_tokens)

    def summary(self) -> dict[str, dict[str, float]]:
        """{"input_tokens" | "output_tokens": {"mean", "p50", "p99"}, "arrivals": {"per_s", "cv"}}.

        The CV is the standard deviation of the times between arrivals over their mean: 1 for a Poisson process, more
        where requests come in bursts.
        """
        gaps_s = np.diff(self.arrival_s)
        mean_s = float(gaps_s.mean()) if len(gaps_s) else 0.0

        def of(tokens: np.ndarray) -> dict[str, float]:
            p50, p99 = np.percentile(tokens, [50, 99])
            return {"mean": float(tokens.mean()), "p50": float(p50), "p99": float(p99)}

        return {
            "input_tokens": of(self.input_tokens),
            "output_tokens": of(self.output_tokens),
            "arrivals": {
                "per_s": 1 / mean_s if mean_s else math.nan,
                "cv": float(gaps_s.std(ddof=1)) / mean_s if mean_s and len(gaps_s) > 1 else math.nan,
            },
        }


def read_trace(path: str | Path, max_requests: int | None = None) -> Trace:
    """Read a trace in whichever of the two formats the file is.

    Args:
        path: the file.
        max_requests: stop after this many.

    Raises:
        TraceFileError: with the file, the line, what was expected and what to do.
    """
    path = Path(path)
    for number, line in _lines(path):
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            return read_mooncake_jsonl(path, max_requests)
        if any(column.lower() in text.lower() for column in AZURE_COLUMNS):
            return read_azure_csv(path, max_requests)
        raise _error(
            path,
            number,
            f"the line begins with {text[:40]!r}, but a trace begins with the columns {', '.join(AZURE_COLUMNS)} "
            "(Azure CSV) or with a JSON object (Mooncake JSON Lines)",
            "convert the file to one of the two",
        )
    raise _empty(path)


def read_azure_csv(path: str | Path, max_requests: int | None = None) -> Trace:
    """Read an Azure LLM inference trace; other columns are ignored. See `read_trace`."""
    path = Path(path)
    columns: list[int] | None = None
    rows = _Rows(path)
    numbered = _Numbered(_lines(path))
    table = csv.reader(numbered)
    while True:
        try:
            fields = next(table)
        except StopIteration:
            break
        except csv.Error as error:
            raise _error(path, numbered.line, f"the row is not CSV ({error})", "mend or remove the row") from None
        line = numbered.line
        if not any(field.strip() for field in fields):
            continue
        if columns is None:
            columns = _azure_columns(path, line, fields)
            continue
        if len(fields) <= max(columns):
            raise _error(
                path,
                line,
                f"the row has {len(fields)} fields, but needs {max(columns) + 1}",
                "complete or remove the row",
            )
        time, prompt, output = (fields[column].strip() for column in columns)
        rows.add(line, _azure_time(path, line, time), _number(prompt), _number(output), AZURE_COLUMNS)
        if len(rows) == max_requests:
            break
    if columns is None:
        raise _empty(path)
    return rows.trace("Azure LLM inference trace format")


def read_mooncake_jsonl(path: str | Path, max_requests: int | None = None) -> Trace:
    """Read a Mooncake trace; other fields are ignored. See `read_trace`."""
    path = Path(path)
    rows = _Rows(path)
    for line, text in _lines(path):
        if not text.strip():
            continue
        try:
            request = json.loads(text)
        except json.JSONDecodeError as error:
            what = f"the line is not JSON ({error.msg} at column {error.colno}), but must be one JSON object"
            raise _error(path, line, what, "mend or remove the line") from None
        except (ValueError, RecursionError):
            raise _error(path, line, "the line is not readable JSON", "mend or remove the line") from None
        if not isinstance(request, dict):
            raise _error(path, line, f"the line is {text.strip()[:40]!r}, but must be a JSON object", "mend the line")
        for name in MOONCAKE_FIELDS:
            if name not in request:
                raise _error(
                    path, line, f"the field {name!r} is missing", f"give it beside {', '.join(request) or 'it'}"
                )
        time_ms, prompt, output = (request[name] for name in MOONCAKE_FIELDS)
        rows.add(line, _milliseconds(path, line, time_ms), prompt, output, MOONCAKE_FIELDS)
        if "hash_ids" in request:
            rows.hash_ids.append(_hash_ids(path, line, request["hash_ids"]))
        if len(rows) == max_requests:
            break
    return rows.trace("Mooncake trace format")


class _Rows:
    """Requests as they are read: checked, and kept in compact arrays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times_s = array("d")
        self.inputs = array("q")
        self.outputs = array("q")
        self.hash_ids: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.times_s)

    def add(self, line: int, time_s: float, prompt: object, output: object, names: tuple[str, ...]) -> None:
        for name, value in zip(names[1:], (prompt, output), strict=True):
            if type(value) is not int or not 0 <= value <= MAX_TOKENS:
                raise _error(
                    self.path,
                    line,
                    f"{name} is {str(value)[:40]!r}, but must be a whole number of tokens from 0 to {MAX_TOKENS:,}",
                    "mend or remove the row",
                )
        self.times_s.append(time_s)
        self.inputs.append(prompt)  # type: ignore[arg-type]
        self.outputs.append(output)  # type: ignore[arg-type]

    def trace(self, kind: str) -> Trace:
        if not self.times_s:
            raise _error(self.path, None, "it has no request", "check that the download is complete")
        times_s = np.array(self.times_s)
        inputs, outputs = np.array(self.inputs, np.int64), np.array(self.outputs, np.int64)
        hash_ids: list[np.ndarray] | None = self.hash_ids or None
        notes = []
        if hash_ids is not None and len(hash_ids) < len(self):
            hash_ids = None
            notes.append(f"Only {len(self.hash_ids):,} of {len(self):,} requests have hash_ids, so none are kept.")
        if np.any(np.diff(times_s) < 0):
            order = np.argsort(times_s, kind="stable")
            late = int(np.sum(np.diff(times_s) < 0))
            times_s, inputs, outputs = times_s[order], inputs[order], outputs[order]
            hash_ids = None if hash_ids is None else [hash_ids[i] for i in order]
            notes.append(f"The requests were not in order of time ({late:,} came too late) and have been sorted.")
        return Trace(
            name=self.path.stem,
            source=f"{self.path.name} ({kind})",
            arrival_s=times_s - times_s[0],
            input_tokens=inputs,
            output_tokens=outputs,
            hash_ids=None if hash_ids is None else tuple(hash_ids),
            notes=tuple(notes),
        )


class _Numbered:
    """The lines of a file for `csv.reader`, and the number of the one read last."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.line = 0

    def __iter__(self) -> _Numbered:
        return self

    def __next__(self) -> str:
        self.line, text = next(self._lines)
        return text


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, numbered from 1. Decoded one by one, so that a bad byte is found in the line that has it."""
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    what = f"the line is longer than {MAX_LINE_BYTES:,} bytes, but a request takes less"
                    raise _error(path, number, what, "check that this is a trace")
                try:
                    # utf-8-sig drops the byte order mark that spreadsheets put in front.
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    what = f"byte {error.start + 1} of the line is not UTF-8"
                    raise _error(path, number, what, "save the file as UTF-8") from None
    except FileNotFoundError:
        raise _error(path, None, "there is no such file", "check the path") from None
    except IsADirectoryError:
        raise _error(path, None, "it is a folder, but must be a file", "name one of the files in it") from None
    except OSError as error:
        # Windows says PermissionError where others say IsADirectoryError.
        what = "it is a folder, but must be a file" if path.is_dir() else f"it cannot be read ({error.strerror})"
        raise _error(path, None, what, "name a file that you may read") from None


def _azure_columns(path: Path, line: int, header: list[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    missing = [column for column in AZURE_COLUMNS if column.lower() not in names]
    if missing:
        raise _error(
            path,
            line,
            f"the column {missing[0]} is missing; the header must name {', '.join(AZURE_COLUMNS)} and has "
            f"{', '.join(header)[:120]}",
            "rename the columns",
        )
    return [names.index(column.lower()) for column in AZURE_COLUMNS]


def _azure_time(path: Path, line: int, text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        what = f"TIMESTAMP is {text[:40]!r}, but must be a date and time such as 2023-11-16 18:15:46.68"
        raise _error(path, line, what, "mend or remove the row") from None


def _milliseconds(path: Path, line: int, value: object) -> float:
    if type(value) in (int, float) and math.isfinite(value) and value >= 0:  # type: ignore[arg-type, operator]
        return value / 1000  # type: ignore[operator]
    what = f"timestamp is {str(value)[:40]!r}, but must be a number of milliseconds, 0 or more"
    raise _error(path, line, what, "mend or remove the line")


def _number(text: str) -> object:
    """An int where the text is one; a table program may have written 374.0, which is one too."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else text


def _hash_ids(path: Path, line: int, ids: object) -> np.ndarray:
    if isinstance(ids, list) and all(type(i) is int and abs(i) < 2**63 for i in ids):
        return np.array(ids, np.int64)
    what = f"hash_ids is {str(ids)[:40]!r}, but must be a list of whole numbers"
    raise _error(path, line, what, "mend or remove the line")


def _empty(path: Path) -> TraceFileError:
    return _error(path, None, "it is empty", "check that the download is complete")


def _error(path: Path, line: int | None, what: str, remedy: str) -> TraceFileError:
    where = f"{path}, line {line}" if line else f"{path}"
    return TraceFileError(f"Cannot read {where}: {what}; {remedy}.")
