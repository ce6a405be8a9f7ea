"""Lesson 08: wrong implementations that learners really write, and right ones in another style."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right

MATCH = """def match(root, tokens, page_bytes):
    node, start, blocks = root, 0, []
    while start < len(tokens):
        child = node.children.get(tokens[start : start + page_bytes])
        if child is None:
            break
        pages = shared_pages(child.key, tokens, start, page_bytes)
        blocks += child.blocks[:pages]
        if pages < len(child.blocks):
            return child, pages, blocks
        start += len(child.key)
        node = child
    return node, len(node.blocks), blocks
"""

SPLIT = """def split(node, pages, page_bytes):
    if not 0 < pages < len(node.blocks):
        raise CacheError("cut inside the edge")
    cut = pages * page_bytes
    above = node.parent
    upper = RadixNode(node.key[:cut], node.blocks[:pages], above, node.locks, node.last_used)
    node.key = node.key[cut:]
    node.blocks = node.blocks[pages:]
    node.parent = upper
    upper.children[node.key[:page_bytes]] = node
    above.children[upper.key[:page_bytes]] = upper
    return upper
"""

INSERT = """def insert(root, tokens, blocks, page_bytes):
    node, pages, there = match(root, tokens, page_bytes)
    found = len(there)
    if pages < len(node.blocks):
        node = split(node, pages, page_bytes)
    if found < len(blocks):
        rest = tokens[found * page_bytes :]
        leaf = RadixNode(rest, blocks[found:], node)
        node.children[rest[:page_bytes]] = leaf
        node = leaf
    return node, found
"""

EVICT = """def evict_leaf(leaf, n, page_bytes):
    if leaf.locks or leaf.children or leaf.parent is None:
        raise CacheError("evict from unlocked leaves")
    keep = max(0, len(leaf.blocks) - n)
    evicted = leaf.blocks[keep:][::-1]
    if keep == 0:
        del leaf.parent.children[leaf.key[:page_bytes]]
    leaf.key = leaf.key[: keep * page_bytes]
    leaf.blocks = leaf.blocks[:keep]
    return evicted
"""


def _with(base: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert base.count(old) == 1, f"{old!r} stands {base.count(old)} times"
        base = base.replace(old, new)
    return base


_WALK_WHOLE = """        pages = shared_pages(child.key, tokens, start, page_bytes)
        blocks += child.blocks[:pages]
        if pages < len(child.blocks):
            return child, pages, blocks
