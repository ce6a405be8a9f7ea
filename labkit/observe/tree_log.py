"""The tree log: what each operation did to a radix prefix cache, found by looking at the tree before and after.

The cache itself never logs. After an operation `TreeLog.snapshot` walks the tree, compares it with what it saw last
and keeps one record a node that differs: added, split, locked, used, removed. A record carries the whole state of its
node, so the tree after any number of steps is, for each node, its newest record. Records have a fixed width, so that a
log reaches the browser as one binary buffer and scrubbing happens there, as with the event log.

The tree is the one of SGLang's RadixAttention (Zheng et al. 2024, https://arxiv.org/abs/2312.07104): edges carry runs
of tokens, a running request locks the path of its prompt, and what nobody locks is evicted from the leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple, Protocol

import numpy as np

from labkit.errors import TreeLogError

RECORD = np.dtype(
    [
        ("step", "<u4"), ("kind", "u1"), ("flags", "u1"), ("delta", "<u2"), ("node", "<i4"), ("parent", "<i4"),
        ("order", "<i4"), ("key", "<i4"), ("blocks", "<i4"), ("locks", "<i4"), ("used", "<i4"),
    ]
)  # fmt: skip
"""One change of one node, 36 bytes, little endian. `key` indexes `TreeLog.keys`, `blocks` indexes
`TreeLog.block_lists`; `order` sorts the children of a node; `delta` counts pages taken off the end of its key
(TRIMMED) or added to it (GROWN). In a PATH record `used` is how many bytes of the node's key the prompt matched."""

ROOT = 0
"""The root's number in every log. Its parent is -1."""

_ATTRIBUTES = ("key", "blocks", "children", "parent", "locks", "last_used")
_LARGEST = 2**31 - 1
_FAULTS_KEPT = 3
_MOST_PAGES = 2**16 - 1


class Change(IntEnum):
    """What a record says of its node."""

    SET = 1  # the node is in the tree and looks like this
    REMOVED = 2  # the node left the tree; the record says how it looked last
    PATH = 3  # the node lies on the match path of this step


class Flag(IntFlag):
    """What else happened to a node in the step of its SET record."""

    ADDED = 1  # it was not in the tree before
    UPPER = 2  # a split: it now carries the first part of an edge that was cut
    LOWER = 4  # a split: it carries the rest of that edge
    TRIMMED = 8  # pages were evicted off the end of its key, and some are left
    GROWN = 16  # pages were added at the end of its key


class TreeNode(Protocol):
    """What the log reads of a node, and all that it reads.

    Attributes:
        key: tokens of the edge that leads to the node, as bytes; empty at the root.
        blocks: block numbers, one a page of the key.
        children: nodes by the first page of their key.
        parent: the node above; None at the root.
        locks: running sequences whose path goes through the node.
        last_used: a logical clock: larger is later.
    """

    key: bytes
    blocks: Sequence[int]
    children: dict[bytes, Any]
    parent: Any
    locks: int
    last_used: int


@dataclass(frozen=True)
class NodeState:
    """One node at one step, as the log tells it.

    Attributes:
        node, parent: numbers in this log; the root is 0 and its parent -1.
        order: sorts the children of one parent.
        key: bytes of its edge.
        blocks: its blocks.
        locks, last_used: as the node had them.
        flags: what happened to it in this step.
        gone: it left the tree in this step: drawn once more, then no longer.
        delta: pages that this step took off the end of its key, or added to it, as the flags say.
    """

    node: int
    parent: int
    order: int
    key: bytes
    blocks: tuple[int, ...]
    locks: int
    last_used: int
    flags: Flag
    gone: bool
    delta: int = 0


