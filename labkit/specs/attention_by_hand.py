"""Lesson 01, attention by hand: rules, witnesses and hints.

Arguments of an operation are nested lists, which `decode` turns into float64 tensors; torch is imported only there,
so that listing the lessons stays quick.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labkit.grading.breakit import BreakIt
from labkit.grading.display import Words, error_text
from labkit.grading.functions import FunctionReferee, FunctionSpecification, compare
from labkit.grading.specification import Op, Referee, Rule, Specification, StopSequence, Witness, op, show
from labkit.specs import Exercise, Lesson

if TYPE_CHECKING:
    from torch import Tensor

Rows = list[list[float]]
Seen = list[list[bool]]
HUGE = 500.0
"""Beyond this size exp() of a score overflows or vanishes soon; such calls are about that rule."""


DTYPE = Rule("same-dtype-as-given", "The answer has the dtype of the tensors that were passed in.")
STAY = Rule("the-tensors-given-stay", "The tensors that were passed in are left as they were.")
COARSE = 1e-3
"""Numbers of another dtype are rounded otherwise; nearer than this they are right but for their dtype."""


PLAIN = (
    ("expected reduction dim", "A largest or smallest was asked for where there are no numbers: some row sees no key "
                               "at all."),
    ("same dtype", "Tensors of two dtypes meet: torch.tensor([...]) and torch.zeros(...) make float32 unless told "
                   "otherwise, and what was passed in is float64."),
    ("return_types", "max with a dim gives two tensors, the largest values and where they stand; only the first can be "
                     "subtracted."),
    ("single memory location", "The number on the right is itself a part of the tensor being written into: make a new "
                               "tensor instead of changing this one."),
    ("same number of dimensions", "One of the tensors is a matrix and one a vector: a row that is put below a matrix "
                                  "is itself a matrix, with one row."),
    ("same number of elements", "The two vectors of a product have different lengths."),
    ("shapes cannot be multiplied", "In a matrix product the left one must have as many columns as the right one has "
                                    "rows."),
    ("size mismatch", "In a product of matrix and vector the matrix must have as many columns as the vector has "
                      "numbers."),
    ("must match the size of tensor", "Two tensors are combined number by number, and their shapes do not fit."),
    ("except in dimension", "The matrices put below each other have different widths."),
)
"""Pieces of torch's messages (2.13) and what each means here."""


def plain_words(error: BaseException) -> str:
    """What an error of torch's says, in a sentence of its own; "" for an error that is not known here."""
    text = error_text(error, 1000).lower()
    return next((f" {sentence}" for piece, sentence in PLAIN if piece in text), "")


class TensorReferee(FunctionReferee):
    """Calls the function once; the wrong answer itself tells which rule it breaks, whatever its kind."""

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        assert isinstance(spec, TensorSpecification)
        args = {name: args[name] for name in spec.parameters()}
        self.setup_text = spec.setup_line(**args)
        rule = spec.rule_for(**args)
        expected = spec.oracle(**spec.decode(args))
        seen = self.call(rule, spec.label(args), self.implementation, *spec.decode(args).values())
        mismatch = spec.compare(seen, expected)
        if (mismatch is None or mismatch.kind == "rule") and other_dtype(seen, expected):
            self.require(DTYPE.name, False, expected=expected.dtype, seen=seen.dtype, kind="wrong-type",
                         cause=f"The numbers are right, but their dtype is {seen.dtype} where {expected.dtype} came in "
                               "and is due: the next product of the two would be refused.")
            return
        if mismatch is None:
            return
        rule = (spec.rules[0].name if mismatch.kind == "wrong-type" else
                spec.accuse(rule, seen, expected, self.implementation, **args))
        cause = spec.nan(seen, **args) if mismatch.kind == "nan" else mismatch.sentence
        self.require(rule, False, expected=expected, cause=cause or spec.cause(rule, seen, expected, **args),
                     kind=mismatch.kind)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """A changed argument breaks a rule of its own; what torch refuses is said in plain words too."""
        try:
            return super().call(*args, **kwargs)
        except StopSequence as stop:
            for failure in self.failures:
                if failure.kind == "raised" and stop.__context__ is not None:
                    failure.cause += plain_words(stop.__context__)
            raise
        finally:
            for failure in self.failures:
                if failure.kind == "changed-inputs":
                    failure.rule = STAY.name

    def resolve(self, op: Op) -> Op | None:
        """A random operation gives sizes and a seed; the numbers are made here."""
        if "seed" not in op.args:
            return op
        assert isinstance(self.spec, TensorSpecification)
        return Op(op.name, self.spec.numbers(random.Random(op.args["seed"]), **{k: v for k, v in op.args.items()
                                                                                if k != "seed"}))


