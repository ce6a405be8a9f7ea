"""Lesson 03: a memory whose holes the learner keeps."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

from labkit.cache.holes import carve, first_fit
from labkit.errors import ReservationError
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.words import choose

STAYS = "the-list-given-stays"
REFUSALS = (ReservationError, ValueError, AssertionError)
"""What counts as a refusal; the first alone is the right one."""

Hole = tuple[int, int]


class ReleaseReferee(Referee):
    """A memory whose holes the learner's `release_coalesce` keeps, and single calls of it.

    Runs are placed by the reference `first_fit`. Everything is checked after each release, so the list that goes into
    the next operation is always sound.
    """

    def do_new(self, slots: int) -> None:
        self.holes: list[Hole] = [(0, slots)]
        self.held: set[str] = set()
        self.last: dict[str, Hole] = {}
        # A line of its own: whoever replays the trace needs this operation too.
        self._line(f"new({slots})").seen = f"a memory of {slots} slots, all in one hole"

    def do_allocate(self, seq: str, size: int) -> None:
        start = self.call("every-free-slot-once", f"allocate({seq!r}, {size})", lambda: first_fit(self.holes, size))
        if start is None:
            self.note("no hole is long enough")
            return
        self.steps[-1].seen = f"slots {start} to {start + size - 1}"
        self.holes = [(first, length) for first, length in carve(self.holes, start, size)]
        self.held.add(seq)
        self.last[seq] = (start, size)

    def do_release(self, seq: str) -> None:
        start, length = self.last[seq]
        again = "" if seq in self.held else ", again"
        self.held.discard(seq)
        call = f"release_coalesce({show(self.holes, 60)}, {start}, {length})"
        answer = self.give_back(f"release({seq!r}{again})  {call}", self.holes, start, length)
        if answer is not None:
            self.holes = answer

    def do_call(self, holes: list[Any], start: int, length: int) -> None:
        given = [(first, size) for first, size in holes]
        self.give_back(f"release_coalesce({show(given, 60)}, {start}, {length})", given, start, length)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" or op.name == "call":
            return op
        if not hasattr(self, "holes"):
            raise Illegal('comes before the memory: ("new", 64) makes one of 64 slots.')
        seq = op.args["seq"]
        if op.name == "allocate":
            if seq in self.held:
                raise Illegal(
                    f"allocates for {seq}, which holds slots already: release it first, or take another name."
                )
        elif seq not in self.last:
            raise Illegal(f"releases {seq}, which never held anything: allocate for it first.")
        elif seq not in self.held and not _overlap(self.holes, *self.last[seq]):
            start, length = self.last[seq]
            raise Illegal(
                f"releases {seq}, which is gone, and its slots {start} to {start + length - 1} are all held by others "
                "now. A function that sees only holes cannot know whose they are, so no release_coalesce can be "
                "blamed for this."
            )
        return op

    def give_back(self, label: str, holes: Sequence[Hole], start: int, length: int) -> list[Hole] | None:
        """Call the learner's function and judge the answer; the new holes, or None where it rightly refused."""
        before = [tuple(hole) for hole in holes]
        given = list(before)
        clash = _overlap(before, start, length)
        touching = any(s + n == start or start + length == s for s, n in before)
        about = "refuses-what-is-free" if clash else "touching-holes-are-one" if touching else "every-free-slot-once"
        due_error = ReservationError if clash else None
        run = given, start, length
        answer = self.call(about, label, self.implementation, *run, raises=REFUSALS, keep=False, due=due_error)
        if clash:
            self._judge_refusal(answer, clash, before)
        else:
            due = _joined(sorted([*before, (start, length)]))
            what = "touches a free one, which is as it should be" if touching else "is held, all of it"
            refused = f"The run {start} to {start + length - 1} {what}; it was refused all the same."
            rule, cause = (about, refused) if isinstance(answer, Exception) else _wrong(answer, due)
            kind = "wrong-type" if rule and not _is_list_of_holes(answer) and cause is not refused else "rule"
            expected = Words("a list of holes") if inspect.isgenerator(answer) else due
            self.require(rule or about, not rule, expected=expected, cause=cause, kind=kind)
        if self.failures:
            raise StopSequence
        cause = (
            f"{'The release was refused' if clash else 'The answer is right'}, but the list that was passed in is now "
        )
        cause += f"{show(given, 60)}{'.' if clash else ': its owner did not ask for that.'}"
        self.require(STAYS, given == before, expected=Words(f"{show(before, 60)} in the list passed in"), cause=cause)
        return None if clash or self.failures else [(hole[0], hole[1]) for hole in answer]

    def _judge_refusal(self, answer: Any, clash: Hole, before: list[tuple[int, ...]]) -> None:
        first, last = clash
        slots = f"lot {first} is" if first == last else f"lots {first} to {last} are"
        if isinstance(answer, ReservationError):
            self.note(f"right: s{slots} free already")
            return
        given_back = f"S{slots} free already and {choose(last - first + 1, 'was', 'were')} given back once more: "
        if isinstance(answer, Exception):
            cause = f"The call was refused with {type(answer).__name__}; whoever calls it catches ReservationError."
        elif not _is_list_of_holes(answer):
            cause = f"{given_back}ReservationError is due, and the answer is {show(answer, 60)}."
        elif any(s + n > t for (s, n), (t, _) in itertools.pairwise(sorted(map(tuple, answer)))):
            cause = f"{given_back}accepted, the same memory goes to two sequences."
        else:
            same = "the holes come back as they were" if [*map(tuple, answer)] == before else "the answer is a list"
            cause = f"{given_back}{same}, and whoever made this mistake hears nothing of it; ReservationError is due."
        self.require("refuses-what-is-free", False, expected=Words("raises ReservationError"), cause=cause)