"""

_MATCH = [
    (
        "trusts-the-first-page",
        "never-a-wrong-block",
        ((_WALK_WHOLE, "        blocks += child.blocks\n"),),
        "The child was found by its first page; that the other pages of its edge agree was never asked.",
    ),
    (
        "takes-the-whole-edge",
        "never-a-wrong-block",
        (("child.blocks[:pages]", "child.blocks"),),
        "Where the prompt leaves an edge in the middle, only the pages before that place agree.",
    ),
    (
        "one-page-too-many",
        "never-a-wrong-block",
        (("child.blocks[:pages]", "child.blocks[: pages + 1]"),),
        "The page in which prompt and edge part is handed out with those before it.",
    ),
    (
        "goes-on-after-a-difference",
        "never-a-wrong-block",
        (("        if pages < len(child.blocks):\n            return child, pages, blocks\n", ""),),
        "The walk goes on below an edge that agreed only in part.",
    ),
    (
        "only-whole-edges",
        "finds-all-that-agrees",
        (
            (
                "        blocks += child.blocks[:pages]\n        if pages < len(child.blocks):\n"
                "            return child, pages, blocks\n",
                "        if pages < len(child.blocks):\n            break\n        blocks += child.blocks\n",
            ),
        ),
        "An edge that agrees only in part counts as nothing, and its first pages are computed again.",
    ),
    (
        "stops-one-page-early",
        "finds-all-that-agrees",
        (("child.blocks[:pages]", "child.blocks[: pages - 1]"),),
        "The last page that agrees is left out.",
    ),
    (
        "adds-to-the-nodes-list",
        "changes-nothing",
        (
            (
                "        blocks += child.blocks[:pages]\n",
                "        if blocks:\n            blocks += child.blocks[:pages]\n"
                "        elif pages == len(child.blocks):\n            blocks = child.blocks\n"
                "        else:\n            blocks = child.blocks[:pages]\n",
            ),
        ),
        "The answer begins as a list that belongs to a node, and what is added to it is added to the tree.",
    ),
    (
        "counts-a-use",
        "changes-nothing",
        (("        node = child\n", "        node = child\n        node.last_used += 1\n"),),
        "Looking is not using: a request that is refused afterwards has changed the order of eviction.",
    ),
    (
        "locks-on-the-way",
        "changes-nothing",
        (("        node = child\n", "        node = child\n        node.locks += 1\n"),),
        "Whoever only looks locks the way, and nobody ever unlocks it.",
    ),
    (
        "first-edge-only",
        "finds-all-that-agrees",
        (("    while start", "    if start"), ("            break", "            return root, 0, []")),
        "Only one edge is followed; what agrees below it is not seen.",
    ),
    (
        "steps-by-pages-of-the-prompt",
        "finds-all-that-agrees",
        (("        start += len(child.key)\n", "        start += page_bytes\n"),),
        "After an edge of several pages the walk moves on by one page only and looks for a child in the wrong place.",
    ),
    (
        "parent-instead-of-child",
        "says-where-it-ends",
        (("return child, pages, blocks", "return node, pages, blocks"),),
        "The way ends inside the child's edge, and the answer names the node above it.",
    ),
    (
        "all-pages-so-far",
        "says-where-it-ends",
        (("return child, pages, blocks", "return child, len(blocks), blocks"),),
        "The pages of all edges are counted, where those of the last edge are asked for.",
    ),
    (
        "no-answer-for-nothing",
        "says-where-it-ends",
        (
            (
                "        if child is None:\n            break\n",
                "        if child is None and node is root:\n            return None\n"
                "        if child is None:\n            break\n",
            ),
        ),
        "A prompt of which nothing is known has an answer too: the root, and no block.",
    ),
    (
        "zero-at-the-end-of-an-edge",
        "says-where-it-ends",
        (("return node, len(node.blocks), blocks", "return node, 0, blocks"),),
        "A way that ends at the end of an edge agrees with all of its pages, not with none.",
    ),
    (
        "compares-bytes-not-pages",
        "never-a-wrong-block",
        (
            (
                "pages = shared_pages(child.key, tokens, start, page_bytes)",
                "same = 0\n        while same < min(len(child.key), len(tokens) - start) and "
                "child.key[same] == tokens[start + same]:\n            same += 1\n        pages = -(-same // "
                "page_bytes)",
            ),
        ),
        "A page of which only the first tokens agree is rounded up to a whole one.",
    ),
    (
        "key-inside-prompt",
        "never-a-wrong-block",
        (
            (
                _WALK_WHOLE,
                "        if child.key not in tokens:\n            pages = shared_pages(child.key, tokens, start, "
                "page_bytes)\n            return child, pages, blocks + child.blocks[:pages]\n        blocks += "
                "child.blocks\n",
            ),
        ),
        "That the edge stands somewhere in the prompt does not say that it stands here.",
    ),
    (
        "looks-only-at-lengths",
        "never-a-wrong-block",
        (
            (
                "shared_pages(child.key, tokens, start, page_bytes)",
                "min(len(child.key), len(tokens) - start) // page_bytes",
            ),
        ),
        "How many pages there are to compare is counted, and they are not compared.",
    ),
    (
        "compares-from-the-start",
        "finds-all-that-agrees",
        (("shared_pages(child.key, tokens, start, page_bytes)", "shared_pages(child.key, tokens, 0, page_bytes)"),),
        "The edge below the first is compared with the beginning of the prompt.",
    ),
    (
        "never-moves-on",
        "endless-loop",
        (("        start += len(child.key)\n        node = child\n", "        start += 0\n"),),
        "The place in the prompt never moves, so the same child is found for ever.",
    ),
    (
        "takes-any-child",
        "never-a-wrong-block",
        (
            (
                "        if child is None:\n            break\n",
                "        if child is None:\n            child = next(iter(node.children.values()), None)\n"
                "        if child is None:\n            break\n",
            ),
            ("child.blocks[:pages]", "child.blocks[: max(1, pages)]"),
        ),
        "Where no child begins with the next page, another one is taken in its place.",
    ),
    (
        "a-tuple-of-blocks",
        "never-a-wrong-block",
        (
            ("return node, len(node.blocks), blocks", "return node, len(node.blocks), tuple(blocks)"),
            ("return child, pages, blocks", "return child, pages, tuple(blocks)"),
        ),
        "The caller goes on with a list of blocks, and a tuple cannot grow.",
    ),
]

_MATCH += [
    (
        "begins-with-the-roots-blocks",
        "never-a-wrong-block",
        (("node, start, blocks = root, 0, []", "node, start, blocks = root, 0, list(root.blocks)"),),
        "`tokens` come after the node that the walk begins at, so its own blocks are no part of the answer.",
    ),
    (
        "remembers-answers",
        "finds-all-that-agrees",
        (
            (
                "def match(root, tokens, page_bytes):\n",
                "seen = {}\n\n\ndef match(root, tokens, page_bytes):\n"
                "    if tokens in seen:\n        return seen[tokens]\n",
            ),
            (
                "    return node, len(node.blocks), blocks\n",
                "    seen[tokens] = (node, len(node.blocks), list(blocks))\n    return seen[tokens]\n",
            ),
        ),
        "An answer is kept for the next time, and the tree has grown since.",
    ),
    (
        "loop-ends-a-page-early",
        "finds-all-that-agrees",
        (("while start < len(tokens)", "while start + page_bytes < len(tokens)"),),
        "The loop ends before the last whole page of the prompt has been looked for.",
    ),
    (
        "compares-the-last-page-only",
        "never-a-wrong-block",
        (
            (
                "        blocks += child.blocks[:pages]\n",
                "        end = start + len(child.key)\n"
                "        if tokens[end - page_bytes : end] == child.key[-page_bytes:]:\n"
                "            pages = len(child.blocks)\n        blocks += child.blocks[:pages]\n",
            ),
        ),
        "The first and the last page of an edge agree, and those between them were not compared.",
    ),
    (
        "nothing-found-means-the-root",
        "says-where-it-ends",
        (
            (
                "            break\n",
                "            return (node, len(node.blocks), blocks) if blocks else (root, 0, [])\n",
            ),
        ),
        "Where nothing agrees, all pages of the node that the walk began at do: it was known before.",
    ),
]

_SPLIT = [
    (
        "forgets-the-locks",
        "locks-go-with-the-way",
        (("above, node.locks, node.last_used", "above, 0, node.last_used"),),
        "The requests that hold the end of the edge need its beginning too, and the new node is locked by nobody.",
    ),
    (
        "moves-the-locks-up",
        "locks-go-with-the-way",
        (("    node.parent = upper\n", "    node.parent = upper\n    node.locks = 0\n"),),
        "The locks went to the upper part; the requests that end at the lower one have lost theirs.",
    ),
    (
        "one-lock-for-the-child",
        "locks-go-with-the-way",
        (("above, node.locks, node.last_used", "above, 1, node.last_used"),),
        "The new node is locked as often as the one that was cut, not once because it has one child.",
    ),
    (
        "forgets-the-parents-entry",
        "nothing-is-lost",
        (("    above.children[upper.key[:page_bytes]] = upper\n", ""),),
        "The parent still leads to the lower part, under a page that the lower part no longer begins with.",
    ),
    (
        "files-under-the-whole-key",
        "nothing-is-lost",
        (("upper.children[node.key[:page_bytes]]", "upper.children[node.key]"),),
        "A child stands under its first page, and here it stands under all of its key.",
    ),
    (
        "files-under-the-old-page",
        "nothing-is-lost",
        (
            ("    node.key = node.key[cut:]\n", ""),
            ("    node.parent = upper\n", ""),
            (
                "    upper.children[node.key[:page_bytes]] = node\n",
                "    upper.children[node.key[:page_bytes]] = node\n    node.key = node.key[cut:]\n    node.parent = "
                "upper\n",
            ),
        ),
        "The lower part is filed under the page that its key began with before the cut.",
    ),
    (
        "new-node-below",
        "the-end-stays-the-same-node",
        None,
        "The new node takes the lower part, so every request that knows the given node as its end ends too early now.",
    ),
    (
        "leaves-the-children-above",
        "nothing-is-lost",
        (
            (
                "    upper.children[node.key[:page_bytes]] = node\n",
                "    upper.children = node.children\n    node.children = {}\n    "
                "upper.children[node.key[:page_bytes]] = node\n",
            ),
        ),
        "What hung from the end of the edge hangs from its middle now, where no prompt will look for it.",
    ),
    (
        "cuts-at-bytes",
        "nothing-is-lost",
        (("cut = pages * page_bytes", "cut = pages"),),
        "Pages are counted and bytes are cut: the key ends in the middle of a page.",
    ),
    (
        "blocks-stay-below",
        "nothing-is-lost",
        (("    node.blocks = node.blocks[pages:]\n", ""),),
        "The key was cut and the blocks were not, so each page below the cut has the block of another.",
    ),
    (
        "key-stays-below",
        "nothing-is-lost",
        (("    node.key = node.key[cut:]\n", ""),),
        "The lower part keeps the whole key, and its first pages are spelled twice on the way down.",
    ),
    (
        "one-page-further",
        "cut-at-the-page",
        (("cut = pages * page_bytes", "pages = min(pages + 1, len(node.blocks) - 1)\n    cut = pages * page_bytes"),),
        "The cut lies one page behind where it was asked for.",
    ),
    (
        "forgets-the-lowers-parent",
        "links-fit",
        (("    node.parent = upper\n", ""),),
        "On the way up from the end the new node is passed over: it will be neither locked nor unlocked.",
    ),
    (
        "forgets-the-uppers-parent",
        "links-fit",
        (("node.blocks[:pages], above,", "node.blocks[:pages], None,"),),
        "The upper part does not know what it hangs from, so every way up ends there.",
    ),
    (
        "forgets-the-time",
        "time-goes-with-the-way",
        (("node.locks, node.last_used", "node.locks"),),
        "The upper part looks as if it had never been used, and goes first although it was used just now.",
    ),
    (
        "gives-the-lower-part",
        "gives-the-upper-part",
        (("return upper", "return node"),),
        "The caller wants to go on at the cut, and is given the end of the edge.",
    ),
    (
        "gives-nothing",
        "gives-the-upper-part",
        (("    return upper\n", ""),),
        "The new node is in the tree, and the caller is not told which it is.",
    ),
    (
        "cuts-at-nothing",
        "no-empty-side",
        (("0 < pages < len", "0 <= pages < len"),),
        "A cut before the first page makes a node with an empty key that nobody can reach.",
    ),
    (
        "cuts-at-the-end",
        "no-empty-side",
        (("0 < pages < len(node.blocks)", "0 < pages <= len(node.blocks)"),),
        "A cut behind the last page leaves a lower part with no page at all.",
    ),
    (
        "looks-too-late",
        "no-empty-side",
        (
            ('    if not 0 < pages < len(node.blocks):\n        raise CacheError("cut inside the edge")\n', ""),
            (
                "    return upper\n",
                '    if not upper.blocks or not node.blocks:\n        raise CacheError("cut inside the edge")\n'
                "    return upper\n",
            ),
        ),
        "The tree has been changed before the call is refused.",
    ),
    (
        "another-error",
        "no-empty-side",
        (("raise CacheError(", "raise ValueError("),),
        "The caller waits for a CacheError, and any other error passes it by.",
    ),
    (
        "copies-the-children",
        "links-fit",
        (
            (
                "    upper.children[node.key[:page_bytes]] = node\n",
                "    upper.children = {**node.children, node.key[:page_bytes]: node}\n",
            ),
        ),
        "The children hang from both parts: a tree has one way to each node.",
    ),
    (
        "shares-the-blocks",
        "links-fit",
        (("node.key[:cut], node.blocks[:pages], above", "node.key[:cut], node.blocks, above"),),
        "The upper part has all blocks of the edge, and only some of its pages.",
    ),
]

_SPLIT += [
    (
        "counts-locks-of-children",
        "locks-go-with-the-way",
        (
            (
                "    return upper\n",
                "    if node.children:\n        node.locks = sum(c.locks for c in node.children.values())\n"
                "        upper.locks = node.locks\n    return upper\n",
            ),
        ),
        "Locks are added up from the children, and the requests that end at the node itself are forgotten.",
    ),
    (
        "loses-the-neighbours",
        "nothing-is-lost",
        (
            (
                "    above.children[upper.key[:page_bytes]] = upper\n",
                "    above.children = {upper.key[:page_bytes]: upper}\n",
            ),
        ),
        "What hung beside the node is gone: its parent knows only the new one now.",
    ),
    (
        "children-name-the-upper-part",
        "links-fit",
        (
            (
                "    return upper\n",
                "    for child in node.children.values():\n        child.parent = upper\n    return upper\n",
            ),
        ),
        "The children still hang from the lower part, and name the upper one as their parent.",
    ),
]

_NEW_BELOW = """def split(node, pages, page_bytes):
    if not 0 < pages < len(node.blocks):
        raise CacheError("cut inside the edge")
    cut = pages * page_bytes
    lower = RadixNode(node.key[cut:], node.blocks[pages:], node, node.locks, node.last_used)
    lower.children = node.children
    for child in lower.children.values():
        child.parent = lower
    node.children = {lower.key[:page_bytes]: lower}
    node.key, node.blocks = node.key[:cut], node.blocks[:pages]
    return node