class TensorSpecification(FunctionSpecification):
    """A function of tensors: nested lists in, float64 tensors to the learner."""

    referee = TensorReferee
    prelude = "import math\n\nimport torch\nfrom torch import Tensor"
    needs_torch = True
    examples = 30
    op_seconds = 2.0

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}({', '.join(args)})"

    def setup_line(self, **args: Any) -> str:
        """The arguments of the call, named; the line of the call itself stays short."""
        return ", ".join(f"{name} = {show(value, 90)}" for name, value in args.items())

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        """Arguments of the given sizes for the random search."""
        raise NotImplementedError

    def accuse(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """The rule that this wrong answer breaks; `call` is the implementation, for further questions to it."""
        return rule

    def nan(self, seen: Any, **args: Any) -> str:
        """The sentence for an answer with NaN in it."""
        return "The answer contains NaN: look for inf - inf, inf / inf, 0 / 0 or 0 times inf."


def row(draw: random.Random, width: int) -> list[float]:
    """Numbers with one decimal: exact enough to be read in a report."""
    return [draw.randint(-20, 20) / 10 for _ in range(width)]


def rows(draw: random.Random, count: int, width: int) -> Rows:
    """`count` rows of `width`."""
    return [row(draw, width) for _ in range(count)]


def same(seen: Any, expected: Any) -> bool:
    """Whether an answer is (nearly) the given tensor."""
    return compare(seen, expected) is None


def other_dtype(seen: Any, expected: Any) -> bool:
    """Whether an answer is the given tensor, but for its dtype."""
    return seen.dtype != expected.dtype and compare(seen, expected, COARSE) is None


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of a tensor, () of anything else."""
    return tuple(getattr(value, "shape", ()))


# ----- scores -----------------------------------------------------------------------------------------------------


class Scores(TensorSpecification):
    """The score of every key for one query."""

    exercise = "scores"
    rules = (
        Rule("one-score-a-key", "n keys give n scores, shape [n], the score of key i at place i."),
        Rule("products-summed", "A score is the sum of query times key, number by number, signs and all."),
        Rule("divided-by-root-d", "Every sum is divided by the square root of d, the length of the query."),
        DTYPE,
        STAY,
    )
    witnesses = (
        Witness("divided-by-root-d", op("call", q=[1.0, 0.0, 2.0, 0.0, 1.0], K=[[1.0, 3.0, 0.0, 2.0, 1.0],
                                                                                [0.0, 1.0, 2.0, 0.0, 1.0],
                                                                                [-1.0, 0.0, 1.0, 1.0, 0.0]])),
        Witness("one-score-a-key", op("call", q=[1.0, 2.0], K=[[1.0, 0.0], [0.0, 3.0], [2.0, -1.0]])),
        Witness("one-score-a-key", op("call", q=[3.0, -1.0], K=[[1.0, 1.0]])),
        Witness("products-summed", op("call", q=[1.0, -2.0, 0.5], K=[[2.0, 1.0, -4.0], [-1.0, 0.5, 3.0],
                                                                     [0.0, -3.0, 1.0]])),
        Witness("products-summed", op("call", q=[-1.0, -2.0], K=[[-3.0, 0.5], [2.0, 2.0], [-1.0, -1.0], [0.0, 0.0],
                                                                 [4.0, -2.0]])),
        Witness("divided-by-root-d", op("call", q=[1.0, 1.0, 2.0, 0.0], K=[[3.0, 1.0, 0.0, 5.0],
                                                                           [-1.0, 0.0, 4.0, 2.0]])),
        Witness("divided-by-root-d", op("call", q=[2.0], K=[[3.0], [-1.0], [0.5]])),
        Witness("divided-by-root-d", op("call", q=[1.0] * 9, K=[[1.0] * 9, [2.0] * 9])),
        Witness(DTYPE.name, op("call", q=[1.0, 1.0, 2.0, 0.0], K=[[3.0, 1.0, 0.0, 5.0]])),
        Witness(STAY.name, op("call", q=[2.0, 1.0], K=[[3.0, 0.5], [0.0, 1.5]])),
    )
    hints = (
        "Write the three products of q = [1, 2] with the keys [1, 0], [0, 1] and [2, -1] on paper. Which product of "
        "a matrix and a vector gives all three at once?",
        "Entry i of the answer depends on q and on row i of K, on no other row. With d = 4 its sum is halved; with "
        "d = 9 it is divided by 3.",
        "return K @ ____ / math.sqrt(q.shape[____])",
    )

    def oracle(self, q: Tensor, K: Tensor) -> Tensor:
        from labkit.attention import by_hand

        return by_hand.scores(q, K)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"n": st.integers(1, 5), "d": st.integers(1, 5), "seed": st.integers(0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        return {"q": row(draw, sizes["d"]), "K": rows(draw, sizes["n"], sizes["d"])}

    def rule_for(self, q: list[float], K: Rows) -> str:
        return "products-summed"

    def accuse(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if shape_of(seen) != shape_of(expected):
            return "one-score-a-key"
        if self.out_of_order(seen, expected, call, **args):
            return "one-score-a-key"
        return "products-summed" if self.factor(seen, expected, call, **args) is None else "divided-by-root-d"

    def out_of_order(self, seen: Any, expected: Any, call: Callable[..., Any], q: list[float], K: Rows) -> bool:
        """Whether the scores are right but for their order; asked twice, since few numbers may agree by chance."""
        if len(K) < 2 or not same(seen.sort().values, expected.sort().values):
            return False
        more = self.decode({"q": [x + 0.1 * (j + 1) for j, x in enumerate(q)],
                            "K": [[x + 0.1 * (i + 1) ** 2 - 0.3 * j for j, x in enumerate(k)]
                                  for i, k in enumerate(K)]})
        right = self.oracle(**more)
        try:
            again = call(*more.values())
        except Exception:
            return False
        return shape_of(again) == shape_of(right) and same(again.sort().values, right.sort().values)

    def factor(self, seen: Any, expected: Any, call: Callable[..., Any], q: list[float], K: Rows) -> float | None:
        """The one number by which all scores differ; None where there is none."""
        if len(K) == 1 and (ratio := _factor(seen, expected)) is not None:
            # One score alone is proportional to anything: ask the same query about several keys.
            others = ([x + 0.5 * (i + j) for j, x in enumerate(K[0])] for i in (1, 2))
            more = self.decode({"q": q, "K": [K[0], *others]})
            try:
                again = call(*more.values())
            except Exception:
                return None
            right = self.oracle(**more)
            return ratio if shape_of(again) == (3,) and _factor(again, right) is not None else None
        return _factor(seen, expected)

    def cause(self, rule: str, seen: Any, expected: Any, q: list[float], K: Rows) -> str:
        n, d = len(K), len(q)
        if rule == "one-score-a-key":
            return f"The {n} scores are right but do not stand in the order of the keys."
        if rule == "divided-by-root-d":
            factor = _factor(seen, expected)
            return (f"Each of your scores is {factor:.4g} times what it should be; here d is {d} and n is {n}, and the "
                    f"divisor is {math.sqrt(d):.4g}.")
        i = _first_difference(seen, expected)
        sum_ = " + ".join(f"({a:g} * {b:g})" for a, b in zip(q, K[i], strict=True))
        return (f"Key {i}: {sum_} = {sum(a * b for a, b in zip(q, K[i], strict=True)):g}, divided by "
                f"{math.sqrt(d):.4g} is {float(expected[i]):.4g}; yours is {float(seen[i]):.4g}.")


def _factor(seen: Any, expected: Any) -> float | None:
    """The one number by which all of `seen` differs from `expected`; None where there is none."""
    pairs = list(zip(seen.tolist(), expected.tolist(), strict=True))
    if any((s == 0) != (e == 0) for s, e in pairs):
        return None
    ratios = [s / e for s, e in pairs if e]
    if not ratios or ratios[0] <= 0 or not math.isfinite(ratios[0]):
        return None
    return ratios[0] if all(math.isclose(r, ratios[0], rel_tol=1e-6) for r in ratios) else None


def _first_difference(seen: Any, expected: Any) -> int:
    for i, (s, e) in enumerate(zip(seen.tolist(), expected.tolist(), strict=True)):
        if not math.isclose(s, e, rel_tol=1e-6, abs_tol=1e-6):
            return i
    return 0


# ----- attend -----------------------------------------------------------------------------------------------------


class Attend(TensorSpecification):
    """One query over n keys and values."""

    exercise = "attend"
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import scores"
    rules = (
        Rule("one-mixture-of-values", "The answer is one vector mixed from the rows of V, shape [dv]."),
        Rule("weights-sum-to-one", "The weights sum to 1: where all values are the same, that value comes out."),
        Rule("equal-scores-share-equally", "Keys with equal scores get equal weights."),
        Rule("weights-follow-the-scores", "The weight of a key is exp(its score), divided by the sum over all keys."),
        Rule("any-size-of-score", "Scores of any size, positive or negative, give finite and right weights."),
        DTYPE,
        STAY,
    )
    # Of several failing witnesses of one rule the first is shown: the smallest stand in front.
    witnesses = (
        Witness("weights-follow-the-scores", op("call", q=[1.0], K=[[0.0], [1.0], [-1.0]], V=[[10.0], [20.0], [40.0]])),
        Witness("one-mixture-of-values", op("call", q=[1.0, 0.0], K=[[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]],
                                            V=[[1.0, 0.0, 4.0], [0.0, 2.0, 4.0], [3.0, 1.0, -4.0]])),
        Witness("one-mixture-of-values", op("call", q=[1.0, 1.0], K=[[2.0, 0.0], [0.0, -1.0]],
                                            V=[[5.0, 1.0], [-1.0, 3.0]])),
        Witness("one-mixture-of-values", op("call", q=[1.0, 2.0, 1.0], K=[[0.5, 0.0, 1.0], [1.0, -1.0, 0.0],
                                                                          [0.0, 0.5, 0.5]], V=[[6.0], [1.0], [2.0]])),
        Witness("weights-sum-to-one", op("call", q=[1.0, -1.0], K=[[1.0, 2.0], [3.0, 0.5], [-1.0, 1.0]],
                                         V=[[7.0, -2.0], [7.0, -2.0], [7.0, -2.0]])),
        Witness("weights-sum-to-one", op("call", q=[2.0, 1.0, 0.0, 1.0], K=[[1.0, 1.0, 0.0, 3.0]],
                                         V=[[5.0, 9.0]])),
        Witness("equal-scores-share-equally", op("call", q=[0.0, 0.0], K=[[1.0, 2.0], [3.0, 4.0], [-5.0, 6.0],
                                                                          [0.0, 0.0]],
                                                 V=[[2.0], [4.0], [6.0], [20.0]])),
        Witness("equal-scores-share-equally", op("call", q=[1.0, 1.0], K=[[2.0, 1.0], [1.0, 2.0], [4.0, -1.0]],
                                                 V=[[3.0, 0.0], [0.0, 3.0], [6.0, 6.0]])),
        Witness("weights-follow-the-scores", op("call", q=[2.0, 0.0, 1.0, -1.0], K=[[1.0, 5.0, 0.0, 0.0],
                                                                                    [0.0, 1.0, 3.0, -1.0]],
                                                V=[[10.0, 0.0], [0.0, 10.0]])),
        Witness("weights-follow-the-scores", op("call", q=[1.0], K=[[-1.0], [0.0], [1.0]],
                                                V=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])),
        Witness("weights-follow-the-scores", op("call", q=[-1.5, 0.5], K=[[2.0, 0.0], [1.0, 1.0], [-1.0, 2.0]],
                                                V=[[0.0, 8.0], [8.0, 0.0], [-8.0, 4.0]])),
        Witness("any-size-of-score", op("call", q=[40.0, 0.0, 0.0, 0.0], K=[[40.0, 1.0, 0.0, 0.0],
                                                                            [40.05, 0.0, 2.0, 0.0]],
                                        V=[[1.0], [3.0]])),
        Witness("any-size-of-score", op("call", q=[40.0], K=[[0.0], [25.0]], V=[[1.0], [2.0]])),
        Witness("any-size-of-score", op("call", q=[40.0], K=[[25.0], [0.0]], V=[[1.0], [2.0]])),
        Witness("any-size-of-score", op("call", q=[60.0, 0.0, 0.0, 0.0], K=[[0.0, 1.0, 0.0, 0.0],
                                                                            [0.0, 0.0, 1.0, 0.0],
                                                                            [100.0, 0.0, 0.0, 0.0]],
                                        V=[[1.0], [2.0], [3.0]])),
        Witness("any-size-of-score", op("call", q=[50.0], K=[[-40.0], [-40.02]], V=[[1.0], [0.0]])),
        Witness(DTYPE.name, op("call", q=[1.0, 0.0], K=[[0.0, 1.0], [0.0, 2.0]], V=[[1.0], [2.0]])),
        Witness(STAY.name, op("call", q=[1.0, 0.0], K=[[0.5, 1.0], [0.0, 2.0]], V=[[1.0, 3.0], [2.0, -1.0]])),
    )
    hints = (
        "Which number can be subtracted from every score so that no exponential is larger than 1, and why does no "
        "weight change by it?",
        "The weights are positive, sum to 1, and depend only on the differences between scores.",
        "s = scores(q, K)\ne = torch.exp(s - ____)\nreturn (e / ____) @ V",
    )

    def oracle(self, q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        from labkit.attention import by_hand

        return by_hand.attend(q, K, V)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"n": st.integers(1, 5), "d": st.integers(1, 4), "dv": st.integers(1, 4),
                "size": st.sampled_from([1, 1, 100]), "seed": st.integers(0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, d = sizes["n"], sizes["d"]
        return {"q": [x * sizes["size"] for x in row(draw, d)], "K": [[x * sizes["size"] for x in r]
                                                                     for r in rows(draw, n, d)],
                "V": rows(draw, n, sizes["dv"])}

    def rule_for(self, q: list[float], K: Rows, V: Rows) -> str:
        s = _plain_scores(q, K)
        if max(abs(x) for x in s) > HUGE:
            return "any-size-of-score"
        if all(v == V[0] for v in V):
            return "weights-sum-to-one"
        if max(s) - min(s) < 1e-12:
            return "equal-scores-share-equally"
        return "weights-follow-the-scores"

    def accuse(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        values = self.decode(args)
        if shape_of(seen) != shape_of(expected) or same(seen, self.oracle(values["q"], values["K"], values["K"])):
            return "one-mixture-of-values"
        return rule

    def nan(self, seen: Any, **args: Any) -> str:
        s = ", ".join(f"{x:.4g}" for x in _plain_scores(args["q"], args["K"]))
        return f"The scores are {s}, and NaN comes out: look for inf / inf, 0 / 0 or inf - inf on the way."

    def cause(self, rule: str, seen: Any, expected: Any, q: list[float], K: Rows, V: Rows) -> str:
        s = ", ".join(f"{x:.4g}" for x in _plain_scores(q, K))
        if rule == "one-mixture-of-values":
            return "What comes out is mixed from the rows of K; a query looks at keys but takes values."
        if rule == "weights-sum-to-one":
            return (f"Every value is {show(V[0])}, so any mixture of them is that again; yours is {show(seen)}: the "
                    "weights do not sum to 1.")
        if rule == "equal-scores-share-equally":
            return (f"All {len(K)} scores are {_plain_scores(q, K)[0]:.4g}, so each value counts 1/{len(K)}; yours is "
                    f"{show(seen)}.")
        if rule == "any-size-of-score":
            return f"The scores are {s}; only their differences matter, so weights as finite as ever are due."
        return f"The scores are {s}; the mixture should be {show(expected)} and yours is {show(seen)}."


def _plain_scores(q: list[float], K: Rows) -> list[float]:
    return [sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(len(q)) for k in K]


# ----- causal attention -------------------------------------------------------------------------------------------


class CausalAttend(TensorSpecification):
    """All rows at once, with the causal mask."""

    exercise = "causal_attend"
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import attend, scores"
    rules = (
        Rule("one-mixture-a-query", "n queries give n rows, each mixed from the rows of V, shape [n, dv]."),
        Rule("the-future-is-hidden", "Changing a later key or value changes no earlier row."),
        Rule("a-token-sees-itself", "Row i sees key and value i; row 0, which sees nothing else, is V[0]."),
        Rule("the-whole-past-is-seen", "Row i sees all the keys and values before it."),
        Rule("each-row-as-attend", "Row i is attend(Q[i], ...) over what it sees: scaled, and weights that sum to 1."),
        Rule("any-size-of-score", "Scores of any size, seen or hidden, leave every row finite and right."),
        DTYPE,
        STAY,
    )
    # Of several failing witnesses of one rule the first is shown: the smallest stand in front.
    witnesses = (
        Witness("the-future-is-hidden", op("call", Q=[[1.0], [2.0], [0.5]], K=[[1.0], [0.5], [-1.0]],
                                           V=[[10.0], [20.0], [40.0]])),
        Witness("one-mixture-a-query", op("call", Q=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
                                          K=[[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]],
                                          V=[[1.0, 0.0, 0.0, 1.0, 2.0], [0.0, 2.0, 0.0, 1.0, 0.0],
                                             [0.0, 0.0, 4.0, 1.0, 0.0]])),
        Witness("the-future-is-hidden", op("call", Q=[[1.0, 0.5], [-1.0, 2.0]], K=[[1.0, 0.0], [0.5, 1.0]],
                                           V=[[1.0, 5.0], [3.0, -1.0]])),
        Witness("the-future-is-hidden", op("call", Q=[[1.0], [2.0], [-1.0], [0.5]], K=[[1.0], [-1.0], [2.0], [0.0]],
                                           V=[[1.0], [2.0], [4.0], [8.0]])),
        Witness("a-token-sees-itself", op("call", Q=[[2.0, 1.0]], K=[[1.0, 3.0]], V=[[4.0, -1.0, 2.0]])),
        Witness("a-token-sees-itself", op("call", Q=[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
                                          K=[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], V=[[6.0], [12.0], [30.0]])),
        Witness("the-whole-past-is-seen", op("call", Q=[[0.0]] * 5, K=[[0.0]] * 5,
                                             V=[[5.0], [10.0], [15.0], [20.0], [50.0]])),
        Witness("each-row-as-attend", op("call", Q=[[1.0, 2.0, 0.0, 1.0], [2.0, 0.0, 1.0, -1.0]],
                                         K=[[2.0, 0.0, 1.0, 0.0], [0.0, 1.0, 2.0, -2.0]], V=[[1.0], [3.0]])),
        Witness("each-row-as-attend", op("call", Q=[[1.0, 0.0], [0.5, -1.0], [2.0, 1.0]],
                                         K=[[0.0, 1.0], [1.5, 0.0], [1.0, -1.0]],
                                         V=[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])),
        Witness("any-size-of-score", op("call", Q=[[1.0], [40.0]], K=[[20.0], [40.0]], V=[[1.0], [2.0]])),
        Witness("any-size-of-score", op("call", Q=[[40.0], [40.0], [40.0]], K=[[20.0], [40.0], [80.0]],
                                        V=[[1.0], [2.0], [3.0]])),
        Witness("any-size-of-score", op("call", Q=[[400.0], [400.0]], K=[[-500.0], [-500.0]], V=[[2.0], [4.0]])),
        Witness(DTYPE.name, op("call", Q=[[1.0], [0.0]], K=[[1.0], [2.0]], V=[[3.0], [1.0]])),
        Witness(STAY.name, op("call", Q=[[1.0], [0.5]], K=[[1.0], [2.0]], V=[[3.0], [1.0]])),
    )
    hints = (
        "Which rows of K and V may query 2 look at? Write its row with attend and a slice before you think of all.",
        "A hidden key has weight exactly 0: it stands neither in the sum of values nor in the sum that the "
        "exponentials are divided by.",
        "s = Q @ K.T / math.sqrt(____)\nfuture = torch.ones(n, n, dtype=torch.bool).triu(____)\n"
        "s = s.masked_fill(future, ____)\n"
        "e = torch.exp(s - s.amax(dim=1, keepdim=True))   # one maximum a row, [n, 1]\n"
        "return (e / ____) @ V",
    )

    def oracle(self, Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        from labkit.attention import by_hand

        return by_hand.causal_attend(Q, K, V)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"n": st.integers(1, 5), "d": st.integers(1, 4), "dv": st.integers(1, 3),
                "seed": st.integers(0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, d = sizes["n"], sizes["d"]
        return {"Q": rows(draw, n, d), "K": rows(draw, n, d), "V": rows(draw, n, sizes["dv"])}

    def rule_for(self, Q: Rows, K: Rows, V: Rows) -> str:
        if max(abs(s) for q in Q for s in _plain_scores(q, K)) > HUGE:
            return "any-size-of-score"
        return "a-token-sees-itself" if len(Q) == 1 else "each-row-as-attend"

    def accuse(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if shape_of(seen) != shape_of(expected):
            return "one-mixture-a-query"
        looks = self.looks(seen, call, **args)
        if looks is None:
            return rule
        values, keys = looks
        n = len(args["Q"])
        if any(values[i][j] or keys[i][j] for i in range(n) for j in range(i + 1, n)):
            return "the-future-is-hidden"
        if rule == "any-size-of-score":
            # A weight of 1e-200 is as good as none: what a row looks at cannot be told apart here.
            return rule
        nans = [bool(row.isnan().any()) for row in seen]
        if all(nans):
            return rule
        if n > 1 and nans == [True] * (n - 1) + [False] and same(seen[-1], expected[-1]):
            # Only the last row, which has nothing to hide, is a number, and it is right.
            return "the-future-is-hidden"
        if n > 1 and not any(values[i][j] for i in range(n) for j in range(n)):
            return "one-mixture-a-query"
        if not all(values[i][i] for i in range(n)):
            return "a-token-sees-itself"
        if not all(values[i][j] for i in range(n) for j in range(i)):
            return "the-whole-past-is-seen"
        return rule

    def looks(self, seen: Any, call: Callable[..., Any], **args: Any) -> tuple[Seen, Seen] | None:
        """Which rows of the answer move with which value, and with which key: [n][n] each, found by asking again."""
        n = len(args["Q"])
        moved: dict[str, list[list[bool]]] = {"V": [], "K": []}
        for name in moved:
            columns = []
            for j in range(n):
                values = self.decode(args)
                values[name][j] += 1.0
                try:
                    again = call(*values.values())
                except Exception:
                    return None
                if shape_of(again) != shape_of(seen):
                    return None
                columns.append([not same(again[i], seen[i]) and not _both_nan(again[i], seen[i]) for i in range(n)])
            moved[name] = [[columns[j][i] for j in range(n)] for i in range(n)]
        return moved["V"], moved["K"]

    def nan(self, seen: Any, **args: Any) -> str:
        rows_ = [str(i) for i, values in enumerate(seen) if values.isnan().any()]
        which = "Every row is" if len(rows_) == len(seen) > 1 else f"Row {rows_[0]} is" if len(rows_) == 1 else \
            f"Rows {', '.join(rows_)} are"
        return f"{which} NaN: look for a row in which all is hidden, for inf - inf, or for 0 times inf."

    def cause(self, rule: str, seen: Any, expected: Any, Q: Rows, K: Rows, V: Rows) -> str:
        if rule == "one-mixture-a-query":
            return "No row moves when V changes: what comes out is not mixed from the values."
        i = next((i for i in range(len(Q)) if not same(seen[i], expected[i])), 0)
        yours = f"row {i} is {show(seen[i])} where {show(expected[i])} is due"
        if rule == "the-future-is-hidden":
            return f"A later key or value moves an earlier row: {yours}."
        if rule == "a-token-sees-itself":
            return f"A row does not move with its own value: {yours}."
        if rule == "the-whole-past-is-seen":
            return f"A row does not move with one of the values before it: {yours}."
        if rule == "any-size-of-score":
            return f"With scores this far from zero {yours}."
        return f"The rows look at the right values but weigh them differently: {yours}."


def _both_nan(a: Any, b: Any) -> bool:
    return bool(a.isnan().any()) and bool(b.isnan().any())


# ----- the last row -----------------------------------------------------------------------------------------------


def _named(value: Any) -> str:
    import torch

    if value is None:
        return "None"
    return "a tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


class LastRowReferee(TensorReferee):
    """One decode step: the row, then the keys and values that it hands on, each a line of its own."""

    def do_call(self, **args: Any) -> None:
        import torch

        spec = self.spec
        assert isinstance(spec, LastRowOnly)
        args = {name: args[name] for name in spec.parameters()}
        x, K, V, W_q, W_k, W_v = spec.decode(args).values()
        n = len(K)
        self.setup_text = spec.setup_line(**args)
        row, new_K, new_V = spec.oracle(x, K, V, W_q, W_k, W_v)
        rule = "the-first-token-too" if n == 0 else "equals-the-last-row"
        seen = self.call(rule, spec.label(args), self.implementation, *spec.decode(args).values())
        if not isinstance(seen, list | tuple) or len(seen) != 3:
            given = _named(seen) if not isinstance(seen, list | tuple) else f"{len(seen)} values"
        else:
            given = ", ".join(map(_named, seen))
        three = isinstance(seen, list | tuple) and len(seen) == 3 and all(isinstance(t, torch.Tensor) for t in seen)
        self.steps[-1].seen = "three tensors" if three else show(seen, 60)
        if not self.require("gives-row-keys-values", three, expected=Words("(row, K, V)"),
                            cause="Three tensors are due: the row, and the K and V to keep; what comes back is "
                                  f"{given}."):
            return
        names = (("row", row), ("K", new_K), ("V", new_V))
        for (name, expected), given in zip(names, seen, strict=True):
            if shape_of(given) != shape_of(expected):
                self.tell("gives-row-keys-values", name, given, expected,
                          f"{name} has shape {shape_of(given)} where {shape_of(expected)} is due"
                          + (f": kept before {n}, new 1." if name != "row" else ": one vector, as wide as a value."))
                return
        for (name, expected), given in zip(names, seen, strict=True):
            if other_dtype(given, expected):
                step = self._line(name, observe=True)
                step.seen = str(given.dtype)
                self._fail(DTYPE.name, "wrong-type", f"The numbers of {name} are right, but their dtype is "
                           f"{given.dtype} where {expected.dtype} came in and is due.", step, str(expected.dtype))
                return
        for name, given, expected in (("K", seen[1], new_K), ("V", seen[2], new_V)):
            if not same(given[:n], expected[:n]):
                self.tell("the-past-is-kept", name, given, expected,
                          f"What {name} held before ({_rows(n)}) must come first and stay as it was.")
                return
            if not same(given[n:], expected[n:]):
                self.tell("own-key-and-value-last", name, given, expected,
                          f"The last row of {name} belongs to the new token: {show(expected[n])}; yours is "
                          f"{show(given[n])}.")
                return
        if same(seen[0], row):
            return
        if n == 0:
            self.tell("the-first-token-too", "row", seen[0], row, "Nothing was kept before, so the new token sees only "
                                                                  f"itself: the row is its own value {show(row)}.")
        elif same(seen[0], spec.oracle_over(x @ W_q, K, V)):
            self.tell("sees-itself", "row", seen[0], row, "The row is mixed from the older values alone; the new "
                                                          "token's own value is missing.")
        else:
            self.tell("equals-the-last-row", "row", seen[0], row, f"The last row of causal attention over all {n + 1} "
                                                                  f"tokens is {show(row)}; yours is {show(seen[0])}.")

    def tell(self, rule: str, name: str, seen: Any, expected: Any, cause: str) -> None:
        """A line of its own for one of the three answers."""
        step = self._line(name, observe=True)
        step.seen = show(seen)
        nan = bool(seen.isnan().any())
        self._fail(rule, "nan" if nan else "rule", cause, step, expected=show(expected))


class LastRowOnly(TensorSpecification):
    """The row of one new token, from the keys and values kept so far."""

    exercise = "last_row_only"
    referee = LastRowReferee
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import attend, scores"
    rules = (
        Rule("gives-row-keys-values", "The answer is (row, K, V) with shapes [dv], [n + 1, d] and [n + 1, dv]."),
        Rule("the-past-is-kept", "The keys and values given come back first, unchanged and in order."),
        Rule("own-key-and-value-last", "The last rows of K and V are the new token's: x @ W_k and x @ W_v."),
        Rule("sees-itself", "The new token's own key and value are among those it attends to."),
        Rule("equals-the-last-row", "The row is the last row of causal attention over all n + 1 tokens."),
        Rule("the-first-token-too", "With nothing kept (n = 0) the row is the new token's own value."),
        DTYPE,
        STAY,
    )
    witnesses = (
        Witness("gives-row-keys-values", op("call", x=[1.0, 2.0], K=[[1.0, 0.0], [0.0, 1.0]],
                                            V=[[3.0, 0.0], [0.0, 3.0]],
                                            W_q=[[1.0, 0.0], [0.0, 1.0]], W_k=[[0.0, 1.0], [1.0, 0.0]],
                                            W_v=[[2.0, 0.0], [0.0, 2.0]])),
        Witness("the-past-is-kept", op("call", x=[1.0, 1.0], K=[[1.0, 0.5], [0.0, 2.0], [3.0, 1.0]],
                                       V=[[1.0, 0.0], [0.0, 4.0], [5.0, 5.0]], W_q=[[1.0, 1.0], [0.0, 2.0]],
                                       W_k=[[0.5, 1.0], [2.0, 0.0]], W_v=[[1.0, 3.0], [0.0, 1.0]])),
        Witness("own-key-and-value-last", op("call", x=[2.0, 1.0, 0.0], K=[[1.0, 0.0]], V=[[4.0]],
                                             W_q=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
                                             W_k=[[0.0, 1.0], [1.0, -1.0], [2.0, 0.0]], W_v=[[1.0], [3.0], [5.0]])),
        Witness("sees-itself", op("call", x=[1.0, 1.0], K=[[2.0, 0.0], [0.0, 1.0]], V=[[1.0], [2.0]],
                                  W_q=[[1.0, 0.0], [0.0, 1.0]], W_k=[[1.0, 0.0], [0.0, 1.0]], W_v=[[4.0], [5.0]])),
        Witness("equals-the-last-row", op("call", x=[1.0, -2.0], K=[[1.0, 0.0, 1.0, 2.0], [0.0, 3.0, -1.0, 1.0]],
                                          V=[[1.0, 0.0], [0.0, 1.0]],
                                          W_q=[[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, -1.0]],
                                          W_k=[[2.0, 0.0, 1.0, 1.0], [0.0, 1.0, -1.0, 0.0]],
                                          W_v=[[3.0, 1.0], [1.0, -1.0]])),
        Witness("equals-the-last-row", op("call", x=[40.0], K=[[10.0], [30.0]], V=[[1.0], [2.0]], W_q=[[1.0]],
                                          W_k=[[1.0]], W_v=[[0.1]])),
        Witness("the-first-token-too", op("call", x=[1.0, 3.0], K=[], V=[], W_q=[[1.0, 0.0], [0.0, 1.0]],
                                          W_k=[[1.0, 2.0], [0.0, 1.0]], W_v=[[2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])),
        Witness(DTYPE.name, op("call", x=[1.0], K=[[2.0]], V=[[3.0]], W_q=[[0.0]], W_k=[[1.0]], W_v=[[1.0]])),
        Witness(STAY.name, op("call", x=[1.0], K=[[2.0]], V=[[3.0]], W_q=[[1.0]], W_k=[[1.0]], W_v=[[1.0]])),
    )
    hints = (
        "Which of its three vectors does the new token use itself, and which two will later tokens ask it for?",
        "After the call K and V have one row more, and the query has met every row of them, the new one included.",
        "K = torch.cat([K, (x @ ____)[None]])\nV = ____\nreturn attend(____, K, V), K, V",
    )

    def oracle(self, x: Tensor, K: Tensor, V: Tensor, W_q: Tensor, W_k: Tensor, W_v: Tensor) -> tuple[Tensor, ...]:
        from labkit.attention import by_hand

        return by_hand.last_row_only(x, K, V, W_q, W_k, W_v)

    def oracle_over(self, q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        """What the query would get from the given keys and values."""
        from labkit.attention import by_hand

        return by_hand.attend(q, K, V)

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        values = super().decode(args)
        # An empty list does not say how wide its rows would be; the matrices do.
        values["K"] = values["K"].reshape(len(args["K"]), values["W_k"].shape[1])
        values["V"] = values["V"].reshape(len(args["V"]), values["W_v"].shape[1])
        return values

    def label(self, args: Mapping[str, Any]) -> str:
        return f"row, K, V = {super().label(args)}"

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"n": st.integers(0, 4), "h": st.integers(1, 3), "d": st.integers(1, 4), "dv": st.integers(1, 3),
                "seed": st.integers(0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, h, d, dv = (sizes[name] for name in ("n", "h", "d", "dv"))
        return {"x": row(draw, h), "K": rows(draw, n, d), "V": rows(draw, n, dv), "W_q": rows(draw, h, d),
                "W_k": rows(draw, h, d), "W_v": rows(draw, h, dv)}


# ----- break it ---------------------------------------------------------------------------------------------------


class CachedReferee(Referee):
    """Feeds a made-up sequence piece by piece and compares each piece's rows with those of the whole."""

    WIDTH = 2
    LONGEST = 64

    def do_feed(self, n: int) -> None:
        import torch

        from labkit.attention import by_hand

        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= self.LONGEST:
            raise ValueError(f"feed({show(n)}) makes no sense: feed takes a whole number of tokens, from 1 to "
                             f"{self.LONGEST}.")
        if not hasattr(self, "head"):
            self.head = self.call("pieces-change-nothing", "head = CachedAttention()", self.implementation)
            self.fed = 0
        numbers = random.Random(7)
        sequence = torch.tensor([row(numbers, 3 * self.WIDTH) for _ in range(self.fed + n)], dtype=torch.float64)
        Q, K, V = sequence.split(self.WIDTH, dim=1)
        expected = by_hand.causal_attend(Q, K, V)[self.fed:]
        start, self.fed = self.fed, self.fed + n
        seen = self.call("pieces-change-nothing", f"feed({n})", "feed", Q[start:], K[start:], V[start:], on=self.head)
        self.steps[-1].seen = f"rows {start} to {start + n - 1}" if n > 1 else f"row {start}"
        if shape_of(seen) != shape_of(expected):
            self.require("pieces-change-nothing", False, kind="wrong-shape",
                         cause=f"{n} new tokens must give {n} rows.", seen=seen, expected=expected)
            return
        wrong = [i for i in range(n) if not same(seen[i], expected[i])]
        if wrong:
            i = wrong[0]
            self.require("pieces-change-nothing", False, seen=seen[i], expected=expected[i],
                         cause=f"Row {start + i} is not what it is when all {self.fed} tokens come in one piece.")


class Cached(Specification):
    """A head that keeps its keys and values: however a sequence is cut, its rows stay the same."""

    exercise = "CachedAttention"
    referee = CachedReferee
    prelude = "import math\n\nimport torch"
    needs_torch = True
    rules = (Rule("pieces-change-nothing", "However a sequence is cut into pieces, its rows are those of the whole."),)
    witnesses = (Witness("pieces-change-nothing", op("feed", n=2), op("feed", n=3)),)


class BreakTheMask(BreakIt):
    """A causal mask laid into the wrong corner."""

    exercise = "break_the_mask"
    base = Cached()
    needs_torch = True
    prelude = "import torch"
    reference = "labkit.attention.by_hand:CachedAttention"
    most = 6
    bug = '''
class CachedAttention:
    def __init__(self):
        self.K = self.V = None

    def feed(self, Q, K, V):
        self.K = K if self.K is None else torch.cat([self.K, K])
        self.V = V if self.V is None else torch.cat([self.V, V])
        s = Q @ self.K.T / math.sqrt(Q.shape[1])
        if len(Q) > 1:
            visible = torch.ones(s.shape, dtype=torch.bool).tril()
            s = s.masked_fill(~visible, -math.inf)
        return torch.softmax(s, dim=-1) @ self.V
'''
    shortest = (op("feed", n=1), op("feed", n=2))
    hints = (
        "What shape does s have in the first call of feed, and in a later one? Draw tril() for both.",
        "The table of scores has a row for each new token and a column for each token so far. For which calls is it "
        "square, and which calls are not masked at all?",
        '[("feed", ____), ("feed", ____)]   # which of the two sizes must be more than 1?',
    )


LESSON = Lesson(
    key="01_attention_by_hand",
    title="Attention by hand",
    part="Start",
    minutes=75,
    builds="Attention from one query to a whole prompt, and the one row that is enough to go on.",
    symptom="A long prompt is silent for a while, then its answer streams evenly; and while it was silent, everyone "
            "else's answer stood still.",
    exercises=(
        Exercise("scores", "Scores of the keys", 6, 1, 4, Scores(), "labkit.attention.by_hand:scores"),
        Exercise("attend", "One query attends", 8, 2, 5, Attend(), "labkit.attention.by_hand:attend"),
        Exercise("causal_attend", "All rows, no future", 14, 3, 5, CausalAttend(),
                 "labkit.attention.by_hand:causal_attend"),
        Exercise("last_row_only", "Only the last row", 6, 2, 5, LastRowOnly(),
                 "labkit.attention.by_hand:last_row_only"),
        Exercise("break_the_mask", "Break it: the mask in the wrong corner", 5, 2, 3, BreakTheMask(), kind="break"),
    ),
)
