"""A class is judged beside the solution's: each operation runs on an object of either, and what they show is compared.

So a lesson writes no second model of what is right. It says which rule a difference breaks, and what to say of it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from labkit.errors import LabkitError
from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import Words, show
from labkit.grading.referee import Referee, StopSequence
from labkit.observe.events import EventLog
from labkit.observe.recorder import record

Cause = str | Callable[[Any, Any], str]
"""What to say of a difference: a sentence, or one made of what was seen and what was expected."""


class ClassReferee(Referee):
    """Runs operations on `self.mine`, the learner's object, and on `self.right`, the solution's.

    In `do_NAME`:

    - `self.make(rule, label, *pairs)` makes both; each pair is an argument for either.
    - `self.both(rule, "allocate", n, differs=rule, cause=...)` calls a method of both and compares the answers.
    - `self.look(rule, "count", block, cause=...)` compares what both show; only a difference becomes a line.

    With `draws = True` the replay shows what the solution's object did: the recorder writes it down.
    """

    mine: Any
    right: Any

    def make(self, rule: str, label: str, *pairs: tuple[Any, Any]) -> None:
        """Make both objects; the first of each pair of arguments is the learner's."""
        self.right = self.spec.solution()(*(right for _, right in pairs))
        self.mine = self.call(rule, label, self.implementation, *(mine for mine, _ in pairs), keep=False)

    def both(
        self,
        rule: str,
        method: str,
        *args: Any,
        differs: str = "",
        cause: Cause = "",
        label: str = "",
        right: tuple[Any, ...] | None = None,
        raises: tuple[type[Exception], ...] = (),
        awaited: str = "an answer",
    ) -> bool:
        """Call a method of both; whether the learner's answer is the solution's. What the solution raises is due.

        Args:
            rule: broken by an exception where none is due.
            differs: broken by another answer; `rule` where it is left out.
            label: how the call is written, where not as `method(args)`.
            right: what the solution's is called with, where it goes by other names.
            raises: errors that are an answer like any other, of which `cause` speaks.
            awaited: what is due, in words, where the call raised.
        """
        due: type[Exception] | None = None
        expected = None
        drawn = self.draws and isinstance(self.log, EventLog)
        solution = record(self.right, self.log, steps=False) if drawn else self.right
        self.same_luck()
        try:
            expected = getattr(solution, method)(*copy.deepcopy(args if right is None else right))
        except LabkitError as error:
            due = type(error)
        label = label or f"{method}({', '.join(show(arg, 60) for arg in args)})"
        self.same_luck()
        legal = raises or ((due,) if due else ())
        seen = self.call(rule, label, method, *args, on=self.mine, raises=legal, due=due, awaited=awaited)
        if due is not None:
            said = _say(cause, seen, expected) or f"{due.__name__} is due here."
            if isinstance(seen, raises):
                said = f"The call is refused, with {type(seen).__name__} where {due.__name__} is due."
            raised = Words(f"raises {due.__name__}")
            return self.require(differs or rule, isinstance(seen, due), expected=raised, cause=said)
        mismatch = compare(seen, expected)
        if mismatch is None:
            return True
        if isinstance(seen, raises):
            mismatch = Mismatch("rule")
        said = mismatch.sentence or _say(cause, seen, expected)
        shown = Words("None") if expected is None else expected
        return self.require(differs or rule, False, expected=shown, cause=said, kind=mismatch.kind)

    def same_luck(self) -> None:
        """Called before each of two calls that are compared: a part below that draws at random answers both alike."""
        random.seed(len(self.steps))

    def look(self, rule: str, name: str, *args: Any, cause: Cause) -> bool:
        """Compare an attribute, or what a method answers; a right one is no line of the trace."""
        expected = getattr(self.right, name)
        label = name
        if callable(expected):
            expected, label = expected(*args), f"{name}({', '.join(show(arg, 60) for arg in args)})"
            try:
                seen = self.call(rule, label, name, *args, on=self.mine)
            except StopSequence:
                self.steps[-1].op, self.steps[-1].args = "observe", {}
                raise
            self.steps.pop()
        else:
            seen = self.read(rule, self.mine, name)
        return compare(seen, expected) is None or self.observe(rule, label, seen, expected, _say(cause, seen, expected))

    def insist(self, rule: str, ok: bool, expected: Any, cause: str, kind: str = "rule") -> None:
        """`require` what the rest of the operation stands on: where it does not hold, nothing more is looked at."""
        if not self.require(rule, ok, expected=Words(expected), cause=cause, kind=kind):
            raise StopSequence


def _say(cause: Cause, seen: Any, expected: Any) -> str:
    return cause if isinstance(cause, str) else cause(seen, expected)


class Face:
    """A part by its public names alone, behind which nobody can reach.

    Attributes:
        given: what its method `hear` was given, in order.
    """

    def __init__(self, part: Any, hear: str = "") -> None:
        self._part, self._hear = part, hear
        self.given: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{name} is the part's own: call its methods.")
        method = getattr(self._part, name)
        return self._heard(method) if name == self._hear else method

    def _heard(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(items: Any) -> Any:
            items = list(items)
            self.given += items
            return method(items)

        return call
