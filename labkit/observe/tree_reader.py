"""Reads a tree of `RadixNode`s as it is, whoever built it: what can be read is kept, what cannot is told as a fault.

Nothing that is read runs any code but the course's own, so a reading always comes back: attributes come out of a node's
slots, whatever its class puts in their way, and only values of exactly the types that belong there are looked into.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from labkit.cache.radix_node import RadixNode
from labkit.words import plural

LARGEST = 2**31 - 1

_SLOTS = {name: vars(RadixNode)[name].__get__ for name in ("key", "blocks", "children", "parent", "locks", "last_used")}
_MISSING = object()
_WHOLE = f"a whole number below {LARGEST + 1:,}"


class NodeRead(NamedTuple):
    """A node as it is now.

    Attributes:
        node: the node itself. As long as it is kept, no other object has its id().
        parent: the number of the node it hangs on; -1 for the root.
        key, blocks, locks, last_used: as the node has them, as far as they can be read.
        children: the number of each node that hangs on it, in the order of its `children`.
    """

    node: RadixNode
    parent: int
    key: bytes
    blocks: tuple[int, ...]
    locks: int
    last_used: int
    children: list[int]


@dataclass
class TreeRead:
    """A tree as it was read.

    Attributes:
        nodes: every node by its number, parents before their children.
        faults: what is wrong, as (number, words).
        depth: edges of the longest way down.
        whole: whether all of it could be read, each node in one place; what does not fit is wrong and can be read.
    """

    nodes: dict[int, NodeRead]
    faults: list[tuple[int, str]]
    depth: int
    whole: bool


def is_node(value: Any) -> bool:
    """Whether this is a `RadixNode`; not by isinstance, which asks the object for its class as well."""
    return RadixNode in type(value).__mro__


def read_tree(
    root: RadixNode,
    page_bytes: int,
    most_nodes: int,
    most_bytes: int,
    number: Callable[[RadixNode], int] | None = None,
) -> TreeRead:
    """Read a tree from its root on, those near the root first.

    A child that is no node is left out, a node that is reached twice stands where it was reached first.

    Args:
        root: the root, a node.
        page_bytes: bytes of one page of a key.
        most_nodes: nodes that are read.
        most_bytes: bytes that are read of one key, and blocks of one node.
        number: gives a node its number; else they are counted as they are met. The root has 0.
    """
    numbers: dict[int, int] = {}  # by id(), of the nodes read so far
    found: dict[int, NodeRead] = {}
    faults: list[tuple[int, str]] = []
    deepest = 0
    more, whole = False, True
    todo: deque[tuple[Any, int, object, int]] = deque([(root, -1, b"", 0)])
    while todo:
        node, parent, under, depth = todo.popleft()
        if id(node) in numbers or not is_node(node):
            what = "a node that has its place elsewhere in the tree"
            if id(node) not in numbers:
                what = f"something of type {type(node).__name__}, which is no node"
            faults.append((parent, f"under {_page(under)} hangs {what}"))
            whole = False
            continue
        if len(found) == most_nodes:
            more = True
            break
        here = numbers[id(node)] = number(node) if number and found else len(found)
        read, children, wrong = _read_node(node, parent, page_bytes, most_bytes)
        if type(under) is not bytes:
            wrong.append(f"its parent files it under {_page(under)}, not under a page")
        found[here] = read
        above = found.get(parent)
        if above is not None:
            above.children.append(here)
        whole = whole and not wrong
        # What could not be read would be counted as missing once more.
        faults += [(here, what) for what in wrong or _misfits(read, above and above.node, under, page_bytes)]
        deepest = max(deepest, depth)
        room = max(0, 2 * most_nodes - len(todo))
        more = more or len(children) > room
        todo += ((child, here, page, depth + 1) for page, child in islice(children.items(), room))
    if more:
        faults.insert(0, (0, f"more hangs below it than the {len(found)} nodes that are drawn"))
    return TreeRead(found, faults, deepest, whole and not more)


def _read_node(node: Any, parent: int, page_bytes: int, most: int) -> tuple[NodeRead, dict[object, Any], list[str]]:
    """(what is drawn of a node, what hangs on it, what of it cannot be drawn)."""
    wrong: list[str] = []
    longest = most - most % page_bytes or page_bytes
    key, blocks, children = _slot(node, "key"), _slot(node, "blocks"), _slot(node, "children")
    if type(key) not in (bytes, bytearray):
        wrong.append(_told("key", key, "bytes"))
        key = key[:longest].encode("utf-8", "replace") if type(key) is str else b""
    elif len(key) > longest:
        wrong.append(f"its key of {len(key):,} bytes is drawn in part")
    if type(blocks) not in (list, tuple, range):
        wrong.append(_told("blocks", blocks, "a list"))
        blocks = ()
    numbers = [_number(block) for block in blocks[:most]]
    if None in numbers:
        wrong.append("not all of its `blocks` are block numbers")
    locks, used = _number(_slot(node, "locks")), _number(_slot(node, "last_used"))
    if locks is None:
        wrong.append(_told("locks", _slot(node, "locks"), _WHOLE))
    if used is None:
        wrong.append(_told("last_used", _slot(node, "last_used"), _WHOLE))
    if type(children) is not dict:
        wrong.append(_told("children", children, "a dict"))
        children = {}
    ids = tuple([-1 if number is None else number for number in numbers])
    return NodeRead(node, parent, bytes(key[:longest]), ids, locks or 0, used or 0, []), children, wrong


def _told(name: str, seen: Any, due: str) -> str:
    """What is wrong with an attribute."""
    if seen is _MISSING:
        return f"it has no `{name}`"
    return f"its `{name}` is of type {type(seen).__name__}, not {due}"


def _misfits(read: NodeRead, parent: Any, under: object, size: int) -> list[str]:
    """What is wrong with a node that can be read and hangs on `parent` under the page `under`."""
    if parent is None:
        return ["it has a key"] if read.key else []
    wrong = []
    pages = len(read.key) // size
    if not read.key:
        wrong.append("its key is empty")
    if len(read.key) % size:
        wrong.append(f"its key of {len(read.key)} bytes is not a whole number of pages of {size}")
    elif len(read.blocks) != pages:
        wrong.append(f"{plural(pages, 'page')} but {plural(len(read.blocks), 'block')}")
    if under != read.key[:size]:
        wrong.append("its parent files it under another page than its key's first")
    above = _slot(read.node, "parent")
    if above is not parent:
        is_none = "it has no `parent`, though it hangs on a node"
        wrong.append(is_none if above is None else "its `parent` is another node than the one it hangs on")
    if read.locks < 0:
        wrong.append(f"it has {read.locks} locks")
    return wrong


def _slot(node: Any, name: str) -> Any:
    try:
        return _SLOTS[name](node)
    except AttributeError:
        return _MISSING


def _number(value: Any) -> int | None:
    """A value as a whole number that a record can hold; None where it is none."""
    if type(value) is int or type(value) is bool:
        return int(value) if -LARGEST <= value <= LARGEST else None
    return None


def _page(under: Any) -> str:
    return repr(bytes(under[:20])) if type(under) is bytes else f"something of type {type(under).__name__}"
