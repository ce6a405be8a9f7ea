"""The referee applies operations to one implementation, and says at the first step which rules broke."""

from __future__ import annotations

import builtins
import copy
import difflib
import dis
import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from labkit import errors
from labkit.grading.compare import compare
from labkit.grading.display import Words, error_text, show, show_both
from labkit.grading.language import Op
from labkit.grading.signatures import read_only
from labkit.grading.specification import GENERAL, Specification
from labkit.grading.verdict import Step
from labkit.observe.events import EventLog
from labkit.sandbox.limits import LimitReached

MISSING = object()


@dataclass
class Failure:
    """One broken rule at one step, with what was seen and expected there: the step's line shows those of the worst."""

    rule: str
    kind: str
    cause: str
    step: Step
    seen: str = ""
    expected: str | None = None


class Unjudgeable(Exception):
    """The code cannot be judged further: a missing method, wrong parameters, no such name.

    Attributes:
        kind: the kind of the verdict, e.g. "missing-method".
    """

    def __init__(self, kind: str, message: str, verdict: str = "error") -> None:
        super().__init__(message)
        self.kind = kind
        self.verdict = verdict


class StopSequence(Exception):
    """Raised by `Referee.call` after a failure that makes the rest of the operation meaningless."""


class Illegal(Exception):
    """An operation makes no sense now; the message says why, to whoever wrote it."""


class ReplayLog(Protocol):
    """What a referee keeps for the replay: `labkit.observe`'s `EventLog`, or its `TreeLog`.

    Attributes:
        labels: one sentence per step.
    """

    labels: list[str]

    def begin(self, label: str) -> int:
        """Open the next step and return its number, counted from 0."""

    def to_data(self) -> dict[str, Any]:
        """The log as JSON-able data; "kind" says which log it is."""


