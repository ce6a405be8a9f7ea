"""Lesson 03, the contiguous world: its rules, witnesses and hints."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.contiguous_world.referees import STAYS, ReleaseReferee
from labkit.words import plural

PRELUDE = "from labkit.errors import ReservationError"


def holes(draw: random.Random, first: int = 0) -> list[list[int]]:
    """Holes in order of start, no two touching, as lists of [start, length]."""
    at, out = first + draw.choice((0, draw.randint(1, 6))), []
    for _ in range(draw.randint(0, 5)):
        out.append([at, draw.randint(1, 9)])
        at += out[-1][1] + draw.randint(1, 6)
    return out


def reservations(draw: random.Random) -> list[list[int]]:
    """Reservations one behind the other, as lists of [start, length, used, final]."""
    start, out = 0, []
    for _ in range(draw.randint(0, 4)):
        used, coming, never = draw.randint(0, 9), draw.randint(0, 9), draw.randint(0, 9)
        if length := used + coming + never:
            out.append([start, length, used, used + coming])
            start += length
    return out


def pairs(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with tuples in their lists, where JSON has lists."""
    return {k: [tuple(one) for one in v] if isinstance(v, list) else v for k, v in args.items()}


class FirstFit(FunctionSpecification):
    """The lowest hole that is long enough."""

    exercise = "first_fit"
    stay = STAYS
    rules = rules_from(
        """
        start-of-a-hole-that-fits: The answer is the first slot of a hole with at least size slots.
            [[3,8],[20,2]] 5
            [[40,8],[60,1]] 5
            [[4,2],[20,9],[40,1]] 5
            [[4,2],[20,9]] 5
            [[40,8]] 5
            [[3,1],[9,2],[50,7]] 6
            [[7,4],[30,6],[60,9]] 5
            [[4,3],[20,3],[40,9]] 5
            300*[4,1]+[1000,1] 280
            [[2,5],[20,9],[40,6]] 7
        none-when-nothing-fits: Where no hole is long enough the answer is None, however much is free in all.
            ? Where does your code arrive after the last hole, and can its answer there be taken for a slot?
            [] 1
            [[0,3],[10,3],[20,3]] 5
            [[6,3]] 4
        exactly-long-enough-is-enough: A hole of exactly size slots fits.
            ? A hole has 4 slots, and 4 are wanted. Does your comparison let it pass?
            [[6,4]] 4
            [[6,4],[20,9]] 4
            [[5,1]] 1
        slot-zero-is-a-place: A hole that begins at slot 0 is as good as any other.
            ? Which number counts as false in Python, and where does your code ask whether something was found?
            [[0,9]] 4
            [[0,9],[20,3]] 4
        lowest-of-those-that-fit: Of all holes that are long enough, the one with the lowest start is taken.
            ? Of several holes that are long enough, at which one does your search end?
            [[2,9],[20,5],[40,7]] 4
            [[2,5],[20,9],[40,6]] 4
            [[1,2],[10,6],[20,5],[30,40]] 5
            [[2,5],[20,5]] 4
        the-list-given-stays: The list that was passed in is left as it was, also when the call raises.
            ? Whose list is holes, and which line of yours changes it?
            [[3,1],[10,8],[30,4]] 3
            [[12,4],[30,2]] 4
        """
    )
    hints = (
        "Walk the list from the front. At which hole can you stop, and what do you know if you reach the end?",
        "The answer is the start of the first pair (start, length) with length >= size; there may be none.",
        "for start, length in holes:\n    if ____:\n        return ____\nreturn ____",
    )
    search = {"holes": holes, "size": (1, 9)}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return pairs(args)

    def rule_for(self, holes: Any, size: int) -> str:
        return "none-when-nothing-fits" if self.oracle(holes, size) is None else "start-of-a-hole-that-fits"

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
            return f"The longest hole has {plural(longest, 'slot')}; a run of {size} in one piece fits nowhere{more}."
        found = f"the hole at {expected} has {plural(lengths[expected], 'slot')}"
        if rule == "exactly-long-enough-is-enough":
            return f"{_cap(found)}, exactly the {size} that are wanted, and was passed over."
        if rule == "slot-zero-is-a-place":
            return f"{_cap(found)} and fits, but its start, 0, was not taken for an answer."
        if rule == "lowest-of-those-that-fit":
            return f"The hole at {seen} fits too, but {found} and lies lower."
        if seen is None:
            return f"{_cap(found)}, enough for {size}; it was not found."
        if seen in lengths:
            has = f"The hole at {seen} has {plural(lengths[seen], 'slot')}"
            return f"{has}; a run of {size} would run into what lies behind it."
        return f"{show(seen)} is not the first slot of a hole; {found}."


