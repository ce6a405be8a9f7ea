"""A tree log for trees that code under check has built: whatever stands there, as much of it is kept as can be drawn.

`TreeLog` refuses what it cannot read. Here a child that is no node is left out, a node that is reached twice is drawn
where it was reached first, and each such thing is told as a fault of the step. Nothing that is read runs any code but
the course's own, so a reading always comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any

from labkit.cache.radix_node import RadixNode
from labkit.observe.tree_log import _LARGEST, TreeLog, TreeNode, _Read

MOST_NODES = 400
"""Nodes that are read of one tree, those near the root first."""

MOST_BYTES = 1024
"""Bytes that are read of one key, and blocks of one node."""

NOT_SEEN = "The tree is drawn as it was before this call."

_SLOTS = {name: vars(RadixNode)[name].__get__ for name in ("key", "blocks", "children", "parent", "locks", "last_used")}
"""Readers of a node's attributes. They stand for the slots themselves: no property of a subclass is in their way."""


class LooseTreeLog(TreeLog):
    """A tree log that keeps what it can of a tree of `RadixNode`s, and never raises for what it finds there.

    Args:
        page_bytes: as for `TreeLog`; the attribute may be set until something was looked at.
    """

    def begin(self, label: str) -> int:
        step = super().begin(label)
        self.notes[step] = NOT_SEEN  # `look` writes its own over it
        return step

    def _read(self, root: TreeNode) -> tuple[dict[int, _Read], list[tuple[int, str]], int]:
        found: dict[int, _Read] = {}
        faults: list[tuple[int, str]] = []
        deepest = 0
        more = False
        if not _is_node(root):
            return found, faults, deepest
        todo: deque[tuple[Any, Any, object, int]] = deque([(root, None, b"", 0)])
        while todo:
            node, parent, under, depth = todo.popleft()
            if not _is_node(node):
                what = f"something of type {type(node).__name__}, which is no node"
                faults.append((id(parent), f"under {_page(under)} hangs {what}"))
                continue
            if id(node) in found:
                what = "a node that has its place elsewhere in the tree"
                faults.append((id(parent), f"under {_page(under)} hangs {what}"))
                continue
            if len(found) == MOST_NODES:
                more = True
                break
            read, children, wrong = self._make_out(node, parent)
            if type(under) is not bytes:
                wrong.append(f"its parent files it under {_page(under)}, not under a page")
            found[id(node)] = read
            # What could not be read would be counted as missing once more.
            wrong = wrong or self._wrong(read, parent, _slot(node, "parent"), under)  # type: ignore[arg-type]
            faults += [(id(node), what) for what in wrong]
            deepest = max(deepest, depth)
            room = 2 * MOST_NODES - len(todo)
            more = more or len(children) > room
            todo += ((child, node, page, depth + 1) for page, child in islice(children.items(), max(0, room)))
        if more:
            faults.insert(0, (id(root), f"more hangs below it than the {len(found)} nodes that are drawn"))
        return found, faults, deepest

    def _make_out(self, node: Any, parent: Any) -> tuple[_Read, dict[object, Any], list[str]]:
        """(what is drawn of a node, what hangs on it, what of it cannot be drawn)."""
        wrong: list[str] = []

        def told(name: str, seen: Any, due: str) -> None:
            what = f"is of type {type(seen).__name__}, not {due}"
            wrong.append(f"it has no `{name}`" if seen is _MISSING else f"its `{name}` {what}")

        most = MOST_BYTES - MOST_BYTES % self.page_bytes or self.page_bytes
        key = _slot(node, "key")
        if type(key) not in (bytes, bytearray):
            told("key", key, "bytes")
            key = key[:most].encode("utf-8", "replace") if type(key) is str else b""
        elif len(key) > most:
            wrong.append(f"its key of {len(key):,} bytes is drawn in part")
        blocks = _slot(node, "blocks")
        if type(blocks) not in (list, tuple, range):
            told("blocks", blocks, "a list")
            blocks = ()
        numbers = [_number(block) for block in blocks[:MOST_BYTES]]
        if None in numbers:
            wrong.append("not all of its `blocks` are block numbers")
        whole = {name: _number(_slot(node, name)) for name in ("locks", "last_used")}
        for name, number in whole.items():
            if number is None:
                told(name, _slot(node, name), f"a whole number below {_LARGEST + 1:,}")
        children = _slot(node, "children")
        if type(children) is not dict:
            told("children", children, "a dict")
            children = {}
        read = _Read(
            node, None if parent is None else id(parent), bytes(key[:most]),
            tuple(-1 if number is None else number for number in numbers),
            locks=whole["locks"] or 0, last_used=whole["last_used"] or 0,
        )  # fmt: skip
        return read, children, wrong

    def _path(
        self, found: dict[int, _Read], path: Iterable[TreeNode], matched_pages: int | None
    ) -> list[tuple[int, int]]:
        ends = [node for node in path if id(node) in found]
        whole = super()._path(found, ends, None)
        if matched_pages is None:
            return whole
        most = sum(size for _, size in whole) // self.page_bytes
        return super()._path(found, ends, max(0, min(matched_pages, most)))


_MISSING = object()


def _is_node(value: Any) -> bool:
    return RadixNode in type(value).__mro__  # not isinstance, which asks the object for its class as well


def _slot(node: Any, name: str) -> Any:
    try:
        return _SLOTS[name](node)
    except AttributeError:
        return _MISSING


def _number(value: Any) -> int | None:
    """A value as a whole number that a record can hold; None where it is none."""
    return int(value) if type(value) in (int, bool) and abs(value) <= _LARGEST else None


def _page(under: Any) -> str:
    return repr(bytes(under[:20])) if type(under) is bytes else f"something of type {type(under).__name__}"
