"""Code that misbehaves gets a verdict of its own kind, in time, and the asking process lives on."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest

from labkit.grading import report, runner
from labkit.grading.referee import describe_name_error
from labkit.grading.verdict import Verdict
from labkit.sandbox import host

pytestmark = pytest.mark.early

GOOD = """
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.f = list(range(num_blocks))

    @property
    def num_free(self):
        return len(self.f)

    def allocate(self, n):
        {start}
        if n > len(self.f):
            return None
        return [self.f.pop() for _ in range(n)]

    def free(self, blocks):
        self.f.extend(blocks)
"""


def pool(start: str = "pass", **replace: str) -> str:
    text = GOOD.format(start=start)
    for old, new in replace.items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module", autouse=True)
def end_spare():
    yield
    host.close()


def check(text: str, names: tuple[str, ...] = ()) -> Verdict:
    started = time.monotonic()
    verdict = runner.check("04", "BlockPool", text, names=names)
    # Not a measurement but the promise that a check comes back: the parent ends whatever does not.
    assert time.monotonic() - started < 100
    return verdict


CASES = {
    "syntax": ("error", "syntax", "def f(:\n"),
    "null byte": ("error", "syntax", "x = '\0'"),
    "nothing": ("missing", "empty", "  \n"),
    "other name": ("missing", "missing-name", "class Pool: pass\n"),
    "top level raises": ("error", "raised-at-top-level", "1 / 0\n" + pool()),
    "top level loops": ("timeout", "endless-loop", "while True: pass\n"),
    "top level exits": ("error", "exit", "import os; os._exit(0)\n"),
    "top level sys.exit": ("error", "exit", "raise SystemExit\n"),
    "top level name": ("error", "undefined-name", "x = somewhere_else\n" + pool()),
    "loops": ("timeout", "endless-loop", pool("while True: pass")),
    "sleeps": ("timeout", "endless-loop", pool("import time; time.sleep(60)")),
    "recursion": ("fail", "recursion", pool("return self.allocate(n)")),
    "one huge list": ("error", "memory", pool("x = [0] * 10**10")),
    "grows": ("error", "memory", pool("x = []\n        while True: x.append(bytearray(10**8))")),
    "os._exit": ("error", "exit", pool("import os; os._exit(0)")),
    "exit": ("error", "exit", pool("exit()")),
    "segfault": ("error", "exit", pool("import ctypes; ctypes.string_at(0)")),
    "kills itself": ("error", "exit", pool("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")),
    "prints": ("error", "output", pool("while True: print('hello')")),
    "missing method": ("error", "missing-method", pool(allocate="alocate")),
    "method for property": ("error", "wrong-parameters", pool(**{"@property": ""})),
    "other parameters": ("error", "wrong-parameters", pool(**{"allocate(self, n)": "allocate(self)"})),
    "constructor parameters": ("error", "wrong-parameters", pool(**{"__init__(self, num_blocks)": "__init__(self)"})),
    "undefined helper": ("error", "undefined-name", pool("return helper(n)")),
    "wrong type": ("fail", "wrong-type", pool("return 'three'")),
    "not written": ("fail", "not-written", pool("raise NotImplementedError")),
    "raises": ("fail", "raised", pool("raise KeyError('x')")),
    "raises what nobody ran out of": ("fail", "raised", pool("if n > len(self.f): raise MemoryError('no room')")),
    "changes its inputs": (
        "fail",
        "changed-inputs",
        pool(**{"self.f.extend(blocks)": "self.f.extend(blocks); blocks.append(0)"}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_misbehaviour_has_a_verdict_of_its_own_kind(name: str) -> None:
    word, kind, text = CASES[name]
    verdict = check(text)
    assert (verdict.verdict, verdict.kind) == (word, kind), verdict.message
    assert verdict.message.endswith((".", ")."))
    assert report.render(verdict)
    assert Verdict.from_dict(verdict.to_dict()) == verdict


MEANT = {
    "self is missing": ("class P:\n  def __init__(self): self.f = []\n  def g(self): return len(f)\nP().g()", "self.f"),
    "in a comprehension": ("class P:\n  f = [1]\n  def g(self): return [f.pop() for _ in (1,)]\nP().g()", "self.f"),
    "before a method": ("class P:\n  def g(self): return h()\n  def h(self): pass\nP().g()", "self.h"),
    "half of a parameter": ("def f(num_tokens, size): return tokens\nf(1, 2)", "num_tokens"),
    "misspelt": ("def f(blocks): return blokcs\nf([])", "blocks"),
    "misspelt builtin": ("def f(x): return rnage(x)\nf(1)", "range"),
    "its own name": ("class BlockError(Exception): pass\nraise BlocksError", "BlockError"),
    "an error of the course": ("raise BlockError", "from labkit.errors import BlockError, in this cell."),
    "an earlier part": ("slot_of([1], 0, 4)", "from labkit.mine import slot_of, in this cell."),
    "nothing like it": ("def f(num_tokens, num_blocks): return num\nf(1, 2)", ""),
    "another thing": ("def f(x): return helper(x)\nf(1)", ""),
}


@pytest.mark.parametrize("name", MEANT)
def test_a_name_that_is_not_there_is_told_with_the_one_that_was_meant(name: str) -> None:
    text, meant = MEANT[name]
    with pytest.raises(NameError) as caught:
        exec(compile(text, "<exercise 04/BlockPool>", "exec"), {})
    told = describe_name_error(caught.value, {})
    ending = meant if " " in meant else f"is {meant} meant?" if meant else "define or import it in this cell."
    assert told.endswith(f" but never defined: {ending}"), told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ops = [BlockPool(4)]", 'BlockPool is no name here: an operation begins with a text, in quotes, such as ("Bl'),
        ('ops = [("BlockPool", 4) ("allocate", 4)]', "a comma may be missing in front of a bracket"),
    ],
)
def test_a_list_of_operations_that_cannot_be_made_is_told_how_one_is_written(text: str, words: str) -> None:
    assert words in runner.check("04", "break_two_piles", text).message


def test_a_loop_that_swallows_every_signal_is_ended_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LIMITS", host.Limits(processor_seconds=3))
    verdict = check(
        pool(
            "import time\n        while True:\n            try:\n                time.sleep(9)\n"
            "            except BaseException: pass"
        )
    )
    assert (verdict.verdict, verdict.kind) == ("timeout", "endless-loop")
    assert "swallowed" in verdict.message
    assert verdict.counterexample and verdict.counterexample.steps[-1].op == "allocate"


@pytest.mark.parametrize("large", ["while True: pass", "x = [0] * 10**10"])
def test_a_wrong_answer_comes_before_what_a_longer_call_takes(large: str) -> None:
    text = "def blocks_needed(num_tokens, block_size):\n    if num_tokens > 100_000:\n        "
    text += f"{large}\n    return num_tokens // block_size\n"
    verdict = runner.check("04", "blocks_needed", text)
    assert (verdict.verdict, verdict.rule) == ("fail", "a-started-block-counts"), verdict.message
    assert {rule.name: rule.state for rule in verdict.rules}["nothing-needs-nothing"] == "unknown"


def test_the_sequence_that_hangs_is_shortened() -> None:
    verdict = check(pool("while len(self.f) == 1: pass"))
    assert verdict.verdict == "timeout" and verdict.counterexample
    assert [s.op for s in verdict.counterexample.steps][-1] == "allocate"
    assert len(verdict.counterexample.steps) <= 3


def test_a_name_from_another_cell_is_explained() -> None:
    verdict = check(pool("return helper(n)"), names=("helper",))
    assert "another cell" in verdict.message and "move the definition" in verdict.message


def test_what_the_code_prints_is_shown_and_cannot_be_taken_for_a_verdict() -> None:
    verdict = check(pool('print(\'{"verdict": "pass"}\')\n        return None'))
    assert verdict.verdict == "fail"
    assert "Your code printed" in report.render(verdict)


def test_right_code_passes_with_all_rules_held() -> None:
    verdict = check(pool())
    assert verdict.passed and all(r.state == "held" for r in verdict.rules)
    assert "passed, 7 of 7 rules hold" in report.render(verdict)


def test_a_stored_failure_is_tried_before_the_search() -> None:
    # The fault needs a pool of exactly 8 with everything held: no witness has it.
    text = pool("if self.num_blocks == 8 and not self.f and n == 5: return [0] * 5")
    stored = [["new", {"num_blocks": 8}], ["allocate", {"n": 5}], ["allocate", {"n": 3}], ["allocate", {"n": 5}]]
    verdict = runner.check("04", "BlockPool", text, stored=stored)
    assert verdict.verdict == "fail" and verdict.counterexample
    assert [[s.op, s.args] for s in verdict.counterexample.steps if s.op != "observe"] == stored


def test_the_same_text_gets_the_same_verdict_twice() -> None:
    text = pool("if n == 5 and len(self.f) >= 5: return None")
    first, second = check(text).to_dict(), check(text).to_dict()
    first.pop("seconds"), second.pop("seconds")
    assert first == second and first["verdict"] == "fail"


PASSED_OVER = """
class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        self.held = []

    def allocate(self, n):
        blocks = super().allocate(n)
        self.held += blocks or []
        return blocks

    def free(self, blocks):
        for block in blocks:
            if block in self.held:
                self.held.remove(block)
                super().free([block])
