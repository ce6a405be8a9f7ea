"""Requests of a trace file as they are read: checked one by one or taken in whole, and kept in compact arrays."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import TraceFileError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace import MOONCAKE_BLOCK_TOKENS, Trace
from labkit.simulate.trace_batches import Batch
from labkit.simulate.trace_files import trace_error
from labkit.simulate.trace_formats import PER_SECOND, WORDS, Columns

MAX_TOKENS = 2**31 - 1


class Rows:
    """Requests of one file.

    Args:
        path, columns: the file, and what its columns mean.
        max_requests: how many are wanted, None for all.
        block_tokens: tokens of a block where the caller says; then ids have to fit.
        text: values are the cells of a table, so "374" is a number.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns,
        max_requests: int | None = None,
        block_tokens: int | None = None,
        text: bool = False,
    ) -> None:
        self.path, self.columns = path, columns
        self.max_requests, self.block_tokens, self.text = max_requests, block_tokens, text
        self.dates: bool | None = None  # whether times are dates; the first request says
        self.times = array("d")
        self.inputs, self.outputs = array("q"), array("q")
        self.ids, self.id_counts = array("q"), array("q")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def full(self) -> bool:
        """Whether as many requests have been read as were asked for."""
        return len(self) == self.max_requests

    def add(self, where: int | str, time: Any, prompt: Any, output: Any = 1, ids: Any = None) -> None:
        """One request, of whatever its values are: what is no request is an error that says where."""
        self.times.append(self._time(where, time))
        self.inputs.append(self._tokens(where, self.columns.input, prompt))
        self.outputs.append(1 if self.columns.output is None else self._tokens(where, self.columns.output, output))
        if ids is not None:
            self._add_ids(where, ids)

    def add_batch(self, batch: Batch) -> bool:
        """Take in a whole chunk. False, and nothing taken in, if its times are not what is expected."""
        dates, times, inputs, outputs = batch
        if self.dates not in (None, dates) or not (dates or self.columns.unit):
            return False
        self.dates = dates
        count = None if self.max_requests is None else self.max_requests - len(self)
        self.times.frombytes(times[:count].tobytes())
        self.inputs.frombytes(inputs[:count].tobytes())
        self.outputs.frombytes(outputs[:count].tobytes())
        return True

    def trace(self, notes: Iterable[str] = (), block_tokens: int | None = None) -> Trace:
        """All of it in order of time, with notes on what was taken for granted.

        Args:
            notes: more of them.
            block_tokens: where the format says.
        """
        if not self.times:
            raise trace_error(self.path, None, "it has no request", "check that the download is complete")
        columns, notes = self.columns, list(notes)
        times_s = np.frombuffer(self.times, np.float64)
        inputs, outputs = (np.frombuffer(tokens, np.int64) for tokens in (self.inputs, self.outputs))
        if not self.dates:
            if columns.whole and columns.unit_from and np.any(times_s % 1):
                what = (
                    f"{columns.arrival} has fractions, such as {times_s[times_s % 1 > 0][0]:g}, but {columns.kind}'s "
                    f"{WORDS[columns.unit or 'ms']} are whole"
                )
                raise trace_error(self.path, None, what, "pass unit='s' or unit='ms', whichever it is")
            times_s = times_s / PER_SECOND[columns.unit or "s"]
        hash_ids = None
        if 0 < len(self.id_counts) < len(self):
            notes.append(f"Only {len(self.id_counts):,} of {len(self):,} requests have hash_ids, so none are kept.")
        elif self.id_counts:
            flat, counts = (np.frombuffer(numbers or b"", np.int64) for numbers in (self.ids, self.id_counts))
            hash_ids = BlockIds(flat, counts)
            block_tokens = block_tokens or self.block_tokens or _block_tokens(inputs, counts)
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
        trace = Trace(
            name=self.path.stem,
            source=f"{self.path.name} ({columns.kind} trace format)",
            arrival_s=times_s - times_s[0],
            input_tokens=inputs,
            output_tokens=outputs,
            hash_ids=hash_ids,
            block_tokens=block_tokens if hash_ids is not None else None,
        )
        if not self.dates and columns.unit_from:
            said = f"{columns.arrival.strip()} was read as {WORDS[columns.unit or 's']}, {columns.unit_from}"
            rate = f": {trace.per_s:.3g} requests per second" if trace.duration_s else ""
            notes.append(f"{said}{rate}; where that is wrong, pass unit=.")
        if columns.output is None:
            notes.append("Nothing says how many tokens were generated: one for each request.")
        if columns.idle_start and self.full:
            notes.append(
                f"{columns.kind}'s traces begin nearly idle, so the first {len(self):,} requests are not their usual "
                "load: read all, and take a part with `between`."
            )
        return replace(trace, notes=tuple(notes))

    def _time(self, where: int | str, value: Any) -> float:
        """In the file's unit, or, of a date, in seconds since 1970."""
        columns, number = self.columns, number_in(value) if self.text else value
        try:
            if type(number) in (int, float) and 0 <= number < math.inf and not self.dates:
                if columns.unit is None:
                    what = f"{columns.arrival.strip()} is {str(value)[:40]!r}, and nothing says in which unit of time"
                    units = ", ".join(f"{unit!r}" for unit in PER_SECOND)
                    raise trace_error(self.path, where, what, f"pass unit=, one of {units}")
                self.dates = False
                return float(number)
            if type(number) is str and self.dates is not False:
                time = datetime.fromisoformat(number)
                self.dates = True
                return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
        a_date = "a date and time such as 2023-11-16 18:15:46.68"
        a_number = f"a number{f' of {WORDS[columns.unit]}' if columns.unit else ''}, 0 or more"
        due = {True: a_date, False: a_number, None: f"{a_date}, or {a_number}"}[self.dates]
        raise self._error(where, columns.arrival, value, due)

    def _tokens(self, where: int | str, name: str, value: Any) -> int:
        number = number_in(value) if self.text else value
        if type(number) is float and number.is_integer():  # as a table program writes it: 374.0
            number = int(number)
        if type(number) is int and 0 <= number <= MAX_TOKENS:
            return number
        raise self._error(where, name, value, f"a whole number of tokens from 0 to {MAX_TOKENS:,}")

    def _add_ids(self, where: int | str, value: Any) -> None:
        """The ids of the request that was added last."""
        ids = value
        if self.text and re.fullmatch(r"\[?(?:[\s,;|]*-?\d{1,20}(?![^\s,;|\]]))*[\s,;|]*\]?", ids):
            ids = [int(number) for number in re.findall(r"-?\d+", ids)]
        if not isinstance(ids, list) or not all(type(i) is int and -(2**63) <= i < 2**64 for i in ids):
            due = "a list of whole numbers of at most 64 bits"
            raise self._error(where, self.columns.block_ids or "hash_ids", value, due)
        tokens = self.inputs[-1]
        if self.block_tokens is not None and len(ids) != (blocks := -(-tokens // self.block_tokens)):
            what = (
                f"hash_ids has {len(ids):,} ids, but a prompt of {tokens:,} tokens has {blocks:,} blocks of "
                f"{self.block_tokens:,}"
            )
            remedy = "complete the line, or name the block_tokens that this trace was made with"
            raise trace_error(self.path, where, what, remedy)
        # A hash of 64 bits without a sign stays as good a name with one.
        self.ids.extend(i if i < 2**63 else i - 2**64 for i in ids)
        self.id_counts.append(len(ids))

    def _error(self, where: int | str, name: str, value: object, due: str) -> TraceFileError:
        what = f"{name.strip()} is {str(value)[:40]!r}, but must be {due}"
        return trace_error(self.path, where, what, "mend or remove the row")


def number_in(text: Any) -> Any:
    """An int or float where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


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
