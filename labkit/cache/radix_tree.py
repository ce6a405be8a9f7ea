"""The radix tree of a prefix cache: finding, cutting, adding, locking and evicting.

A hash chain keeps one key for every block. A tree keeps one node for every run of blocks that all prompts so
far have in common, so a prompt of a thousand tokens that is known whole is found by one look in a dict and
one comparison of bytes:

    root ── "You are a helpful assistant." ─┬─ "What is paging?"
                                            └─ "What is a tree?" ── "And a leaf?"

An edge is cut only where a prompt ends inside it or leaves it (`split`). The unit is a page, the tokens of one
block: what two prompts have in common of a page that differs further on is not shared, because a block cannot be
shared in part. With pages of one token the tree is token-exact.

The idea is RadixAttention's (Zheng et al. 2024, https://arxiv.org/abs/2312.07104; SGLang's
`srt/mem_cache/radix_cache.py`). These functions know nothing of reference counts and policies; what they need of a
tree is in `RadixNode`, and who may call which when is up to `labkit.cache.radix_prefix_cache`.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.cache.radix_node import RadixNode
from labkit.errors import CacheError


def shared_pages(key: bytes, tokens: bytes, start: int, page_bytes: int) -> int:
    """How many leading pages of `key` stand in `tokens` at `start`.

    Two runs of bytes are compared in one go, so the place where they part is found by halving and not by walking.

    Args:
        key: tokens of an edge, whole pages.
        tokens: a prompt.
        start: byte of the prompt at which the edge begins.
        page_bytes: bytes of one page.
    """
    low, high = 0, min(len(key), len(tokens) - start) // page_bytes
    probe = high  # Mostly they do not part at all before one of them ends.
    while low < high:
        if tokens.startswith(key[low * page_bytes : probe * page_bytes], start + low * page_bytes):
            low = probe
        else:
            high = probe - 1
        probe = (low + high + 1) // 2
    return low


def match(root: RadixNode, tokens: bytes, page_bytes: int) -> tuple[RadixNode, int, list[int]]:
    """Walk down as far as `tokens` agree with the tree, whole pages only. Nothing changes.

    Args:
        root: where to begin: the root, or the node at which the tokens before these end.
        tokens: a prompt. Bytes of a started page at its end are never found.
        page_bytes: bytes of one page.

    Returns:
        (node, pages, blocks): the last node reached; how many pages of its own edge agree, which is fewer than it has
        where the way ends inside the edge; the blocks of all that was found, in order. Where nothing agrees, that is
        the root, all of its pages, and no block.
    """
    node, start = root, 0
    blocks: list[int] = []
    while start < len(tokens):
        child = node.children.get(tokens[start : start + page_bytes])
        if child is None:
            break
        if not tokens.startswith(child.key, start):
            pages = shared_pages(child.key, tokens, start, page_bytes)
            blocks += child.blocks[:pages]
            return child, pages, blocks
        blocks += child.blocks
        start += len(child.key)
        node = child
    return node, len(node.blocks), blocks


def split(node: RadixNode, pages: int, page_bytes: int) -> RadixNode:
    """Cut the edge of `node` after `pages` pages.

    `node` stays what it was for everybody who knows it, the end of its way; a new node above it takes the first part.
    Whoever locks the end locks the way there, so the new node has the same number of locks.

    Returns:
        The new, upper node.

    Raises:
        CacheError: nothing would be left on one of the sides; then nothing has changed.
    """
    if not 0 < pages < len(node.blocks):
        raise CacheError(
            f"An edge of {len(node.blocks)} pages cannot be cut after {pages}: leave at least one page on each side."
        )
    cut = pages * page_bytes
    above = node.parent
    assert above is not None  # a root has no edge
    upper = RadixNode(node.key[:cut], node.blocks[:pages], above, node.locks, node.last_used)
    node.key, node.blocks, node.parent = node.key[cut:], node.blocks[pages:], upper
    upper.children[node.key[:page_bytes]] = node
    above.children[upper.key[:page_bytes]] = upper  # where the whole edge stood
    return upper


def insert(root: RadixNode, tokens: bytes, blocks: Sequence[int], page_bytes: int) -> tuple[RadixNode, int]:
    """Make a prefix findable: follow what is there, cut where it leaves, hang the rest below as one node.

    What is there already keeps the blocks it has. A new node is not locked.

    Args:
        root: where to begin; see `match`.
        tokens: whole pages.
        blocks: one per page.
        page_bytes: bytes of one page.

    Returns:
        (node, found): the node at whose end the tokens end, and how many of their pages were there before.

    Raises:
        CacheError: tokens and blocks do not go together; then nothing has changed.
    """
    if len(tokens) != len(blocks) * page_bytes:
        raise CacheError(
            f"{len(tokens)} bytes are not {len(blocks)} pages of {page_bytes}: give whole pages, and a block for each."
        )
    node, pages, there = match(root, tokens, page_bytes)
    found = len(there)
    if pages < len(node.blocks):
        node = split(node, pages, page_bytes)
    if found < len(blocks):
        leaf = RadixNode(tokens[found * page_bytes :], blocks[found:], node)
        node.children[leaf.key[:page_bytes]] = leaf
        node = leaf
    return node, found


def lock(node: RadixNode, now: int = 0, top: RadixNode | None = None) -> int:
    """One more running sequence needs the way to `node`: the node and all above it.

    Args:
        node: where the sequence's path ends.
        now: becomes their `last_used`.
        top: only what lies below this node, because the sequence has locked
            the way to it before. None: all.

    Returns:
        Pages that nobody had locked until now.
    """
    pages = 0
    while node is not top and node.parent is not None:
        if not node.locks:
            pages += len(node.blocks)
        node.locks += 1
        node.last_used = now
        node = node.parent
    return pages


def unlock(node: RadixNode, now: int = 0) -> int:
    """A running sequence no longer needs the way to `node`.

    Returns:
        Pages that nobody locks any more.

    Raises:
        CacheError: nobody has locked it; then nothing has changed.
    """
    if node.parent is not None and not node.locks:
        raise CacheError("The node is locked by nobody, so it cannot be unlocked: unlock what was locked, once.")
    pages = 0
    while node.parent is not None:
        node.locks -= 1
        node.last_used = now
        if not node.locks:
            pages += len(node.blocks)
        node = node.parent
    return pages


def evict_leaf(leaf: RadixNode, n: int, page_bytes: int) -> list[int]:
    """Take up to `n` pages off the end of a leaf. A leaf that has none left leaves the tree.

    Only the end may go: a page in the middle of the tree is the only way to everything behind it, and whatever it
    leads to could never be found again.

    Args:
        leaf: a node that nobody locks and that has no children.
        n: pages, 1 or more.
        page_bytes: bytes of one page.

    Returns:
        The blocks, the last page's first.

    Raises:
        CacheError: the node is locked, has children, or is a root; then nothing has changed.
    """
    if leaf.locks or leaf.children or leaf.parent is None:
        why = "is locked" if leaf.locks else "has children" if leaf.children else "is the root"
        raise CacheError(f"The node {why}, so nothing of it can be evicted: evict from unlocked leaves.")
    keep = max(0, len(leaf.blocks) - n)
    evicted = leaf.blocks[keep:]
    evicted.reverse()
    if not keep:
        siblings = leaf.parent.children
        if len(siblings) > 1:
            del siblings[leaf.key[:page_bytes]]
        else:  # nobody else: no page need be hashed to find it
            siblings.clear()
        leaf.parent = None
    leaf.key = leaf.key[: keep * page_bytes]
    del leaf.blocks[keep:]
    return evicted
