"""The tree log: a radix prefix cache after each operation, a whole tree per step.

The cache itself never logs. After an operation `TreeLog.snapshot` reads the tree (`labkit.observe.tree_reader`), marks
what differs from the step before, and keeps it all: equal nodes of different steps are one record, equal trees one list
of them. So a view of a step is that step's list and nothing else, wherever it is drawn. It makes no difference whether
the tree is right: a wrong one is kept as far as it can be read, with what is wrong with it.

The tree is the one of SGLang's RadixAttention (Zheng et al. 2024, https://arxiv.org/abs/2312.07104): edges carry runs
of tokens, a running request locks the path of its prompt, and what nobody locks is evicted from the leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from enum import IntFlag
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from labkit.cache.radix_node import RadixNode
from labkit.errors import TreeLogError
from labkit.observe.tree_reader import LARGEST, NodeRead, is_node, read_tree

RECORD = np.dtype(
    [(name, "<i4") for name in ("node", "parent", "key", "blocks", "locks", "used", "found", "flags", "delta")]
)
"""One node of one or more steps, 36 bytes, little endian: the fields of `NodeState`, but `key` indexes `TreeLog.keys`
and `blocks` indexes `TreeLog.block_lists`."""

ROOT = 0
"""The root's number in every log. Its parent is -1."""

NOT_SEEN = "The tree is drawn as it was before this call."

SMALL = (400, 1024)
"""Nodes of a tree, and bytes of a key, that are kept of a tree which code under check has built."""

_FAULTS_KEPT = 3


class Flag(IntFlag):
    """What happened to a node in its step."""

    ADDED = 1  # it was not in the tree before
    UPPER = 2  # a split: it now carries the first part of an edge that was cut
    LOWER = 4  # a split: it carries the rest of that edge
    TRIMMED = 8  # pages were evicted off the end of its key, and some are left
    GROWN = 16  # pages were added at the end of its key
    GONE = 32  # it left the tree: drawn once more, then no longer


class NodeState(NamedTuple):
    """One node at one step.

    Attributes:
        node, parent: numbers in this log; the root is 0 and its parent -1.
        key: bytes of its edge.
        blocks: its blocks.
        locks, last_used: as the node had them.
        found: bytes of its key that this step's match path agrees with; -1 where the node is not on the path.
        flags: what happened to it in this step.
        delta: pages that this step took off the end of its key, or added to it, as the flags say.
    """

    node: int
    parent: int
    key: bytes
    blocks: tuple[int, ...]
    locks: int
    last_used: int
    found: int = -1
    flags: Flag = Flag(0)
    delta: int = 0

    @property
    def gone(self) -> bool:
        """Whether it left the tree in this step."""
        return bool(self.flags & Flag.GONE)


