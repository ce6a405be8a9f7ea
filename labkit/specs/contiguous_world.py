"""Lesson 03, the contiguous world: its rules, witnesses and hints."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.cache.holes import carve, first_fit
from labkit.cache.waste import waste_by_kind
from labkit.errors import ReservationError
from labkit.grading.breakit import BreakIt
from labkit.grading.functions import FunctionReferee, FunctionSpecification, Mismatch, compare
from labkit.grading.specification import Op, Referee, Rule, Specification, StopSequence, Witness, op, show
from labkit.specs import Exercise, Lesson

STAYS = Rule("the-list-given-stays", "The list that was passed in is left as it was, also when the call raises.")


class Words(str):
    """Words that stand in a report as they are, without quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


# ----- first_fit ----------------------------------------------------------------------------------------------------


class LeavesListsAlone(FunctionReferee):
    """A function referee that tells a changed argument by a rule of its own."""

    def do_call(self, **args: Any) -> None:
        try:
            super().do_call(**args)
        finally:
            for failure in self.failures:
                if failure.kind == "changed-inputs":
                    failure.rule = STAYS.name


class FirstFit(FunctionSpecification):
    """The lowest hole that is long enough."""

    exercise = "first_fit"
    referee = LeavesListsAlone
    rules = (
        Rule("start-of-a-hole-that-fits", "The answer is the first slot of a hole with at least size slots."),
        Rule("none-when-nothing-fits", "Where no hole is long enough the answer is None, however much is free in all."),
        Rule("exactly-long-enough-is-enough", "A hole of exactly size slots fits."),
        Rule("slot-zero-is-a-place", "A hole that begins at slot 0 is as good as any other."),
        Rule("lowest-of-those-that-fit", "Of all holes that are long enough, the one with the lowest start is taken."),
        STAYS,
    )
    witnesses = (
        # The order matters where one trace fits several known mistakes: see the order of the mutant bank.
        Witness("lowest-of-those-that-fit", op("call", holes=[[2, 9], [20, 5], [40, 7]], size=4)),
        Witness("lowest-of-those-that-fit", op("call", holes=[[2, 5], [20, 9], [40, 6]], size=4)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[3, 8], [20, 2]], size=5)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[40, 8], [60, 1]], size=5)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[4, 2], [20, 9], [40, 1]], size=5)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[4, 2], [20, 9]], size=5)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[40, 8]], size=5)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[3, 1], [9, 2], [50, 7]], size=6)),
        Witness("start-of-a-hole-that-fits", op("call", holes=[[7, 4], [30, 6], [60, 9]], size=5)),
        Witness("none-when-nothing-fits", op("call", holes=[], size=1)),
        Witness("none-when-nothing-fits", op("call", holes=[[0, 3], [10, 3], [20, 3]], size=5)),
        Witness("none-when-nothing-fits", op("call", holes=[[6, 3]], size=4)),
        Witness("exactly-long-enough-is-enough", op("call", holes=[[6, 4]], size=4)),
        Witness("exactly-long-enough-is-enough", op("call", holes=[[6, 4], [20, 9]], size=4)),
        Witness("exactly-long-enough-is-enough", op("call", holes=[[5, 1]], size=1)),
        Witness("slot-zero-is-a-place", op("call", holes=[[0, 9]], size=4)),
        Witness("slot-zero-is-a-place", op("call", holes=[[0, 9], [20, 3]], size=4)),
        Witness("lowest-of-those-that-fit", op("call", holes=[[1, 2], [10, 6], [20, 5], [30, 40]], size=5)),
        Witness("lowest-of-those-that-fit", op("call", holes=[[2, 5], [20, 5]], size=4)),
        Witness("the-list-given-stays", op("call", holes=[[3, 1], [10, 8], [30, 4]], size=3)),
        Witness("the-list-given-stays", op("call", holes=[[12, 4], [30, 2]], size=4)),
    )
    hints = (
        "Walk the list from the front. At which hole can you stop, and what do you know if you reach the end?",
        "The answer is the start of the first pair (start, length) with length >= size; there may be none.",
        "for start, length in holes:\n    if ____:\n        return ____\nreturn ____",
    )

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"holes": [tuple(hole) for hole in args["holes"]], "size": args["size"]}

    def label(self, args: Mapping[str, Any]) -> str:
        return f"first_fit({show(self.decode(args)['holes'], 70)}, {args['size']})"

    def oracle(self, holes: Sequence[tuple[int, int]], size: int) -> int | None:
        return first_fit(holes, size)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"holes": _hole_lists(), "size": st.integers(1, 9)}

    def rule_for(self, holes: Any, size: int) -> str:
        return "none-when-nothing-fits" if first_fit(holes, size) is None else "start-of-a-hole-that-fits"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if seen is None and expected is not None:
            return Mismatch("rule")
        return compare(seen, expected)

    def blame(self, rule: str, seen: Any, expected: Any, holes: Any, size: int) -> str:
        if expected is None:
            return "none-when-nothing-fits"
        if seen is None:
            if dict(map(tuple, holes))[expected] == size:
                return "exactly-long-enough-is-enough"
            return "slot-zero-is-a-place" if expected == 0 else "start-of-a-hole-that-fits"
        if seen in {start for start, n in holes if n >= size}:
            return "lowest-of-those-that-fit"
        return "start-of-a-hole-that-fits"

    def cause(self, rule: str, seen: Any, expected: Any, holes: Any, size: int) -> str:
        lengths = dict(map(tuple, holes))
        if rule == "none-when-nothing-fits":
            longest = max(lengths.values(), default=0)
            if not holes:
                return "There is no hole at all, so nothing of any size can be placed."
            together = sum(lengths.values())
            more = f", even though {together} are free in all" if together >= size else ""
            return f"The longest hole has {longest} slots; a run of {size} in one piece fits nowhere{more}."
        found = f"the hole at {expected} has {lengths[expected]} slots"
        if rule == "exactly-long-enough-is-enough":
            return f"{_cap(found)}, exactly the {size} that are wanted, and was passed over."
        if rule == "slot-zero-is-a-place":
            return f"{_cap(found)} and fits, but its start, 0, was not taken for an answer."
        if rule == "lowest-of-those-that-fit":
            return f"The hole at {seen} fits too, but {found} and lies lower."
        if seen is None:
            return f"{_cap(found)}, enough for {size}; it was not found."
        if seen in lengths:
            return f"The hole at {seen} has {lengths[seen]} slots; a run of {size} would run into what lies behind it."
        return f"{show(seen)} is not the first slot of a hole; {found}."


