"""RadixTree and the tree log behind it: what is recorded, what is said, what is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

from labkit.cache import radix_tree
from labkit.cache.radix_node import RadixNode
from labkit.engine import kv_cache_manager
from labkit.errors import TreeLogError
from labkit.observe.trees import RECORD, ROOT, Flag, TreeLog
from labkit.widgets import RadixTree
from labkit.widgets.radix_tree import LONGEST_TEXT, token_ids


class Tree:
    """A small radix tree over pages: match, insert with split, lock, evict the unlocked leaf that waited longest."""

    def __init__(self, page: int) -> None:
        self.page, self.root, self.clock, self.blocks = page, RadixNode(), 0, 0

    def match(self, tokens: bytes) -> list[tuple[RadixNode, int]]:
        """(node, pages of its key that match) along the longest match."""
        found, node, at = [], self.root, 0
        while child := node.children.get(tokens[at : at + self.page]):
            n = self.page
            while n < len(child.key) and child.key[n : n + self.page] == tokens[at + n : at + n + self.page]:
                n += self.page
            found.append((child, n // self.page))
            at += n
            if n < len(child.key):
                break
            node = child
        return found

    def insert(self, tokens: bytes) -> list[RadixNode]:
        """The path of `tokens` (whole pages), split and grown as needed."""
        self.clock += 1
        path, node, at = [], self.root, 0
        for child, pages in self.match(tokens):
            node = child if pages * self.page == len(child.key) else self.split(child, pages)
            node.last_used = self.clock
            path.append(node)
            at += len(node.key)
        if at < len(tokens):
            pages = (len(tokens) - at) // self.page
            leaf = RadixNode(tokens[at:], range(self.blocks, self.blocks + pages), node)
            leaf.last_used = self.clock
            self.blocks += pages
            node.children[leaf.key[: self.page]] = leaf
            path.append(leaf)
        return path

    def split(self, child: RadixNode, pages: int) -> RadixNode:
        """Cut the edge of `child`: a new node takes its first pages."""
        cut = pages * self.page
        upper = RadixNode(child.key[:cut], child.blocks[:pages], child.parent)
        upper.locks, upper.last_used = child.locks, child.last_used
        child.parent.children[upper.key[: self.page]] = upper
        child.key, child.blocks, child.parent = child.key[cut:], child.blocks[pages:], upper
        upper.children[child.key[: self.page]] = child
        return upper

    def lock(self, node: RadixNode, by: int) -> None:
        while node.parent is not None:
            node.locks += by
            node = node.parent

    def nodes(self) -> list[RadixNode]:
        found = [self.root]
        for node in found:
            found += node.children.values()
        return found

    def evict(self) -> RadixNode | None:
        free = [node for node in self.nodes() if not node.children and not node.locks and node.parent]
        if not free:
            return None
        leaf = min(free, key=lambda node: node.last_used)
        del leaf.parent.children[leaf.key[: self.page]]
        return leaf


def story() -> tuple[Tree, TreeLog]:
    """A and B share a prefix (a split), A ends, C is matched inside an edge, the leaf of A is evicted."""
    tree, log = Tree(4), TreeLog(page_bytes=4)
    log.snapshot(tree.root, "an empty tree")
    for name, text in (("A", b"You are a cat. Why? "), ("B", b"You are a cow. ")):
        path = tree.insert(text[: len(text) // 4 * 4])
        tree.lock(path[-1], 1)
        log.snapshot(tree.root, f"insert({name})", path=path)
        if name == "A":
            first = path[-1]
    tree.lock(first, -1)
    log.snapshot(tree.root, "release(A)", note="Its blocks stay.")
    found = tree.match(b"You are a cat. When?")
    log.snapshot(tree.root, "match(C)", path=[n for n, _ in found], matched_pages=sum(pages for _, pages in found))
    tree.evict()
    log.snapshot(tree.root, "evict(1) -> A's leaf")
    return tree, log


def lit(log: TreeLog, step: int | None = None) -> dict[int, int]:
    """Bytes found of each node on the match path of a step."""
    return {node.node: node.found for node in log.state(step) if node.found >= 0}


# What is recorded.


def test_a_split_is_one_new_node_and_one_that_keeps_its_number():
    _, log = story()
    before = {node.node: node for node in log.state(2)}
    after = {node.node: node for node in log.state(3)}
    assert sorted(before) == [0, 1] and sorted(after) == [0, 1, 2, 3]
    assert before[1].key == b"You are a cat. Why? " and before[1].flags == Flag.ADDED
    upper, lower, leaf = after[2], after[1], after[3]
    assert (upper.key, upper.blocks, upper.flags) == (b"You are ", (0, 1), Flag.ADDED | Flag.UPPER)
    assert (lower.key, lower.blocks, lower.flags) == (b"a cat. Why? ", (2, 3, 4), Flag.LOWER)
    assert (leaf.key, leaf.blocks, leaf.flags) == (b"a co", (5,), Flag.ADDED)
    assert lower.parent == leaf.parent == 2 and upper.parent == ROOT and upper.locks == 2


def test_a_split_that_keeps_the_upper_node_is_seen_too():
    tree, log = Tree(1), TreeLog(1)
    (whole,) = tree.insert(b"abcd")
    log.snapshot(tree.root, "insert")
    rest = RadixNode(whole.key[2:], whole.blocks[2:], whole)
    whole.key, whole.blocks, whole.children = whole.key[:2], whole.blocks[:2], {rest.key[:1]: rest}
    log.snapshot(tree.root, "split")
    flags = {node.node: node.flags for node in log.state()}
    assert flags == {0: Flag(0), 1: Flag.UPPER, 2: Flag.ADDED | Flag.LOWER}


def test_an_evicted_leaf_is_shown_once_more_and_then_not():
    tree, log = story()
    gone = [node for node in log.state() if node.gone]
    assert [node.key for node in gone] == [b"a cat. Why? "] and gone[0].node == 1
    log.snapshot(tree.root, "nothing")
    assert [node.node for node in log.state()] == [0, 2, 3]


def test_pages_taken_off_the_end_of_a_leaf_are_counted():
    root, log = RadixNode(), TreeLog(2)
    leaf, _ = radix_tree.insert(root, b"aabbccdd", range(4), 2)
    log.snapshot(root, "insert")
    assert radix_tree.evict_leaf(leaf, 3, 2) == [3, 2, 1]
    log.snapshot(root, "evict 3 pages")
    (_, kept) = log.state()
    assert (kept.key, kept.flags, kept.delta, kept.gone) == (b"aa", Flag.TRIMMED, 3, False)
    radix_tree.evict_leaf(leaf, 1, 2)
    log.snapshot(root, "evict the last")
    assert [(node.key, node.gone, node.delta) for node in log.state()] == [(b"", False, 0), (b"aa", True, 0)]
    leaf, _ = radix_tree.insert(root, b"aabbccdd", range(4), 2)
    log.snapshot(root, "insert again")
    radix_tree.split(leaf, 1, 2)
    radix_tree.evict_leaf(leaf, 1, 2)
    log.snapshot(root, "cut and trimmed at once")
    flags = {node.key: (node.flags, node.delta) for node in log.state()}
    assert flags[b"aa"] == (Flag.ADDED | Flag.UPPER, 0) and flags[b"bbcc"] == (Flag.LOWER | Flag.TRIMMED, 1)


def test_pages_added_at_the_end_of_a_node_are_counted():
    root, log = RadixNode(), TreeLog(2)
    leaf, _ = radix_tree.insert(root, b"aabb", range(2), 2)
    log.snapshot(root, "insert")
    leaf.key, leaf.blocks = leaf.key + b"ccdd", [*leaf.blocks, 7, 8]
    log.snapshot(root, "push")
    assert [(node.flags, node.delta) for node in log.state()] == [(Flag(0), 0), (Flag.GROWN, 2)]


def test_the_courses_own_tree_is_followed_through_any_operations():
    draw, root, log = random.Random(11), RadixNode(), TreeLog(2)
    held: list[RadixNode] = []
    kinds: set[Flag] = set()
    log.snapshot(root, "empty")
    for now in range(1, 400):
        tokens = bytes(draw.choice(b"ab") for _ in range(2 * draw.randint(1, 9)))
        if draw.random() < 0.55:
            node, _ = radix_tree.insert(root, tokens, range(len(tokens) // 2), 2)
            radix_tree.lock(node, now)
            held.append(node)
            log.snapshot(root, "insert", path=[node])
        elif held and draw.random() < 0.8:
            radix_tree.unlock(held.pop(draw.randrange(len(held))), now)
            log.snapshot(root, "unlock")
        elif leaves := [n for n in walk(root) if n.parent and not n.children and not n.locks]:
            radix_tree.evict_leaf(draw.choice(leaves), draw.randint(1, 4), 2)
            log.snapshot(root, "evict")
        state = [node for node in log.state() if not node.gone]
        kinds |= {flag for node in log.state() for flag in Flag if node.flags & flag}
        here = sorted((n.key, tuple(n.blocks), n.locks, n.last_used) for n in walk(root))
        assert sorted((n.key, n.blocks, n.locks, n.last_used) for n in state) == here
    assert kinds == set(Flag) - {Flag.GROWN} and not any(log.faults)


def test_the_managers_radix_cache_is_followed_through_a_storm():
    """Prompts over shared stems, tokens one by one, ends and evictions: each step is the tree, with no fault."""
    draw, manager = random.Random(3), kv_cache_manager(48, 4, prefix_cache="radix")
    root, log = manager.cache.root, TreeLog(16)
    stems = [[draw.randrange(9) for _ in range(draw.randint(4, 30))] for _ in range(5)]
    kinds: set[Flag] = set()
    for step in range(500):
        running = manager.sequences()
        if draw.random() < 0.35:
            stem = draw.choice(stems)
            prompt = stem[: draw.randint(1, len(stem))] + [draw.randrange(9) for _ in range(draw.randint(1, 9))]
            manager.allocate(step, prompt)
            log.snapshot(root, f"allocate({step})")
        elif running and draw.random() < 0.8:
            name = draw.choice(running)
            for _ in range(draw.randint(1, 6)):
                if not manager.append(name, draw.randrange(9)):
                    manager.free(name)
                    break
            log.snapshot(root, f"append({name})")
        elif running:
            manager.free(draw.choice(running))
            log.snapshot(root, "free")
        else:
            log.snapshot(root, "idle")
        kinds |= {flag for node in log.state() for flag in Flag if node.flags & flag}
        state = [node for node in log.state() if not node.gone]
        here = sorted((n.key, tuple(n.blocks), n.locks, n.last_used) for n in walk(root))
        assert sorted((n.key, n.blocks, n.locks, n.last_used) for n in state) == here
        assert log.faults[-1] == ""
    assert kinds == set(Flag), "the storm brings everything that a record can say"


def walk(root: RadixNode) -> list[RadixNode]:
    found = [root]
    for node in found:
        found += node.children.values()
    return found


def test_what_is_equal_is_kept_once():
    tree, log = story()
    log.snapshot(tree.root, "nothing happened")
    kept = len(log), len(log.trees)
    log.snapshot(tree.root, "nothing again")
    log.begin("never looked at")
    assert (len(log), len(log.trees)) == kept and len(set(log.tree_of[-3:])) == 1 and log.num_steps == 9
    leaf = tree.insert(b"You are a co")[-1]
    log.snapshot(tree.root, "insert again")
    assert leaf.last_used == 3 and {row["node"] for row in log.records[kept[0] :]} == {2, 3}


def test_what_is_gone_is_drawn_where_it_stood():
    root, log = RadixNode(), TreeLog(1)
    _, b, _ = (radix_tree.insert(root, text, [0, 1], 1)[0] for text in (b"aa", b"bb", b"cc"))
    log.snapshot(root, "three")
    radix_tree.evict_leaf(b, 2, 1)
    log.snapshot(root, "the middle one goes")
    assert [(node.key, node.gone) for node in log.state()] == [
        (b"", False),
        (b"aa", False),
        (b"bb", True),
        (b"cc", False),
    ]


def test_the_path_takes_in_what_lies_above_and_may_end_inside_an_edge():
    _, log = story()
    assert lit(log, 3) == {0: 0, 2: 8, 3: 4}
    assert lit(log, 5) == {0: 0, 2: 8, 1: 8}, "8 of the 12 bytes of the last edge"
    assert lit(log, 1) == {} and lit(log, 0) == {} and lit(log, 99) == {}


@pytest.mark.parametrize("seed", range(4))
def test_every_step_of_a_long_log_is_the_tree_that_was(seed):
    draw, tree, log = random.Random(seed), Tree(2), TreeLog(2)
    held: list[RadixNode] = []
    truth, paths = [], []
    for step in range(220):
        tokens = bytes(draw.choice(b"ab") for _ in range(2 * draw.randint(1, 9)))
        kind = draw.random()
        path: list[RadixNode] = []
        if kind < 0.5:
            path = tree.insert(tokens)
            if draw.random() < 0.4:
                tree.lock(path[-1], 1)
                held.append(path[-1])
        elif kind < 0.7 and held:
            tree.lock(held.pop(draw.randrange(len(held))), -1)
        else:
            for _ in range(draw.randint(1, 3)):
                tree.evict()
        log.snapshot(tree.root, f"step {step}", path=path)
        truth.append(sorted((n.key, tuple(n.blocks), n.locks, n.last_used, upward(n)) for n in tree.nodes()))
        paths.append(sorted(n.key for n in path))
    assert any(node.flags & Flag.LOWER for step in range(221) for node in log.state(step)), "no split in the log"
    for step in range(1, 221):
        state = [node for node in log.state(step) if not node.gone]
        by_id = {node.node: node for node in state}

        def above(node, by_id=by_id):
            return b"" if node.parent < 0 else above(by_id[node.parent]) + by_id[node.parent].key

        assert sorted((n.key, n.blocks, n.locks, n.last_used, above(n)) for n in state) == truth[step - 1]
        assert sorted(by_id[number].key for number in lit(log, step) if number != ROOT) == paths[step - 1]
    assert log.faults == [""] * 220


def upward(node: RadixNode) -> bytes:
    text = b""
    while node.parent is not None:
        node = node.parent
        text = node.key + text
    return text


def test_a_tree_that_was_reset_has_the_same_root():
    tree, log = story()
    log.snapshot(Tree(4).root, "reset()")
    assert [(node.node, node.gone) for node in log.state()] == [(0, False), (2, True), (3, True)]
    log.snapshot(tree.root, "and back")
    assert sorted(node.node for node in log.state()) == [0, 4, 5], "numbers are never used twice"


def test_records_are_36_bytes():
    _, log = story()
    assert RECORD.itemsize == 36 and len(RadixTree(log).records) == 36 * len(log)


# A tree that is wrong is shown, with what is wrong.


def test_a_broken_tree_is_logged_and_named():
    tree, log = Tree(4), TreeLog(4)
    (leaf,) = tree.insert(b"abcdefgh")
    leaf.blocks.pop()
    log.snapshot(tree.root, "one block too few")
    leaf.blocks.append(1)
    leaf.parent = leaf
    log.snapshot(tree.root, "a wrong parent")
    leaf.parent, leaf.locks = tree.root, -1
    log.snapshot(tree.root, "unlocked twice")
    leaf.locks, tree.root.children = 0, {b"xxxx": leaf}
    log.snapshot(tree.root, "filed elsewhere")
    leaf.key, tree.root.children = b"abcdef", {b"abcd": leaf}
    log.snapshot(tree.root, "half a page")
    assert not any(node.flags & Flag.TRIMMED for step in range(6) for node in log.state(step)), "nothing was evicted"
    assert log.faults == [
        "node 1: 2 pages but 1 block",
        "node 1: its `parent` is another node than the one it hangs on",
        "node 1: it has -1 locks",
        "node 1: its parent files it under another page than its key's first",
        "node 1: its key of 6 bytes is not a whole number of pages of 4",
    ]


def test_what_is_no_root_is_refused_and_changes_nothing():
    _, log = story()
    before = (len(log), log.num_steps, len(log.keys))
    for root in (None, "a tree", RadixNode):
        with pytest.raises(TreeLogError, match="is no root of a radix tree"):
            log.snapshot(root, "x")
    assert (len(log), log.num_steps, len(log.keys)) == before


@pytest.mark.parametrize("page", [0, -4, 1.5, "4", True, None])
def test_a_page_of_no_bytes_cannot_be(page):
    with pytest.raises(TreeLogError, match="page_bytes is a whole number"):
        TreeLog(page)


def test_the_widget_says_what_it_wants():
    _, log = story()
    with pytest.raises(TreeLogError, match="this is a Tree: make a TreeLog"):
        RadixTree(Tree(4))
    with pytest.raises(TreeLogError, match="`show` is a str"):
        RadixTree(log, show="utf-8")
    with pytest.raises(TreeLogError, match="`show` gave a bytes"):
        RadixTree(log, show=lambda key: key)


# What is said.


def test_repr_says_what_is_shown_and_where():
    _, log = story()
    assert repr(RadixTree(log, step=3)) == "RadixTree(3 nodes, 6 blocks: 6 locked, 0 evictable; step 3 of 6)"
    assert repr(RadixTree(log)) == "RadixTree(2 nodes, 3 blocks: 3 locked, 0 evictable; step 6 of 6)"
    assert repr(RadixTree(log, step=99)) == repr(RadixTree(log)) and RadixTree(log, step=-3).step == 0
    assert repr(RadixTree(TreeLog(4))) == "RadixTree(0 nodes, 0 blocks: 0 locked, 0 evictable; step 0 of 0)"


def test_edges_are_shown_as_the_caller_says():
    _, log = story()
    shown = RadixTree(log, show=lambda key: key.decode().upper())
    assert shown.texts[:2] == ["", "YOU ARE A CAT. WHY? "]
    assert token_ids(np.array([5, 2**32 - 1], dtype="<u4").tobytes()) == "5 4294967295"
    ids = [str(int.from_bytes(b"You are a cat. Why? "[i : i + 4], "little")) for i in range(0, 20, 4)]
    assert RadixTree(log).texts[1].split() == ids
    by_letter = TreeLog(1)
    tree = Tree(1)
    tree.insert(b"z" * 5000)
    by_letter.snapshot(tree.root, "long")
    assert RadixTree(by_letter).texts[1] == "z" * (LONGEST_TEXT - 1) + "…"


def test_a_widget_keeps_the_log_as_it_was():
    _, log = story()
    shown = RadixTree(log)
    before = repr(shown)
    log.snapshot(Tree(4).root, "later")
    assert repr(shown) == before and len(shown.labels) == 6
