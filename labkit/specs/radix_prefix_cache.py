"""Lesson 08, the radix tree: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.cache import radix_tree
from labkit.cache.radix_node import RadixNode
from labkit.grading.breakit import BreakIt
from labkit.grading.display import show
from labkit.grading.specification import Op, Rule, Specification, Witness, op
from labkit.specs import Exercise, Lesson
from labkit.specs.radix_referees import (
    EvictReferee,
    InsertReferee,
    MatchReferee,
    RequestsReferee,
    SplitReferee,
)

_NODE = "from labkit.cache.radix_node import RadixNode\n"


class _Tree(Specification):
    """What the four exercises have in common: a tree with pages of a few letters, grown from words."""

    prelude = _NODE
    steps = 12

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"page_bytes": st.integers(1, 3)}

    @staticmethod
    def words() -> dict[str, Any]:
        from hypothesis import strategies as st

        return {"text": st.text("ab", max_size=9)}

    @classmethod
    def words_below(cls) -> dict[str, Any]:
        """As words, and from where the walk begins: the root, mostly, or where another word ends."""
        from hypothesis import strategies as st

        return {**cls.words(), "below": st.just("") | st.text("ab", max_size=4)}


def _grown(page: int, *words: str, locks: tuple[str, ...] = ()) -> tuple[Op, ...]:
    """A tree with these words in it, and locked paths."""
    return (
        op("new", page_bytes=page),
        *(op("plant", text=word) for word in words),
        *(op("lock", text=word) for word in locks),
    )


class Match(_Tree):
    """match: how far a prompt is known."""

    exercise = "match"
    referee = MatchReferee
    prelude = _NODE + "from labkit.cache.radix_tree import shared_pages\n"
    rules = (
        Rule("never-a-wrong-block", "Every block in the answer was computed from just these tokens, in order."),
        Rule("changes-nothing", "Looking leaves the tree as it was, and the list of blocks is the caller's own."),
        Rule("finds-all-that-agrees", "The answer has every whole page from the start on that agrees with the tree."),
        Rule("says-where-it-ends", "The node is the last one reached; pages counts what agrees of its own edge."),
    )
    witnesses = (
        Witness("never-a-wrong-block", *_grown(2, "aabb"), op("match", text="aacc")),
        Witness("never-a-wrong-block", *_grown(2, "aabbcc"), op("match", text="aabbdd")),
        Witness("never-a-wrong-block", *_grown(2, "aabbcc"), op("match", text="aaddcc")),
        Witness("never-a-wrong-block", *_grown(2, "aabb"), op("match", text="aabd")),
        Witness("never-a-wrong-block", *_grown(2, "aabb"), op("match", text="aab")),
        Witness("never-a-wrong-block", *_grown(1, "ab", "ac"), op("match", text="bc")),
        Witness("never-a-wrong-block", *_grown(2, "aabb"), op("match", text="a")),
        Witness("never-a-wrong-block", *_grown(2, "aabb", "aacc"), op("match", text="bbcc")),
        Witness("never-a-wrong-block", *_grown(2, "aabbcc", "aabbdd"), op("match", text="aaee")),
        Witness("never-a-wrong-block", *_grown(2, "aabbccddeeff"), op("match", text="aabbxxddeeff")),
        Witness("never-a-wrong-block", *_grown(2, "aabb", "aabbcc"), op("match", text="aaddcc")),
        Witness("never-a-wrong-block", *_grown(2, "aabb"), op("match", text="aaddaabb")),
        Witness("changes-nothing", *_grown(2, "aabb", "aacc"), op("match", text="aabb"), op("match", text="aabb")),
        Witness("changes-nothing", *_grown(2, "aabb"), op("match", text="aabb")),
        Witness("changes-nothing", *_grown(2, "aabbcc"), op("match", text="aabb")),
        Witness(
            "finds-all-that-agrees",
            *_grown(2, "aabb"),
            op("match", text="aabbcc"),
            op("plant", text="aabbcc"),
            op("match", text="aabbcc"),
        ),
        Witness("changes-nothing", *_grown(2, "aabbcc", locks=("aabbcc",)), op("match", text="aabbcc")),
        Witness("finds-all-that-agrees", *_grown(2, "aabb"), op("match", text="aabbcc")),
        Witness("finds-all-that-agrees", *_grown(2, "aabbcc"), op("match", text="aabb")),
        Witness("finds-all-that-agrees", *_grown(2, "aabbcc"), op("match", text="aabbdd")),
        Witness("finds-all-that-agrees", *_grown(2, "aabbcc"), op("match", text="aabbc")),
        Witness("finds-all-that-agrees", *_grown(2, "aabb", "aacc"), op("match", text="aacc")),
        Witness("finds-all-that-agrees", *_grown(2, "aabbccdd", "aabbccee", "aabbff"), op("match", text="aabbcceegg")),
        Witness("finds-all-that-agrees", *_grown(2, "aabb", "aabbccdd"), op("match", text="aabbccee")),
        Witness("finds-all-that-agrees", *_grown(3, "aaabbb", "aaaccc"), op("match", text="aaabbbb")),
        Witness("finds-all-that-agrees", *_grown(1, "abcabc"), op("match", text="abcabc")),
        Witness("finds-all-that-agrees", *_grown(2, "aaaaaaaa"), op("match", text="aaaaaa")),
        Witness("says-where-it-ends", *_grown(2, "aabb"), op("match", text="ccdd")),
        Witness("says-where-it-ends", *_grown(2, "aabb", "aabbcc"), op("match", text="dd", below="aabb")),
        Witness("finds-all-that-agrees", *_grown(2, "aabb", "aabbccdd"), op("match", text="ccddee", below="aabb")),
        Witness("says-where-it-ends", *_grown(2, "aabb"), op("match", text="")),
        Witness("says-where-it-ends", op("new", page_bytes=2), op("match", text="aabb")),
        Witness("says-where-it-ends", *_grown(2, "aabb", "aaccdd"), op("match", text="aaccee")),
        Witness("says-where-it-ends", *_grown(2, "aabb", "aacc"), op("match", text="aadd")),
        Witness("says-where-it-ends", *_grown(2, "aabb", "aabbccdd"), op("match", text="aabbcc")),
    )
    rule_hints = {
        "never-a-wrong-block": "The first page of an edge was found in `children`, so it agrees. What do you know of "
        "its "
        "other pages?",
        "changes-nothing": "Which list does `blocks += ...` add to: one of yours, or one that belongs to a node?",
        "finds-all-that-agrees": "Where does your walk stop: at the end of an edge, inside it, or one page early?",
        "says-where-it-ends": "The way can end at the root, at the end of an edge, or inside one. Write down node and "
        "pages for each.",
    }
    hints = (
        "A walk can stop in three places: no child begins with the next page; the child's edge agrees only in part; "
        "the "
        "prompt is at its end. What is the answer in each?",
        "At the top of each round, all tokens before `start` agree with the way from the root to `node`, and `blocks` "
        "are the blocks of just these pages.",
        "while True:\n    child = node.children.get(tokens[start : start + ____])\n    if child is None:\n"
        "        return node, len(node.blocks), blocks\n    pages = shared_pages(child.key, tokens, start, "
        "page_bytes)\n"
        "    blocks += child.blocks[:____]\n    if pages < ____:\n        return child, pages, blocks\n"
        "    node, start = child, ____",
    )

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        return {"plant": self.words(), "match": self.words_below()}


class Split(_Tree):
    """split: an edge cut in two."""

    exercise = "split"
    referee = SplitReferee
    prelude = _NODE + "from labkit.errors import CacheError\n"
    rules = (
        Rule("nothing-is-lost", "Every page that was findable is found afterwards, in the same block."),
        Rule("the-end-stays-the-same-node", "The node that was given is the lower part, with its children."),
        Rule("locks-go-with-the-way", "Both parts have the locks that the node had."),
        Rule(
            "cut-at-the-page", "The upper part has the first pages of the edge and their blocks, no more and no less."
        ),
        Rule("links-fit", "Each node hangs from its parent under the first page of its own key."),
        Rule("time-goes-with-the-way", "Both parts were last used when the node was."),
        Rule("gives-the-upper-part", "The answer is the new, upper node."),
        Rule("no-empty-side", "A cut that leaves a part without a page raises CacheError and changes nothing."),
    )
    witnesses = (
        Witness("nothing-is-lost", *_grown(2, "aabbcc"), op("split", which=0, pages=1)),
        Witness("nothing-is-lost", *_grown(2, "aabbcc"), op("split", which=0, pages=2)),
        Witness("nothing-is-lost", *_grown(2, "aabbcc", "aabbdd"), op("split", which=0, pages=1)),
        Witness("nothing-is-lost", *_grown(2, "aabbcc", "ddeeff"), op("split", which=1, pages=2)),
        Witness("nothing-is-lost", *_grown(2, "aaaabb"), op("split", which=0, pages=1)),
        Witness("the-end-stays-the-same-node", *_grown(1, "abc"), op("split", which=0, pages=2)),
        Witness(
            "the-end-stays-the-same-node",
            *_grown(1, "abcd", "abce"),
            op("split", which=0, pages=1),
            op("split", which=1, pages=1),
        ),
        Witness("locks-go-with-the-way", *_grown(2, "aabb", locks=("aabb",)), op("split", which=0, pages=1)),
        Witness(
            "locks-go-with-the-way", *_grown(2, "aabbcc", locks=("aabbcc", "aabbcc")), op("split", which=0, pages=2)
        ),
        Witness("locks-go-with-the-way", *_grown(2, "aabb"), op("split", which=0, pages=1)),
        Witness(
            "locks-go-with-the-way", *_grown(1, "abc", "abcd", locks=("abc", "abcd")), op("split", which=0, pages=1)
        ),
        Witness(
            "locks-go-with-the-way",
            *_grown(1, "abc", "abd", locks=("abc", "abd", "abd")),
            op("split", which=0, pages=1),
        ),
        Witness("cut-at-the-page", *_grown(3, "aaabbbccc"), op("split", which=0, pages=1)),
        Witness("cut-at-the-page", *_grown(2, "aabbccdd"), op("split", which=0, pages=3)),
        Witness("links-fit", *_grown(2, "aabb", "aaccdd"), op("split", which=2, pages=1)),
        Witness("links-fit", *_grown(2, "aabbcc", "aabbdd", "aabbee"), op("split", which=0, pages=1)),
        Witness("time-goes-with-the-way", *_grown(2, "aabb", locks=("aabb",)), op("split", which=0, pages=1)),
        Witness("gives-the-upper-part", *_grown(2, "aabb"), op("split", which=0, pages=1)),
        Witness("no-empty-side", *_grown(2, "aabb"), op("split", which=0, pages=0)),
        Witness("no-empty-side", *_grown(2, "aabb"), op("split", which=0, pages=2)),
        Witness("no-empty-side", *_grown(2, "aabb", "aacc"), op("split", which=0, pages=1)),
    )
    rule_hints = {
        "nothing-is-lost": "Follow the last page of the old edge from the root: which child do you look under, and "
        "does "
        "the node there begin with that page?",
        "the-end-stays-the-same-node": "A running request remembers the node at which its path ends. Which of the two "
        "parts is that?",
        "locks-go-with-the-way": "A request that locks the end of the edge: which of the two parts does it need?",
        "cut-at-the-page": "How many bytes are `pages` pages, and how many blocks?",
        "links-fit": "Four links change: two `parent`s and two entries in `children`. Name them.",
    }
    hints = (
        "Draw both pictures, before and after. Which of the two nodes afterwards is the object that you were given?",
        "The way from the root to the end spells the same tokens through the same blocks as before, and everybody who "
        "locked it still does.",
        "cut = pages * page_bytes\nupper = RadixNode(node.key[:cut], node.blocks[:pages], node.parent, ____, "
        "node.last_used)\nnode.key, node.blocks, node.parent = ____, ____, upper\n"
        "upper.children[____] = node\nupper.parent.children[____] = upper",
    )

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {
            "plant": self.words(),
            "lock": self.words(),
            "split": {"which": st.integers(0, 5), "pages": st.integers(0, 5)},
        }


class Insert(_Tree):
    """insert: a prefix becomes findable."""

    exercise = "insert"
    referee = InsertReferee
    prelude = _NODE + "from labkit.cache.radix_tree import shared_pages\nfrom labkit.mine import match, split\n"
    rules = (
        Rule("what-was-there-stays", "Every page that was in the tree is still found, in the block it had."),
        Rule(
            "all-of-it-is-found",
            "Afterwards every page of the tokens is found; new ones in the blocks that came with them.",
        ),
        Rule("links-fit", "Each node hangs from its parent under the first page of its own key."),
        Rule("locks-are-left-alone", "Inserting locks and unlocks nothing; a new node is not locked."),
        Rule("ends-where-the-tokens-end", "The node in the answer is the one at whose end the tokens end."),
        Rule("one-node-for-a-run", "Edges are cut where prompts part or end, and nowhere else."),
        Rule("counts-what-was-there", "The number in the answer is how many pages were in the tree before."),
    )
    witnesses = (
        Witness("all-of-it-is-found", op("new", page_bytes=2), op("insert", text="aabb")),
        Witness("all-of-it-is-found", op("new", page_bytes=2), op("insert", text="aabb"), op("insert", text="aabbcc")),
        Witness("all-of-it-is-found", op("new", page_bytes=2), op("insert", text="aabb"), op("insert", text="ccdd")),
        Witness(
            "all-of-it-is-found", op("new", page_bytes=2), op("insert", text="aabbcc"), op("insert", text="aabbdd")
        ),
        Witness(
            "all-of-it-is-found",
            op("new", page_bytes=1),
            op("insert", text="abc"),
            op("insert", text="abd"),
            op("insert", text="abdef"),
            op("insert", text="abdeg"),
        ),
        Witness("what-was-there-stays", op("new", page_bytes=2), op("insert", text="aabb"), op("insert", text="aabb")),
        Witness(
            "what-was-there-stays", op("new", page_bytes=2), op("insert", text="aabbcc"), op("insert", text="aadd")
        ),
        Witness(
            "what-was-there-stays",
            op("new", page_bytes=2),
            op("insert", text="aabbcc"),
            op("insert", text="aabb"),
            op("insert", text="aaddee"),
        ),
        Witness(
            "what-was-there-stays",
            op("new", page_bytes=2),
            op("insert", text="aabb"),
            op("insert", text="aabbcc"),
            op("insert", text="aabbdd"),
            op("insert", text="aabb"),
        ),
        Witness(
            "all-of-it-is-found",
            op("new", page_bytes=2),
            op("insert", text="aabb"),
            op("insert", text="ccdd", below="aabb"),
            op("insert", text="ccee", below="aabb"),
        ),
        Witness("links-fit", op("new", page_bytes=3), op("insert", text="aaabbb"), op("insert", text="aaaccc")),
        Witness("locks-are-left-alone", op("new", page_bytes=2), op("insert", text="aabb")),
        Witness(
            "locks-are-left-alone",
            op("new", page_bytes=2),
            op("insert", text="aabb"),
            op("lock", text="aabb"),
            op("insert", text="aacc"),
        ),
        Witness(
            "locks-are-left-alone",
            op("new", page_bytes=2),
            op("insert", text="aabb"),
            op("lock", text="aabb"),
            op("insert", text="aabbcc"),
        ),
        Witness("one-node-for-a-run", op("new", page_bytes=1), op("insert", text="abcd")),
        Witness("one-node-for-a-run", op("new", page_bytes=1), op("insert", text="abcd"), op("insert", text="abef")),
        Witness(
            "ends-where-the-tokens-end", op("new", page_bytes=2), op("insert", text="aabbcc"), op("insert", text="aa")
        ),
        Witness("ends-where-the-tokens-end", op("new", page_bytes=2), op("insert", text="")),
        Witness("ends-where-the-tokens-end", op("new", page_bytes=2), op("insert", text="aabb"), op("insert", text="")),
        Witness(
            "ends-where-the-tokens-end", op("new", page_bytes=2), op("insert", text="aabb"), op("insert", text="aabb")
        ),
        Witness(
            "counts-what-was-there", op("new", page_bytes=2), op("insert", text="aabbcc"), op("insert", text="aabbddee")
        ),
        Witness(
            "counts-what-was-there",
            op("new", page_bytes=2),
            op("insert", text="aabb"),
            op("insert", text="aacc"),
            op("insert", text="aaccdd"),
        ),
    )
    rule_hints = {
        "what-was-there-stays": "The tree has some of these pages already, in other blocks. Which blocks stay in the "
        "tree?",
        "all-of-it-is-found": "How many of the tokens are in the tree before you hang anything, and where do the "
        "others "
        "go?",
        "locks-are-left-alone": "Whose task is locking? What does split do with the locks of the node it cuts?",
        "one-node-for-a-run": "How many new nodes does one call need at most, apart from the one that split makes?",
        "ends-where-the-tokens-end": "The tokens end inside an edge. What must happen before a node can end there?",
    }
    hints = (
        "After `match`, three cases are left: the way ended inside an edge or at its end; and tokens are left over or "
        "not. What is to be done in each?",
        "What is there keeps its blocks; the rest hangs as one node below the place where the two part, which is the "
        "end "
        "of a node.",
        "node, pages, there = match(root, tokens, page_bytes)\nif pages < ____:\n    node = split(____)\n"
        "rest = tokens[____ :]\nif rest:\n    leaf = RadixNode(rest, blocks[____ :], ____)\n"
        "    node.children[____] = leaf\n    node = leaf\nreturn node, ____",
    )

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        return {"insert": self.words_below(), "lock": self.words()}


class EvictLeaf(_Tree):
    """evict_leaf: pages off the end of a leaf."""

    exercise = "evict_leaf"
    referee = EvictReferee
    prelude = _NODE + "from labkit.errors import CacheError\n"
    rules = (
        Rule("never-locked-nor-leading-on", "A node that is locked or has children, and the root, raise CacheError."),
        Rule("refused-means-unchanged", "After a call that is refused the tree is as it was."),
        Rule(
            "last-pages-first", "The answer is the blocks of up to n pages from the end of the leaf, last page first."
        ),
        Rule("what-went-is-not-found", "A page whose block went is not found any more."),
        Rule("what-is-left-is-found", "Every other page is found, in the block it had."),
        Rule("an-empty-leaf-leaves", "A leaf without a page is not in the tree any more; one with pages left is."),
        Rule("links-fit", "Each node hangs from its parent under the first page of its own key, with a block a page."),
        Rule("locks-and-times-stay", "Evicting locks and unlocks nothing, and leaves last_used as it is."),
    )
    witnesses = (
        Witness("never-locked-nor-leading-on", *_grown(2, "aabb", locks=("aabb",)), op("evict", which=1, n=1)),
        Witness("never-locked-nor-leading-on", *_grown(2, "aabb", "aacc"), op("evict", which=1, n=1)),
        Witness("never-locked-nor-leading-on", *_grown(2, "aabb"), op("evict", which=0, n=1)),
        Witness("never-locked-nor-leading-on", op("new", page_bytes=2), op("evict", which=0, n=1)),
        Witness(
            "never-locked-nor-leading-on",
            *_grown(2, "aabb", locks=("aabb", "aabb")),
            op("unlock", text="aabb"),
            op("evict", which=1, n=2),
        ),
        Witness("refused-means-unchanged", *_grown(2, "aabbcc", locks=("aabbcc",)), op("evict", which=1, n=5)),
        Witness("refused-means-unchanged", *_grown(1, "abc", "abd"), op("evict", which=1, n=2)),
        Witness("last-pages-first", *_grown(2, "aabbcc"), op("evict", which=1, n=2)),
        Witness("last-pages-first", *_grown(2, "aabbcc"), op("evict", which=1, n=3)),
        Witness("last-pages-first", *_grown(2, "aabb"), op("evict", which=1, n=9)),
        Witness("last-pages-first", *_grown(1, "abcd", "ae"), op("evict", which=2, n=1), op("evict", which=2, n=1)),
        Witness("what-went-is-not-found", *_grown(2, "aabb"), op("evict", which=1, n=2)),
        Witness("what-went-is-not-found", *_grown(2, "aabbcc"), op("evict", which=1, n=1)),
        Witness("what-is-left-is-found", *_grown(2, "aabbcc"), op("evict", which=1, n=1)),
        Witness("what-is-left-is-found", *_grown(2, "aabb", "aacc", "aadd"), op("evict", which=3, n=1)),
        Witness("what-is-left-is-found", *_grown(2, "aabb", "ccdd"), op("evict", which=1, n=2)),
        Witness(
            "an-empty-leaf-leaves",
            *_grown(2, "aabb", "aacc"),
            op("evict", which=2, n=1),
            op("evict", which=2, n=1),
            op("evict", which=1, n=1),
        ),
        Witness("an-empty-leaf-leaves", *_grown(1, "abcde"), op("evict", which=1, n=4), op("evict", which=1, n=1)),
        Witness("an-empty-leaf-leaves", *_grown(1, "ab", "abcd"), op("evict", which=2, n=1)),
        Witness("what-is-left-is-found", *_grown(1, "ab", "abcd"), op("evict", which=2, n=2)),
        Witness(
            "locks-and-times-stay",
            *_grown(2, "aabbcc", locks=("aabbcc",)),
            op("unlock", text="aabbcc"),
            op("evict", which=1, n=1),
        ),
        Witness("links-fit", *_grown(3, "aaabbbccc", "aaaddd"), op("evict", which=2, n=1), op("evict", which=2, n=1)),
        Witness("locks-and-times-stay", *_grown(2, "aabb", "aaccdd", locks=("aabb",)), op("evict", which=3, n=1)),
        Witness("locks-and-times-stay", *_grown(2, "aabb", "aaccdd", locks=("aabb",)), op("evict", which=3, n=2)),
        Witness(
            "locks-and-times-stay",
            *_grown(2, "aabb", locks=("aabb",)),
            op("unlock", text="aabb"),
            op("evict", which=1, n=2),
        ),
    )
    rule_hints = {
        "never-locked-nor-leading-on": "Name the three kinds of node of which nothing may go.",
        "refused-means-unchanged": "What has already happened when you find that the node may not be touched?",
        "what-went-is-not-found": "A page is found by the keys in `children` and by `key`. Which of them still name "
        "it?",
        "what-is-left-is-found": "Which end of the leaf do the pages come from, and what belongs together with a "
        "block?",
        "an-empty-leaf-leaves": "Under which page does the parent keep this leaf, and do you still know that page when "
        "you need it?",
    }
    hints = (
        "A request walks in from the root. Which page of a leaf can go without making another one unreachable?",
        "Key and blocks shrink together, from the end; a leaf with nothing left is in nobody's `children`.",
        "keep = max(0, ____ - n)\nevicted = leaf.blocks[keep:][::____]\nif keep == 0:\n"
        "    del leaf.parent.children[____]\nleaf.key = leaf.key[:____]\nleaf.blocks = leaf.blocks[:keep]\nreturn "
        "evicted",
    )

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {
            "plant": self.words(),
            "lock": self.words(),
            "unlock": self.words(),
            "evict": {"which": st.integers(0, 7), "n": st.integers(1, 4)},
        }


class _Requests(Specification):
    """What requests may rely on, whoever cuts the edges."""

    exercise = "split"
    referee = RequestsReferee
    prelude = Split.prelude
    rules = (
        Rule("a-running-request-keeps-its-pages", "No page of a running request leaves the tree."),
        Rule("what-nobody-needs-can-go", "A page that no running request needs can be evicted."),
        Rule("a-request-can-end", "A running request can end: the locks that it took are there to be taken off."),
    )


class BreakTheSplit(BreakIt):
    """A split whose new node begins with no locks."""

    exercise = "break_split"
    base = _Requests()
    reference = "labkit.cache.radix_tree:split"
    bug = """