# ----- release_coalesce ---------------------------------------------------------------------------------------------


class MemoryReferee(Referee):
    """A memory whose holes the learner's `release_coalesce` keeps; runs are placed by the reference `first_fit`.

    Everything is checked after each release, so the list that goes into the next operation is always sound.
    """

    def do_new(self, slots: int) -> None:
        self.slots = slots
        self.holes: list[tuple[int, int]] = [(0, slots)]
        self.held: dict[str, tuple[int, int]] = {}
        self.last: dict[str, tuple[int, int]] = {}
        # A line of its own: whoever replays the trace needs this operation too.
        self._line(f"new({slots})").seen = f"a memory of {slots} slots, all in one hole"

    def do_allocate(self, seq: str, size: int) -> None:
        self._opened()
        if seq in self.held:
            raise ValueError(f"{seq} holds slots already: release it first, or take another name.")
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"allocate wants 1 slot or more; yours asks for {show(size)}.")
        start = self.call("every-free-slot-once", f"allocate({seq!r}, {size})", lambda: first_fit(self.holes, size))
        if start is None:
            self.note("no hole is long enough")
            return
        self.steps[-1].seen = f"slots {start} to {start + size - 1}"
        self.holes = [tuple(hole) for hole in carve(self.holes, start, size)]
        self.held[seq] = self.last[seq] = (start, size)

    def do_release(self, seq: str) -> None:
        self._opened()
        if seq not in self.last:
            raise ValueError(f"{seq} never held anything: allocate for it first.")
        start, length = self.last[seq]
        if seq not in self.held and not _overlaps(self.holes, start, length):
            raise ValueError(
                f"{seq} is gone and its slots {start} to {start + length - 1} are all held by others now. A function "
                "that "
                "sees only holes cannot know whose they are, so no release_coalesce can be blamed for this."
            )
        again = "" if seq in self.held else ", again"
        self.held.pop(seq, None)
        call = f"release_coalesce({show(self.holes, 60)}, {start}, {length})"
        answer = self.give_back(f"release({seq!r}{again})  {call}", self.holes, start, length)
        if answer is not None:
            self.holes = answer

    def resolve(self, op: Op) -> Op | None:
        if op.name == "allocate" and op.args["seq"] in self.held:
            return None
        if op.name == "release":
            run = self.last.get(op.args["seq"])
            if run is None or (op.args["seq"] not in self.held and not _overlaps(self.holes, *run)):
                return None
        return op

    def _opened(self) -> None:
        if not hasattr(self, "holes"):
            raise ValueError('Begin with the memory: ("new", 64) makes one of 64 slots.')

    def give_back(
        self, label: str, holes: Sequence[tuple[int, int]], start: int, length: int
    ) -> list[tuple[int, int]] | None:
        """Call the learner's function and judge the answer; the new holes, or None where it rightly refused."""
        before = [tuple(hole) for hole in holes]
        given = list(before)
        clash = _overlaps(before, start, length)
        touching = any(s + n == start or start + length == s for s, n in before)
        about = (
            "refuses-what-is-free" if clash else "touching-holes-are-one" if touching else "every-free-slot-once"
        )
        stop = start + length
        answer = self.call(
            about, label, _plain(self.implementation), given, start, length,
            raises=(ReservationError, ValueError, AssertionError), keep=False, due=ReservationError if clash else None,
        )
        if inspect.isgenerator(answer):
            self.require("every-free-slot-once", False, kind="wrong-type", expected=Words("a list of holes"),
                         cause="The function holds a yield, so the call makes a generator: nothing in it has run yet.")
            raise StopSequence
        if clash:
            self._judge_refusal(answer, clash, start, stop)
        elif isinstance(answer, Exception):
            what = "touches a free one, which is as it should be" if touching else "is held, all of it"
            self.require(about, False, expected=_released(before, start, length),
                         cause=f"The run {start} to {stop - 1} {what}; it was refused all the same.")
        else:
            self._judge_answer(answer, before, start, length)
        if self.failures:
            raise StopSequence
        self.require(
            STAYS.name, given == before, expected=Words(f"{show(before, 60)} in the list passed in"),
            cause=f"The answer is right, but the list that was passed in is now {show(given, 60)}: its owner did not "
                  "ask "
                  "for that." if not clash else
                  f"The release was refused, but the list that was passed in is now {show(given, 60)}.",
        )
        return None if clash or self.failures else [tuple(hole) for hole in answer]

    def _judge_refusal(self, answer: Any, clash: tuple[int, int], start: int, stop: int) -> None:
        first, last = clash
        free = f"Slot {first} is" if first == last else f"Slots {first} to {last} are"
        if isinstance(answer, ReservationError):
            self.note(f"right: {free[0].lower()}{free[1:]} free already")
            return
        if isinstance(answer, Exception):
            self.require("refuses-what-is-free", False, expected=Words("raises ReservationError"),
                         cause=f"The call was refused with {type(answer).__name__}; whoever calls it catches "
                               "ReservationError.")
            return
        self.require(
            "refuses-what-is-free", False, expected=Words("raises ReservationError"),
            cause=f"{free} free already and {'was' if first == last else 'were'} given back once more: accepted, the "
                  "same "
                  "memory goes to two sequences.")

    def _judge_answer(self, answer: Any, before: list[tuple[int, int]], start: int, length: int) -> None:
        expected = _released(before, start, length)
        wrong = _not_pairs(answer)
        if wrong:
            self.require("every-free-slot-once", False, expected=expected, cause=wrong, kind="wrong-type")
            return
        answer = [tuple(hole) for hole in answer]
        in_order = sorted(answer)
        for hole in in_order:
            if hole[1] < 1:
                self.require("every-free-slot-once", False, expected=expected,
                             cause=f"{hole} is a hole without a slot; nothing can be placed in it.")
                return
        for (s, n), (t, _) in itertools.pairwise(in_order):
            if s + n > t:
                self.require("every-free-slot-once", False, expected=expected,
                             cause=f"Slot {t} lies in two of your holes, ({s}, {n}) and the next: it would be handed "
                                   "out "
                                   "twice.")
                return
        if _joined(in_order) != expected:
            self.require("every-free-slot-once", False, expected=expected, cause=_lost(in_order, expected))
            return
        for (s, n), (t, m) in itertools.pairwise(in_order):
            if s + n == t:
                self.require(
                    "touching-holes-are-one", False, expected=expected,
                    cause=f"Nothing lies between the holes ({s}, {n}) and ({t}, {m}): a run of {n + m} slots fits "
                          "there, "
                          "but in this list it fits nowhere.")
                return
        self.require("in-order-of-start", answer == in_order, expected=expected,
                     cause="The holes are right, but not in order of start, so the lowest that fits is no longer the "
                           "first that is found.")