"""

_INSERT = [
    (
        "replaces-blocks",
        "what-was-there-stays",
        (
            (
                "    found = len(there)\n",
                "    found = len(there)\n    if found == len(blocks) and pages == len(node.blocks):\n"
                "        node.blocks[:] = blocks[len(blocks) - len(node.blocks):]\n",
            ),
        ),
        "The tree has these pages in blocks that others may hold; the new ones are duplicates and must not take "
        "their place.",
    ),
    (
        "always-a-node",
        "what-was-there-stays",
        None,
        "The whole prompt is hung under its first page, and what hung there before is gone.",
    ),
    (
        "never-splits",
        "what-was-there-stays",
        (
            (
                "    if pages < len(node.blocks):\n        node = split(node, pages, page_bytes)\n",
                "    if pages < len(node.blocks):\n        node.key = node.key[: pages * page_bytes]\n"
                "        node.blocks = node.blocks[:pages]\n",
            ),
        ),
        "The edge is cut short where the prompt leaves it, and what came after that place is thrown away.",
    ),
    (
        "hangs-below-the-end",
        "all-of-it-is-found",
        (("    if pages < len(node.blocks):\n        node = split(node, pages, page_bytes)\n", ""),),
        "The prompt leaves the edge in the middle and is hung from its end, where nobody comes by with these tokens.",
    ),
    (
        "forgets-what-split-gives",
        "all-of-it-is-found",
        (("        node = split(", "        split("),),
        "The edge was cut, and the rest hangs from the lower part instead of the new node.",
    ),
    (
        "all-blocks-again",
        "all-of-it-is-found",
        (("blocks[found:]", "blocks[: len(blocks) - found]"),),
        "The new node gets the first of the blocks that came along, which belong to the pages that were there.",
    ),
    (
        "all-tokens-again",
        "all-of-it-is-found",
        (("rest = tokens[found * page_bytes :]", "rest = tokens"), ("blocks[found:]", "blocks")),
        "The whole prompt is hung below what it shares, so its beginning is spelled twice.",
    ),
    (
        "bytes-for-pages",
        "all-of-it-is-found",
        (("tokens[found * page_bytes :]", "tokens[found:]"),),
        "Pages were found and bytes are skipped, so the new edge begins too early.",
    ),
    (
        "not-in-children",
        "all-of-it-is-found",
        (("        node.children[rest[:page_bytes]] = leaf\n", ""),),
        "The new node knows its parent, and the parent does not know it.",
    ),
    (
        "files-under-the-whole-key",
        "all-of-it-is-found",
        (("node.children[rest[:page_bytes]]", "node.children[rest]"),),
        "A child stands under its first page, and here it stands under all of its key.",
    ),
    (
        "only-when-nothing-is-known",
        "all-of-it-is-found",
        (("    if found < len(blocks):", "    if not found and blocks:"),),
        "A prompt of which a part is known adds nothing, and its new pages are never found.",
    ),
    (
        "no-parent",
        "links-fit",
        (("blocks[found:], node)", "blocks[found:])"),),
        "The new node does not know what it hangs from, so its way to the root cannot be locked.",
    ),
    (
        "parent-is-the-root",
        "links-fit",
        (("blocks[found:], node)", "blocks[found:], root)"),),
        "The new node names the root as its parent wherever it hangs, so locking it leaves out the nodes between.",
    ),
    (
        "locks-the-new-node",
        "locks-are-left-alone",
        (("blocks[found:], node)", "blocks[found:], node, 1)"),),
        "A new node is locked by whoever locks the way to it; locked here, it is locked once too often.",
    ),
    (
        "locks-the-way",
        "locks-are-left-alone",
        (
            (
                "    return node, found",
                "    up = node\n    while up.parent is not None:\n        up.locks += 1\n"
                "        up = up.parent\n    return node, found",
            ),
        ),
        "Making a prefix findable is not using it: nobody will unlock this way.",
    ),
    (
        "a-node-for-each-page",
        "one-node-for-a-run",
        None,
        "Each page becomes a node of its own: right, and as many nodes and looks as the hash cache has keys.",
    ),
    (
        "splits-at-every-match",
        "one-node-for-a-run",
        (
            (
                "    if pages < len(node.blocks):\n",
                "    if 1 < pages == len(node.blocks):\n"
                "        split(node, pages - 1, page_bytes)\n    elif pages < len(node.blocks):\n",
            ),
        ),
        "An edge that agrees to its end needs no cut.",
    ),
    (
        "no-cut-where-it-ends-inside",
        "ends-where-the-tokens-end",
        (("    if pages < len(node.blocks):\n", "    if pages < len(node.blocks) and found < len(blocks):\n"),),
        "The tokens end inside an edge, and the answer is the node at the edge's end, which is further than they go.",
    ),
    (
        "gives-the-parent",
        "ends-where-the-tokens-end",
        (("        node = leaf\n", ""),),
        "The answer is the node above the new one, so the new pages would not be locked.",
    ),
    (
        "gives-only-the-number",
        "ends-where-the-tokens-end",
        (("return node, found", "return found"),),
        "Whoever inserts a prefix wants to lock it, and needs the node at which it ends.",
    ),
    (
        "counts-the-new-ones",
        "counts-what-was-there",
        (("return node, found", "return node, len(blocks) - found"),),
        "The number of new pages is given, where that of the known ones is asked for.",
    ),
    (
        "counts-the-last-edge",
        "counts-what-was-there",
        (("return node, found", "return node, pages"),),
        "Only the pages of the last edge are counted.",
    ),
    (
        "counts-bytes",
        "counts-what-was-there",
        (("return node, found", "return node, found * page_bytes"),),
        "Bytes are given where pages are asked for.",
    ),
    (
        "fails-on-nothing",
        "ends-where-the-tokens-end",
        (("    found = len(there)\n", "    found = len(there)\n    if not tokens:\n        return None, 0\n"),),
        "No tokens end at the root: that is a node too.",
    ),
]

_INSERT += [
    (
        "cuts-after-all-that-was-found",
        "what-was-there-stays",
        (("split(node, pages, page_bytes)", "split(node, found, page_bytes)"),),
        "`split` counts pages of the node's own edge, and it is given all pages found on the way.",
    ),
    (
        "keeps-the-callers-list",
        "links-fit",
        (("blocks[found:], node)\n", "(), node)\n        leaf.blocks = blocks if not found else blocks[found:]\n"),),
        "The node and the caller have one list, and what the caller adds to it is added to the node.",
    ),
    (
        "unlocks-what-was-cut",
        "locks-are-left-alone",
        (("page_bytes)\n    if found <", "page_bytes)\n        node.locks = 0\n    if found <"),),
        "The cut copied the locks of those who need the way, and they were taken off again.",
    ),
    (
        "takes-from-the-callers-list",
        "changed-inputs",
        (("    if found < len(blocks):\n", "    del blocks[:found]\n    if blocks:\n"), ("blocks[found:]", "blocks")),
        "The caller's list has lost the blocks of the pages that were known; it is the request's table.",
    ),
]

_ALWAYS_A_NODE = """def insert(root, tokens, blocks, page_bytes):
    if not tokens:
        return root, 0
    leaf = RadixNode(tokens, blocks, root)
    root.children[tokens[:page_bytes]] = leaf
    return leaf, 0
