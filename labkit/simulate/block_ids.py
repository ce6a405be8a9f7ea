"""The block ids of many prompts, kept in two arrays.

A trace of ten million requests would otherwise be ten million arrays, each with a hundred bytes of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import overload

import numpy as np
from numpy.typing import NDArray


class BlockIds(Sequence[NDArray[np.int64]]):
    """A sequence of int64 arrays, one for each request: `ids[i]` is a view of the block ids of request i.

    Args:
        flat: int64, shape (total,): the ids of all requests, one after another.
        counts: int64, shape (n,): how many of them each request has.
    """

    def __init__(self, flat: np.ndarray, counts: np.ndarray) -> None:
        self.flat = flat
        self.ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        if self.ends[-1] != len(flat):
            raise ValueError(f"counts add up to {self.ends[-1]}, but there are {len(flat)} ids")

    @classmethod
    def of(cls, requests: Iterable[Sequence[int] | np.ndarray]) -> BlockIds:
        """From one list of ids a request."""
        requests = list(requests)
        counts = np.fromiter(map(len, requests), np.int64, len(requests))
        return cls(np.fromiter(chain.from_iterable(requests), np.int64, int(counts.sum())), counts)

    @property
    def counts(self) -> np.ndarray:
        """int64, shape (n,): blocks of each request."""
        return np.diff(self.ends)

    def take(self, order: Sequence[int] | np.ndarray) -> BlockIds:
        """The requests at these places, in this order."""
        places = np.asarray(order, np.int64)
        counts = self.counts[places]
        # For every id of the result: where its request begins here, and how far into the request it is.
        starts = np.repeat(self.ends[places] - (np.cumsum(counts) - counts), counts)
        return BlockIds(self.flat[starts + np.arange(len(starts))], counts)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> BlockIds: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | BlockIds:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self.take(range(start, stop, step))
            stop = max(start, stop)
            return BlockIds(self.flat[self.ends[start] : self.ends[stop]], self.counts[start:stop])
        place = range(len(self))[index]  # counts negative ones from the end, and refuses those outside
        return self.flat[self.ends[place] : self.ends[place + 1]]

    def __repr__(self) -> str:
        return f"BlockIds({len(self):,} requests, {len(self.flat):,} blocks)"
