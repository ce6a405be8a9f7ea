"""A whole chunk of a table read at once, where every row of it has the usual form.

Either all of a chunk is read here, or nothing of it: None means that something in it is unusual, which may be right or
wrong, and that `labkit.simulate.trace_rows` has to look at it row by row. What is accepted here is accepted there too,
with the same values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np

Batch = tuple[bool, np.ndarray, np.ndarray, np.ndarray]
"""Whether times were dates, and are seconds (else they are the file's numbers); times, float64; prompts; outputs."""


def csv_batch(data: bytes, columns: Sequence[int | None], delimiter: str, max_tokens: int) -> Batch | None:
    """Rows of a table, or None.

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
    return dates, times, inputs, outputs


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
