"""Lesson 08: who follows a radix tree through matches, splits, insertions and evictions, and says which rule broke.

Prompts are words, one byte a letter, so that a report can be read. The tree is made of the course's own nodes; what the
learner's function does to it is compared with what the course's own functions do to a copy, and every page is looked
for from the root, as a later request would.
"""

from __future__ import annotations

from typing import Any

from labkit.cache import radix_tree
from labkit.cache.radix_node import RadixNode
from labkit.errors import CacheError
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.specification import Failure, Op, Referee, StopSequence
from labkit.observe.loose_tree_log import LooseTreeLog


class DrawnTreeReferee(Referee):
    """Keeps for the replay what each operation did to the tree, whatever that is afterwards."""

    draws = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.log = LooseTreeLog(page_bytes=1)
        self.root = RadixNode()
        self.way: tuple[list[RadixNode], int | None] = ([], None)

    def apply(self, op: Op) -> list[Failure]:
        self.way = [], None
        failures = super().apply(op)
        ends, pages = self.way
        broken = failures and failures[0].kind != "not-written"
        self.log.look(self.root, ends, f"This step breaks {failures[0].rule}." if broken else "", pages)
        return failures

    def light(self, node: Any, pages: Any = None) -> None:
        """Show the way to a node of the tree as what this operation found; of its own edge only so many pages."""
        if _inside(self.root, node):
            above, own = len(_path(node)) - len(node.key), whole(pages)
            self.way = [node], None if own is None else above // self.log.page_bytes + own


