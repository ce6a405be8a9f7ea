"""Lesson 01: who calls functions of tensors, and says which rule a wrong answer breaks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import Words, error_text, show
from labkit.grading.functions import FunctionReferee, FunctionSpecification, row
from labkit.grading.referee import Referee, StopSequence
from labkit.grading.specification import GENERAL

Rows = list[list[float]]
DTYPE = "same-dtype-as-given"
COARSE = 1e-3
"""Numbers of another dtype are rounded otherwise; nearer than this they are right but for their dtype."""

PLAIN = {
    "expected reduction dim": "A largest or smallest was asked for where there are no numbers: some row sees no key at "
    "all.",
    "both operands must be same dtype": "tl.dot takes both sides in one dtype: cast one of them with .to(...) first.",
    "same dtype": "Tensors of two dtypes meet: torch.tensor([...]) and torch.zeros(...) make float32 unless told "
    "otherwise, and what was passed in is float64.",
    "return_types": "max with a dim gives two tensors, the largest values and where they stand; only the first can be "
    "subtracted.",
    "single memory location": "The number on the right is itself a part of the tensor being written into: make a new "
    "tensor instead of changing this one.",
    "same number of dimensions": "One of the tensors is a matrix and one a vector: a row that is put below a matrix is "
    "itself a matrix, with one row.",
    "same number of elements": "The two vectors of a product have different lengths.",
    "shapes cannot be multiplied": "In a matrix product the left one must have as many columns as the right one has "
    "rows.",
    "size mismatch": "In a product of matrix and vector the matrix must have as many columns as the vector has "
    "numbers.",
    "must match the size of tensor": "Two tensors are combined number by number, and their shapes do not fit.",
    "only integers, slices": "An index is a float: / makes one, and // a whole number.",
    "except in dimension": "The matrices put below each other have different widths.",
}
"""Pieces of torch's messages (2.13) and of Triton's, and what each means here; the first that fits is said."""


def plain_words(error: BaseException) -> str:
    """What an error of torch's says, in a sentence of its own; "" for an error that is not known here."""
    text = error_text(error, 1000).lower()
    return next((f" {sentence}" for piece, sentence in PLAIN.items() if piece in text), "")


class TensorReferee(FunctionReferee):
    """Calls the function once; what torch refuses is said in plain words too."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(*args, **kwargs)
        except StopSequence as stop:
            for failure in self.failures:
                if failure.kind == "raised" and stop.__context__ is not None:
                    failure.cause += plain_words(stop.__context__)
            raise


class TensorSpecification(FunctionSpecification):
    """A function of tensors: nested lists in, float64 tensors to the learner."""

    referee = TensorReferee
    prelude = "import math\n\nimport torch\nfrom torch import Tensor"
    needs_torch = True
    examples = 30
    op_seconds = 2.0
    stay = "the-tensors-given-stay"

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}({', '.join(args)})"

    def setup_line(self, **args: Any) -> str:
        """The arguments of the call, named; the line of the call itself stays short."""
        return ", ".join(f"{name} = {show(value, 90)}" for name, value in args.items())

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        mismatch = super().compare(seen, expected)
        if (mismatch is None or mismatch.kind == "rule") and other_dtype(seen, expected):
            return Mismatch(
                "wrong-type",
                f"The numbers are right, but their dtype is {seen.dtype} where {expected.dtype} came in "
                "and is due: the next product of the two would be refused.",
            )
        return mismatch

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind == "wrong-type":
            return (DTYPE if isinstance(seen, type(expected)) else self.rules[0].name), None
        return self.broken(rule, seen, expected, call, **args), None

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """The rule that these wrong numbers break; `call` is the implementation, for further questions to it."""
        return rule

    def nan(self, seen: Any, **args: Any) -> str:
        return "The answer contains NaN: look for inf - inf, inf / inf, 0 / 0 or 0 times inf."


def same(seen: Any, expected: Any) -> bool:
    """Whether an answer is (nearly) the given tensor."""
    return compare(seen, expected) is None


def other_dtype(seen: Any, expected: Any) -> bool:
    """Whether an answer is the given tensor, but for its dtype."""
    return seen.dtype != expected.dtype and compare(seen, expected, COARSE) is None


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of a tensor, () of anything else."""
    return tuple(getattr(value, "shape", ()))


