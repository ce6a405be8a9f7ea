"""Lesson 12: who asks a kernel for the rows of a cache that is too large to be here."""

from __future__ import annotations

from labkit.grading.display import Words
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee


class AddressReferee(Referee):
    """A cache of given sizes that is never allocated: a kernel says where its rows begin, and nobody follows."""

    RULE = "finds-the-row"

    def do_new(self, num_blocks: int, page: int, kv_heads: int, head_dim: int) -> None:
        self.num_blocks, self.page, self.kv_heads, self.head_dim = num_blocks, page, kv_heads, head_dim
        size = num_blocks * page * kv_heads * head_dim
        self._line(f"Cache({num_blocks}, {page}, {kv_heads}, {head_dim})").seen = f"{size:,} numbers"

    def do_read(self, block: int, slot: int, kv_head: int) -> None:
        import torch

        from labkit.kernels.watched import watched

        kernel, tile = self.namespace["tile_addresses"], 16
        length = slot + 1
        out = torch.full((length,), -1, dtype=torch.int64)
        table = torch.full((-(-length // self.page),), block, dtype=torch.int32)

        def launch() -> int:
            with watched(keep=False):
                kernel[(-(-length // tile),)](
                    out, table, length, kv_head,
                    KV_HEADS=self.kv_heads, HEAD_DIM=self.head_dim, PAGE=self.page, TILE=tile,
                )  # fmt: skip
            return int(out[slot])

        seen = self.call(self.RULE, f"read({block}, {slot}, {kv_head})", launch)
        due = ((block * self.page + slot) * self.kv_heads + kv_head) * self.head_dim
        cause = (
            f"The row begins at number {due:,} of the cache; the kernel looks at {seen:,}, which is "
            f"{'before its beginning' if seen < 0 else 'another row'}."
        )
        self.require(self.RULE, seen == due, seen=Words(f"{seen:,}"), expected=Words(f"{due:,}"), cause=cause)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            if hasattr(self, "page"):
                raise Illegal("makes a second cache; there is one only.")
            if 0 in op.args.values():
                raise Illegal("has no room for anything: each of its sizes is 1 or more.")
            return op
        for name, most in (("block", self.num_blocks), ("slot", self.page), ("kv_head", self.kv_heads)):
            if op.args[name] >= most:
                raise Illegal(f"asks for {name} {op.args[name]}, and the cache has {most} of them, counted from 0.")
        return op
