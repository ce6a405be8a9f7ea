"""Trace files: `read_trace` reads whatever public format a file is, or what a column map says of it.

- Tables (CSV; commas, semicolons, tabs or bars) and JSON Lines or an array of JSON objects, a request each:
  Azure's LLM inference traces, BurstGPT, Mooncake, Qwen-Bailian (`labkit.simulate.trace_formats`), or any with a
  column map.
- Whole JSON documents: results of `vllm bench serve`, and Weka's agent sessions (`labkit.simulate.trace_documents`).

Any of them may be packed. How a file begins says what it is, never its name. Tables and lines are read in chunks of
some megabytes, row by row (`trace_rows`), which says what is wrong and where; of a table, what has the usual form is
taken a chunk at once (`trace_batches`). So ten million rows take seconds, and a bad one is still named by its line.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.trace import MOONCAKE_BLOCK_TOKENS, Trace, mix
from labkit.simulate.trace_batches import csv_batch
from labkit.simulate.trace_documents import is_document, read_document, read_folder
from labkit.simulate.trace_files import Chunk, beginning, chunks, lines, trace_error
from labkit.simulate.trace_formats import columns_of
from labkit.simulate.trace_rows import MAX_TOKENS, Rows, number_in

__all__ = ["MOONCAKE_BLOCK_TOKENS", "Trace", "column_names", "mix", "read_trace"]

MAX_LINE_BYTES = 16 * 2**20
BATCH_BYTES = 2**20
"""Below this a chunk is read line by line sooner than pandas is imported."""
Begin = Callable[[int | str, list[str], bool], Rows]
"""Makes the rows, once the names of the columns are known: where they stand, the names, whether values are text."""


def read_trace(
    path: str | Path,
    max_requests: int | None = None,
    *,
    column_map: Mapping[str, str] | None = None,
    unit: str | None = None,
    block_tokens: int | None = None,
    progress: bool | None = None,
) -> Trace:
    """Read a trace in whichever format the file is, or as the column map says.

        read_trace("log.csv", column_map={"arrival": "start", "input": "prompt_len", "output": "gen_len"}, unit="ms")

    Args:
        path: the file, plain or packed (gzip, bzip2, xz, zip); or a folder of Weka's agent sessions.
        max_requests: stop after this many.
        column_map: what a table's columns, or the fields of JSON objects, are called: under "arrival" and "input" the
            time and the tokens of the prompt, under "output" the tokens generated (left out: one each), and under
            "block_ids" a list of ids of the prompt's blocks, if there is one. None for a format that is known.
        unit: of times that are numbers: "s", "ms", "us" or "ns". None to take the format's own, or the one that the
            column's name ends in (`start_ms`), which a note says; where neither helps, it is asked for.
        block_tokens: tokens that one block id stands for, 512 in Mooncake's own traces. Where given, a request whose
            ids are too few or too many for its prompt is an error. Where not, the size that all requests agree with
            is found, and a note says so if there is none.
        progress: draw a progress bar on stderr: True, False, or None for "if that is a terminal and the file is large".

    Returns:
        The requests by their time of arrival. Read its `notes`: they say what was taken for granted.

    Raises:
        TraceFileError: with the file, the line, what was expected and what to do; it lists the columns of the file
            where none fits.
        LabkitError: an argument that makes no sense.
    """
    path = Path(path)
    if max_requests is not None:
        max_requests = whole_number(max_requests, "max_requests", at_least=1, error=LabkitError)
    if block_tokens is not None:
        block_tokens = whole_number(block_tokens, "block_tokens", at_least=1, error=LabkitError)

    def begin(where: int | str, names: list[str], text: bool) -> Rows:
        columns = columns_of(path, where, names, column_map, unit)
        return Rows(path, columns, max_requests, block_tokens, text)

    found = _read(path, begin, progress)
    if isinstance(found, Trace):
        if column_map is not None or unit not in (None, "s"):
            what = "what its fields mean is known, and its times are seconds"
            raise trace_error(path, None, what, "leave column_map and unit out")
        return found.head(max_requests or MAX_TOKENS)
    return found.trace()


class _Named(Exception):
    """The names of the columns are known, and no more is wanted."""


def column_names(path: str | Path) -> list[str]:
    """The names of a table's columns, or of the fields of the first JSON object, as the file spells them.

    It is what `labkit.simulate.column_names.column_map` takes; a known document (vLLM's, Weka's) needs no map.

    Raises:
        TraceFileError: what `read_trace` refuses up to there, or a document whose fields are known.
    """
    path, names = Path(path), list[str]()

    def begin(_where: int | str, found: list[str], _text: bool) -> Rows:
        names.extend(found)
        raise _Named

    try:
        _read(path, begin, progress=False)
    except _Named:
        return names
    raise trace_error(path, None, "what its fields mean is known", "read it without a column map")


def _read(path: Path, begin: Begin, progress: bool | None) -> Rows | Trace:
    """The rows that `begin` makes of a file's columns, or a trace where what its fields mean is known."""
    start = b"" if path.is_dir() else beginning(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.is_dir() or is_document(start):
        found = read_folder(path) if path.is_dir() else read_document(path)
        if isinstance(found, Trace):
            return found
        rows = _objects(path, begin, ((f"request {n}", request) for n, request in enumerate(found, 1)))
    elif start.startswith(b"{"):
        with closing(chunks(path, MAX_LINE_BYTES, progress)) as pieces:
            rows = _objects(path, begin, _parsed(path, lines(pieces)))
    else:
        with closing(chunks(path, MAX_LINE_BYTES, progress, first_line_apart=True)) as pieces:
            rows = _table(path, begin, pieces, _delimiter(start))
    if rows is None:
        raise trace_error(path, None, "it is empty", "check that the download is complete")
    return rows


def _objects(path: Path, begin: Begin, requests: Iterable[tuple[int | str, Any]]) -> Rows | None:
    """JSON objects, a request each, and where they stand. None if there is none."""
    rows = None
    for where, request in requests:
        if not isinstance(request, dict):
            what = f"it is {str(request).strip()[:40]!r}, but must be a JSON object"
            raise trace_error(path, where, what, "mend the line")
        if rows is None:
            rows = begin(where, list(request), False)
            needed, names = rows.columns.needed, rows.columns.names
        for name in needed:
            if name not in request:
                has = ", ".join(request)[:200] or "it"
                raise trace_error(path, where, f"the field {name!r} is missing", f"give it beside {has}")
        rows.add(where, *map(request.get, names))
        if rows.full:
            break
    return rows


def _table(path: Path, begin: Begin, pieces: Iterator[Chunk], delimiter: str) -> Rows | None:
    """Rows of a table under its header. None if there is not even that."""
    rows = None
    places: list[int | None] = []  # of time, prompt, output and block ids in a row
    for chunk in pieces:
        batch = None
        if rows is not None and len(chunk.data) >= BATCH_BYTES and places[3] is None:
            batch = csv_batch(chunk.data, places[:3], delimiter, MAX_TOKENS)
        if rows is None or batch is None or not rows.add_batch(batch):
            # A quoted field may hold line breaks, and so reach over the end of a piece: then all the rest is one. The
            # names in a header are often quoted, each on its own.
            quotes = chunk.data.count(b'"')
            reaches_over = quotes % 2 if rows is None else quotes
            numbered = lines(chain([chunk], pieces) if reaches_over else [chunk])
            for line, fields in _fields(path, chunk.first, numbered, delimiter):
                if rows is None:
                    if any(type(number_in(field)) is not str for field in fields):
                        what = f"the row holds values ({', '.join(fields)[:60]}), but the first must name the columns"
                        raise trace_error(path, line, what, "put a header above it")
                    rows = begin(line, fields, True)
                    places = [fields.index(name) if name in fields else None for name in rows.columns.names]
                    most = max(place for place in places if place is not None)
                    continue
                if len(fields) <= most:
                    what = f"the row has {len(fields)} fields, but needs {most + 1}"
                    raise trace_error(path, line, what, "complete or remove the row")
                rows.add(line, *(None if place is None else fields[place].strip() for place in places))
                if rows.full:
                    break
        if rows is not None and rows.full:
            break
    return rows


def _fields(
    path: Path, first: int, numbered: Iterable[tuple[int, str]], delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    table = csv.reader((text for _, text in numbered), delimiter=delimiter)
    try:
        for fields in table:
            if any(field.strip() for field in fields):
                yield first + table.line_num - 1, fields
    except csv.Error as error:
        line = first + table.line_num - 1
        raise trace_error(path, line, f"the row is not CSV ({error})", "mend or remove the row") from None


def _parsed(path: Path, numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Any]]:
    for line, text in numbered:
        if not text.strip():
            continue
        try:
            yield line, json.loads(text)
        except json.JSONDecodeError as error:
            what = f"the line is not JSON ({error.msg} at column {error.colno}), but must be one JSON object"
            raise trace_error(path, line, what, "mend or remove the line") from None
        except (ValueError, RecursionError):
            raise trace_error(path, line, "the line is not readable JSON", "mend or remove the line") from None


def _delimiter(start: bytes) -> str:
    """What stands between the columns of the first line, and most often: names hold commas only in quotes."""
    line = re.sub(r'"[^"]*"', "", start.decode(errors="replace").partition("\n")[0])
    return max(",;\t|", key=line.count)