class TreeReferee(DrawnTreeReferee):
    """A tree, planted by the course's own `insert`; the learner's function is called on it."""

    tree_rule = "links-fit"
    """The rule that is broken where something else than a tree of nodes is left behind."""

    def do_new(self, page_bytes: int) -> None:
        self.size = self.log.page_bytes = page_bytes
        self.root = RadixNode()
        self.next_block = 0
        self.setup_text = f"a tree with pages of {_letters(page_bytes)}"
        self._line(self.setup_text).seen = "an empty tree"  # a line for each operation, so that a trace can be replayed

    def do_plant(self, text: str) -> None:
        """The course's own insert."""
        step = self._line(f"the tree gets {_word(self.whole(text))}")
        radix_tree.insert(self.root, self.whole(text), self.fresh(text), self.size)
        step.seen = draw(self.root, self.size)

    def do_lock(self, text: str) -> None:
        """A request whose path ends where the text ends."""
        node = self.end(text)
        step = self._line(f"a request locks the way to {_word(self.whole(text))}")
        radix_tree.lock(node, self.tick())
        step.seen = draw(self.root, self.size)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The learner's function; nothing else can be asked of what it leaves behind unless that is a tree."""
        seen = super().call(*args, **kwargs)
        if not kwargs.get("raises") and (problem := no_tree(self.root)):
            self.require(self.tree_rule, False, expected=Words("a tree of nodes"), cause=problem)
            raise StopSequence
        return seen

    def refused(self, rule: str, before: RadixNode) -> None:
        """After a call that was refused, the tree is as it was; it may be no tree any more."""
        now = no_tree(self.root)
        self.require(
            rule,
            not now and same(before, self.root),
            expected=Words(draw(before, self.size)),
            cause="The call was refused, and the tree is another one all the same. " + now
            if now
            else f"The call was refused, and the tree is {draw(self.root, self.size)} now.",
        )

    # ----- for subclasses --------------------------------------------------------------------------------------

    now = 0

    def tick(self) -> int:
        self.now += 1
        return self.now

    def whole(self, text: str) -> bytes:
        """A text's whole pages."""
        data = text.encode()
        return data[: len(data) - len(data) % self.size]

    def fresh(self, text: str) -> list[int]:
        """A block that was never used for each of its pages; in no order, as the blocks of a pool in use."""
        pages = len(self.whole(text)) // self.size
        self.next_block += pages
        return [i // 100 * 100 + (4 + 37 * i) % 100 for i in range(self.next_block - pages, self.next_block)]

    def end(self, text: str) -> RadixNode | None:
        """The node at whose end the text ends, if there is one."""
        node, pages, blocks = radix_tree.match(self.root, self.whole(text), self.size)
        at_its_end = pages == len(node.blocks) and len(blocks) * self.size == len(self.whole(text))
        return node if at_its_end and node is not self.root else None

    def begin(self, below: str) -> tuple[RadixNode, str]:
        """Where a walk begins, and how the report calls it."""
        node = self.end(below) if below else None
        return (self.root, "root") if node is None else (node, f"the node of {_word(_path(node))}")

    def nodes(self) -> list[RadixNode]:
        """All nodes but the root, in the order in which they are drawn."""
        return list(_below(self.root))

    def resolve(self, op: Op) -> Op | None:
        if op.name == "lock" and self.end(op.args["text"]) is None:
            return None
        if op.args.get("below") and self.end(op.args["below"]) is None:
            return Op(op.name, {**op.args, "below": ""})
        return op

    def links_fit(self, rule: str) -> bool:
        """Whether parents, children and keys agree; the first place where they do not is named."""
        problem = wrong_link(self.root, self.size)
        return self.require(
            rule, not problem, expected=Words("links that fit"), seen=Words("one that does not fit"), cause=problem
        )

    def lost(self, before: dict[bytes, int]) -> str:
        """The first page of `before` that is not found from the root any more, or in another block: a sentence."""
        for prefix, block in before.items():
            seen = find(self.root, prefix, self.size)
            if seen is None:
                return f"The page at the end of {_word(prefix)} was in block {block} and cannot be found any more."
            if seen != block:
                return f"The page at the end of {_word(prefix)} is in block {block}; the tree says {show(seen, 20)}."
        return ""


class MatchReferee(TreeReferee):
    """match: how far a prompt is known."""

    tree_rule = "changes-nothing"

    def do_match(self, text: str, below: str = "") -> None:
        tokens = text.encode()
        begin, name = self.begin(below)
        before = copy_of(self.root)
        due = radix_tree.match(begin, tokens, self.size)
        label = f"match({name}, {tokens!r}, {self.size})"
        seen = self.call("never-a-wrong-block", label, self.implementation, begin, tokens, self.size)
        expected = Words(_answer(due))
        if not self.require(
            "says-where-it-ends",
            isinstance(seen, list | tuple) and len(seen) == 3,
            expected=expected,
            kind="wrong-type",
            cause="The answer is a tuple of three: the node, its pages that agree, and the list of blocks.",
        ):
            return
        node, pages, blocks = seen
        self.steps[-1].seen = _answer(seen)
        self.light(node, pages)
        if not self.require(
            "never-a-wrong-block",
            isinstance(blocks, list),
            expected=expected,
            kind="wrong-type",
            cause=f"The third part is {show(blocks, 40)}; a list of blocks is due.",
        ):
            return
        found = [whole(block) for block in blocks]
        agree = sum(1 for _ in _common(found, due[2]))
        first = agree * self.size
        self.require(
            "never-a-wrong-block",
            agree == len(found),
            expected=expected,
            cause=f"Block {show(blocks[agree], 20)} is handed out for the page {_word(tokens[first:][: self.size])},"
            " and what lies in it was computed from other tokens."
            if agree < len(found)
            else "",
        )
        if agree == len(found):
            self.require(
                "finds-all-that-agrees",
                agree == len(due[2]),
                expected=expected,
                cause=f"{_pages(len(due[2]))} of the prompt {'is' if len(due[2]) == 1 else 'are'} in the tree, "
                f"and {_pages(agree)} {'was' if agree == 1 else 'were'} found.",
            )
        for _ in range(2):  # whoever asked goes on with the list: it must not be the tree's own
            blocks.append(-1)
        self.require(
            "changes-nothing",
            same(before, self.root),
            expected=expected,
            cause="Looking changed the tree, or the answer is a list of the tree's own: it was "
            f"{draw(before, self.size)} and is {draw(self.root, self.size)} after the caller went on with its list.",
        )
        del blocks[-2:]
        where = f"The way ends in {_place(self.root, due[0])}, after {_pages(due[1])} of its edge"
        self.require(
            "says-where-it-ends",
            node is due[0] and whole(pages) == due[1],
            expected=expected,
            cause=f"{where}; the answer says {_place(self.root, node)} and {show(pages, 20)}.",
        )


class SplitReferee(TreeReferee):
    """split: an edge cut in two."""

    def do_split(self, which: int, pages: int) -> None:
        node = self.nodes()[which]
        name = _path(node)
        label = f"split(the node of {_word(name)}, {pages}, {self.size})"
        before, paths = copy_of(self.root), pages_of(self.root, self.size)
        key, blocks, locks, used, children = node.key, list(node.blocks), node.locks, node.last_used, len(node.children)
        if not 0 < pages < len(blocks):
            seen = self.call(
                "no-empty-side", label, self.implementation, node, pages, self.size, raises=CacheError, due=CacheError
            )
            refused = isinstance(seen, CacheError)
            if self.require(
                "no-empty-side",
                refused,
                expected=Words("raises CacheError"),
                cause=f"Cut after {pages} of {_pages(len(blocks))}, one of the parts has no page.",
            ):
                self.refused("no-empty-side", before)
            return
        upper = self.call("nothing-is-lost", label, self.implementation, node, pages, self.size)
        self.steps[-1].seen = draw(self.root, self.size)
        twin = _twin(before, name)
        radix_tree.split(twin, pages, self.size)
        expected = Words(draw(before, self.size))
        lost = self.lost(paths)
        self.require("nothing-is-lost", not lost, expected=expected, cause=lost)
        if lost:
            return
        cut = pages * self.size
        stayed = key.endswith(node.key) and len(node.children) == children
        self.require(
            "the-end-stays-the-same-node",
            stayed,
            expected=expected,
            cause=f"Requests that end at {_word(name)} know this node as their end; now it carries "
            f"{_word(node.key)} and has {len(node.children)} children instead of {children}.",
        )
        if not stayed or not self.links_fit("links-fit"):
            return
        above = node.parent
        assert above is not None
        self.require(
            "locks-go-with-the-way",
            (above.locks, node.locks) == (locks, locks),
            expected=expected,
            cause=f"The node had {_locked(locks)}, and so have both parts now; your upper part has {above.locks} and "
            f"the lower {node.locks}.",
        )
        self.require(
            "cut-at-the-page",
            above.key == key[:cut] and list(above.blocks) == blocks[:pages],
            expected=expected,
            cause=f"The upper part is {_word(key[:cut])} with the blocks {blocks[:pages]}; "
            f"yours has {_word(above.key)} and {show(above.blocks, 40)}.",
        )
        self.require(
            "time-goes-with-the-way",
            (above.last_used, node.last_used) == (used, used),
            expected=Words(f"times {used} and {used}"),
            seen=Words(f"times {above.last_used} and {node.last_used}"),
            cause=f"The node was last used at time {used}; the parts say {above.last_used} and {node.last_used}.",
        )
        self.require(
            "gives-the-upper-part",
            upper is above,
            seen=Words(_place(self.root, upper)),
            expected=Words(f"the node of {_word(name[: -len(key)] + key[:cut])}"),
            cause="The caller goes on with the new, upper node.",
        )

    def resolve(self, op: Op) -> Op | None:
        if op.name == "split":
            nodes = self.nodes()
            if not nodes:
                return None
            which = op.args["which"] % len(nodes)
            return Op("split", {"which": which, "pages": op.args["pages"] % (len(nodes[which].blocks) + 1)})
        return super().resolve(op)


class InsertReferee(TreeReferee):
    """insert: a prefix becomes findable."""

    def do_insert(self, text: str, below: str = "") -> None:
        tokens, blocks = self.whole(text), self.fresh(text)
        begin, name = self.begin(below)
        above = b"" if begin is self.root else _path(begin)
        paths, before = pages_of(self.root, self.size), copy_of(self.root)
        twin = before if begin is self.root else _twin(before, above)
        due, due_found = radix_tree.insert(twin, tokens, blocks, self.size)
        given = list(blocks)
        label = f"insert({name}, {tokens!r}, {blocks}, {self.size})"
        seen = self.call("what-was-there-stays", label, self.implementation, begin, tokens, given, self.size)
        if isinstance(seen, list | tuple) and seen:
            self.light(seen[0])
        self.steps[-1].seen = draw(self.root, self.size)
        expected = Words(draw(before, self.size))
        lost = self.lost(paths)
        self.require("what-was-there-stays", not lost, expected=expected, cause=lost)
        given.append(-1)  # the caller's own list goes on
        mine = {p: b for p, b in pages_of(before, self.size).items() if p not in paths}
        missing = self.lost(mine)
        self.require(
            "all-of-it-is-found",
            lost != "" or not missing,
            expected=expected,
            cause=missing.replace("was in", "is given").replace("any more", "from the root"),
        )
        if lost or missing:
            return
        if not self.links_fit("links-fit"):
            return
        self.require(
            "locks-are-left-alone",
            _locks(self.root) == _locks(before),
            expected=expected,
            cause="Inserting locks nothing and unlocks nothing; both parts of a node that is cut have its "
            "locks, and a new node has none.",
        )
        if not self.require(
            "ends-where-the-tokens-end",
            isinstance(seen, list | tuple) and len(seen) == 2,
            kind="wrong-type",
            expected=Words("(node, found)"),
            seen=seen,
            cause="The answer is a pair: the node at whose end the tokens end, and how many pages were there before.",
        ):
            return
        node, found = seen
        self.require(
            "ends-where-the-tokens-end",
            isinstance(node, RadixNode) and _inside(self.root, node) and _path(node) == above + tokens,
            expected=Words(_place(before, due)),
            seen=Words(_place(self.root, node)),
            cause=f"The tokens end at {_word(above + tokens)}.",
        )
        self.require(
            "one-node-for-a-run",
            _keys(self.root) == _keys(before),
            expected=expected,
            cause="The nodes are cut where prompts part or end, and nowhere else.",
        )
        self.require(
            "counts-what-was-there",
            whole(found) == due_found,
            expected=due_found,
            seen=found,
            cause=f"{_pages(due_found)} of these tokens {'was' if due_found == 1 else 'were'} in the tree before.",
        )


class EvictReferee(TreeReferee):
    """evict_leaf: pages off the end of a leaf."""

    def do_unlock(self, text: str) -> None:
        node = self.end(text)
        step = self._line(f"the request of {_word(self.whole(text))} ends")
        radix_tree.unlock(node, self.tick())
        step.seen = draw(self.root, self.size)

    def do_evict(self, which: int, n: int) -> None:
        node = [self.root, *self.nodes()][which]
        name = _path(node)
        label = f"evict_leaf({'the root' if node is self.root else f'the node of {_word(name)}'}, {n}, {self.size})"
        before, paths, blocks = copy_of(self.root), pages_of(self.root, self.size), list(node.blocks)
        why = (
            "is locked"
            if node.locks
            else "has children"
            if node.children
            else "is the root"
            if node is self.root
            else ""
        )
        if why:
            seen = self.call(
                "never-locked-nor-leading-on",
                label,
                self.implementation,
                node,
                n,
                self.size,
                raises=CacheError,
                due=CacheError,
            )
            if self.require(
                "never-locked-nor-leading-on",
                isinstance(seen, CacheError),
                expected=Words("raises CacheError"),
                cause=f"The node {why}, so none of its pages may go.",
            ):
                self.refused("refused-means-unchanged", before)
            return
        seen = self.call("last-pages-first", label, self.implementation, node, n, self.size)
        twin = _twin(before, name)
        due = radix_tree.evict_leaf(twin, n, self.size)
        ok = isinstance(seen, list | tuple)
        right = ok and [whole(block) for block in seen] == due
        cause = (
            f"A list of blocks is due, and the answer is {show(seen, 40)}."
            if not ok
            else "The right blocks, but the last page's block comes first: it is let go of first."
            if sorted(map(str, seen)) == sorted(map(str, due))
            else f"The leaf has the blocks {blocks}, and up to {n} of them go, from the end."
        )
        if not self.require("last-pages-first", right, expected=due, cause=cause, kind="rule" if ok else "wrong-type"):
            return
        left = {prefix: block for prefix, block in paths.items() if block not in due}
        expected, tree = Words(draw(before, self.size)), Words(draw(self.root, self.size))
        lost = self.lost(left)
        self.require("what-is-left-is-found", not lost, expected=expected, seen=tree, cause=lost)
        gone = next(
            (
                prefix
                for prefix, block in paths.items()
                if block in due and find(self.root, prefix, self.size) is not None
            ),
            None,
        )
        self.require(
            "what-went-is-not-found",
            gone is None,
            expected=expected,
            seen=tree,
            cause=f"Block {paths.get(gone or b'')} is somebody else's soon, and {_word(gone or b'')} still leads to it."
            if gone
            else "",
        )
        if lost or gone:
            return
        empty = any(not other.blocks for other in _below(self.root))
        if not self.require(
            "an-empty-leaf-leaves",
            not empty,
            expected=expected,
            seen=tree,
            cause="A node without a page hangs in the tree: its parent looks as if something came "
            "after it, and will never be a leaf.",
        ):
            return
        self.require(
            "links-fit",
            len(due) < len(blocks) or not (node.blocks or node.key),
            expected=Words("no page left"),
            seen=Words(f"the key {_word(node.key)} and the blocks {node.blocks}"),
            cause=f"All pages went, and the node still has the key {_word(node.key)} and the blocks {node.blocks}.",
        )
        if not self.links_fit("links-fit"):
            return
        if not self.require(
            "an-empty-leaf-leaves",
            _keys(self.root) == _keys(before),
            expected=expected,
            seen=tree,
            cause="The leaf is shorter or gone; every other node stays as it is, and so does the leaf's way.",
        ):
            return
        self.require(
            "locks-and-times-stay",
            same(before, self.root),
            expected=expected,
            seen=tree,
            cause="Evicting locks nothing, unlocks nothing, and is no use of a node: locks and last_used stay.",
        )

    def resolve(self, op: Op) -> Op | None:
        if op.name == "evict":
            return Op("evict", {"which": op.args["which"] % (1 + len(self.nodes())), "n": op.args["n"]})
        if op.name == "unlock":
            node = self.end(op.args["text"])
            deeper = node is not None and node.locks - sum(child.locks for child in node.children.values())
            return op if deeper else None
        return super().resolve(op)


class RequestsReferee(DrawnTreeReferee):
    """Requests that start, finish and make room for others, over a tree whose edges the implementation cuts.

    One letter is one page. What must hold is said in the words of a server: a page that a running request needs stays,
    and a page that none needs can go.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.setup_text = "an empty tree, a letter a page"
        self.running: list[tuple[str, RadixNode]] = []
        self.next_block = 0
        self.now = 0

    def do_start(self, text: str) -> None:
        tokens = text.encode()
        step = self._line(f"start({text!r})")
        # As in `insert`, with the implementation's own split.
        node, pages, there = radix_tree.match(self.root, tokens, 1)
        if pages < len(node.blocks):
            self.steps.remove(step)
            node = self.call(
                "a-running-request-keeps-its-pages", f"start({text!r})", self.implementation, node, pages, 1
            )
        new = range(self.next_block, self.next_block + len(tokens) - len(there))
        self.next_block = new.stop
        node, _ = radix_tree.insert(node, tokens[len(there) :], list(new), 1)
        self.now += 1
        radix_tree.lock(node, self.now)
        self.running.append((text, node))
        self.light(node)
        self.steps[-1].seen = draw(self.root)
        self._check_running()

    def do_finish(self, which: int) -> None:
        text, node = self.running.pop(which)
        step = self._line(f"finish({which})")
        self.now += 1
        try:
            radix_tree.unlock(node, self.now)
        except CacheError:
            self.require(
                "a-request-can-end",
                False,
                expected=Words("one lock less on its way"),
                seen=Words("CacheError"),
                cause=f"The request {text!r} ends and takes off its lock, and the node at its end has none left: the "
                "cache refuses to unlock it.",
            )
            return
        step.seen = f"{text!r} ends: {draw(self.root)}"

    def do_evict(self, n: int) -> None:
        needed = {text[: i + 1].encode() for text, _ in self.running for i in range(len(text))}
        idle = [prefix for prefix in pages_of(self.root, 1) if prefix not in needed]
        due = min(n, len(idle))
        step = self._line(f"evict({n})")
        gone = 0
        while gone < n:
            leaves = [node for node in _below(self.root) if not node.children and not node.locks]
            if not leaves:
                break
            gone += len(radix_tree.evict_leaf(min(leaves, key=lambda node: node.last_used), n - gone, 1))
        step.seen = f"{_pages(gone)} gone: {draw(self.root)}"
        self._check_running()
        self.require(
            "what-nobody-needs-can-go",
            gone >= due,
            expected=_pages(due),
            cause=f"{_pages(len(idle))} of the tree {'belongs' if len(idle) == 1 else 'belong'} to no running "
            f"request, {n} had to go, and {gone} could.",
        )

    def _check_running(self) -> None:
        for text, _ in self.running:
            for i in range(len(text)):
                if find(self.root, text[: i + 1].encode(), 1) is None:
                    self.require(
                        "a-running-request-keeps-its-pages",
                        False,
                        expected=Words("no page of a running one"),
                        cause=f"The request {text!r} is running, and page {i + 1} of it has left the tree: "
                        "its block goes to somebody else, who writes over it.",
                    )
                    return


# ----- reading trees ------------------------------------------------------------------------------------------------


def _below(node: RadixNode) -> list[RadixNode]:
    """Every node below, parents first, by the first page of their edges."""
    found = []
    for first in sorted(node.children):
        child = node.children[first]
        found += [child, *_below(child)]
    return found


def draw(root: RadixNode, size: int = 1) -> str:
    """A tree on one line: each node its letters and blocks, locks as a star each, what hangs below it in brackets.

    A node that stands under anything but the first page of its key (`size` bytes) is drawn with what it stands under.
    """

    def one(first: bytes, node: RadixNode) -> str:
        stars = "*" * node.locks if 0 <= node.locks < 10 else f"({show(node.locks, 20)} locks)"
        blocks = ",".join(map(str, node.blocks))
        text = f"{node.key.decode('utf-8', 'replace') or _word(b'')}{stars}:{blocks}"
        below = " ".join(one(k, node.children[k]) for k in sorted(node.children))
        under = "" if first == node.key[:size] else f"(under {_word(first)}) "
        return f"{under}{text} [{below}]" if below else under + text

    return " ".join(one(k, root.children[k]) for k in sorted(root.children)) or "an empty tree"


def pages_of(root: RadixNode, size: int) -> dict[bytes, int]:
    """Every page of a sound tree by the tokens up to its end."""
    pages = {}
    for node in _below(root):
        above = _path(node)[: -len(node.key)]
        for i, block in enumerate(node.blocks):
            pages[above + node.key[: (i + 1) * size]] = block
    return pages


def find(root: RadixNode, prefix: bytes, size: int) -> Any:
    """The block of the page at the end of `prefix`, as a later request would find it; None if it would not."""
    node, start = root, 0
    for _ in range(len(prefix) + 1):
        child = node.children.get(prefix[start : start + size]) if isinstance(node.children, dict) else None
        if not isinstance(child, RadixNode) or not isinstance(child.key, bytes) or not child.key:
            return None
        stop = start + len(child.key)
        if stop >= len(prefix):
            page = (len(prefix) - start) // size - 1
            fits = child.key[: len(prefix) - start] == prefix[start:] and page < len(child.blocks)
            return child.blocks[page] if fits else None
        if prefix[start:stop] != child.key:
            return None
        node, start = child, stop
    return None


DEEPEST = 40
"""Nodes on the longest way that any prompt of a check could need."""

_MADE_OF = (
    ("key", bytes, "bytes are"),
    ("blocks", list | tuple, "a list of blocks is"),
    ("children", dict, "a dict of nodes by the first page of their keys is"),
    ("locks", int, "a whole number is"),
    ("last_used", int, "a whole number is"),
)


def no_tree(root: RadixNode) -> str:
    """Why this is no tree of nodes, so that nothing else can be asked of it: a sentence, "" where it is one."""
    todo, seen = [(root, "The root", 0)], {id(root)}
    while todo:
        node, name, depth = todo.pop()
        for attribute, kind, due in _MADE_OF:
            value = getattr(node, attribute, None)
            if not isinstance(value, kind):
                return f"{name} has {show(value, 30)} for its {attribute}: {due} due there."
        if depth > DEEPEST:
            return f"More than {DEEPEST} nodes hang below each other, and no prompt so far has as many pages."
        for first, child in node.children.items():
            if not isinstance(first, bytes):
                return f"{name} files a child under {show(first, 20)}: the first page of its key, bytes, is due there."
            if not isinstance(child, RadixNode) or id(child) in seen:
                return f"What stands under the page {show(first, 20)} is no node of its own."
            seen.add(id(child))
            todo.append((child, f"The node under the page {show(first, 20)}", depth + 1))
    return ""


def wrong_link(root: RadixNode, size: int) -> str:
    """What does not fit between the nodes of a tree: a sentence, "" if all does."""
    todo = [root]
    while todo:
        node = todo.pop()
        for first, child in node.children.items():
            name = _word(child.key)
            if not child.key and not child.blocks:
                return f"A node without a page hangs below {_place(root, node)}: no prompt leads to it."
            if len(child.key) != size * len(child.blocks) or not child.key:
                return f"The node of the edge {name} has {len(child.blocks)} blocks: one for each page is due."
            if first != child.key[:size]:
                return f"The node of the edge {name} stands under {show(first, 20)}, which is not its first page."
            if child.parent is not node:
                return f"The node of the edge {name} names another node as its parent than the one it hangs from."
            todo.append(child)
    return ""


def copy_of(root: RadixNode) -> RadixNode:
    """The same tree, of other nodes. It stops where a broken tree would go round."""

    def one(node: RadixNode, parent: RadixNode | None, depth: int) -> RadixNode:
        twin = RadixNode(node.key, node.blocks, parent, node.locks, node.last_used)
        if depth < 40:
            twin.children = {first: one(child, twin, depth + 1) for first, child in node.children.items()}
        return twin

    return one(root, None, 0)


def same(a: RadixNode, b: RadixNode) -> bool:
    """Whether two trees are equal node by node, links included."""
    if (a.key, list(a.blocks), a.locks, a.last_used) != (b.key, list(b.blocks), b.locks, b.last_used):
        return False
    return a.children.keys() == b.children.keys() and all(
        b.children[k].parent is b and same(a.children[k], b.children[k]) for k in a.children
    )


def _twin(copied: RadixNode, name: bytes) -> RadixNode:
    """The node of a copied tree at whose end `name` ends."""
    for twin in _below(copied):
        if _path(twin) == name:
            return twin
    raise AssertionError("the copy has every node of the tree")


def _path(node: RadixNode) -> bytes:
    keys: list[bytes] = []
    at: Any = node
    while isinstance(at, RadixNode) and isinstance(at.key, bytes) and len(keys) < 100:
        keys.append(at.key)
        at = at.parent
    return b"".join(reversed(keys))


def _inside(root: RadixNode, node: RadixNode) -> bool:
    return node is root or any(node is other for other in _below(root))


def _keys(root: RadixNode) -> list[tuple[bytes, int]]:
    return [(_path(node), len(node.key)) for node in _below(root)]


def _locks(root: RadixNode) -> dict[bytes, int]:
    """By page, so that trees that are cut elsewhere can be compared."""
    locks = {}
    for node in _below(root):
        path = _path(node)
        for end in range(len(path) - len(node.key) + 1, len(path) + 1):
            locks[path[:end]] = node.locks
    return locks


def _common(a: list[Any], b: list[Any]) -> Any:
    for x, y in zip(a, b, strict=False):
        if x != y:
            return
        yield x


def _place(root: RadixNode, node: Any) -> str:
    if not isinstance(node, RadixNode):
        return show(node, 20)
    if node is root:
        return "the root"
    return f"the node of {_word(_path(node))}" if _inside(root, node) else "a node that is not in the tree"


def _answer(answer: Any) -> str:
    node, pages, blocks = answer
    place = (
        f"the node of {_word(_path(node))}"
        if isinstance(node, RadixNode) and node.parent is not None
        else ("the root" if isinstance(node, RadixNode) else show(node, 20))
    )
    return f"({place}, {show(pages, 20)}, {show(blocks, 60)})"


def _word(tokens: Any) -> str:
    return repr(tokens.decode("utf-8", "replace")) if isinstance(tokens, bytes) else show(tokens, 30)


def _letters(n: int) -> str:
    return "one letter" if n == 1 else f"{n} letters"


def _pages(n: int) -> str:
    return "1 page" if n == 1 else f"{n} pages"


def _locked(n: int) -> str:
    return "1 lock" if n == 1 else f"{n} locks"
