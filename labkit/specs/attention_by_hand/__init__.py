"""Lesson 01, attention by hand: rules, witnesses and hints.

Arguments of an operation are nested lists, which `decode` turns into float64 tensors; torch is imported only there,
so that listing the lessons stays quick.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.display import show
from labkit.grading.functions import answer_of, row, rows
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.attention_by_hand.referees import (
    CachedReferee,
    LastRowReferee,
    Rows,
    TensorSpecification,
    same,
    shape_of,
)
from labkit.words import choose

HUGE = 500.0
"""Beyond this size exp() of a score overflows or vanishes soon; such calls are about that rule."""


# ----- scores -----------------------------------------------------------------------------------------------------


class Scores(TensorSpecification):
    """The score of every key for one query."""

    exercise = "scores"
    rules = rules_from(
        """
        one-score-per-key: n keys give n scores, shape [n], the score of key i at place i.
            [1,2] [[1,0],[0,3],[2,-1]]
            [3,-1] [[1,1]]
        products-summed: A score is the sum of query times key, number by number, signs and all.
            ?
            [1,-2,0.5] [[2,1,-4],[-1,0.5,3],[0,-3,1]]
            [-1,-2] [[-3,0.5],[2,2],[-1,-1],[0,0],[4,-2]]
            x64 70x64
            [16777217,-16777216] [[1,1],[2,2],[1,0]]
        divided-by-root-d: Every sum is divided by the square root of d, the length of the query.
            ? By the root of which number are the products divided: of how long a key is, or of how many keys \
              there are?
            [1,0,2,0,1] [[1,3,0,2,1],[0,1,2,0,1],[-1,0,1,1,0]]
            [1,1,2,0] [[3,1,0,5],[-1,0,4,2]]
            [2] [[3],[-1],[0.5]]
            [1,1,1,1,1,1,1,1,1] [[1,1,1,1,1,1,1,1,1],[2,2,2,2,2,2,2,2,2]]
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, by `torch.zeros` or from a list, and which \
              have those that came in?
            [1,1,2,0] [[3,1,0,5]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [2,1] [[3,0.5],[0,1.5]]
        """
    )
    hints = (
        "Write the three products of q = [1, 2] with the keys [1, 0], [0, 1] and [2, -1] on paper. Which product of "
        "a matrix and a vector gives all three at once?",
        "Entry i of the answer depends on q and on row i of K, on no other row. With d = 4 its sum is halved; with "
        "d = 9 it is divided by 3.",
        "return K @ ____ / math.sqrt(q.shape[____])",
    )
    search = {"n": (1, 5), "d": (1, 5), "seed": (0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        return {"q": row(draw, sizes["d"]), "K": rows(draw, sizes["n"], sizes["d"])}

    def rule_for(self, q: list[float], K: Rows) -> str:
        return "products-summed"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if shape_of(seen) != shape_of(expected):
            return "one-score-per-key"
        # Few numbers may agree by chance, and one alone is in proportion to anything: a second question decides.
        asked = self.decode({"q": [1, -0.5, 2], "K": [[1, 0.5, -0.5], [0.3, 2, 1], [-1, 0.7, 0.2], [2, 1, -0.4]]})
        due, again = self.oracle(**asked), answer_of(call, *asked.values())
        if shape_of(again) != shape_of(due):
            return "products-summed"
        if all(same(one.sort().values, other.sort().values) for one, other in ((seen, expected), (again, due))):
            return "one-score-per-key"
        factors = _factor(seen, expected), _factor(again, due)
        return "products-summed" if None in factors[: 1 + (len(seen) == 1)] else "divided-by-root-d"

    def cause(self, rule: str, seen: Any, expected: Any, q: list[float], K: Rows) -> str:
        n, d = len(K), len(q)
        if rule == "one-score-per-key":
            return f"The {n} scores are right but do not stand in the order of the keys."
        if rule == "divided-by-root-d":
            factor = _factor(seen, expected)
            return (
                f"Each of your scores is {factor:.4g} times what it should be; here d is {d} and n is {n}, and the "
                f"divisor is {math.sqrt(d):.4g}."
            )
        i = next((i for i in range(n) if not same(seen[i], expected[i])), 0)
        sum_ = " + ".join(f"({a:g} * {b:g})" for a, b in zip(q, K[i], strict=True))
        return (
            f"Key {i}: {sum_} = {sum(a * b for a, b in zip(q, K[i], strict=True)):g}, divided by "
            f"{math.sqrt(d):.4g} is {float(expected[i]):.4g}; yours is {float(seen[i]):.4g}."
        )


def _factor(seen: Any, expected: Any) -> float | None:
    """The one number by which all of `seen` differs from `expected`; None where there is none."""
    pairs = list(zip(seen.tolist(), expected.tolist(), strict=True))
    if any((s == 0) != (e == 0) for s, e in pairs):
        return None
    ratios = [s / e for s, e in pairs if e]
    if not ratios or ratios[0] <= 0 or not math.isfinite(ratios[0]):
        return None
    return ratios[0] if all(math.isclose(r, ratios[0], rel_tol=1e-6) for r in ratios) else None


# ----- attend -----------------------------------------------------------------------------------------------------


class Attend(TensorSpecification):
    """One query over n keys and values."""

    exercise = "attend"
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import scores"
    rules = rules_from(
        """
        one-mixture-of-values: The answer is one vector mixed from the rows of V, shape [dv].
            ? Which shape has each tensor on the way, and along which axis do you multiply or add up? The answer has \
              one number for each column of V.
            [1,0] [[1,0],[0,1],[-1,1]] [[1,0,4],[0,2,4],[3,1,-4]]
            [1,1] [[2,0],[0,-1]] [[5,1],[-1,3]]
            [1,2,1] [[0.5,0,1],[1,-1,0],[0,0.5,0.5]] [[6],[1],[2]]
        weights-sum-to-one: The weights sum to 1: where all values are the same, that value comes out.
            ? Add up your weights for any three scores. By what would each have to be divided for the sum to be \
              1?
            [1,-1] [[1,2],[3,0.5],[-1,1]] [[7,-2],[7,-2],[7,-2]]
            [2,1,0,1] [[1,1,0,3]] [[5,9]]
        equal-scores-share-equally: Keys with equal scores get equal weights.
            ? Two keys have the same score. In which line of yours are they treated differently?
            [0,0] [[1,2],[3,4],[-5,6],[0,0]] [[2],[4],[6],[20]]
            [1,1] [[2,1],[1,2],[4,-1]] [[3,0],[0,3],[6,6]]
        weights-follow-the-scores: The weight of a key is exp(its score), divided by the sum over all keys.
            ? How many times the weight of a score of 0 has a score of 1, by the formula and by your code?
            [1] [[0],[1],[-1]] [[10],[20],[40]]
            [2,0,1,-1] [[1,5,0,0],[0,1,3,-1]] [[10,0],[0,10]]
            [1] [[-1],[0],[1]] [[1,0,0],[0,1,0],[0,0,1]]
            [-1.5,0.5] [[2,0],[1,1],[-1,2]] [[0,8],[8,0],[-8,4]]
            x16 70x16 70x3
            [1] [[20000000],[20000001]] [[3],[1]]
        any-size-of-score: Scores of any size, positive or negative, give finite and right weights.
            ?
            [40,0,0,0] [[40,1,0,0],[40.05,0,2,0]] [[1],[3]]
            [40] [[0],[25]] [[1],[2]]
            [40] [[25],[0]] [[1],[2]]
            [60,0,0,0] [[0,1,0,0],[0,0,1,0],[100,0,0,0]] [[1],[2],[3]]
            [50] [[-40],[-40.02]] [[1],[0]]
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, by `torch.zeros` or from a list, and which \
              have those that came in?
            [1,0] [[0,1],[0,2]] [[1],[2]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [1,0] [[0.5,1],[0,2]] [[1,3],[2,-1]]
        """
    )
    # Of several failing witnesses of one rule the first is shown: the smallest stand in front.
    hints = (
        "Which number can be subtracted from every score so that no exponential is larger than 1, and why does no "
        "weight change by it?",
        "The weights are positive, sum to 1, and depend only on the differences between scores.",
        "s = scores(q, K)\ne = torch.exp(s - ____)\nreturn (e / ____) @ V",
    )
    search = {"n": (1, 5), "d": (1, 4), "dv": (1, 4), "size": [1, 1, 100], "seed": (0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, d = sizes["n"], sizes["d"]
        return {
            "q": [x * sizes["size"] for x in row(draw, d)],
            "K": [[x * sizes["size"] for x in r] for r in rows(draw, n, d)],
            "V": rows(draw, n, sizes["dv"]),
        }

    def rule_for(self, q: list[float], K: Rows, V: Rows) -> str:
        s = _plain_scores(q, K)
        if max(abs(x) for x in s) > HUGE:
            return "any-size-of-score"
        if all(v == V[0] for v in V):
            return "weights-sum-to-one"
        if max(s) - min(s) < 1e-12:
            return "equal-scores-share-equally"
        return "weights-follow-the-scores"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        values = self.decode(args)
        if shape_of(seen) != shape_of(expected) or same(seen, self.oracle(values["q"], values["K"], values["K"])):
            return "one-mixture-of-values"
        return rule

    def nan(self, seen: Any, **args: Any) -> str:
        s = _told(_plain_scores(args["q"], args["K"]))
        return f"The scores are {s}, and NaN comes out: look for inf / inf, 0 / 0 or inf - inf on the way."

    def cause(self, rule: str, seen: Any, expected: Any, q: list[float], K: Rows, V: Rows) -> str:
        s = _told(_plain_scores(q, K))
        if rule == "one-mixture-of-values":
            return "What comes out is mixed from the rows of K; a query looks at keys but takes values."
        if rule == "weights-sum-to-one":
            return (
                f"Every value is {show(V[0])}, so any mixture of them is that again; yours is {show(seen)}: the "
                "weights do not sum to 1."
            )
        if rule == "equal-scores-share-equally":
            return (
                f"All {len(K)} scores are {_plain_scores(q, K)[0]:.4g}, so each value counts 1/{len(K)}; yours is "
                f"{show(seen)}."
            )
        if rule == "any-size-of-score":
            return f"The scores are {s}; only their differences matter, and the mixture should be {show(expected)}."
        return f"The scores are {s}; the mixture should be {show(expected)} and yours is {show(seen)}."


def _plain_scores(q: list[float], K: Rows) -> list[float]:
    return [sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(len(q)) for k in K]


def _told(scores: list[float]) -> str:
    """Numbers in few digits, where those tell them apart."""
    short = [f"{s:.4g}" for s in scores]
    return ", ".join(short if len(set(short)) == len(set(scores)) else (f"{s:.10g}" for s in scores))


# ----- causal attention -------------------------------------------------------------------------------------------


class CausalAttend(TensorSpecification):
    """All rows at once, with the causal mask."""

    exercise = "causal_attend"
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import attend, scores"
    rules = rules_from(
        """
        one-mixture-per-query: n queries give n rows, each mixed from the rows of V, shape [n, dv].
            [[1,0],[0,1],[1,1]] [[1,0],[0,2],[-1,1]] [[1,0,0,1,2],[0,2,0,1,0],[0,0,4,1,0]]
        the-future-is-hidden: Changing a later key or value changes no earlier row.
            ? In the scores of row 0, which entries belong to tokens that come later, and what is the exponential \
              of each of them in your code?
            [[1],[2],[0.5]] [[1],[0.5],[-1]] [[10],[20],[40]]
            [[1,0.5],[-1,2]] [[1,0],[0.5,1]] [[1,5],[3,-1]]
            [[1],[2],[-1],[0.5]] [[1],[-1],[2],[0]] [[1],[2],[4],[8]]
        a-token-sees-itself: Row i sees key and value i; row 0, which sees nothing else, is V[0].
            ? On which diagonal does your mask begin? Write it down for three tokens.
            [[2,1]] [[1,3]] [[4,-1,2]]
            [[0,0],[0,0],[0,0]] [[1,1],[2,2],[3,3]] [[6],[12],[30]]
        the-whole-past-is-seen: Row i sees all the keys and values before it.
            ?
            [[0],[0],[0],[0],[0]] [[0],[0],[0],[0],[0]] [[5],[10],[15],[20],[50]]
            70*[0,0]+[0,0] 70x2 70x3
        each-row-as-attend: Row i is attend(Q[i], ...) over what it sees: scaled, and weights that sum to 1.
            ? In one row of yours: what are the scores divided by, and over which entries do the weights sum to \
              1?
            [[1,2,0,1],[2,0,1,-1]] [[2,0,1,0],[0,1,2,-2]] [[1],[3]]
            [[1,0],[0.5,-1],[2,1]] [[0,1],[1.5,0],[1,-1]] [[1,1],[1,1],[1,1]]
        any-size-of-score: Scores of any size, seen or hidden, leave every row finite and right.
            ? Which maximum do you subtract: that of the whole matrix, or that of the row, and is a hidden score \
              part of it?
            [[1],[40]] [[20],[40]] [[1],[2]]
            [[40],[40],[40]] [[20],[40],[80]] [[1],[2],[3]]
            [[400],[400]] [[-500],[-500]] [[2],[4]]
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, by `torch.zeros` or from a list, and which \
              have those that came in?
            [[1],[0]] [[1],[2]] [[3],[1]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [[1],[0.5]] [[1],[2]] [[3],[1]]
        """
    )
    # Of several failing witnesses of one rule the first is shown: the smallest stand in front.
    hints = (
        "Which rows of K and V may query 2 look at? Write its row with attend and a slice before you think of all.",
        "A hidden key has weight exactly 0: it stands neither in the sum of values nor in the sum that the "
        "exponentials are divided by.",
        "s = Q @ K.T / math.sqrt(____)\nfuture = torch.ones(n, n, dtype=torch.bool).triu(____)\n"
        "s = s.masked_fill(future, ____)\n"
        "e = torch.exp(s - s.amax(dim=1, keepdim=True))   # one maximum per row, [n, 1]\n"
        "return (e / ____) @ V",
    )
    search = {"n": (1, 5), "d": (1, 4), "dv": (1, 3), "seed": (0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, d = sizes["n"], sizes["d"]
        return {"Q": rows(draw, n, d), "K": rows(draw, n, d), "V": rows(draw, n, sizes["dv"])}

    def rule_for(self, Q: Rows, K: Rows, V: Rows) -> str:
        if max(abs(s) for q in Q for s in _plain_scores(q, K)) > HUGE:
            return "any-size-of-score"
        return "a-token-sees-itself" if len(Q) == 1 else "each-row-as-attend"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if shape_of(seen) != shape_of(expected):
            return "one-mixture-per-query"
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
            return "one-mixture-per-query"
        if not all(values[i][i] for i in range(n)):
            return "a-token-sees-itself"
        if not all(values[i][j] for i in range(n) for j in range(i)):
            return "the-whole-past-is-seen"
        return rule

    def looks(
        self, seen: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[list[list[bool]], list[list[bool]]] | None:
        """Which rows of the answer move with which value, and with which key: [n][n] each, found by asking again.

        Of many tokens only the first and last few are asked about; the others count as right.
        """
        n = len(args["Q"])
        asked = range(n) if n <= 8 else (0, 1, n // 2, n - 2, n - 1)
        moved: dict[str, list[list[bool]]] = {"V": [], "K": []}
        for name in moved:
            columns = []
            for j in range(n):
                if j not in asked:
                    columns.append([j <= i for i in range(n)])
                    continue
                values = self.decode(args)
                values[name][j] += 1.0
                again = answer_of(call, *values.values())
                if shape_of(again) != shape_of(seen):
                    return None
                columns.append([not same(again[i], seen[i]) and not _both_nan(again[i], seen[i]) for i in range(n)])
            moved[name] = [[columns[j][i] for j in range(n)] for i in range(n)]
        return moved["V"], moved["K"]

    def nan(self, seen: Any, **args: Any) -> str:
        which = [str(i) for i, values in enumerate(seen) if values.isnan().any()]
        n = len(which)
        what = f"{choose(n, 'Row', 'Rows')} {', '.join(which)} {choose(n, 'is', 'are')}"
        what = "Every row is" if n == len(seen) > 1 else what
        return f"{what} NaN: look for a row in which all is hidden, for 0 / 0, for inf - inf, or for 0 times inf."

    def cause(self, rule: str, seen: Any, expected: Any, Q: Rows, K: Rows, V: Rows) -> str:
        if rule == "one-mixture-per-query":
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


class LastRowOnly(TensorSpecification):
    """The row of one new token, from the keys and values kept so far."""

    exercise = "last_row_only"
    referee = LastRowReferee
    prelude = TensorSpecification.prelude + "\n\nfrom labkit.mine import attend, scores"
    rules = rules_from(
        """
        gives-row-keys-values: The answer is (row, K, V) with shapes [dv], [n + 1, d] and [n + 1, dv].
            [1,2] [[1,0],[0,1]] [[3,0],[0,3]] [[1,0],[0,1]] [[0,1],[1,0]] [[2,0],[0,2]]
            [1] [[2]] [[3]] [[1]] [[2]] [[3]]
        the-past-is-kept: The keys and values given come back first, unchanged and in order.
            ? What do the first n rows of the K and V that you return hold, and in which order are old and new \
              joined?
            [1,1] [[1,0.5],[0,2],[3,1]] [[1,0],[0,4],[5,5]] [[1,1],[0,2]] [[0.5,1],[2,0]] [[1,3],[0,1]]
        own-key-and-value-last: The last rows of K and V are the new token's: x @ W_k and x @ W_v.
            ? Which matrix makes the key of the new token, and which its value?
            [2,1,0] [[1,0]] [[4]] [[1,0],[0,1],[1,1]] [[0,1],[1,-1],[2,0]] [[1],[3],[5]]
        sees-itself: The new token's own key and value are among those it attends to.
            ? Is the new token's own key among the keys when you compute the scores, or is it joined afterwards?
            [1,1] [[2,0],[0,1]] [[1],[2]] [[1,0],[0,1]] [[1,0],[0,1]] [[4],[5]]
        equals-the-last-row: The row is the last row of causal attention over all n + 1 tokens.
            ? Write down the last row of `causal_attend` for two tokens. Which vector asks in it, over which \
              keys, and is yours the same?
            [1,-2] [[1,0,1,2],[0,3,-1,1]] [[1,0],[0,1]] [[1,2,0,1],[0,1,1,-1]] [[2,0,1,1],[0,1,-1,0]] [[3,1],[1,-1]]
            [40] [[10],[30]] [[1],[2]] [[1]] [[1]] [[0.1]]
            x5 70x4 70x3 5x4 5x4 5x3
            [1] [[16777216]] [[1]] [[1]] [[16777217]] [[0]]
        the-first-token-too: With nothing kept (n = 0) the row is the new token's own value.
            ? With n = 0 nothing is kept yet. Which shapes have K and V then, and what does your code make of \
              them?
            [1,3] [] [] [[1,0],[0,1]] [[1,2],[0,1]] [[2,0,1],[1,1,0]]
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, by `torch.zeros` or from a list, and which \
              have those that came in?
            [1] [[2]] [[3]] [[0]] [[1]] [[1]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            [1] [[2]] [[3]] [[1]] [[1]] [[1]]
        """
    )
    hints = (
        "Which of its three vectors does the new token use itself, and which two will later tokens ask it for?",
        "After the call K and V have one row more, and the query has met every row of them, the new one included.",
        "K = torch.cat([K, (x @ ____)[None]])\nV = ____\nreturn attend(____, K, V), K, V",
    )
    search = {"n": (0, 4), "h": (1, 3), "d": (1, 4), "dv": (1, 3), "seed": (0, 10_000)}

    def rule_for(self, **args: Any) -> str:
        return "equals-the-last-row" if args["K"] else "the-first-token-too"

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        values = super().decode(args)
        # An empty list does not say how wide its rows would be; the matrices do.
        values["K"] = values["K"].reshape(len(args["K"]), values["W_k"].shape[1])
        values["V"] = values["V"].reshape(len(args["V"]), values["W_v"].shape[1])
        return values

    def label(self, args: Mapping[str, Any]) -> str:
        return f"row, K, V = {super().label(args)}"

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, h, d, dv = (sizes[name] for name in ("n", "h", "d", "dv"))
        return {
            "x": row(draw, h),
            "K": rows(draw, n, d),
            "V": rows(draw, n, dv),
            "W_q": rows(draw, h, d),
            "W_k": rows(draw, h, d),
            "W_v": rows(draw, h, dv),
        }


# ----- break it ---------------------------------------------------------------------------------------------------


class Cached(Specification):
    """A head that keeps its keys and values: however a sequence is cut, its rows stay the same."""

    exercise = "CachedAttention"
    referee = CachedReferee
    prelude = "import math\n\nimport torch"
    needs_torch = True
    rules = rules_from(
        """
        pieces-change-nothing: However a sequence is cut into pieces, its rows are those of the whole.
            feed 2; feed 3
        """
    )
    search = {"n": (1, 64)}


class BreakTheMask(BreakIt):
    """A causal mask laid into the wrong corner."""

    exercise = "break_the_mask"
    base = Cached()
    needs_torch = True
    prelude = "import torch"
    reference = "labkit.attention.by_hand:CachedAttention"
    most = 6
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
    ending="I can compute attention with paper and pencil, and say why a token that is added changes no row before "
    "it: so keys and values can be kept, and a new token costs one row.",
)  # fmt: skip
