"""Lesson 02, what a token costs: bytes, time, and how many blocks fit.

Arguments are plain data; tensors and models are made from them in `decode`, and torch is imported only there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labkit.cache import geometry
from labkit.grading.breakit import BreakIt
from labkit.grading.compare import whole
from labkit.grading.functions import FunctionReferee, FunctionSpecification
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op, show
from labkit.specs import Exercise, Lesson

if TYPE_CHECKING:
    from torch import Tensor

Cube = list[list[list[float]]]
KiB, MiB, GiB = 2**10, 2**20, 2**30


class AskingReferee(FunctionReferee):
    """Calls the function once; where the answer is wrong, the specification may ask it more to name the rule.

    The trace then shows the question that named it, which is about one thing, instead of the call that failed first.
    """

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        assert isinstance(spec, AskingSpecification)
        args = {name: args[name] for name in spec.parameters()}
        seen, expected = self.ask(args)
        mismatch = spec.compare(seen, expected)
        if mismatch is None:
            return
        rule, question = spec.accuse(seen, expected, self.implementation, **args)
        if question is not None and question != args:
            first = self.steps.pop()
            told, due = self.ask(question)
            other = spec.compare(told, due)
            if other is None:  # it answers differently the second time
                self.steps[-1] = first
                self.setup_text = spec.setup_line(**args)
            else:
                seen, expected, mismatch, args = told, due, other, question
        cause = mismatch.sentence or spec.cause(rule, seen, expected, **args)
        self.require(rule, False, expected=expected, cause=cause, kind=mismatch.kind)

    def ask(self, args: dict[str, Any]) -> tuple[Any, Any]:
        """Call the learner's function and write the line for it: what it said, and what is right."""
        spec = self.spec
        assert isinstance(spec, AskingSpecification)
        self.setup_text = spec.setup_line(**args)
        self._op = Op("call", args)
        expected = spec.oracle(**spec.decode(args))
        rule = spec.rule_if_raised(**args)
        return self.call(rule, spec.label(args), self.implementation, *spec.decode(args).values()), expected

    def resolve(self, op: Op) -> Op | None:
        """A random operation may give sizes and a seed; the numbers are made here."""
        if "seed" not in op.args:
            return op
        assert isinstance(self.spec, AskingSpecification)
        sizes = {k: v for k, v in op.args.items() if k != "seed"}
        return Op(op.name, self.spec.numbers(random.Random(op.args["seed"]), **sizes))


class AskingSpecification(FunctionSpecification):
    """A function whose wrong answers are told apart by what it answers to further questions."""

    referee = AskingReferee

    def setup_line(self, **args: Any) -> str:
        """What stands above the trace."""
        return ""

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        """Arguments of the given sizes for the random search."""
        raise NotImplementedError

    def rule_if_raised(self, **args: Any) -> str:
        """The rule that an exception in this call breaks."""
        return self.rule_for(**args)

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any],
               **args: Any) -> tuple[str, dict[str, Any] | None]:
        """The rule that this wrong answer breaks, and the arguments that show it best (None: those of the call)."""
        return self.rule_for(**args), None

    def first_wrong(self, call: Callable[..., Any], *questions: tuple[Any, ...]) -> dict[str, Any] | None:
        """The first of these questions (values in the order of the parameters) that gets a wrong answer."""
        for values in questions:
            args = dict(zip(self.parameters(), values, strict=True))
            right = self.oracle(**self.decode(args))
            if self.compare(_answer(call, *self.decode(args).values()), right) is not None:
                return args
        return None


def _answer(call: Callable[..., Any], *args: Any) -> Any:
    """What the learner's function says, None where it fails."""
    try:
        return call(*args)
    except Exception:
        return None


# ----- kv_bytes ---------------------------------------------------------------------------------------------------


