"""Break it: what a list of operations is told that makes no sense, or convicts nobody, or does. A row is a list."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.source import Source

TWO = [("BlockPool", 4, 2), ("prompt", "A", 2)]
NO_ROOM = [("BlockPool", 2, 2), ("prompt", "A", 3), ("prompt", "B", 2)]
CUT = [("start", "ab"), ("start", "a")]
SCHEDULER = [("Scheduler", 9, 4, 9)]
SEVEN = [("Server", 7), ("come", "A", 4, 1)]
ENGINE = [("Scheduler", 4, 9, 4), ("come", "A", 4, 4)]
CLIENT = [("Client", 2), ("due", 3, 2)]
LARGE = [("Cache", 2**21, 16, 128)]
FILLED = [("write", "A", 100), ("end", "A")]
USED = [("Memory", 2, 4), ("write", "A", 3), ("end", "A")]


@pytest.mark.parametrize(("exercise", "ops", "verdict", "words"), [
    ("04 break_two_piles", [("BlockPool", 4), ("alloc", 2)], "error", "there are: BlockPool, allocate, free."),
    ("04 break_two_piles", [("BlockPool", 4), ("BlockPool", 4)], "error", "one pool only"),
    ("06 break_two_requests", [("prompt", "A", 3)], "error", 'begin with ("BlockPool", 4, 2)'),
    ("06 break_two_requests", [("BlockPool", 4, 2), ("BlockPool", 4, 2)], "error", "one pool only"),
    ("06 break_two_requests", [("BlockPool", 4, 0)], "error", "1 to 64"),
    ("06 break_two_requests", [("BlockPool", -1, 2)], "error", "1 to 64"),
    ("06 break_two_requests", [("BlockPool", 4)], "error", "takes 2 arguments"),
    ("06 break_two_requests", [("BlockPool", 4, 2), ("append", "B", 1)], "error", "is about B, which there is not"),
    ("06 break_two_requests", [("BlockPool", 4, 2), ("prompt", "A", 2.5)], "error", "whole number"),
    ("06 break_two_requests", [("BlockPool", 4, 2), ("prompt", 7, 2)], "error", 'a letter such as "A"'),
    ("06 break_two_requests", [("BlockPool", 4, 2), ("prompt", "A", 9)], "error", "more than the whole pool"),
    ("06 break_two_requests", [*TWO, ("prompt", "A", 2)], "error", "there is already"),
    ("06 break_two_requests", [*TWO, ("fork", "A", "A")], "error", "there is already"),
    ("06 break_two_requests", [*TWO, ("release", "A"), ("append", "A", 1)], "error", "which there is not"),
    ("06 break_two_requests", [*TWO, ("fork", "C", "A")], "error", "and A there is: the parent comes first"),
    ("06 break_two_requests", [*TWO[:1], ("write", "A", 2)], "error",
     "there are: BlockPool, prompt, fork, append, release"),
    ("06 break_two_requests", "all of them", "error", "list of tuples"),
    ("06 break_two_requests", ["fork"], "error", "a tuple such as ('fork', 'A', 'B')."),
    ("03 twice_released", ["new", ("allocate", "A", 10)], "error", "a tuple such as ('new', "),
    ("18 break_hit_rate", [("Server", 2), "run"], "error", '("run",), with its comma'),
    ("06 break_two_requests", [*NO_ROOM, ("append", "B", 1)], "error", "no room for B when it began"),
    ("06 break_two_requests", [*NO_ROOM, ("fork", "B", "C")], "error", "no room for B when it began"),
    ("06 break_two_requests", [*NO_ROOM, ("release", "B")], "error", "no room for B when it began"),
    ("06 break_two_requests", [], "fail", "ops is empty"),
    ("01 break_the_mask", [("feed", 5)], "fail", "through its one operation."),
    ("06 break_two_requests", [("BlockPool", 2, 2), ("prompt", "A", 1), ("append", "A", 9)], "fail",
     "Nothing is shared"),
    ("06 break_two_requests", [("BlockPool", 9, 2), ("prompt", "A", 1), ("fork", "A", "B"), ("append", "B", 2)],
     "fail", "kept every rule"),
    ("06 break_two_requests", [("BlockPool", 2, 2), ("prompt", "A", 1), ("fork", "A", "B"), ("append", "B", 1)],
     "fail", "kept every rule"),
    ("06 break_two_requests", [("BlockPool", 3, 4), ("prompt", "A", 6), ("fork", "A", "B"), ("release", "A"),
                               ("fork", "B", "C"), ("append", "C", 7)], "pass", "4 are enough"),
    ("10 break_empty_slots", [("write", "A", 3)], "error", 'begin with ("Memory", 4, 4)'),
    ("10 break_empty_slots", [*USED, ("Memory", 2, 4)], "error", "there is one only"),
    ("10 break_empty_slots", [*USED, ("attend", "A")], "error", "is about A, which there is not"),
    ("10 break_empty_slots", [*USED, ("end", "B")], "error", "is about B, which there is not"),
    ("10 break_empty_slots", [*USED, ("write", "B", 9)], "error", "for which there is no room"),
    ("10 break_empty_slots", [*USED, ("write", "B", 1)], "fail", "Nobody attends"),
    ("10 break_empty_slots", [*USED[:2], ("attend", "A")], "fail", "used for the first time"),
    ("10 break_empty_slots", [*USED, ("write", "B", 4), ("attend", "B")], "fail", "change one argument of operation 4"),
    ("10 break_empty_slots", [*USED, ("write", "B", 3), ("attend", "B")], "fail", "change one argument of operation"),
    ("10 break_empty_slots", [*USED, ("write", "B", 1), ("attend", "B")], "pass", "No shorter sequence is known"),
    ("13 break_two_logarithms", [("decode", 2)], "error", 'begin with ("Request", 32)'),
    ("13 break_two_logarithms", [("Request", 5), ("Request", 5)], "error", "there is one only"),
    ("13 break_two_logarithms", [("Request", 5), ("prefer", 5)], "error", "the request has 5 tokens"),
    ("13 break_two_logarithms", [("Request", 5)], "fail", "nothing has been merged"),
    ("13 break_two_logarithms", [("Request", 32), ("decode", 1)], "fail", "A single range has all the weight"),
    ("13 break_two_logarithms", [("Request", 32), ("decode", 4)], "fail", "change one argument of operation"),
    ("13 break_two_logarithms", [("Request", 8), ("prefer", 0), ("decode", 2)], "pass", "2 are enough"),
    ("11 break_offsets", [("gather", 3)], "error", 'begin with ("Cache", 4, 16, 128)'),
    ("11 break_offsets", [*LARGE, *LARGE], "error", "there is one only"),
    ("11 break_offsets", [("Cache", 4, 24, 128)], "error", "no power of two"),
    ("11 break_offsets", [("Cache", 4, 2**10, 2**10)], "error", "1,048,576 numbers per page"),
    ("11 break_offsets", [("Cache", 2**22, 16, 128)], "error", "give at most 4,294,967,296"),
    ("11 break_offsets", [*LARGE, ("gather", 2**21)], "error", "asks for block 2,097,152 of 2,097,152"),
    ("11 break_offsets", LARGE, "fail", "Nothing is gathered"),
    ("11 break_offsets", [*LARGE, ("gather", 2**20 - 1)], "fail", "The largest offset was 2,147,483,647"),
    ("11 break_offsets", [*LARGE, ("gather", 3), ("gather", 2**20)], "pass", "2 are enough"),
    ("12 break_addresses", [("read", 999, 0, 0)], "error", 'begin with ("Cache", 1000, 544, 2, 256)'),
    ("12 break_addresses", [("Cache", 1000, 544, 2, 256)], "fail", "Nothing is read"),
    ("12 break_addresses", [("Cache", 8000, 544, 2, 256), ("read", 7710, 0, 0)], "fail",
     "begins at number 2,147,450,880"),
    ("12 break_addresses", [("Cache", 8000, 544, 2, 256), ("read", 7710, 543, 1)], "pass", "No shorter sequence"),
    ("14 break_corner", [("chunk", "A", 65)], "error", "1 to 64"),
    ("14 break_corner", [("chunk", "A", 4), ("chunk", "B", 2)], "fail", "Each chunk is the first of its sequence"),
    ("14 break_corner", [("chunk", "A", 4), ("chunk", "A", 1)], "fail", "change one argument of operation 2"),
    ("14 break_corner", [("chunk", "A", 4), ("chunk", "A", 2)], "pass", "No shorter sequence is known"),
    ("15 break_stale_scale", [*FILLED, ("read", "A")], "error", "is about A, which has no block"),
    ("15 break_stale_scale", [FILLED[0], ("read", "A")], "fail", "Each block was filled once."),
    ("15 break_stale_scale", [("write", "A", 1), ("end", "A"), ("write", "B", 100), ("read", "B")], "fail",
     "all 4 operations. No scale of a block that was read was much larger"),
    ("15 break_stale_scale", [*FILLED, ("write", "B", 1), ("read", "B")], "pass", "No shorter"),
    ("16 break_queue_first", [("come", "A", 3, 2)], "error", 'begin with ("Scheduler", 9, 4, 9)'),
    ("16 break_queue_first", [*SCHEDULER, ("Scheduler", 9, 4, 9)], "error", "have one only"),
    ("16 break_queue_first", [*SCHEDULER, ("step",)], "error", "let a request come first"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 1, 1), "step"], "error", 'write ("step",), with its comma'),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 3, 2), ("come", "A", 3, 2)], "error", "there already"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 18, 2)], "error", "never fits into 18 slots"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 0, 2)], "error", "1 to 64"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 3, 2)], "fail", "Nothing was computed"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 3, 2), ("step",), ("step",)], "fail", "kept every rule"),
    ("16 break_queue_first", [*SCHEDULER, ("come", "A", 4, 2), ("come", "B", 4, 1), ("step",), ("step",), ("step",)],
     "pass", "5 are enough"),
    ("17 break_seven_blocks", [("come", "A", 4, 1)], "error", 'begin with ("Server", 20)'),
    ("17 break_seven_blocks", [*SEVEN, ("Server", 7)], "error", "have one only"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "A", 1, 1)], "error", "there already"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "B", 7, 1)], "error", "never fits into 7 blocks"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "B", 0, 1)], "error", "1 to 64"),
    ("17 break_seven_blocks", SEVEN[:1], "fail", "let requests come"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "B", 3, 1)], "fail", "Nothing was computed"),
    ("17 break_seven_blocks", [*SEVEN, ("run",), ("come", "B", 3, 1), ("run",)], "fail", "kept every rule"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "B", 3, 0), ("run",)], "fail", "kept every rule"),
    ("17 break_seven_blocks", [*SEVEN, ("come", "B", 2, 2), ("come", "C", 1, 1), ("run",)], "pass", "4 are enough"),
    ("20 break_stopwatch", [("due", 3, 2)], "error", 'begin with ("Client", 2)'),
    ("20 break_stopwatch", [*CLIENT, ("Client", 2)], "error", "have one only"),
    ("20 break_stopwatch", [*CLIENT, ("due", 2, 2)], "error", "in order of time"),
    ("20 break_stopwatch", [*CLIENT, ("due", 3, 0)], "error", "1 to 64"),
    ("20 break_stopwatch", [("Client", 2), ("run",)], "fail", "let requests be due"),
    ("20 break_stopwatch", CLIENT, "fail", "Nothing was sent"),
    ("20 break_stopwatch", [*CLIENT, ("due", 4, 2), ("run",)], "fail", "kept every rule"),
    ("20 break_stopwatch", [*CLIENT, ("due", 4, 2), ("due", 4, 2), ("run",)], "pass", "4 are enough"),
    ("21 break_cancel", [("come", "A", 3, 4)], "error", 'begin with ("Scheduler", 9, 9, 4)'),
    ("21 break_cancel", [*ENGINE, ("Scheduler", 9, 9, 4)], "error", "have one only"),
    ("21 break_cancel", [*ENGINE, ("come", "A", 3, 4)], "error", "there already"),
    ("21 break_cancel", [*ENGINE, ("come", "B", 9, 9)], "error", "never fits into 8 slots"),
    ("21 break_cancel", [*ENGINE, ("cancel", "B")], "error", "is about B, which there is not"),
    ("21 break_cancel", [*ENGINE[:1], ("step",)], "error", "let a request come first"),
    ("21 break_cancel", [*ENGINE, ("step",)], "fail", "Nobody leaves in it"),
    ("21 break_cancel", [*ENGINE, ("cancel", "A")], "fail", "Nobody has run in it"),
    ("21 break_cancel", [*ENGINE, ("step",), ("cancel", "A")], "fail", "kept every rule"),
    ("21 break_cancel", [*ENGINE, ("come", "B", 4, 2), ("step",), ("step",), ("step",), ("cancel", "B")], "pass",
     "6 are enough"),
    ("18 break_hit_rate", [("come", "A", 3, 2)], "error", 'begin with ("Server", 20)'),
    ("18 break_hit_rate", [("Server", 2), ("Server", 2)], "error", "have one only"),
    ("18 break_hit_rate", [("Server", 2), ("come", "A", 4, 2)], "error", "never fits into 4 slots"),
    ("18 break_hit_rate", [("Server", 9), ("come", "A", 4, 2), ("come", "A", 4, 2)], "error", "there already"),
    ("18 break_hit_rate", [("Server", 9), ("run",)], "fail", "let requests come"),
    ("18 break_hit_rate", [("Server", 9), ("come", "A", 4, 2)], "fail", "Nothing was computed"),
    ("18 break_hit_rate", [("Server", 9), ("come", "A", 4, 2), ("come", "B", 4, 2), ("run",)], "fail",
     "kept every rule"),
    ("18 break_hit_rate", [("Server", 2), ("come", "A", 1, 2), ("come", "B", 2, 2), ("come", "C", 2, 2), ("run",)],
     "pass", "4 are enough"),
    ("08 break_split", [("start", "ab"), ("start", "ab"), ("finish", 0), ("evict", 1)], "fail",
     "no edge was cut here"),
    ("08 break_split", [*CUT, ("evict", 2)], "fail", "No request has ended"),
    ("08 break_split", [*CUT, ("finish", 0)], "fail", "Nothing was evicted"),
    ("08 break_split", [*CUT, ("finish", 0), ("evict", 1)], "fail", "kept every rule through all 4 operations"),
    ("08 break_split", [*CUT, ("finish", 0), ("finish", 0)], "pass", "a-request-can-end"),
    ("08 break_split", [*CUT, ("finish", 0), ("finish", 0)], "pass", "refuses to unlock"),
])  # fmt: skip
def test_what_a_list_is_told(exercise: str, ops: object, verdict: str, words: str) -> None:
    spec = specs.exercise(*exercise.split()).spec
    judge = Judge(spec, Source(spec, f"ops = {ops!r}", f"<exercise {exercise}>").namespace)
    found = spec.judge(judge, judge.namespace(), [])
    assert (found.verdict, words in (found.message or " ".join(found.notes))) == (verdict, True), found


FORK = [("BlockPool", 4, 2), ("prompt", "A", 3), ("fork", "A", "B")]
STALE = [("QueuePrefixCache", 2), ("request", "a"), ("request", "a"), ("finish", 1)]


@pytest.mark.parametrize(("exercise", "ops", "words"), [
    ("06 break_two_requests", [*FORK, ("append", "B", 1)], "change one argument of operation 4, and it falls"),
    ("06 break_two_requests", [("BlockPool", 2, 2), ("prompt", "A", 1), ("fork", "A", "B")],
     "write one more operation behind operation 3, and it falls"),
    ("06 break_two_requests", [("BlockPool", 9, 2), ("prompt", "A", 8)], ""),
    # Nought slots for A would do, and nobody may ask for them.
    ("03 twice_released", [("new", 64), ("allocate", "A", 10), ("release", "A")], ""),
    ("07 break_stale_hash", STALE, "write one more operation behind operation 4, and it falls"),
    ("07 break_stale_hash", [*STALE[:3], ("finish", 0), ("request", "a")],
     "change one argument of operation 4, and it falls"),
    ("07 break_stale_hash", [*STALE[:3], ("request", "a"), ("finish", 1)][:3], ""),
    ("07 break_stale_hash", [("QueuePrefixCache", 2), ("request", "a"), ("finish", 0), ("request", "a")], ""),
    ("12 break_addresses", [("Cache", 1000, 544, 2, 256), ("read", 999, 0, 0)], ""),
])  # fmt: skip
def test_a_list_that_one_change_would_mend_is_told_where(exercise: str, ops: list[tuple], words: str) -> None:
    spec = specs.exercise(*exercise.split()).spec
    found = spec.judge(Judge(spec, dict), {"ops": ops}, [])
    assert found.verdict == "fail" and ("You are close" in found.message) == bool(words) and words in found.message


def test_operations_in_the_wrong_order_are_told_so() -> None:
    spec = specs.exercise("07", "break_stale_hash").spec
    ops = [("QueuePrefixCache", 3), ("request", "a"), ("request", "a"), ("request", "b"), ("finish", 1)]
    found = spec.judge(Judge(spec, dict), {"ops": ops}, [])
    assert "You are close: " in found.message


def test_what_was_caught_is_shown_with_its_replay_and_no_line_calls_it_yours() -> None:
    for exercise in ("06 break_two_requests", "07 break_stale_hash", "08 break_split", "05 break_counted_room"):
        spec = specs.exercise(*exercise.split()).spec
        shown = {new: old for old, new in spec.renamed.items()}
        ops = [(shown.get(op.name, op.name), *op.args.values()) for op in spec.shortest]
        found = spec.judge(Judge(spec, dict), {"ops": ops}, [])
        trace = found.counterexample
        assert found.passed and trace and trace.whose == "the wrong one"
        assert trace.replay and trace.replay["labels"] and trace.steps[-1].broken
        line = "" if trace.failing == len(ops) else f" (line {trace.failing} of the report)"
        assert found.notes[0].startswith(f"It falls at operation {len(ops)}{line}, by the rule ")


def test_a_right_one_that_falls_is_called_the_right_one() -> None:
    spec = specs.exercise("04", "break_two_piles").spec
    ops = [("BlockPool", 1), ("allocate", 1), ("free", [0]), ("free", [0])]
    found = spec.judge(Judge(spec, dict), {"ops": ops}, [])
    assert found.verdict in ("fail", "error", "pass")
    if found.counterexample and found.rule == "the-right-one-survives":
        assert found.counterexample.whose == "the right one"