def _wrong(answer: Any, due: list[Hole]) -> tuple[str, str]:
    """The rule that an answer breaks and a sentence, both "" where it is right."""
    if not _is_list_of_holes(answer):
        return "every-free-slot-once", _no_holes(answer)
    answer = [tuple(hole) for hole in answer]
    in_order = sorted(answer)
    for hole in in_order:
        if hole[1] < 1:
            return "every-free-slot-once", f"{show(hole)} is a hole without a slot; nothing can be placed in it."
    for (s, n), (t, _) in itertools.pairwise(in_order):
        if s + n > t:
            cause = f"Slot {t} lies in two of your holes, ({s}, {n}) and the next: it would be handed out twice."
            return "every-free-slot-once", cause
    if _joined(in_order) != due:
        return "every-free-slot-once", _lost(in_order, due)
    for (s, n), (t, m) in itertools.pairwise(in_order):
        if s + n == t:
            cause = f"Nothing lies between the holes ({s}, {n}) and ({t}, {m}): a run of {n + m} slots fits there, "
            return "touching-holes-are-one", cause + "but in this list it fits nowhere."
    if answer != in_order:
        cause = "The holes are right, but not in order of start, so the lowest that fits is no longer the "
        return "in-order-of-start", cause + "first that is found."
    return "", ""


def _overlap(holes: Sequence[Any], start: int, length: int) -> Hole | None:
    """First and last slot of the first overlap of a run with a hole, or None."""
    for hole_start, hole_length in holes:
        first, stop = max(start, hole_start), min(start + length, hole_start + hole_length)
        if first < stop:
            return first, stop - 1
    return None


def _joined(holes: Sequence[Any]) -> list[Hole]:
    """Holes in order of start with touching ones joined."""
    out: list[Hole] = []
    for start, length in holes:
        if out and sum(out[-1]) == start:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((start, length))
    return out


def _lost(seen: list[Any], expected: list[Hole]) -> str:
    """Name one run of slots that is missing in `seen`, or is there and should not be."""
    for wanted, other, said in (
        (expected, seen, "free and in none of your holes: nobody will ever get {them} again"),
        (seen, expected, "in your list, but not free: somebody holds {them}"),
    ):
        edges = sorted({edge for start, length in [*wanted, *other] for edge in (start, start + length)})
        for first, stop in itertools.pairwise(edges):
            if _overlap(wanted, first, stop - first) and not _overlap(other, first, stop - first):
                if stop - first == 1:
                    return f"Slot {first} is {said.format(them='it')}."
                return f"Slots {first} to {stop - 1} are {said.format(them='them')}."
    return "The slots of your holes are not those that are free."


def _is_list_of_holes(answer: Any) -> bool:
    return isinstance(answer, list | tuple) and all(map(_is_hole, answer))


def _is_hole(hole: Any) -> bool:
    return isinstance(hole, list | tuple) and len(hole) == 2 and None not in map(whole, hole)


def _no_holes(answer: Any) -> str:
    """What is wrong with an answer that is no list of pairs of whole numbers."""
    if inspect.isgenerator(answer):
        return "The function holds a yield, so the call makes a generator: nothing in it has run yet."
    if answer is None:
        return "The answer is None where a list of holes is due: is a return missing?"
    if not isinstance(answer, list | tuple):
        return f"The answer is {show(answer, 60)} where a list of pairs (start, length) is due."
    odd = next(hole for hole in answer if not _is_hole(hole))
    return f"{show(odd, 60)} in the answer is no pair (start, length) of whole numbers."
