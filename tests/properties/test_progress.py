"""Progress behaves like plain dictionaries, whatever is done to it in any order, and travels whole through a file."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from labkit.grading.progress import Progress

LESSONS = st.sampled_from(["03_contiguous_world", "04_block_pool"])
NAMES = st.sampled_from(["pool", "table", "q-1"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
# Source text as an editor makes it; a lone surrogate is no text that a file can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


class ProgressMachine(RuleBasedStateMachine):
    """The file against dictionaries that hold what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.passes: dict[tuple[str, str], str] = {}
        self.attempts: dict[tuple[str, str], list[str]] = {}
        self.hints: dict[tuple[str, str], int] = {}
        self.failing: dict[tuple[str, str], object] = {}
        self.answers: dict[str, dict[str, dict]] = {}
        self.seed = self.progress.seed()

    @property
    def progress(self) -> Progress:
        return Progress(self.folder / "home")  # a new object each time: nothing may live in memory alone

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(lesson=LESSONS, name=NAMES, verdict=st.sampled_from(["pass", "fail", "error"]), text=TEXT)
    def attempt(self, lesson: str, name: str, verdict: str, text: str) -> None:
        self.progress.record_attempt(lesson, name, verdict, None, 0.5, text)
        self.attempts.setdefault((lesson, name), []).append(text)

    @rule(lesson=LESSONS, name=NAMES, text=TEXT)
    def save_pass(self, lesson: str, name: str, text: str) -> None:
        self.progress.save_pass(lesson, name, text)
        self.passes[lesson, name] = text
        self.failing.pop((lesson, name), None)

    @rule(lesson=LESSONS, name=NAMES)
    def hint(self, lesson: str, name: str) -> None:
        self.hints[lesson, name] = self.hints.get((lesson, name), 0) + 1
        assert self.progress.open_hint(lesson, name) == self.hints[lesson, name]

    @rule(lesson=LESSONS, name=NAMES, ops=JSON)
    def fail(self, lesson: str, name: str, ops: object) -> None:
        self.progress.save_failing(lesson, name, ops)
        self.failing[lesson, name] = ops
        if ops is None:
            del self.failing[lesson, name]

    @rule(lesson=LESSONS, name=NAMES, answer=JSON, correct=st.booleans())
    def answer(self, lesson: str, name: str, answer: object, correct: bool) -> None:
        self.progress.save_answer(lesson, name, answer, correct, float(correct))
        before = self.answers.setdefault(lesson, {}).get(name, {"attempts": 0})
        entry = {"answer": answer, "correct": correct, "score": float(correct), "attempts": before["attempts"] + 1}
        self.answers[lesson][name] = entry

    @rule(lesson=LESSONS, name=st.none() | NAMES)
    def reset(self, lesson: str, name: str | None) -> None:
        self.progress.reset(lesson, name)
        for table in (self.passes, self.attempts, self.hints, self.failing):
            for key in [key for key in table if key[0] == lesson and name in (None, key[1])]:
                del table[key]
        if name is None:
            self.answers.pop(lesson, None)

    @rule()
    def move_to_another_machine(self) -> None:
        """Export, and go on in a new home that imported the file."""
        file = self.progress.export(self.folder / "progress.json")
        exported = json.loads(file.read_text(encoding="utf-8"))
        shutil.rmtree(self.folder / "home")
        self.progress.import_(file)
        again = json.loads(self.progress.export(self.folder / "again.json").read_text(encoding="utf-8"))
        assert {**again, "exported": None} == {**exported, "exported": None}

    @invariant()
    def the_file_says_what_the_dictionaries_say(self) -> None:
        progress = self.progress
        assert progress.passed_all() == self.passes
        plain = {
            (file.parent.name, file.stem): file.read_bytes().decode() for file in progress.passed_dir.glob("*/*.py")
        }
        assert plain == self.passes
        for lesson in ("03_contiguous_world", "04_block_pool"):
            assert progress.answers(lesson) == self.answers.get(lesson, {})
            for name in ("pool", "table", "q-1"):
                key = (lesson, name)
                assert progress.passed(*key) == self.passes.get(key)
                assert progress.hint_level(*key) == self.hints.get(key, 0)
                assert progress.failing(*key) == self.failing.get(key)
                assert [entry["text"] for entry in progress.attempts(*key)] == self.attempts.get(key, [])
        assert progress.summary()["passed"] == len(self.passes)
        assert progress.seed() == self.seed


TestProgress = ProgressMachine.TestCase
TestProgress.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
