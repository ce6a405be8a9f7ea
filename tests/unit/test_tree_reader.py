"""The tree log of what nobody promised to be a tree: it comes back, keeps what it can, and says what it could not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from labkit.cache import radix_tree
from labkit.cache.radix_node import RadixNode
from labkit.observe.trees import NOT_SEEN, SMALL, TreeLog
from labkit.widgets import RadixTree


def tree() -> tuple[RadixNode, RadixNode]:
    """A root and the leaf of "aabb", pages of two."""
    root = RadixNode()
    leaf, _ = radix_tree.insert(root, b"aabb", [4, 41], 2)
    return root, leaf


def looked(root: RadixNode, *path: object, pages: int | None = None) -> TreeLog:
    log = TreeLog(2, SMALL)
    log.begin("a step")
    log.look(root, path, matched_pages=pages)  # type: ignore[arg-type]
    return log


def keys(log: TreeLog) -> list[bytes]:
    return [node.key for node in log.state() if not node.gone]


def cycle(root: RadixNode, leaf: RadixNode) -> None:
    leaf.children[b"zz"] = root


def twice(root: RadixNode, leaf: RadixNode) -> None:
    other = RadixNode(b"zz", [1], root)
    root.children[b"zz"] = leaf.children[b"zz"] = other


def ring(root: RadixNode, leaf: RadixNode) -> None:
    one, two = RadixNode(b"zz", [1], leaf), RadixNode(b"yy", [2])
    leaf.children[b"zz"], one.children[b"yy"], two.parent, two.children[b"zz"] = one, two, one, one


def no_children(root: RadixNode, leaf: RadixNode) -> None:
    leaf.children = None  # type: ignore[assignment]


def a_list(root: RadixNode, leaf: RadixNode) -> None:
    leaf.children = [RadixNode(b"zz", [1], leaf)]  # type: ignore[assignment]


def no_node(root: RadixNode, leaf: RadixNode) -> None:
    leaf.children[b"zz"] = "a leaf"  # type: ignore[assignment]


def text_key(root: RadixNode, leaf: RadixNode) -> None:
    leaf.key = "aabb"  # type: ignore[assignment]


def no_key(root: RadixNode, leaf: RadixNode) -> None:
    del leaf.key


def half_a_letter(root: RadixNode, leaf: RadixNode) -> None:
    leaf.key = "é".encode()[:1]


def filed_under_text(root: RadixNode, leaf: RadixNode) -> None:
    root.children = {"aa": leaf}  # type: ignore[dict-item]


def no_blocks(root: RadixNode, leaf: RadixNode) -> None:
    leaf.blocks = iter(int, 1)  # type: ignore[assignment]


def words_for_blocks(root: RadixNode, leaf: RadixNode) -> None:
    leaf.blocks = ["four", None]  # type: ignore[list-item]


def huge_numbers(root: RadixNode, leaf: RadixNode) -> None:
    leaf.locks, leaf.blocks = 10**40, [10**40, -(10**40)]


def own_parent(root: RadixNode, leaf: RadixNode) -> None:
    leaf.parent = leaf


def no_parent(root: RadixNode, leaf: RadixNode) -> None:
    leaf.parent = None


def a_root_without(root: RadixNode, leaf: RadixNode) -> None:
    root.children = 7  # type: ignore[assignment]


MOST_NODES, MOST_BYTES = SMALL

HOSTILE: dict[Callable[[RadixNode, RadixNode], None], str] = {
    cycle: "node 1: under b'zz' hangs a node that has its place elsewhere in the tree",
    twice: "node 1: under b'zz' hangs a node that has its place elsewhere in the tree",
    ring: "node 3: under b'zz' hangs a node that has its place elsewhere in the tree",
    no_children: "node 1: its `children` is of type NoneType, not a dict",
    a_list: "node 1: its `children` is of type list, not a dict",
    no_node: "node 1: under b'zz' hangs something of type str, which is no node",
    text_key: "node 1: its `key` is of type str, not bytes",
    no_key: "node 1: it has no `key`",
    half_a_letter: "node 1: its key of 1 bytes is not a whole number of pages of 2",
    filed_under_text: "node 1: its parent files it under something of type str, not under a page",
    no_blocks: "node 1: its `blocks` is of type callable_iterator, not a list",
    words_for_blocks: "node 1: not all of its `blocks` are block numbers",
    huge_numbers: "node 1: not all of its `blocks` are block numbers",
    own_parent: "node 1: its `parent` is another node than the one it hangs on",
    no_parent: "node 1: it has no `parent`, though it hangs on a node",
    a_root_without: "the root: its `children` is of type int, not a dict",
}


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_whatever_is_built_is_drawn_as_far_as_it_goes(spoil):
    root, leaf = tree()
    log = TreeLog(2, SMALL)
    log.begin("sound")
    log.look(root)
    spoil(root, leaf)
    log.begin("spoilt")
    log.look(root, [leaf, "no node", None], matched_pages=99)  # type: ignore[list-item]
    assert log.faults[0] == "" and HOSTILE[spoil] in log.faults[1]
    assert keys(log)[0] == b"", "the root is drawn in any case"
    carried = TreeLog.from_data(json.loads(json.dumps(log.to_data())))
    assert carried.state() == log.state() and carried.state(1) == log.state(1)
    assert RadixTree(carried).faults == list(carried.faults)


def test_what_can_be_read_of_a_wrong_node_is_kept():
    root, leaf = tree()
    text_key(root, leaf)
    assert keys(looked(root)) == [b"", b"aabb"]
    root, leaf = tree()
    words_for_blocks(root, leaf)
    assert looked(root).state()[1].blocks == (-1, -1)


def test_a_tree_of_thousands_is_read_from_the_root_on():
    root, leaf = tree()
    for i in range(50_000):
        page = i.to_bytes(2, "little")
        root.children.setdefault(page, RadixNode(page, [i], root))
    deep = leaf
    for i in range(5_000):
        deep.children[b"zz"] = deep = RadixNode(b"zz", [i], deep)
    started = time.process_time()
    log = looked(root, deep)
    assert time.process_time() - started < 1, "some milliseconds, on a slow machine more"
    assert len(log.state()) == MOST_NODES and not any(node.found >= 0 for node in log.state())
    assert log.faults == [f"the root: more hangs below it than the {MOST_NODES} nodes that are drawn"]
    assert len(json.dumps(log.to_data())) < 100_000


def test_a_web_of_nodes_that_all_hang_on_each_other_is_read():
    root = RadixNode()
    nodes = [RadixNode(bytes([i, i]), [i], root) for i in range(200)]
    for node in [root, *nodes]:
        node.children = {other.key: other for other in nodes}
    log = looked(root)
    assert len(log.state()) == 201 and "and" in log.faults[0]


def test_a_key_of_megabytes_is_read_in_part():
    root, leaf = tree()
    leaf.key, leaf.blocks = b"ab" * 2_000_000, list(range(2_000_000))
    log = looked(root)
    assert len(keys(log)[1]) == MOST_BYTES and len(log.state()[1].blocks) == MOST_BYTES
    assert "its key of 4,000,000 bytes is drawn in part" in log.faults[0]


def test_nothing_that_hangs_in_the_tree_runs_code_of_its_own():
    ran = []

    def trap(self: object, *args: object) -> None:
        ran.append(type(self).__name__)
        raise KeyboardInterrupt

    node = type("Node", (RadixNode,), {name: property(trap) for name in ("key", "blocks", "children", "locks")})
    every = dict.fromkeys(
        ("__eq__", "__ne__", "__len__", "__getitem__", "__iter__", "__bool__", "__index__", "__int__", "__abs__"), trap
    )
    odd = {base: type(f"Odd{base.__name__}", (base,), every) for base in (dict, list, bytes, int, str)}
    odd[dict].items = odd[dict].keys = odd[dict].values = trap  # type: ignore[attr-defined]
    liar = type("Liar", (), {"__class__": property(trap)})
    root, leaf = tree()
    below = [RadixNode(bytes([i, i]), [i], leaf) for i in range(8)]
    leaf.children = {child.key: child for child in below}
    leaf.children[b"zz"], leaf.children[b"yy"] = node.__new__(node), liar()
    below[0].key, below[1].blocks, below[2].children = odd[bytes](b"aa"), odd[list]([1]), odd[dict]({b"a": leaf})
    below[3].locks, below[4].last_used, below[5].blocks = odd[int](3), odd[int](3), [odd[int](3)]
    below[6].key, below[7].parent = odd[str]("aa"), liar()
    log = looked(root, liar(), below[7])
    assert not ran
    assert len(log.state()) == 11 and sum(node.found >= 0 for node in log.state()) == 3


def test_a_step_that_nobody_looked_at_is_the_one_before():
    root, leaf = tree()
    log = looked(root)
    leaf.children[b"zz"] = leaf
    assert log.begin("never came back") == 1
    assert log.notes == ["", NOT_SEEN] and keys(log) == [b"", b"aabb"]
