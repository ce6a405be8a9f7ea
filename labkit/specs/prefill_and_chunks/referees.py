"""Lesson 14: chunks of several sequences, right or with one thing wrong; who launches a write; a prompt in chunks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.functions import answer_of
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.specs.attention_by_hand.referees import TensorReferee
from labkit.specs.first_kernel.referees import KernelReferee
from labkit.specs.paged_attention.referees import SizedSpecification, alike, numbers, pages
from labkit.words import plural

SAME_ROWS = "any-chunks-the-same-rows"


def dense_chunks(
    q: Any, k_cache: Any, v_cache: Any, tables: Any, lengths: Any, starts: Any, window: int | None = None, **wrong: Any
) -> Any:
    """Attention of chunks over gathered keys and values, token by token, right or with one thing wrong.

    Args:
        wrong: `scale` (head_dim -> factor), `head` (query head, KV heads, group -> KV head), `block` (logical block,
            table -> physical), `first` (length, new -> position of the chunk's first token), `kept` (window -> the one
            that is), `last` (position, length -> last key that is seen).
    """
    import torch

    right: dict[str, Callable[..., Any]] = {
        "scale": lambda d: d**-0.5,
        "head": lambda h, kv_heads, group: h // group,
        "block": lambda j, table: table[j],
        "first": lambda length, new: length - new,
        "kept": lambda width: width,
        "last": lambda position, length: position,
    }
    scale, head, block, first, kept, last = ((right | wrong)[name] for name in right)
    (size, kv_heads), q_heads, out = k_cache.shape[1:3], q.shape[1], torch.empty_like(q)
    for i, length in enumerate(lengths.tolist()):
        begin, end = starts[i : i + 2].tolist()
        table, width = tables[i].tolist(), kept(window)
        for row in range(begin, end):
            to = last(first(length, end - begin) + row - begin, length)
            seen = range(max(0, to - width + 1) if width else 0, min(to + 1, length))
            blocks, offsets = [block(p // size, table) for p in seen], [p % size for p in seen]
            for h in range(q_heads):
                kv = head(h, kv_heads, q_heads // kv_heads)
                k, v = k_cache[blocks, offsets, kv], v_cache[blocks, offsets, kv]
                out[row, h] = torch.softmax(k @ q[row, h] * scale(q.shape[-1]), dim=0) @ v
    return out


WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    (SAME_ROWS, {"first": lambda length, new: 0}),
    ("nothing-later", {"last": lambda position, length: length - 1}),
    ("nothing-later", {"last": lambda position, length: position + 1}),
    ("follows-the-table", {"block": lambda j, table: j}),
    ("scaled-by-root-d", {"scale": lambda d: 1.0}),
    ("scaled-by-root-d", {"scale": lambda d: 1 / d}),
    ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % kv_heads}),
    ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: 0}),
    ("the-window-is-kept", {"kept": lambda width: None}),
    ("the-window-is-kept", {"kept": lambda width: width and width + 1}),
    ("the-window-is-kept", {"kept": lambda width: max(1, width - 1) if width else None}),
)
"""Each rule with what an answer would be that breaks it and nothing else."""


class ChunkSpecification(SizedSpecification):
    """Attention of chunks, in PyTorch or as a kernel: what a witness gives, and which rule a wrong answer breaks.

    A witness: block size, KV heads, query heads for each of them, head_dim, window or null, and for each sequence
    [new tokens, tokens before them]. NaN lies in every slot that holds no token of these sequences.
    """

    near = 1e-6
    """How far apart two answers may be that are the same."""

    def sized(
        self,
        block_size: int,
        kv_heads: int,
        group: int,
        head_dim: int,
        window: int | None,
        chunks: list[list[int]],
    ) -> None:
        """Sequences that each bring a chunk."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        size, kv_heads, group, head_dim, window, chunks = (args[name] for name in self.parameters())
        lengths = [new + past for new, past in chunks]
        k, v, tables = pages(lengths, size, kv_heads, head_dim)
        q = numbers(random.Random(1), sum(new for new, _ in chunks), kv_heads * group, head_dim)
        starts = torch.tensor([0, *accumulate(new for new, _ in chunks)])
        return {
            "q": q,
            "k_cache": k,
            "v_cache": v,
            "block_tables": tables,
            "lengths": torch.tensor(lengths),
            "starts": starts,
            "window": window,
        }

    def setup_line(self, **args: Any) -> str:
        given = self.decode(args)
        return (
            f"q of shape {tuple(given['q'].shape)}, pages of {args['block_size']}, block_tables = "
            f"{show(given['block_tables'], 70)}, lengths = {given['lengths'].tolist()}, starts = "
            f"{given['starts'].tolist()}, window = {args['window']}"
        )

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        chunks = [[draw.randint(0, 5), draw.randint(0, 6)] for _ in range(sizes.pop("seqs"))]
        for chunk in chunks:
            chunk[0] += sum(chunk) == 0
        chunks[0][0] = max(1, chunks[0][0])  # a step brings something
        return {**sizes, "chunks": chunks}

    def rule_for(self, **args: Any) -> str:
        chunks = args["chunks"]
        if len(chunks) > 1:
            return "each-sequence-its-own-rows"
        if args["window"]:
            return "the-window-is-kept"
        if args["kv_heads"] * args["group"] > 1:
            return "neighbours-share-a-kv-head"
        return SAME_ROWS if chunks[0][1] else "nothing-later"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        given = self.decode(args)
        for name, change in WRONG:
            try:
                answer = dense_chunks(*given.values(), **change)
            except IndexError:
                continue
            if not self.same(answer, expected) and self.same(seen, answer) and not answer.isnan().any():
                return name
        if not seen.isnan().any():
            return rule
        clean = given | {name: given[name].nan_to_num() for name in ("k_cache", "v_cache")}
        told = answer_of(lambda: call(**clean))
        if told is None or not told.isnan().any():
            return "own-slots-only"
        return "the-window-is-kept" if args["window"] else SAME_ROWS  # the keys of a row, or of a tile, are all hidden

    def same(self, seen: Any, expected: Any) -> bool:
        """Whether two answers are the same within what this kind of answer may differ."""
        import torch

        return seen.shape == expected.shape and torch.allclose(
            seen.double(), expected.double(), rtol=self.near, atol=self.near, equal_nan=True
        )

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind == "wrong-shape":
            return self.rules[0].name, None
        return super().accuse(rule, mismatch, seen, expected, call, **args)

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        row, h = next(
            (r, h) for r in range(len(seen)) for h in range(seen.shape[1]) if not self.same(seen[r, h], expected[r, h])
        )
        ends = [*accumulate(new for new, _ in args["chunks"])]
        i = next(i for i, end in enumerate(ends) if row < end)
        new, past = args["chunks"][i]
        at = past + row - (ends[i] - new)
        low = max(0, at - args["window"] + 1) if args["window"] else 0
        return (
            f"Row {row} of q, query head {h}, is token {at} of sequence {i}, {plural(past, 'token')} of which came "
            f"before this chunk: it sees the keys {low} to {at} and gives {show(expected[row, h], 50)}; yours is "
            f"{show(seen[row, h], 50)}."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return (
            "NaN comes out: either a slot was read that holds no token of these sequences, where NaN lies, or softmax "
            "met a row, or a tile of one, whose keys are all hidden."
        )


class ChunkReferee(TensorReferee):
    """Also lets each chunk come in two pieces: its rows must be the same. A mask that does not fit begins elsewhere."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(*args, **kwargs)
        except StopSequence as stop:
            for failure in self.failures:
                if failure.kind == "raised" and "must match the size of tensor" in str(stop.__context__):
                    failure.rule = SAME_ROWS
                    failure.cause += " Scores have a column for each key of the sequence, and a mask has start + n."
            raise

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        super().judge(rule, seen, expected, args)
        new = args["chunks"][0][0]
        if self.failures or self.thorough or len(args["chunks"]) > 1 or new < 2:
            return
        given = self.spec.decode(args)
        q, lengths, starts = given.pop("q"), given["lengths"], given["starts"]
        for begin, end in ((0, new - 1), (new - 1, new)):
            piece = {**given, "lengths": lengths - new + end, "starts": starts * 0}
            piece["starts"][1] = end - begin
            label = f"rows {begin} to {end - 1} alone"
            told = self.call(SAME_ROWS, label, self.implementation, q=q[begin:end].clone(), **piece)
            if not alike(told, expected[begin:end]):
                cause = (
                    f"The {plural(new, 'token')} were answered rightly as one chunk; with {begin} of them in the pages "
                    "already, the rest gives other rows."
                )
                self.require(SAME_ROWS, False, expected=expected[begin:end], seen=told, cause=cause)
                return
            self.steps.pop()


class WriteReferee(KernelReferee):
    """An address before the beginning is that of a slot below 0 where one is among the slots."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(*args, **kwargs)
        except StopSequence:
            slots = self._op.args["slots"] if self._op else [0]
            for failure in self.failures:
                if failure.kind == "address" and "before the beginning" in failure.cause and min(slots) < 0:
                    failure.rule = "padding-is-left-out"
                    failure.cause += f" A slot is {min(slots)}: that token has no place."
            raise


class PromptReferee(Referee):
    """Sequences whose tokens come chunk by chunk; each chunk is written, and attends through the implementation."""

    KV_HEADS, GROUP, HEAD_DIM, PAGE = 1, 2, 2, 4
    BLOCKS = 256

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tables: dict[str, list[int]] = {}
        self.lengths: dict[str, int] = {}

    def do_chunk(self, seq: str, n: int) -> None:
        import torch

        if not hasattr(self, "caches"):
            shape = (self.BLOCKS, self.PAGE, self.KV_HEADS, self.HEAD_DIM)
            self.caches = [torch.full(shape, torch.nan, dtype=torch.float64) for _ in "kv"]
            self.free = [*range(self.BLOCKS)]
            self.draw = random.Random(7)
        past = self.lengths.get(seq, 0)
        table = self.tables.setdefault(seq, [])
        while len(table) * self.PAGE < past + n:
            table.append(self.free.pop())
        for at in range(past, past + n):
            for cache in self.caches:
                cache[table[at // self.PAGE], at % self.PAGE] = numbers(self.draw, self.KV_HEADS, self.HEAD_DIM)
        self.lengths[seq] = past + n
        q = numbers(self.draw, n, self.KV_HEADS * self.GROUP, self.HEAD_DIM)
        where = (torch.tensor([table]), torch.tensor([past + n]), torch.tensor([0, n]))
        k_cache, v_cache = self.caches
        expected = dense_chunks(q, k_cache, v_cache, *where)
        seen = self.call(SAME_ROWS, f"chunk({seq}, {n})", self.implementation, q, k_cache, v_cache, *where)
        self.steps[-1].seen = plural(n, "row")
        for row in range(n):
            cause = f"Token {past + row} of {seq} sees keys 0 to {past + row}, and its row was mixed from others."
            if not self.require(
                SAME_ROWS, alike(seen[row], expected[row]), expected=expected[row], seen=seen[row], cause=cause
            ):
                return

    def resolve(self, op: Op, bend: bool = True) -> Op:
        needed = sum(-(-length // self.PAGE) for length in self.lengths.values()) + -(-op.args["n"] // self.PAGE)
        if needed > self.BLOCKS:
            raise Illegal(f"brings more tokens than {self.BLOCKS} pages of {self.PAGE} hold.")
        return op
