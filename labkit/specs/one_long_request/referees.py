"""Lesson 13: who looks at ranges, at merges of merges, and at what a split shares among its programs."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain
from typing import Any

from labkit.grading.compare import whole
from labkit.grading.display import Words
from labkit.grading.functions import FunctionReferee
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee
from labkit.specs.attention_by_hand.referees import TensorReferee
from labkit.specs.first_kernel.referees import KernelReferee
from labkit.words import plural

PAGE = 4
"""Tokens per page of the break-it."""
ROUNDINGS = 16.0
"""How many roundings of the largest output may lie between two groupings of a merge."""


class RangesReferee(FunctionReferee):
    """Looks at what ranges must do, not at one way to make them."""

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        wrong = wrong_ranges(seen, **args)
        if wrong is not None:
            self.require(wrong[0], False, expected=expected, cause=wrong[1])


def wrong_ranges(seen: Any, length: int, page: int, splits: int) -> tuple[str, str] | None:
    """The first rule of `split_ranges` that an answer breaks, and a sentence; None where it breaks none."""
    pairs = [_pair(each) for each in seen] if isinstance(seen, list | tuple) else [None]
    ranges = [pair for pair in pairs if pair is not None]
    if len(ranges) != len(pairs) or any(start > stop for start, stop in ranges):
        return "pairs-of-start-and-stop", "A list of pairs of whole numbers (start, stop) is due, start at most stop."
    if len(ranges) != splits:
        return "as-many-as-splits", f"{splits} are due, one for each program; yours has {len(ranges)}."
    times = Counter(chain.from_iterable(range(*each) for each in ranges))
    if missing := next((i for i in range(length) if not times[i]), None):
        return "none-lost", f"Position {missing} of {length} stands in no range."
    if length and not times[0]:
        return "none-lost", f"Position 0 of {length} stands in no range."
    if (most := max(times, default=-1)) >= length:
        return "ends-with-the-context", f"Position {most} stands in a range, and the context has {length}, 0 the first."
    if twice := next((i for i, n in sorted(times.items()) if n > 1), None):
        return (
            "none-twice",
            f"Position {twice} stands in {times[twice]} ranges, so its key would count {times[twice]} times.",
        )
    if times[0] > 1:
        return "none-twice", f"Position 0 stands in {times[0]} ranges, so its key would count {times[0]} times."
    for start, stop in ranges:
        if start < stop and start % page:
            return "cut-between-pages", f"The range ({start}, {stop}) begins inside of a page of {page}."
    pages = -(-length // page)
    due = -(-pages // splits)
    longest = max(-(-(stop - start) // page) for start, stop in ranges)
    if longest > due:
        return "longest-as-short-as-can-be", (
            f"{plural(pages, 'page')} in {splits} ranges are at most {due} in any; yours has one of {longest}, and "
            "everybody waits for it."
        )
    return None


def _pair(each: Any) -> tuple[int, int] | None:
    if not isinstance(each, list | tuple) or len(each) != 2:
        return None
    start, stop = whole(each[0]), whole(each[1])
    return None if start is None or stop is None else (start, stop)


class MergeReferee(TensorReferee):
    """Also merges what was merged: in any grouping the same must come out, but for rounding."""

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        super().judge(rule, seen, expected, args)
        if self.failures or self.thorough or len(args["lses"]) < 3:
            return
        import torch

        outs, lses = self.spec.decode(args).values()
        first = self.implementation(outs[:2], lses[:2])
        grouped = self.implementation(*(torch.cat([a[None], b[2:]]) for a, b in zip(first, (outs, lses), strict=True)))
        given = seen[0], grouped[0]
        apart = (given[0] - given[1]).abs().max().item()
        bound = ROUNDINGS * torch.finfo(given[0].dtype).eps * outs.nan_to_num().abs().max().item()
        cause = (
            f"Merging the first two ranges first, and then that with the others, moves the output by {apart:.1e}; "
            f"rounding explains {bound:.1e}."
        )
        self.require(
            "in-any-grouping", apart <= bound, expected=Words(f"within {bound:.1e}"), seen=Words(f"{apart:.1e} apart"),
            cause=cause,
        )  # fmt: skip


class SplitReferee(KernelReferee):
    """A kernel that is launched for at least one sequence."""

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if not op.args["lengths"]:
            raise Illegal("has no sequence.")
        return op


class ContextReferee(Referee):
    """One context whose keys answer the query alike, but for those it prefers; each step cuts it anew."""

    RULE = "as-in-one-range"

    def do_new(self, tokens: int) -> None:
        import torch

        self.scores = torch.zeros(1, tokens, dtype=torch.float64)
        self.values = torch.arange(tokens, dtype=torch.float64)[:, None]
        self._line(f"Request({tokens})").seen = f"{plural(-(-tokens // PAGE), 'page')} of {PAGE}"

    def do_prefer(self, position: int) -> None:
        self.scores[0, position] += 1
        self._line(f"prefer({position})").seen = f"its score is {self.scores[0, position]:g}"

    def do_decode(self, splits: int) -> None:
        from labkit.attention.split import split_ranges

        ranges = [each for each in split_ranges(self.scores.shape[1], PAGE, splits) if each[0] < each[1]]
        expected = self.scores.softmax(dim=1) @ self.values
        seen = self.call(self.RULE, f"decode({splits})", self.implementation, self.scores, self.values, ranges)
        sizes = ", ".join(f"{stop - start}" for start, stop in ranges)
        ok = math.isclose(float(seen), float(expected), abs_tol=1e-9)
        cause = f"Ranges of {sizes} tokens: the output is {float(seen):.4f}, and {float(expected):.4f} in one range."
        self.require(
            self.RULE, ok, expected=Words(f"{float(expected):.4f}"), seen=Words(f"{float(seen):.4f}"), cause=cause
        )

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            if hasattr(self, "scores"):
                raise Illegal("makes a second request; there is one only.")
        elif op.name == "prefer" and op.args["position"] >= self.scores.shape[1]:
            raise Illegal(
                f"is about position {op.args['position']}, and the request has {self.scores.shape[1]} tokens."
            )
        return op
