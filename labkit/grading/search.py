"""The random search: a Hypothesis state machine over a specification's operations, shrunk to the shortest failure.

It is deterministic (no database, no clock), and it takes its counterexample from the last replay, which Hypothesis
makes on the shrunk sequence.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labkit.grading.specification import Op

if TYPE_CHECKING:
    from labkit.grading.judge import Judge, Run


class RuleBroken(Exception):
    """What Hypothesis sees when a rule breaks."""


class TimeIsUp(BaseException):
    """Leaves Hypothesis at once: enough was tried for the time there is."""


class Stopped(BaseException):
    """Leaves Hypothesis at once: a limit was reached or the code cannot be judged."""


def find(judge: Judge) -> Run | None:
    """Search for a failing sequence; None where every example held."""
    return _machine(judge) if judge.spec.stateful else _calls(judge)


def _settings(judge: Judge) -> Any:
    from hypothesis import HealthCheck, Phase, Verbosity, settings

    return settings(
        derandomize=True, database=None, deadline=None, report_multiple_bugs=False, print_blob=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
        max_examples=judge.spec.examples, stateful_step_count=judge.spec.steps,
    )


def _deadline() -> float:
    from labkit.grading.judge import SEARCH_SECONDS

    return time.monotonic() + SEARCH_SECONDS * float(os.environ.get("LABKIT_PATIENCE", "1"))


def _finish(run: Run, failed: list[Run]) -> None:
    if not run.ok:
        failed[:] = [run]
    if run.unjudgeable or run.limit:
        raise Stopped
    if run.failures:
        raise RuleBroken


def _calls(judge: Judge) -> Run | None:
    """A function: one operation "call" an example."""
    from hypothesis import given
    from hypothesis import strategies as st

    failed: list[Run] = []
    if not judge.spec.operations():
        return None
    end = _deadline()
    ((name, arguments),) = judge.spec.operations().items()

    @_settings(judge)
    @given(st.fixed_dictionaries(dict(arguments)))
    def search(args: Mapping[str, Any]) -> None:
        if time.monotonic() > end:
            raise TimeIsUp
        referee = judge.spec.referee(judge.spec, {})
        op = referee.resolve(Op(name, args))
        if op is None:
            return
        _finish(judge.run([op]), failed)

    return _outcome(search, failed)


def _machine(judge: Judge) -> Run | None:
    """A class: "new" first, then any operations."""
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

    from labkit.grading.judge import Run

    failed: list[Run] = []
    members: dict[str, Any] = {}
    end = _deadline()

    def __init__(self: Any) -> None:
        RuleBasedStateMachine.__init__(self)
        self.run_ = Run(judge.spec.referee(judge.spec, judge.namespace()), [], [])
        if judge.journal:
            judge.journal.restart()

    def act(self: Any, name: str, args: Mapping[str, Any]) -> None:
        if time.monotonic() > end:
            raise TimeIsUp
        op = self.run_.referee.resolve(Op(name, args))
        if op is None:
            return
        judge.step(self.run_, op)
        _finish(self.run_, failed)

    members["__init__"] = __init__
    setup = judge.spec.setup()

    @initialize(args=st.fixed_dictionaries(dict(setup)))
    def new(self: Any, args: Mapping[str, Any]) -> None:
        act(self, "new", args)

    members["new"] = new
    for name, arguments in judge.spec.operations().items():
        def make(name: str = name, arguments: Mapping[str, Any] = arguments) -> Any:
            @rule(args=st.fixed_dictionaries(dict(arguments)))
            def operation(self: Any, args: Mapping[str, Any]) -> None:
                act(self, name, args)
            operation.__name__ = name
            return operation
        members["op_" + name] = make()
    machine = type("Machine", (RuleBasedStateMachine,), members)
    return _outcome(lambda: run_state_machine_as_test(machine, settings=_settings(judge)), failed)


def _outcome(search: Any, failed: list[Run]) -> Run | None:
    try:
        search()
    except (RuleBroken, Stopped):
        return failed[0]
    except TimeIsUp:
        return failed[0] if failed else None  # while it was being shortened: the shortest so far
    except Exception as error:
        # Code that keeps state between sequences or draws random numbers makes Hypothesis itself complain that it
        # is flaky; the last run that failed is still a true counterexample.
        if failed:
            return failed[0]
        if _time_was_up(error):
            return None
        raise
    return None


def _time_was_up(error: BaseException | None) -> bool:
    """Whether an error was raised on the way out of `TimeIsUp`.

    An example that Hypothesis runs a second time and that ends sooner, because the time is up, looks flaky to it.
    """
    while error is not None:
        if isinstance(error, TimeIsUp):
            return True
        error = error.__context__
    return False
