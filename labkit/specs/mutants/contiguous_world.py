"""Wrong and right ways to keep memory in one piece, as people write them.

Where one trace fits several mistakes, the first in this list gives its sentence. So those come first that only the
later witnesses catch: whoever fails a late witness has passed the early ones, and has not made the plainer mistake.
"""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right


def _first_fit(name: str, breaks: str, why: str, body: str) -> Mutant:
    return Mutant("first_fit", name, breaks, why, "def first_fit(holes, size):\n" + body)


def _release(name: str, breaks: str, why: str, body: str) -> Mutant:
    return Mutant("release_coalesce", name, breaks, why, "def release_coalesce(holes, start, length):\n" + body)


def _waste(name: str, breaks: str, why: str, body: str) -> Mutant:
    return Mutant("waste_by_kind", name, breaks, why, "def waste_by_kind(reservations, holes, wanted):\n" + body)


_REFUSE = """\
    stop = start + length
    for hole_start, hole_length in holes:
        if hole_start < stop and start < hole_start + hole_length:
            raise ReservationError("free already")
"""

_MERGE = """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
"""

_COUNT = """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["reservation"] += final - used
        slots["internal"] += length - final
"""

_HOLES = """\
    for _, length in holes:
        slots["external" if length < wanted else "free"] += length
    return slots
"""

