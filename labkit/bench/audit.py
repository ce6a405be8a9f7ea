"""Whether all of a prefix cache's own books agree. It looks at them from inside, and is slow: for tests and stress."""

from __future__ import annotations

from collections import Counter
from typing import Any

from labkit.cache.base import PrefixCache
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.policy_queue import PolicyQueue
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_prefix_cache import RadixPrefixCache


def audit(cache: PrefixCache) -> None:
    """AssertionError if they do not agree."""
    if isinstance(cache, RadixPrefixCache):
        _audit_tree(cache)
    elif isinstance(cache, HashPrefixCache):
        _audit_hashes(cache)


def _audit_tree(cache: RadixPrefixCache) -> None:
    size, evictable = cache.page_bytes, 0
    seen: set[int] = set()
    numbers: set[int] = set()
    todo: list[RadixNode] = list(cache._roots.values())
    while todo:
        node = todo.pop()
        todo += node.children.values()
        for first, child in node.children.items():
            assert child.parent is node and child.key[:size] == first, "a child is not where its first page says"
            assert node.parent is None or node.locks >= child.locks, "a child is locked more often than its parent"
        if node.parent is None:
            continue
        assert node.blocks and len(node.key) == size * len(node.blocks), "an edge has not one block a page"
        assert cache._nodes[node.number] is node, "a node is not known by its number"
        numbers.add(node.number)
        assert not seen.intersection(node.blocks), "a block stands in two places"
        seen.update(node.blocks)
        leaf = not node.locks and not node.children
        chosen = node.number in cache._offered or node is cache._victim
        assert chosen == leaf, "the policy is offered too much or too little"
        if not node.locks:
            evictable += len(node.blocks)
            assert not any(map(cache.count, node.blocks)), "somebody holds a block that nobody locks"
    assert len(numbers) == cache.num_nodes, "a number belongs to no node"
    assert seen == cache._findable, "what is findable is not what stands in the tree"
    assert cache.num_evictable == evictable, "what can be evicted is not counted right"


def _audit_hashes(cache: HashPrefixCache) -> None:
    kept = cache.blocks
    waiting = {block for block in kept.hash_of if not cache.refs.count(block)}
    assert waiting == set(kept.queue), "the queue is not what is findable and held by nobody"
    by_key: dict[Any, list[int]] = {}
    for block, key in kept.hash_of.items():
        by_key.setdefault(key, []).append(block)
    known = {key: sorted(kept.by_hash.blocks(key)) for key in kept.by_hash.first}
    assert known == {key: sorted(same) for key, same in by_key.items()}, "hashes and blocks do not agree"
    if cache._queue is not None:
        _audit_policy_queue(cache._queue)


def _audit_policy_queue(queue: PolicyQueue) -> None:
    hash_of = queue._cache.hash_of
    assert queue._copies == Counter(hash_of.values()), "copies are not counted right"
    children = Counter(queue._parent[key] for key in set(hash_of.values()))
    assert +queue._children == children, "children are not counted right"
    assert all(parent is None or parent in queue._copies for parent in children), "a child has outlived its parent"
    may_go = {block for block in queue._waiting if queue._may_go(block)}
    assert queue._offered == may_go, "the policy is offered too much or too little"