class TreeLog:
    """The history of one radix tree: a sentence and a whole tree per step.

    Args:
        page_bytes: bytes of one page of a key (a node has one block a page).
        most: nodes of a tree and bytes of a key that are kept, those near the root first; by default all.

    Attributes:
        labels, notes: a sentence and an optional remark a step.
        faults: per step what is wrong with the tree itself ("" for nothing).
        keys, block_lists: distinct keys and lists of blocks, by the index that records carry.
        trees: distinct trees, each the indexes of its records: parents before their children, these in their order.
        tree_of: of each step, the index of its tree.
        max_depth: the longest way from the root seen, in edges.
    """

    def __init__(self, page_bytes: int, most: tuple[int, int] = (LARGEST, LARGEST)) -> None:
        if isinstance(page_bytes, bool) or not isinstance(page_bytes, int) or page_bytes < 1:
            raise TreeLogError(f"A page of {page_bytes!r} bytes cannot be: page_bytes is a whole number from 1 on.")
        self.page_bytes = page_bytes
        self.labels: list[str] = []
        self.notes: list[str] = []
        self.faults: list[str] = []
        self.keys: list[bytes] = []
        self.block_lists: list[tuple[int, ...]] = []
        self.trees: list[tuple[int, ...]] = []
        self.tree_of: list[int] = []
        self.max_depth = 0
        self._most = most
        self._rows: list[tuple[int, ...]] = []
        self._index: dict[Any, int] = {}  # of every key, list of blocks, record and tree: no two kinds are equal
        self._now: dict[int, NodeRead] = {}  # the tree of the last step, by number
        self._new_numbers = count(ROOT + 1)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TreeLog:
        """The log that `to_data` gave, for reading."""
        log = cls(data["page_bytes"])
        log.labels, log.notes, log.faults = list(data["labels"]), list(data["notes"]), list(data["faults"])
        log.keys = [key.encode("latin-1") for key in data["keys"]]
        log.block_lists = [tuple(blocks) for blocks in data["block_lists"]]
        log.trees = [tuple(tree) for tree in data["trees"]]
        log.tree_of = list(data["tree_of"])
        log.max_depth = data["max_depth"]
        log._rows = np.frombuffer(base64.b64decode(data["data"]), dtype=RECORD).tolist()
        return log

    def to_data(self) -> dict[str, Any]:
        """The log as JSON-able data, as a verdict carries it."""
        return {
            "kind": "tree",
            "data": base64.b64encode(self.records.tobytes()).decode("ascii"),
            "keys": [key.decode("latin-1") for key in self.keys],
            "block_lists": [list(blocks) for blocks in self.block_lists],
            "trees": [list(tree) for tree in self.trees],
            "tree_of": self.tree_of,
            "labels": self.labels,
            "notes": self.notes,
            "faults": self.faults,
            "page_bytes": self.page_bytes,
            "max_depth": self.max_depth,
        }

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def num_steps(self) -> int:
        """Steps so far."""
        return len(self.labels)

    @property
    def records(self) -> np.ndarray:
        """All distinct nodes as an array of `RECORD`, shape (len(self),)."""
        return np.array(self._rows, dtype=RECORD)

    def snapshot(
        self,
        root: RadixNode,
        label: str,
        path: Iterable[Any] = (),
        note: str = "",
        matched_pages: int | None = None,
    ) -> int:
        """Keep what the last operation did; returns the number of the step, counted from 1.

        Args:
            root: the tree's root.
            label: the sentence of this step ("insert(B) -> 2 pages found, 1 new").
            path: nodes on the match path; those above them are on it too, so the last one is enough. What is not in
                the tree is left out.
            note: a remark under the sentence.
            matched_pages: pages of the prompt that were found, where the match ended inside the last edge of the path;
                by default the edges of the path matched whole.

        Raises:
            TreeLogError: `root` is no node; the log is as it was.
        """
        _check_root(root)
        self._open(label)
        self.look(root, path, note, matched_pages)
        return self.num_steps

    def begin(self, label: str) -> int:
        """Open the next step, before its operation, and return its number, counted from 0; `look` ends it.

        Until then, and where no `look` comes, the tree of the step is the one before it, and a note says so.
        """
        self._open(label)
        self.notes[-1] = NOT_SEEN
        self.tree_of[-1] = self._tree({}, {}, self._now)
        return len(self.labels) - 1

    def look(self, root: RadixNode, path: Iterable[Any] = (), note: str = "", matched_pages: int | None = None) -> None:
        """Keep what the operation of the open step did; once a step. The rest is as in `snapshot`."""
        _check_root(root)
        before = self._now
        # A node keeps its number as long as it is in the tree.
        known = {id(read.node): number for number, read in before.items() if number != ROOT}
        tree = read_tree(
            root, self.page_bytes, *self._most, number=lambda node: known.get(id(node)) or next(self._new_numbers)
        )
        self._now = tree.nodes
        found = _found(tree.nodes, path, matched_pages, self.page_bytes)
        self.tree_of[-1] = self._tree(before, found, self._now, marks(before, self._now, self.page_bytes))
        self.notes[-1] = note
        told = [f"{f'node {n}' if n else 'the root'}: {what}" for n, what in tree.faults[:_FAULTS_KEPT]]
        more = len(tree.faults) - len(told)
        self.faults[-1] = "; ".join(told) + (f"; and {more} more" if more > 0 else "")
        self.max_depth = max(self.max_depth, tree.depth)

    def state(self, step: int | None = None) -> list[NodeState]:
        """The nodes at the `step`-th step (by default the last), those that it removed too; [] before the first.

        Parents stand before their children, and these in their order.
        """
        step = self.num_steps if step is None else min(step, self.num_steps)
        if step < 1:
            return []
        rows = [self._rows[index] for index in self.trees[self.tree_of[step - 1]]]
        return [
            NodeState(node, parent, self.keys[key], self.block_lists[blocks], locks, used, found, Flag(flags), delta)
            for node, parent, key, blocks, locks, used, found, flags, delta in rows
        ]

    def _open(self, label: str) -> None:
        self.labels.append(label)
        self.notes.append("")
        self.faults.append("")
        self.tree_of.append(-1)

    def _tree(
        self,
        before: Mapping[int, NodeRead],
        found: Mapping[int, int],
        now: Mapping[int, NodeRead],
        marked: Mapping[int, tuple[int, int]] | None = None,
    ) -> int:
        """The index of a whole tree: what is there now, and what was there before once more."""
        marked = marked or {}
        rows = []
        todo = [ROOT] if now else []
        while todo:
            number = todo.pop()
            gone = number not in now
            shape = before[number] if gone else now[number]
            flags, delta = (int(Flag.GONE), 0) if gone else marked.get(number, (0, 0))
            row = (
                number,
                shape.parent,
                self._intern(shape.key, self.keys),
                self._intern(shape.blocks, self.block_lists),
                shape.locks,
                shape.last_used,
                found.get(number, -1),
                flags,
                delta,
            )
            rows.append(self._intern(("node", *row), self._rows, row))
            below = [] if gone else list(shape.children)
            for place, child in enumerate(before[number].children if number in before else ()):
                if child not in now:
                    below.insert(place, child)  # where it stood
            todo += reversed(below)
        return self._intern(("tree", *rows), self.trees, tuple(rows))

    def _intern(self, key: Any, kept: list[Any], value: Any = None) -> int:
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(kept)
            kept.append(key if value is None else value)
        return index


