"""Lesson 10: tensors of given sizes, who looks at answers of several tensors, and a memory that is used again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import Words, show
from labkit.grading.functions import answer_of
from labkit.grading.language import Argument, Op, declared_by
from labkit.grading.referee import Illegal, Referee
from labkit.specs.attention_by_hand.referees import TensorReferee, TensorSpecification, other_dtype, shape_of
from labkit.words import plural

DTYPE = "same-dtype-as-given"
NOWHERE = 1_000_000
"""What stands in a table beyond the pages of a sequence: no block id."""


def numbers(draw: random.Random, *sizes: int) -> Any:
    """A float64 tensor of numbers with one decimal."""
    import torch

    values = [draw.randint(-20, 20) / 10 for _ in range(math.prod(sizes))]
    return torch.tensor(values, dtype=torch.float64).reshape(sizes)


def pages(lengths: list[int], block_size: int, kv_heads: int, head_dim: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """A cache whose pages lie in no order, with NaN in every slot that holds no token of these sequences.

    Returns:
        (k_cache, v_cache, block_tables). Behind the pages of a sequence its table names a block that nobody holds, and
        then what is no block at all.
    """
    import torch

    draw = random.Random(seed)
    counts = [-(-n // block_size) for n in lengths]
    owned, spare = list(range(sum(counts))), sum(counts)
    draw.shuffle(owned)
    if owned == [0]:
        owned, spare = [1], 0
    elif owned and owned[0] == 0:
        owned.reverse()
    shape = (sum(counts) + 1, block_size, kv_heads, head_dim)
    caches = [torch.full(shape, math.nan, dtype=torch.float64) for _ in "kv"]
    tables = torch.full((len(lengths), max(counts, default=0) + 2), NOWHERE)
    for i, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        mine, owned = owned[:count], owned[count:]
        tables[i, : count + 1] = torch.tensor([*mine, spare])
        at = torch.arange(length)
        for cache in caches:
            cache[tables[i, at // block_size], at % block_size] = numbers(draw, length, kv_heads, head_dim)
    return *caches, tables


def dense(q: Any, k_cache: Any, v_cache: Any, tables: Any, lengths: Any, **wrong: Callable[..., Any]) -> Any:
    """Attention of one query a sequence over gathered keys and values, right or with one thing wrong.

    Args:
        wrong: `scale` (head_dim -> factor), `head` (query head, KV heads, group -> KV head), `block` (logical block,
            table -> physical).
    """
    import torch

    right: dict[str, Any] = {
        "scale": lambda d: d**-0.5,
        "head": lambda h, kv_heads, group: h // group,
        "block": lambda j, table: table[j],
    }
    scale, head, block = ((right | wrong)[name] for name in right)
    (size, kv_heads), q_heads = k_cache.shape[1:3], q.shape[1]
    out = torch.empty_like(q)
    for i, n in enumerate(lengths.tolist()):
        table = tables[i].tolist()
        blocks, offsets = [block(p // size, table) for p in range(n)], [p % size for p in range(n)]
        for h in range(q_heads):
            kv = head(h, kv_heads, q_heads // kv_heads)
            k, v = k_cache[blocks, offsets, kv], v_cache[blocks, offsets, kv]
            out[i, h] = torch.softmax(k @ q[i, h] * scale(q.shape[-1]), dim=0) @ v
    return out


def alike(seen: Any, expected: Any) -> bool:
    """Whether two tensors have the same numbers, NaN at the same places."""
    import torch

    return shape_of(seen) == shape_of(expected) and torch.allclose(
        seen.double(), expected.double(), rtol=1e-6, atol=1e-6, equal_nan=True
    )


class SizedSpecification(TensorSpecification):
    """A function of tensors whose witnesses give sizes: `sized` says which, and `decode` makes the tensors of them."""

    def sized(self, **sizes: Any) -> None:
        """Its signature declares what a witness gives."""

    def declared(self, operation: str) -> Mapping[str, Argument]:
        return declared_by(self.sized) if operation == "call" else super().declared(operation)

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}({', '.join(self.decode(args))})"


class PartsSpecification(SizedSpecification):
    """A function that answers several tensors, which are looked at one after the other."""

    parts: tuple[str, ...] = ()

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        wrong = self.wrong_part(seen, expected)
        if wrong is None:
            return None
        i = self.parts.index(wrong) if wrong else -1
        if i < 0:
            due = f"({', '.join(self.parts)})"
            return Mismatch("wrong-type", f"{len(self.parts)} tensors are due, {due}; what comes back is {show(seen)}.")
        a, b = seen[i], expected[i]
        if shape_of(a) == shape_of(b) and a.dtype != b.dtype:
            return Mismatch("wrong-type", f"{wrong} has the dtype {a.dtype} where {b.dtype} came in and is due.")
        found = compare(a, b, self.tolerance)
        return Mismatch(found.kind, found.sentence.replace("The answer", wrong)) if found else None

    def wrong_part(self, seen: Any, expected: Any) -> str | None:
        """The name of the first part that is wrong, "" where these are not the parts, None where all is right."""
        import torch

        if not isinstance(seen, list | tuple) or len(seen) != len(expected):
            return ""
        if not all(isinstance(part, torch.Tensor) for part in seen):
            return ""
        three = zip(self.parts, seen, expected, strict=True)
        return next((n for n, a, b in three if a.dtype != b.dtype or compare(a, b, self.tolerance)), None)

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        wrong = self.wrong_part(seen, expected)
        if not wrong:
            return self.rules[0].name, None
        i = self.parts.index(wrong)
        if other_dtype(seen[i], expected[i]) and DTYPE in [r.name for r in self.rules]:
            return DTYPE, None
        return self.broken_part(wrong, rule, seen, expected, call, **args), None

    def broken_part(self, part: str, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """The rule that a wrong `part` of the answer breaks."""
        return rule


class GatherReferee(TensorReferee):
    """Also looks whether what was gathered is a copy."""

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        super().judge(rule, seen, expected, args)
        if self.failures or self.thorough:
            return
        values = self.spec.decode(args)
        answer = answer_of(self.implementation, *values.values())
        for name, part in zip(("k", "v"), answer, strict=True):
            cache = values[f"{name}_cache"]
            if part.untyped_storage().data_ptr() == cache.untyped_storage().data_ptr():
                self.require(
                    "a-copy-of-its-own", False, expected=Words("numbers of its own"),
                    seen=Words(f"{name} is a view of {name}_cache"),
                    cause=f"Whoever writes into {name}_cache later changes {name}, which was handed out before.",
                )  # fmt: skip
                return


class PagedReferee(TensorReferee):
    """Also looks whether the pages were read where they lie: how large the largest tensor was that came to be."""

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if not op.args["lengths"]:
            raise Illegal("has no sequence.")
        return op

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        super().judge(rule, seen, expected, args)
        most = max(args["lengths"]) * args["kv_heads"] * args["head_dim"]
        if self.failures or self.thorough or max(args["lengths"]) < 8 * args["block_size"] or most < 512:
            return
        values = self.spec.decode(args)
        made = _largest_made(lambda: answer_of(self.implementation, *values.values()), list(values.values()))
        self.require(
            "pages-stay-where-they-lie", made <= most // 2,
            expected=Words(f"no new tensor of {most:,} numbers"), seen=Words(f"one of {made:,} numbers"),
            cause=f"All keys of the sequence are {most:,} numbers, and a tensor with {made:,} new ones came to be on "
            f"the way; a page has {args['block_size'] * args['kv_heads'] * args['head_dim']}.",
        )  # fmt: skip


def _largest_made(act: Callable[[], Any], given: list[Any]) -> int:
    """Numbers in the largest tensor that an action makes, views of what was given aside."""
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    known = {tensor.untyped_storage().data_ptr() for tensor in given}
    made = [0]

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor) and out.untyped_storage().data_ptr() not in known:
                made[0] = max(made[0], out.untyped_storage().size() // out.element_size())
            return out

    with Watch():
        act()
    return made[0]


class MemoryReferee(Referee):
    """A memory of pages that begins with zeros, and whose pages are used again: what one sequence has left lies in them
    until the next one writes. Its sequences attend through the implementation.
    """

    KV_HEADS, GROUP, HEAD_DIM = 1, 2, 2
    RULE = "nobody-else-is-read"

    def do_new(self, num_blocks: int, block_size: int) -> None:
        import torch

        shape = (num_blocks, block_size, self.KV_HEADS, self.HEAD_DIM)
        self.caches = [torch.zeros(shape, dtype=torch.float64) for _ in "kv"]
        self.free = [*range(num_blocks)][::-1]
        self.tables: dict[str, list[int]] = {}
        self.lengths: dict[str, int] = {}
        self.draw = random.Random(7)
        self._line(f"Memory({num_blocks}, {block_size})")

    def do_write(self, seq: str, n: int) -> None:
        size, held = self.caches[0].shape[1], self.lengths.get(seq, 0)
        table = self.tables.setdefault(seq, [])
        while len(table) * size < held + n:
            table.append(self.free.pop())
        for position in range(held, held + n):
            for cache in self.caches:
                cache[table[position // size], position % size] = numbers(self.draw, self.KV_HEADS, self.HEAD_DIM) + 2.5
        self.lengths[seq] = held + n
        self._line(f"write({seq}, {n})").seen = f"{plural(held + n, 'token')} in blocks {table}"

    def do_end(self, seq: str) -> None:
        self.free += self.tables.pop(seq)[::-1]
        del self.lengths[seq]
        self._line(f"end({seq})").seen = f"{plural(len(self.free), 'block')} free"

    def do_attend(self, seq: str) -> None:
        import torch

        q = numbers(random.Random(3), 1, self.KV_HEADS * self.GROUP, self.HEAD_DIM)
        values = (q, *self.caches, torch.tensor([self.tables[seq]]), torch.tensor([self.lengths[seq]]))
        expected = dense(*values)
        seen = self.call(self.RULE, f"attend({seq})", self.implementation, *values)
        last = self.lengths[seq] - (len(self.tables[seq]) - 1) * self.caches[0].shape[1]
        cause = (
            f"{seq} has {plural(self.lengths[seq], 'token')}, and of its last block {plural(last, 'slot')}; the output "
            "was mixed from others as well."
        )
        self.require(self.RULE, alike(seen, expected), expected=expected, cause=cause)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        seq, tables = str(op.args.get("seq")), getattr(self, "tables", {})
        if op.name == "new":
            if hasattr(self, "tables"):
                raise Illegal("makes a second memory; there is one only.")
        elif op.name == "write":
            size, held = self.caches[0].shape[1], self.lengths.get(seq, 0)
            if len(self.free) < -(-(held + op.args["n"]) // size) - -(-held // size):
                raise Illegal(f"writes {plural(op.args['n'], 'token')} of {seq}, for which there is no room.")
        elif seq not in tables:
            raise Illegal(f"is about {seq}, which there is not.")
        return op