class KVBytes(AskingSpecification):
    """Bytes that one token adds to the cache."""

    exercise = "kv_bytes"
    rules = (
        Rule("a-key-and-a-value", "Every KV head keeps two vectors for a token: its key and its value."),
        Rule("every-layer-keeps-its-own", "Each layer keeps keys and values of its own."),
        Rule("every-kv-head-keeps-its-own", "In each layer, each KV head keeps a key and a value of its own."),
        Rule("head-dim-numbers-a-vector", "A key or a value is head_dim numbers long."),
        Rule("bytes-not-numbers", "Each number takes bytes_per_value bytes; the answer is a whole number of bytes."),
    )
    witnesses = (
        Witness("a-key-and-a-value", op("call", num_layers=3, num_kv_heads=5, head_dim=7, bytes_per_value=2)),
        Witness("a-key-and-a-value", op("call", num_layers=1, num_kv_heads=1, head_dim=5, bytes_per_value=1)),
        Witness("every-layer-keeps-its-own", op("call", num_layers=5, num_kv_heads=1, head_dim=1, bytes_per_value=1)),
        Witness("every-layer-keeps-its-own", op("call", num_layers=4, num_kv_heads=3, head_dim=1, bytes_per_value=1)),
        Witness("every-kv-head-keeps-its-own", op("call", num_layers=1, num_kv_heads=5, head_dim=1, bytes_per_value=1)),
        Witness("every-kv-head-keeps-its-own", op("call", num_layers=7, num_kv_heads=1, head_dim=8, bytes_per_value=2)),
        Witness("head-dim-numbers-a-vector", op("call", num_layers=1, num_kv_heads=1, head_dim=160, bytes_per_value=1)),
        Witness("head-dim-numbers-a-vector", op("call", num_layers=1, num_kv_heads=1, head_dim=80, bytes_per_value=1)),
        Witness("head-dim-numbers-a-vector", op("call", num_layers=1, num_kv_heads=1, head_dim=256, bytes_per_value=1)),
        Witness("bytes-not-numbers", op("call", num_layers=1, num_kv_heads=1, head_dim=3, bytes_per_value=4)),
        Witness("bytes-not-numbers", op("call", num_layers=1, num_kv_heads=1, head_dim=3, bytes_per_value=1)),
        Witness("bytes-not-numbers", op("call", num_layers=3, num_kv_heads=5, head_dim=7, bytes_per_value=4)),
        Witness("bytes-not-numbers", op("call", num_layers=32, num_kv_heads=8, head_dim=128, bytes_per_value=2)),
    )
    hints = (
        "Take one layer with one KV head whose vectors are 4 numbers long. Which numbers must be kept of a token, and "
        "how many are they?",
        "The answer grows in proportion to each of the four arguments: twice the layers, twice the bytes.",
        "numbers = ____ * num_layers * num_kv_heads * head_dim\nreturn numbers * ____",
    )

    def oracle(self, num_layers: int, num_kv_heads: int, head_dim: int, bytes_per_value: int) -> int:
        return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        # Small enough for whoever counts with three nested loops.
        return {"num_layers": st.integers(1, 40), "num_kv_heads": st.integers(1, 20),
                "head_dim": st.integers(1, 200), "bytes_per_value": st.sampled_from([1, 2, 4])}

    def rule_for(self, **args: int) -> str:
        return "bytes-not-numbers"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any],
               **args: int) -> tuple[str, dict[str, Any] | None]:
        """The first argument that the answer is not in proportion to; else the factor before them."""
        if whole(seen) is None:
            return "bytes-not-numbers", None
        scales = _in_proportion(call, 3, 5, 1024, 2)
        if not any(scales[:3]):
            scales = _in_proportion(call, 1, 1, 1, 1)
            rule = self.rules[1 + scales.index(False)].name if sum(scales) == 3 else "a-key-and-a-value"
        elif not all(scales):
            rule = self.rules[1 + scales.index(False)].name
        else:
            factor = (whole(_answer(call, 3, 5, 1024, 2)) or 0) / (3 * 5 * 1024 * 2)
            if factor == 2 and self.first_wrong(call, (1, 1, 160, 1), (1, 1, 80, 1), (1, 1, 256, 1)):
                rule = "head-dim-numbers-a-vector"
            else:
                rule = "a-key-and-a-value" if factor in (1, 3, 4, 6) else "bytes-not-numbers"
        return rule, self.first_wrong(call, *{
            "a-key-and-a-value": ((1, 1, 5, 1), (3, 5, 7, 2)),
            "every-layer-keeps-its-own": ((5, 3, 1, 1), (5, 1, 1, 1), (5, 3, 7, 2), (1, 1, 1, 1)),
            "every-kv-head-keeps-its-own": ((1, 5, 1, 1), (1, 2, 1, 1), (4, 3, 1, 1), (4, 1, 1, 1)),
            "head-dim-numbers-a-vector": ((1, 1, 160, 1), (1, 1, 80, 1), (1, 1, 256, 1), (1, 1, 1, 1), (1, 5, 64, 1)),
            "bytes-not-numbers": ((1, 1, 3, 4), (1, 1, 3, 1), (1, 1, 3, 2)),
        }[rule])

    def cause(self, rule: str, seen: Any, expected: Any, num_layers: int, num_kv_heads: int, head_dim: int,
              bytes_per_value: int) -> str:
        vectors = num_layers * num_kv_heads
        layers, heads = _count(num_layers, "layer"), _count(num_kv_heads, "KV head")
        what = {
            "a-key-and-a-value": f"{vectors} {'head keeps' if vectors == 1 else 'heads keep'} a key and a value each, "
                                 f"which is {2 * vectors} vectors of {head_dim}",
            "every-layer-keeps-its-own": f"{layers} {_keep(num_layers)} for each head",
            "every-kv-head-keeps-its-own": f"{heads} {_keep(num_kv_heads)} in each layer",
            "head-dim-numbers-a-vector": f"Each key and each value is {head_dim} numbers long, no more and no fewer",
            "bytes-not-numbers": f"{2 * vectors * head_dim} numbers of {bytes_per_value} "
                                 f"{'byte' if bytes_per_value == 1 else 'bytes'} each are kept",
        }[rule]
        return f"{what}: {expected} bytes, where you have {show(seen)}."


def _in_proportion(call: Callable[..., Any], *base: int) -> list[bool]:
    """For each argument: whether the answer is in proportion to it, the others being those of `base`."""
    found = []
    for i, others in enumerate(((1, 2, 4), (1, 2, 4), (2048, 3072), (1, 4))):
        answers = [(x, whole(_answer(call, *base[:i], x, *base[i + 1 :]))) for x in (base[i], *others)]
        first = answers[0][1] or 0
        found.append(all(y is not None and y * base[i] == first * x for x, y in answers))
    return found


def _keep(n: int) -> str:
    return f"keep{'s' if n == 1 else ''} {_count(n, 'key')} and {_count(n, 'value')}"


# ----- attend_last ------------------------------------------------------------------------------------------------

LARGE = 300.0
"""Scores beyond this size are about that rule."""


