"""Executable specifications: named rules, operations as plain data, and a referee that follows them.

One specification has three uses. It tests the reference implementation, it is the learner's check, and it is itself
proved by a bank of wrong implementations that it must reject, each by the right rule.

Three ideas hold it together:

- An operation is plain data: a name and JSON arguments. Any sequence can be stored, printed and replayed.
- The referee applies operations to the implementation and compares only what comes back from public calls with a
  simple model of its own. It never looks at a private attribute, so a list, a deque or a bitmap are judged alike.
- Rules are listed worst first. When several break at once, the learner sees the first.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from labkit.grading.compare import compare
from labkit.grading.display import error_text, show
from labkit.grading.limits import LimitReached
from labkit.grading.verdict import Step
from labkit.observe.events import EventLog

MISSING = object()


@dataclass(frozen=True)
class Rule:
    """One thing that must hold: a short hyphenated name and a sentence that a learner can read."""

    name: str
    statement: str


@dataclass(frozen=True)
class Op:
    """One operation as plain data."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        """[name, args]."""
        return [self.name, dict(self.args)]

    @classmethod
    def from_json(cls, data: Iterable[Any]) -> Op:
        """The inverse of `to_json`."""
        name, args = data
        return cls(str(name), dict(args))


def op(name: str, **args: Any) -> Op:
    """Shorthand for writing witnesses: `op("allocate", n=3)`."""
    return Op(name, args)


@dataclass(frozen=True)
class Witness:
    """A hand-written sequence that exposes the plainest violations of one rule."""

    rule: str
    ops: tuple[Op, ...]

    def __init__(self, rule: str, *ops: Op) -> None:
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "ops", tuple(ops))


@dataclass
class Failure:
    """One broken rule at one step."""

    rule: str
    kind: str
    cause: str
    step: Step


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


class Specification:
    """Base class of all specifications. A subclass is one exercise; see `labkit/specs/block_pool.py` for a model.

    Class attributes to set:
        exercise: the exercise id, which is also the name the learner defines.
        rules: tuple of `Rule`, worst first.
        witnesses: tuple of `Witness`, at least one for each rule.
        hints: three strings: a question, the invariant, code with a blank.
        referee: subclass of `Referee`.
        rule_hints: a first hint that fits one rule, by the rule's name, where the general one would miss the point.
        prelude: import lines that run before the learner's text.
        stateful: True for a class driven by a sequence of operations, False for a function (one "call").
        examples, steps: size of the random search (`steps` only where stateful).
        op_seconds: limit for one operation.
        needs_torch: whether the worker should have torch loaded.
        defines: the name the learner must define, where it differs from `exercise`.
        parameters: the parameter names shown when the learner's function takes others (functions only).
    """

    exercise: str = ""
    rules: tuple[Rule, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    hints: tuple[str, str, str] = ("", "", "")
    rule_hints: Mapping[str, str] = {}
    referee: type[Referee]
    prelude: str = ""
    stateful: bool = True
    examples: int = 60
    steps: int = 20
    op_seconds: float = 1.0
    needs_torch: bool = False
    defines: str = ""

    @property
    def target(self) -> str:
        """The name that the learner's text must define."""
        return self.defines or self.exercise

    def setup(self) -> Mapping[str, Any]:
        """Hypothesis strategies for the arguments of the first operation, "new" (stateful only)."""
        return {}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """Hypothesis strategies: operation name -> {argument: strategy}. Import hypothesis inside this method."""
        return {}

    def hints_for(self, rule: str | None) -> tuple[str, ...]:
        """The hints for a learner whose code broke this rule."""
        return (self.rule_hints.get(rule or "", self.hints[0]), *self.hints[1:])

    def describe(self, op: Op) -> str:
        """An operation as the report writes it, where only the journal tells what ran."""
        args = ", ".join(show(v, 40) for v in op.args.values())
        return f"{self.target}({args})" if op.name in ("new", "call") else f"{op.name}({args})"

    def judge(self, judge: Any, namespace: Mapping[str, Any], stored: list[Op]) -> Any:
        """The verdict on an implementation that `judge` can run; exercises of another kind override this."""
        return judge.verdict(stored)

    def rename(self, rule: str) -> str:
        """The name under which a rule of a shared referee is known here; a layer may fold many rules into one."""
        return rule

    def rank(self, rule: str) -> int:
        """Position of a rule, worst first; unknown names raise KeyError so that a typo cannot hide."""
        for i, known in enumerate(self.rules):
            if known.name == self.rename(rule):
                return i
        raise KeyError(f"{self.exercise}: no rule is called {rule!r}; the rules are {[r.name for r in self.rules]}")


