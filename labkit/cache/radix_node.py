"""One node of the radix tree of a prefix cache."""

from __future__ import annotations

from collections.abc import Iterable


class RadixNode:
    """A run of tokens that has not had to be told apart so far, and the blocks that hold their keys and values.

    The way from the root to a node spells a prefix. The edge that leads to a node is kept in the node itself: `key` are
    its tokens, always whole pages. No two children of a node begin with the same page, so one look in a dict says
    which child a prompt goes on in.

    Attributes:
        key: tokens of the edge, as bytes; empty at the root.
        blocks: physical blocks, one per page of the key.
        children: the nodes below, each under the first page of its key.
        parent: the node above; None at the root.
        locks: running sequences whose path goes through this node. What is locked is not evicted.
        last_used: logical time at which it was locked or unlocked last.
        number: what an eviction policy knows the node by; -1 as long as no policy knows it.
    """

    __slots__ = ("blocks", "children", "key", "last_used", "locks", "number", "parent")

    def __init__(
        self,
        key: bytes = b"",
        blocks: Iterable[int] = (),
        parent: RadixNode | None = None,
        locks: int = 0,
        last_used: int = 0,
    ) -> None:
        self.key = key
        self.blocks = list(blocks)
        self.parent = parent
        self.children: dict[bytes, RadixNode] = {}
        self.locks = locks
        self.last_used = last_used
        self.number = -1

    def __repr__(self) -> str:
        return f"RadixNode({len(self.blocks)} blocks, {len(self.children)} children, {self.locks} locks)"