class AttendLast(AskingSpecification):
    """All heads of the last token over cached keys and values."""

    exercise = "attend_last"
    prelude = "import math\n\nimport torch\nfrom torch import Tensor\n\nfrom labkit.mine import attend, scores"
    needs_torch = True
    examples = 50
    op_seconds = 2.0
    tolerance = 1e-5
    rules = (
        Rule("one-mixture-a-query-head", "Each query head gets one mixture of cached values: shape [q_heads, dv]."),
        Rule("weights-sum-to-one", "A head's weights over the tokens sum to 1: equal values come out as they are."),
        Rule("every-token-counts", "Every cached token counts, from first to last; equal scores count equally."),
        Rule("neighbours-share-a-kv-head", "Neighbouring query heads read one KV head: with 4 and 2, heads 0 and 1 "
                                           "read KV head 0, heads 2 and 3 read KV head 1."),
        Rule("scores-as-in-lesson-01", "A score is the product of query and key, divided by the root of d."),
        Rule("any-size-of-score", "Scores of any size give finite and right weights."),
    )
    witnesses = (
        Witness("one-mixture-a-query-head", op("call", q=[[1.0, 0.0, 3.0]] * 6,
                                               K=[[[1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]] * 2,
                                               V=[[[4.0, 0.0], [7.0, 1.0], [9.0, 2.0]]] * 2)),
        Witness("scores-as-in-lesson-01", op("call", q=[[1.0, 0.0, 2.0, 0.0, 1.0, 0.5],
                                                [0.0, 1.0, 0.0, 2.0, -1.0, 1.0]],
                                             K=[[[2.0, 1.0, 0.0, 1.0, 0.0, 1.0]], [[0.0, 1.0, 1.0, 0.5, 2.0, 0.0]],
                                                [[1.0, -1.0, 2.0, 0.0, 1.0, 2.0]]],
                                             V=[[[1.0, 0.0, 0.0, 5.0, 2.0]], [[0.0, 1.0, 0.0, -5.0, 4.0]],
                                                [[0.0, 0.0, 1.0, 0.0, 3.0]]])),
        Witness("one-mixture-a-query-head", op("call", q=[[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]],
                                               K=[[[1.0, 2.0]], [[0.0, 1.0]]],
                                               V=[[[1.0, 0.0, 5.0, 0.5]], [[0.0, 1.0, -5.0, 0.5]]])),
        Witness("weights-sum-to-one", op("call", q=[[1.0, 2.0], [0.0, 1.0]],
                                         K=[[[0.5, 1.0]], [[2.0, -1.0]], [[1.0, 1.0]]], V=[[[6.0, -3.0]]] * 3)),
        Witness("weights-sum-to-one", op("call", q=[[1.0, 2.0]], K=[[[0.5, 1.0]], [[2.0, -1.0]], [[1.0, 1.0]]],
                                         V=[[[3.0, -2.0]]] * 3)),
        Witness("every-token-counts", op("call", q=[[0.0, 0.0], [0.0, 0.0]],
                                         K=[[[1.0, 3.0]] * 2, [[2.0, 0.0]] * 2, [[-1.0, 1.0]] * 2, [[0.5, 0.0]] * 2,
                                            [[0.0, 1.0]] * 2, [[1.0, 1.0]] * 2],
                                         V=[[[float(6 * 10**t)]] * 2 for t in range(6)])),
        Witness("every-token-counts", op("call", q=[[0.0]], K=[[[float(t % 3)]] for t in range(20)],
                                         V=[[[float(t)]] for t in range(20)])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0]] * 6, K=[[[1.0], [2.0], [0.0]]],
                                                 V=[[[5.0, 0.0], [6.0, 0.0], [7.0, 0.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0, 0.0]] * 6, K=[[[1.0, 2.0], [3.0, 0.0]]],
                                                 V=[[[10.0], [20.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0], [2.0], [3.0]], K=[[[1.0], [2.0], [0.5]]],
                                                 V=[[[5.0, 0.0], [6.0, 0.0], [7.0, 0.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [2.0, 1.0],
                                                            [0.5, -1.0], [1.0, 1.0]],
                                                 K=[[[1.0, 0.0], [0.0, 1.0], [4.0, 2.0]],
                                                    [[0.0, 2.0], [1.0, -1.0], [3.0, 0.0]],
                                                    [[2.0, 1.0], [0.5, 0.0], [0.0, 1.0]]],
                                                 V=[[[1.0], [10.0], [100.0]], [[2.0], [20.0], [200.0]],
                                                    [[4.0], [40.0], [400.0]]])),
        Witness("scores-as-in-lesson-01", op("call", q=[[2.0]], K=[[[0.5]], [[-1.0]]], V=[[[1.0, 3.0, 0.0]],
                                                                                          [[0.0, 0.0, 2.0]]])),
        # Numbers that 32 bits hold exactly: how many bits a right answer was computed in must not matter.
        Witness("any-size-of-score", op("call", q=[[64.0, 0.0, 0.0, 0.0]],
                                        K=[[[50.0, 1.0, 0.0, 0.0]], [[50.03125, 0.0, 1.0, 0.0]]],
                                        V=[[[1.0]], [[0.0]]])),
        Witness("any-size-of-score", op("call", q=[[64.0], [-64.0]], K=[[[-40.0]], [[-40.03125]]],
                                        V=[[[1.0]], [[0.0]]])),
    )
    hints = (
        "Lesson 01's attend(q, K, V) answers for one query vector [d] and keys [n, d]. Which slice of q, of K and of V "
        "do you hand it for query head h?",
        "With g = q_heads // kv_heads, the query heads 0 to g - 1 read KV head 0, the next g read KV head 1, and so "
        "on; every head sees all n tokens.",
        "group = q.shape[0] // K.shape[1]\nrows = []\nfor h in range(q.shape[0]):\n"
        "    kv = h // ____\n    rows.append(attend(q[h], K[:, ____], V[:, ____]))\nreturn torch.stack(rows)",
    )

    def oracle(self, q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        from labkit.attention.decode_by_hand import attend_last

        return attend_last(q, K, V)

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}(q, K, V)"

    def setup_line(self, q: list[list[float]], K: Cube, V: Cube) -> str:
        return (f"{_count(len(q), 'query head')}, {_count(len(K[0]), 'KV head')}, {_count(len(K), 'token')}, "
                f"d = {len(q[0])}, dv = {len(V[0][0])}; q = {show(q, 60)}, K = {show(K, 80)}, V = {show(V, 80)}")

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"n": st.integers(1, 5), "kv_heads": st.integers(1, 3), "group": st.integers(1, 3),
                "d": st.integers(1, 4), "dv": st.integers(1, 3), "seed": st.integers(0, 10_000)}

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        def row(width: int) -> list[float]:
            return [draw.randint(-20, 20) / 10 for _ in range(width)]

        n, kv, d, dv = (sizes[name] for name in ("n", "kv_heads", "d", "dv"))
        return {"q": [row(d) for _ in range(kv * sizes["group"])], "K": [[row(d) for _ in range(kv)] for _ in range(n)],
                "V": [[row(dv) for _ in range(kv)] for _ in range(n)]}

    def rule_for(self, q: list[list[float]], K: Cube, V: Cube) -> str:
        values = [v for token in V for v in token]
        largest = max(abs(_dot(row, key)) for row in q for token in K for key in token)
        if largest / math.sqrt(len(q[0])) > LARGE:
            return "any-size-of-score"
        if len(V) > 1 and len(K[0]) == 1 and all(v == values[0] for v in values):
            return "weights-sum-to-one"
        if len(K) > 1 and not any(any(row) for row in q):
            return "every-token-counts"
        return "neighbours-share-a-kv-head" if len(K) == 1 else "scores-as-in-lesson-01"

    def rule_if_raised(self, q: list[list[float]], K: Cube, V: Cube) -> str:
        if len(q) != len(K[0]):
            return "neighbours-share-a-kv-head"
        # With one token, what raises is mostly a slice that came out empty: the calls with more tokens say why.
        return "one-mixture-a-query-head" if len(K) > 1 else "scores-as-in-lesson-01"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any],
               **args: Any) -> tuple[str, dict[str, Any] | None]:
        q, K, V = self.decode(args).values()
        if tuple(getattr(seen, "shape", ())) != tuple(expected.shape) or not hasattr(seen, "numel"):
            return "one-mixture-a-query-head", None
        if self.mixes_keys(seen, q, K, V):
            return "one-mixture-a-query-head", None
        if seen.dtype.itemsize < 4:  # coarse numbers: every rule looks broken, by a little
            return "scores-as-in-lesson-01", None
        rule = self.rule_for(**args)
        if rule in ("scores-as-in-lesson-01", "neighbours-share-a-kv-head"):
            if self.other_query(seen, expected, q, K, V) is not None:
                return "one-mixture-a-query-head", None
            if self.other_heads(seen, expected, q, K, V) is not None:
                return "neighbours-share-a-kv-head", None
        return rule, None

    def mixes_keys(self, seen: Any, q: Tensor, K: Tensor, V: Tensor) -> bool:
        """Whether the answer is mixed from the keys."""
        if K.shape != V.shape or bool((K == V).all()):
            return False
        return any(self.compare(seen, self.oracle(q, keys, K)) is None for keys in (K, V))

    def other_query(self, seen: Any, expected: Any, q: Tensor, K: Tensor, V: Tensor) -> tuple[int, int] | None:
        """(h, j) where row h, the first wrong one, answers query j."""
        h = self.first_wrong_row(seen, expected)
        kv = h // (len(q) // K.shape[1])
        for j in range(len(q)):
            row = self.oracle(q[j : j + 1], K[:, kv : kv + 1], V[:, kv : kv + 1])
            if self.compare(seen[h : h + 1], row) is None:
                return h, j
        return None

    def other_heads(self, seen: Any, expected: Any, q: Tensor, K: Tensor, V: Tensor) -> tuple[int, int, int] | None:
        """(h, k, v) where row h, the first wrong one, has its keys from KV head k and its values from KV head v."""
        h = self.first_wrong_row(seen, expected)
        heads = range(K.shape[1])
        for k, v in sorted(((k, v) for k in heads for v in heads), key=lambda pair: pair[0] != pair[1]):
            row = self.oracle(q[h : h + 1], K[:, k : k + 1], V[:, v : v + 1])
            if self.compare(seen[h : h + 1], row) is None:
                return h, k, v
        return None

    def first_wrong_row(self, seen: Any, expected: Any) -> int:
        return next((i for i in range(len(expected)) if self.compare(seen[i], expected[i]) is not None), 0)

    def cause(self, rule: str, seen: Any, expected: Any, q: list[list[float]], K: Cube, V: Cube) -> str:
        n, heads, kv = len(K), len(q), len(K[0])
        values = self.decode({"q": q, "K": K, "V": V}).values()
        h = self.first_wrong_row(seen, expected)
        if rule == "one-mixture-a-query-head":
            if self.mixes_keys(seen, *values):
                return "What comes out is mixed from the keys; a query looks at keys but takes values."
            other = self.other_query(seen, expected, *values)
            return f"Row {h} is the answer to query {other[1] if other else '?'}; each query has a row of its own."
        if rule == "weights-sum-to-one":
            return (f"All {n} values are the same, so every mixture of them is that value; yours is not: the weights "
                    "of a head do not sum to 1 over the tokens.")
        if rule == "every-token-counts":
            return (f"The queries are 0, so all scores are equal and each of the {_count(n, 'token')} counts 1/{n}: "
                    "yours leaves some out, or counts some more than others.")
        if rule == "neighbours-share-a-kv-head":
            text = (f"{heads} query heads over {_count(kv, 'KV head')} are groups of {heads // kv}: query head {h} "
                    f"reads KV head {h // (heads // kv)}.")
            found = self.other_heads(seen, expected, *values)
            if found is None:
                return text + " Yours answers from elsewhere."
            _, k, v = found
            return text + (f" Yours reads KV head {k}." if k == v or n == 1 else
                           f" Yours takes its keys from KV head {k} and its values from KV head {v}.")
        if rule == "any-size-of-score":
            return f"Scores may be hundreds, and the weights must come out right all the same; yours is {show(seen)}."
        scores = [_dot(q[h], token[h // (heads // kv)]) / math.sqrt(len(q[0])) for token in K]
        return (f"Query head {h}: the scores are {', '.join(f'{s:.4g}' for s in scores)}, the answer "
                f"{show(expected[h])}; yours is {show(seen[h])}.")


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


# ----- decode_cached ----------------------------------------------------------------------------------------------


class DecodeReferee(Referee):
    """Watches which tokens the model is asked to compute, and compares the text with that from scratch."""

    most_lines = 8

    def do_call(self, seed: int, heads: list[int], prompt: list[int], num_new: int) -> None:
        from labkit.attention.decode_by_hand import decode_from_scratch
        from labkit.attention.toy_model import ToyModel

        model = ToyModel(seed, *heads)
        expected = decode_from_scratch(ToyModel(seed, *heads), prompt, num_new)
        self.setup_text = f"a model with {heads[0]} query heads and {heads[1]} KV heads (seed {seed})"
        given = list(prompt)
        chosen = _watch(model)
        seen = self.call("tokens-as-from-scratch" if num_new else "as-many-as-asked",
                         f"decode_cached(model, {prompt}, {num_new})", self.implementation, model, given, num_new,
                         keep=False)
        if not self.require("the-prompt-is-left-alone", given == prompt, expected=prompt,
                            seen=given, cause=f"The list that the caller passed in is {show(given)} after the call."):
            return
        ids = _ids(seen)
        if not self.require("as-many-as-asked", ids is not None, expected=expected, kind="wrong-type",
                            cause=_type_cause(seen)):
            return
        assert ids is not None
        if not self._places(model, prompt, expected if ids == expected else None, chosen):
            return
        if not self.require("as-many-as-asked", len(ids) == len(expected), expected=expected,
                            cause=_count_cause(ids, expected, prompt)):
            return
        i = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=True)) if a != b), None)
        self.require("tokens-as-from-scratch", i is None, expected=expected,
                     cause="" if i is None else
                     f"New token {i + 1} is {ids[i]}; computed from scratch it is {expected[i]}.")

    def _places(self, model: Any, prompt: list[int], right: list[int] | None, chosen: list[tuple[int, int]]) -> bool:
        """Every token at its place, and each computed once; the calls of `project` become lines of the trace.

        Args:
            right: the new tokens where the answer is right; then nothing is asked about the order of the calls.
            chosen: what next_token said, each with the number of calls of `project` before it.
        """
        sequence = prompt + (right or [])
        done: set[int] = set()
        left = list(chosen) if right is None else []
        for n, (tokens, start) in enumerate(model.calls):
            while left and left[0][0] <= n:
                if missing := self._missing(sequence, done):
                    return self._told(model, n - 1, *missing)
                sequence = [*sequence, left.pop(0)[1]]
            ahead = max(done, default=-1) + 1
            fits = sequence[ahead : ahead + len(tokens)] == tokens
            for position, token in enumerate(tokens, start):
                if position >= len(sequence):
                    place = (f"start={ahead}", f"start={start}") if fits else ("tokens of the sequence", str(tokens))
                    return self._told(model, n, "each-at-its-own-position", *place,
                                      f"Token {token} is computed as if it stood at position {position}, but the "
                                      f"sequence has {len(sequence)} tokens so far, at positions 0 to "
                                      f"{len(sequence) - 1}.")
                if sequence[position] != token:
                    place = (f"start={ahead}", f"start={start}") if fits else \
                        (f"token {sequence[position]} at position {position}", f"token {token}")
                    return self._told(model, n, "each-at-its-own-position", *place,
                                      f"Token {token} is computed as if it stood at position {position}, but token "
                                      f"{sequence[position]} stands there.")
                if position in done:
                    return self._told(model, n, "each-key-computed-once", "only new tokens", "computed before",
                                      f"Position {position} is computed a second time: its key and value do not "
                                      "change, and were there already.")
                done.add(position)
        for _, token in left:
            if missing := self._missing(sequence, done):
                return self._told(model, len(model.calls) - 1, *missing)
            sequence = [*sequence, token]
        return True

    def _missing(self, sequence: list[int], done: set[int]) -> tuple[str, str, str, str] | None:
        """What to say where a next token was asked for and some token before it had not been computed."""
        position = next((p for p in range(len(sequence)) if p not in done), None)
        if position is None:
            return None
        return ("each-key-computed-once", f"token {sequence[position]} at position {position} as well", "not computed",
                f"The next token was asked for while token {sequence[position]}, at position {position}, had not been "
                "computed: there is no key and no value of it.")

    def _told(self, model: Any, n: int, rule: str, expected: str, seen: str, cause: str) -> bool:
        """Write the calls of `project` up to number n, and that the last broke the rule."""
        if n >= self.most_lines:
            self._line(f"... {n - self.most_lines + 1} more calls of project", observe=True)
        first = 0 if n < self.most_lines else n - self.most_lines + 1
        for tokens, start in model.calls[first : n + 1]:
            self._line(f"model.project({show(tokens, 50)}, {start})", observe=True)
        if n < 0:
            self._line("model.next_token(...)", observe=True)
        self.steps[-1].expected, self.steps[-1].seen = expected, seen
        return self.require(rule, False, cause=cause)

    def resolve(self, op: Op) -> Op | None:
        return op