class Referee:
    """Applies operations to one implementation and says at the first step which rules broke.

    A subclass has one `do_NAME(self, **args)` for each operation; its signature declares the operation. Inside it:

    - `self.call(rule, label, function, *args)` calls the learner's code under guard and returns what came back;
      an exception there breaks `rule`.
    - `self.require(rule, ok, expected=, cause=)` states a rule about the last call; returns `ok`.
    - `self.observe(rule, label, read, expected, cause)` reads something afterwards as a line of its own.
    - `self.note(text)` puts a remark at the end of the line ("right: only 1 is free").

    `resolve(op)` says what is legal now. `self.log` keeps what the replay shows; set `draws = True` to have it
    shipped. It is an `EventLog`, which takes events, unless a subclass makes it another `ReplayLog`.
    """

    draws = False
    below = ""  # about the parts that the check puts below the learner's, for code that asks one for what it has not
    log: Any  # a ReplayLog

    def __init__(self, spec: Specification, namespace: Mapping[str, Any]) -> None:
        self.spec = spec
        self.namespace = namespace
        self.log = EventLog()
        self.steps: list[Step] = []
        self.failures: list[Failure] = []
        self.setup_text = ""
        self.at = 0  # the step of the log that belongs to the operation running now; observations follow it
        self.first_line = 0  # the first line of that operation, as an index of `steps`
        # In which ways the caller is careless: "changes" answers once they were looked at, passes "slices" of tensors,
        # "refills" what was passed before. See `Judge`.
        self.thorough: frozenset[str] = frozenset()
        self._answers: list[tuple[str, Any, Any]] = []  # the call, its answer, and a copy made at once
        self._observed: dict[int, str] = {}  # id of a step that was read -> what the replay says of it
        self._seen: Any = MISSING  # what the last call answered
        self._made: Any = MISSING  # the last object of the learner's class
        self._op: Op | None = None
        self._rule = spec.rules[0].name if spec.rules else ""

    # ----- for subclasses -------------------------------------------------------------------------------------

    def resolve(self, op: Op, bend: bool = True) -> Op:
        """The operation as it is legal in the present state.

        Args:
            bend: whether it may be rewritten to one that makes sense (an index modulo what is held), as for one drawn
                at random. Without, it stays as somebody wrote it.

        Raises:
            Illegal: it makes no sense now.
        """
        return op

    @property
    def implementation(self) -> Any:
        """What the learner defined under the specification's name."""
        return self.namespace[self.spec.target]

    def call(
        self,
        rule: str,
        label: str,
        function: Callable[..., Any] | str,
        *args: Any,
        on: Any = MISSING,
        raises: type[BaseException] | tuple[type[BaseException], ...] = (),
        keep: bool = True,
        due: type[BaseException] | None = None,
        awaited: str = "an answer",
        **kwargs: Any,
    ) -> Any:
        """Call the learner's code and write the line for it.

        Args:
            rule: the rule that an exception breaks.
            label: how the call is written in the report, e.g. "allocate(3)".
            function: the callable, or the name of a method of `on`.
            on: the object that has the method or property.
            raises: exceptions that are a legal answer here; the exception itself is then returned.
            keep: whether arguments must come back unchanged (lists, dicts, arrays, tensors are compared).
            due: the exception that this call should end in, where one is; only used to word what went wrong.
            awaited: what the call should answer, in words; only used to word what went wrong.

        Raises:
            StopSequence: after a failure was noted. Unjudgeable: where nothing can be called.
        """
        step = self._line(label)
        self._rule = rule
        if isinstance(function, str):
            function = self._method(on, function)
        if not callable(function):
            raise Unjudgeable(
                "missing-name",
                f"{self.spec.target} is {show(function, 60)}, which cannot be called; keep the definition of the stub.",
            )
        given = [*args, *kwargs.values()]
        before = [_copy(a) for a in given] if keep else []
        order = [_objects(a) for a in given] if keep else []
        awaited = f"raises {due.__name__}" if due else awaited
        try:
            seen = function(*args, **kwargs)
        except raises as expected:
            step.seen = f"raises {type(expected).__name__}"
            return expected
        except BaseException as error:
            if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
                _check_parameters(function, args, kwargs, label)  # it was not even entered
            self._raised(rule, "The call", error, step, awaited, due)
        if raises and isinstance(seen, BaseException):
            step.seen = f"returns {type(seen).__name__}"
            cause = f"The call returned the {type(seen).__name__} as an answer; an error is raised."
            self._fail(rule, "wrong-type", cause, step, expected=awaited if due else None)
            raise StopSequence
        if function is self.implementation and isinstance(function, type):
            self._made = seen
        # An object without a repr of its own has nothing to show but its class name.
        bare = type(seen).__repr__ is object.__repr__  # type: ignore[comparison-overlap]
        step.seen = "" if bare else show(seen)
        self._seen = seen
        for i, (old, new) in enumerate(zip(before, given, strict=False)):
            if not _same(old, new) or [*map(id, order[i])] != [*map(id, _objects(new))]:
                cause = (
                    f"Argument {i + 1} was changed by the call: it was {show(old)} and is now {show(new)}. "
                    "Work on a copy."
                )
                self._fail(self.spec.stay, "changed-inputs", cause, step, expected="arguments left as they were")
                raise StopSequence
        for part in seen if isinstance(seen, tuple) else (seen,):
            if isinstance(part, list | dict | set | bytearray) or hasattr(part, "clone"):
                self._answers.append((label, part, _copy(part)))
        return seen

    def read(self, rule: str, on: Any, name: str) -> Any:
        """Read a public attribute or property of the learner's object (no line is written)."""
        self._rule = rule
        try:
            value = getattr(on, name)
        except BaseException as error:
            if isinstance(error, AttributeError) and not _defines(on, name):
                asked = f"{type(on).__name__} has no {name}; the exercise asks for it."
                raise Unjudgeable("missing-method", asked + _not_begun(on)) from None
            self._raised(rule, f"Reading {name}", error, None, "an answer")
        if callable(value) and not isinstance(value, type):
            raise Unjudgeable(
                "wrong-parameters",
                f"{type(on).__name__}.{name} is a method; the exercise asks for a property (put @property above it).",
            )
        return value

    def require(
        self, rule: str, ok: bool, *, expected: Any = None, cause: str, kind: str = "rule", seen: Any = MISSING
    ) -> bool:
        """State that `rule` holds for the last line. Returns `ok` so that the author can stop early."""
        self.spec.rank(rule)
        if not ok:
            step, due = self.steps[-1], None if expected is None else show(expected)
            if seen is MISSING and self._seen is not MISSING and step.seen == show(self._seen):
                seen = self._seen
            if seen is not MISSING and due is not None:
                told, due = show_both(seen, expected)
                seen = Words(told)
            self._fail(rule, kind, cause, step, expected=due, seen=seen)
        return ok

    def observe(self, rule: str, label: str, seen: Any, expected: Any, cause: str) -> bool:
        """Compare something read after an operation; only where it differs does it become a line of the trace."""
        self.spec.rank(rule)
        mismatch = compare(seen, expected)
        if mismatch is None:
            return True
        step = self._line(label, observe=True)
        step.seen, due = show_both(seen, expected)
        self._observed[id(step)] = f"{label} \u2192 {step.seen}, expected {due}"
        self._fail(rule, mismatch.kind, mismatch.sentence or cause, step, expected=due)
        return False

    def note(self, text: str) -> None:
        """A remark at the end of the last line."""
        self.steps[-1].note = text

    # ----- driven by the judge --------------------------------------------------------------------------------

    def apply(self, op: Op) -> list[Failure]:
        """Run one operation; returns the failures of this step, worst first (empty when all rules held)."""
        self._op = op
        self.at = self.log.begin("")
        self.first_line = len(self.steps)
        args = {name: _fresh(value) for name, value in op.args.items()}
        self._guarded(lambda: getattr(self, "do_" + op.name)(**args))
        self.caption()
        if "changes" in self.thorough:
            for _, answer, _ in self._answers:
                _change(answer)
        if self.thorough:
            self._answers = []
        return self.failures

    def finish(self) -> list[Failure]:
        """After the last operation: what was answered before must still be what it was."""
        self._guarded(self._answers_stay)
        return self.failures

    def _answers_stay(self) -> None:
        if self.thorough and self._made is not MISSING and (sentence := read_only(self._made, self.spec)):
            raise Unjudgeable("missing-method", sentence)
        for label, answer, before in self._answers:
            if not _same(before, answer):
                step = self._line(f"the answer of {label}", observe=True)
                step.seen = show(answer)
                cause = (
                    "A later call changed what was answered here: an answer belongs to whoever asked for it. "
                    "Give each a new one."
                )
                self._fail(GENERAL[1].name, "changed-answer", cause, step, expected=show(before))
                return

    def _guarded(self, act: Callable[[], None]) -> None:
        self.failures = []
        try:
            act()
        except StopSequence:
            pass
        except (Unjudgeable, MemoryError):
            raise
        except Exception as error:
            # What came back was looked at here, and an __eq__ or __iter__ of the learner's own raised.
            if not _from_the_text(error) or not self.steps:
                raise
            cause = f"Looking at the answer raised {type(error).__name__}{_line_of(error, self.spec)}."
            self.steps[-1].seen = _named(error)
            self._fail(self._rule, "raised", cause, self.steps[-1], expected="an answer")
        self.failures.sort(key=lambda f: self.spec.rank(f.rule))
        self._tell_one()
        for failure in self.failures[:1]:
            failure.step.broken = True
            failure.step.seen, failure.step.expected = failure.seen, failure.expected
            if failure.step.expected == failure.step.seen:  # they look alike; what differs, the cause says
                failure.step.expected = None

    def _tell_one(self) -> None:
        """What was read and broke the worst rule is a step of the replay; what broke another one is no line."""
        for failure in self.failures[:1]:
            others = [f.step for f in self.failures[1:] if f.step is not failure.step and f.step.op == "observe"]
            self.steps[:] = [step for step in self.steps if not any(step is other for other in others)]
            for n, step in enumerate(self.steps, 1):
                step.n = n
            if id(failure.step) in self._observed:
                self.log.begin(self._observed[id(failure.step)])

    def caption(self) -> None:
        """Write the sentence of the operation running now into the log: its first line."""
        if len(self.steps) > self.first_line:
            line = self.steps[self.first_line]
            self.log.labels[self.at] = f"{line.label} \u2192 {line.seen}" if line.seen else line.label

    def _line(self, label: str, observe: bool = False) -> Step:
        assert self._op is not None
        step = Step(
            n=len(self.steps) + 1,
            op="observe" if observe else self._op.name,
            args={} if observe else dict(self._op.args),
            label=label,
        )
        self.steps.append(step)
        return step

    def _fail(
        self, rule: str, kind: str, cause: str, step: Step, expected: str | None = None, seen: Any = MISSING
    ) -> None:
        rule = self.spec.rename(rule)
        self.spec.rank(rule)
        shown = step.seen if seen is MISSING else show(seen)
        self.failures.append(Failure(rule, kind, cause, step, shown, step.expected if expected is None else expected))

    def _raised(
        self,
        rule: str,
        what: str,
        error: BaseException,
        step: Step | None,
        awaited: str,
        due: type[BaseException] | None = None,
    ) -> None:
        """Note what an exception of the learner's code means; never returns."""
        if isinstance(error, MemoryError) and not _raised_by_the_text(error):
            raise error
        if isinstance(error, Unjudgeable | StopSequence | LimitReached | SystemExit | KeyboardInterrupt):
            raise error
        if isinstance(error, NameError):
            raise Unjudgeable("undefined-name", describe_name_error(error, self.namespace)) from error
        if step is None:
            step = self._line(what.removeprefix("Reading "), observe=True)
        kind, step.seen = "raised", _named(error)
        if isinstance(error, NotImplementedError):
            kind, step.seen = "not-written", "not written yet"
            cause = (
                "This part is not written yet: the call ends in NotImplementedError."
                if what == "The call"
                else f"{what.removeprefix('Reading ')} is not written yet: it ends in NotImplementedError."
            )
        elif isinstance(error, RecursionError):
            kind, step.seen = "recursion", "RecursionError"
            cause = (
                "The call went on calling itself until Python gave up: the calls nest too deep, or never reach an end."
            )
        else:
            cause = f"{what} raised {type(error).__name__}{_line_of(error, self.spec)}"
            if due is not None:
                cause += f" where {due.__name__} is due."
                if type(error).__name__ == due.__name__:
                    cause += f" Your own class {due.__name__} is another one than the one imported for this cell."
            else:
                cause += f" where {awaited} was due." if what == "The call" else "."
                if isinstance(error, AttributeError) and (meant := _meant_of(error)):
                    cause += f" Is {meant} meant?"
                elif isinstance(error, AttributeError) and self.below:
                    cause += f" {self.below}"
            cause += "" if self.below else _put_below(error)
        self._fail(rule, kind, cause, step, expected=awaited if kind == "raised" else "an answer")
        raise StopSequence from error

    def _method(self, on: Any, name: str) -> Callable[..., Any]:
        method = getattr(on, name, None)
        if method is None:
            raise Unjudgeable("missing-method", f"{type(on).__name__} has no method {name}; the exercise asks for it.")
        if not callable(method) and callable(getattr(type(on), name, None)):
            raise Unjudgeable(
                "hidden-method",
                f"self.{name} = ... hides the method {name}: an object has one thing under a name. Give "
                f"what you keep there another name.",
            )
        if not callable(method):
            raise Unjudgeable("missing-method", f"{type(on).__name__}.{name} is not a method; it is {show(method)}.")
        return method