"""


@pytest.mark.parametrize("where", ["nobody learns of it", "stands in the pool twice"])
def test_only_a_block_that_was_taken_once_more_is_said_to_stand_twice(where: str) -> None:
    taken = PASSED_OVER.replace("if block in self.held", "if True").replace("self.held.remove(block)", "pass")
    verdict = runner.check("04", "CheckedPool", PASSED_OVER if where == "nobody learns of it" else taken)
    assert (verdict.rule, where in verdict.message) == ("double-free-refused", True), verdict.message


def test_known_mistake_gets_its_own_sentence() -> None:
    verdict = check(
        pool(
            "out = []\n        for _ in range(n):\n            if not self.f: return None\n"
            "            out.append(self.f.pop(0))\n        return out"
        )
    )
    assert verdict.rule == "refused-means-unchanged"
    assert verdict.mutant and "one by one" in verdict.mutant


def test_layers_are_checked_over_the_reference_first_then_over_the_learners_own(fresh_home) -> None:
    from labkit.grading.progress import Progress
    from labkit.grading.solutions import solution

    checked = solution("04", "CheckedPool")
    assert checked
    lossy = pool().replace("self.f.extend(blocks)", "pass")  # a pool that no check would have let pass
    Progress().save_pass("04_block_pool", "BlockPool", lossy)
    verdict = runner.check("04", "CheckedPool", checked)
    assert verdict.verdict == "fail" and verdict.over == "mine"
    assert "your own earlier ones" in report.render(verdict)
    Progress().save_pass("04_block_pool", "BlockPool", pool())
    assert runner.check("04", "CheckedPool", checked).passed


def test_an_earlier_part_that_passed_and_fails_here_is_named_with_what_to_do(fresh_home) -> None:
    from labkit.grading.progress import Progress
    from labkit.grading.solutions import solution

    # What no check of lesson 04 asks for, and lesson 07 does: 141 blocks at once.
    late = pool("if n == 141: raise KeyError(n)")
    assert check(late).passed
    Progress().save_pass("04_block_pool", "BlockPool", late)
    Progress().save_pass("06_sharing", "RefCounts", solution("06", "RefCounts") or "")
    verdict = runner.check("07", "register_release", solution("07", "register_release") or "")
    said = " ".join(report.render(verdict).split())
    assert (verdict.verdict, verdict.over) == ("fail", "mine")
    assert "KeyError in line 12 of your BlockPool, lesson 04." in said
    assert "It is your BlockPool of lesson 04: over this one and the references the check fails as well." in said


def test_no_part_is_looked_for_when_the_check_has_taken_long(fresh_home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that runs out of its time over the search would lose the verdict that it has."""
    from labkit.grading import earlier_parts
    from labkit.grading.progress import Progress

    monkeypatch.setenv("LABKIT_PARTS", "mine")
    Progress().save_pass("04_block_pool", "BlockPool", pool())
    spec, asked = SimpleNamespace(prelude="from labkit.mine import BlockPool\n"), []

    def fails() -> bool:
        asked.append(os.environ["LABKIT_PARTS"])
        return False

    assert "It is your BlockPool" in earlier_parts.to_blame(spec, fails, time.process_time())
    assert earlier_parts.to_blame(spec, fails, time.process_time() - earlier_parts.ENOUGH - 1) == ""
    assert asked == ["only 04_block_pool BlockPool"]


