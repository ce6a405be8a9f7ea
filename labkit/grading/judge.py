"""From a specification and a namespace to a verdict, inside the process that runs the learner's code.

First what can be said without calling anything: other parameters than the solution's. Then the hand-written witnesses,
one or more for each rule; then all of them once more, in one run, as a careless caller makes them; then the sequence
that failed last time; only then the random search. No mistake that we know of is left to it (the bank's tests hold
that).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from labkit.grading.language import Op
from labkit.grading.referee import Failure, Illegal, Referee, Unjudgeable
from labkit.grading.signatures import difference
from labkit.grading.specification import GENERAL, Specification
from labkit.grading.verdict import Counterexample, RuleState, Verdict
from labkit.sandbox.journal import Journal
from labkit.sandbox.limits import CountedOutput, Exited, LimitReached, OutOfMemory, alarms, mostly_used, time_limit

KEPT = (
    "Called alone, it answers rightly; after an earlier call it does not: something is kept between calls, in a "
    "name outside of the function or in a default argument."
)
THOROUGH = {
    "changes": "The same calls are answered rightly where whoever asked leaves each answer as it is. Here each answer "
    "is changed once it was looked at: give out a new one each time.",
    "slices": "The same call is answered rightly where whole tensors are passed. Here each is a slice of a larger one: "
    "keep to operations that hold for slices (reshape, not view).",
    "refills": "The same calls are answered rightly where each gets objects of its own. Here what is passed is the "
    "same object as before, with another content: what was kept for the object is no answer to what it holds now.",
}
"""What a careless caller does, see `Referee.thorough`, and what is said where that alone makes an answer wrong."""

SHORTER = 200
"""How many sequences are tried to shorten one that ran into a limit."""


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

    def __init__(
        self, spec: Specification, namespace: Callable[[], Mapping[str, Any]], journal: Journal | None = None
    ) -> None:
        self.spec = spec
        self.namespace = namespace
        self.journal = journal
        self.witnessed: list[Run] = []  # how the witnesses went, once `verdict` has run them
        self.manner: tuple[str, ...] = ()  # in which ways of `THOROUGH` the run was called that the verdict shows

    # ----- one sequence ---------------------------------------------------------------------------------------

    def run(self, ops: Sequence[Op], bend: bool | None = None, thorough: Iterable[str] = ()) -> Run:
        """Apply a sequence to a fresh implementation and stop at the first broken rule.

        Args:
            bend: with True, operations that make no sense (drawn at random, a sequence with parts taken out, or
                stored before the code changed) are bent to ones that do, or skipped, as the referee decides; with
                False, such a one raises ValueError; with None, nobody looks.
            thorough: in which ways of `THOROUGH` the caller is careless.
        """
        referee = self.spec.referee(self.spec, self.namespace())
        referee.thorough = frozenset(thorough)
        run = Run(referee, [], [])
        if self.journal:
            self.journal.restart()
        with alarms():
            self._apply(run, ops, bend)
        return run

    def _apply(self, run: Run, ops: Sequence[Op], bend: bool | None) -> None:
        referee = run.referee
        for number, op in enumerate(ops, 1):
            try:
                legal = op if bend is None else referee.resolve(op, bend)
            except Illegal as error:
                if bend:
                    continue
                raise ValueError(f"Operation {number} {error}") from None
            if legal is None:
                continue
            self.step(run, legal, partial(referee.apply, legal))
            if not run.ok:
                return
        if run.ops:
            self.step(run, None, referee.finish)

    def step(self, run: Run, op: Op | None, act: Callable[[], list[Failure]]) -> None:
        """Apply one operation, or what comes after the last one, under the limits."""
        if op is not None:
            run.ops.append(op)
            if self.journal:
                self.journal.append(op.to_json())
        if isinstance(sys.stdout, CountedOutput):
            sys.stdout.start_operation()
        lines = len(run.referee.steps)
        try:
            with time_limit(self.spec.op_seconds):
                run.failures = act()
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
        if other := difference(self.namespace().get(self.spec.target), self.spec):
            return self._verdict("error", kind="wrong-parameters", message=other)
        runs: list[tuple[str, Run]] = []
        for rule, ops in self.spec.witnesses:
            run = self.run(ops)
            if run.unjudgeable or run.limit:
                # A wrong answer on a shorter sequence says more than what a longer one takes of time or memory.
                large = run.limit is not None and run.limit.kind in ("endless-loop", "memory")
                if large and any(earlier.failures for _, earlier in runs):
                    break
                return self._stopped(run)
            runs.append((rule, run))
        self.witnessed = [run for _, run in runs]
        failing = [run for _, run in runs if run.failures]
        if failing:
            broken = {f.rule for run in failing for f in run.failures}
            not_run = {rule for rule, _ in self.spec.witnesses[len(runs) :]}
            states = self._states(broken, not_run | {rule for rule, run in runs if not run.ok})
            # A part that is not written yet is told before any rule about its answers, and an exception before a
            # wrong answer of the same rule; otherwise the worst rule, and for it the shortest trace.
            run = min(failing, key=lambda r: (self.spec.rank(r.failures[0].rule), self._length(r)))
            return self._failed(run, states)
        together = self._together()
        if together is not None:
            return together
        if stored and (again := self._once_more(stored)) is not None and not again.ok:
            return self._from_search(again)
        found = self._search()
        if found is not None:
            return self._from_search(found)
        states = [RuleState(r.name, r.statement, "held") for r in self.spec.rules]
        return self._verdict("pass", rules=states)

    def _length(self, run: Run) -> tuple[bool, int]:
        """How much of a run there is to read."""
        return any(op.name in self.spec.long for op in run.ops), len(run.referee.steps)

    def _together(self) -> Verdict | None:
        """Calls and answers in company: what keeps nothing, and shares nothing it gave out, does not notice."""
        sequences = [ops for _, ops in self.spec.witnesses]
        if not self.spec.stateful:
            sequences = [tuple(op for ops in sequences for op in ops)]
            run = self.run(sequences[0])
            if not run.ok:
                return self._with(self._pair(run), KEPT)
            sequences = [tuple(op for op in sequences[0] for _ in range(2))]  # whoever keeps an answer gives it again
        for ops in sequences:
            run = self.run(ops, thorough=THOROUGH)
            if not run.ok:
                return self._careless(run)
        return None

    def _careless(self, run: Run) -> Verdict:
        """What a run shows that fails for a careless caller alone: in which one way, where one is enough."""
        self.manner = tuple(THOROUGH)
        for way in THOROUGH:
            alone = self.run(run.ops, thorough=[way])
            if not alone.ok:
                run, self.manner = alone, (way,)
                break
        if not self.spec.stateful:
            run = self._pair(run)
        if "changes" in self.manner:
            for failure in run.failures:
                failure.rule = GENERAL[1].name
        return self._with(run, " ".join(THOROUGH[way] for way in self.manner))

    def _with(self, run: Run, sentence: str) -> Verdict:
        verdict = self._from_search(run)
        if verdict.verdict == "fail":
            verdict.message += " " + sentence
        return verdict

    def _pair(self, run: Run) -> Run:
        """The shortest run that fails as this one does: the last call, or one before it, where that is enough."""
        last = run.ops[-1]
        for ops in ([last], *([before, last] for before in run.ops)):
            shorter = self.run(ops, thorough=self.manner)
            if not shorter.ok and len(shorter.ops) == len(ops):
                return shorter
        return run

    def replay(self, ops: Sequence[Op]) -> Verdict:
        """The verdict of one given sequence alone (a stored failure, a break-it sequence)."""
        run = self.run(ops)
        if run.ok:
            return self._verdict("pass")
        return self._from_search(run)

    def _once_more(self, stored: Sequence[Op]) -> Run | None:
        """Run a stored sequence; None where it is none for this specification, which may be newer than it is."""
        try:
            return self.run(self._legal(stored), bend=True)
        except Exception:
            return None

    def _legal(self, ops: Sequence[Op]) -> list[Op]:
        known = {name for name in dir(self.spec.referee) if name.startswith("do_")}
        return [op for op in ops if "do_" + op.name in known]

    def _from_search(self, run: Run) -> Verdict:
        if run.unjudgeable or run.limit:
            return self._stopped(self._reduce(run))
        return self._failed(run, self._states({f.rule for f in run.failures}, set()))

    def _states(self, broken: set[str], unreached: set[str]) -> list[RuleState]:
        rules = [*self.spec.rules, *(r for r in GENERAL if r.name in broken)]
        return [
            RuleState(
                r.name, r.statement, "broken" if r.name in broken else "unknown" if r.name in unreached else "held"
            )
            for r in rules
        ]

    def _failed(self, run: Run, states: list[RuleState]) -> Verdict:
        worst = run.failures[0]
        return self._verdict(
            "fail",
            rule=worst.rule,
            kind=worst.kind,
            message=worst.cause,
            counterexample=self.counterexample(run),
            rules=states,
        )

    def _stopped(self, run: Run) -> Verdict:
        """A limit was reached or the code cannot be judged: no rule is named."""
        if run.unjudgeable:
            if run.referee.steps:
                run.referee.steps[-1].broken = True
                run.referee.caption()
            return self._verdict(
                run.unjudgeable.verdict,
                kind=run.unjudgeable.kind,
                message=str(run.unjudgeable),
                counterexample=self.counterexample(run) if run.referee.steps else None,
            )
        assert run.limit is not None
        run = self._reduce(run)
        assert run.limit is not None
        if run.referee.steps:
            run.referee.steps[-1].broken = True
            run.referee.steps[-1].seen = LIMIT_SEEN.get(run.limit.kind, "")
            run.referee.caption()
        word, kind = "timeout" if run.limit.kind == "endless-loop" else "error", run.limit.kind
        if word == "timeout" and run.ops and run.ops[-1].name in self.spec.long:
            kind = "endless-run"
            if run.referee.steps:
                run.referee.steps[-1].seen = LIMIT_SEEN[kind]
        return self._verdict(
            word,
            kind=kind,
            message=limit_message(kind, self.spec.op_seconds),
            counterexample=self.counterexample(run),
        )

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
        best, i, left = run, 1, SHORTER
        while i < len(best.ops) - 1 and left:
            left -= 1
            shorter = self.run(best.ops[:i] + best.ops[i + 1 :], bend=True)
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
    "endless-run": "does not come to its end",
    "memory": "runs out of memory",
    "output": "prints without end",
    "exit": "ends the program",
}


def limit_message(kind: str, seconds: float) -> str:
    """The sentence for a limit that was reached."""
    return {
        "endless-loop": f"This call had not come back after {seconds:g} s: look for a loop whose condition never "
        "becomes false.",
        "endless-run": f"This line stands for many calls, and they had not come to their end after {seconds:g} s: "
        "look for what each call goes through that grows with every call, or for a loop whose condition never becomes "
        "false.",
        "memory": "This call asked for more memory than the check allows: look for a list that grows in every round.",
        "output": "The code printed more than 100,000 characters: take the print out of the loop.",
        "exit": "The code ended the whole program (exit, quit or os._exit): return a value instead.",
    }[kind]