# ----- helpers ------------------------------------------------------------------------------------------------


_COMPARED = (dict, set, bytearray, int, float, str, list, tuple)
"""What two of are compared by their content."""


def _fresh(value: Any) -> Any:
    """A copy of plain data, which `copy.deepcopy` takes several times as long for."""
    if type(value) is list:
        return [_fresh(item) for item in value]
    return value if type(value) in (int, str, float, bool, type(None)) else copy.deepcopy(value)


def _copy(value: Any) -> Any:
    if hasattr(value, "clone"):
        return value.clone()
    if isinstance(value, list | dict | set | bytearray) or hasattr(value, "__array__"):
        return copy.deepcopy(value)
    return value


def _objects(value: Any) -> list[Any]:
    """Those in a list whose copies `_same` cannot tell apart, in their order: two may have changed places."""
    if not isinstance(value, list):
        return []
    return [one for one in value if not isinstance(one, _COMPARED) and not hasattr(one, "shape")]


def _change(answer: Any) -> None:
    """Do with an answer what whoever asked for it may do: it is theirs."""
    if isinstance(answer, list):
        answer.insert(0, None)
    elif isinstance(answer, dict):
        answer[None] = None
    elif isinstance(answer, set):
        answer.add(None)
    elif hasattr(answer, "clone") and not answer.requires_grad:
        answer.zero_()


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if hasattr(old, "shape") and hasattr(new, "shape"):
        if tuple(old.shape) != tuple(new.shape):
            return False
        equal = (old == new) | ((old != old) & (new != new))
        return bool(equal.all())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(_same(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[k], new[k]) for k in old)
    if isinstance(old, _COMPARED):
        return bool(old == new)
    return True