"""

_PAGE_NODES = """def insert(root, tokens, blocks, page_bytes):
    node, pages, there = match(root, tokens, page_bytes)
    found = len(there)
    if pages < len(node.blocks):
        node = split(node, pages, page_bytes)
    for i in range(found, len(blocks)):
        page = tokens[i * page_bytes : (i + 1) * page_bytes]
        leaf = RadixNode(page, [blocks[i]], node)
        node.children[page] = leaf
        node = leaf
    return node, found
"""

_CHECK = """    if leaf.locks or leaf.children or leaf.parent is None:
        raise CacheError("evict from unlocked leaves")
"""

_EVICT = [
    (
        "locked-ones-too",
        "never-locked-nor-leading-on",
        (("leaf.locks or leaf.children", "leaf.children"),),
        "A running request reads from this block, and it is given to somebody else.",
    ),
    (
        "inner-ones-too",
        "never-locked-nor-leading-on",
        (("leaf.locks or leaf.children", "leaf.locks"),),
        "What hangs below is still in memory and can never be found again.",
    ),
    (
        "the-root-too",
        "never-locked-nor-leading-on",
        ((" or leaf.parent is None", ""),),
        "Nothing refuses the root, which has no page that could go and nothing to hang from.",
    ),
    (
        "answers-instead-of-refusing",
        "never-locked-nor-leading-on",
        (('raise CacheError("evict from unlocked leaves")', "return []"),),
        "The caller thinks that it has evicted from this node, and asks it again and again.",
    ),
    (
        "another-error",
        "never-locked-nor-leading-on",
        (("raise CacheError(", "raise ValueError("),),
        "The caller waits for a CacheError, and any other error passes it by.",
    ),
    (
        "only-locked-once",
        "never-locked-nor-leading-on",
        (("leaf.locks or", "leaf.locks > 1 or"),),
        "One lock is enough: a single running request needs the way.",
    ),
    (
        "refuses-too-late",
        "refused-means-unchanged",
        (
            (_CHECK, _CHECK.replace("leaf.locks or leaf.children or ", "")),
            ("    return evicted\n", _CHECK + "    return evicted\n"),
        ),
        "The pages have gone before the call is refused.",
    ),
    (
        "unlocks-first",
        "refused-means-unchanged",
        ((_CHECK, _CHECK.replace("        raise", "        leaf.locks = 0\n        raise")),),
        "The refused call leaves the node without its locks, and the next one takes it.",
    ),
    (
        "from-the-front",
        "last-pages-first",
        (
            ("    evicted = leaf.blocks[keep:][::-1]\n", "    evicted = leaf.blocks[: len(leaf.blocks) - keep]\n"),
            ("leaf.key[: keep * page_bytes]", "leaf.key[len(evicted) * page_bytes :]"),
            ("leaf.blocks[:keep]", "leaf.blocks[len(evicted) :]"),
        ),
        "The first pages of the leaf go, and the rest of it can no longer be reached.",
    ),
    (
        "front-to-back",
        "last-pages-first",
        (("leaf.blocks[keep:][::-1]", "leaf.blocks[keep:]"),),
        "The pages are cut off in one piece and stay in the order of the leaf, front to back.",
    ),
    (
        "always-the-whole-leaf",
        "last-pages-first",
        (("keep = max(0, len(leaf.blocks) - n)", "keep = 0"),),
        "One page was asked for and the whole leaf goes, with all that it will have to compute again.",
    ),
    (
        "one-at-a-time",
        "last-pages-first",
        (("len(leaf.blocks) - n)", "len(leaf.blocks) - 1)"),),
        "One page goes, however many were asked for.",
    ),
    (
        "too-few-is-nothing",
        "last-pages-first",
        (("    keep = max", "    if n > len(leaf.blocks):\n        return []\n    keep = max"),),
        "A leaf that has fewer pages than asked for gives those that it has.",
    ),
    (
        "negative-keep",
        "an-empty-leaf-leaves",
        (("max(0, len(leaf.blocks) - n)", "len(leaf.blocks) - n"),),
        "Where more is asked for than the leaf has, a negative number counts from the wrong end.",
    ),
    (
        "blocks-go-key-stays",
        "links-fit",
        (("    leaf.key = leaf.key[: keep * page_bytes]\n", ""),),
        "The key still spells pages that have no block any more.",
    ),
    (
        "key-goes-blocks-stay",
        "links-fit",
        (("    leaf.blocks = leaf.blocks[:keep]\n", ""),),
        "The leaf keeps the ids of blocks that have gone back to the pool.",
    ),
    (
        "stays-in-the-tree",
        "what-went-is-not-found",
        (
            ("    if keep == 0:\n        del leaf.parent.children[leaf.key[:page_bytes]]\n", ""),
            (
                "    leaf.key = leaf.key[: keep * page_bytes]\n    leaf.blocks = leaf.blocks[:keep]\n",
                "    if keep:\n        leaf.key = leaf.key[: keep * page_bytes]\n        leaf.blocks = "
                "leaf.blocks[:keep]\n",
            ),
        ),
        "The parent still leads to the leaf, and a later prompt is handed blocks that belong to somebody else.",
    ),
    (
        "an-empty-leaf-stays",
        "an-empty-leaf-leaves",
        (("    if keep == 0:\n        del leaf.parent.children[leaf.key[:page_bytes]]\n", ""),),
        "Key and blocks have shrunk to nothing, and the parent's `children` still has the leaf.",
    ),
    (
        "always-leaves",
        "what-is-left-is-found",
        (("    if keep == 0:\n        del", "    if True:\n        del"),),
        "The leaf is taken out of the tree although some of its pages are left.",
    ),
    (
        "clears-the-parent",
        "what-is-left-is-found",
        (("        del leaf.parent.children[leaf.key[:page_bytes]]\n", "        leaf.parent.children.clear()\n"),),
        "The leaf's brothers and sisters leave the tree with it.",
    ),
    (
        "looks-it-up-too-late",
        "last-pages-first",
        (
            ("    if keep == 0:\n        del leaf.parent.children[leaf.key[:page_bytes]]\n", ""),
            (
                "    return evicted\n",
                "    if keep == 0:\n        del leaf.parent.children[leaf.key[:page_bytes]]\n    return evicted\n",
            ),
        ),
        "By then the key is empty, and the parent does not know the leaf under an empty page.",
    ),
    (
        "unlocks-the-way",
        "locks-and-times-stay",
        (
            (
                "    return evicted\n",
                "    up = leaf.parent\n    while up.parent is not None:\n        up.locks = max(0, up.locks - 1)\n"
                "        up = up.parent\n    return evicted\n",
            ),
        ),
        "The leaf was locked by nobody, so nobody's lock on the way above it ends.",
    ),
    (
        "locks-what-is-left",
        "locks-and-times-stay",
        (("    return evicted\n", "    if keep:\n        leaf.locks += 1\n    return evicted\n"),),
        "What is left of the leaf is locked by nobody, and has to be free to go next.",
    ),
    (
        "bytes-for-pages",
        "what-is-left-is-found",
        (("leaf.key[: keep * page_bytes]", "leaf.key[:keep]"),),
        "So many pages are kept and so many bytes of the key.",
    ),
    (
        "files-under-the-whole-key",
        "last-pages-first",
        (("children[leaf.key[:page_bytes]]", "children[leaf.key]"),),
        "The parent keeps a child under its first page, not under its whole key.",
    ),
]

_EVICT += [
    (
        "takes-the-parent-too",
        "what-is-left-is-found",
        (
            (
                "    return evicted\n",
                "    up = leaf.parent\n    if not keep and not up.children and not up.locks and up.parent:\n"
                "        del up.parent.children[up.key[:page_bytes]]\n    return evicted\n",
            ),
        ),
        "The parent has become a leaf and has pages of its own; nobody asked for these.",
    ),
    (
        "merges-with-the-parent",
        "an-empty-leaf-leaves",
        (
            (
                "    return evicted\n",
                "    up = leaf.parent\n    if keep and up.parent and len(up.children) == 1:\n"
                "        up.key, up.blocks, up.children = up.key + leaf.key, up.blocks + leaf.blocks, {}\n    return "
                "evicted\n",
            ),
        ),
        "Two nodes were joined into one, and a request may end at the place between them.",
    ),
    (
        "sorts-the-blocks",
        "last-pages-first",
        (("leaf.blocks[keep:][::-1]", "sorted(leaf.blocks[keep:], reverse=True)"),),
        "The order is that of the pages, last one first, and not that of the block numbers.",
    ),
    (
        "counts-as-a-use",
        "locks-and-times-stay",
        (("    return evicted\n", "    leaf.last_used += 1\n    return evicted\n"),),
        "Losing a page is no use: the leaf moves back in the order of eviction each time it is shortened.",
    ),
]


def _mutants(exercise: str, base: str, rows: list, whole: dict[str, str]) -> list[Mutant]:
    return [
        Mutant(exercise, name, breaks, why, whole[name] if changes is None else _with(base, *changes))
        for name, breaks, changes, why in rows
    ]


MUTANTS = [
    *_mutants("match", MATCH, _MATCH, {}),
    *_mutants("split", SPLIT, _SPLIT, {"new-node-below": _NEW_BELOW}),
    *_mutants("insert", INSERT, _INSERT, {"always-a-node": _ALWAYS_A_NODE, "a-node-for-each-page": _PAGE_NODES}),
    *_mutants("evict_leaf", EVICT, _EVICT, {}),
]

RIGHT = [
    Right("match", "plain", MATCH),
    Right(
        "match",
        "page-by-page",
        """def match(root, tokens, page_bytes):
    node, used, blocks = root, len(root.blocks), []
    pages = [tokens[i : i + page_bytes] for i in range(0, len(tokens) - page_bytes + 1, page_bytes)]
    for page in pages:
        if used == len(node.blocks):
            if page not in node.children:
                break
            node, used = node.children[page], 0
        if node.key[used * page_bytes : (used + 1) * page_bytes] != page:
            break
        blocks.append(node.blocks[used])
        used += 1
    return node, used, blocks