def _watch(model: Any) -> list[tuple[int, int]]:
    """Have the model note, in the list that comes back, each token it chooses: (calls of project so far, token)."""
    chosen: list[tuple[int, int]] = []
    choose = model.next_token

    def next_token(row: Tensor) -> int:
        token = choose(row)
        chosen.append((len(model.calls), token))
        return token

    model.next_token = next_token
    return chosen


def _type_cause(seen: Any) -> str:
    text = "The answer is a list of token ids."
    if seen is None:
        return text + " Yours is None: is a return missing?"
    if isinstance(seen, list | tuple):
        odd = next((x for x in seen if _ids([x]) is None), None)
        return text + f" Yours holds {show(odd, 60)}, which is none."
    return text + f" Yours is {show(seen, 60)}."


def _ids(seen: Any) -> list[int] | None:
    """A learner's answer as plain ids, None where it is no list of whole numbers."""
    if not isinstance(seen, list | tuple):
        return None
    out = []
    for token in seen:
        if isinstance(token, bool) or not hasattr(token, "__index__"):
            return None
        try:
            out.append(int(token.__index__()))
        except TypeError:
            return None
    return out


def _count_cause(ids: list[int], expected: list[int], prompt: list[int]) -> str:
    if ids[: len(prompt)] == prompt and len(ids) >= len(expected) + len(prompt):
        return "The prompt is in the answer; only the new tokens were asked for."
    asked = f"{_count(len(expected), 'new token')} {'was' if len(expected) == 1 else 'were'} asked for"
    return f"{asked}; yours has {len(ids)}."