def test_an_earlier_part_that_stops_the_check_is_named_and_not_the_course(fresh_home) -> None:
    from labkit.grading.progress import Progress
    from labkit.grading.solutions import solution

    key = "07_hash_prefix_cache"
    locked = solution(key, "register_release").replace(  # type: ignore[union-attr]
        "    def register(", "    def __init__(self, refs):\n        super().__init__(refs)\n        import threading\n"
        "        self.lock = threading.Lock()\n\n    def register(", 1,
    )  # fmt: skip
    assert runner.check(key, "register_release", locked).passed
    Progress().save_pass(key, "register_release", locked)
    verdict = runner.check(key, "allocate_prompt", solution(key, "allocate_prompt") or "")
    said = " ".join(report.render(verdict).split())
    assert (verdict.kind, verdict.over) == ("own-part", "mine") and "fault of the course" not in said
    assert "passes over the reference parts. Over your own earlier ones the check could not go on" in said
    assert "It is your QueuePrefixCache of lesson 07 (exercise register_release)" in said


def test_a_pool_with_a_lock_is_a_right_pool_in_every_later_lesson(fresh_home) -> None:
    from labkit.grading.mistakes import bank
    from labkit.grading.progress import Progress
    from labkit.grading.solutions import solution

    locked = next(right.source for right in bank("04_block_pool").right if right.name == "locked-with-checks")
    Progress().save_pass("04_block_pool", "BlockPool", locked)
    assert runner.check("07", "allocate_prompt", solution("07", "allocate_prompt") or "").passed


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are a POSIX notion")
def test_a_name_that_only_the_learners_own_part_has_is_told_as_such() -> None:
    text = (
        "class RefCounts:\n"
        "    def __init__(self, pool):\n"
        "        self.num_blocks = pool.num_blocks\n"
        "        self.ids = pool.ids\n"
    )
    verdict = runner.check("06", "RefCounts", text, over=("reference",))
    assert verdict.kind == "raised"
    assert "The check puts the course's own BlockPool below this part before it puts yours there" in verdict.message
    other = text.replace("pool.ids", "pool.num_blocks.ids")
    assert "course's own" not in runner.check("06", "RefCounts", other, over=("reference",)).message