def marks(before: Mapping[int, NodeRead], now: Mapping[int, NodeRead], page_bytes: int) -> dict[int, tuple[int, int]]:
    """(flags, pages that came or went at the end) of each node of a tree to which something happened."""
    flags = {number: int(Flag.ADDED) for number in now if number not in before}
    for lower, shape in now.items():
        upper = shape.parent
        if upper == -1 or (lower in before) == (upper in before) or not shape.key:
            continue
        # An edge was cut: one of its two parts is new, and together they begin the old key. They need not be all of
        # it, since the same operation may have taken pages off the end.
        old = lower if lower in before else upper
        both = now[upper].key + shape.key
        if before[old].key.startswith(both) and both != now[old].key:
            flags[upper] = flags.get(upper, 0) | Flag.UPPER
            flags[lower] = flags.get(lower, 0) | Flag.LOWER
    marked = {}
    for number, shape in now.items():
        flag, delta, old_shape = flags.get(number, 0), 0, before.get(number)
        if (
            old_shape is not None
            and not flag & Flag.UPPER
            and (shape.key, shape.blocks) != (old_shape.key, old_shape.blocks)
        ):
            # What an upper part lost is the lower part's.
            key, blocks = shape.key, shape.blocks
            if flag & Flag.LOWER:
                key, blocks = now[shape.parent].key + key, now[shape.parent].blocks + blocks
            delta = _moved(old_shape, key, blocks, page_bytes)
            flag |= Flag.GROWN if delta > 0 else Flag.TRIMMED if delta < 0 else 0
        if flag:
            marked[number] = int(flag), abs(delta)
    return marked


def _moved(old: NodeRead, key: bytes, blocks: tuple[int, ...], page_bytes: int) -> int:
    """Pages that came to the end of a node, key and blocks; below 0 where they went off it."""
    # A key that was cut while its blocks were not is no eviction: it is a fault, and told as one.
    short, few = min(len(key), len(old.key)), min(len(blocks), len(old.blocks))
    same = key[:short] == old.key[:short] and blocks[:few] == old.blocks[:few]
    moved = (len(key) - len(old.key)) // page_bytes
    return moved if same and len(blocks) - len(old.blocks) == moved else 0


def _found(
    nodes: Mapping[int, NodeRead], path: Iterable[Any], matched_pages: int | None, page_bytes: int
) -> dict[int, int]:
    """Bytes that agree of each node on the path, by number."""
    numbers = {id(read.node): number for number, read in nodes.items()}
    lit: set[int] = set()
    for end in path:
        at = numbers.get(id(end), -1)
        while at != -1 and at not in lit:
            lit.add(at)
            at = nodes[at].parent
    left = LARGEST * page_bytes if matched_pages is None else max(0, matched_pages) * page_bytes
    found = {}
    for number, read in nodes.items():  # parents come before their children
        if number in lit:
            found[number] = min(left, len(read.key))
            left -= found[number]
    return found


def _check_root(root: Any) -> None:
    if not is_node(root):
        raise TreeLogError(f"A {type(root).__name__} is no root of a radix tree: give the `RadixNode` at its top.")