class DecodeCached(Specification):
    """Greedy decoding with a cache."""

    exercise = "decode_cached"
    referee = DecodeReferee
    stateful = False
    prelude = "import torch\nfrom torch import Tensor\n\nfrom labkit.mine import attend_last"
    needs_torch = True
    examples = 40
    op_seconds = 2.0
    rules = (
        Rule("tokens-as-from-scratch", "The new tokens are those that computing everything again would give."),
        Rule("each-at-its-own-position", "Each token is computed at the position where it stands in the sequence."),
        Rule("each-key-computed-once", "The key and value of each token are computed once; after that they are kept."),
        Rule("as-many-as-asked", "The answer is a list of the num_new new tokens, without the prompt."),
        Rule("the-prompt-is-left-alone", "The list that the caller passed in is unchanged."),
    )
    witnesses = (
        Witness("tokens-as-from-scratch", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4], num_new=6)),
        Witness("tokens-as-from-scratch", op("call", seed=2, heads=[4, 2], prompt=[7, 9], num_new=4)),
        Witness("tokens-as-from-scratch", op("call", seed=1, heads=[4, 1], prompt=[5, 2, 8, 6], num_new=5)),
        Witness("tokens-as-from-scratch", op("call", seed=5, heads=[4, 2], prompt=[5, 5, 2, 5], num_new=3)),
        Witness("tokens-as-from-scratch", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4], num_new=14)),
        Witness("tokens-as-from-scratch", op("call", seed=8, heads=[4, 2], prompt=[5, 2, 8, 6], num_new=12)),
        Witness("each-key-computed-once", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4], num_new=3)),
        Witness("each-key-computed-once", op("call", seed=1, heads=[4, 2], prompt=[2, 7, 5], num_new=2)),
        Witness("each-at-its-own-position", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4, 2], num_new=4)),
        Witness("each-at-its-own-position", op("call", seed=3, heads=[2, 2], prompt=[6], num_new=3)),
        Witness("as-many-as-asked", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4], num_new=1)),
        Witness("as-many-as-asked", op("call", seed=3, heads=[4, 2], prompt=[3, 1, 4], num_new=0)),
        Witness("as-many-as-asked", op("call", seed=3, heads=[6, 3], prompt=[11], num_new=2)),
        Witness("the-prompt-is-left-alone", op("call", seed=1, heads=[4, 2], prompt=[3, 1, 4], num_new=2)),
    )
    hints = (
        "In the loop from scratch, which rows of K and V are different from those of the step before?",
        "Before step i the cache holds the keys and values of all tokens but the newest; the step computes that one "
        "alone, appends it, and attends with its query. In the first step, \"the newest\" is the whole prompt.",
        "new, start = list(prompt), 0\nfor _ in range(num_new):\n    q, k, v = model.project(new, ____)\n"
        "    K = k if K is None else torch.cat([K, ____])\n    V = ...\n    start += len(new)\n"
        "    new = [model.next_token(attend_last(q[____], K, V))]\n    answer += new",
    )

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {"call": {"seed": st.integers(0, 30), "heads": st.sampled_from([[4, 2], [2, 2], [4, 1], [6, 2]]),
                         "prompt": st.lists(st.integers(0, 31), min_size=1, max_size=6), "num_new": st.integers(0, 6)}}

    def describe(self, op: Op) -> str:
        return f"decode_cached(model, {op.args['prompt']}, {op.args['num_new']})"


