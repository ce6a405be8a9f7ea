"""A whole chunk of a trace file read at once, where every line of it has the usual form.

Either all of a chunk is read here, or nothing of it: None means that something in it is unusual, which may be right or
wrong, and that `labkit.simulate.trace_rows` has to look at it request by request. What is accepted here is accepted
there too, with the same values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from itertools import chain

import numpy as np

WHOLE_IN_A_FLOAT = 2**53


@dataclass(frozen=True)
class Batch:
    """Requests of one chunk.

    Attributes:
        dates: whether times were written as dates, and are seconds. Else they are the numbers of the file.
        times: float64, shape (n,).
        inputs, outputs: int64, shape (n,).
        ids: int64, shape (total,): the block ids of all requests, one after another.
        id_counts: int64, shape (n,): how many of them each request has; None where no line says.
    """

    dates: bool
    times: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    id_counts: np.ndarray | None = None


def csv_batch(data: bytes, columns: Sequence[int | None], delimiter: str, max_tokens: int) -> Batch | None:
    """Rows of a table.

    Args:
        data: whole lines, without the header.
        columns: where time, prompt and output (None: there is none, and one token is taken) stand in a row, from 0.
        delimiter: what stands between two columns.
        max_tokens: more is not usual.
    """
    # Only rows of one strict form pass, so that pandas has nothing to guess or to forgive.
    time, prompt, output = columns
    form = (time, prompt, prompt if output is None else output, delimiter)
    dates = bool(_usual_rows(*form, _DATE).fullmatch(data))
    if not dates and not _usual_rows(*form, _NUMBER).fullmatch(data):
        return None
    kinds = {column: np.int64 for column in (prompt, output) if column is not None} | {time: str}
    import pandas  # takes long to load, and small files do without

    try:
        table = pandas.read_csv(
            BytesIO(data),
            sep=delimiter,
            header=None,
            usecols=[*kinds],
            dtype=kinds,
            na_filter=False,
            index_col=False,
        )
        if dates:
            read = pandas.to_datetime(table[time], format="ISO8601", utc=True).dt.tz_localize(None)
            times = read.to_numpy("datetime64[us]").astype(np.int64) / 1_000_000
        else:
            times = table[time].to_numpy(np.float64)  # as Python reads them; read_csv may be off in the last digit
    except (ValueError, OverflowError):
        return None  # the 31st of June, say
    inputs = table[prompt].to_numpy()
    outputs = np.ones(len(inputs), np.int64) if output is None else table[output].to_numpy()
    if max(inputs.max(initial=0), outputs.max(initial=0)) > max_tokens:
        return None
    return Batch(dates, times, inputs, outputs)


def json_batch(data: bytes, fields: Sequence[str | None], max_tokens: int) -> Batch | None:
    """Lines of JSON objects.

    Args:
        data: whole lines.
        fields: what time, prompt, output and block ids are called; of the last two either may be None.
        max_tokens: more is not usual.
    """
    time, prompt, output, block_ids = fields
    try:
        requests = [json.loads(line) for line in data.decode().split("\n") if line and not line.isspace()]
        numbers = [request[time] for request in requests]
        inputs = [request[prompt] for request in requests]
        outputs = [1] * len(inputs) if output is None else [request[output] for request in requests]
        ids = [request[block_ids] for request in requests if block_ids in request]
        if not set(map(type, numbers)) <= {int, float} or not set(map(type, chain(inputs, outputs))) <= {int}:
            return None
        if ids and (len(ids) < len(requests) or set(map(type, ids)) != {list}):
            return None
        flat = list(chain.from_iterable(ids))
        if not set(map(type, flat)) <= {int}:
            return None
        times = np.array(numbers, np.float64)
        tokens = np.array([inputs, outputs], np.int64)
        if not requests or not np.all((times >= 0) & (times < WHOLE_IN_A_FLOAT)):
            return None
        if tokens.min() < 0 or tokens.max() > max_tokens:
            return None
        counts = np.fromiter(map(len, ids), np.int64, len(ids)) if ids else None
        return Batch(False, times, tokens[0], tokens[1], np.array(flat, np.int64), counts)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


_DATE = rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:\+00:00)?"
_NUMBER = rb"\d{1,15}(?:\.\d{1,15})?"


@lru_cache
def _usual_rows(time: int, prompt: int, output: int, delimiter: str, time_form: bytes) -> re.Pattern[bytes]:
    """Any number of lines with a time, two whole numbers, and anything without quotes in other columns."""
    between = re.escape(delimiter.encode())
    other = rb'[^"\r\n\0' + between + rb"]*+"
    fields = [other] * (max(time, prompt, output) + 1)
    fields[time] = time_form
    fields[prompt] = fields[output] = rb"\d{1,10}"
    # Possessive, so that the engine does not keep a way back for each of a hundred thousand lines.
    return re.compile(rb"(?:" + between.join(fields) + rb"(?:" + between + rb'[^"\r\n\0]*+)?(?:\r?\n|\Z))*+')