MUTANTS = [
    # ----- first_fit ------------------------------------------------------------------------------------------------
    _first_fit("zero-is-false", "slot-zero-is-a-place",
               "The start 0 counts as false in Python, so a hole at the very beginning is taken for no hole.",
               """\
    found = None
    for start, length in holes:
        if length >= size and not found:
            found = start
    return found or None
"""),
    _first_fit("longer-than-needed", "exactly-long-enough-is-enough",
               "Your comparison asks for more slots than are wanted, so a hole that fits exactly is passed over and "
               "stays "
               "empty for ever.",
               """\
    for start, length in holes:
        if length > size:
            return start
    return None
"""),
    _first_fit("adds-up-the-free-slots", "none-when-nothing-fits",
               "You ask whether enough slots are free in all; a run needs them in one piece.",
               """\
    if sum(length for _, length in holes) < size:
        return None
    for start, length in holes:
        if length >= size:
            return start
    return holes[0][0]
"""),
    _first_fit("minus-one-for-none", "none-when-nothing-fits",
               "You answer -1 where nothing fits; a caller that tests for None would place a sequence at slot -1.",
               """\
    for start, length in holes:
        if length >= size:
            return start
    return -1
"""),
    _first_fit("false-for-none", "none-when-nothing-fits",
               "You answer False where nothing fits; False equals 0, and slot 0 is a place.",
               """\
    for start, length in holes:
        if length >= size:
            return start
    return False
"""),
    _first_fit("raises-when-full", "none-when-nothing-fits",
               "You raise an error where nothing fits; being full is an everyday answer here, not an error.",
               """\
    for start, length in holes:
        if length >= size:
            return start
    raise MemoryError("no hole fits") if False else ValueError("no hole fits")
"""),
    _first_fit("next-of-no-hole", "none-when-nothing-fits",
               "Where no hole fits, next() has nothing to give and raises StopIteration.",
               """\
    return next(start for start, length in holes if length >= size)
"""),
    _first_fit("one-slot-short", "start-of-a-hole-that-fits",
               "Your comparison lets a hole through that is one slot short; the last token would be written into the "
               "run "
               "behind it.",
               """\
    for start, length in holes:
        if length >= size - 1:
            return start
    return None
"""),
    _first_fit("forgets-the-last-hole", "start-of-a-hole-that-fits",
               "Your loop ends one hole too early, so memory at the far end is never used.",
               """\
    for i in range(len(holes) - 1):
        if holes[i][1] >= size:
            return holes[i][0]
    return None
"""),
    _first_fit("gives-up-after-the-first", "start-of-a-hole-that-fits",
               "Your loop returns in its first round whatever it finds there, so only the first hole is ever looked "
               "at.",
               """\
    for start, length in holes:
        if length >= size:
            return start
        return None
"""),
    _first_fit("start-compared", "start-of-a-hole-that-fits",
               "You compare the start of the hole with the size; where a hole lies says nothing about how long it is.",
               """\
    for start, length in holes:
        if start >= size:
            return start
    return None
"""),
    _first_fit("next-fit", "lowest-of-those-that-fit",
               "You go on where the last search ended; that is next fit, and the lower holes wait for the next round.",
               """\
    for k in range(len(holes)):
        i = (first_fit.at + k) % len(holes)
        if holes[i][1] >= size:
            first_fit.at = i + 1
            return holes[i][0]
    return None

first_fit.at = 0
"""),
    _first_fit("enough-in-all", "start-of-a-hole-that-fits",
               "You ask whether enough slots are free in all, and take a hole that is too short for a run in one piece.",
               """\
    if holes and sum(length for _, length in holes) >= size:
        return holes[0][0]
    return None
"""),
    _first_fit("worst-fit", "lowest-of-those-that-fit",
               "You take the longest hole; that is worst fit, which cuts up the only holes a long sequence could have "
               "had.",
               """\
    fitting = [(length, -start) for start, length in holes if length >= size]
    return -max(fitting)[1] if fitting else None
"""),
    _first_fit("pair-read-as-start-and-stop", "start-of-a-hole-that-fits",
               "You read the pair as (start, stop) and subtract; the second number of a hole is its length.",
               """\
    for start, stop in holes:
        if stop - start >= size:
            return start
    return None
"""),
    _first_fit("best-fit", "lowest-of-those-that-fit",
               "You take the hole that fits most tightly; that is best fit, a different policy, which leaves behind "
               "many "
               "holes too small for anybody.",
               """\
    fitting = [(length, start) for start, length in holes if length >= size]
    return min(fitting)[1] if fitting else None
"""),
    _first_fit("last-fit", "lowest-of-those-that-fit",
               "You answer with the highest hole that fits; a search from the low end is over at the first one.",
               """\
    found = None
    for start, length in holes:
        if length >= size:
            found = start
    return found
"""),
    _first_fit("index-of-the-hole", "start-of-a-hole-that-fits",
               "You answer with the position of the hole in the list; what is asked for is the slot at which it "
               "begins.",
               """\
    for i, (start, length) in enumerate(holes):
        if length >= size:
            return i
    return None
"""),
    _first_fit("the-hole-itself", "start-of-a-hole-that-fits",
               "You answer with the whole pair; what is asked for is its start alone.",
               """\
    for hole in holes:
        if hole[1] >= size:
            return hole
    return None
"""),
    _first_fit("end-of-the-hole", "start-of-a-hole-that-fits",
               "You place the run at the far end of the hole, so the answer is not the hole's first slot.",
               """\
    for start, length in holes:
        if length >= size:
            return start + length - size
    return None
"""),
    _first_fit("swapped-pair", "start-of-a-hole-that-fits",
               "The two numbers of a pair are taken in the wrong order: a hole is (start, length).",
               """\
    for length, start in holes:
        if length >= size:
            return start
    return None
"""),
    _first_fit("sorts-in-place", "the-list-given-stays",
               "You change the list that was passed in; its owner goes on using it, and relies on its order.",
               """\
    holes.sort(key=lambda hole: hole[1])
    fitting = [start for start, length in holes if length >= size]
    return min(fitting) if fitting else None
"""),
    _first_fit("takes-the-hole-out", "the-list-given-stays",
               "You change the list that was passed in; finding a place and taking it are two steps, and somebody else "
               "does the second.",
               """\
    for i, (start, length) in enumerate(holes):
        if length >= size:
            del holes[i]
            return start
    return None
"""),
    _first_fit("carves-the-list", "the-list-given-stays",
               "You change the list that was passed in; finding a place and taking it are two steps, and somebody else "
               "does the second.",
               """\
    for i, (start, length) in enumerate(holes):
        if length >= size:
            holes[i] = (start + size, length - size)
            return start
    return None
"""),
    _first_fit("forgot-to-return", "start-of-a-hole-that-fits",
               "Nothing comes back although the first hole is more than long enough: it was found and not returned, "
               "or passed over.",
               """\
    place = None
    for start, length in holes:
        if length >= size and place is None:
            place = start
"""),
    # ----- release_coalesce -----------------------------------------------------------------------------------------
    _release("left-or-right", "touching-holes-are-one",
             "After the first joint your code is done; a run that fills the gap between two holes becomes one with "
             "both.",
             _REFUSE + """\
    answer = list(holes)
    for i, (hole_start, hole_length) in enumerate(answer):
        if hole_start + hole_length == start:
            answer[i] = (hole_start, hole_length + length)
            return answer
        if start + length == hole_start:
            answer[i] = (start, length + hole_length)
            return answer
    return sorted([*answer, (start, length)])
"""),
    _release("pairs-only", "touching-holes-are-one",
             "After the first joint your loop skips one, so of three runs in a row only two become one.",
             _REFUSE + """\
    runs = sorted([*holes, (start, length)])
    merged, i = [], 0
    while i < len(runs):
        if i + 1 < len(runs) and sum(runs[i]) == runs[i + 1][0]:
            merged.append((runs[i][0], runs[i][1] + runs[i + 1][1]))
            i += 2
        else:
            merged.append(runs[i])
            i += 1
    return merged
"""),
    _release("only-equal-lengths", "touching-holes-are-one",
             "You join only runs of equal length; that is the rule of the buddy method, not of this one.",
             _REFUSE + """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] == run_start and merged[-1][1] == run_length:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("not-with-the-last", "touching-holes-are-one",
             "Your test for a right neighbour passes over the last hole of the list.",
             _REFUSE + """\
    answer = sorted([*holes, (start, length)])
    i = answer.index((start, length))
    if i + 2 < len(answer) and start + length == answer[i + 1][0]:
        answer[i:i + 2] = [(start, length + answer[i + 1][1])]
    if i > 0 and sum(answer[i - 1]) == start:
        answer[i - 1:i + 1] = [(answer[i - 1][0], answer[i - 1][1] + answer[i][1])]
    return answer
"""),
    _release("not-with-the-first", "touching-holes-are-one",
             "Your test for a left neighbour passes over the first hole of the list.",
             _REFUSE + """\
    answer = sorted([*holes, (start, length)])
    i = answer.index((start, length))
    if i + 1 < len(answer) and start + length == answer[i + 1][0]:
        answer[i:i + 2] = [(start, length + answer[i + 1][1])]
    if i > 1 and sum(answer[i - 1]) == start:
        answer[i - 1:i + 1] = [(answer[i - 1][0], answer[i - 1][1] + answer[i][1])]
    return answer
"""),
    _release("forgets-the-right", "touching-holes-are-one",
             "A hole that begins where the run ends is not joined with it; two holes are left where there is one.",
             _REFUSE + """\
    rest = []
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            start, length = hole_start, hole_length + length
        else:
            rest.append((hole_start, hole_length))
    return sorted([*rest, (start, length)])
"""),
    _release("joint-keeps-old-start", "every-free-slot-once",
             "Joining with the hole on the right, you keep that hole's start; the joined hole begins where the run "
             "begins.",
             _REFUSE + """\
    answer, placed = [], False
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            answer.append((hole_start, hole_length + length))
            placed = True
        elif start + length == hole_start:
            answer.append((hole_start, hole_length + length))
            placed = True
        else:
            answer.append((hole_start, hole_length))
    return answer if placed else sorted([*answer, (start, length)])
"""),
    _release("never-joins", "touching-holes-are-one",
             "A hole that ends where the run begins is not joined with it; after an hour memory is all splinters.",
             _REFUSE + "    return sorted([*holes, (start, length)])\n"),
    _release("forgets-the-left", "touching-holes-are-one",
             "A hole that ends where the run begins is not joined with it; two holes are left where there is one.",
             _REFUSE + """\
    rest = []
    for hole_start, hole_length in holes:
        if hole_start == start + length:
            length += hole_length
        else:
            rest.append((hole_start, hole_length))
    return sorted([*rest, (start, length)])
"""),
    _release("off-by-one-touch", "touching-holes-are-one",
             "You take the last slot of a hole for the slot behind it: a hole (0, 5) ends before slot 5, not before "
             "slot 4.",
             _REFUSE + """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] - 1 == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("refuses-what-touches", "touching-holes-are-one",
             "Your test for an overlap also catches runs that only touch; those are the ones to join.",
             """\
    for hole_start, hole_length in holes:
        if hole_start <= start + length and start <= hole_start + hole_length:
            raise ReservationError("free already")
""" + _MERGE),
    _release("left-hole-dropped", "every-free-slot-once",
             "The hole on the left is taken out of the list, but the run does not grow by it: its slots are lost.",
             _REFUSE + """\
    rest = [hole for hole in holes if sum(hole) != start]
    return sorted([*rest, (start, length)])
"""),
    _release("list-kept-between-calls", "every-free-slot-once",
             "You keep a list of your own from call to call; what was handed out in between still counts as free in it.",
             """\
    known = release_coalesce.known = release_coalesce.known or list(holes)
    for hole_start, hole_length in known:
        if hole_start < start + length and start < hole_start + hole_length:
            raise ReservationError("free already")
    merged = []
    for run_start, run_length in sorted([*known, (start, length)]):
        if merged and sum(merged[-1]) == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    release_coalesce.known = merged
    return merged

release_coalesce.known = []
"""),
    _release("table-of-64-slots", "every-free-slot-once",
             "Your table of slots has a fixed size; memory may be larger than that.",
             """\
    free = [False] * 64
    for hole_start, hole_length in [*holes, (start, length)]:
        for slot in range(hole_start, hole_start + hole_length):
            if free[slot]:
                raise ReservationError("free already")
            free[slot] = True
    merged = []
    for slot in range(64):
        if free[slot]:
            if merged and sum(merged[-1]) == slot:
                merged[-1] = (merged[-1][0], merged[-1][1] + 1)
            else:
                merged.append((slot, 1))
    return merged
"""),
    _release("a-generator", "every-free-slot-once",
             "With yield in it the call hands back a generator, and nothing is checked before somebody asks for a hole.",
             _REFUSE + """\
    for hole in sorted([*holes, (start, length)]):
        yield hole
"""),
    _release("joint-keeps-one-length", "every-free-slot-once",
             "The joined hole gets the length of one of its two parts; the slots of the other are lost.",
             _REFUSE + """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] == run_start:
            merged[-1] = (merged[-1][0], max(merged[-1][1], run_length))
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("keeps-the-joined-hole", "every-free-slot-once",
             "The hole that was joined stays in the list beside the joined one: its slots are now free twice.",
             _REFUSE + """\
    answer = list(holes)
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            start, length = hole_start, length + hole_length
        elif hole_start == start + length:
            length += hole_length
    return sorted([*answer, (start, length)])
"""),
    _release("empty-list-forgotten", "every-free-slot-once",
             "With no hole in the list your loop never runs, and the run is never added.",
             _REFUSE + """\
    answer, placed = [], False
    for hole in holes:
        if not placed and start < hole[0]:
            answer.append((start, length))
            placed = True
        answer.append(hole)
    if answer and not placed:
        answer.append((start, length))
    merged = []
    for run_start, run_length in answer:
        if merged and sum(merged[-1]) == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("joins-over-one-slot", "every-free-slot-once",
             "You join runs that are up to a few slots apart; whatever lies between them belongs to somebody.",
             _REFUSE + """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and run_start - sum(merged[-1]) <= 3:
            merged[-1] = (merged[-1][0], run_start + run_length - merged[-1][0])
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("sorted-by-length", "in-order-of-start",
             "You sort by length; first fit and the next release both rely on the order of start.",
             _REFUSE + _MERGE.replace("return merged", "return sorted(merged, key=lambda hole: hole[1])")),
    _release("joins-across-a-gap", "every-free-slot-once",
             "You join holes that have held slots between them, so slots that somebody uses count as free.",
             _REFUSE + """\
    answer = sorted([*holes, (start, length)])
    first = answer[0][0]
    last = max(s + n for s, n in answer)
    return [(first, last - first)]
"""),
    _release("drops-the-lonely", "every-free-slot-once",
             "A run that touches no hole never enters the list: its slots are lost.",
             _REFUSE + """\
    answer = []
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            start, length = hole_start, hole_length + length
        elif start + length == hole_start:
            length += hole_length
        else:
            answer.append((hole_start, hole_length))
    if len(answer) < len(holes):
        answer.append((start, length))
    return sorted(answer)
"""),
    _release("forgets-the-last", "every-free-slot-once",
             "Your loop adds a run when it meets the next one behind it; a run at the end has none and is lost.",
             _REFUSE + """\
    merged, open_ = [], None
    for run_start, run_length in sorted([*holes, (start, length)]):
        if open_ and sum(open_) == run_start:
            open_ = (open_[0], open_[1] + run_length)
        else:
            if open_:
                merged.append(open_)
            open_ = (run_start, run_length)
    return merged
"""),
    _release("returns-start-stop", "every-free-slot-once",
             "Your pairs are (start, stop); a hole is (start, length).",
             _REFUSE + """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][1] == run_start:
            merged[-1] = (merged[-1][0], run_start + run_length)
        else:
            merged.append((run_start, run_start + run_length))
    return merged
"""),
    _release("returns-none", "every-free-slot-once",
             "Methods such as sort and append change a list and return None, and None is what you hand back.",
             _REFUSE + """\
    answer = list(holes)
    answer.append((start, length))
    return answer.sort()
"""),
    _release("wipes-the-list", "every-free-slot-once",
             "You return the run alone; the holes that were there before are lost.",
             _REFUSE + """\
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            return [(hole_start, hole_length + length)]
    return [(start, length)]
"""),
    _release("appends-at-the-end", "in-order-of-start",
             "The run is put at the end of the list, wherever it lies in memory.",
             _REFUSE + """\
    answer = []
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            start, length = hole_start, hole_length + length
        elif hole_start == start + length:
            length += hole_length
        else:
            answer.append((hole_start, hole_length))
    answer.append((start, length))
    return answer
"""),
    _release("puts-it-first", "in-order-of-start",
             "The run is put at the front of the list, wherever it lies in memory.",
             _REFUSE + """\
    answer = []
    for hole_start, hole_length in holes:
        if hole_start + hole_length == start:
            start, length = hole_start, hole_length + length
        elif hole_start == start + length:
            length += hole_length
        else:
            answer.append((hole_start, hole_length))
    return [(start, length), *answer]
"""),
    _release("from-the-top", "in-order-of-start",
             "Your list runs from high slots to low; it must run from low to high.",
             _REFUSE + _MERGE.replace("return merged", "return merged[::-1]")),
    _release("changes-the-list", "the-list-given-stays",
             "You change the list that was passed in; what you were asked for is a new one.",
             _REFUSE + """\
    holes.append((start, length))
    holes.sort()
    merged = []
    for run_start, run_length in holes:
        if merged and sum(merged[-1]) == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("same-list-returned", "the-list-given-stays",
             "You change the list that was passed in, and return that same list; what was asked for is a new one.",
             _REFUSE + """\
    holes.append((start, length))
    holes.sort()
    i = 0
    while i + 1 < len(holes):
        if sum(holes[i]) == holes[i + 1][0]:
            holes[i:i + 2] = [(holes[i][0], holes[i][1] + holes[i + 1][1])]
        else:
            i += 1
    return holes
"""),
    _release("first-hole-only", "refuses-what-is-free",
             "Only the first hole is compared with the run.",
             """\
    if holes and holes[0][0] < start + length and start < sum(holes[0]):
        raise ReservationError("free already")
""" + _MERGE),
    _release("overlap-off-by-one", "refuses-what-is-free",
             "Your test for an overlap forgives one slot.",
             """\
    for hole_start, hole_length in holes:
        if hole_start < start + length - 1 and start < hole_start + hole_length - 1:
            raise ReservationError("free already")
""" + _MERGE),
    _release("asks-for-both-ends", "refuses-what-is-free",
             "You look at the two ends of the run; a hole in the middle of it is not seen.",
             """\
    last = start + length - 1
    for hole_start, hole_length in holes:
        if hole_start <= start < hole_start + hole_length or hole_start <= last < hole_start + hole_length:
            raise ReservationError("free already")
""" + _MERGE),
    _release("asks-for-the-start-only", "refuses-what-is-free",
             "You look at the first slot of the run only; the rest of it may be free.",
             """\
    for hole_start, hole_length in holes:
        if hole_start <= start < hole_start + hole_length:
            raise ReservationError("free already")
""" + _MERGE),
    _release("inside-only", "refuses-what-is-free",
             "You refuse a run that lies wholly within a hole; one that sticks out of it overlaps it too.",
             """\
    for hole_start, hole_length in holes:
        if hole_start <= start and start + length <= hole_start + hole_length:
            raise ReservationError("free already")
""" + _MERGE),
    _release("same-start", "refuses-what-is-free",
             "A run that begins inside a hole is let in; a hole is more than the slot it starts with.",
             """\
    if any(hole_start == start for hole_start, _ in holes):
        raise ReservationError("free already")
""" + _MERGE),
    _release("asks-for-the-very-hole", "refuses-what-is-free",
             "What you refuse covers a whole hole; a run that is only a part of one, as it is once holes have been "
             "joined, is let in.",
             """\
    if (start, length) in holes:
        raise ReservationError("free already")
""" + _MERGE),
    _release("no-check", "refuses-what-is-free",
             "A run that is free already, slot for slot, is taken in once more, so that every slot of it is free "
             "twice.",
             _MERGE),
    _release("none-for-an-error", "refuses-what-is-free",
             "You answer None where an error is due; a caller that does not look will go on with None for its list.",
             _REFUSE.replace('raise ReservationError("free already")', "return None") + _MERGE),
    _release("another-error", "refuses-what-is-free",
             "You refuse with an error of another kind than the one that the caller is told to catch.",
             _REFUSE.replace("ReservationError", "ValueError") + _MERGE),
    _release("swallows-the-overlap", "refuses-what-is-free",
             "You answer with a list as if nothing had happened; that hides a fault in the caller, whose sequence "
             "may have lost its slots to another.",
             """\
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and run_start <= sum(merged[-1]):
            stop = max(sum(merged[-1]), run_start + run_length)
            merged[-1] = (merged[-1][0], stop - merged[-1][0])
        else:
            merged.append((run_start, run_length))
    return merged
"""),
    _release("changes-before-it-refuses", "the-list-given-stays",
             "The run is added first and checked afterwards, so a release that is refused has changed the list.",
             """\
    stop = start + length
    overlap = any(s < stop and start < s + n for s, n in holes)
    kept = list(holes)
    holes.append((start, length))
    if overlap:
        raise ReservationError("free already")
    holes[:] = kept
""" + _MERGE),
    # ----- waste_by_kind --------------------------------------------------------------------------------------------
    _waste("equal-ones-counted-once", "used-holds-a-token",
           "A set keeps equal numbers once, so two sequences of the same length count as one.",
           _COUNT + '    slots["used"] = sum({used for _, _, used, _ in reservations})\n' + _HOLES),
    _waste("sorts-the-holes", "the-list-given-stays",
           "You sort the list that was passed in; its owner relies on the order of start.",
           _COUNT + "    holes.sort(key=lambda hole: hole[1], reverse=True)\n" + _HOLES),
    _waste("empties-the-list", "the-list-given-stays",
           "You take the sequences out of the list that was passed in; afterwards its owner has none.",
           _COUNT + "    reservations.clear()\n" + _HOLES),
    _waste("free-only-the-longest", "free-is-long-enough",
           "You keep the longest hole instead of adding up all that are long enough.",
           _COUNT + """\
    for _, length in holes:
        if length < wanted:
            slots["external"] += length
        else:
            slots["free"] = max(slots["free"], length)
    return slots
"""),
    _waste("exact-hole-too-short", "external-is-too-short",
           "A hole of exactly the wanted length serves, so it is not waste.",
           _COUNT + """\
    for _, length in holes:
        slots["external" if length <= wanted else "free"] += length
    return slots
"""),
    _waste("nobody-waits-all-waste", "external-is-too-short",
           "A wanted of 0 means that nobody waits; you take it for a sequence that fits nowhere.",
           _COUNT + """\
    for _, length in holes:
        slots["free" if wanted and length >= wanted else "external"] += length
    return slots
"""),
    _waste("last-hole-only", "external-is-too-short",
           "You set the count anew for each hole instead of adding to it, so only the last one counts.",
           _COUNT + """\
    for _, length in holes:
        slots["external" if length < wanted else "free"] = length
    return slots
"""),
    _waste("equal-holes-counted-once", "external-is-too-short",
           "A set keeps equal numbers once, so two holes of the same length count as one.",
           _COUNT + """\
    slots["external"] = sum({length for _, length in holes if length < wanted})
    slots["free"] = sum({length for _, length in holes if length >= wanted})
    return slots
"""),
    _waste("rest-of-a-hole-external", "external-is-too-short",
           "You take the wanted run out of each hole and call the rest waste; a hole counts whole, as one kind.",
           _COUNT + """\
    for _, length in holes:
        fits = min(length, wanted) if length >= wanted else 0
        slots["free"] += fits
        slots["external"] += length - fits
    return slots
"""),
    _waste("all-holes-external", "external-is-too-short",
           "You call every hole waste; one that is long enough can be handed out at once.",
           _COUNT + """\
    for _, length in holes:
        slots["external"] += length
    return slots
"""),
    _waste("all-or-nothing-external", "external-is-too-short",
           "As soon as one hole is long enough you call none of them waste; the short ones still serve nobody.",
           _COUNT + """\
    longest = max((length for _, length in holes), default=0)
    for _, length in holes:
        slots["free" if longest >= wanted else "external"] += length
    return slots
"""),
    _waste("free-is-what-fits", "free-is-long-enough",
           "You count whole runs that would fit and drop the rest of the hole; all of its slots are free.",
           _COUNT + """\
    for _, length in holes:
        if length < wanted:
            slots["external"] += length
        else:
            slots["free"] += length // max(1, wanted) * max(1, wanted)
    return slots
"""),
    _waste("compares-the-sum", "external-is-too-short",
           "You compare the free slots in all with what is wanted; a run needs them in one piece.",
           _COUNT + """\
    total = sum(length for _, length in holes)
    slots["free" if total >= wanted else "external"] += total
    return slots
"""),
    _waste("counts-holes", "external-is-too-short",
           "You count holes; what is asked for is their slots.",
           _COUNT + """\
    for _, length in holes:
        slots["external" if length < wanted else "free"] += 1
    return slots
"""),
    _waste("what-is-missing", "external-is-too-short",
           "You count the slots a hole lacks; waste is the slots it has and that serve nobody.",
           _COUNT + """\
    for _, length in holes:
        if length < wanted:
            slots["external"] += wanted - length
        else:
            slots["free"] += length
    return slots
"""),
    _waste("hole-start-added", "external-is-too-short",
           "You add up where the holes begin instead of how long they are.",
           _COUNT + """\
    for start, length in holes:
        slots["external" if length < wanted else "free"] += start
    return slots
"""),
    _waste("external-and-free-swapped", "external-is-too-short",
           "The two kinds of holes have changed places.",
           _COUNT + """\
    for _, length in holes:
        slots["free" if length < wanted else "external"] += length
    return slots
"""),
    _waste("free-counts-everything", "free-is-long-enough",
           "Holes that are too short are counted twice, as waste and as free.",
           _COUNT + """\
    for _, length in holes:
        slots["free"] += length
        if length < wanted:
            slots["external"] += length
    return slots
"""),
    _waste("last-sequence-only", "used-holds-a-token",
           "You set the counts anew for each sequence instead of adding to them, so only the last one counts.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] = used
        slots["reservation"] = final - used
        slots["internal"] = length - final
""" + _HOLES),
    _waste("stops-in-the-loop", "used-holds-a-token",
           "The return stands inside the loop, so everything behind the first sequence is left out.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length in holes:
        slots["external" if length < wanted else "free"] += length
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["reservation"] += final - used
        slots["internal"] += length - final
        return slots
    return slots
"""),
    _waste("internal-average", "internal-is-never-written",
           "You divide by the number of sequences; slots are counted, not averaged.",
           _COUNT + '    slots["internal"] //= max(1, len(reservations))\n' + _HOLES),
    _waste("internal-of-the-largest", "internal-is-never-written",
           "You keep the largest over-reservation instead of their sum.",
           _COUNT.replace('slots["internal"] += length - final',
                          'slots["internal"] = max(slots["internal"], length - final)') + _HOLES),
    _waste("used-is-final", "used-holds-a-token",
           "You count the tokens a sequence will have in the end; used counts those it has now.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += final
        slots["reservation"] += final - used
        slots["internal"] += length - final
""" + _HOLES),
    _waste("used-is-held", "used-holds-a-token",
           "You count every slot that is held as used; most of a reservation is empty.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += length
        slots["reservation"] += final - used
        slots["internal"] += length - final
""" + _HOLES),
    _waste("columns-mixed-up", "used-holds-a-token",
           "The four numbers of a reservation are taken in another order than (start, length, used, final).",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, used, length, final in reservations:
        slots["used"] += used
        slots["reservation"] += final - used
        slots["internal"] += length - final
""" + _HOLES),
    _waste("reservation-to-the-end-of-the-run", "reservation-will-be-written",
           "You count everything that is not written yet; slots behind the last token there will ever be are internal "
           "waste.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["reservation"] += length - used
        slots["internal"] += length - final
""" + _HOLES),
    _waste("reservation-is-final", "reservation-will-be-written",
           "You count all tokens of the sequence, those that are written already among them.",
           _COUNT.replace("final - used", "final") + _HOLES),
    _waste("reservation-and-internal-swapped", "reservation-will-be-written",
           "Two kinds have changed places: what will be written is reservation, what never will be is internal.",
           """\
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["internal"] += final - used
        slots["reservation"] += length - final
""" + _HOLES),
    _waste("reservation-negative", "reservation-will-be-written",
           "The subtraction is the wrong way round, so the count goes below zero.",
           _COUNT.replace("final - used", "used - final") + _HOLES),
    _waste("reservation-one-short", "reservation-will-be-written",
           "You leave out the slot of the next token; it is held for a token that is still to come, like the others.",
           _COUNT.replace("final - used", "max(0, final - used - 1)") + _HOLES),
    _waste("internal-is-all-empty", "internal-is-never-written",
           "You count every empty slot of the run; those that will still be written are reservation, not internal "
           "waste.",
           _COUNT.replace("length - final", "length - used") + _HOLES),
    _waste("internal-forgotten", "internal-is-never-written",
           "Slots behind the last token are in none of your counts.",
           _COUNT.replace('        slots["internal"] += length - final\n', "") + _HOLES),
    _waste("no-free", "five-kinds-by-name",
           "One kind is left out, so the five no longer add up to all of memory.",
           _COUNT + """\
    for _, length in holes:
        if length < wanted:
            slots["external"] += length
    del slots["free"]
    return slots
"""),
    _waste("empty-kinds-left-out", "five-kinds-by-name",
           "A kind with no slots is missing from your answer; its count is 0, and the caller asks for it by name.",
           """\
    slots = {}
    for _, length, used, final in reservations:
        slots["used"] = slots.get("used", 0) + used
        slots["reservation"] = slots.get("reservation", 0) + final - used
        slots["internal"] = slots.get("internal", 0) + length - final
    for _, length in holes:
        kind = "external" if length < wanted else "free"
        slots[kind] = slots.get(kind, 0) + length
    return slots
"""),
    _waste("returns-a-tuple", "used-holds-a-token",
           "Your answer is a bare row of numbers; the caller asks for each by name.",
           _COUNT + _HOLES.replace("return slots", "return tuple(slots.values())")),
    _waste("shares-instead-of-slots", "used-holds-a-token",
           "You divide by the size of memory; what is asked for is slots, whole numbers.",
           _COUNT + _HOLES.replace("return slots",
                                   "total = sum(slots.values()) or 1\n"
                                   "    return {kind: n / total for kind, n in slots.items()}")),
    _waste("forgot-to-return", "used-holds-a-token",
           "The counts are made and then forgotten: the function returns nothing.",
           _COUNT + _HOLES.replace("    return slots\n", "")),
]

RIGHT = [
    Right("first_fit", "recursion", """\
def first_fit(holes, size):
    if not holes:
        return None
    (start, length), *rest = holes
    return start if length >= size else first_fit(rest, size)
"""),
    Right("first_fit", "slot-by-slot", """\
def first_fit(holes, size):
    free = {slot for start, length in holes for slot in range(start, start + length)}
    fits = (slot for slot in sorted(free) if all(slot + i in free for i in range(size)))
    return next(fits, None)
"""),
    Right("release_coalesce", "a-table-of-slots", """\
def release_coalesce(holes, start, length):
    free = {slot for s, n in holes for slot in range(s, s + n)}
    run = set(range(start, start + length))
    if free & run:
        raise ReservationError(f"{min(free & run)} is free already")
    merged = []
    for slot in sorted(free | run):
        if merged and sum(merged[-1]) == slot:
            merged[-1][1] += 1
        else:
            merged.append([slot, 1])
    return [tuple(hole) for hole in merged]
"""),
    Right("release_coalesce", "recursion", """\
def release_coalesce(holes, start, length):
    if not holes:
        return [(start, length)]
    (s, n), *rest = holes
    if s < start + length and start < s + n:
        raise ReservationError
    if s + n < start:
        return [(s, n), *release_coalesce(rest, start, length)]
    if s + n == start:
        return release_coalesce(rest, s, n + length)
    return [(start, length + n), *rest] if start + length == s else [(start, length), *holes]
"""),
    Right("release_coalesce", "edges", """\
import numpy as np

def release_coalesce(holes, start, length):
    runs = np.array(sorted([*holes, (start, length)]))
    begin, end = runs[:, 0], runs.sum(axis=1)
    if (end[:-1] > begin[1:]).any():
        raise ReservationError("overlap")
    apart = end[:-1] < begin[1:]
    return [[b, e - b] for b, e in zip(begin[np.r_[True, apart]], end[np.r_[apart, True]])]
"""),
    Right("waste_by_kind", "slot-by-slot", """\
from collections import Counter

def waste_by_kind(reservations, holes, wanted):
    kinds = Counter(dict.fromkeys(("free", "external", "internal", "reservation", "used"), 0))
    for _, length, used, final in reservations:
        for i in range(length):
            kinds["used" if i < used else "reservation" if i < final else "internal"] += 1
    for _, length in holes:
        for _ in range(length):
            kinds["external" if length < wanted else "free"] += 1
    return dict(kinds)
"""),
    Right("first_fit", "a-generator", """\
def first_fit(holes, size):
    return next((start for start, length in holes if length >= size), None)
"""),
    Right("first_fit", "the-lowest-of-a-set", """\
def first_fit(holes, size):
    starts = {hole[0] for hole in holes if hole[1] >= size}
    if not starts:
        return None
    return min(starts)
"""),
    Right("first_fit", "numpy", """\
import numpy as np

def first_fit(holes, size):
    table = np.array(holes, dtype=np.int64).reshape(-1, 2)
    at = np.flatnonzero(table[:, 1] >= size)
    return table[at[0], 0] if len(at) else None
"""),
    Right("first_fit", "a-while-loop", """\
def first_fit(holes, size):
    i = 0
    while i < len(holes):
        if not holes[i][1] < size:
            return holes[i][0]
        i += 1
"""),
    Right("release_coalesce", "sort-and-sweep", """\
def release_coalesce(holes, start, length):
""" + _REFUSE + _MERGE),
    Right("release_coalesce", "by-index", """\
import bisect

def release_coalesce(holes, start, length):
    new = [list(hole) for hole in holes]
    i = bisect.bisect_left([hole[0] for hole in new], start)
    if i > 0 and new[i - 1][0] + new[i - 1][1] > start:
        raise ReservationError(f"slot {start} is free already")
    if i < len(new) and start + length > new[i][0]:
        raise ReservationError(f"slot {new[i][0]} is free already")
    new.insert(i, [start, length])
    if i + 1 < len(new) and new[i][0] + new[i][1] == new[i + 1][0]:
        new[i][1] += new.pop(i + 1)[1]
    if i > 0 and new[i - 1][0] + new[i - 1][1] == new[i][0]:
        new[i - 1][1] += new.pop(i)[1]
    return new
"""),
    Right("release_coalesce", "tuple-of-pairs-by-neighbours", """\
def release_coalesce(holes, start, length):
    ends = {s + n: (s, n) for s, n in holes}
    starts = {s: (s, n) for s, n in holes}
    if any(max(s, start) < min(s + n, start + length) for s, n in holes):
        raise ReservationError("free already")
    gone = []
    left, right = ends.get(start), starts.get(start + length)
    stop = start + length
    if left:
        gone.append(left)
        start = left[0]
    if right:
        gone.append(right)
        stop = right[0] + right[1]
    return tuple(sorted([h for h in starts.values() if h not in gone] + [(start, stop - start)]))
"""),
    Right("release_coalesce", "an-error-of-its-own", """\
class FreeAlready(ReservationError):
    pass

def release_coalesce(holes, start, length):
    stop, left, right = start + length, [], []
    for s, n in holes:
        if s + n <= start:
            left.append((s, n))
        elif s >= stop:
            right.append((s, n))
        else:
            raise FreeAlready(f"{s} to {s + n - 1}")
    if left and sum(left[-1]) == start:
        start = left.pop()[0]
    if right and right[0][0] == stop:
        stop = sum(right.pop(0))
    return left + [(start, stop - start)] + right
"""),
    Right("waste_by_kind", "sums", """\
def waste_by_kind(reservations, holes, wanted):
    return {
        "used": sum(r[2] for r in reservations),
        "reservation": sum(r[3] - r[2] for r in reservations),
        "internal": sum(r[1] - r[3] for r in reservations),
        "external": sum(h[1] for h in holes if h[1] < wanted),
        "free": sum(h[1] for h in holes if h[1] >= wanted),
    }
"""),
    Right("waste_by_kind", "by-difference", """\
from collections import Counter

def waste_by_kind(reservations, holes, wanted):
    count = Counter(free=0, external=0, internal=0, reservation=0, used=0)
    for start, length, used, final in reservations:
        count.update(used=used, internal=length - final)
        count["reservation"] += length - used - (length - final)
    total = sum(length for _, length in holes)
    count["external"] = sum(length for _, length in holes if not length >= wanted)
    count["free"] = total - count["external"]
    return count
"""),
    Right("waste_by_kind", "numpy", """\
import numpy as np

def waste_by_kind(reservations, holes, wanted):
    r = np.array(reservations, dtype=np.int64).reshape(-1, 4)
    h = np.array(holes, dtype=np.int64).reshape(-1, 2)[:, 1]
    return dict(used=r[:, 2].sum(), reservation=(r[:, 3] - r[:, 2]).sum(), internal=(r[:, 1] - r[:, 3]).sum(),
                external=h[h < wanted].sum(), free=h[h >= wanted].sum())
"""),
]
