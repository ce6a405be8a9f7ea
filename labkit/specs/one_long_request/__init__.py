"""Lesson 13, the one very long request: its rules, witnesses and hints.

torch is imported only where tensors are made.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification, answer_of, row
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.attention_by_hand.referees import shape_of
from labkit.specs.first_kernel.referees import KernelSpecification, untouched
from labkit.specs.one_long_request.referees import ContextReferee, MergeReferee, RangesReferee, SplitReferee
from labkit.specs.paged_attention.referees import PartsSpecification, dense, numbers, pages

LARGE = 100.0
"""Beyond this size exp() of a number overflows or vanishes soon; such calls are about that rule."""


class SplitRanges(FunctionSpecification):
    """The ranges of one context."""

    exercise = "split_ranges"
    referee = RangesReferee
    # A witness: tokens, tokens per page, ranges.
    rules = rules_from(
        """
        pairs-of-start-and-stop: The answer is a list of pairs (start, stop) of whole numbers, start at most stop.
            8 4 2
        as-many-as-splits: There are `splits` ranges, however short the context is.
            ? The grid has a program for each range, whatever the context. What does one get that has nothing to do?
            3 4 2
            0 4 3
            9 4 8
        none-lost: Every position from 0 to length - 1 stands in a range.
            ? 13 tokens in pages of 4 are 4 pages. Where does your last range stop, and the one before it?
            13 4 2
            20 4 2
            5 16 2
            4096 16 15
        none-twice: No position stands in two ranges.
            ? Where one range stops, where does the next one begin, and does its `stop` still belong to it?
            16 4 2
            20 4 4
        ends-with-the-context: No range reaches beyond the context: behind it lies somebody else's memory.
            ? What is the last position that there is? Which of your numbers can be larger?
            13 4 3
            9 4 8
            3 4 2
        cut-between-pages: A range that is not empty begins where a page begins.
            ? Which whole number of pages has each of your ranges, and where is that multiplied by the page?
            24 4 4
            30 4 3
            64 16 3
        longest-as-short-as-can-be: No range has more pages than all of them shared by `splits`, rounded up.
            ? 5 pages and 2 ranges: how many pages has the longer one at least? What does your division give?
            20 4 2
            44 4 4
            1600 16 16
        """
    )
    hints = (
        "9 tokens in pages of 4, in 2 ranges: how many pages are there, and how many of them does the first range get?",
        "Count in pages: all of them shared by `splits`, rounded up, is what a range gets until none are left. Range i "
        "begins where range i - 1 stops, and neither number goes beyond the length.",
        "pages = -(-length // ____)\neach = -(-pages // ____) * page        # tokens of a full range\n"
        "cuts = [min(i * each, ____) for i in range(splits + 1)]\nreturn list(zip(cuts, cuts[1:]))",
    )
    search = {"length": (0, 60), "page": [1, 2, 4, 16], "splits": (1, 9)}

    def oracle(self, length: int, page: int, splits: int) -> Any:
        return self.solution()(length, page, splits)


class MergePartials(PartsSpecification):
    """Attention over several ranges from that over each."""

    exercise = "merge_partials"
    parts = ("out", "lse")
    referee = MergeReferee
    # A witness: lse of each range and row, null where the range is empty; then the outputs, NaN for an empty range.
    rules = rules_from(
        """
        gives-out-and-lse: Two tensors come back: out of shape [rows, dv], lse of shape [rows].
            [[0.5,1],[2,0]] [[[1,2,3],[0,1,2]],[[4,0,1],[2,2,2]]]
        weighs-by-the-sums: Each range counts as much as the sum of its exponentials, exp(lse), in whatever size.
            ? A range with the sum 3 and one with the sum 1: how much of the output comes from each?
            [[0],[1.5]] [[[4]],[[8]]]
            [[2],[-1],[0.5]] [[[1,0]],[[0,1]],[[3,3]]]
            [[1]] [[[5,-2]]]
            [[0],[0]] [[[4]],[[8]]]
        lse-of-all-of-them: lse is the log of the sum of exp(score) over all ranges together.
            ? What would the lse be if all scores had stood in one range? Which sum do you take the log of?
            [[0],[1.5]] [[[4]],[[8]]]
            [[1],[1]] [[[1]],[[2]]]
        empty-ranges-count-nothing: A range with lse -inf changes nothing, whatever stands in its output.
            ? What is 0 times NaN? In which of your tensors does the NaN of an empty range still stand?
            [[1],[null]] [[[3]],[[9]]]
            [[null],[0],[2]] [[[3,1]],[[9,4]],[[2,2]]]
            [[null,1],[0,2],[1,null]] [[[1],[2]],[[3],[4]],[[5],[6]]]
        nothing-at-all-is-zero: Where all ranges of a row are empty, its out is 0 and its lse -inf; neither is NaN.
            ? What is -inf - (-inf), and what is 0 / 0? Where does each come up for a row of empty ranges?
            [[null],[null]] [[[3]],[[9]]]
            [[null,1],[null,0]] [[[3,1],[1,2]],[[9,4],[0,5]]]
        each-row-by-itself: Every row is merged by itself, with its own lses.
            ? Along which axis do you take the maximum and the sums, and which axis is left?
            [[0,3],[2,-1]] [[[1],[2]],[[5],[7]]]
            [[0,-500],[2,-501]] [[[1],[2]],[[5],[7]]]
        any-size-of-lse: An lse of any size, positive or negative, leaves both finite and right.
            ? Which number is subtracted before exp() of an lse is taken, and where is it added again?
            [[1000],[999]] [[[1]],[[3]]]
            [[-1200],[-1200]] [[[2]],[[4]]]
            [[900],[-900]] [[[2]],[[4]]]
        in-any-grouping: Merging merged ranges gives what merging all at once does, but for rounding.
            ? What do you add or clamp that a second merge meets again?
            [[0.3],[1.1],[-0.7],[2]] [[[1.7,-0.4]],[[0.9,1.1]],[[-1.3,0.2]],[[0.6,0.6]]]
        same-dtype-as-given: The answers have the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, and which have those that came in?
            [[0],[1]] [[[4]],[[8]]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [[0],[null]] [[[4]],[[8]]]
        """
    )
    hints = (
        "One range had the sum 3 of its exponentials, another the sum 1. Their lses are log 3 and log 1. Which share "
        "of the output comes from the first, and what is the sum of both?",
        "The weight of a range is exp(lse - top), with the largest lse of the row as top; out is the mean by these "
        "weights, lse is top + log of their sum. A row of empty ranges alone needs another top than -inf.",
        "top = lses.amax(dim=0)\nbase = top.masked_fill(top.isneginf(), ____)\nweights = torch.exp(lses - ____)\n"
        "total = weights.sum(dim=0)\nknown = outs.masked_fill(____[..., None], 0.0)\n"
        "out = (weights[..., None] * known).sum(dim=0) / total.clamp(min=____)[:, None]\nreturn out, base + ____",
    )
    search = {"splits": (1, 5), "rows_": (1, 3), "dv": (1, 3), "size": [1, 1, 500], "seed": (0, 10_000)}

    def sized(self, lses: list[Any], outs: list[Any]) -> None:
        """The lse and the output of each range."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        given = [[-math.inf if x is None else x for x in row] for row in args["lses"]]
        lses = torch.tensor(given, dtype=torch.float64)
        outs = torch.tensor(args["outs"], dtype=torch.float64)
        return {"outs": outs.masked_fill(lses.isneginf()[..., None], math.nan), "lses": lses}

    def setup_line(self, **args: Any) -> str:
        return ", ".join(f"{name} = {show(value, 80)}" for name, value in self.decode(args).items())

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        splits, rows, dv = (sizes[name] for name in ("splits", "rows_", "dv"))

        def one() -> float | None:
            return None if draw.random() < 0.25 else draw.randint(-20, 20) / 10 * sizes["size"]

        return {
            "lses": [[one() for _ in range(rows)] for _ in range(splits)],
            "outs": [[row(draw, dv) for _ in range(rows)] for _ in range(splits)],
        }

    def rule_for(self, lses: list[Any], outs: list[Any]) -> str:
        if any(all(x is None for x in row) for row in zip(*lses, strict=True)):
            return "nothing-at-all-is-zero"
        if any(x is None for row in lses for x in row):
            return "empty-ranges-count-nothing"
        return "any-size-of-lse" if max(abs(x) for row in lses for x in row) > LARGE else "weighs-by-the-sums"

    def broken_part(self, part: str, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if any(shape_of(a) != shape_of(b) for a, b in zip(seen, expected, strict=True)):
            return "gives-out-and-lse"
        if len(expected[1]) > 1 and self._right_row_by_row(call, args):
            return "each-row-by-itself"
        if rule == "weighs-by-the-sums" and part == "lse":
            return "lse-of-all-of-them"
        return rule

    def _right_row_by_row(self, call: Callable[..., Any], args: Mapping[str, Any]) -> bool:
        lses, outs = args["lses"], args["outs"]
        return (
            self.first_wrong(call, *([[[s[r]] for s in lses], [[s[r]] for s in outs]] for r in range(len(lses[0]))))
            is None
        )

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        part = self.wrong_part(seen, expected) or "out"
        i = self.parts.index(part)
        return (
            f"{part} is {show(seen[i], 60)} where {show(expected[i], 60)} is due; the sums of the ranges are "
            f"{show(self.decode(args)['lses'].exp(), 60)}."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return "NaN comes out: look for -inf - (-inf), 0 / 0, or 0 times the NaN that stands for an empty range."


class ChooseSplits(FunctionSpecification):
    """How many ranges."""

    exercise = "choose_splits"
    prelude = "from labkit.mine import split_ranges"
    # A witness: programs without a split, pages of each context, multiprocessors.
    rules = rules_from(
        """
        never-fewer-pages-than-four: On average a range has four pages or more: S is at most pages // 4, and 1 at least.
            ? How many ranges of four pages has a context of 11 pages? And one of 3?
            1 3 4
            1 7 108
            2 40 108
            8 64 132
            1 8 108
        waves-are-whole: 5 programs on 4 multiprocessors take two waves: the fifth one begins when the first four end.
            ? For S ranges, how many programs are there, and how many rounds do they take, the last one counted whole?
            1 17 2
            3 400 4
            8 8192 132
        the-longest-range-counts: A wave lasts as long as its longest range, all pages shared by S, rounded up.
            ? How many pages has the longest of S ranges?
            2 9 1
            1 21 5
            2 29 14
        fewest-within-a-tenth: Of all S it is the smallest whose count is at most a tenth above the least count.
            ? Which count is the least, and which S is the first that comes near it?
            50 2048 132
            4 200 132
            132 8192 132
            1024 64 132
            13 8 2
            9 77 5
        """
    )
    hints = (
        "8 programs on 132 multiprocessors, 8,192 pages. With 16 ranges: how many programs, how many waves, and how "
        "many pages does the busiest multiprocessor read? With 17?",
        "count(S) = waves of programs * S on the multiprocessors, rounded up, times pages in the longest range, "
        "rounded up. Take it for S = 1 up to pages // 4, at least for S = 1, and the first S that is within a tenth of "
        "the least.",
        "count = {}\nfor s in range(1, max(1, pages // ____) + 1):\n"
        "    waves = -(-programs * ____ // multiprocessors)\n    count[s] = waves * -(-pages // ____)\n"
        "least = min(count.values())\nreturn min(s for s in count if 10 * count[s] <= ____ * least)",
    )
    search = {"programs": (1, 40), "pages": (1, 120), "multiprocessors": [2, 5, 16, 58]}
    examples = 300
    op_seconds = 3.0

    def oracle(self, programs: int, pages: int, multiprocessors: int) -> Any:
        return self.solution()(programs, pages, multiprocessors)

    def rule_for(self, programs: int, pages: int, multiprocessors: int) -> str:
        return "never-fewer-pages-than-four" if pages < 4 else "fewest-within-a-tenth"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        """What is wrong is what would answer some questions just so, with one thing wrong."""
        answers = tuple(answer_of(call, *each) for each in QUESTIONS)
        if answers == tuple(self.oracle(*each) for each in QUESTIONS):
            return rule, None
        return next((name for name, wrong in wrong_answers() if wrong == answers), rule), None

    def cause(self, rule: str, seen: Any, expected: Any, programs: int, pages: int, multiprocessors: int) -> str:
        from labkit.attention.split import pages_in_a_row

        told = [f"{pages_in_a_row(programs, pages, multiprocessors, s)} with {s}" for s in (expected, seen) if _some(s)]
        most = max(1, pages // 4)
        least = min(pages_in_a_row(programs, pages, multiprocessors, s) for s in range(1, most + 1))
        return (
            f"Pages that the busiest multiprocessor reads in a row: {', '.join(told)}. Of 1 to {most} ranges the least "
            f"is {least}, and up to {11 * least // 10} is within a tenth of it."
        )


QUESTIONS = (
    (1, 17, 2), (8, 8192, 132), (2, 9, 1), (1, 21, 5), (2, 29, 14), (2, 40, 108), (50, 2048, 132), (13, 8, 2),
    (1, 7, 108),
)  # fmt: skip


@cache
def wrong_answers() -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What `QUESTIONS` are answered with one thing wrong, each with the rule that breaks."""
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("never-fewer-pages-than-four", {"most": lambda pages: pages}),
        ("never-fewer-pages-than-four", {"most": lambda pages: -(-pages // 4)}),
        ("never-fewer-pages-than-four", {"most": lambda pages: max(1, pages // 8)}),
        ("waves-are-whole", {"waves": lambda n, sms: n / sms}),
        ("waves-are-whole", {"waves": lambda n, sms: max(1, n // sms)}),
        ("waves-are-whole", {"waves": lambda n, sms: n // sms + 1}),
        ("the-longest-range-counts", {"longest": lambda pages, s: pages // s}),
        ("the-longest-range-counts", {"longest": lambda pages, s: pages / s}),
    )
    return tuple((name, tuple(chosen(*each, **change) for each in QUESTIONS)) for name, change in wrong)


def _some(splits: Any) -> bool:
    return isinstance(splits, int) and splits >= 1


def chosen(
    programs: int,
    pages: int,
    multiprocessors: int,
    waves: Callable[[int, int], float] = lambda n, sms: -(-n // sms),
    longest: Callable[[int, int], float] = lambda pages, s: -(-pages // s),
    most: Callable[[int], int] = lambda pages: max(1, pages // 4),
) -> int:
    """What `choose_splits` answers, right or with one thing wrong."""
    count = {s: waves(programs * s, multiprocessors) * longest(pages, s) for s in range(1, most(pages) + 1)}
    least = min(count.values())
    return min(s for s, n in count.items() if 10 * n <= 11 * least)


class SplitDecode(KernelSpecification):
    """Step 4 of the ladder: a program for each range, whose state it leaves behind."""

    exercise = "split_decode"
    referee = SplitReferee
    prelude = KernelSpecification.prelude + "\nfrom kvkernels.step3_grouped import attend_range, load_group"
    # A witness: page, KV heads, query heads for each, head_dim, tile, ranges, tokens of each sequence. NaN lies in
    # every slot that holds no token, and each program has ROWS = 16 rows, whatever the group.
    rules = rules_from(
        """
        merges-to-the-answer: The states, merged, give attention over all tokens of each sequence.
            4 2 2 16 16 2 33 7
            16 1 1 16 16 3 100
        own-slots-only: No slot is read that holds no token of the sequence.
            ? Which position is the last that a program may read, and which of your two numbers can be beyond it?
            4 1 1 16 16 2 37
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? How many rows has the group, and how many has `m`? How far does the last place lie?
            4 1 3 16 16 2 17
        every-state-is-written-once: Each place of both kinds of state is written by one program, empty ranges too.
            ? What is in the place of a range without positions, if its program writes nothing there?
            4 1 2 16 16 4 5 33
        the-work-is-shared: No program reads more tiles than all of them shared by SPLITS, rounded up.
            ? How many tiles has the context, and how many of them does each program get?
            4 1 1 16 16 4 70
        """
    )
    hints = (
        "Program (seq, kv_head, split): which tiles of the context are its own, and where does its state begin in "
        "partial_ml?",
        "A range is whole tiles: all of them shared by SPLITS, rounded up. State (seq, q_head, split) has the number "
        "(seq * Q_HEADS + q_head) * SPLITS + split, for the q_head of each row of the group.",
        "per_split = tl.cdiv(tl.cdiv(length, TILE), ____) * TILE\nstart = tl.minimum(____ * per_split, length)\n"
        "stop = tl.minimum(start + ____, length)\nplace = (seq * Q_HEADS + kv_head * GROUP + ____) * SPLITS + ____",
    )
    examples = 2
    search = {
        "page": [4, 16], "kv_heads": (1, 2), "group": (1, 2), "head_dim": [16], "tile": [16], "splits": (2, 3),
        "lengths": [(1, 40), 2],
    }  # fmt: skip

    def sized(
        self, page: int, kv_heads: int, group: int, head_dim: int, tile: int, splits: int, lengths: list[int]
    ) -> None:
        """Sequences of so many tokens, one query each, and the constants of a launch."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        page, kv_heads, group, head_dim, tile, splits, lengths = (args[name] for name in self.parameters())
        k, v, tables = pages(lengths, page, kv_heads, head_dim)
        q = numbers(random.Random(1), len(lengths), kv_heads * group, head_dim).float()
        # Behind its pages a table names the block that nobody holds, full of NaN.
        return {
            "q": q, "k_cache": k.float(), "v_cache": v.float(), "block_tables": tables.clamp(max=len(k) - 1).int(),
            "lengths": torch.tensor(lengths, dtype=torch.int32), "splits": splits, "tile": tile,
        }  # fmt: skip

    def launch(
        self, kernel: Any, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, **more: int
    ) -> Any:
        from kvkernels.inputs import power_of_2, softmax_scale
        from kvkernels.step4_split import merge

        (seqs, q_heads, head_dim), (page, kv_heads), splits = q.shape, k_cache.shape[1:3], more["splits"]
        acc, ml = untouched(seqs, q_heads, splits, head_dim), untouched(seqs, q_heads, splits, 2)
        kernel[(seqs, kv_heads, splits)](
            acc, ml, q, k_cache, v_cache, block_tables, lengths, block_tables.shape[1], softmax_scale(None, head_dim),
            SPLITS=splits, Q_HEADS=q_heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, HEAD_PAD=power_of_2(head_dim),
            PAGE=page, TILE=more["tile"], ROWS=16,
        )  # fmt: skip
        out = untouched(*q.shape)
        merge(out, acc, ml)
        return out

    def oracle(self, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, **more: int) -> Any:
        return dense(q.double(), k_cache.double(), v_cache.double(), block_tables, lengths).float()

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        return "own-slots-only" if seen.isnan().any() else rule

    def setup_line(self, **args: Any) -> str:
        lengths, splits, tile = args["lengths"], args["splits"], args["tile"]
        return (
            f"{args['kv_heads']} KV heads, groups of {args['group']}, pages of {args['page']}, TILE = {tile}, SPLITS = "
            f"{splits}, lengths {lengths}"
        )

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        import torch

        wrong = [at for at, a, b in zip(_heads(seen), seen.flatten(0, 1), expected.flatten(0, 1), strict=True)
                 if not torch.allclose(a, b, rtol=1e-3, atol=1e-3)]  # fmt: skip
        seq, head = (wrong or [(0, 0)])[0]
        return (
            f"Merged, the states of sequence {seq}, query head {head}, do not give attention over its "
            f"{args['lengths'][seq]} tokens ({len(wrong)} of {len(seen) * seen.shape[1]} heads are wrong)."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return (
            "NaN comes out, and NaN lies in every slot that holds no token: one of them was read, or a state is none."
        )

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        """Every state once, and no program with more than its share."""
        import numpy as np

        launch, (kv_heads, group, head_dim, tile, splits) = launches[0], (
            args[name] for name in ("kv_heads", "group", "head_dim", "tile", "splits"))  # fmt: skip
        states = len(args["lengths"]) * kv_heads * group * splits
        for name, size in (("partial_ml", 2), ("partial_acc", head_dim)):
            stored = [a.offsets for a in launch.accesses if a.store and a.argument == name]
            times = np.bincount(np.concatenate(stored), minlength=states * size) if stored else np.zeros(states * size)
            if (times != 1).any():
                at = int(np.flatnonzero(times != 1)[0])
                split, head = at // size % splits, at // size // splits % (kv_heads * group)
                told = f"{int(times[at])} times"
                where = f"The state of query head {head}, range {split}, in {name}"
                return "every-state-is-written-once", told, f"{where} was written {told}; each is due once."
        read: dict[Any, int] = {}
        for access in launch.accesses:
            if access.argument == "k_cache":
                read[access.program] = read.get(access.program, 0) + len(access.offsets) // head_dim
        for (seq, head, _), keys in read.items():
            tiles = -(-args["lengths"][seq] // tile)
            if keys > (most := -(-tiles // splits) * tile):
                cause = f"One program of sequence {seq}, KV head {head}, reads {keys} keys; {most} are enough for any."
                return "the-work-is-shared", f"{keys} by one program", cause
        return None


def _heads(out: Any) -> list[tuple[int, int]]:
    return [(seq, head) for seq in range(out.shape[0]) for head in range(out.shape[1])]


class Context(Specification):
    """One context, decoded in ranges."""

    exercise = "merge_partials"
    defines = "split_attention"
    referee = ContextReferee
    prelude = "import math\n\nimport torch\n\nfrom labkit.mine import merge_partials"
    needs_torch = True
    rules = rules_from(
        """
        as-in-one-range: However the context is cut, the output is that of one range over all of it.
            new 8; decode 2
        """
    )
    search = {"tokens": (1, 64), "position": (0, 63), "splits": (1, 16)}


class BreakTheTwoLogarithms(BreakIt):
    """A kernel that counts in powers of two, and a merge that counts in powers of e."""

    exercise = "break_two_logarithms"
    base = Context()
    prelude = "import torch"
    needs_torch = True
    reference = "labkit.attention.split:split_attention"
    renamed = {"Request": "new"}
    example = '("Request", 32)'
    without = {
        "decode": "Nobody decodes, so nothing has been merged.",
    }
    hints = (
        "For which two ranges does it make no difference how their weights are computed from their sums?",
        "Ranges with the same sum of exponentials share the output equally, by any base. All scores are alike here: so "
        "it takes ranges of different lengths, or a token that is preferred.",
        '[("Request", ____), ("decode", 2)]    # pages have 4 tokens',
    )

    def why_it_stands(self, ops: list[Op]) -> str:
        """Whether there was anything to merge, and what its weights were."""
        if "decode" in {op.name for op in ops} and all(op.args["splits"] == 1 for op in ops if op.name == "decode"):
            return "A single range has all the weight, whatever its logarithm is taken to."
        return super().why_it_stands(ops)


LESSON = Lesson(
    key="13_one_long_request",
    title="The one very long request",
    part="II. Attention kernels",
    minutes=65,
    builds="A decode step that cuts one long context into ranges for many programs, and merges what they found.",
    symptom="One request of 131,072 tokens is alone on the GPU. Its cache fills a fraction of the memory, most of the "
    "chip stands still, and more memory changes nothing.",
    exercises=(
        Exercise("split_ranges", "Who reads what", 7, 2, 4, SplitRanges(), "labkit.attention.split:split_ranges"),
        Exercise("merge_partials", "Merge what they found", 10, 3, 5, MergePartials(),
                 "labkit.attention.split:merge_partials"),
        Exercise("choose_splits", "How many ranges", 8, 3, 4, ChooseSplits(), "labkit.attention.split:choose_splits"),
        Exercise("break_two_logarithms", "Break it: two logarithms", 5, 3, 4, BreakTheTwoLogarithms(), kind="break"),
        Exercise("split_decode", "A program for each range, in Triton", 15, 4, 3, SplitDecode(),
                 "kvkernels.step4_split:split_decode_kernel", stretch=True),
    ),
    ending="I can say why a single long request leaves a GPU idle, and why more blocks do nothing for it. I cut its "
    "context among as many programs as are worth it, and merge what they found without an error, also of empty ranges.",
)  # fmt: skip