class TreeLog:
    """The history of one radix tree: a sentence a step, and what each step changed.

    Args:
        page_bytes: bytes of one page of a key (a node has one block a page).

    Attributes:
        labels, notes: a sentence and an optional remark a step.
        faults: per step what is wrong with the tree itself ("" for nothing): a wrong tree is logged and shown, not
            refused, because a learner wants to see it.
        keys, block_lists: distinct keys and lists of blocks, by the index that records carry.
        max_depth: the longest way from the root seen, in edges.
    """

    def __init__(self, page_bytes: int) -> None:
        if isinstance(page_bytes, bool) or not isinstance(page_bytes, int) or page_bytes < 1:
            raise TreeLogError(f"A page of {page_bytes!r} bytes cannot be: page_bytes is a whole number from 1 on.")
        self.page_bytes = page_bytes
        self.labels: list[str] = []
        self.notes: list[str] = []
        self.faults: list[str] = []
        self.keys: list[bytes] = []
        self.block_lists: list[tuple[int, ...]] = []
        self.max_depth = 0
        self._rows: list[tuple[int, ...]] = []
        self._starts: list[int] = []  # of each step, its first row
        self._key_index: dict[bytes, int] = {}
        self._blocks_index: dict[tuple[int, ...], int] = {}
        # By id(node). A reading keeps its node: as long as that lives, no other object has its id.
        self._known: dict[int, _Seen] = {}
        self._next_node = ROOT + 1
        self._next_order = 0

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TreeLog:
        """The log that `to_data` gave, for reading."""
        log = cls(data["page_bytes"])
        log.labels, log.notes, log.faults = list(data["labels"]), list(data["notes"]), list(data["faults"])
        log.keys = [key.encode("latin-1") for key in data["keys"]]
        log.block_lists = [tuple(blocks) for blocks in data["block_lists"]]
        log.max_depth = data["max_depth"]
        rows = np.frombuffer(base64.b64decode(data["data"]), dtype=RECORD)
        log._rows = rows.tolist()
        log._starts = np.searchsorted(rows["step"], np.arange(len(log.labels))).tolist()
        log._next_node = max((row[4] for row in log._rows), default=ROOT) + 1
        return log

    def to_data(self) -> dict[str, Any]:
        """The log as JSON-able data, as a verdict carries it."""
        return {
            "kind": "tree",
            "data": base64.b64encode(self.records.tobytes()).decode("ascii"),
            "keys": [key.decode("latin-1") for key in self.keys],
            "block_lists": [list(blocks) for blocks in self.block_lists],
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
        """Snapshots taken so far."""
        return len(self.labels)

    @property
    def num_nodes(self) -> int:
        """Nodes ever seen, the root included."""
        return self._next_node

    @property
    def records(self) -> np.ndarray:
        """All changes as an array of `RECORD`, shape (len(self),)."""
        return np.array(self._rows, dtype=RECORD)

    def snapshot(
        self,
        root: TreeNode,
        label: str,
        path: Iterable[TreeNode] = (),
        note: str = "",
        matched_pages: int | None = None,
    ) -> int:
        """Keep what the last operation did; returns the number of the step, counted from 1.

        Args:
            root: the tree's root.
            label: the sentence of this step ("insert(B) -> 2 pages found, 1 new").
            path: nodes on the match path, now in the tree; those above them are on it too, so the last one is enough.
            note: a remark under the sentence.
            matched_pages: pages of the prompt that were found, where the match ended inside the last edge of the path;
                by default the edges of the path matched whole.

        Raises:
            TreeLogError: the tree or an argument cannot be read; the log is as it was.
        """
        if not isinstance(label, str) or not isinstance(note, str):
            raise TreeLogError(f"A step's label and note are sentences (str); these are {label!r} and {note!r}.")
        found, faults, depth = self._read(root)
        lit = self._path(found, path, matched_pages)
        # Nothing has been kept so far, and from here on nothing can fail.
        step = self.begin(label)
        self._keep(found, faults, depth, lit, note)
        return step + 1

    def begin(self, label: str) -> int:
        """Open the next step, before its operation, and return its number, counted from 0; `look` ends it.

        Until then, and where no `look` comes, the tree of the step is the one before it.
        """
        self._starts.append(len(self._rows))
        self.labels.append(label)
        self.notes.append("")
        self.faults.append("")
        return len(self.labels) - 1

    def look(
        self, root: TreeNode, path: Iterable[TreeNode] = (), note: str = "", matched_pages: int | None = None
    ) -> None:
        """Keep what the operation of the open step did; once a step. The rest is as in `snapshot`."""
        found, faults, depth = self._read(root)
        self._keep(found, faults, depth, self._path(found, path, matched_pages), note)

    def _keep(
        self,
        found: dict[int, _Read],
        faults: list[tuple[int, str]],
        depth: int,
        lit: list[tuple[int, int]],
        note: str,
    ) -> None:
        step = len(self.labels) - 1
        self.notes[step] = note
        changes = self._changes(found)
        self._rows += [(step, *row) for row in changes]
        self._rows += [
            (step, int(Change.PATH), 0, 0, self._known[node].node, -1, -1, -1, -1, -1, size) for node, size in lit
        ]
        numbers = [self._known[node].node for node, _ in faults[:_FAULTS_KEPT]]
        named = ["the root" if number == ROOT else f"node {number}" for number in numbers]
        numbered = [f"{name}: {what}" for name, (_, what) in zip(named, faults, strict=False)]
        more = len(faults) - len(numbered)
        self.faults[step] = "; ".join(numbered) + (f"; and {more} more" if more > 0 else "")
        self.max_depth = max(self.max_depth, depth)

    def state(self, step: int | None = None) -> list[NodeState]:
        """The nodes after `step` snapshots (by default all), by number; those that the step removed are `gone`.

        Empty before the first snapshot.
        """
        step = self.num_steps if step is None else max(0, min(step, self.num_steps))
        last: dict[int, tuple[int, ...]] = {}
        end = self._end(step)
        for row in self._rows[:end]:
            if row[1] != Change.PATH:
                last[row[4]] = row
        found = []
        for _, row in sorted(last.items()):
            at, kind, flags, delta, node, parent, order, key, blocks, locks, used = row
            now = at == step - 1
            if kind == Change.REMOVED and not now:
                continue
            found.append(
                NodeState(
                    node,
                    parent,
                    order,
                    self.keys[key],
                    self.block_lists[blocks],
                    locks,
                    last_used=used,
                    flags=Flag(flags if now else 0),
                    gone=kind == Change.REMOVED,
                    delta=delta if now else 0,
                )
            )
        return found

    def path(self, step: int | None = None) -> dict[int, int]:
        """The match path of the `step`-th snapshot (by default the last): bytes matched, by node."""
        step = self.num_steps if step is None else step
        if not 1 <= step <= self.num_steps:
            return {}
        rows = self._rows[self._starts[step - 1] : self._end(step)]
        return {row[4]: row[10] for row in rows if row[1] == Change.PATH}

    def clock_span(self) -> int:
        """From the earliest to the latest last use of any node at any step; at least 1."""
        records = self.records
        used = records["used"][(records["kind"] == Change.SET) & (records["node"] != ROOT)]
        return max(1, int(used.max()) - int(used.min())) if len(used) else 1

    def label(self, step: int) -> str:
        """The sentence of the `step`-th snapshot, counted from 1; "" before the first."""
        return self.labels[step - 1] if 1 <= step <= len(self.labels) else ""

    def _end(self, step: int) -> int:
        return self._starts[step] if step < len(self._starts) else len(self._rows)

    # Reading the tree.

    def _read(self, root: TreeNode) -> tuple[dict[int, _Read], list[tuple[int, str]], int]:
        """Every node by id(), parents before children; what is wrong with it; its depth. Keeps nothing."""
        found: dict[int, _Read] = {}
        faults: list[tuple[int, str]] = []
        deepest = 0
        todo: list[tuple[TreeNode, TreeNode | None, bytes, int]] = [(root, None, b"", 0)]
        while todo:
            node, parent, under, depth = todo.pop()
            if id(node) in found:
                raise TreeLogError(
                    "A node was reached twice on the way down from the root: a tree has one way to each node, so look "
                    "for a child that stands in two `children`."
                )
            read = found[id(node)] = self._look(node, parent)
            faults += [(id(node), what) for what in self._wrong(read, parent, node.parent, under)]
            deepest = max(deepest, depth)
            try:
                children = list(node.children.items())
            except AttributeError:
                raise TreeLogError(
                    f"A node's `children` is a {type(node.children).__name__}: it must be a dict of nodes by the first "
                    "page of their key."
                ) from None
            todo += [(child, node, under, depth + 1) for under, child in reversed(children)]
        return found, faults, deepest

    def _look(self, node: TreeNode, parent: TreeNode | None) -> _Read:
        known = self._known.get(id(node))
        if known is not None:
            # Most nodes are as they were: then the last reading is the answer, which is much cheaper than a new one.
            old = known.read
            try:
                same = (node.key, tuple(node.blocks), node.locks, node.last_used) == old[2:]
            except (AttributeError, TypeError):
                same = False
            if same and old.parent == (None if parent is None else id(parent)):
                return old
        return _look(node, parent)

    def _wrong(self, read: _Read, parent: TreeNode | None, named: Any, under: bytes) -> list[str]:
        """What is wrong with a node that hangs on `parent` under the page `under` and names `named` its parent."""
        wrong = []
        size = self.page_bytes
        if parent is None:
            return ["it has a key"] if read.key else []
        if not read.key:
            wrong.append("its key is empty")
        if len(read.key) % size:
            wrong.append(f"its key of {len(read.key)} bytes is not a whole number of pages of {size}")
        elif len(read.blocks) != len(read.key) // size:
            wrong.append(f"{_plural(len(read.key) // size, 'page')} but {_plural(len(read.blocks), 'block')}")
        if under != read.key[:size]:
            wrong.append("its parent files it under another page than its key's first")
        if named is not parent:
            wrong.append("its `parent` is another node than the one it hangs on")
        if read.locks < 0:
            wrong.append(f"it has {read.locks} locks")
        return wrong

    def _path(
        self, found: dict[int, _Read], path: Iterable[TreeNode], matched_pages: int | None
    ) -> list[tuple[int, int]]:
        """(id, bytes matched) of each node on the path, the root first."""
        try:
            ends = list(path)
        except TypeError:
            raise TreeLogError(
                f"`path` is a {type(path).__name__}: give the nodes on the match path as a list."
            ) from None
        lit: set[int] = set()
        for node in ends:
            if id(node) not in found:
                raise TreeLogError(
                    "`path` names a node that is not in the tree: take the snapshot after the operation, with nodes "
                    "that are in the tree then."
                )
            at: int | None = id(node)
            while at is not None and at not in lit:
                lit.add(at)
                at = found[at].parent
        rows = [(at, len(read.key)) for at, read in found.items() if at in lit]  # parents come before their children
        if matched_pages is None:
            return rows
        if isinstance(matched_pages, bool) or not isinstance(matched_pages, int) or matched_pages < 0:
            raise TreeLogError(f"`matched_pages` is {matched_pages!r}: it counts the pages found, from 0 on.")
        left = matched_pages * self.page_bytes
        if left > sum(size for _, size in rows):
            raise TreeLogError(
                f"`matched_pages` is {matched_pages}, but the edges of the path hold fewer: give all nodes of the path."
            )
        part = []
        for at, size in rows:
            part.append((at, min(size, left)))
            left -= min(size, left)
        return part

    # Comparing it with what was there.

    def _changes(self, found: dict[int, _Read]) -> list[tuple[int, ...]]:
        known = self._known
        gone = [(at, seen) for at, seen in known.items() if at not in found]
        fresh = [at for at in found if at not in known]
        rows: dict[int, tuple[int, ...]] = {}
        for at, seen in gone:
            if seen.node != ROOT:
                rows[seen.node] = (int(Change.REMOVED), 0, 0, *seen.fields())
            del known[at]
        flags: dict[int, Flag] = dict.fromkeys(fresh, Flag.ADDED)
        order: dict[int, int] = {}
        for upper, lower in self._splits(found, set(fresh)):
            flags[upper] = flags.get(upper, Flag(0)) | Flag.UPPER
            flags[lower] = flags.get(lower, Flag(0)) | Flag.LOWER
            # The upper part stands where the whole edge stood.
            kept = upper if upper in known else lower
            order[upper] = known[kept].order if kept in known else order.get(kept, self._new_order())
        for at, read in found.items():
            parent = -1 if read.parent is None else known[read.parent].node
            old = known.get(at)
            if read.parent is None:
                number = ROOT  # also where the cache was reset and has a root of its own again
            else:
                number = self._new_node() if old is None else old.node
            place = order.get(at, -1 if old is None else old.order)
            if place < 0:
                place = self._new_order()
            if old is not None and old.read is read and (old.node, old.parent, old.order) == (number, parent, place):
                continue
            seen = _Seen(number, parent, place, *self._intern(read), read)
            if old is None or old.fields() != seen.fields():
                what = flags.get(at, Flag(0))
                delta = 0 if old is None else self._end_moved(old.read, found, at, what)
                if delta:
                    what |= Flag.GROWN if delta > 0 else Flag.TRIMMED
                rows[number] = (int(Change.SET), int(what), min(abs(delta), _MOST_PAGES), *seen.fields())
            known[at] = seen
        return [rows[number] for number in sorted(rows)]

    def _end_moved(self, before: _Read, found: dict[int, _Read], at: int, what: Flag) -> int:
        """Pages that came to the end of a node, key and blocks, given how it was; below 0 where they went off it."""
        if what & Flag.UPPER:
            return 0  # what is gone from it is the lower part's, or was evicted there
        read = found[at]
        key, blocks = read.key, read.blocks
        if what & Flag.LOWER and read.parent is not None:
            above = found[read.parent]
            key, blocks = above.key + key, above.blocks + blocks
        # A key that was cut while its blocks were not is no eviction: it is a fault, and told as one.
        both = min(len(key), len(before.key)), min(len(blocks), len(before.blocks))
        same = key[: both[0]] == before.key[: both[0]] and blocks[: both[1]] == before.blocks[: both[1]]
        moved = (len(key) - len(before.key)) // self.page_bytes
        return moved if same and len(blocks) - len(before.blocks) == moved else 0

    def _splits(self, found: dict[int, _Read], fresh: set[int]) -> list[tuple[int, int]]:
        """(upper, lower) of every edge that was cut: one of the two is new, and together they spell the old key."""
        cut = []
        for at, read in found.items():
            above = read.parent
            if above is None or (at in fresh) == (above in fresh):
                continue
            old = above if at in fresh else at
            both = found[above].key + read.key
            # Not only equal: the same operation may have taken pages off the end.
            if (
                old in self._known
                and self._known[old].read.key.startswith(both)
                and both != found[old].key
                and read.key
            ):
                cut.append((above, at))
        return cut

    def _intern(self, read: _Read) -> tuple[int, int]:
        key = self._key_index.setdefault(read.key, len(self.keys))
        if key == len(self.keys):
            self.keys.append(read.key)
        blocks = self._blocks_index.setdefault(read.blocks, len(self.block_lists))
        if blocks == len(self.block_lists):
            self.block_lists.append(read.blocks)
        return key, blocks

    def _new_node(self) -> int:
        self._next_node += 1
        return self._next_node - 1

    def _new_order(self) -> int:
        self._next_order += 1
        return self._next_order - 1


class _Read(NamedTuple):
    """A node as it is now; `parent` is the id() of the node above. The last four are what a record says of it."""

    node: TreeNode
    parent: int | None
    key: bytes
    blocks: tuple[int, ...]
    locks: int
    last_used: int


class _Seen(NamedTuple):
    """A node as the log saw it last: its number, its parent's, its place among the children, and the reading."""

    node: int
    parent: int
    order: int
    key: int
    blocks: int
    read: _Read

    def fields(self) -> tuple[int, ...]:
        return (self.node, self.parent, self.order, self.key, self.blocks, self.read.locks, self.read.last_used)


def _look(node: TreeNode, parent: TreeNode | None) -> _Read:
    missing = [name for name in _ATTRIBUTES if not hasattr(node, name)]
    if missing:
        raise TreeLogError(
            f"A {type(node).__name__} is no node of a radix tree: it has no `{missing[0]}`, and a node has "
            f"{', '.join(_ATTRIBUTES[:-1])} and {_ATTRIBUTES[-1]}."
        )
    if not isinstance(node.key, bytes | bytearray | memoryview):
        raise TreeLogError(f"A node's key is a {type(node.key).__name__}: it must be bytes, the tokens of its edge.")
    try:
        blocks = tuple(_whole(block) for block in node.blocks)
        locks, last_used = _whole(node.locks), _whole(node.last_used)
    except (TypeError, ValueError):
        raise TreeLogError(
            f"A node has blocks {node.blocks!r}, locks {node.locks!r} and last_used {node.last_used!r}: all of these "
            f"are whole numbers below {_LARGEST + 1}."
        ) from None
    return _Read(node, None if parent is None else id(parent), bytes(node.key), blocks, locks, last_used)


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, str) or number != value or abs(number) > _LARGEST:
        raise ValueError(value)
    return number


def _plural(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