class ReleaseReferee(MemoryReferee):
    """The same, and single calls."""

    def do_call(self, holes: list[Any], start: int, length: int) -> None:
        given = [tuple(hole) for hole in holes]
        self.give_back(f"release_coalesce({show(given, 60)}, {start}, {length})", given, start, length)


# The guard comes behind the joining: whoever has joined correctly and not thought of it should see so.
_RELEASE_RULES = (
    Rule("every-free-slot-once", "Every slot that was free or comes back lies in exactly one hole, and no other does."),
    Rule("touching-holes-are-one", "No two holes touch: where nothing lies between them they are one hole."),
    Rule("in-order-of-start", "The holes come in order of start."),
    Rule("refuses-what-is-free", "Giving back a slot that is free already raises ReservationError."),
    STAYS,
)
_PRELUDE = "from labkit.errors import ReservationError"


class ReleaseCoalesce(Specification):
    """The holes once a run is free again, joined with what they touch."""

    exercise = "release_coalesce"
    referee = ReleaseReferee
    prelude = _PRELUDE
    examples = 60
    steps = 12
    rules = _RELEASE_RULES
    witnesses = (
        Witness("refuses-what-is-free", op("call", holes=[[0, 10]], start=0, length=10)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 10]], start=0, length=4)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 10]], start=3, length=2)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 10]], start=8, length=5)),
        Witness("refuses-what-is-free", op("call", holes=[[10, 10]], start=5, length=8)),
        Witness("refuses-what-is-free", op("call", holes=[[10, 2]], start=5, length=20)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 10]], start=9, length=1)),
        Witness("refuses-what-is-free", op("call", holes=[[10, 10]], start=9, length=2)),
        Witness("refuses-what-is-free", op("call", holes=[[10, 2], [20, 2]], start=5, length=30)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 4], [20, 4]], start=18, length=4)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 4], [8, 4], [20, 4]], start=2, length=6)),
        Witness("refuses-what-is-free", op("call", holes=[[0, 4], [20, 4]], start=4, length=17)),
        Witness("refuses-what-is-free", op("new", slots=8), op("allocate", seq="A", size=4), op("release", seq="A"),
                op("allocate", seq="B", size=2), op("release", seq="A")),
        Witness("every-free-slot-once", op("call", holes=[[0, 2], [20, 4]], start=10, length=3)),
        Witness("every-free-slot-once", op("call", holes=[[10, 2]], start=5, length=3)),
        Witness("every-free-slot-once", op("call", holes=[[0, 2]], start=5, length=3)),
        Witness("every-free-slot-once", op("call", holes=[], start=4, length=3)),
        Witness("every-free-slot-once", op("call", holes=[], start=0, length=1)),
        # Larger than a table of fixed size would be, small enough for whoever counts slot by slot.
        Witness("every-free-slot-once", op("call", holes=[[0, 2_000]], start=2_005, length=7)),
        # One held slot lies between the run and a hole: they do not touch.
        Witness("every-free-slot-once", op("call", holes=[[0, 4], [20, 4]], start=5, length=3)),
        Witness("every-free-slot-once", op("call", holes=[[0, 4], [20, 4]], start=16, length=3)),
        # A function that keeps a list of its own does not hear of what is handed out in between.
        Witness("every-free-slot-once", op("new", slots=6), op("allocate", seq="A", size=2),
                op("allocate", seq="B", size=2), op("release", seq="A"), op("allocate", seq="C", size=2),
                op("release", seq="B")),
        Witness("touching-holes-are-one", op("call", holes=[[0, 1], [4, 3], [20, 1]], start=7, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[0, 1], [8, 3], [20, 1]], start=5, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[2, 3]], start=5, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[8, 3]], start=5, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[0, 5]], start=5, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[10, 5]], start=7, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[0, 5], [8, 4]], start=5, length=3)),
        Witness("touching-holes-are-one", op("call", holes=[[3, 2], [20, 5]], start=5, length=4)),
        Witness("touching-holes-are-one", op("call", holes=[[0, 2], [20, 5]], start=16, length=4)),
        Witness("touching-holes-are-one", op("call", holes=[[0, 2], [20, 5]], start=25, length=4)),
        Witness("touching-holes-are-one", op("call", holes=[[10, 2], [20, 5]], start=8, length=2)),
        Witness("touching-holes-are-one",
                op("call", holes=[[0, 1], [4, 2], [8, 2], [12, 1]], start=6, length=2)),
        Witness("touching-holes-are-one", op("new", slots=6), op("allocate", seq="A", size=2),
                op("allocate", seq="B", size=2), op("allocate", seq="C", size=2), op("release", seq="A"),
                op("release", seq="C"), op("release", seq="B")),
        Witness("in-order-of-start", op("call", holes=[[10, 2], [20, 2]], start=2, length=3)),
        Witness("in-order-of-start", op("call", holes=[[0, 2], [20, 2]], start=10, length=2)),
        Witness("in-order-of-start", op("call", holes=[[4, 2], [9, 1], [20, 2]], start=30, length=2)),
        Witness("in-order-of-start", op("call", holes=[[0, 2], [10, 2], [20, 2]], start=12, length=3)),
        Witness("the-list-given-stays", op("call", holes=[[0, 4], [20, 4]], start=10, length=3)),
        Witness("the-list-given-stays", op("call", holes=[[0, 4], [20, 4]], start=22, length=4)),
        Witness("the-list-given-stays", op("call", holes=[[0, 4], [7, 4]], start=4, length=3)),
    )
    hints = (
        "A run that comes back has at most two neighbours that matter. Which two holes can it touch, and what is true "
        "of "
        "their numbers if it does?",
        "A hole touches the run from the left if its start + length is the run's start, and from the right if its "
        "start is "
        "the run's start + length. Two runs overlap if each begins before the other ends.",
        "stop = start + length\n"
        "for hole_start, hole_length in holes:\n"
        "    if hole_start < stop and start < ____:\n"
        "        raise ReservationError(...)\n"
        "merged = []\n"
        "for run_start, run_length in sorted([*holes, (start, length)]):\n"
        "    if merged and merged[-1][0] + merged[-1][1] == ____:\n"
        "        merged[-1] = ____\n"
        "    else:\n"
        "        merged.append((run_start, run_length))\n"
        "return merged",
    )

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"slots": st.integers(4, 24)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        names = st.sampled_from("ABCDE")
        return {
            "allocate": {"seq": names, "size": st.integers(1, 8)},
            "release": {"seq": names},
            "call": {"holes": _hole_lists(), "start": st.integers(0, 40), "length": st.integers(1, 10)},
        }