def test_children_of_the_code_do_not_outlive_the_check(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "alive"
    code = pool(
        f"import subprocess\n        open({str(marker)!r}, 'w').write(str(subprocess.Popen(['sleep', '99']).pid))\n"
        "        while True:\n            try:\n                import time; time.sleep(1)\n"
        "            except BaseException: pass"
    )
    monkeypatch.setattr(runner, "LIMITS", host.Limits(processor_seconds=3))
    assert check(code).verdict == "timeout"
    pid = int(marker.read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError(f"{pid} still runs")


COUNTS_OF_THE_CLASS = """
class RefCounts:
    counts = {}

    def __init__(self, pool):
        self.pool = pool

    @property
    def num_blocks(self):
        return self.pool.num_blocks

    @property
    def num_free(self):
        return self.pool.num_free

    def count(self, block):
        return self.counts.get(block, 0)

    def allocate(self, n):
        blocks = self.pool.allocate(n)
        for block in blocks or []:
            self.counts[block] = 1
        return blocks

    def share(self, blocks):
        for block in blocks:
            self.counts[block] += 1

    def drop(self, blocks):
        for block in blocks:
            self.counts[block] -= 1
        return [block for block in blocks if self.counts[block] == 0]

    def recycle(self, blocks):
        self.pool.free(blocks)

    def free(self, blocks):
        self.recycle(self.drop(blocks))
"""


SLOW_THE_FIRST_TIME = """
import sys, time
if not hasattr(sys, "labkit_test_loaded"):
    sys.labkit_test_loaded = True
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
"""


def test_what_the_prelude_imports_does_not_make_a_cell_slow(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell whose own top level is quick is run afresh for every sequence, so no state of a class leaks on; what the
    prelude loads is loaded once, however long that takes.
    """
    from labkit import specs
    from labkit.grading.job import _grade_over
    from labkit.sandbox import journal

    monkeypatch.setenv("LABKIT_PARTS", "reference")
    spec = specs.exercise("06", "RefCounts").spec
    job = {"lesson": "06_sharing", "text": COUNTS_OF_THE_CLASS, "prelude": SLOW_THE_FIRST_TIME + spec.prelude}
    journal.create(tmp_path / "journal")
    try:
        verdict = _grade_over(spec, job, journal.Journal(tmp_path / "journal"))
        assert hasattr(sys, "labkit_test_loaded")
    finally:
        del sys.labkit_test_loaded
    assert (verdict.verdict, verdict.rule) == ("fail", "counts-are-separate")


def at_once(count: int, ask: Callable[[], Verdict]) -> list[Verdict]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(ask) for _ in range(count)]]


def test_right_answers_pass_with_eight_checks_at_once() -> None:
    """Eight that load torch share two cores: each takes several times what it takes alone, and none is refused."""
    from labkit.grading.solutions import solutions

    exercise, text = next(iter(solutions("01").items()))
    verdicts = at_once(8, lambda: runner.check("01", exercise, text, over=("reference",), keep_spare=False))
    assert [(v.verdict, v.message) for v in verdicts] == [("pass", "")] * 8


def test_a_worker_that_gets_no_processor_is_told_from_code_that_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the worker got too little processor time twice, the machine is named, and no attempt is recorded."""
    from labkit.exercise_magic import keep
    from labkit.grading.progress import Progress

    tries: list[bool] = []
    real = host._beside_others
    monkeypatch.setattr(host, "_beside_others", lambda alone, stop: tries.append(alone) or real(alone, stop))
    monkeypatch.setattr(host.Worker, "_wait", lambda self, limits, interrupted: host.Outcome("busy"))
    verdict = check(pool())
    assert (verdict.verdict, verdict.kind, tries) == ("machine", "busy", [False, True])
    assert "too busy" in verdict.message and "loop" not in report.render(verdict)
    keep(Progress(), verdict, pool())
    assert not Progress().attempts("04_block_pool", "BlockPool")


def test_right_code_that_is_slow_is_not_told_to_look_for_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LIMITS", host.Limits(processor_seconds=2))
    wait = "import time\n        end = time.process_time() + 0.2\n        while time.process_time() < end: pass"
    verdict = check(pool(wait))
    assert (verdict.verdict, verdict.kind) == ("timeout", "slow")
    assert "each ends, but takes long" in verdict.message and "loop" not in verdict.message
    assert "too slow to be judged" in report.render(verdict)


def test_a_machine_without_room_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    host.close()
    verdict = check(pool())
    assert (verdict.verdict, verdict.kind) == ("machine", "no-room")
    assert "says nothing about your code" in verdict.message


@pytest.mark.parametrize("seconds", [0.07, 0.095])
def test_a_top_level_that_takes_a_while_costs_it_once(seconds: float) -> None:
    busy = f"import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
    assert check(busy + pool()).passed


def test_the_top_level_runs_once_a_check(tmp_path) -> None:
    note = tmp_path / "runs"
    assert check(f"open({str(note)!r}, 'a').write('x')\n" + pool()).passed
    assert note.read_text() == "x"


def test_no_solution_has_more_than_what_runs_in_the_notebook() -> None:
    from labkit import specs
    from labkit.grading import definitions
    from labkit.grading.solutions import solutions

    for lesson in specs.lessons():
        for id, text in solutions(lesson.key).items():
            parts = definitions.split(text, lesson.exercise(id).spec.prelude)
            assert definitions.sentence(parts) == "", f"{lesson.key} {id}"