class LastRowReferee(TensorReferee):
    """One decode step: the row, then the keys and values that it hands on, each a line of its own."""

    def judge(self, rule: str, seen: Any, expected: Any, args: Mapping[str, Any]) -> None:
        import torch

        if not isinstance(seen, list | tuple) or len(seen) != 3:
            given = _named(seen) if not isinstance(seen, list | tuple) else f"{len(seen)} values"
        else:
            given = ", ".join(map(_named, seen))
        three = isinstance(seen, list | tuple) and len(seen) == 3 and all(isinstance(t, torch.Tensor) for t in seen)
        told = self.steps[-1].seen = "three tensors" if three else show(seen, 60)
        cause = f"Three tensors are due: the row, and the K and V to keep; what comes back is {given}."
        due = Words("(row, K, V)")
        if not self.require("gives-row-keys-values", three, expected=due, seen=Words(told), cause=cause):
            return
        wrong = self._wrong(seen, expected, args)
        if wrong is not None:
            name, broken, cause = wrong
            i = ("row", "K", "V").index(name)
            self._line(name, observe=True).seen = show(seen[i])
            kind = "nan" if seen[i].isnan().any() else "wrong-type" if broken == DTYPE else "rule"
            self.require(broken, False, expected=expected[i], seen=seen[i], cause=cause, kind=kind)
        elif not self.thorough and len(args["K"]) < 4:
            self._two_from_one(seen, args)

    def _two_from_one(self, past: Any, args: Mapping[str, Any]) -> None:
        """Two tokens that each go on from the answer: what the first was given stays when the second comes."""
        lines, given = len(self.steps), self.spec.decode(args)
        x, _, _, *weights = given.values()
        kept = []
        for name, token in (("A", x), ("B", -x)):
            label = f"{name} = last_row_only({'x' if name == 'A' else '-x'}, K, V, W_q, W_k, W_v)"
            answer = self.call(GENERAL[1].name, label, self.implementation, token, *past[1:], *weights)
            self.steps[-1].op, self.steps[-1].args, self.steps[-1].seen = "observe", {}, "three tensors"
            kept.append((answer, [part.clone() for part in answer]))
        answer, before = kept[0]
        for name, now, then in zip(("row", "K", "V"), answer, before, strict=True):
            if not same(now, then):
                self._line(f"{name} of A", observe=True).seen = show(now)
                cause = "Two tokens went on from the same K and V, and the second changed what the first was given."
                self.require(GENERAL[1].name, False, expected=then, seen=now, cause=cause, kind="changed-answer")
                return
        del self.steps[lines:]

    def _wrong(self, seen: Any, expected: Any, args: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """The first of the three that is wrong: its name, the rule and a sentence."""
        n = len(args["K"])
        three = list(zip(("row", "K", "V"), seen, expected, strict=True))
        for name, given, due in three:
            if shape_of(given) != shape_of(due):
                text = f"{name} has shape {shape_of(given)} where {shape_of(due)} is due"
                more = f": kept before {n}, new 1." if name != "row" else ": one vector, as wide as a value."
                return name, "gives-row-keys-values", text + more
        for name, given, due in three:
            if other_dtype(given, due):
                text = f"The numbers of {name} are right, but their dtype is {given.dtype} where {due.dtype} came in"
                return name, DTYPE, f"{text} and is due."
        for name, given, due in three[1:]:
            if not same(given[:n], due[:n]):
                held = "1 row" if n == 1 else f"{n} rows"
                cause = f"What {name} held before ({held}) must come first and stay as it was."
                return name, "the-past-is-kept", cause
            if not same(given[n:], due[n:]):
                cause = f"The last row of {name} belongs to the new token: {show(due[n])}; yours is {show(given[n])}."
                return name, "own-key-and-value-last", cause
        row, due = seen[0], expected[0]
        if same(row, due):
            return None
        if n == 0:
            cause = f"Nothing was kept before, so the new token sees only itself: the row is its own value {show(due)}."
            return "row", "the-first-token-too", cause
        from labkit.attention.by_hand import attend

        values = self.spec.decode(args)
        if same(row, attend(values["x"] @ values["W_q"], values["K"], values["V"])):
            cause = "The row is mixed from the older values alone; the new token's own value is missing."
            return "row", "sees-itself", cause
        cause = f"The last row of causal attention over all {n + 1} tokens is {show(due)}; yours is {show(row)}."
        return "row", "equals-the-last-row", cause


def _named(value: Any) -> str:
    import torch

    if value is None:
        return "None"
    return "a tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


PIECES = "pieces-change-nothing"


class CachedReferee(Referee):
    """Feeds a made-up sequence piece by piece and compares each piece's rows with those of the whole."""

    WIDTH = 2

    def do_feed(self, n: int) -> None:
        import torch

        from labkit.attention import by_hand

        if not hasattr(self, "head"):
            self.head = self.call(PIECES, "head = CachedAttention()", self.implementation)
            self.fed = 0
        numbers = random.Random(7)
        sequence = torch.tensor([row(numbers, 3 * self.WIDTH) for _ in range(self.fed + n)], dtype=torch.float64)
        Q, K, V = sequence.split(self.WIDTH, dim=1)
        expected = by_hand.causal_attend(Q, K, V)[self.fed :]
        start, self.fed = self.fed, self.fed + n
        seen = self.call(PIECES, f"feed({n})", "feed", Q[start:], K[start:], V[start:], on=self.head)
        self.steps[-1].seen = f"rows {start} to {start + n - 1}" if n > 1 else f"row {start}"
        if shape_of(seen) != shape_of(expected):
            cause = f"{n} new tokens must give {n} rows."
            self.require(PIECES, False, kind="wrong-shape", cause=cause, seen=seen, expected=expected)
            return
        for i in range(n):
            cause = f"Row {start + i} is not what it is when all {self.fed} tokens come in one piece."
            if not self.require(PIECES, same(seen[i], expected[i]), seen=seen[i], expected=expected[i], cause=cause):
                return