# ----- blocks_that_fit --------------------------------------------------------------------------------------------


def _room(rule: str, memory: int, share: float, weights: int, peak: int, block: int) -> Witness:
    return Witness(rule, op("call", gpu_memory_bytes=memory, memory_share=share, weights_bytes=weights,
                            activation_peak_bytes=peak, block_bytes=block))


class BlocksThatFit(AskingSpecification):
    """Blocks that a GPU has room for."""

    exercise = "blocks_that_fit"
    rules = (
        Rule("share-of-the-whole", "memory_share is a share of all the GPU's memory, weights included."),
        Rule("weights-come-off-first", "The weights take their part before the cache does."),
        Rule("the-peak-stays-free", "The activation peak stays free for the largest step."),
        Rule("whole-blocks-only", "Only whole blocks count, as a whole number."),
        Rule("too-small-is-zero", "Where weights and peak leave no room for a block, the answer is 0."),
    )
    witnesses = (
        _room("share-of-the-whole", 1000, 0.5, 200, 100, 30),
        _room("share-of-the-whole", 1000, 0.75, 0, 0, 10),
        _room("share-of-the-whole", 1003, 0.5, 0, 0, 251),
        _room("share-of-the-whole", 80 * GiB, 0.9, 15 * GiB, 2 * GiB, 2 * MiB + 7),
        _room("weights-come-off-first", 1000, 1.0, 400, 0, 100),
        _room("the-peak-stays-free", 1000, 1.0, 0, 300, 100),
        _room("the-peak-stays-free", 1000, 1.0, 400, 300, 100),
        _room("whole-blocks-only", 1000, 1.0, 0, 0, 300),
        _room("whole-blocks-only", 899, 1.0, 0, 0, 300),
        _room("whole-blocks-only", 900, 1.0, 0, 0, 300),
        _room("whole-blocks-only", 1000, 1.0, 150, 150, 100),
        _room("whole-blocks-only", 1000, 1.0, 600, 300, 100),
        _room("whole-blocks-only", 200, 1.0, 0, 0, 300),
        _room("too-small-is-zero", 1000, 1.0, 900, 300, 100),
        _room("too-small-is-zero", 1000, 0.5, 800, 0, 100),
        _room("too-small-is-zero", 1000, 0.5, 400, 100, 10),
    )
    hints = (
        "A GPU of 1,000 bytes, a share of 0.5, weights of 200 and a peak of 100: how many bytes may the engine use at "
        "all, and how many of them are left?",
        "weights + peak + blocks * block_bytes <= share * memory, with as many whole blocks as this allows, and never "
        "fewer than none.",
        "left = int(gpu_memory_bytes * ____) - ____ - activation_peak_bytes\nreturn max(____, 0) // block_bytes",
    )

    def oracle(self, gpu_memory_bytes: int, memory_share: float, weights_bytes: int, activation_peak_bytes: int,
               block_bytes: int) -> int:
        return geometry.blocks_that_fit(gpu_memory_bytes, memory_share, weights_bytes, activation_peak_bytes,
                                        block_bytes)

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}({', '.join(f'{v:,}' if isinstance(v, int) else str(v) for v in args.values())})"

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        # Shares that a float holds exactly: a block more or less must never hang on the last bit of 0.9.
        return {"gpu_memory_bytes": st.integers(1, 10_000), "memory_share": st.sampled_from([0.25, 0.5, 0.75, 1.0]),
                "weights_bytes": st.integers(0, 6_000), "activation_peak_bytes": st.integers(0, 2_000),
                "block_bytes": st.integers(1, 500)}

    def rule_for(self, gpu_memory_bytes: int, memory_share: float, weights_bytes: int, activation_peak_bytes: int,
                 block_bytes: int) -> str:
        if gpu_memory_bytes * memory_share <= weights_bytes + activation_peak_bytes:
            return "too-small-is-zero"
        if memory_share < 1:
            return "share-of-the-whole"
        if weights_bytes:
            return "weights-come-off-first"
        return "the-peak-stays-free" if activation_peak_bytes else "whole-blocks-only"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any],
               **args: Any) -> tuple[str, dict[str, Any] | None]:
        """One thing at a time: the share, whole blocks, the weights, the peak, and all of it too small."""
        if whole(seen) is None:
            return "too-small-is-zero" if expected == 0 else "whole-blocks-only", None
        full, half = (whole(_answer(call, 3200, share, 0, 0, 1)) for share in (1.0, 0.5))
        if None not in (full, half) and (full, half) != (3200, 1600):
            share = abs(full - 2 * half) > 2 or full == 32
            rule = "share-of-the-whole" if share else "whole-blocks-only"
            halves, blocks = (1000, 0.5, 0, 0, 2), (1000, 1.0, 0, 0, 300)
            questions = (halves, (1000, 1.0, 0, 0, 2), blocks) if share else (blocks, (900, 1.0, 0, 0, 300), halves)
            question = self.first_wrong(call, *questions)
            if question:
                return rule, question
        for rule, question in (
            ("whole-blocks-only", (1000, 1.0, 0, 0, 300)),
            ("whole-blocks-only", (900, 1.0, 0, 0, 300)),
            ("whole-blocks-only", (899, 1.0, 0, 0, 300)),
            ("weights-come-off-first", (1000, 1.0, 400, 0, 100)),
            ("the-peak-stays-free", (1000, 1.0, 0, 300, 100)),
            ("the-peak-stays-free", (1000, 1.0, 400, 300, 100)),
            ("share-of-the-whole", (1000, 0.5, 200, 100, 10)),
            ("share-of-the-whole", (1000, 0.75, 0, 0, 10)),
            ("whole-blocks-only", (1000, 1.0, 150, 150, 100)),
            ("whole-blocks-only", (1000, 1.0, 600, 300, 100)),
        ):
            if wrong := self.first_wrong(call, question):
                return rule, wrong
        if not expected:
            return "too-small-is-zero", None
        return self.rule_for(**args), None

    def cause(self, rule: str, seen: Any, expected: Any, gpu_memory_bytes: int, memory_share: float, weights_bytes: int,
              activation_peak_bytes: int, block_bytes: int) -> str:
        usable = int(gpu_memory_bytes * memory_share)
        left = usable - weights_bytes - activation_peak_bytes
        if rule == "too-small-is-zero":
            return (f"{usable:,} bytes may be used, weights and peak take {weights_bytes + activation_peak_bytes:,}: "
                    f"{'nothing' if left <= 0 else 'less than a block'} is left, so the answer is 0.")
        exact = gpu_memory_bytes * memory_share
        if memory_share == 1:
            text = f"All {gpu_memory_bytes:,} bytes may be used"
        elif exact == usable:
            text = f"{memory_share:g} of {gpu_memory_bytes:,} bytes is {usable:,}"
        else:
            text = f"{memory_share:g} of {gpu_memory_bytes:,} bytes is {exact:,}, which is {usable:,} whole ones"
        if weights_bytes or activation_peak_bytes:
            text += (f"; less {weights_bytes:,} for the weights and {activation_peak_bytes:,} for the peak, {left:,} "
                     "are left")
        return (f"{text}: room for {expected:,} whole block{'s' * (expected != 1)} of {block_bytes:,}; yours says "
                f"{show(seen)}.")


