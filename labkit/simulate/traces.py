"""Request traces: when requests came, and how long they were.

Two public formats are read:

- the Azure LLM inference traces (CSV; columns TIMESTAMP, ContextTokens, GeneratedTokens),
  github.com/Azure/AzurePublicDataset;
- the Mooncake traces (JSON Lines; timestamp in ms, input_length, output_length, hash_ids),
  github.com/kvcache-ai/Mooncake.

Both in chunks of some megabytes. What a chunk holds is read at once where all of it has the usual form
(`trace_batches`), and otherwise line by line by the code in this file, which says what is wrong and where. So ten
million rows take seconds, and a bad one among them is still named by its line.
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError, TraceFileError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace_batches import Batch, azure_batch, mooncake_batch
from labkit.simulate.trace_files import Chunk, chunks, lines
from labkit.simulate.trace_files import trace_error as _error

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOONCAKE_FIELDS = ("timestamp", "input_length", "output_length")
MOONCAKE_BLOCK_TOKENS = 512
MAX_TOKENS = 2**31 - 1
MAX_LINE_BYTES = 16 * 2**20
BATCH_BYTES = 2**20
"""Below this a chunk is read line by line sooner than pandas is imported."""


@dataclass(frozen=True)
class Trace:
    """Requests in the order in which they came.

    Attributes:
        name: what it is called in figures.
        source: where it is from.
        arrival_s: float64, shape (n,): seconds since the first request, ascending.
        input_tokens, output_tokens: int64, shape (n,): prompt and generated tokens, 0 or more.
        hash_ids: for each request the ids of its prompt's blocks, an int64 array (equal ids mean equal prefixes; the
            last block may be part filled), or None where the trace does not say.
        notes: what was done to the file's contents, one sentence each.
        block_tokens: tokens that one of hash_ids stands for (Mooncake: 512), or None where nothing says.
    """

    name: str
    source: str
    arrival_s: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    hash_ids: Sequence[np.ndarray] | None = None
    notes: tuple[str, ...] = ()
    block_tokens: int | None = None

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


def read_trace(
    path: str | Path,
    max_requests: int | None = None,
    *,
    block_tokens: int | None = None,
    progress: bool | None = None,
) -> Trace:
    """Read a trace in whichever of the two formats the file is.

    Args:
        path: the file.
        max_requests: stop after this many.
        block_tokens: tokens that one hash id stands for, 512 in Mooncake's own traces. Where given, a request whose
            ids are too few or too many for its prompt is an error. Where not, the size that all requests agree with
            is found, and a note says so if there is none.
        progress: draw a progress bar on stderr: True, False, or None for "if that is a terminal and the file is large".

    Raises:
        TraceFileError: with the file, the line, what was expected and what to do.
    """
    path = Path(path)
    for number, line in lines(chunks(path, MAX_LINE_BYTES)):
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            return read_mooncake_jsonl(path, max_requests, block_tokens=block_tokens, progress=progress)
        if any(column.lower() in text.lower() for column in AZURE_COLUMNS):
            return read_azure_csv(path, max_requests, progress=progress)
        raise _error(
            path,
            number,
            f"the line begins with {text[:40]!r}, but a trace begins with the columns {', '.join(AZURE_COLUMNS)} "
            "(Azure CSV) or with a JSON object (Mooncake JSON Lines)",
            "convert the file to one of the two",
        )
    raise _empty(path)


def read_azure_csv(path: str | Path, max_requests: int | None = None, *, progress: bool | None = None) -> Trace:
    """Read an Azure LLM inference trace; other columns are ignored. See `read_trace`."""
    path = Path(path)
    rows = _Rows(path, _max_requests(max_requests))
    columns: list[int] | None = None
    with closing(chunks(path, MAX_LINE_BYTES, progress, first_line_apart=True)) as pieces:
        for chunk in pieces:
            if columns is not None and len(chunk.data) >= BATCH_BYTES:
                batch = azure_batch(chunk.data, columns, MAX_TOKENS)
                if batch is not None:
                    rows.add_batch(chunk, batch)
                    if rows.full:
                        break
                    continue
            # A quoted field may hold line breaks, and so reach over the end of a piece: then all the rest is one. The
            # names in a header are often quoted, each on its own.
            quotes = chunk.data.count(b'"')
            reaches_over = quotes % 2 if columns is None else quotes
            rest = chain([chunk], pieces) if reaches_over else [chunk]
            columns = _add_azure_rows(rows, columns, lines(rest))
            if rows.full:
                break
    if columns is None:
        raise _empty(path)
    return rows.trace("Azure LLM inference trace format")


def read_mooncake_jsonl(
    path: str | Path,
    max_requests: int | None = None,
    *,
    block_tokens: int | None = None,
    progress: bool | None = None,
) -> Trace:
    """Read a Mooncake trace; other fields are ignored. See `read_trace`."""
    path = Path(path)
    if block_tokens is not None:
        block_tokens = whole_number(block_tokens, "block_tokens", at_least=1, error=LabkitError)
    rows = _Rows(path, _max_requests(max_requests), block_tokens)
    with closing(chunks(path, MAX_LINE_BYTES, progress)) as pieces:
        for chunk in pieces:
            batch = mooncake_batch(chunk.data, MOONCAKE_FIELDS, MAX_TOKENS)
            if batch is None or not rows.add_batch(chunk, batch):
                _add_mooncake_lines(rows, chunk)
            if rows.full:
                break
    return rows.trace("Mooncake trace format")


def _add_azure_rows(
    rows: _Rows, columns: list[int] | None, numbered_lines: Iterator[tuple[int, str]]
) -> list[int] | None:
    """Read line by line; the columns are those of the header, None as long as there has been none."""
    path = rows.path
    numbered = _Numbered(numbered_lines)
    table = csv.reader(numbered)
    while True:
        try:
            fields = next(table)
        except StopIteration:
            return columns
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
        if rows.full:
            return columns


def _add_mooncake_lines(rows: _Rows, chunk: Chunk) -> None:
    path = rows.path
    for line, text in chunk.lines():
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
            rows.add_ids(line, _hash_ids(path, line, request["hash_ids"]))
        if rows.full:
            return


class _Rows:
    """Requests as they are read: checked, and kept in compact arrays."""

    def __init__(self, path: Path, max_requests: int | None, block_tokens: int | None = None) -> None:
        self.path = path
        self.max_requests = max_requests
        self.block_tokens = block_tokens
        self.times_s = array("d")
        self.inputs = array("q")
        self.outputs = array("q")
        self.ids = array("q")
        self.id_counts = array("q")

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def full(self) -> bool:
        """Whether as many requests have been read as were asked for."""
        return len(self) == self.max_requests

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

    def add_ids(self, line: int, ids: list[int]) -> None:
        """The hash ids of the request that was added last."""
        if self.block_tokens is not None:
            tokens = self.inputs[-1]
            blocks = -(-tokens // self.block_tokens)
            if len(ids) != blocks:
                raise _error(
                    self.path,
                    line,
                    f"hash_ids has {len(ids):,} ids, but a prompt of {tokens:,} tokens has {blocks:,} blocks of "
                    f"{self.block_tokens:,}",
                    "complete the line, or name the block_tokens that this trace was made with",
                )
        self.ids.extend(ids)
        self.id_counts.append(len(ids))

    def add_batch(self, chunk: Chunk, batch: Batch) -> bool:
        """Take in all of a chunk. False, and nothing taken in, if its lines have to be looked at one by one."""
        count = len(batch.times_s)
        if self.max_requests is not None:
            count = min(count, self.max_requests - len(self))
        if batch.id_counts is not None:
            counts = batch.id_counts[:count]
            if self.block_tokens is not None and np.any(counts != -(-batch.inputs[:count] // self.block_tokens)):
                return False
            self.id_counts.frombytes(counts.tobytes())
            self.ids.frombytes(batch.ids[: counts.sum()].tobytes())
        self.times_s.frombytes(batch.times_s[:count].tobytes())
        self.inputs.frombytes(batch.inputs[:count].tobytes())
        self.outputs.frombytes(batch.outputs[:count].tobytes())
        return True

    def trace(self, kind: str) -> Trace:
        if not self.times_s:
            raise _error(self.path, None, "it has no request", "check that the download is complete")
        times_s = np.frombuffer(self.times_s, np.float64)
        inputs, outputs = (np.frombuffer(tokens, np.int64) for tokens in (self.inputs, self.outputs))
        hash_ids, block_tokens, notes = None, None, []
        if 0 < len(self.id_counts) < len(self):
            notes.append(f"Only {len(self.id_counts):,} of {len(self):,} requests have hash_ids, so none are kept.")
        elif self.id_counts:
            flat, counts = (np.frombuffer(numbers or b"", np.int64) for numbers in (self.ids, self.id_counts))
            hash_ids = BlockIds(flat, counts)
            block_tokens = self.block_tokens or _block_tokens(inputs, counts)
            if block_tokens is None:
                notes.append("The requests do not agree on how many tokens one of hash_ids stands for.")
        late = np.diff(times_s) < 0
        if np.any(late):
            order = np.argsort(times_s, kind="stable")
            times_s, inputs, outputs = times_s[order], inputs[order], outputs[order]
            hash_ids = None if hash_ids is None else hash_ids.take(order)
            notes.append(
                f"The requests were not in order of time ({int(late.sum()):,} came too late) and have been sorted."
            )
        return Trace(
            name=self.path.stem,
            source=f"{self.path.name} ({kind})",
            arrival_s=times_s - times_s[0],
            input_tokens=inputs,
            output_tokens=outputs,
            hash_ids=hash_ids,
            notes=tuple(notes),
            block_tokens=block_tokens,
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


def _max_requests(value: int | None) -> int | None:
    return None if value is None else whole_number(value, "max_requests", at_least=1, error=LabkitError)


def _block_tokens(inputs: np.ndarray, counts: np.ndarray) -> int | None:
    """The block size at which every prompt has as many blocks as it has ids, None if there is none.

    Of several Mooncake's own is taken if it is among them, else a power of two, else the smallest.
    """
    if np.any((inputs == 0) != (counts == 0)):
        return None
    some, more = counts > 0, counts > 1
    # `count` blocks hold the prompt, and `count - 1` do not.
    smallest = int(np.max(-(-inputs[some] // counts[some]), initial=1))
    largest = int(np.min((inputs[more] - 1) // (counts[more] - 1), initial=MAX_TOKENS))
    for size in (MOONCAKE_BLOCK_TOKENS, 1 << (smallest - 1).bit_length(), smallest):
        if smallest <= size <= largest:
            return size
    return None


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


def _hash_ids(path: Path, line: int, ids: object) -> list[int]:
    if isinstance(ids, list) and all(type(i) is int and -(2**63) <= i < 2**63 for i in ids):
        return ids
    what = f"hash_ids is {str(ids)[:40]!r}, but must be a list of whole numbers"
    raise _error(path, line, what, "mend or remove the line")


def _empty(path: Path) -> TraceFileError:
    return _error(path, None, "it is empty", "check that the download is complete")