class ReplayLog(Protocol):
    """What a referee keeps for the replay: `labkit.observe`'s `EventLog`, or its `TreeLog`.

    Attributes:
        labels: one sentence a step.
    """

    labels: list[str]

    def begin(self, label: str) -> int:
        """Open the next step and return its number, counted from 0."""

    def to_data(self) -> dict[str, Any]:
        """The log as JSON-able data; "kind" says which log it is."""


class Referee:
    """Applies operations to one implementation and says at the first step which rules broke.

    A subclass has one `do_NAME(self, **args)` for each operation. Inside it:

    - `self.call(rule, label, function, *args)` calls the learner's code under guard and returns what came back;
      an exception there breaks `rule`.
    - `self.require(rule, ok, expected=, cause=)` states a rule about the last call; returns `ok`.
    - `self.observe(rule, label, read, expected, cause)` reads something afterwards as a line of its own.
    - `self.note(text)` puts a remark at the end of the line ("right: only 1 is free").

    `resolve(op)` may rewrite a random operation to one that makes sense now (an index modulo what is held), or
    return None to skip it. `self.log` keeps what the replay shows; set `draws = True` to have it shipped. It is an
    `EventLog`, which takes events, unless a subclass makes it another `ReplayLog`.
    """

    draws = False
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
        self._op: Op | None = None
        self._rule = spec.rules[0].name if spec.rules else ""

    # ----- for subclasses -------------------------------------------------------------------------------------

    def resolve(self, op: Op) -> Op | None:
        """Make a randomly drawn operation legal in the present state, or None to skip it."""
        return op

    @property
    def implementation(self) -> Any:
        """What the learner defined under the specification's name."""
        return self.namespace[self.spec.target]

    def call(self, rule: str, label: str, function: Callable[..., Any] | str, *args: Any, on: Any = MISSING,
             raises: type[BaseException] | tuple[type[BaseException], ...] = (), keep: bool = True,
             due: type[BaseException] | None = None, **kwargs: Any) -> Any:
        """Call the learner's code and write the line for it.

        Args:
            rule: the rule that an exception, or a changed argument, breaks.
            label: how the call is written in the report, e.g. "allocate(3)".
            function: the callable, or the name of a method of `on`.
            on: the object that has the method or property.
            raises: exceptions that are a legal answer here; the exception itself is then returned.
            keep: whether arguments must come back unchanged (lists, dicts, arrays, tensors are compared).
            due: the exception that this call should end in, where one is; only used to word what went wrong.

        Raises:
            StopSequence: after a failure was noted. Unjudgeable: where nothing can be called.
        """
        step = self._line(label)
        self._rule = rule
        if isinstance(function, str):
            function = self._method(on, function)
        if not callable(function):
            raise Unjudgeable("missing-name", f"{self.spec.target} is {show(function, 60)}, which cannot be called; "
                                              "keep the definition of the stub.")
        _check_parameters(function, args, kwargs, label)
        before = [_copy(a) for a in args] if keep else []
        try:
            seen = function(*args, **kwargs)
        except raises as expected:
            step.seen = f"raises {type(expected).__name__}"
            return expected
        except (Unjudgeable, StopSequence, MemoryError, LimitReached, SystemExit, KeyboardInterrupt):
            raise
        except NotImplementedError:
            step.seen = "not written yet"
            self._fail(rule, "not-written", "This part is not written yet: the call ends in NotImplementedError.",
                       step, expected="an answer")
            raise StopSequence from None
        except RecursionError:
            step.seen = "RecursionError"
            self._fail(rule, "recursion", "The call went on calling itself until Python gave up: the calls nest too "
                                          "deep, or never reach an end.", step, expected="an answer")
            raise StopSequence from None
        except NameError as error:
            raise Unjudgeable("undefined-name", describe_name_error(error, self.namespace)) from error
        except BaseException as error:
            step.seen = _named(error)
            cause = f"The call raised {type(error).__name__}{_line_of(error)} where an answer was due."
            if due is not None:
                cause = f"The call raised {type(error).__name__}{_line_of(error)} where {due.__name__} is due."
                if type(error).__name__ == due.__name__:
                    cause += f" Your own class {due.__name__} is another one than the one imported for this cell."
            self._fail(rule, "raised", cause, step, expected=f"raises {due.__name__}" if due else "an answer")
            raise StopSequence from None
        if raises and isinstance(seen, BaseException):
            step.seen = f"returns {type(seen).__name__}"
            self._fail(rule, "wrong-type", f"The call returned the {type(seen).__name__} as an answer; an error is "
                                           "raised.", step, expected=f"raises {due.__name__}" if due else None)
            raise StopSequence
        # An object without a repr of its own has nothing to show but its class name.
        step.seen = "" if type(seen).__repr__ is object.__repr__ else show(seen)
        for i, (old, new) in enumerate(zip(before, args, strict=False)):
            if not _same(old, new):
                self._fail(rule, "changed-inputs",
                           f"Argument {i + 1} was changed by the call: it was {show(old)} and is now {show(new)}. "
                           "Work on a copy.", step, expected="arguments left as they were")
                raise StopSequence
        return seen

    def read(self, rule: str, on: Any, name: str) -> Any:
        """Read a public attribute or property of the learner's object (no line is written)."""
        self._rule = rule
        try:
            value = getattr(on, name)
        except AttributeError as error:
            if _defines(on, name):
                step = self._line(name, observe=True)
                step.seen = _named(error)
                self._fail(rule, "raised", f"Reading {name} raised AttributeError{_line_of(error)}.", step,
                           expected="an answer")
                raise StopSequence from None
            raise Unjudgeable("missing-method", f"{type(on).__name__} has no {name}; the exercise asks for it.") \
                from None
        except NotImplementedError:
            step = self._line(name, observe=True)
            step.seen = "not written yet"
            self._fail(rule, "not-written", f"{name} is not written yet: it ends in NotImplementedError.", step,
                       expected="an answer")
            raise StopSequence from None
        except (MemoryError, LimitReached, SystemExit, KeyboardInterrupt):
            raise
        except NameError as error:
            raise Unjudgeable("undefined-name", describe_name_error(error, self.namespace)) from error
        except BaseException as error:
            step = self._line(name, observe=True)
            step.seen = _named(error)
            self._fail(rule, "raised", f"Reading {name} raised {type(error).__name__}{_line_of(error)}.", step,
                       expected="an answer")
            raise StopSequence from None
        if callable(value) and not isinstance(value, type):
            raise Unjudgeable("wrong-parameters",
                              f"{type(on).__name__}.{name} is a method; the exercise asks for a property "
                              "(put @property above it).")
        return value

    def require(self, rule: str, ok: bool, *, expected: Any = None, cause: str, kind: str = "rule",
                seen: Any = MISSING) -> bool:
        """State that `rule` holds for the last line. Returns `ok` so that the author can stop early."""
        self.spec.rank(rule)
        if not ok:
            step = self.steps[-1]
            if seen is not MISSING:
                step.seen = show(seen)
            self._fail(rule, kind, cause, step, expected=None if expected is None else show(expected))
        return ok

    def observe(self, rule: str, label: str, seen: Any, expected: Any, cause: str) -> bool:
        """Compare something read after an operation; only where it differs does it become a line of the trace."""
        self.spec.rank(rule)
        mismatch = compare(seen, expected)
        if mismatch is None:
            return True
        step = self._line(label, observe=True)
        step.seen = show(seen)
        self.log.begin(f"{label} \u2192 {step.seen}, expected {show(expected)}")  # a step of the replay as well
        self._fail(rule, mismatch.kind, mismatch.sentence or cause, step, expected=show(expected))
        return False

    def note(self, text: str) -> None:
        """A remark at the end of the last line."""
        self.steps[-1].note = text

    # ----- driven by the judge --------------------------------------------------------------------------------

    def apply(self, op: Op) -> list[Failure]:
        """Run one operation; returns the failures of this step, worst first (empty when all rules held)."""
        self._op = op
        self.failures = []
        self.at = self.log.begin("")
        self.first_line = len(self.steps)
        try:
            getattr(self, "do_" + op.name)(**op.args)
        except StopSequence:
            pass
        except (Unjudgeable, MemoryError):
            raise
        except Exception as error:
            # What came back was looked at here, and an __eq__ or __iter__ of the learner's own raised.
            if not _from_the_text(error) or not self.steps:
                raise
            self.steps[-1].seen = _named(error)
            self._fail(self._rule, "raised", f"Looking at the answer raised {type(error).__name__}{_line_of(error)}.",
                       self.steps[-1], expected="an answer")
        self.caption()
        self.failures.sort(key=lambda f: self.spec.rank(f.rule))
        for failure in self.failures[:1]:
            failure.step.broken = True
        return self.failures

    def caption(self) -> None:
        """Write the sentence of the operation running now into the log: its first line."""
        if len(self.steps) > self.first_line:
            line = self.steps[self.first_line]
            self.log.labels[self.at] = f"{line.label} \u2192 {line.seen}" if line.seen else line.label

    def _line(self, label: str, observe: bool = False) -> Step:
        assert self._op is not None
        step = Step(n=len(self.steps) + 1, op="observe" if observe else self._op.name,
                    args={} if observe else dict(self._op.args), label=label)
        self.steps.append(step)
        return step

    def _fail(self, rule: str, kind: str, cause: str, step: Step, expected: str | None = None) -> None:
        rule = self.spec.rename(rule)
        self.spec.rank(rule)
        if expected is not None:
            step.expected = expected
        self.failures.append(Failure(rule, kind, cause, step))

    def _method(self, on: Any, name: str) -> Callable[..., Any]:
        method = getattr(on, name, None)
        if method is None:
            raise Unjudgeable("missing-method", f"{type(on).__name__} has no method {name}; the exercise asks for it.")
        if not callable(method) and callable(getattr(type(on), name, None)):
            raise Unjudgeable("hidden-method",
                              f"self.{name} = ... hides the method {name}: an object has one thing under a name. Give "
                              f"what you keep there another name.")
        if not callable(method):
            raise Unjudgeable("missing-method", f"{type(on).__name__}.{name} is not a method; it is {show(method)}.")
        return method