# ----- break it ---------------------------------------------------------------------------------------------------


class GateReferee(Referee):
    """A server at its start: a request at the door, then on the empty cache."""

    def do_new(self, num_blocks: int, full_layers: int, window_layers: int, window: int) -> None:
        from labkit.cache.gate import Gate

        for name, value in (("num_blocks", num_blocks), ("window", window)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; write a whole number of 1 or more.")
        for name, value in (("full_layers", full_layers), ("window_layers", window_layers)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} is {value!r}; write a whole number of 0 or more.")
        self.right = Gate(num_blocks, full_layers, window_layers, window)
        self.setup_text = f"an empty cache of {num_blocks} blocks of 16 tokens"
        self.gate = self.call("let-in-means-may-start",
                              f"Gate({num_blocks}, {full_layers}, {window_layers}, {window})", self.implementation,
                              num_blocks, full_layers, window_layers, window)

    def do_request(self, tokens: int) -> None:
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
            raise ValueError(f"A request of {tokens!r} tokens; write a whole number of 1 or more.")
        let_in = self.call("what-fits-is-let-in", f"accepts({tokens})", "accepts", tokens, on=self.gate)
        needs = self.right.blocks(tokens)
        if not self.require("what-fits-is-let-in", bool(let_in) == self.right.accepts(tokens),
                            expected=self.right.accepts(tokens),
                            cause=f"A sequence of {tokens} tokens holds {needs} of {self.right.num_blocks} blocks."):
            return
        if not let_in:
            self.note("turned away at the door")
            return
        starts = self.call("let-in-means-may-start", f"starts({tokens})", "starts", tokens, on=self.gate)
        self.require("let-in-means-may-start", bool(starts), expected=True,
                     cause=f"The request was let in, the cache is empty, it needs {needs} of {self.right.num_blocks} "
                           "blocks, and it may not start: Running 0, Waiting 1, for ever.")


class GateSpecification(Specification):
    """What a gate owes to the requests it lets in."""

    exercise = "Gate"
    referee = GateReferee
    rules = (
        Rule("let-in-means-may-start", "A request that is let in may start when the cache is empty."),
        Rule("what-fits-is-let-in", "A request is let in exactly if the cache could hold it."),
    )


class BreakTheGate(BreakIt):
    """A gate that counts layers with a window in one way at the door and in another inside."""

    exercise = "break_the_gate"
    base = GateSpecification()
    reference = "labkit.cache.gate:Gate"
    bug = '''
class Gate:
    def __init__(self, num_blocks, full_layers, window_layers, window):
        self.num_blocks = num_blocks
        self.full_layers = full_layers
        self.window_layers = window_layers
        self.window = window

    def accepts(self, tokens):
        full = self.full_layers * blocks_needed(tokens, 16)
        windowed = self.window_layers * blocks_needed(min(tokens, self.window), 16)
        return full + windowed <= self.num_blocks

    def starts(self, tokens):
        layers = self.full_layers + self.window_layers
        return layers * blocks_needed(tokens, 16) <= self.num_blocks


def blocks_needed(tokens, block_size):
    return -(-tokens // block_size)
'''
    shortest = (op("new", num_blocks=4, full_layers=1, window_layers=1, window=16), op("request", tokens=48))
    hints = (
        "For which lengths do the two formulas give the same number of blocks, and from which length on do they not?",
        "You need a sequence longer than the window, whose blocks fit as the door counts them, and do not fit if the "
        "windowed layers are counted in full.",
        'ops = [\n    ("Gate", 4, 1, 1, 16),\n    ("request", ____),\n]',
    )

    @property
    def example(self) -> str:
        return '("Gate", 100, 2, 2, 64)'

    def names_shown(self) -> list[str]:
        return ["Gate", "request"]

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] in ("Gate", "gate"):
            if len(item) != 5:
                raise ValueError("Gate takes 4 numbers (num_blocks, full_layers, window_layers, window); "
                                 f"{show(item)} has {len(item) - 1}.")
            item = ("new", *item[1:])
        return super().parse(item)

    def sense(self, ops: list[Op]) -> str:
        if ops[0].name != "new":
            return f"A request needs a server to come to: begin with a tuple such as {self.example}."
        if all(o.name == "new" for o in ops):
            return 'A server to which nobody comes breaks nothing: add a request after it, such as ("request", 64).'
        return ""

    def why_it_stands(self, ops: list[Op]) -> str:
        """What this server did with the last request, where it did nothing wrong."""
        from labkit.cache.gate import Gate

        at = max(i for i, o in enumerate(ops) if o.name == "request")
        server = Gate(**next(o for o in reversed(ops[:at]) if o.name == "new").args)
        tokens = ops[at].args["tokens"]
        door, all_kept = server.blocks(tokens), Gate(**{**vars(server), "window": tokens}).blocks(tokens)
        has = f"the server has {server.num_blocks:,}"
        if not server.accepts(tokens):
            return (f"The server turns this request away, and rightly: {tokens:,} tokens hold {_count(door, 'block')}, "
                    f"and {has}.")
        if door == all_kept:
            return (f"The server lets this request in and starts it, as it should: at {tokens:,} tokens both formulas "
                    f"count {_count(door, 'block')}.")
        return (f"The server lets this request in and starts it, as it should: the door counts "
                f"{_count(door, 'block')}, the start {all_kept:,}, and {has}, enough for either.")


LESSON = Lesson(
    key="02_what_a_token_costs",
    title="What a token costs",
    part="I. Memory",
    minutes=75,
    builds="The bytes and the time that one token costs, and the number of blocks that a GPU has room for.",
    symptom="A model of 15 GiB runs on a GPU of 80 GiB, and still takes only a few dozen long conversations at once.",
    exercises=(
        Exercise("kv_bytes", "Bytes of one token", 6, 1, 5, KVBytes(), "labkit.cache.geometry:kv_bytes"),
        Exercise("attend_last", "The last token, all heads", 12, 3, 4, AttendLast(),
                 "labkit.attention.decode_by_hand:attend_last"),
        Exercise("decode_cached", "Decoding with a cache", 12, 3, 5, DecodeCached(),
                 "labkit.attention.decode_by_hand:decode_cached"),
        Exercise("break_the_gate", "Break it: the gate that never opens", 8, 3, 3, BreakTheGate(), kind="break"),
        Exercise("blocks_that_fit", "How many blocks fit", 8, 2, 3, BlocksThatFit(),
                 "labkit.cache.geometry:blocks_that_fit", stretch=True),
    ),
)