def _defines(on: Any, name: str) -> bool:
    return any(name in vars(cls) for cls in type(on).__mro__)


def _named(error: BaseException) -> str:
    text = error_text(error, 80)
    return type(error).__name__ + (f": {text}" if text else "")


def _meant_of(error: AttributeError) -> str:
    """The attribute of an object of the text's own class that was most likely meant; "" where none is like it."""
    if not _from_the_text(error) or not isinstance(error.name, str) or not hasattr(error.obj, "__dict__"):
        return ""
    defined = vars(type(error.obj))
    used = {n for f in defined.values() if inspect.isfunction(f) for n in f.__code__.co_names}
    own = [
        n for n in {**vars(error.obj), **defined} if n in defined or n in used
    ]  # what a class above keeps is not told
    return next((f"self.{n}" for n in difflib.get_close_matches(error.name, own, 1, 0.8)), "")


def _frames_of_the_text(error: BaseException) -> Iterator[FrameType]:
    """The frames of the traceback that are in a text that is being judged, outermost first."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(("<exercise", "<bank", "<bug")):
            yield frame


def _from_the_text(error: BaseException) -> bool:
    """Whether the traceback passes through a text that is being judged."""
    return any(True for _ in _frames_of_the_text(error))


def _raised_by_the_text(error: BaseException) -> bool:
    """Whether a `raise` of a text that is being judged made the error: a MemoryError then says that a pool is full."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or not tb.tb_frame.f_code.co_filename.startswith(("<exercise", "<bank", "<bug")):
        return False
    return tb.tb_frame.f_code.co_code[tb.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _line_of(error: BaseException, spec: Specification | None = None) -> str:
    """ " in line 7 of your cell" where the traceback passes through the learner's text.

    Where it ends in another text of theirs than that of `spec`, that one is named.
    """
    tb, line, name = error.__traceback__, None, ""
    while tb is not None:
        if tb.tb_frame.f_code.co_filename.startswith("<exercise"):
            line, name = tb.tb_lineno, tb.tb_frame.f_code.co_filename
        tb = tb.tb_next
    if line is None:
        return ""
    lesson, _, exercise = name.removeprefix("<exercise ").removesuffix(">").partition("/")
    if spec is None or not exercise or exercise == spec.exercise:
        return f" in line {line} of your cell"
    return f" in line {line} of your {exercise}, lesson {lesson}"


def _put_below(error: BaseException) -> str:
    """What to say where the learner's part used a name that its own earlier part has, and the course's has not."""
    from labkit.engine import exported, load_reference
    from labkit.specs import exercise

    if not isinstance(error, AttributeError) or os.environ.get("LABKIT_PARTS") == "mine":
        return ""
    for cls in type(error.obj).__mro__:
        where = exported().get(cls.__name__) if cls.__module__.startswith("labkit.") else None
        if where and load_reference(exercise(*where).reference) is cls:
            return (
                f" The check puts the course's own {cls.__name__} below this part before it puts yours there: use the "
                f"names that the exercise asks of {cls.__name__}, and none that you added."
            )
    return ""


def _not_begun(on: Any) -> str:
    """What to say of an object whose class has an `__init__` of its own that does not call the one above it."""
    own = vars(type(on)).get("__init__")
    above = next((cls for cls in type(on).__mro__[1:] if "__init__" in vars(cls)), object)
    if above is object or not inspect.isfunction(own) or "__init__" in own.__code__.co_names:
        return ""
    return (
        f" {type(on).__name__}.__init__ does not call that of {above.__name__}, which may be what makes it: is "
        "super().__init__(...) missing?"
    )


def _check_parameters(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], label: str
) -> None:
    try:
        signature = inspect.signature(function)
    except Exception:
        return  # not every callable has one, and one of the learner's own making may raise anything
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        if own := _without_self(function, args, kwargs):
            raise Unjudgeable(
                "wrong-parameters",
                f"{name} is a method and has no self: the first of its parameters is given the object, and yours are "
                f"{own}. Keep the parameters of the stub.",
            ) from None
        raise Unjudgeable(
            "wrong-parameters",
            f"{name} is called as {label}; yours is {name}{signature}. Keep the parameters of the stub.",
        ) from None