# ----- release_coalesce ---------------------------------------------------------------------------------------------


class ReleaseCoalesce(Specification):
    """The holes once a run is free again, joined with what they touch."""

    exercise = "release_coalesce"
    referee = ReleaseReferee
    prelude = PRELUDE
    examples = 60
    steps = 12
    rules = rules_from(
        """
        every-free-slot-once: Every slot that was free or comes back lies in exactly one hole, and no other does.
            ? Write down the first and the last slot of each hole, before the call and after it. Which slots have \
              appeared or vanished that should not?
            call [[0,2],[20,4]] 10 3
            call [[10,2]] 5 3
            call [[0,2]] 5 3
            call [] 4 3
            call [] 0 1
            call [[0,2000]] 2005 7
            call [[0,4],[20,4]] 5 3
            call [[0,4],[20,4]] 16 3
            new 6; allocate A 2; allocate B 2; release A; allocate C 2; release B
        touching-holes-are-one: No two holes touch: where nothing lies between them they are one hole.
            ?
            call [[0,1],[4,3],[20,1]] 7 3
            call [[0,1],[8,3],[20,1]] 5 3
            call [[2,3]] 5 3
            call [[8,3]] 5 3
            call [[0,5]] 5 3
            call [[10,5]] 7 3
            call [[0,5],[8,4]] 5 3
            call [[3,2],[20,5]] 5 4
            call [[0,2],[20,5]] 16 4
            call [[0,2],[20,5]] 25 4
            call [[10,2],[20,5]] 8 2
            call [[0,1],[4,2],[8,2],[12,1]] 6 2
            new 6; allocate A 2; allocate B 2; allocate C 2; release A; release C; release B
            call 300*[0,3]+[10,0] 1503 7
        in-order-of-start: The holes come in order of start.
            ? The run can lie below all holes, above all of them, or between two. Where in your list does it \
              stand then?
            call [[10,2],[20,2]] 2 3
            call [[0,2],[20,2]] 10 2
            call [[4,2],[9,1],[20,2]] 30 2
            call [[0,2],[10,2],[20,2]] 12 3
        refuses-what-is-free: Giving back a slot that is free already raises ReservationError.
            ? When do two runs have a slot in common? Think of a run that begins before a hole, and of one that \
              covers a whole hole.
            call [[0,10]] 0 10
            call [[0,10]] 0 4
            call [[0,10]] 3 2
            call [[0,10]] 8 5
            call [[10,10]] 5 8
            call [[10,2]] 5 20
            call [[0,10]] 9 1
            call [[10,10]] 9 2
            call [[10,2],[20,2]] 5 30
            call [[0,4],[20,4]] 18 4
            call [[0,4],[8,4],[20,4]] 2 6
            call [[0,4],[20,4]] 4 17
            new 8; allocate A 4; release A; allocate B 2; release A
        the-list-given-stays: The list that was passed in is left as it was, also when the call raises.
            ? Whose list is holes? Does a line of yours change it, also where an error is raised afterwards?
            call [[0,4],[20,4]] 10 3
            call [[0,4],[20,4]] 22 4
            call [[0,4],[7,4]] 4 3
        """
    )
    hints = (
        "A run that comes back has at most two neighbours that matter. Which two holes can it touch, and what is true "
        "of their numbers if it does?",
        "A hole touches the run from the left if its start + length is the run's start, and from the right if its "
        "start is the run's start + length. Two runs overlap if each begins before the other ends.",
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
    search = {"slots": (1, 24), "seq": "ABCDE", "size": (1, 8), "holes": holes, "start": (0, 40), "length": (1, 10)}


# ----- waste_by_kind ------------------------------------------------------------------------------------------------


class WasteByKind(FunctionSpecification):
    """Every slot of memory by what becomes of it."""

    exercise = "waste_by_kind"
    stay = STAYS
    rules = rules_from(
        """
        used-holds-a-token: used counts the slots that hold a token now.
            [[0,16,5,9]] [] 0
            [[0,8,8,8]] [] 4
            [[32,8,3,6],[0,32,7,20]] [] 0
            [[0,9,3,5],[9,9,3,5]] [] 0
        reservation-will-be-written: reservation counts the slots held for tokens that are still to come.
            ? How many tokens has the sequence yet to write, and which two of the four numbers say so?
            [[4,12,5,12]] [] 0
            [[4,12,0,7]] [] 0
        internal-is-never-written: internal counts the slots held beyond the last token there will ever be.
            ? Which slots of a sequence hold no token even when it has ended?
            [[4,12,9,9]] [] 0
            [[0,16,2,4],[16,8,1,1]] [] 0
        external-is-too-short: external counts the slots of all holes shorter than what is wanted.
            ? The next sequence wants 5 slots. Which holes are of no use to it, and how many slots do they have \
              together? And if nobody waits?
            [] [[0,2]] 5
            [] [[0,3],[10,2]] 4
            [] [[0,3],[10,3],[15,2],[20,9]] 4
            [] [[5,4]] 4
            [[0,4,2,3]] [[4,3],[20,1]] 0
        free-is-long-enough: free counts the slots of all holes in which the wanted run fits.
            ? Which holes are long enough, one of exactly the wanted length among them, and how many slots do they \
              have in all, whoever takes some of them next?
            [] [[0,6]] 4
            [] [[0,6],[10,2],[20,9]] 6
            [] [[0,6],[10,8]] 1
        five-kinds-by-name: The keys are used, reservation, internal, external and free, all five, no others.
            ? Which keys does your answer have for a memory without sequences and without holes?
            [] [] 5
            [[0,16,4,10]] [[16,2],[30,8]] 5
            200*[0,500,1,201]+[500,0,1,1] 300*[100000,3]+[500,1] 100
        the-list-given-stays: The lists that were passed in are left as they were.
            ? Which line of yours changes one of the two lists?
            [[20,8,4,6],[0,16,5,9]] [[16,2],[30,8]] 5
        """
    )
    hints = (
        "One sequence holds 16 slots, has 5 tokens now and 9 in the end. Do your five numbers add up to 16, and in "
        "a memory with holes to all of memory?",
        "0 <= used <= final <= length cuts each reservation into three pieces; each hole goes whole to one of two "
        "kinds; the five together are all of memory.",
        'slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}\n'
        "for _, length, used, final in reservations:\n"
        '    slots["used"] += ____\n'
        '    slots["reservation"] += final - ____\n'
        '    slots["internal"] += ____ - final\n'
        "for _, length in holes:\n"
        '    slots["external" if ____ else "free"] += length\n'
        "return slots",
    )
    _order = ("used", "reservation", "internal", "external", "free")
    search = {"reservations": reservations, "holes": lambda draw: holes(draw, first=200), "wanted": (0, 9)}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return pairs(args)

    def rule_for(self, reservations: Any, holes: Any, wanted: int) -> str:
        if reservations:
            return "used-holds-a-token"
        return "external-is-too-short" if holes else "five-kinds-by-name"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if isinstance(seen, Mapping) and set(seen) == set(self._order):
            for name in self._order:
                mismatch = compare({name: seen[name]}, {name: expected[name]})
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
            "free": f"the holes in which {wanted} fit have {due} slots together"
            if wanted
            else f"nobody waits, so all {due} slots of the holes are free",
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


class TwiceReleased(BreakIt):
    """A release that looks at one slot only to see whether a run is free already."""

    exercise = "twice_released"
    base = ReleaseCoalesce()
    allowed = ("new", "allocate", "release")
    reference = "labkit.cache.holes:release_coalesce"
    most = 10
    hints = (
        "Released twice in a row, A is caught. Which slot does the test look at, and who could be sitting there by the "
        "time the second release comes?",
        "The bug shows when a run overlaps a hole and its first slot is in none: the first slot has been given to "
        "somebody else, and the rest has not.",
        'ops = [\n    ("new", 8),\n    ("allocate", "A", 2),\n    ("release", "A"),\n    ____,\n'
        '    ("release", "A"),\n]',
    )


# ----- helpers ------------------------------------------------------------------------------------------------------


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


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
    ending="I can take the memory of a server apart, slot by slot, into used, reserved, internal, external and free. "
    "So I can say which of them a remedy would give back, before anybody tries it.",
)  # fmt: skip
