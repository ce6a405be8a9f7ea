"""From a specification and a namespace to a verdict, inside the process that runs the learner's code.

The order makes a verdict the same everywhere: first the hand-written witnesses, one or more for each rule; then the
sequence that failed last time; only then the random search. Hypothesis's search depends on where modules are
installed, so no wrong implementation that we know of is left to it (the mutant tests hold that).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.grading.journal import Journal
from labkit.grading.limits import CountedOutput, Exited, LimitReached, OutOfMemory, mostly_used, time_limit
from labkit.grading.specification import Failure, Op, Referee, Specification, Unjudgeable
from labkit.grading.verdict import Counterexample, RuleState, Verdict

SEARCH_SECONDS = 2.5
"""Longest time for the random search; all witnesses have held by then, so what is left untried counts as held.
Multiplied by LABKIT_PATIENCE where that is set."""

KEPT = "Called alone, it answers rightly; after an earlier call it does not: something is kept between calls, in a " \
       "name outside of the function or in a default argument."

REDUCE_SECONDS = 2.0
"""Longest time spent on shortening a sequence that ran into a limit."""


@dataclass
class Run:
    """One sequence applied from the start: the referee with its trace, and how it ended."""

    referee: Referee
    ops: list[Op]
    failures: list[Failure]
    limit: LimitReached | None = None
    unjudgeable: Unjudgeable | None = None

    @property
    def ok(self) -> bool:
        return not (self.failures or self.limit or self.unjudgeable)


class Judge:
    """Judges one implementation.

    Args:
        spec: the specification.
        namespace: builds a fresh namespace with the implementation; called once for each sequence when
            `fresh` is needed, so that module-level state of one sequence cannot leak into the next.
        journal: where every operation is written before it runs; None for trusted code.
    """

    def __init__(self, spec: Specification, namespace: Callable[[], Mapping[str, Any]],
                 journal: Journal | None = None) -> None:
        self.spec = spec
        self.namespace = namespace
        self.journal = journal

    # ----- one sequence ---------------------------------------------------------------------------------------

    def run(self, ops: Sequence[Op], resolve: bool = False) -> Run:
        """Apply a sequence to a fresh implementation and stop at the first broken rule.

        With `resolve`, operations that no longer make sense (a sequence with parts taken out, or stored before the
        code changed) are bent to ones that do, or skipped, as the referee decides.
        """
        referee = self.spec.referee(self.spec, self.namespace())
        run = Run(referee, [], [])
        if self.journal:
            self.journal.restart()
        for op in ops:
            legal = referee.resolve(op) if resolve else op
            if legal is None:
                continue
            self.step(run, legal)
            if not run.ok:
                break
        return run

    def step(self, run: Run, op: Op) -> None:
        """Apply one operation under the limits."""
        run.ops.append(op)
        if isinstance(sys.stdout, CountedOutput):
            sys.stdout.start_operation()
        if self.journal:
            self.journal.append(op)
        lines = len(run.referee.steps)
        try:
            with time_limit(self.spec.op_seconds):
                run.failures = run.referee.apply(op)
        except Unjudgeable as error:
            run.unjudgeable = error
        except LimitReached as limit:
            # The exception still holds the frames, and with them whatever they had filled memory with.
            run.limit = OutOfMemory() if limit.kind == "endless-loop" and mostly_used() else limit
        except MemoryError:
            run.limit = OutOfMemory()
        except (SystemExit, KeyboardInterrupt):
            run.limit = Exited()
        if run.limit is not None and len(run.referee.steps) > lines:
            run.referee.steps[-1].broken = True

    # ----- the verdict ----------------------------------------------------------------------------------------

    def verdict(self, stored: Sequence[Op] = ()) -> Verdict:
        """Judge by witnesses, then the stored failing sequence, then the search."""
        runs: list[tuple[str, Run]] = []
        for witness in self.spec.witnesses:
            run = self.run(witness.ops)
            if run.unjudgeable or run.limit:
                return self._stopped(run)
            runs.append((witness.rule, run))
        failing = [run for _, run in runs if run.failures]
        if failing:
            broken = {f.rule for run in failing for f in run.failures}
            states = self._states(broken, {rule for rule, run in runs if not run.ok})
            # A part that is not written yet is told before any rule about its answers, and an exception before a
            # wrong answer of the same rule; otherwise the worst rule, and for it the shortest trace.
            run = min(failing, key=lambda r: (self.spec.rank(r.failures[0].rule), len(r.referee.steps)))
            return self._failed(run, states)
        together = self._calls_together()
        if together is not None:
            verdict = self._from_search(together)
            if verdict.verdict == "fail":
                verdict.message += " " + KEPT
            return verdict
        if stored:
            run = self.run(self._legal(stored), resolve=True)
            if not run.ok:
                return self._from_search(run)
        found = self._search()
        if found is not None:
            return self._from_search(found)
        states = [RuleState(r.name, r.statement, "held") for r in self.spec.rules]
        return self._verdict("pass", rules=states)

    def _calls_together(self) -> Run | None:
        """A function that keeps nothing answers the same in any company; else the shortest run that shows it."""
        ops = [op for witness in self.spec.witnesses for op in witness.ops]
        if self.spec.stateful or len(ops) < 2:
            return None
        run = self.run(ops)
        if run.ok:
            return None
        for before in run.ops:
            pair = self.run([before, run.ops[-1]])
            if not pair.ok and len(pair.ops) == 2:
                return pair
        return run

    def replay(self, ops: Sequence[Op]) -> Verdict:
        """The verdict of one given sequence alone (a stored failure, a break-it sequence)."""
        run = self.run(ops)
        if run.ok:
            return self._verdict("pass")
        return self._from_search(run)

    def _legal(self, ops: Sequence[Op]) -> list[Op]:
        known = {name for name in dir(self.spec.referee) if name.startswith("do_")}
        return [op for op in ops if "do_" + op.name in known]

    def _from_search(self, run: Run) -> Verdict:
        if run.unjudgeable or run.limit:
            return self._stopped(self._reduce(run))
        return self._failed(run, self._states({f.rule for f in run.failures}, set()))

    def _states(self, broken: set[str], unreached: set[str]) -> list[RuleState]:
        return [RuleState(r.name, r.statement,
                          "broken" if r.name in broken else "unknown" if r.name in unreached else "held")
                for r in self.spec.rules]

    def _failed(self, run: Run, states: list[RuleState]) -> Verdict:
        worst = run.failures[0]
        return self._verdict("fail", rule=worst.rule, kind=worst.kind, message=worst.cause,
                             counterexample=self.counterexample(run), rules=states)

    def _stopped(self, run: Run) -> Verdict:
        """A limit was reached or the code cannot be judged: no rule is named."""
        if run.unjudgeable:
            if run.referee.steps:
                run.referee.steps[-1].broken = True
                run.referee.caption()
            return self._verdict(run.unjudgeable.verdict, kind=run.unjudgeable.kind, message=str(run.unjudgeable),
                                 counterexample=self.counterexample(run) if run.referee.steps else None)
        assert run.limit is not None
        run = self._reduce(run)
        assert run.limit is not None
        if run.referee.steps:
            run.referee.steps[-1].broken = True
            run.referee.steps[-1].seen = LIMIT_SEEN.get(run.limit.kind, "")
            run.referee.caption()
        word = "timeout" if run.limit.kind == "endless-loop" else "error"
        return self._verdict(word, kind=run.limit.kind, message=limit_message(run.limit.kind, self.spec.op_seconds),
                             counterexample=self.counterexample(run))

    def counterexample(self, run: Run) -> Counterexample | None:
        """The trace of a run as data, with the log of it where the referee draws."""
        referee = run.referee
        if not referee.steps:
            return None
        failing = next((s.n for s in referee.steps if s.broken), referee.steps[-1].n)
        replay = {**referee.log.to_data(), "step": referee.at} if referee.draws and referee.log.labels else None
        return Counterexample(setup=referee.setup_text, steps=referee.steps, failing=failing, replay=replay)

    def _verdict(self, word: str, **fields: Any) -> Verdict:
        return Verdict(lesson="", exercise=self.spec.exercise, verdict=word, **fields)  # type: ignore[arg-type]

    # ----- shortening -----------------------------------------------------------------------------------------

    def _reduce(self, run: Run) -> Run:
        """Drop operations one at a time, from the front, as long as the same limit is still reached."""
        if run.limit is None or not self.spec.stateful:
            return run
        end = time.monotonic() + REDUCE_SECONDS
        best, i = run, 1
        while i < len(best.ops) - 1 and time.monotonic() < end:
            shorter = self.run(best.ops[:i] + best.ops[i + 1 :], resolve=True)
            if shorter.limit is not None and shorter.limit.kind == run.limit.kind:
                best = shorter
            else:
                i += 1
        return best

    # ----- the search -----------------------------------------------------------------------------------------

    def _search(self) -> Run | None:
        from labkit.grading import search

        return search.find(self)


LIMIT_SEEN = {
    "endless-loop": "does not come back",
    "memory": "runs out of memory",
    "output": "prints without end",
    "exit": "ends the program",
}


def limit_message(kind: str, seconds: float) -> str:
    """The sentence for a limit that was reached."""
    return {
        "endless-loop": f"This call had not come back after {seconds:g} s: look for a loop whose condition never "
                        "becomes false.",
        "memory": "This call asked for more memory than the check allows: look for a list that grows in every round.",
        "output": "The code printed more than 100,000 characters: take the print out of the loop.",
        "exit": "The code ended the whole program (exit, quit or os._exit): return a value instead.",
    }[kind]
