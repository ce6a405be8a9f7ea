"""Lesson 08, the radix tree: its rules, witnesses and hints."""

from __future__ import annotations

from labkit.grading.breakit import BreakIt
from labkit.grading.language import Op, rules_from
from labkit.grading.search import text
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.radix_prefix_cache.referees import (
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
    search = {"page_bytes": (1, 3), "text": text("ab", 9), "below": lambda draw: draw.choice(("", text("ab", 4)(draw)))}


class Match(_Tree):
    """match: how far a prompt is known."""

    exercise = "match"
    referee = MatchReferee
    prelude = _NODE + "from labkit.cache.radix_tree import shared_pages\n"
    rules = rules_from(
        """
        never-a-wrong-block: Every block in the answer was computed from just these tokens, in order.
            ? The first page of an edge was found in `children`, so it agrees. What do you know of its other pages?
            new 2; plant aabb; match aacc
            new 2; plant aabbcc; match aaddcc
            new 2; plant aabb; match aabd
            new 2; plant aabb; match aab
            new 2; plant aabb; match a
            new 2; plant aabb; plant aabbcc; match aaddcc
            new 2; plant aabb; match aaddaabb
            new 2; plant aabb; plant aabbcc; match aacc
        changes-nothing: Looking leaves the tree as it was, and the list of blocks is the caller's own.
            ? Which line of yours writes into a node, or adds to a list that belongs to a node?
            new 2; plant aabb; plant aacc; match aabb; match aabb
            new 2; plant aabb; match aabb
            new 2; plant aabbcc; lock aabbcc; match aabbcc
        finds-all-that-agrees: The answer has every whole page from the start on that agrees with the tree.
            ? Where does your walk stop: at the end of an edge, inside it, or one page early?
            new 2; plant aabb; match aabbcc; plant aabbcc; match aabbcc
            new 2; plant aabb; match aabbcc
            new 2; plant aabbccdd; plant aabbccee; plant aabbff; match aabbcceegg
            new 2; plant aabb; plant aabbccdd; match aabbccee
            new 2; plant aaaaaaaa; match aaaaaa
            new 2; plant aabb; plant acbb; match aabb; match acbb
            new 1; plant a; plant ab; plant abc; plant abcd; plant abcde; match abcde
            new 2; plant a400b400c200; match a400b400d200
            new 2; plant aabb; plant aabbccdd; match ccddee below=aabb
        says-where-it-ends: The node is the last one reached; pages counts what agrees of its own edge.
            ? The way can end at the root, at the end of an edge, or inside one. Write down node and pages for each.
            new 2; plant aabb; plant aabbcc; match dd below=aabb
            new 2; plant aabb; match ""
            new 2; match aabb
        """
    )
    hints = (
        "A walk can stop in three places: no child begins with the next page; the child's edge agrees only in part; "
        "the prompt is at its end. What is the answer in each?",
        "At the top of each round, all tokens before `start` agree with the way from the root to `node`, and `blocks` "
        "are the blocks of just these pages.",
        "while True:\n    child = node.children.get(tokens[start : start + ____])\n    if child is None:\n"
        "        return node, len(node.blocks), blocks\n    pages = shared_pages(child.key, tokens, start, "
        "page_bytes)\n"
        "    blocks += child.blocks[:____]\n    if pages < ____:\n        return child, pages, blocks\n"
        "    node, start = child, ____",
    )
    drawn = ("new", "plant", "match")


class Split(_Tree):
    """split: an edge cut in two."""

    exercise = "split"
    referee = SplitReferee
    prelude = _NODE + "from labkit.errors import CacheError\n"
    rules = rules_from(
        """
        nothing-is-lost: Every page that was findable is found afterwards, in the same block.
            ? Follow the last page of the old edge from the root: which child do you look under, and does the node \
              there begin with that page?
            new 2; plant aabbcc; split 0 1
            new 2; plant aabbcc; split 0 2
            new 2; plant aabbcc; plant aabbdd; split 0 1
            new 2; plant aabbcc; plant ddeeff; split 1 2
        the-end-stays-the-same-node: The node that was given is the lower part, with its children.
            ? A running request remembers the node at which its path ends. Which of the two parts is that?
            new 1; plant abc; split 0 2
        locks-go-with-the-way: Both parts have the locks that the node had.
            ? A request that locks the end of the edge: which of the two parts does it need?
            new 2; plant aabb; split 0 1
            new 1; plant abc; plant abcd; lock abc; lock abcd; split 0 1
            new 1; plant ab; lock ab; lock ab; lock ab; split 0 1
            new 1; plant ab; plant cd; lock ab; lock cd; split 1 1
        cut-at-the-page: The upper part has the first pages of the edge and their blocks, no more and no less.
            ? How many bytes are `pages` pages, and how many blocks?
            new 3; plant aaabbbccc; split 0 1
            new 2; plant a400b400c200; split 0 300
        links-fit: Each node hangs from its parent under the first page of its own key.
            ? Four links change: two `parent`s and two entries in `children`. Name them.
            new 2; plant aabb; plant aaccdd; split 2 1
        time-goes-with-the-way: Both parts were last used when the node was.
            ? Eviction takes what was used longest ago. What does your new node say of its last use?
            new 2; plant aabb; lock aabb; split 0 1
            new 1; plant abcde; lock abcde; split 0 3
        gives-the-upper-part: The answer is the new, upper node.
            ? Whoever cuts wants to hang something at the cut. Which of the two nodes ends there?
            new 2; plant aabb; split 0 1
        no-empty-side: A cut that leaves a part without a page raises CacheError and changes nothing.
            ? How few pages, and how many, may the upper part get? What has been changed when you find out?
            new 2; plant aabb; split 0 0
            new 2; plant aabb; split 0 2
        """
    )
    hints = (
        "Draw both pictures, before and after. Which of the two nodes afterwards is the object that you were given?",
        "The way from the root to the end spells the same tokens through the same blocks as before, and everybody who "
        "locked it still does.",
        "cut = pages * page_bytes\nupper = RadixNode(node.key[:cut], node.blocks[:pages], node.parent, ____, "
        "node.last_used)\nnode.key, node.blocks, node.parent = ____, ____, upper\n"
        "upper.children[____] = node\nupper.parent.children[____] = upper",
    )
    search = {**_Tree.search, "which": (0, 5), "pages": (0, 5)}
    drawn = ("new", "plant", "lock", "split")


class Insert(_Tree):
    """insert: a prefix becomes findable."""

    exercise = "insert"
    referee = InsertReferee
    prelude = _NODE + "from labkit.cache.radix_tree import shared_pages\nfrom labkit.mine import match, split\n"
    rules = rules_from(
        """
        what-was-there-stays: Every page that was in the tree is still found, in the block it had.
            ? The tree has some of these pages already, in other blocks. Which blocks stay in the tree?
            new 2; insert aabb; insert aabb
            new 2; insert aabbcc; insert aadd
            new 2; insert aabbcc; insert aabb; insert aaddee
        all-of-it-is-found: Afterwards every page of the tokens is found; new ones in the blocks that came with them.
            ? How many of the tokens are in the tree before you hang anything, and where do the others go?
            new 2; insert aabb
            new 1; insert abc; insert abd; insert abdef; insert abdeg
            new 2; insert aabb; insert ccdd below=aabb; insert ccee below=aabb
        links-fit: Each node hangs from its parent under the first page of its own key.
            ? Under which page is the new node to be found, and which node has to know that?
            new 3; insert aaabbb; insert aaaccc
        locks-are-left-alone: Inserting locks and unlocks nothing; a new node is not locked.
            ? Whose task is locking? What does split do with the locks of the node it cuts?
            new 2; insert aabb
            new 2; insert aabb; lock aabb; insert aacc
        ends-where-the-tokens-end: The node in the answer is the one at whose end the tokens end.
            ? The tokens end inside an edge. What must happen before a node can end there?
            new 2; insert aabbcc; insert aa
            new 2; insert ""
        one-node-for-a-run: Edges are cut where prompts part or end, and nowhere else.
            ? How many new nodes does one call need at most, apart from the one that split makes?
            new 1; insert abcd
            new 2; insert a400b400; insert a400c400
        counts-what-was-there: The number in the answer is how many pages were in the tree before.
            ? Which part of what `match` gives says how much was known, over all edges and in pages?
            new 2; insert aabbcc; insert aabbddee
        """
    )
    hints = (
        "After `match`, three cases are left: the way ended inside an edge or at its end; and tokens are left over or "
        "not. What is to be done in each?",
        "What is there keeps its blocks; the rest hangs as one node below the place where the two part, which is the "
        "end of a node.",
        "node, pages, there = match(root, tokens, page_bytes)\nif pages < ____:\n    node = split(____)\n"
        "rest = tokens[____ :]\nif rest:\n    leaf = RadixNode(rest, blocks[____ :], ____)\n"
        "    node.children[____] = leaf\n    node = leaf\nreturn node, ____",
    )
    drawn = ("new", "insert", "lock")


class EvictLeaf(_Tree):
    """evict_leaf: pages off the end of a leaf."""

    exercise = "evict_leaf"
    referee = EvictReferee
    prelude = _NODE + "from labkit.errors import CacheError\n"
    rules = rules_from(
        """
        never-locked-nor-leading-on: A node that is locked or has children, and the root, raise CacheError.
            ? Name the three kinds of node of which nothing may go.
            new 2; plant aabb; lock aabb; evict 1 1
            new 2; plant aabb; plant aacc; evict 1 1
            new 2; plant aabb; plant aabbcc; evict 1 1
            new 2; plant aabb; lock aabb; lock aabb; evict 1 1
            new 2; plant aabb; plant aabbcc; lock aabbcc; evict 2 1
            new 2; evict 0 1
        refused-means-unchanged: After a call that is refused the tree is as it was.
            ? What has already happened when you find that the node may not be touched?
            new 2; plant aabbcc; lock aabbcc; evict 1 5
        last-pages-first: The answer is the blocks of up to n pages from the end of the leaf, last page first.
            ? A leaf of three pages, and two are wanted: which two blocks are in the answer, and which comes first?
            new 2; plant aabbcc; evict 1 2
            new 2; plant aabbcc; evict 1 3
            new 1; plant abcd; evict 1 3
            new 2; plant aabb; evict 1 9
            new 1; plant ab; plant abcd; evict 2 9
            new 2; plant a400b400; evict 1 300; evict 1 300
        what-went-is-not-found: A page whose block went is not found any more.
            ? A page is found by the keys in `children` and by `key`. Which of them still name it?
            new 2; plant aabb; evict 1 2
        what-is-left-is-found: Every other page is found, in the block it had.
            ? Which end of the leaf do the pages come from, and what belongs together with a block?
            new 2; plant aabbcc; evict 1 1
            new 2; plant aabb; plant ccdd; evict 1 2
        an-empty-leaf-leaves: A leaf without a page is not in the tree any more; one with pages left is.
            ? Under which page does the parent keep this leaf, and do you still know that page when you need it?
            new 1; plant abcde; evict 1 4; evict 1 1
            new 1; plant ab; plant abcd; evict 2 1
        links-fit: Each node hangs from its parent under the first page of its own key, with a block for each page.
            ? When pages go off the end of a leaf, what becomes shorter by as many pages?
            new 3; plant aaabbbccc; plant aaaddd; evict 2 1; evict 2 1
        locks-and-times-stay: Evicting locks and unlocks nothing, and leaves last_used as it is.
            ? Which attributes of a node does your function set, and which of them have to do with pages?
            new 2; plant aabbcc; lock aabbcc; unlock aabbcc; evict 1 1
            new 2; plant aabb; plant aaccdd; lock aabb; evict 3 1
        """
    )
    hints = (
        "A request walks in from the root. Which page of a leaf can go without making another one unreachable?",
        "Key and blocks shrink together, from the end; a leaf with nothing left is in nobody's `children`.",
        "keep = max(0, ____ - n)\nevicted = leaf.blocks[keep:][::____]\nif keep == 0:\n"
        "    del leaf.parent.children[____]\nleaf.key = leaf.key[:____]\nleaf.blocks = leaf.blocks[:keep]\n"
        "return evicted",
    )
    search = {**_Tree.search, "which": (0, 7), "n": (1, 4)}
    drawn = ("new", "plant", "lock", "unlock", "evict")


class _Requests(Specification):
    """What requests may rely on, whoever cuts the edges."""

    exercise = "split"
    referee = RequestsReferee
    prelude = Split.prelude
    search = {"which": (0, 7), "n": (1, 8)}
    rules = rules_from(
        """
        a-running-request-keeps-its-pages: No page of a running request leaves the tree.
        what-nobody-needs-can-go: A page that no running request needs can be evicted.
        a-request-can-end: A running request can end: the locks that it took are there to be taken off.
        """
    )


class BreakTheSplit(BreakIt):
    """A split whose new node begins with no locks."""

    exercise = "break_split"
    base = _Requests()
    reference = "labkit.cache.radix_tree:split"
    hints = (
        "The upper part of a cut edge: who needs it, and what does this split write down about that?",
        "Every finish takes one lock off each node of the way, the new one included. When does its number stop being "
        "the number of requests that need it?",
        '[("start", "ab"), ("start", "____"), ____, ("evict", ____)]',
    )

    allowed = ("start", "finish", "evict")
    words = {"text": ("[a-z]{1,8}", "a word of 1 to 8 small letters, each a page,")}
    without = {
        "finish": "No request has ended: one lock too few does no harm before somebody takes a lock off.",
        "evict": "Nothing was evicted: a wrong number of locks does no harm until somebody goes by it.",
    }

    def why_it_stands(self, ops: list[Op]) -> str:
        right = self.duel(ops)[0].referee
        if isinstance(right, RequestsReferee) and not right.cuts:
            return "An edge is cut only when a second prompt ends inside it or leaves it; no edge was cut here."
        return super().why_it_stands(ops)


LESSON = Lesson(
    key="08_radix_prefix_cache",
    title="Prefix cache II: the radix tree",
    part="I. Memory",
    minutes=70,
    builds="A tree of prefixes: finding, cutting and adding in it, and evicting from its leaves.",
    symptom="A cache that has room for everything is slow, because it keeps and looks up a key for every block.",
    exercises=(
        Exercise("match", "How far a prompt is known", 10, 3, 5, Match(),
                 "labkit.cache.radix_tree:match", slot="radix_tree"),
        Exercise("split", "Cut an edge", 10, 3, 5, Split(), "labkit.cache.radix_tree:split", slot="radix_tree"),
        Exercise("insert", "Make a prefix findable", 12, 3, 5, Insert(),
                 "labkit.cache.radix_tree:insert", slot="radix_tree"),
        Exercise("break_split", "Break it: the split that forgot", 5, 4, 3, BreakTheSplit(), kind="break"),
        Exercise("evict_leaf", "Pages off the end of a leaf", 12, 3, 4, EvictLeaf(),
                 "labkit.cache.radix_tree:evict_leaf", slot="radix_tree", stretch=True),
    ),
    ending="I can keep prefixes in a tree, cut an edge without losing a lock, and evict from the leaves. And I can "
    "say what a tree gains over hashes at equal page size, and what it does not.",
)  # fmt: skip
