"""Lesson 20: a measurement that is counted, and a client that measures a server."""

from __future__ import annotations

from typing import Any

from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.words import plural


class _Enough(BaseException):
    """So often nobody measures: the search is ended."""


class SearchReferee(Referee):
    """Lets a search measure sizes, counts what it measures, and looks whether that proves its answer.

    A size is enough from `need` on, but for those in `but`, which are measured the other way: noise.
    """

    def do_call(self, need: int, most: int, but: list[int]) -> None:
        told: list[tuple[Any, bool]] = []

        def enough(size: int) -> bool:
            if len(told) >= 100 + most.bit_length():
                raise _Enough
            answer = (size >= need) != (size in but)
            told.append((size, answer))
            return answer

        self.setup_text = f"enough(size) is True from {need:,} on" + (
            f", but for {', '.join(map(str, but))}, measured the other way" if but else ""
        )
        label = f"capacity_search(enough, {most:,})"
        due = "no-size-is-none" if (most < need) != (most in but) else "what-is-answered-was-enough"
        seen = self.call(due, label, self.implementation, enough, most, raises=_Enough, keep=False)
        shown = ", ".join(f"{show(size)} {'yes' if answer else 'no'}" for size, answer in told[:12])
        shown = f"Measured: {shown or 'nothing'}{', ...' if len(told) > 12 else ''}."
        asked = [size for size, _ in told]
        yes = {size for size, answer in told if answer and type(size) is int}
        no = {size for size, answer in told if not answer and type(size) is int}

        strange = next((size for size in asked if type(size) is not int or not 1 <= size <= most), None)
        if not self.require(
            "only-sizes-there-are",
            strange is None,
            cause=f"{shown} {show(strange)} is no size from 1 to {most:,}.",
        ):
            raise StopSequence
        if isinstance(seen, _Enough):
            cause = f"{shown} After {plural(len(told), 'measurement')} it was still measuring, and was stopped."
            self.require("few-measurements", False, expected=Words("an answer"), cause=cause)
            raise StopSequence
        if seen is None and yes:
            cause = f"{shown} {min(yes):,} is enough, and the answer is None: is a return missing?"
            self.require("what-is-answered-was-enough", False, expected=Words("a size measured enough"), cause=cause)
        elif seen is None:
            expected = Words("None" if most in no else "a size, or None after most was measured")
            cause = f"{shown} None says that {most:,} is not enough, and that was not measured."
            self.require("no-size-is-none", most in no, expected=expected, cause=cause)
        else:
            self._proved(seen, most, yes, no, shown)
        if self.failures:
            return
        doubled = (seen or most) * 2
        largest = max(asked)
        cause = f"{shown} {largest:,} is twice what was needed, or more, and the largest sizes take longest to measure."
        self.require("doubles-from-one", bool(but) or seen is None or largest < doubled, cause=cause)
        twice = next((size for size in asked if asked.count(size) > 1), None)
        cause = f"{shown} {show(twice)} was measured more than once; what a measurement said can be kept."
        self.require("each-size-once", len(set(asked)) == len(asked), cause=cause)
        ups = ((seen or most) - 1).bit_length()
        few = 2 * ups + 1 if seen is not None else ups + 1
        cause = f"{shown} That is {plural(len(asked), 'measurement')}; doubling and halving take {few} at most."
        self.require("few-measurements", bool(but) or len(asked) <= few, cause=cause)

    def _proved(self, seen: Any, most: int, yes: set[int], no: set[int], shown: str) -> None:
        """Whether an answer that is a size was measured, and the one below it."""
        if type(seen) is not int:
            cause = f"The answer is {show(seen)}; a size is a whole number."
            self.require("what-is-answered-was-enough", False, expected=Words("a size"), cause=cause, kind="wrong-type")
        elif most in no:
            cause = f"{shown} Not even {most:,} is enough, and the answer says that {seen:,} is."
            self.require("no-size-is-none", False, expected=Words("None"), cause=cause)
        elif seen not in yes:
            cause = f"{shown} Nothing measured says that {seen:,} is enough."
            self.require("what-is-answered-was-enough", False, expected=Words("a size measured enough"), cause=cause)
        else:
            cause = f"{shown} {seen:,} is enough, and nothing measured says that {seen - 1:,} is not."
            self.require("one-less-was-too-small", seen == 1 or seen - 1 in no, cause=cause)


class StopwatchReferee(Referee):
    """A client with so many connections sends requests to a server that answers each alone, and times them."""

    def do_new(self, connections: int) -> None:
        self.free = [0.0] * connections  # when each connection is free again
        self.due: list[tuple[int, int]] = []
        self._line(f"a client with {plural(connections, 'connection')}")

    def do_due(self, at: int, takes: int) -> None:
        self.due.append((at, takes))
        self._line(f"a request is due at {at} s, the server takes {takes} s for it")

    def do_run(self) -> None:
        for at, takes in self.due:
            place = min(range(len(self.free)), key=self.free.__getitem__)
            sent = max(float(at), self.free[place])
            self.free[place] = first = sent + takes
            label = f"waited({at}, {sent:g}, {first:g})"
            seen = self.call(self.spec.rules[0].name, label, self.implementation, float(at), sent, first)
            cause = (
                f"Its user wanted it sent at {at} s, it was sent at {sent:g} s, because every connection was busy, and "
                f"had its first token at {first:g} s: that is {first - at:g} s of waiting."
            )
            if not self.require(self.spec.rules[0].name, seen == first - at, expected=first - at, cause=cause):
                raise StopSequence
        self.due = []

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" and hasattr(self, "free"):
            raise Illegal("makes a second client: have one only.")
        if op.name == "due" and self.due and op.args["at"] < self.due[-1][0]:
            raise Illegal(f"is due at {op.args['at']} s, before the one above it: give them in order of time.")
        return op