""",
    ),
    Right(
        "match",
        "recursive",
        """def match(root, tokens, page_bytes):
    child = root.children.get(tokens[:page_bytes])
    if child is None:
        return root, len(root.blocks), []
    pages = shared_pages(child.key, tokens, 0, page_bytes)
    if pages < len(child.blocks):
        return (child, pages, list(child.blocks[:pages]))
    node, pages, below = match(child, tokens[len(child.key):], page_bytes)
    return (node, pages, [*child.blocks, *below])
""",
    ),
    Right(
        "match",
        "another-variable-walks",
        """def match(root, tokens, page_bytes):
    found = []
    at = root
    rest = tokens[: len(tokens) // page_bytes * page_bytes]
    while rest[:page_bytes] in at.children:
        at = at.children[rest[:page_bytes]]
        if rest.startswith(at.key):
            found.extend(at.blocks)
            rest = rest[len(at.key):]
            continue
        n = 0
        while rest[n * page_bytes : (n + 1) * page_bytes] == at.key[n * page_bytes : (n + 1) * page_bytes]:
            n += 1
        found.extend(at.blocks[:n])
        return [at, n, found]
    return [at, len(at.blocks), found]
""",
    ),
    Right("split", "plain", SPLIT),
    Right(
        "split",
        "attributes-one-by-one",
        """def split(node, pages, page_bytes):
    if pages <= 0 or pages >= len(node.blocks):
        raise CacheError(f"cannot cut {len(node.blocks)} pages after {pages}")
    upper = RadixNode()
    upper.key = node.key[: pages * page_bytes]
    upper.blocks = [node.blocks[i] for i in range(pages)]
    upper.locks = node.locks
    upper.last_used = node.last_used
    upper.parent = node.parent
    node.parent.children[node.key[:page_bytes]] = upper
    node.parent = upper
    node.key = node.key[pages * page_bytes :]
    del node.blocks[:pages]
    upper.children = {node.key[:page_bytes]: node}
    return upper
""",
    ),
    Right(
        "split",
        "takes-out-and-hangs-in",
        """def split(node, pages, page_bytes):
    first, rest = node.key[: pages * page_bytes], node.key[pages * page_bytes :]
    if not first or not rest:
        raise CacheError("nothing to cut")
    parent = node.parent
    parent.children.pop(first[:page_bytes])
    upper = RadixNode(key=first, blocks=node.blocks[:pages], parent=parent)
    upper.locks, upper.last_used = node.locks, node.last_used
    parent.children[first[:page_bytes]] = upper
    node.key, node.blocks, node.parent = rest, node.blocks[pages:], upper
    upper.children[rest[:page_bytes]] = node
    return upper
""",
    ),
    Right("insert", "plain", INSERT),
    Right(
        "insert",
        "case-by-case",
        """def insert(root, tokens, blocks, page_bytes):
    node, pages, known = match(root, tokens, page_bytes)
    inside = pages != len(node.blocks)
    left = len(blocks) - len(known)
    if inside:
        node = split(node, pages, page_bytes)
    if left == 0:
        return (node, len(known))
    new = RadixNode()
    new.key = tokens[-left * page_bytes:]
    new.blocks = list(blocks[-left:])
    new.parent = node
    node.children[new.key[:page_bytes]] = new
    return (new, len(known))
""",
    ),
    Right(
        "insert",
        "without-match",
        """def insert(root, tokens, blocks, page_bytes):
    node, done, total = root, 0, len(blocks)
    while done < total:
        page = tokens[done * page_bytes : (done + 1) * page_bytes]
        if page not in node.children:
            child = RadixNode(tokens[done * page_bytes :], blocks[done:], node)
            node.children[page] = child
            return child, done
        child = node.children[page]
        n = 1
        while (n < len(child.blocks) and done + n < total and
               child.key[n * page_bytes : (n + 1) * page_bytes]
               == tokens[(done + n) * page_bytes : (done + n + 1) * page_bytes]):
            n += 1
        if n < len(child.blocks):
            child = split(child, n, page_bytes)
        node, done = child, done + n
    return node, done
""",
    ),
    Right(
        "insert",
        "recursive",
        """def insert(root, tokens, blocks, page_bytes):
    if not tokens:
        return root, 0
    child = root.children.get(tokens[:page_bytes])
    if child is None:
        root.children[tokens[:page_bytes]] = leaf = RadixNode(tokens, blocks, root)
        return leaf, 0
    n = shared_pages(child.key, tokens, 0, page_bytes)
    if n < len(child.blocks):
        child = split(child, n, page_bytes)
    node, more = insert(child, tokens[n * page_bytes:], blocks[n:], page_bytes)
    return node, n + more
""",
    ),
    Right("evict_leaf", "plain", EVICT),
    Right(
        "evict_leaf",
        "page-by-page",
        """def evict_leaf(leaf, n, page_bytes):
    if leaf.parent is None or leaf.children or leaf.locks > 0:
        raise CacheError("no")
    name = leaf.key[:page_bytes]
    gone = []
    while leaf.blocks and len(gone) < n:
        gone.append(leaf.blocks.pop())
        leaf.key = leaf.key[:-page_bytes]
    if not leaf.blocks:
        leaf.parent.children.pop(name)
        leaf.parent = None
    return gone
""",
    ),
    Right(
        "evict_leaf",
        "whole-or-part",
        """def evict_leaf(leaf, n, page_bytes):
    for reason in (leaf.locks, leaf.children, leaf.parent is None):
        if reason:
            raise CacheError("not a leaf that may go")
    if n >= len(leaf.blocks):
        leaf.parent.children.pop(leaf.key[:page_bytes])
        out, leaf.key, leaf.blocks = tuple(reversed(leaf.blocks)), b"", []
        return out
    out = [leaf.blocks[-i] for i in range(1, n + 1)]
    leaf.blocks = leaf.blocks[:-n]
    leaf.key = leaf.key[: -n * page_bytes]
    return out
""",
    ),
]
