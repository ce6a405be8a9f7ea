"""A whole chunk of a trace file read at once, where every line of it has the usual form.

Either all of a chunk is read here, or nothing of it: None means that something in it is unusual, which may be right or
wrong, and that the readers of `labkit.simulate.traces` have to look at it line by line. What is accepted here they
accept too, with the same values.
"""

from __future__ import annotations

import json
import re
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
        times_s: float64, shape (n,).
        inputs, outputs: int64, shape (n,).
        ids: int64, shape (total,): the block ids of all requests, one after another.
        id_counts: int64, shape (n,): how many of them each request has; None where no line says.
    """

    times_s: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    id_counts: np.ndarray | None = None


def azure_batch(data: bytes, columns: list[int], max_tokens: int) -> Batch | None:
    """Rows of an Azure trace.

    Args:
        data: whole lines, without the header.
        columns: where time, prompt and output stand in a row, counted from 0.
        max_tokens: more is not usual.
    """
    # Only rows of one strict form pass, so that pandas has nothing to guess or to forgive.
    if not _usual_rows(*columns).fullmatch(data):
        return None
    import pandas  # takes long to load, and small files do without

    time, prompt, output = columns
    try:
        table = pandas.read_csv(
            BytesIO(data),
            header=None,
            usecols=columns,
            dtype={time: str, prompt: np.int64, output: np.int64},
            na_filter=False,
            index_col=False,
        )
        times = pandas.to_datetime(table[time], format="ISO8601", utc=True).dt.tz_localize(None)
    except (ValueError, OverflowError):
        return None  # the 31st of June, say
    inputs, outputs = table[prompt].to_numpy(), table[output].to_numpy()
    if max(inputs.max(initial=0), outputs.max(initial=0)) > max_tokens:
        return None
    microseconds = times.to_numpy("datetime64[us]").astype(np.int64)
    return Batch(microseconds / 1_000_000, inputs, outputs)


def mooncake_batch(data: bytes, fields: tuple[str, ...], max_tokens: int) -> Batch | None:
    """Lines of a Mooncake trace.

    Args:
        data: whole lines.
        fields: what time, prompt and output are called.
        max_tokens: more is not usual.
    """
    try:
        requests = [json.loads(line) for line in data.decode().split("\n") if line and not line.isspace()]
        times_ms, inputs, outputs = ([request[name] for request in requests] for name in fields)
        ids = [request["hash_ids"] for request in requests if "hash_ids" in request]
        if not set(map(type, times_ms)) <= {int, float} or not set(map(type, chain(inputs, outputs))) <= {int}:
            return None
        if ids and (len(ids) < len(requests) or set(map(type, ids)) != {list}):
            return None
        flat = list(chain.from_iterable(ids))
        if not set(map(type, flat)) <= {int}:
            return None
        times = np.array(times_ms, np.float64)
        tokens = np.array([inputs, outputs], np.int64)
        if not requests or not np.all((times >= 0) & (times < WHOLE_IN_A_FLOAT)):
            return None
        if tokens.min() < 0 or tokens.max() > max_tokens:
            return None
        return Batch(
            times / 1000,
            tokens[0],
            tokens[1],
            np.array(flat, np.int64),
            np.fromiter(map(len, ids), np.int64, len(ids)) if ids else None,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


@lru_cache
def _usual_rows(time: int, prompt: int, output: int) -> re.Pattern[bytes]:
    """Any number of lines with a date and time, two whole numbers, and anything without quotes in other columns."""
    fields = [rb'[^,"\r\n\0]*+'] * (max(time, prompt, output) + 1)
    fields[time] = rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:\+00:00)?"
    fields[prompt] = fields[output] = rb"\d{1,10}"
    # Possessive, so that the engine does not keep a way back for each of a hundred thousand lines.
    return re.compile(rb"(?:" + b",".join(fields) + rb'(?:,[^"\r\n\0]*+)?(?:\r?\n|\Z))*+')
