"""Trace files: `read_trace` reads whatever public format a file is, or what a column map says of it.

- Tables (CSV; commas, semicolons, tabs or bars) and JSON Lines or an array of JSON objects, a request each:
  Azure's LLM inference traces, BurstGPT, Mooncake, Qwen-Bailian (`labkit.simulate.trace_formats`), or any with a
  column map.
- Whole JSON documents: results of `vllm bench serve`, and Weka's agent sessions (`labkit.simulate.trace_documents`).

Any of them may be packed. What a file is says its beginning, never its name. Tables and lines are read in chunks of
some megabytes. What a chunk holds is read at once where all of it has the usual form (`trace_batches`), and otherwise
request by request (`trace_rows`), which says what is wrong and where. So ten million rows take seconds, and a bad one
among them is still named by its line.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.trace import Trace, mix
from labkit.simulate.trace_batches import csv_batch, json_batch
from labkit.simulate.trace_documents import is_document, read_document, read_folder
from labkit.simulate.trace_files import Chunk, beginning, chunks, lines
from labkit.simulate.trace_files import trace_error as _error
from labkit.simulate.trace_formats import columns_of
from labkit.simulate.trace_rows import MAX_TOKENS, MOONCAKE_BLOCK_TOKENS, Rows

__all__ = ["MOONCAKE_BLOCK_TOKENS", "Trace", "mix", "read_trace"]

MAX_LINE_BYTES = 16 * 2**20
BATCH_BYTES = 2**20
"""Below this a chunk is read line by line sooner than pandas is imported."""


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
    if path.is_dir():
        return read_folder(path).head(max_requests or MAX_TOKENS)
    start = beginning(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    reader = _Reader(path, max_requests, column_map, unit, block_tokens)
    if is_document(start):
        found = read_document(path)
        if isinstance(found, Trace):
            return found.head(max_requests or MAX_TOKENS)
        reader.objects((f"request {number}", request) for number, request in enumerate(found, 1))
    elif start.startswith(b"{"):
        reader.json_lines(progress)
    else:
        reader.table(progress, _delimiter(start))
    if reader.rows is None:
        raise _error(path, None, "it is empty", "check that the download is complete")
    return reader.rows.trace()


class _Reader:
    """The requests of one file. There are no rows as long as nothing has said what its columns mean."""

    def __init__(
        self,
        path: Path,
        max_requests: int | None,
        column_map: Mapping[str, str] | None,
        unit: str | None,
        block_tokens: int | None,
    ) -> None:
        self.path, self.max_requests, self.block_tokens = path, max_requests, block_tokens
        self.column_map, self.unit = column_map, unit
        self.rows: Rows | None = None
        self.places: list[int | None] = []

    def table(self, progress: bool | None, delimiter: str) -> None:
        """Rows with what the header calls time, prompt, output and block ids."""
        with closing(chunks(self.path, MAX_LINE_BYTES, progress, first_line_apart=True)) as pieces:
            for chunk in pieces:
                rows = self.rows
                if rows is not None and len(chunk.data) >= BATCH_BYTES and self.places[3] is None:
                    batch = csv_batch(chunk.data, self.places[:3], delimiter, MAX_TOKENS)
                    if batch is not None and rows.add_batch(batch):
                        if rows.full:
                            return
                        continue
                # A quoted field may hold line breaks, and so reach over the end of a piece: then all the rest is one.
                # The names in a header are often quoted, each on its own.
                quotes = chunk.data.count(b'"')
                reaches_over = quotes % 2 if rows is None else quotes
                self._table_rows(chunk.first, lines(chain([chunk], pieces) if reaches_over else [chunk]), delimiter)
                if self.rows is not None and self.rows.full:
                    return

    def json_lines(self, progress: bool | None) -> None:
        """Lines of JSON objects."""
        with closing(chunks(self.path, MAX_LINE_BYTES, progress)) as pieces:
            for chunk in pieces:
                if self.rows is None:
                    for line, request in self._parsed(chunk):
                        self._rows(line, list(request), text=False)  # it begins with a brace
                        break
                if self.rows is not None:
                    batch = json_batch(chunk.data, self.rows.columns.names, MAX_TOKENS)
                    if batch is None or not self.rows.add_batch(batch):
                        self.objects(self._parsed(chunk))
                    if self.rows.full:
                        return

    def objects(self, requests: Iterable[tuple[int | str, Any]]) -> None:
        """JSON objects, a request each, and where they stand."""
        for where, request in requests:
            if not isinstance(request, dict):
                what = f"it is {str(request).strip()[:40]!r}, but must be a JSON object"
                raise _error(self.path, where, what, "mend the line")
            rows = self._rows(where, list(request), text=False)
            columns = rows.columns
            for name in columns.needed:
                if name not in request:
                    has = ", ".join(request)[:200] or "it"
                    raise _error(self.path, where, f"the field {name!r} is missing", f"give it beside {has}")
            rows.add(where, *(None if name is None else request.get(name) for name in columns.names))
            if rows.full:
                return

    def _rows(self, where: int | str, names: list[str], text: bool) -> Rows:
        if self.rows is None:
            columns = columns_of(self.path, where, names, self.column_map, self.unit)
            self.rows = Rows(self.path, columns, self.max_requests, self.block_tokens, text)
            self.places = [names.index(name) if name in names else None for name in columns.names]
        return self.rows

    def _table_rows(self, first: int, numbered: Iterator[tuple[int, str]], delimiter: str) -> None:
        table = csv.reader((text for _, text in numbered), delimiter=delimiter)
        while True:
            try:
                fields = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                what = f"the row is not CSV ({error})"
                raise _error(self.path, first + table.line_num - 1, what, "mend or remove the row") from None
            line = first + table.line_num - 1
            if not any(field.strip() for field in fields):
                continue
            if self.rows is None:
                self._rows(line, fields, text=True)
                continue
            needed = max(place for place in self.places if place is not None) + 1
            if len(fields) < needed:
                what = f"the row has {len(fields)} fields, but needs {needed}"
                raise _error(self.path, line, what, "complete or remove the row")
            self.rows.add(line, *(None if place is None else fields[place].strip() for place in self.places))
            if self.rows.full:
                return

    def _parsed(self, chunk: Chunk) -> Iterator[tuple[int, Any]]:
        for line, text in chunk.lines():
            if not text.strip():
                continue
            try:
                yield line, json.loads(text)
            except json.JSONDecodeError as error:
                what = f"the line is not JSON ({error.msg} at column {error.colno}), but must be one JSON object"
                raise _error(self.path, line, what, "mend or remove the line") from None
            except (ValueError, RecursionError):
                raise _error(self.path, line, "the line is not readable JSON", "mend or remove the line") from None


def _delimiter(start: bytes) -> str:
    """What stands between the columns of the first line, and most often: names hold commas only in quotes."""
    line = re.sub(r'"[^"]*"', "", start.decode(errors="replace").partition("\n")[0])
    return max(",;\t|", key=line.count)