# ----- waste_by_kind ------------------------------------------------------------------------------------------------


class WasteByKind(FunctionSpecification):
    """Every slot of memory by what becomes of it."""

    exercise = "waste_by_kind"
    referee = LeavesListsAlone
    rules = (
        Rule("used-holds-a-token", "used counts the slots that hold a token now."),
        Rule("reservation-will-be-written", "reservation counts the slots held for tokens that are still to come."),
        Rule("internal-is-never-written", "internal counts the slots held beyond the last token there will ever be."),
        Rule("external-is-too-short", "external counts the slots of all holes shorter than what is wanted."),
        Rule("free-is-long-enough", "free counts the slots of all holes in which the wanted run fits."),
        Rule("five-kinds-by-name", "The keys are used, reservation, internal, external and free, all five, no others."),
        Rule(STAYS.name, "The lists that were passed in are left as they were."),
    )
    witnesses = (
        Witness("used-holds-a-token", op("call", reservations=[[0, 16, 5, 9]], holes=[], wanted=0)),
        Witness("used-holds-a-token", op("call", reservations=[[0, 8, 8, 8]], holes=[], wanted=4)),
        Witness("used-holds-a-token", op("call", reservations=[[32, 8, 3, 6], [0, 32, 7, 20]], holes=[], wanted=0)),
        Witness("used-holds-a-token", op("call", reservations=[[0, 9, 3, 5], [9, 9, 3, 5]], holes=[], wanted=0)),
        Witness("reservation-will-be-written", op("call", reservations=[[4, 12, 5, 12]], holes=[], wanted=0)),
        Witness("reservation-will-be-written", op("call", reservations=[[4, 12, 0, 7]], holes=[], wanted=0)),
        Witness("internal-is-never-written", op("call", reservations=[[4, 12, 9, 9]], holes=[], wanted=0)),
        Witness("internal-is-never-written",
                op("call", reservations=[[0, 16, 2, 4], [16, 8, 1, 1]], holes=[], wanted=0)),
        Witness("external-is-too-short", op("call", reservations=[], holes=[[0, 2]], wanted=5)),
        Witness("external-is-too-short", op("call", reservations=[], holes=[[0, 3], [10, 2]], wanted=4)),
        Witness("external-is-too-short",
                op("call", reservations=[], holes=[[0, 3], [10, 3], [15, 2], [20, 9]], wanted=4)),
        Witness("external-is-too-short", op("call", reservations=[], holes=[[5, 4]], wanted=4)),
        Witness("external-is-too-short", op("call", reservations=[[0, 4, 2, 3]], holes=[[4, 3], [20, 1]], wanted=0)),
        Witness("free-is-long-enough", op("call", reservations=[], holes=[[0, 6]], wanted=4)),
        Witness("free-is-long-enough", op("call", reservations=[], holes=[[0, 6], [10, 2], [20, 9]], wanted=6)),
        Witness("free-is-long-enough", op("call", reservations=[], holes=[[0, 6], [10, 8]], wanted=1)),
        Witness("five-kinds-by-name", op("call", reservations=[], holes=[], wanted=5)),
        Witness("five-kinds-by-name", op("call", reservations=[[0, 16, 4, 10]], holes=[[16, 2], [30, 8]], wanted=5)),
        Witness(STAYS.name, op("call", reservations=[[20, 8, 4, 6], [0, 16, 5, 9]], holes=[[16, 2], [30, 8]],
                               wanted=5)),
    )
    hints = (
        "One sequence holds 16 slots, has 5 tokens now and 9 in the end. Do your five numbers add up to 16, and in "
        "a memory with holes to all of memory?",
        "0 <= used <= final <= length cuts each reservation into three pieces; each hole goes whole to one of two "
        "kinds; "
        "the five together are all of memory.",
        'slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}\n'
        "for _, length, used, final in reservations:\n"
        "    slots[\"used\"] += ____\n"
        "    slots[\"reservation\"] += final - ____\n"
        "    slots[\"internal\"] += ____ - final\n"
        "for _, length in holes:\n"
        "    slots[\"external\" if ____ else \"free\"] += length\n"
        "return slots",
    )
    _order = ("used", "reservation", "internal", "external", "free")

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "reservations": [tuple(r) for r in args["reservations"]],
            "holes": [tuple(h) for h in args["holes"]],
            "wanted": args["wanted"],
        }

    def label(self, args: Mapping[str, Any]) -> str:
        values = self.decode(args)
        return f"waste_by_kind({show(values['reservations'], 60)}, {show(values['holes'], 40)}, {values['wanted']})"

    def oracle(self, reservations: Any, holes: Any, wanted: int) -> dict[str, int]:
        return waste_by_kind(reservations, holes, wanted)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        pieces = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(any)

        def laid_out(found: list[tuple[int, int, int]]) -> list[list[int]]:
            start, out = 0, []
            for used, coming, never in found:
                length = used + coming + never
                out.append([start, length, used, used + coming])
                start += length
            return out

        return {
            "reservations": st.lists(pieces, max_size=4).map(laid_out),
            "holes": _hole_lists(first=200),
            "wanted": st.integers(0, 9),
        }

    def rule_for(self, reservations: Any, holes: Any, wanted: int) -> str:
        if reservations:
            return "used-holds-a-token"
        return "external-is-too-short" if holes else "five-kinds-by-name"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if isinstance(seen, Mapping) and set(seen) == set(self._order):
            for name in self._order:
                mismatch = compare(seen[name], expected[name])
                if mismatch:
                    return mismatch
            return None
        return compare(seen, expected)

    def blame(self, rule: str, seen: Any, expected: Any, reservations: Any, holes: Any, wanted: int) -> str:
        if set(seen) != set(self._order):
            return "five-kinds-by-name"
        wrong = next(name for name in self._order if compare(seen[name], expected[name]))
        return self.rules[self._order.index(wrong)].name

    def cause(self, rule: str, seen: Any, expected: Any, reservations: Any, holes: Any, wanted: int) -> str:
        wrong = self._order[[r.name for r in self.rules].index(rule)]
        got, due = seen[wrong], expected[wrong]
        total = sum(r[1] for r in reservations) + sum(h[1] for h in holes)
        short = [tuple(h) for h in holes if h[1] < wanted]
        facts = {
            "used": f"{due} tokens are written so far, so {due} slots hold one",
            "reservation": f"{due} tokens are still to come, and for each a slot is held",
            "internal": f"{due} of the slots held lie behind the last token there will be",
            "external": _external(short, wanted),
            "free": f"the holes in which {wanted} fit have {due} slots together" if wanted else
                    f"nobody waits, so all {due} slots of the holes are free",
        }
        text = f"{wrong} is {got} where {due} is right: {facts[wrong]}."
        counted = sum(seen.values())
        if counted != total:
            text += f" Your five add up to {counted}; memory has {total} slots."
        return text