def split(node, pages, page_bytes):
    cut = pages * page_bytes
    upper = RadixNode(node.key[:cut], node.blocks[:pages], node.parent)
    upper.last_used = node.last_used
    node.key, node.blocks, node.parent = node.key[cut:], node.blocks[pages:], upper
    upper.children[node.key[:page_bytes]] = node
    upper.parent.children[upper.key[:page_bytes]] = upper
    return upper
"""
    shortest = (op("start", text="ab"), op("start", text="a"), op("finish", which=0), op("evict", n=2))
    hints = (
        "The upper part of a cut edge: who needs it, and what does this split write down about that?",
        "Every finish takes one lock off each node of the way, the new one included. When does its number stop being "
        "the number of requests that need it?",
        '[("start", "ab"), ("start", "____"), ("finish", ____), ("evict", 2)]',
    )

    def names_shown(self) -> list[str]:
        return ["start", "finish", "evict"]

    def sense(self, ops: list[Op]) -> str:
        running = 0
        for i, step in enumerate(ops, 1):
            if step.name == "start":
                text = step.args["text"]
                if not isinstance(text, str) or not 1 <= len(text) <= 8 or not all("a" <= c <= "z" for c in text):
                    return (
                        f"Operation {i} starts {show(text, 20)}; a prompt is a word of 1 to 8 small letters, each a "
                        'page: ("start", "ab").'
                    )
                running += 1
                continue
            number = step.args["which" if step.name == "finish" else "n"]
            if type(number) is not int or number < (step.name == "evict"):
                return f"Operation {i} has {show(number, 20)}; a whole number is due there, and evict takes 1 or more."
            if step.name == "finish":
                if number >= running:
                    return (
                        f"Operation {i} finishes request {number}, and {running} run then: they count from 0, oldest "
                        "first."
                    )
                running -= 1
        return ""

    def why_it_stands(self, ops: list[Op]) -> str:
        names = [step.name for step in ops]
        if not _cuts(step.args["text"].encode() for step in ops if step.name == "start"):
            return "An edge is cut only when a second prompt ends inside it or leaves it; no edge was cut here."
        if "finish" not in names:
            return "No request has ended: one lock too few does no harm before somebody takes a lock off."
        if "evict" not in names:
            return "Nothing was evicted: a wrong number of locks does no harm until somebody goes by it."
        return f"The wrong split kept every promise through all {len(ops)} operations."


def _cuts(prompts: Iterable[bytes]) -> bool:
    """Whether one of these prompts, a letter a page, ends inside an edge that those before it made, or leaves it."""
    root = RadixNode()
    for prompt in prompts:
        node, pages, _ = radix_tree.match(root, prompt, 1)
        if pages < len(node.blocks):
            return True
        radix_tree.insert(root, prompt, range(len(prompt)), 1)
    return False


LESSON = Lesson(
    key="08_radix_prefix_cache",
    title="Prefix cache II: the radix tree",
    part="I. Memory",
    minutes=70,
    builds="A tree of prefixes: finding, cutting and adding in it, and evicting from its leaves.",
    symptom="A cache that has room for everything is slow, because it keeps and looks up a key for every block.",
    lights="",
    exercises=(
        Exercise("match", "How far a prompt is known", 10, 3, 5, Match(), "labkit.cache.radix_tree:match"),
        Exercise("split", "Cut an edge", 10, 3, 5, Split(), "labkit.cache.radix_tree:split"),
        Exercise("insert", "Make a prefix findable", 12, 3, 5, Insert(), "labkit.cache.radix_tree:insert"),
        Exercise("break_split", "Break it: the split that forgot", 5, 4, 3, BreakTheSplit(), kind="break"),
        Exercise(
            "evict_leaf",
            "Pages off the end of a leaf",
            12,
            3,
            4,
            EvictLeaf(),
            "labkit.cache.radix_tree:evict_leaf",
            stretch=True,
        ),
    ),
)