def _without_self(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.Signature | None:
    """The parameters of a method that has those of this call alone, and none for the object before them; else None."""
    try:
        signature = inspect.signature(function.__func__)
        signature.bind(*args, **kwargs)
    except Exception:
        return None
    return None if "self" in signature.parameters else signature


def describe_name_error(error: NameError, namespace: Mapping[str, Any]) -> str:
    """Say which name is missing and, where it lives in another cell, what to do about it."""
    name = getattr(error, "name", None) or error_text(error, 200).split("'")[1:2] or ["?"]
    name = name if isinstance(name, str) else name[0]
    from labkit.engine import exported

    elsewhere = namespace.get("__labkit_notebook_names__", ())
    where = _line_of(error)
    if isinstance(error, UnboundLocalError):
        return (
            f"{name}{where} is read before it has a value: a name that a function assigns to belongs to that call "
            "alone, and starts empty."
        )
    if name == "get_ipython":
        return f"get_ipython{where} belongs to the notebook, and a check runs outside of it: leave it out of this cell."
    if name in elsewhere:
        return (
            f"{name}{where} is defined in another cell. A check sees only this cell and what its prelude imports: "
            "move the definition into this cell."
        )
    if where_from := "labkit.errors" if hasattr(errors, name) else "labkit.mine" if name in exported() else "":
        return f"The name {name} is used{where} but never defined: from {where_from} import {name}, in this cell."
    if meant := _meant(error, name):
        return f"The name {name} is used{where} but never defined: is {meant} meant?"
    return f"The name {name} is used{where} but never defined: define or import it in this cell."


def _meant(error: BaseException, name: str) -> str:
    """What a name without a value was most likely to be: `self.` before it is missing, or it is misspelt; else ""."""
    scopes = list(_frames_of_the_text(error))[::-1]
    for frame in scopes:
        on = frame.f_locals.get("self", MISSING)
        if on is not MISSING and inspect.getattr_static(on, name, MISSING) is not MISSING:
            return f"self.{name}"
    known = [n for frame in scopes for n in frame.f_locals if not n.startswith("__")]
    known += [n for frame in scopes[:1] for n in frame.f_globals if not n.startswith("_")]
    if len(parts := {n for n in known if name in n.split("_")}) == 1:
        return parts.pop()
    known += [n for n in dir(builtins) if n.islower() and n not in ("copyright", "credits", "exit", "help", "license")]
    return next(iter(difflib.get_close_matches(name, known, 1, 0.8)), "")