def _external(short: Sequence[tuple[int, int]], wanted: int) -> str:
    """Why so many slots, and no others, are external waste."""
    if not wanted:
        return "nobody waits, so no hole is too short for anybody"
    if len(short) == 1:
        return f"the hole {short[0]} is shorter than the {wanted} wanted"
    return (f"the holes {show(short, 40)} are" if short else "no hole is") + f" shorter than the {wanted} wanted"


# ----- break it -----------------------------------------------------------------------------------------------------


class _Sequences(Specification):
    """Operations on a memory, as the break-it exercise offers them."""

    exercise = "release_coalesce"
    referee = MemoryReferee
    prelude = _PRELUDE
    rules = _RELEASE_RULES


class TwiceReleased(BreakIt):
    """A release that looks at one slot only to see whether a run is free already."""

    exercise = "twice_released"
    base = _Sequences()
    reference = "labkit.cache.holes:release_coalesce"
    most = 10
    bug = '''
def release_coalesce(holes, start, length):
    for hole_start, hole_length in holes:
        if hole_start <= start < hole_start + hole_length:
            raise ReservationError(f"slot {start} is free already")
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
'''
    shortest = (
        op("new", slots=8),
        op("allocate", seq="A", size=2),
        op("release", seq="A"),
        op("allocate", seq="B", size=1),
        op("release", seq="A"),
    )
    hints = (
        "Released twice in a row, A is caught. Which slot does the test look at, and who could be sitting there by the "
        "time "
        "the second release comes?",
        "The bug shows when a run overlaps a hole and its first slot is in none: the first slot has been given to "
        "somebody "
        "else, and the rest has not.",
        'ops = [\n    ("new", 8),\n    ("allocate", "A", 2),\n    ("release", "A"),\n    ____,\n'
        '    ("release", "A"),\n]',
    )


