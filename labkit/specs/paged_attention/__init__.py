"""Lesson 10, attention over pages: its rules, witnesses and hints.

A witness gives sizes, and `decode` makes the tensors of them (`labkit.specs.paged_attention.referees`), except for
`online_update`, whose numbers are small enough to be written out. torch is imported only where tensors are made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.functions import row, rows
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.attention_by_hand.referees import shape_of
from labkit.specs.paged_attention.referees import (
    GatherReferee,
    MemoryReferee,
    PagedReferee,
    PartsSpecification,
    SizedSpecification,
    alike,
    dense,
    numbers,
    pages,
)
from labkit.words import plural

LARGE = 100.0
"""Beyond this size exp() of a score overflows or vanishes soon; such calls are about that rule."""


class OnlineUpdate(PartsSpecification):
    """One more tile folded into the running maximum, sum and output."""

    exercise = "online_update"
    parts = ("m", "l", "acc")
    # A witness: the scores seen before, a list for each row (empty: nothing yet), and their values; then the tile's.
    rules = rules_from(
        """
        gives-m-l-acc: Three tensors come back: m and l of shape [rows], acc of shape [rows, dv].
            [[1]] [[2,0]] [[0,3]] [[1,5],[4,-1]]
            [[0.5],[1]] [[2]] [[2],[-1]] [[3]]
        largest-so-far: m is the largest score of all tiles so far, whichever tile it stood in.
            ? Which two numbers does the new maximum come from: the tile's largest, and what else?
            [[1,3]] [[1],[2]] [[0,2]] [[4],[8]]
            [[1]] [[1]] [[2,5,4]] [[4],[8],[2]]
            [[-2]] [[1]] [[-3,-1]] [[2],[5]]
        old-sum-is-rescaled: l is the sum of exp(score - m) over all scores so far, all with the new m.
            ? In the sum so far every term is exp(score - old m). By which factor does each of them change when m does?
            [[1]] [[2]] [[3]] [[4]]
            [[0,1]] [[1],[2]] [[2,4]] [[3],[5]]
            [[3]] [[1]] [[1,2]] [[5],[7]]
        old-output-is-rescaled: acc is the sum of exp(score - m) * value over all scores so far, all with the new m.
            ? Two sums were made with the old maximum. Have both been changed?
            [[1]] [[2]] [[3]] [[4]]
            [[0,1]] [[1,2],[2,-1]] [[2,4]] [[3,0],[5,1]]
            [[3]] [[1]] [[1,2]] [[5],[7]]
        divided-once-at-the-end: acc is not divided by l: that is done once, after the last tile.
            ? After two tiles, by what would the first tile's values have been divided, and by what should they be?
            [[]] [] [[1,2]] [[1],[3]]
            [[0]] [[1]] [[1,2]] [[1],[3]]
        begins-at-minus-infinity: From m = -inf, l = 0 and acc = 0 the first tile gives its own maximum, sum and output.
            ? What is exp(-inf - m), and what is -inf - (-inf)? Which of the two do you compute at the first tile?
            [[]] [] [[1]] [[5]]
            [[]] [] [[-1,2,0.5]] [[1,0],[0,1],[2,2]]
            [[],[]] [] [[1,-2],[0,3]] [[1],[4]]
        each-row-by-itself: Every row has its own maximum and sum; the values are shared.
            ? Along which axis of s do you take the maximum and the sum?
            [[0],[4]] [[1]] [[1,2],[3,-1]] [[2],[6]]
            [[5,1],[0,0],[-3,2]] [[1,1],[0,2]] [[2],[7],[-8]] [[3,-1]]
            2x40 40x3 2x30 30x3
        any-size-of-score: Scores of any size, positive or negative, leave l and acc finite and right.
            ? Which number is subtracted before exp() of a score is taken, in the old sums and in the new ones?
            [[]] [] [[1000,999]] [[1],[3]]
            [[-1200]] [[1]] [[-1000,-1001]] [[2],[4]]
            [[900]] [[1]] [[-900]] [[3]]
            [[-900]] [[1]] [[900]] [[3]]
        same-dtype-as-given: The answers have the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, and which have those that came in?
            [[1]] [[2]] [[3]] [[4]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [[1]] [[2]] [[3,0]] [[4],[1]]
        """
    )
    hints = (
        "A tile brings a score larger than any before. Every exp(score - m) so far was made with the old m: by which "
        "single factor do they all have to change?",
        "After any number of tiles, l is the sum of exp(score - m) and acc the sum of exp(score - m) * value, over all "
        "scores so far and with the same m.",
        "new = torch.maximum(m, ____)\nkeep = torch.exp(____ - ____)       # [rows], at most 1\n"
        "p = torch.exp(s - new[:, None])     # [rows, n]\n"
        "return new, l * ____ + p.sum(dim=1), acc * ____[:, None] + p @ v",
    )
    search = {"n": (0, 4), "n_tile": (1, 4), "rows_": (1, 3), "dv": (1, 3), "size": [1, 1, 400], "seed": (0, 10_000)}

    def sized(self, before: list[Any], values: list[Any], s: list[Any], v: list[Any]) -> None:
        """Scores and values that were folded in before, and those of the tile."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        before, values, s, v = (torch.tensor(args[name], dtype=torch.float64) for name in args)
        m, l, acc = s.new_full((len(s),), -torch.inf), s.new_zeros(len(s)), s.new_zeros(len(s), v.shape[1])  # noqa: E741
        if before.numel():
            m = before.amax(dim=1)
            p = torch.exp(before - m[:, None])
            l, acc = p.sum(dim=1), p @ values  # noqa: E741
        return {"m": m, "l": l, "acc": acc, "s": s, "v": v}

    def setup_line(self, **args: Any) -> str:
        return ", ".join(f"{name} = {show(value, 60)}" for name, value in self.decode(args).items())

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        n, tile, count, dv = (sizes[name] for name in ("n", "n_tile", "rows_", "dv"))
        return {
            "before": [[x * sizes["size"] for x in row(draw, n)] for _ in range(count)],
            "values": rows(draw, n, dv),
            "s": [[x * sizes["size"] for x in row(draw, tile)] for _ in range(count)],
            "v": rows(draw, tile, dv),
        }

    def rule_for(self, before: list[Any], values: list[Any], s: list[Any], v: list[Any]) -> str:
        if max(abs(x) for r in (*before, *s) for x in r) > LARGE:
            return "any-size-of-score"
        return "old-sum-is-rescaled" if before[0] else "begins-at-minus-infinity"

    def broken_part(self, part: str, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if any(shape_of(a) != shape_of(b) for a, b in zip(seen, expected, strict=True)):
            return "gives-m-l-acc"
        if len(args["s"]) > 1 and self._right_row_by_row(call, args):
            return "each-row-by-itself"
        if part == "m":
            return "largest-so-far"
        if part == "acc" and alike(seen[2] * expected[1][:, None], expected[2]):
            return "divided-once-at-the-end"
        if rule == "old-sum-is-rescaled":
            return rule if part == "l" else "old-output-is-rescaled"
        return rule

    def _right_row_by_row(self, call: Callable[..., Any], args: Mapping[str, Any]) -> bool:
        return self.first_wrong(
            call, *([[b], args["values"], [s], args["v"]] for b, s in zip(args["before"], args["s"], strict=True))
        ) is None  # fmt: skip

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        part = self.wrong_part(seen, expected) or "m"
        i = self.parts.index(part)
        told = f"{part} is {show(seen[i], 60)} where {show(expected[i], 60)} is due"
        m, new = (show(t, 40) for t in (self.decode(args)["m"], expected[0]))
        return f"{told}; the largest score was {m} before this tile and is {new} after it."

    def nan(self, seen: Any, **args: Any) -> str:
        return "NaN comes out: look for -inf - (-inf), inf / inf or 0 times inf."


class GatherKV(PartsSpecification):
    """The keys and values of one sequence, copied through its table."""

    exercise = "gather_kv"
    parts = ("k", "v")
    referee = GatherReferee
    # A witness: block size, KV heads, head_dim, tokens.
    rules = rules_from(
        """
        keys-and-values: Two tensors come back, the keys from k_cache and the values from v_cache.
            2 1 2 3
        as-many-rows-as-tokens: k and v have a row for each of the `length` tokens, [length, kv_heads, head_dim].
            ? How many tokens lie in the last page, for 5 tokens in pages of 4?
            4 1 2 5
            4 2 1 1
            2 1 1 4
        tokens-in-their-order: Row i is token i, found through the table: page i // block_size, slot i % block_size.
            ? Token 5 of a sequence in pages of 4: which entry of the table names its page, and which slot is it there?
            4 1 1 4
            2 2 3 6
            1 1 2 3
            16 2 4 100
        only-its-own-pages: Entries of the table beyond the pages of `length` tokens are never looked up.
            ? How many entries of the table belong to the sequence, for this block size and this length?
            4 1 1 8
            1 1 1 1
        a-copy-of-its-own: k and v are copies: a later write into the cache does not change them.
            ? Slicing a tensor makes a view of it. Which of your steps makes numbers of its own, also for one page?
            4 1 2 3
            4 1 2 4
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            2 1 1 3
        """
    )
    hints = (
        "For 5 tokens in pages of 4: which entries of the table do you need, and which rows of the last page?",
        "Token i lies in block block_table[i // block_size], slot i % block_size. Pages side by side are the tokens in "
        "their order, but for the end of the last page.",
        "pages = block_table[: ____]\nk = k_cache[____].flatten(0, 1)[:____]   # an index tensor copies",
    )
    search = {"block_size": (1, 5), "kv_heads": (1, 3), "head_dim": (1, 3), "length": (1, 12)}

    def sized(self, block_size: int, kv_heads: int, head_dim: int, length: int) -> None:
        """One sequence of so many tokens."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        size, kv_heads, head_dim, length = (args[name] for name in self.parameters())
        k, v, tables = pages([length], size, kv_heads, head_dim)
        return {"k_cache": k, "v_cache": v, "block_table": tables[0], "length": length}

    def setup_line(self, block_size: int, kv_heads: int, head_dim: int, length: int) -> str:
        values = self.decode(dict(zip(self.parameters(), (block_size, kv_heads, head_dim, length), strict=True)))
        return (
            f"caches of shape {tuple(values['k_cache'].shape)}, block_table = {show(values['block_table'], 60)}, "
            f"length = {length}"
        )

    def rule_for(self, block_size: int, kv_heads: int, head_dim: int, length: int) -> str:
        return "tokens-in-their-order"

    def rule_if_raised(self, rule: str, **args: Any) -> str:
        return "only-its-own-pages"

    def broken_part(self, part: str, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if any(shape_of(a) != shape_of(b) for a, b in zip(seen, expected, strict=True)):
            return "as-many-rows-as-tokens"
        if alike(seen[0], expected[1]) or alike(seen[1], expected[0]):
            return "keys-and-values"
        return rule

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        part = self.wrong_part(seen, expected) or "k"
        i = self.parts.index(part)
        if rule == "keys-and-values":
            return f"{part} has the numbers of the other cache."
        at = next(n for n in range(args["length"]) if not alike(seen[i][n], expected[i][n]))
        size = args["block_size"]
        return (
            f"Row {at} of {part} is not token {at}, which lies in slot {at % size} of the block which entry "
            f"{at // size} of the table names."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return "NaN comes out: those are slots that hold no token of this sequence."


class PagedAttention(SizedSpecification):
    """One query for each sequence over its pages, in place."""

    exercise = "paged_attention"
    prelude = SizedSpecification.prelude + "\n\nfrom labkit.mine import gather_kv, online_update"
    referee = PagedReferee
    # A witness: block size, KV heads, query heads for each of them, head_dim, size of the queries, tokens of each
    # sequence. In every slot that holds no token of these sequences lies NaN.
    rules = rules_from(
        """
        one-output-per-query: q of shape [seqs, q_heads, head_dim] gives an output of the same shape.
            2 1 2 2 1 1 2
        follows-the-table: Page j of a sequence is the block that entry j of its table names.
            ? The pages of a sequence lie anywhere. Which number indexes the cache: the page's, or the table's entry?
            2 1 1 2 1 2 2
            4 1 1 4 1 4 16
        own-slots-only: No slot is read that holds no token of the sequence, and no entry beyond its pages.
            ? How many tokens lie in the last page, and how many entries of the table belong to the sequence?
            4 1 1 2 1 1
            4 1 1 2 1 5
            4 1 1 2 1 4
            1 1 1 2 1 3
        over-all-its-tokens: The weights run over all tokens of the sequence, in whichever page they lie, and sum to 1.
            ? What is handed from one page to the next, and where is the output divided?
            2 1 1 2 1 4
            4 1 1 2 1 7
            1 1 1 3 1 5
            4 1 1 4 1 130
        scaled-by-root-d: Scores are divided by the square root of head_dim.
            ? Which length of q and of a key stands under the root: the head's, or all heads' together?
            4 1 1 4 1 3
            2 1 1 3 1 4
        neighbours-share-a-kv-head: Query head h reads KV head h // group, where group = q_heads // kv_heads.
            ? With 4 query heads and 2 KV heads, which two query heads read KV head 0?
            4 2 3 2 1 3
            2 3 3 2 1 5
            2 2 4 2 1 3
            2 3 1 2 1 3
        each-sequence-by-itself: Sequences of different lengths are each attended over their own pages, from their own \
                start.
            ? Which names of yours must begin anew for the next sequence, and which for the next head?
            4 1 1 2 1 1 4 5 11
            1 2 2 2 1 1 3 2
            4 1 3 2 1 4 4
        any-size-of-score: Scores of any size, positive or negative, leave the output finite and right.
            ? Where in your loop is an exponential taken, and what was subtracted from the score before?
            2 1 1 4 5000 5
            1 1 2 4 5000 1 3
        pages-stay-where-they-lie: The pages are read in place: no tensor as large as all keys of a sequence is made.
            ? Which of your lines takes all pages at once? What does that line copy?
            4 1 1 8 1 64
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, and which have those that came in?
            2 1 1 2 1 3
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            2 1 2 2 1 2 3
        """
    )
    hints = (
        "Take one sequence, one KV head and one page. Which rows of the page hold its tokens, and what shape have the "
        "scores of the query heads that read them?",
        "For each sequence and KV head a state (m, l, acc) begins at (-inf, 0, 0), takes each page once, and gives "
        "acc / l after the last.",
        "for j in range(-(-length // block_size)):\n    block, n = int(block_tables[i, j]), min(block_size, ____)\n"
        "    k, v = k_cache[block, :n, h], v_cache[block, :n, h]\n"
        "    m, l, acc = online_update(m, l, acc, queries @ ____ / ____, v)\nout[i, first : first + group] = ____",
    )
    search = {
        "block_size": (1, 4), "kv_heads": (1, 2), "group": (1, 3), "head_dim": (1, 3), "size": [1, 1, 1, 5000],
        "lengths": [(1, 9), 3],
    }  # fmt: skip

    def sized(self, block_size: int, kv_heads: int, group: int, head_dim: int, size: float, lengths: list[int]) -> None:
        """Sequences of so many tokens, one query each."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        size, kv_heads, group, head_dim, scale, lengths = (args[name] for name in self.parameters())
        k, v, tables = pages(lengths, size, kv_heads, head_dim)
        q = numbers(random.Random(1), len(lengths), kv_heads * group, head_dim) * scale
        return {"q": q, "k_cache": k, "v_cache": v, "block_tables": tables, "lengths": torch.tensor(lengths)}

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        return (
            f"q of shape {tuple(values['q'].shape)}, caches of shape {tuple(values['k_cache'].shape)}, "
            f"block_tables = {show(values['block_tables'], 90)}, lengths = {show(values['lengths'], 60)}"
        )

    def rule_for(self, **args: Any) -> str:
        if args["size"] > 1:
            return "any-size-of-score"
        if len(args["lengths"]) > 1:
            return "each-sequence-by-itself"
        return "over-all-its-tokens" if args["kv_heads"] == 1 else "neighbours-share-a-kv-head"

    def rule_if_raised(self, rule: str, **args: Any) -> str:
        return "own-slots-only"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind == "wrong-shape":
            return self.rules[0].name, None
        return super().accuse(rule, mismatch, seen, expected, call, **args)

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """What is wrong follows from what the answer would be with one thing wrong."""
        values = self.decode(args)
        wrong: tuple[tuple[str, dict[str, Callable[..., Any]]], ...] = (
            ("follows-the-table", {"block": lambda j, table: j}),
            ("scaled-by-root-d", {"scale": lambda d: 1.0}),
            ("scaled-by-root-d", {"scale": lambda d: 1 / d}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % group % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: 0}),
        )
        for name, change in wrong:
            answer = _dense_or_none(values, change)
            if answer is not None and not alike(answer, expected) and alike(seen, answer) and not answer.isnan().any():
                return name
        return "own-slots-only" if seen.isnan().any() and args["size"] <= 1 else rule

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        values = self.decode(args)
        i, h = next(
            (i, h) for i in range(len(seen)) for h in range(seen.shape[1]) if not alike(seen[i, h], expected[i, h])
        )
        group = args["group"]
        where = {
            "neighbours-share-a-kv-head": f"it reads KV head {h // group}, as {group} neighbours do",
            "follows-the-table": f"its pages are the blocks {show(values['block_tables'][i], 50)}",
        }.get(rule, f"it has {plural(args['lengths'][i], 'token')} in pages of {args['block_size']}")
        return (
            f"Sequence {i}, query head {h}: {where}; the output should be {show(expected[i, h], 60)} and yours is "
            f"{show(seen[i, h], 60)}."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return (
            "NaN comes out, and NaN lies in every slot that holds no token of these sequences: one of them was read, "
            "or -inf - (-inf) was computed."
        )


def _dense_or_none(values: Mapping[str, Any], change: Mapping[str, Callable[..., Any]]) -> Any:
    """What `dense` answers with one thing wrong; None where that reads what is not there."""
    try:
        return dense(*values.values(), **change)
    except IndexError:
        return None


class Memory(Specification):
    """Sequences that write, attend and end, over a memory that is used again."""

    exercise = "paged_attention"
    referee = MemoryReferee
    prelude = PagedAttention.prelude
    needs_torch = True
    rules = rules_from(
        """
        nobody-else-is-read: What a sequence attends to are its own tokens, whatever else lies in its pages.
            new 2 2; write A 2; end A; write B 1; attend B
        """
    )
    search = {"num_blocks": (1, 8), "block_size": (1, 4), "n": (1, 9), "seq": "ABCD"}


class BreakTheEmptySlots(BreakIt):
    """A paged attention that takes slots of zeros for empty ones."""

    exercise = "break_empty_slots"
    base = Memory()
    prelude = "import torch"
    needs_torch = True
    reference = "labkit.attention.paged:paged_attention"
    renamed = {"Memory": "new"}
    example = '("Memory", 4, 4)'
    without = {
        "attend": "Nobody attends, so nothing has been read.",
        "end": "As long as nobody ends, every page is used for the first time, and what is empty there is zero.",
    }
    hints = (
        "By what does this code tell a slot with a token from one without? For which pages is that so?",
        "A page that is used again holds what its last owner left, up to where the new one has written.",
        '[("Memory", 1, 2), ("write", "A", ____), ("end", "A"), ("write", "B", ____), ("attend", "B")]',
    )


LESSON = Lesson(
    key="10_paged_attention",
    title="Attention over pages, in PyTorch",
    part="II. Attention kernels",
    minutes=65,
    builds="Attention that reads keys and values through the block table, page by page, and copies none of them.",
    symptom="The pages are well used and the answers right, but in every step the server copies all keys and values of "
    "everybody before it reads them.",
    exercises=(
        Exercise("online_update", "One more tile", 10, 3, 5, OnlineUpdate(), "labkit.attention.paged:online_update",
                 slot="attention"),
        Exercise("gather_kv", "Gather what is needed", 8, 2, 3, GatherKV(), "labkit.attention.paged:gather_kv"),
        Exercise("paged_attention", "Attention in place", 12, 4, 5, PagedAttention(),
                 "labkit.attention.paged:paged_attention", slot="attention"),
        Exercise("break_empty_slots", "Break it: what counts as empty", 5, 3, 4, BreakTheEmptySlots(), kind="break"),
    ),
    ending="I can compute softmax in one pass over pieces, and say why the order of the pieces does not matter. I read "
    "keys and values through the block table where they lie, and I know which slots must never be read.",
)  # fmt: skip
