"""Lesson 08: the learner's function works on one tree, the solution's on another, and their trees are compared.

Prompts are words, one byte a letter, so that a report can be read. Both trees are made of the course's own nodes, and
every page is looked for from the root, as a later request would.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from labkit.cache import radix_tree
from labkit.cache.radix_node import RadixNode
from labkit.errors import CacheError
from labkit.grading.compare import kind_of, no_block, whole
from labkit.grading.display import Words, shorten, show
from labkit.grading.functions import spelled
from labkit.grading.language import Op
from labkit.grading.referee import Failure, Illegal, Referee, StopSequence
from labkit.observe.tree_reader import NodeRead, read_tree
from labkit.observe.trees import SMALL, TreeLog
from labkit.words import choose, plural

MOST = (20_000, 100_000)
"""Nodes of a tree, and bytes of a key, that are looked at."""

DEEPEST = 400
"""Nodes on the longest way that any prompt of a check could need."""


class Tree:
    """A tree as it stands, whoever built it.

    Attributes:
        ways: what the way to a node spells, by id().
        nodes: every node but the root, by what the way to it spells.
        pages: the block of every page, by the tokens up to its end.
        fault: what is wrong with it, "" for nothing.
        whole: whether it is a tree at all: each node can be read and has one place.
    """

    def __init__(self, root: RadixNode, size: int) -> None:
        self.root, self.size = root, size
        self.ways: dict[int, bytes] = {}
        self.nodes: dict[bytes, NodeRead] = {}
        self.pages: dict[bytes, int] = {}
        read = read_tree(root, size, *MOST)
        for node in read.nodes.values():
            above = self.ways[id(read.nodes[node.parent].node)] if node.parent in read.nodes else b""
            way = self.ways[id(node.node)] = above + node.key
            self.nodes |= {} if node.node is root else {way: node}
            self.pages |= {way[: len(above) + i * size]: block for i, block in enumerate(node.blocks, 1)}
        self.empty = any(not node.blocks for node in read.nodes.values() if node.node is not root)
        self.whole = read.whole and read.depth <= DEEPEST
        self.fault = "".join(f"Look at {self.place(read.nodes[at].node)}: {what}." for at, what in read.faults[:1])
        if read.depth > DEEPEST:
            self.fault = f"More than {DEEPEST} nodes hang below each other, and no prompt so far has as many pages."

    def place(self, node: Any) -> str:
        """A node as a sentence names it."""
        if id(node) in self.ways:
            return "the root" if node is self.root else f"the node of {word(self.ways[id(node)])}"
        return "a node that is not in the tree" if isinstance(node, RadixNode) else show(node, 20)

    def find(self, prefix: bytes) -> int | None:
        """The block of the page at the end of `prefix`, as a later request would find it; None if it would not."""
        node, pages, _ = radix_tree.match(self.root, prefix, self.size)
        way = self.ways[id(node)]
        above = len(way) - len(node.key)
        found, place = way[: above + pages * self.size] == prefix, (len(prefix) - above) // self.size - 1
        return node.blocks[place] if found and place < len(node.blocks) else None

    def lost(self, due: Mapping[bytes, int], was: str = "was in") -> str:
        """The first of these pages that is not found from the root, or in another block: a sentence."""
        for prefix, block in due.items():
            if (seen := self.find(prefix)) != block:
                says = "no walk from the root finds it" if seen is None else f"the tree says {show(seen, 20)}"
                return f"The page at the end of {word(prefix)} {was} block {block}, and {says}."
        return ""

    def moved(self, before: Tree) -> str:
        """The first node that is not the end of the way any more of which it was the end before: a sentence."""
        for at, way in before.ways.items():
            if self.ways.get(at) != way:
                now = f"is the end of {word(self.ways[at])}" if at in self.ways else "is not in the tree"
                return f"Requests that end at {word(way)} know this node as their end; now it {now}."
        return ""

    def recut(self, due: Tree) -> str:
        """The first place at which an edge ends and should not, or the other way round: a sentence."""
        for way in sorted(due.nodes.keys() ^ self.nodes.keys()):
            extra = way in self.nodes
            return f"{'A' if extra else 'No'} node ends at {word(way)}, where {'none' if extra else 'one'} should."
        return ""

    def differs(self, due: Tree, *names: str) -> str:
        """The first of these attributes of a node that is not what it is in the other tree: a sentence."""
        for way, node in due.nodes.items():
            for name in names:
                seen, right = getattr(self.nodes.get(way, node), name), getattr(node, name)
                if seen != right:
                    return f"{name} of the node of {word(way)} is {show(seen, 40)} and should be {show(right, 40)}."
        return ""

    def changed(self, before: Tree) -> str:
        """In what this tree is not as it was: a sentence."""
        return self.fault or self.recut(before) or self.differs(before, "blocks", "locks", "last_used")


class TreeReferee(Referee):
    """A tree for the learner's function, which the replay shows, and its like for the right one.

    Attributes:
        tree_rule: broken where something else than a tree of nodes is left behind.
        refused: broken by an answer where a refusal is due, and by a tree that is another one after the refusal.
        before, tree, due: the learner's tree before and after the call, and the right one.
    """

    draws = True
    tree_rule = "links-fit"
    refused = ("", "")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.log = TreeLog(1, most=SMALL)
        self.start(1)

    def start(self, page_bytes: int) -> None:
        self.size = self.log.page_bytes = page_bytes
        self.now = self.next_block = 0
        self.mine, self.right = RadixNode(), RadixNode()

    def apply(self, op: Op) -> list[Failure]:
        self.way: tuple[list[Any], int | None] = [], None
        failures = super().apply(op)
        broken = failures and failures[0].kind != "not-written"
        note = f"This step breaks {failures[0].rule}." if broken else ""
        self.log.look(self.mine, self.way[0], note, self.way[1])
        return failures

    def do_new(self, page_bytes: int) -> None:
        self.start(page_bytes)
        self.setup_text = f"a tree with pages of {'one letter' if page_bytes == 1 else f'{page_bytes} letters'}"
        self._line(self.setup_text).seen = "an empty tree"  # a line for each operation, so that a trace can be replayed

    def do_plant(self, text: str) -> None:
        """The course's own insert."""
        tokens = self.full(text)
        blocks = self.fresh(tokens)
        self.both(f"the tree gets {word(tokens)}", lambda root: radix_tree.insert(root, tokens, blocks, self.size))

    def do_lock(self, text: str) -> None:
        """A request whose path ends where the text ends."""
        self.now += 1
        way = f"a request locks the way to {word(self.full(text))}"
        self.both(way, lambda root: radix_tree.lock(self.end(text, root), self.now))

    # ----- for subclasses -------------------------------------------------------------------------------------

    def both(self, label: str, act: Callable[[RadixNode], Any]) -> None:
        """An operation of the course's own, on both trees."""
        step = self._line(label)
        act(self.right)
        act(self.mine)
        step.seen = drawn(self.mine, self.size)

    def ask(self, rule: str, node: RadixNode, twin: RadixNode, *args: Any) -> tuple[Any, Any]:
        """What is answered for a node of the learner's tree and for its twin; an exception breaks `rule`.

        A call that is refused, as is due, ends the operation.
        """
        self.before = Tree(self.mine, self.size)
        function = self.spec.exercise
        label = f"{function}({', '.join([self.before.place(node), *(show(arg, 60) for arg in args)])})"
        try:
            due = getattr(radix_tree, function)(twin, *copy.deepcopy(args))
        except CacheError as error:
            rule, unchanged = self.refused
            seen = self.call(rule, label, self.implementation, node, *args, raises=CacheError, due=CacheError)
            self.hold(rule, isinstance(seen, CacheError), str(error), seen=seen, expected="raises CacheError")
            self.look(unchanged)
            changed = self.tree.changed(self.before)
            self.hold(unchanged, not changed, f"The call was refused, and the tree is another one: {changed}")
            raise StopSequence from None
        seen = self.call(rule, label, self.implementation, node, *args)
        self.look()
        return seen, due

    def look(self, rule: str = "") -> None:
        """Read both trees; where the learner's is none, nothing else can be asked of it, and `rule` is broken."""
        self.tree, self.due = Tree(self.mine, self.size), Tree(self.right, self.size)
        self.hold(rule or self.tree_rule, self.tree.whole, self.tree.fault, seen="", expected=Words("a tree of nodes"))

    def hold(self, rule: str, ok: bool, cause: str, kind: str = "rule", **shown: Any) -> None:
        """Where a rule does not hold, the operation ends here. Unless something else is shown, the trees are."""
        if not ok:
            if not shown:
                shown = {"seen": drawn(self.mine, self.size), "expected": drawn(self.right, self.size)}
            shown = {name: Words(value) if isinstance(value, str) else value for name, value in shown.items()}
            self.require(rule, False, cause=cause, kind=kind, **shown)
            raise StopSequence

    def holds(self, problems: Mapping[str, str]) -> None:
        """What is wrong with the tree, by the rule that it breaks, worst first; "" for nothing."""
        for rule, problem in problems.items():
            self.hold(rule, not problem, problem)

    def parts(self, rule: str, seen: Any, expected: Sequence[str]) -> Any:
        """The parts of an answer, where it has as many as are expected."""
        due = f"({', '.join(expected)})"
        several = isinstance(seen, list | tuple)
        flat = several and all(whole(part) is not None for part in seen)  # the blocks alone, say
        right = several and not flat and len(seen) == len(expected)
        has = f"has {plural(len(seen), 'part')}" if several and not flat else f"is {kind_of(seen)}"
        has += " of numbers" if flat and seen else ""
        said = f"The answer {has} where {len(expected)} parts are due: {due}."
        self.hold(rule, right, said, "wrong-type", seen=show(seen), expected=due)
        return seen

    def light(self, node: Any, pages: Any = None) -> None:
        """Show the way to a node of the tree as what this operation found; of its own edge only so many pages."""
        if id(node) in self.tree.ways:
            above, own = len(self.tree.ways[id(node)]) - len(node.key), whole(pages)
            self.way = [node], None if own is None else above // self.size + own

    def full(self, text: str) -> bytes:
        """A text's full pages."""
        tokens = spelled(text).encode()
        return tokens[: len(tokens) - len(tokens) % self.size]

    def fresh(self, tokens: bytes) -> list[int]:
        """A block that was never used for each page; in no order, as the blocks of a pool in use."""
        first, self.next_block = self.next_block, self.next_block + len(tokens) // self.size
        return [i // 100 * 100 + (4 + 37 * i) % 100 for i in range(first, self.next_block)]

    def end(self, text: str, root: RadixNode) -> Any:
        """The node at whose end the text ends; None where there is none, or it is the root."""
        node, pages, blocks = radix_tree.match(root, self.full(text), self.size)
        at_its_end = pages == len(node.blocks) and len(blocks) * self.size == len(self.full(text))
        return node if at_its_end and node is not root else None

    def begin(self, text: str) -> tuple[RadixNode, RadixNode]:
        """Where a walk begins in either tree."""
        return self.end(text, self.mine) or self.mine, self.end(text, self.right) or self.right

    def nodes(self) -> list[tuple[RadixNode, RadixNode]]:
        """All nodes but the root, in the order in which they are drawn, each with its twin."""
        return list(zip(nodes_below(self.mine), nodes_below(self.right), strict=True))

    def resolve(self, op: Op, bend: bool = True) -> Op:
        args = dict(op.args)
        if op.name in ("lock", "unlock") and self.end(args["text"], self.right) is None:
            raise Illegal("names a way at whose end no node is.")
        if "which" in args:
            if not self.nodes():
                raise Illegal("names a node, and there is none.")
            args["which"] %= len(self.nodes())
        return Op(op.name, args)


class MatchReferee(TreeReferee):
    """match: how far a prompt is known."""

    tree_rule = "changes-nothing"

    def do_match(self, text: str, below: str = "") -> None:
        tokens = spelled(text).encode()
        seen, (due, due_pages, hit) = self.ask("never-a-wrong-block", *self.begin(below), tokens, self.size)
        node, pages, blocks = self.parts("says-where-it-ends", seen, ("node", "pages", "blocks"))
        self.light(node, pages)
        told = f"({self.tree.place(node)}, {show(pages, 20)}, {show(blocks, 60)})"
        shown = {"seen": told, "expected": f"({self.due.place(due)}, {due_pages}, {show(hit, 60)})"}
        self.steps[-1].seen = told
        what = f"The third part is {show(blocks, 40)}; a list of blocks is due."
        self.hold("never-a-wrong-block", isinstance(blocks, list), what, "wrong-type", **shown)
        owners = (one for one in (self.mine, *nodes_below(self.mine)) if one.blocks is blocks)
        whose = next(map(self.tree.place, owners), "")
        what = f"The answer is the list of {whose} itself: what anybody adds to it is added to the tree."
        self.hold("changes-nothing", not whose, what)
        changed = self.tree.changed(self.before)
        self.hold("changes-nothing", not changed, f"Looking changed the tree: {changed}")
        self.hold("never-a-wrong-block", not no_block(blocks), no_block(blocks), "wrong-type", **shown)
        agree = 0
        while agree < min(len(blocks), len(hit)) and whole(blocks[agree]) == hit[agree]:
            agree += 1
        page = word(tokens[agree * self.size : (agree + 1) * self.size])
        block = show(next(iter(blocks[agree:]), None), 20)
        what = f"Block {block} is handed out for the page {page}, and what lies in it was computed from other tokens."
        self.hold("never-a-wrong-block", agree == len(blocks), what, **shown)
        known = f"{plural(len(hit), 'page')} of the prompt {choose(len(hit), 'is', 'are')} in the tree"
        what = f"{known}, and {plural(agree, 'page')} {choose(agree, 'was', 'were')} found."
        self.hold("finds-all-that-agrees", agree == len(hit), what, **shown)
        there, place = self.tree.place(node), self.due.place(due)
        what = f"The way ends in {place}, after {plural(due_pages, 'page')} of its edge; the answer says {there} and "
        right = there == place and whole(pages) == due_pages
        self.hold("says-where-it-ends", right, f"{what}{show(pages, 20)}.", **shown)


class SplitReferee(TreeReferee):
    """split: an edge cut in two."""

    refused = ("no-empty-side", "no-empty-side")

    def do_split(self, which: int, pages: int) -> None:
        seen, right = self.ask("nothing-is-lost", *self.nodes()[which], pages, self.size)
        self.steps[-1].seen = drawn(self.mine, self.size)
        self.holds(
            {
                "nothing-is-lost": self.tree.lost(self.before.pages),
                "the-end-stays-the-same-node": self.tree.moved(self.before),
                "locks-go-with-the-way": self.tree.differs(self.due, "locks"),
                "cut-at-the-page": self.tree.recut(self.due),
                "links-fit": self.tree.fault,
                "time-goes-with-the-way": self.tree.differs(self.due, "last_used"),
            }
        )
        upper, due = self.tree.place(seen), self.due.place(right)
        what = "The caller goes on with the new, upper node."
        self.hold("gives-the-upper-part", upper == due, what, seen=upper, expected=due)


class InsertReferee(TreeReferee):
    """insert: a prefix becomes findable."""

    def do_insert(self, text: str, below: str = "") -> None:
        tokens = self.full(text)
        blocks = self.fresh(tokens)
        seen, (due, known) = self.ask("what-was-there-stays", *self.begin(below), tokens, blocks, self.size)
        if isinstance(seen, list | tuple) and seen:
            self.light(seen[0])
        self.steps[-1].seen = drawn(self.mine, self.size)
        new = {prefix: block for prefix, block in self.due.pages.items() if prefix not in self.before.pages}
        kept = "A node keeps the list of blocks that the caller gave, and the caller goes on with it: it needs its own."
        self.holds(
            {
                "what-was-there-stays": self.tree.lost(self.before.pages),
                "all-of-it-is-found": self.tree.lost(new, "is given"),
                "links-fit": kept if any(node.blocks is blocks for node in nodes_below(self.mine)) else self.tree.fault,
                "locks-are-left-alone": self.tree.differs(self.due, "locks"),
            }
        )
        node, found = self.parts("ends-where-the-tokens-end", seen, ("node", "found"))
        place, right = self.tree.place(node), self.due.place(due)
        what = f"The tokens end at {word(self.due.ways[id(due)])}."
        self.hold("ends-where-the-tokens-end", place == right, what, seen=place, expected=right)
        self.holds({"one-node-for-a-run": self.tree.recut(self.due)})
        what = f"{plural(known, 'page')} of these tokens {choose(known, 'was', 'were')} in the tree before."
        self.hold("counts-what-was-there", whole(found) == known, what, seen=found, expected=known)


class EvictReferee(TreeReferee):
    """evict_leaf: pages off the end of a leaf."""

    refused = ("never-locked-nor-leading-on", "refused-means-unchanged")

    def nodes(self) -> list[tuple[RadixNode, RadixNode]]:
        return [(self.mine, self.right), *super().nodes()]

    def do_unlock(self, text: str) -> None:
        self.now += 1
        name = f"the request of {word(self.full(text))} ends"
        self.both(name, lambda root: radix_tree.unlock(self.end(text, root), self.now))

    def do_evict(self, which: int, n: int) -> None:
        leaf, twin = self.nodes()[which]
        blocks = list(twin.blocks)
        seen, due = self.ask("last-pages-first", leaf, twin, n, self.size)
        listed = isinstance(seen, list | tuple)
        what = f"A list of blocks is due, and the answer is {show(seen, 40)}."
        self.hold("last-pages-first", listed, what, "wrong-type", seen=seen, expected=due)
        what = f"The leaf has the blocks {show(blocks, 60)}, and up to {n} of them go, from the end."
        if sorted(map(str, seen)) == sorted(map(str, due)):
            what = "The right blocks, but the last page's block comes first: it is let go of first."
        self.hold("last-pages-first", [*map(whole, seen)] == due, no_block(seen) or what, seen=seen, expected=due)
        gone = [prefix for prefix in self.before.pages if prefix not in self.due.pages]
        found = [word(prefix) for prefix in gone if self.tree.find(prefix) is not None]
        stale = f"A block that went is somebody else's soon, and {found[0]} still leads to it." if found else ""
        empty = "A node without a page hangs in the tree: its parent looks as if something came after it, for ever."
        own = f"All pages went, and the node still has the key {word(leaf.key)} and the blocks {show(leaf.blocks, 40)}."
        self.holds(
            {
                "what-went-is-not-found": stale,
                "what-is-left-is-found": self.tree.lost(self.due.pages),
                "an-empty-leaf-leaves": empty if self.tree.empty else "",
                "links-fit": own if not twin.blocks and (leaf.blocks or leaf.key) else self.tree.fault,
            }
        )
        self.holds(
            {
                "an-empty-leaf-leaves": self.tree.recut(self.due),
                "locks-and-times-stay": self.tree.differs(self.due, "locks", "last_used"),
            }
        )

    def resolve(self, op: Op, bend: bool = True) -> Op:
        op = super().resolve(op, bend)
        if op.name == "unlock":
            node = self.end(op.args["text"], self.right)
            if node.locks == sum(child.locks for child in node.children.values()):
                raise Illegal("ends a request that does not run.")
        return op


class RequestsReferee(TreeReferee):
    """Requests that start, finish and make room for others, over a tree whose edges the implementation cuts.

    One letter is one page. What must hold is said in the words of a server: a page that a running request needs stays,
    and a page that none needs can go.

    Attributes:
        cuts: how many edges were cut so far.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.setup_text = "an empty tree, a letter per page"
        self.running: list[tuple[str, RadixNode, RadixNode]] = []
        self.cuts = 0

    def do_start(self, text: str) -> None:
        tokens, label = text.encode(), f"start({text!r})"
        blocks, ends = self.fresh(tokens), []
        self.now += 1
        mine = partial(self.call, "a-running-request-keeps-its-pages", label, self.implementation)
        for root, split in ((self.mine, mine), (self.right, radix_tree.split)):  # `insert`, with either split
            node, pages, there = radix_tree.match(root, tokens, 1)
            if pages < len(node.blocks):
                node = split(node, pages, 1)
                self.cuts += root is self.right
            elif root is self.mine:
                self._line(label)
            node, _ = radix_tree.insert(node, tokens[len(there) :], blocks[len(there) :], 1)
            radix_tree.lock(node, self.now)
            ends.append(node)
        self.running.append((text, ends[0], ends[1]))
        self.steps[-1].seen = drawn(self.mine)
        self.look()
        self.light(ends[0])
        self.pages_stay()

    def do_finish(self, which: int) -> None:
        text, node, twin = self.running.pop(which)
        step = self._line(f"finish({which})")
        self.now += 1
        radix_tree.unlock(twin, self.now)
        what = f"The request {text!r} ends and takes off its lock, and the node at its end has none left: the cache "
        shown = {"seen": "CacheError", "expected": "one lock less on its way"}
        self.hold("a-request-can-end", bool(node.locks), what + "refuses to unlock it.", **shown)
        radix_tree.unlock(node, self.now)
        step.seen = f"{text!r} ends: {drawn(self.mine)}"

    def do_evict(self, n: int) -> None:
        step = self._line(f"evict({n})")
        could, gone = evict(self.right, n), evict(self.mine, n)
        step.seen = f"{plural(gone, 'page')} gone: {drawn(self.mine)}"
        self.look()
        self.pages_stay()
        what = f"No running request needs {plural(could, 'page')} that had to go, and {gone} could."
        shown = {"seen": step.seen, "expected": plural(could, "page")}
        self.hold("what-nobody-needs-can-go", gone >= could, what, **shown)

    def pages_stay(self) -> None:
        """What a running request needs is there."""
        shown = {"seen": self.steps[-1].seen, "expected": "no page of a running one"}
        for text, _, _ in self.running:
            for i in range(1, len(text) + 1):
                what = f"The request {text!r} is running, and page {i} of it has left the tree: its block goes to "
                there = self.tree.find(text[:i].encode()) is not None
                rule = "a-running-request-keeps-its-pages"
                self.hold(rule, there, what + "somebody else, who writes over it.", **shown)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        which, running = op.args.get("which", -1), len(self.running)
        if which >= running:
            raise Illegal(f"finishes request {which}, and {running} run then: they count from 0, oldest first.")
        return op


def evict(root: RadixNode, n: int) -> int:
    """Take up to n pages from unlocked leaves, the least recently used first; how many could go."""
    gone = 0
    while gone < n and (leaves := [node for node in nodes_below(root) if not node.children and not node.locks]):
        gone += len(radix_tree.evict_leaf(min(leaves, key=lambda node: node.last_used), n - gone, 1))
    return gone


def nodes_below(node: RadixNode) -> Iterator[RadixNode]:
    """Every node below, parents first, by the first page of their edges."""
    for first in sorted(node.children):
        yield node.children[first]
        yield from nodes_below(node.children[first])


def drawn(root: RadixNode, size: int = 1) -> str:
    """A tree on one line: each node its letters and blocks, `*2` for two locks, what hangs below it in brackets.

    A node that stands under anything but the first page of its key (`size` bytes) is drawn with what it stands under.
    """

    def one(first: bytes, node: RadixNode, depth: int) -> str:
        locks = f"*{show(node.locks, 20)}" if node.locks else ""
        text = f"{node.key.decode('utf-8', 'replace') or repr('')}{locks}:{','.join(map(str, node.blocks))}"
        under = "" if first == node.key[:size] else f"(under {word(first)}) "
        return f"{under}{text} [{all_below(node, depth + 1)}]" if node.children else under + text

    def all_below(node: RadixNode, depth: int = 0) -> str:
        children = sorted(node.children) if depth < 40 else []
        return " ".join(one(first, node.children[first], depth) for first in children)

    return shorten(all_below(root), 400) or "an empty tree"


def word(tokens: bytes) -> str:
    """Tokens as the report writes them."""
    return shorten(repr(tokens.decode("utf-8", "replace")), 60)