# ----- helpers ------------------------------------------------------------------------------------------------------


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


def _overlaps(holes: Sequence[tuple[int, int]], start: int, length: int) -> tuple[int, int] | None:
    """First and last slot of the first overlap of a run with a hole, or None."""
    for hole_start, hole_length in holes:
        first, stop = max(start, hole_start), min(start + length, hole_start + hole_length)
        if first < stop:
            return first, stop - 1
    return None


def _joined(holes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Holes in order of start with touching ones joined."""
    out: list[tuple[int, int]] = []
    for start, length in holes:
        if out and sum(out[-1]) == start:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((start, length))
    return out


def _released(holes: Sequence[tuple[int, int]], start: int, length: int) -> list[tuple[int, int]]:
    """The right answer, made in the plainest way: everything in order, then joined."""
    return _joined(sorted([*map(tuple, holes), (start, length)]))


def _lost(seen: list[tuple[int, int]], expected: list[tuple[int, int]]) -> str:
    """Name one run of slots that is missing in `seen`, or is there and should not be."""
    for wanted, other, said in ((expected, seen, "free and in none of your holes: nobody will ever get {them} again"),
                                (seen, expected, "in your list, but not free: somebody holds {them}")):
        edges = sorted({s for s, _ in [*wanted, *other]} | {s + n for s, n in [*wanted, *other]})
        for first, stop in itertools.pairwise(edges):
            if _overlaps(wanted, first, stop - first) and not _overlaps(other, first, stop - first):
                if stop - first == 1:
                    return f"Slot {first} is {said.format(them='it')}."
                return f"Slots {first} to {stop - 1} are {said.format(them='them')}."
    return "The slots of your holes are not those that are free."


def _not_pairs(answer: Any) -> str:
    """What is wrong with an answer that is no list of pairs of whole numbers; "" if it is one."""
    if answer is None:
        return "The answer is None where a list of holes is due: is a return missing?"
    if not isinstance(answer, list | tuple):
        return f"The answer is {show(answer, 60)} where a list of pairs (start, length) is due."
    for hole in answer:
        if not isinstance(hole, list | tuple) or len(hole) != 2 or not all(
            (m := compare(x, 0)) is None or m.kind == "rule" for x in hole
        ):
            return f"{show(hole, 60)} in the answer is no pair (start, length) of whole numbers."
    return ""


def _plain(function: Any) -> Any:
    """The function, with its answer written as plain pairs where it is a list of pairs, so that it reads alike."""

    @functools.wraps(function)
    def called(*args: Any) -> Any:
        answer = function(*args)
        if not _not_pairs(answer):
            return [tuple(int(x) for x in hole) for hole in answer]
        return answer

    return called


def _hole_lists(first: int = 0) -> Any:
    """Strategy: holes in order of start, no two touching, as lists of [start, length]."""
    from hypothesis import strategies as st

    def laid_out(found: list[tuple[int, int]], at_start: bool) -> list[list[int]]:
        at, out = first, []
        for i, (gap, length) in enumerate(found):
            at += 0 if at_start and i == 0 else gap
            out.append([at, length])
            at += length
        return out

    pairs = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), max_size=5)
    return st.builds(laid_out, pairs, st.booleans())


LESSON = Lesson(
    key="03_contiguous_world",
    title="The contiguous world",
    part="I. Memory",
    minutes=70,
    builds="An allocator for memory in one piece, and the measure of what it wastes, by kind.",
    symptom="More than half of the memory is free, and the server refuses a request that needs an eighth of it.",
    exercises=(
        Exercise("first_fit", "The lowest hole that fits", 8, 1, 3, FirstFit(), "labkit.cache.holes:first_fit"),
        Exercise("release_coalesce", "Giving a run back", 12, 3, 4, ReleaseCoalesce(),
                 "labkit.cache.holes:release_coalesce"),
        Exercise("waste_by_kind", "Where the memory went", 8, 2, 5, WasteByKind(), "labkit.cache.waste:waste_by_kind"),
        Exercise("twice_released", "Break it: the release that comes twice", 6, 3, 4, TwiceReleased(), kind="break"),
    ),
)