# ----- helpers ------------------------------------------------------------------------------------------------


def _copy(value: Any) -> Any:
    if hasattr(value, "clone"):
        return value.clone()
    if isinstance(value, list | dict | set | bytearray) or hasattr(value, "__array__"):
        return copy.deepcopy(value)
    return value


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if hasattr(old, "shape") and hasattr(new, "shape"):
        if tuple(old.shape) != tuple(new.shape):
            return False
        equal = (old == new) | ((old != old) & (new != new))
        return bool(equal.all())
    if isinstance(old, list | dict | set | bytearray):
        return bool(old == new)
    return True


def _defines(on: Any, name: str) -> bool:
    return any(name in vars(cls) for cls in type(on).__mro__)


def _named(error: BaseException) -> str:
    text = error_text(error, 80)
    return type(error).__name__ + (f": {text}" if text else "")


def _from_the_text(error: BaseException) -> bool:
    """Whether the traceback passes through a text that is being judged."""
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename.startswith(("<exercise", "<bank", "<bug")):
            return True
        tb = tb.tb_next
    return False


def _line_of(error: BaseException) -> str:
    """", in line 7 of your cell" where the traceback passes through the learner's text."""
    tb, line = error.__traceback__, None
    while tb is not None:
        if tb.tb_frame.f_code.co_filename.startswith("<exercise"):
            line = tb.tb_lineno
        tb = tb.tb_next
    return f" in line {line} of your cell" if line is not None else ""


def _check_parameters(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any],
                      label: str) -> None:
    try:
        signature = inspect.signature(function)
    except Exception:
        return  # not every callable has one, and one of the learner's own making may raise anything
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        raise Unjudgeable("wrong-parameters",
                          f"{name} is called as {label}; yours is {name}{signature}. "
                          "Keep the parameters of the stub.") from None


def describe_name_error(error: NameError, namespace: Mapping[str, Any]) -> str:
    """Say which name is missing and, where it lives in another cell, what to do about it."""
    name = getattr(error, "name", None) or error_text(error, 200).split("'")[1:2] or ["?"]
    name = name if isinstance(name, str) else name[0]
    elsewhere = namespace.get("__labkit_notebook_names__", ())
    where = _line_of(error)
    if isinstance(error, UnboundLocalError):
        return (f"{name}{where} is read before it has a value: a name that a function assigns to belongs to that call "
                "alone, and starts empty.")
    if name in elsewhere:
        return (f"{name}{where} is defined in another cell. A check sees only this cell and what its prelude imports: "
                "move the definition into this cell.")
    return f"The name {name} is used{where} but never defined: define or import it in this cell."
