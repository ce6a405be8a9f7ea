"""CheckReport: what a check found, one broken rule first, with hints, solution and a replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar

import traitlets

from labkit.grading.answers import Piece, lines, side_by_side
from labkit.grading.verdict import WORDS, Step, folded
from labkit.observe.events import EventLog
from labkit.observe.trees import TreeLog
from labkit.widgets import report_replay
from labkit.widgets.base import LabWidget

OVER_MINE = "It passes over the reference parts and fails over your own earlier ones: look there first."


class CheckReport(LabWidget):
    """The report of one check.

    Args:
        verdict: a `labkit.grading.verdict.Verdict`, or its dict.
        text: the same report as plain text (`labkit.grading.report.render`); used for the terminal and for text/plain.
        heading: what stands beside the tag where no rule is broken; the exercise by default.
        opened: hints that were opened before, in order.
        hints: how many hints there are; 0 shows no button.
        on_hint: opens the next hint and returns its text.
        on_solution: returns the solution's text; None shows no button.
        on_replay: returns a log to replay, for a verdict that carries none.
        difference: after a pass, a unified diff from the learner's text to the solution.
        next_step: after a pass, what comes next, in a few words.
    """

    _name: ClassVar[str] = "check_report"

    verdict = traitlets.Dict({}).tag(sync=True)
    tag = traitlets.Dict({}).tag(sync=True)
    heading = traitlets.Unicode("").tag(sync=True)
    sentences = traitlets.List([]).tag(sync=True)
    replay = traitlets.Dict({}).tag(sync=True)
    hints = traitlets.Int(0).tag(sync=True)
    opened = traitlets.List([]).tag(sync=True)
    has_solution = traitlets.Bool(False).tag(sync=True)
    can_replay = traitlets.Bool(False).tag(sync=True)
    replay_from = traitlets.Int(0).tag(sync=True)
    difference = traitlets.Unicode("").tag(sync=True)
    next_step = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        verdict: Any,
        text: str = "",
        *,
        heading: str = "",
        opened: Sequence[str] = (),
        hints: int = 0,
        on_hint: Callable[[], str | None] | None = None,
        on_solution: Callable[[], str | None] | None = None,
        on_replay: Callable[[], EventLog | TreeLog | None] | None = None,
        difference: str = "",
        next_step: str = "",
    ) -> None:
        data = _as_dict(verdict)
        self._text = text
        self._on_hint, self._on_solution, self._on_replay = on_hint, on_solution, on_replay
        example = data["counterexample"]
        self._carried = (example or {}).get("replay") or {}
        self._setup = (example or {}).get("setup") or ""
        self._whose = (example or {}).get("whose", "yours")
        replay = self._replay()
        super().__init__(
            verdict={**data, "counterexample": example and {**_laid_out(example), "replay": None}},
            tag=tag_of(data),
            heading=heading or data.get("exercise", ""),
            sentences=sentences_of(data),
            replay=replay,
            hints=hints,
            opened=list(opened)[:hints],
            has_solution=on_solution is not None,
            can_replay=on_replay is not None,
            # As the replay numbers its steps: an operation may be several lines of the trace.
            replay_from=replay.get("step") or (replay_line(example) if example else 0),
            difference=difference,
            next_step=next_step,
        )

    def summary(self) -> str:
        words = f"{self.tag['mark']} {self.tag['words']}"
        return f"CheckReport({self.verdict.get('exercise', '')}: {words})"

    def text_form(self) -> str:
        return self._text or self.summary()

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        kind = content.get("type")
        if kind == "hint" and self._on_hint is not None and len(self.opened) < self.hints:
            hint = self._on_hint()
            self.send({"type": "hint", "text": hint or ""})
            if hint:
                self.opened = [*self.opened, hint]
        elif kind == "solution" and self._on_solution is not None:
            solution = self._on_solution()
            self.send({"type": "solution", "text": solution or "There is no solution to show for this exercise yet."})
        elif kind == "replay" and self._on_replay is not None:
            log = self._on_replay()
            self._carried = log.to_data() if log is not None else {}
            replay = self._replay()
            if replay:
                self.replay = replay
            else:
                self.send({"type": "problem", "text": "There is nothing to draw for this sequence of operations."})

    def _replay(self) -> dict[str, Any]:
        """The replay as the page draws it; {} where there is none, or none that can be drawn."""
        try:
            return report_replay.for_page(self._carried, self._setup, self._whose) if self._carried else {}
        except Exception:
            return {}  # whatever the code under check built: the report stands without a picture of it


def _as_dict(verdict: Any) -> dict[str, Any]:
    data = asdict(verdict) if is_dataclass(verdict) and not isinstance(verdict, type) else dict(verdict)
    data.setdefault("rules", [])
    data.setdefault("counterexample", None)
    data.setdefault("rule", None)
    data.setdefault("printed", "")
    data.setdefault("seconds", 0.0)
    return data


def _laid_out(example: dict[str, Any]) -> dict[str, Any]:
    """A counterexample, its broken line with both answers as the page draws them: lines of [text, differs]."""
    steps = []
    known = Step.__dataclass_fields__  # a verdict that was laid out before has more in it
    found = [Step(**{name: value for name, value in step.items() if name in known}) for step in example["steps"]]
    for step in map(asdict, folded(found)):
        if step["broken"]:
            due, seen = step["expected"], step["seen"] or "nothing"
            both = side_by_side(due, seen) if due is not None else ([], [[Piece(item) for item in lines(seen)[0]]])
            step = {**step, "answers": {"expected": both[0], "seen": both[1]}}
        steps.append(step)
    return {"whose": "yours", **example, "steps": steps}


def tag_of(verdict: dict[str, Any]) -> dict[str, str]:
    """The tag at the head of a report: {mark, words, tone}. The mark says it without colour."""
    rules = verdict["rules"]
    word, kind = verdict["verdict"], verdict.get("kind", "")
    if word == "pass":
        count = len(rules)
        words = "passed" if not count else f"{count} of {count} rules hold" if count > 1 else "the rule holds"
        return {"mark": "✓", "words": words, "tone": "ok"}
    if kind in ("not-written", "empty") or word == "missing":
        return {"mark": "○", "words": "not written yet", "tone": "sub"}
    if word == "fail":
        broken = max(1, sum(rule["state"] == "broken" for rule in rules))
        words = f"{broken} of {max(len(rules), broken)} rules broken"
        return {"mark": "✕", "words": words, "tone": "bad"}
    if word == "machine":
        return {"mark": "○", "words": WORDS.get(kind, "not judged"), "tone": "sub"}
    if word == "timeout":
        return {"mark": "✕", "words": WORDS.get(kind, "ran out of time"), "tone": "bad"}
    return {"mark": "✕", "words": WORDS.get(kind, "could not be judged"), "tone": "bad"}


def sentences_of(verdict: dict[str, Any]) -> list[str]:
    """The cause, the sentence made for this mistake, and what else is to be said."""
    said = [] if verdict["verdict"] == "pass" else [verdict.get("message", ""), verdict.get("mutant") or ""]
    if verdict["verdict"] == "fail" and verdict.get("over") == "mine":
        said.append(OVER_MINE)
    said += list(verdict.get("notes") or [])
    return [words for words in said if words]


def replay_line(counterexample: dict[str, Any]) -> int:
    """The line of the trace from which the replay starts: the last real operation up to the broken line."""
    failing = counterexample["failing"]
    acts = [step["n"] for step in counterexample["steps"] if step["op"] != "observe" and step["n"] <= failing]
    return acts[-1] if acts else failing
