"""Lesson 11: slots that a launch may not read, and a cache too large for this machine, gathered from page by page."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.errors import KernelError
from labkit.grading.display import Words
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee
from labkit.specs.first_kernel.referees import untouched
from labkit.specs.paged_attention.referees import alike, numbers
from labkit.words import blocks, plural

ADDRESSED = 2**31
"""So many numbers have an offset of 32 bits, one of which is the sign."""


def not_its_slots(
    launch: Any,
    caches: Mapping[str, Any],
    tables: Sequence[Sequence[int]],
    lengths: Sequence[int],
    sequence_of: Callable[[tuple[int, int, int]], int],
) -> tuple[bool, str, str] | None:
    """The first access to a slot that holds no token of the program's sequence: in its blocks or not, what, and why.

    Args:
        launch: `labkit.kernels.ledger.LaunchTraffic`, its accesses kept.
        caches: by the name of the argument, [num_blocks, page, ...].
        sequence_of: the index of the sequence that a program works for.
    """
    for access in launch.accesses:
        if access.argument not in caches:
            continue
        cache = caches[access.argument]
        page, row = cache.shape[1], cache[0, 0].numel()
        seq = sequence_of(access.program)
        length = lengths[seq]
        owned = {tables[seq][t // page] * page + t % page for t in range(length)}
        wrong = next((int(offset) for offset in access.offsets if offset // row not in owned), None)
        if wrong is not None:
            block, slot = divmod(wrong // row, page)
            what, own = f"slot {slot} of block {block}", any(block == place // page for place in owned)
            program = ", ".join(map(str, access.program))
            does = "writes" if access.store else "reads"
            has = plural(length, "token")
            why = f"of its {has} in pages of {page}, {length - (length - 1) // page * page} lie in the last"
            if not own:
                why = f"its {has} lie in {blocks(sorted({place // page for place in owned}))}"
            return (
                own,
                what,
                f"Program ({program}) {does} {what} of {access.argument}, which is not the sequence's: {why}.",
            )
    return None


class CacheReferee(Referee):
    """A cache of which each page is made when it is gathered: it may be larger than this machine's memory."""

    RULE = "finds-the-block"

    def do_new(self, num_blocks: int, page: int, head_dim: int) -> None:
        self.sizes = num_blocks, page, head_dim
        self._line(f"Cache({num_blocks:,}, {page}, {head_dim})").seen = f"{num_blocks * page * head_dim:,} numbers"

    def do_gather(self, block: int) -> None:
        import torch

        from labkit.kernels.ledger import larger_than_memory
        from labkit.kernels.watched import watched

        _, page, head_dim = self.sizes
        own = untouched(1, page, head_dim).copy_(numbers(random.Random(block), 1, page, head_dim))
        table = untouched(1, dtype=torch.int32).fill_(block)
        out = untouched(page, head_dim)
        kernel = self.namespace[self.spec.target]

        def launch() -> str:
            try:
                with larger_than_memory(own, block) as cache, watched():
                    kernel[(1,)](out, cache, table, page, HEAD_DIM=head_dim, PAGE=page)
            except KernelError as error:
                return str(error)
            return "" if alike(out, own[0]) else f"What came out is not block {block:,}."

        wrong = self.call(self.RULE, f"gather({block:,})", launch)
        self.steps[-1].seen = told = "an address of nobody" if wrong else "its page"
        self.require(self.RULE, not wrong, seen=Words(told), expected=Words("its page"), cause=wrong)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        made = hasattr(self, "sizes")
        if op.name == "new":
            if made:
                raise Illegal("makes a second cache; there is one only.")
            num_blocks, page, head_dim = op.args.values()
            if page & (page - 1) or head_dim & (head_dim - 1):
                raise Illegal("has a page or a head that is no power of two, which `tl.arange` cannot count.")
            if page * head_dim > 2**17:
                raise Illegal(f"has {page * head_dim:,} numbers per page; give at most {2**17:,}.")
            if num_blocks * page * head_dim > 2 * ADDRESSED:
                raise Illegal(f"has {num_blocks * page * head_dim:,} numbers; give at most {2 * ADDRESSED:,}.")
        elif not made:
            raise Illegal("has no cache to gather from.")
        elif op.args["block"] >= self.sizes[0]:
            raise Illegal(f"asks for block {op.args['block']:,} of {self.sizes[0]:,}; the first is block 0.")
        return op
