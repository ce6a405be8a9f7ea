"""RadixTree: a radix prefix cache as a replay of its tree log: match paths, splits, locks, last use, evictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import traitlets

from labkit.errors import TreeLogError
from labkit.observe.trees import ROOT, TreeLog
from labkit.widgets.base import LabWidget
from labkit.words import plural

LONGEST_TEXT = 2000
"""Characters of one edge's text that travel to the page."""


class RadixTree(LabWidget):
    """A replay of a radix tree: play, step, rewind; point at a node or walk to it for its text, blocks, locks and use.

    Args:
        log: the tree's history, taken with `TreeLog.snapshot`.
        show: makes text from the bytes of an edge (whole pages). By default they are read as token ids of four bytes,
            little endian, where a page is a multiple of four, and as UTF-8 otherwise.
        step: how many snapshots have been taken when it opens; None is the end of the log.
        fold: subtrees away from what a step touches are drawn as one mark; None does so where the tree is too large for
            the picture.
        title, subtitle: what stands above the picture.

    Raises:
        TreeLogError: `log` is no TreeLog, or `show` gives something that is not text.
    """

    _name: ClassVar[str] = "radix_tree"

    records = traitlets.Bytes(b"").tag(sync=True)
    trees = traitlets.Bytes(b"").tag(sync=True)
    tree_ends = traitlets.Bytes(b"").tag(sync=True)
    tree_of = traitlets.Bytes(b"").tag(sync=True)
    texts = traitlets.List([]).tag(sync=True)
    pages = traitlets.Bytes(b"").tag(sync=True)
    blocks = traitlets.Bytes(b"").tag(sync=True)
    block_ends = traitlets.Bytes(b"").tag(sync=True)
    labels = traitlets.List([]).tag(sync=True)
    notes = traitlets.List([]).tag(sync=True)
    faults = traitlets.List([]).tag(sync=True)
    page_bytes = traitlets.Int(1).tag(sync=True)
    max_depth = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    fold = traitlets.Bool(None, allow_none=True).tag(sync=True)
    title = traitlets.Unicode("Radix tree").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        log: TreeLog,
        show: Callable[[bytes], str] | None = None,
        step: int | None = None,
        fold: bool | None = None,
        title: str = "Radix tree",
        subtitle: str = "",
    ) -> None:
        if not isinstance(log, TreeLog):
            raise TreeLogError(
                f"RadixTree draws a TreeLog, and this is a {type(log).__name__}: make a TreeLog, call its "
                "snapshot(root, label) after each operation, and give it here."
            )
        self._log = log
        # The picture is of the log as it is now: what is appended later does not reach it.
        self._steps = log.num_steps
        super().__init__(
            **board_data(log, show),
            step=None if step is None else max(0, min(step, self._steps)),
            fold=fold,
            title=title,
            subtitle=subtitle,
        )

    @property
    def shown_step(self) -> int:
        """The step at which the picture opens."""
        return self._steps if self.step is None else self.step

    def summary(self) -> str:
        nodes = [node for node in self._log.state(self.shown_step) if not node.gone and node.node != ROOT]
        locked = sum(len(node.blocks) for node in nodes if node.locks > 0)
        total = sum(len(node.blocks) for node in nodes)
        free = total - locked
        counted = f"{plural(len(nodes), 'node')}, {plural(total, 'block')}: {locked:,} locked, {free:,} evictable"
        return f"RadixTree({counted}; step {self.shown_step} of {self._steps})"


def board_data(log: TreeLog, show: Callable[[bytes], str] | None = None) -> dict[str, Any]:
    """A log as the board in the page takes it (`static/tree_board.js`); `show` is as for `RadixTree`."""
    lists = log.block_lists
    return {
        "records": log.records.tobytes(),
        "trees": _int32(index for tree in log.trees for index in tree),
        "tree_ends": np.cumsum([len(tree) for tree in log.trees], dtype="<i4").tobytes(),
        "tree_of": _int32(log.tree_of),
        "texts": [text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…" for text in _texts(log, show)],
        "pages": _int32(-(-len(key) // log.page_bytes) for key in log.keys),
        "blocks": _int32(block for blocks in lists for block in blocks),
        "block_ends": np.cumsum([len(blocks) for blocks in lists], dtype="<i4").tobytes(),
        "labels": list(log.labels),
        "notes": list(log.notes),
        "faults": list(log.faults),
        "page_bytes": log.page_bytes,
        "max_depth": log.max_depth,
    }


def _int32(numbers: Iterable[int]) -> bytes:
    return np.fromiter(numbers, dtype="<i4").tobytes()


def token_ids(key: bytes) -> str:
    """The bytes of an edge as token ids: unsigned, four bytes each, little endian."""
    return " ".join(map(str, np.frombuffer(key, dtype="<u4").tolist()))


def _texts(log: TreeLog, show: Callable[[bytes], str] | None) -> list[str]:
    """The text of each key of the log."""
    if show is None:
        if log.page_bytes % 4 == 0:
            return [token_ids(key) if len(key) % 4 == 0 else key.hex(" ") for key in log.keys]
        return [key.decode("utf-8", "replace") for key in log.keys]
    if not callable(show):
        raise TreeLogError(f"`show` is a {type(show).__name__}: give a function that makes text from an edge's bytes.")
    texts = []
    for key in log.keys:
        text: Any = show(key) if key else ""
        if not isinstance(text, str):
            raise TreeLogError(f"`show` gave a {type(text).__name__} for {key[:16]!r}: it must give text (str).")
        texts.append(text)
    return texts
