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
from labkit.grading.functions import FunctionReferee, FunctionSpecification, compare
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op, show
from labkit.specs import Exercise, Lesson

if TYPE_CHECKING:
    from torch import Tensor

Cube = list[list[list[float]]]
KiB, MiB, GiB = 2**10, 2**20, 2**30


class AskingReferee(FunctionReferee):
    """Calls the function once; where the answer is wrong, the specification may ask it more to name the rule."""

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        assert isinstance(spec, AskingSpecification)
        args = {name: args[name] for name in spec.parameters()}
        self.setup_text = spec.setup_line(**args)
        expected = spec.oracle(**spec.decode(args))
        seen = self.call(spec.rule_for(**args), spec.label(args), self.implementation, *spec.decode(args).values())
        mismatch = spec.compare(seen, expected)
        if mismatch is None:
            return
        rule = spec.accuse(seen, expected, self.implementation, **args)
        cause = mismatch.sentence or spec.cause(rule, seen, expected, **args)
        self.require(rule, False, expected=expected, cause=cause, kind=mismatch.kind)

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

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """The rule that this wrong answer breaks."""
        return self.rule_for(**args)


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
        Witness("a-key-and-a-value", op("call", num_layers=1, num_kv_heads=1, head_dim=1, bytes_per_value=1)),
        Witness("every-layer-keeps-its-own", op("call", num_layers=3, num_kv_heads=1, head_dim=1, bytes_per_value=1)),
        Witness("every-layer-keeps-its-own", op("call", num_layers=7, num_kv_heads=1, head_dim=1, bytes_per_value=1)),
        Witness("every-kv-head-keeps-its-own", op("call", num_layers=1, num_kv_heads=5, head_dim=1, bytes_per_value=1)),
        Witness("every-kv-head-keeps-its-own", op("call", num_layers=1, num_kv_heads=2, head_dim=1, bytes_per_value=1)),
        Witness("every-kv-head-keeps-its-own", op("call", num_layers=4, num_kv_heads=3, head_dim=1, bytes_per_value=1)),
        Witness("head-dim-numbers-a-vector", op("call", num_layers=1, num_kv_heads=1, head_dim=64, bytes_per_value=1)),
        Witness("head-dim-numbers-a-vector", op("call", num_layers=1, num_kv_heads=1, head_dim=80, bytes_per_value=1)),
        Witness("bytes-not-numbers", op("call", num_layers=1, num_kv_heads=1, head_dim=1, bytes_per_value=4)),
        Witness("bytes-not-numbers", op("call", num_layers=1, num_kv_heads=1, head_dim=1, bytes_per_value=2)),
        Witness("bytes-not-numbers", op("call", num_layers=32, num_kv_heads=8, head_dim=128, bytes_per_value=2)),
        Witness("bytes-not-numbers", op("call", num_layers=30, num_kv_heads=3, head_dim=64, bytes_per_value=1)),
        Witness("bytes-not-numbers", op("call", num_layers=10**6 + 1, num_kv_heads=10**6 + 3, head_dim=10**6 + 7,
                                        bytes_per_value=1)),
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

        return {"num_layers": st.integers(1, 130), "num_kv_heads": st.integers(1, 130),
                "head_dim": st.integers(1, 600), "bytes_per_value": st.sampled_from([1, 2, 4])}

    def rule_for(self, **args: int) -> str:
        for name, rule in zip(args, self.rules[1:], strict=True):
            if args[name] != 1:
                return rule.name if sum(v != 1 for v in args.values()) == 1 else "bytes-not-numbers"
        return "a-key-and-a-value"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any], **args: int) -> str:
        """The first question, each about one thing alone, that the function gets wrong."""
        for rule, values in zip((0, 1, 2, 3, 2, 3), ((1, 1, 1, 1), (3, 1, 1, 1), (1, 5, 1, 1), (1, 1, 64, 1),
                                                     (3, 5, 1, 1), (1, 5, 64, 1)), strict=True):
            if _answer(call, *values) != self.oracle(*values):
                return self.rules[rule].name
        return "bytes-not-numbers"

    def cause(self, rule: str, seen: Any, expected: Any, num_layers: int, num_kv_heads: int, head_dim: int,
              bytes_per_value: int) -> str:
        vectors = num_layers * num_kv_heads
        what = {
            "a-key-and-a-value": f"{vectors} {'head keeps' if vectors == 1 else 'heads keep'} a key and a value each, "
                                 f"which is {2 * vectors} vectors of {head_dim}",
            "every-layer-keeps-its-own": f"{num_layers} layers keep {num_layers} keys and {num_layers} values for each "
                                         "head",
            "every-kv-head-keeps-its-own": f"{num_kv_heads} KV heads keep {num_kv_heads} keys and {num_kv_heads} "
                                           "values in each layer",
            "head-dim-numbers-a-vector": f"A vector has {head_dim} numbers, and none of them can be left out",
            "bytes-not-numbers": f"{2 * vectors * head_dim} numbers of {bytes_per_value} "
                                 f"{'byte' if bytes_per_value == 1 else 'bytes'} each are kept",
        }[rule]
        return f"{what}: {expected} bytes, where you have {show(seen)}."


def _answer(call: Callable[..., Any], *args: Any) -> Any:
    """What the learner's function says, None where it fails."""
    try:
        return call(*args)
    except Exception:
        return None


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
        Witness("one-mixture-a-query-head", op("call", q=[[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]],
                                               K=[[[1.0, 2.0]], [[0.0, 1.0]]],
                                               V=[[[1.0, 0.0, 5.0, 0.5]], [[0.0, 1.0, -5.0, 0.5]]])),
        Witness("one-mixture-a-query-head", op("call", q=[[1.0, 0.0]] * 4,
                                               K=[[[1.0, 2.0], [1.0, 0.0]]] * 3, V=[[[4.0], [7.0]]] * 3)),
        Witness("weights-sum-to-one", op("call", q=[[1.0, 2.0]], K=[[[0.5, 1.0]], [[2.0, -1.0]], [[1.0, 1.0]]],
                                         V=[[[3.0, -2.0]]] * 3)),
        Witness("weights-sum-to-one", op("call", q=[[1.0, 2.0], [0.0, 1.0]], K=[[[0.5, 1.0]], [[2.0, -1.0]]],
                                         V=[[[6.0, 1.0]]] * 2)),
        Witness("every-token-counts", op("call", q=[[0.0, 0.0]], K=[[[1.0, 3.0]], [[2.0, 0.0]], [[-1.0, 1.0]]],
                                         V=[[[3.0, 0.0]], [[0.0, 6.0]], [[9.0, 9.0]]])),
        Witness("every-token-counts", op("call", q=[[0.0]], K=[[[1.0]], [[2.0]]],
                                         V=[[[2.0, 4.0, 1.0]], [[8.0, 0.0, 3.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]],
                                                 K=[[[1.0, 2.0], [3.0, 0.0]]], V=[[[10.0, 11.0], [20.0, 21.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0, 0.0]] * 6, K=[[[1.0, 2.0], [3.0, 0.0]]],
                                                 V=[[[1.0, 0.0], [0.0, 1.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0], [2.0], [3.0]], K=[[[1.0], [2.0], [0.0]]],
                                                 V=[[[5.0, 0.0], [6.0, 0.0], [7.0, 0.0]]])),
        Witness("neighbours-share-a-kv-head", op("call", q=[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [2.0, 1.0], [0.0, 0.0],
                                                            [1.0, 1.0]],
                                                 K=[[[1.0, 0.0], [0.0, 1.0], [4.0, 2.0]],
                                                    [[0.0, 2.0], [1.0, -1.0], [3.0, 0.0]],
                                                    [[2.0, 1.0], [0.5, 0.0], [0.0, 1.0]]],
                                                 V=[[[1.0], [10.0], [100.0]], [[2.0], [20.0], [200.0]],
                                                    [[4.0], [40.0], [400.0]]])),
        Witness("scores-as-in-lesson-01", op("call", q=[[1.0, 1.0, 2.0, 0.0]],
                                             K=[[[3.0, 1.0, 0.0, 5.0]], [[-1.0, 0.0, 4.0, 2.0]],
                                                [[0.0, 2.0, 0.0, 1.0]]],
                                             V=[[[1.0, 0.0]], [[0.0, 1.0]], [[4.0, 4.0]]])),
        Witness("scores-as-in-lesson-01", op("call", q=[[2.0]], K=[[[0.5]], [[-1.0]]], V=[[[1.0, 3.0, 0.0]],
                                                                                          [[0.0, 0.0, 2.0]]])),
        Witness("scores-as-in-lesson-01", op("call", q=[[1.0, 0.5], [0.0, 2.0], [1.0, -1.0], [0.5, 0.5]],
                                             K=[[[1.0, 0.0], [2.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]],
                                                [[1.0, 1.0], [0.0, 0.5]]],
                                             V=[[[1.0, 2.0, 0.0], [0.0, 5.0, 1.0]], [[3.0, 0.0, 2.0], [1.0, 1.0, 1.0]],
                                                [[0.0, 4.0, 1.0], [6.0, 0.0, 0.0]]])),
        Witness("any-size-of-score", op("call", q=[[60.0, 0.0, 0.0, 0.0]],
                                        K=[[[50.0, 1.0, 0.0, 0.0]], [[50.02, 0.0, 1.0, 0.0]]], V=[[[1.0]], [[0.0]]])),
        Witness("any-size-of-score", op("call", q=[[50.0], [-50.0]], K=[[[-40.0]], [[-40.02]]],
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
        if len(V) > 1 and len(q) == 1 and all(v == values[0] for v in values):
            return "weights-sum-to-one"
        if len(K[0]) == 1 and len(q) == 1:
            return "scores-as-in-lesson-01" if any(q[0]) else "every-token-counts"
        return "neighbours-share-a-kv-head" if len(K) == 1 else "scores-as-in-lesson-01"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        values = self.decode(args)
        if tuple(getattr(seen, "shape", ())) != tuple(expected.shape):
            return "one-mixture-a-query-head"
        if args["K"] != args["V"] and compare(seen, self.oracle(values["q"], values["K"], values["K"])) is None:
            return "one-mixture-a-query-head"
        if self.rule_for(**args) == "any-size-of-score":
            return "any-size-of-score"
        # Asked about one thing at a time: equal values, equal scores of one head, one token alone.
        q, K, V = values.values()
        for rule, question in (
            ("weights-sum-to-one", (q, K, V[:1, :1].expand(V.shape).clone())),
            ("every-token-counts", (q[:1] * 0, K[:, :1].clone(), V[:, :1].clone())),
            ("neighbours-share-a-kv-head", (q, K[:1].clone(), V[:1].clone())),
        ):
            if len(V) == 1 and rule == "weights-sum-to-one":
                continue
            answer = _answer(call, *(t.clone() for t in question))
            if answer is None or compare(answer, self.oracle(*question)) is not None:
                return rule
        right = self.rule_for(**args)
        return right if right != "weights-sum-to-one" else "scores-as-in-lesson-01"

    def cause(self, rule: str, seen: Any, expected: Any, q: list[list[float]], K: Cube, V: Cube) -> str:
        n, heads, kv = len(K), len(q), len(K[0])
        if rule == "one-mixture-a-query-head":
            return "What comes out is mixed from the keys; a query looks at keys but takes values."
        if rule == "weights-sum-to-one":
            return (f"All {n} values are the same, so every mixture of them is that value; yours is not: the weights "
                    "of a head do not sum to 1 over the tokens.")
        if rule == "every-token-counts":
            return (f"Where all scores are equal, each of the {_count(n, 'token')} counts 1/{n}: "
                    "yours leaves some out, or counts some more than others.")
        h = _first_wrong_row(seen, expected)
        if rule == "neighbours-share-a-kv-head":
            return (f"{heads} query heads over {kv} KV heads are groups of {heads // kv}: query head {h} reads KV head "
                    f"{h // (heads // kv)}. Yours answers from elsewhere.")
        if rule == "any-size-of-score":
            return f"Scores may be hundreds, and the weights must come out exact all the same; yours is {show(seen)}."
        scores = [_dot(q[h], token[h // (heads // kv)]) / math.sqrt(len(q[0])) for token in K]
        return (f"Query head {h}: the scores are {', '.join(f'{s:.4g}' for s in scores)}, the answer "
                f"{show(expected[h])}; yours is {show(seen[h])}.")


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _first_wrong_row(seen: Any, expected: Any) -> int:
    return next((i for i in range(len(expected)) if compare(seen[i], expected[i]) is not None), 0)


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
        seen = self.call("tokens-as-from-scratch", f"decode_cached(model, {prompt}, {num_new})", self.implementation,
                         model, given, num_new, keep=False)
        if not self.require("the-prompt-is-left-alone", given == prompt, expected=prompt,
                            seen=given, cause=f"The list that the caller passed in is {show(given)} after the call."):
            return
        ids = _ids(seen)
        if not self.require("as-many-as-asked", ids is not None, expected=expected, kind="wrong-type",
                            cause="The answer is a list of token ids."
                                  + (" Yours is None: is a return missing?" if seen is None else "")):
            return
        if not self._places(model, prompt, num_new):
            return
        if not self.require("as-many-as-asked", len(ids) == len(expected), expected=expected,
                            cause=_count_cause(ids, expected, prompt)):
            return
        i = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=True)) if a != b), None)
        self.require("tokens-as-from-scratch", i is None, expected=expected,
                     cause="" if i is None else self._why(model, prompt, ids, expected, i))

    def _places(self, model: Any, prompt: list[int], num_new: int) -> bool:
        """Every token at its place, and each computed once; the calls of `project` become lines of the trace."""
        known: dict[int, int] = dict(enumerate(prompt))
        done: set[int] = set()
        broken: tuple[int, str, str, str, str] | None = None
        for n, (tokens, start) in enumerate(model.calls):
            for position, token in enumerate(tokens, start):
                ahead = position > max(done, default=-1) + 1
                if known.setdefault(position, token) != token or ahead:
                    stands = f"token {known[position]} stands there" if not ahead else \
                        f"the sequence has only {len(done)} tokens before it"
                    broken = (n, "each-at-its-own-position", f"start={max(done, default=-1) + 1}", f"start={start}",
                              f"Token {token} is computed as if it stood at position {position}, but {stands}.")
                elif position in done:
                    broken = (n, "each-key-computed-once", "only new tokens", "computed before",
                              f"Position {position} is computed a second time: its key and value do not change, and "
                              "were there already.")
                done.add(position)
                if broken:
                    break
            if broken:
                break
        if broken is None:
            return True
        n, rule, expected, seen, cause = broken
        if n >= self.most_lines:
            self._line(f"... {n - self.most_lines + 1} more calls of project", observe=True)
        first = 0 if n < self.most_lines else n - self.most_lines + 1
        for tokens, start in model.calls[first : n + 1]:
            self._line(f"model.project({show(tokens, 50)}, {start})", observe=True)
        self.steps[-1].expected, self.steps[-1].seen = expected, seen
        return self.require(rule, False, cause=cause)

    def _why(self, model: Any, prompt: list[int], ids: list[int], expected: list[int], i: int) -> str:
        text = f"New token {i + 1} is {ids[i]}; computed from scratch it is {expected[i]}."
        have = sum(len(tokens) for tokens, _ in model.calls)
        if have < len(prompt) + len(expected) - 1:
            text += (f" The model was asked for {have} tokens in all, but the last one has "
                     f"{len(prompt) + len(expected) - 1} tokens to look at, itself included.")
        return text

    def resolve(self, op: Op) -> Op | None:
        return op


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
        Witness("share-of-the-whole", op("call", gpu_memory_bytes=1000, memory_share=0.5, weights_bytes=200,
                                         activation_peak_bytes=100, block_bytes=10)),
        Witness("share-of-the-whole", op("call", gpu_memory_bytes=1000, memory_share=0.75, weights_bytes=0,
                                         activation_peak_bytes=0, block_bytes=10)),
        Witness("share-of-the-whole", op("call", gpu_memory_bytes=80 * GiB, memory_share=0.9, weights_bytes=15 * GiB,
                                         activation_peak_bytes=2 * GiB, block_bytes=2 * MiB + 7)),
        Witness("weights-come-off-first", op("call", gpu_memory_bytes=1000, memory_share=1.0, weights_bytes=400,
                                             activation_peak_bytes=0, block_bytes=100)),
        Witness("the-peak-stays-free", op("call", gpu_memory_bytes=1000, memory_share=1.0, weights_bytes=0,
                                          activation_peak_bytes=300, block_bytes=100)),
        Witness("whole-blocks-only", op("call", gpu_memory_bytes=1000, memory_share=1.0, weights_bytes=0,
                                        activation_peak_bytes=0, block_bytes=300)),
        Witness("whole-blocks-only", op("call", gpu_memory_bytes=899, memory_share=1.0, weights_bytes=0,
                                        activation_peak_bytes=0, block_bytes=300)),
        Witness("whole-blocks-only", op("call", gpu_memory_bytes=900, memory_share=1.0, weights_bytes=0,
                                        activation_peak_bytes=0, block_bytes=300)),
        Witness("whole-blocks-only", op("call", gpu_memory_bytes=200, memory_share=1.0, weights_bytes=0,
                                        activation_peak_bytes=0, block_bytes=300)),
        Witness("whole-blocks-only", op("call", gpu_memory_bytes=1001, memory_share=0.5, weights_bytes=0,
                                        activation_peak_bytes=0, block_bytes=100)),
        Witness("too-small-is-zero", op("call", gpu_memory_bytes=1000, memory_share=1.0, weights_bytes=900,
                                        activation_peak_bytes=300, block_bytes=100)),
        Witness("too-small-is-zero", op("call", gpu_memory_bytes=1000, memory_share=0.5, weights_bytes=800,
                                        activation_peak_bytes=0, block_bytes=100)),
        Witness("too-small-is-zero", op("call", gpu_memory_bytes=1000, memory_share=0.5, weights_bytes=400,
                                        activation_peak_bytes=100, block_bytes=10)),
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
        if memory_share < 1 and gpu_memory_bytes != 1001:
            return "share-of-the-whole"
        if weights_bytes:
            return "weights-come-off-first"
        return "the-peak-stays-free" if activation_peak_bytes else "whole-blocks-only"

    def accuse(self, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        """One thing at a time: whole blocks, the weights, the peak, the share, and all of it too small."""
        for rule, values in (
            ("whole-blocks-only", (1000, 1.0, 0, 0, 300)),
            ("whole-blocks-only", (900, 1.0, 0, 0, 300)),
            ("whole-blocks-only", (899, 1.0, 0, 0, 300)),
            ("weights-come-off-first", (1000, 1.0, 400, 0, 100)),
            ("the-peak-stays-free", (1000, 1.0, 0, 300, 100)),
            ("share-of-the-whole", (1000, 0.5, 200, 100, 10)),
            ("share-of-the-whole", (1000, 0.75, 0, 0, 10)),
        ):
            if compare(_answer(call, *values), self.oracle(*values)) is not None:
                return rule
        return self.rule_for(**args) if expected else "too-small-is-zero"

    def cause(self, rule: str, seen: Any, expected: Any, gpu_memory_bytes: int, memory_share: float, weights_bytes: int,
              activation_peak_bytes: int, block_bytes: int) -> str:
        usable = int(gpu_memory_bytes * memory_share)
        left = usable - weights_bytes - activation_peak_bytes
        if rule == "too-small-is-zero":
            return (f"{usable:,} bytes may be used, weights and peak take {weights_bytes + activation_peak_bytes:,}: "
                    f"{'nothing' if left <= 0 else 'less than a block'} is left, so the answer is 0.")
        return (f"{memory_share:g} of {gpu_memory_bytes:,} bytes is {usable:,}; less {weights_bytes:,} for the weights "
                f"and {activation_peak_bytes:,} for the peak, {left:,} are left, room for {expected:,} whole blocks of "
                f"{block_bytes:,}.")


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
        '[("Gate", 4, 1, 1, 16), ("request", ____)]',
    )

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] == "Gate":
            item = ("new", *item[1:])
        return super().parse(item)


LESSON = Lesson(
    key="02_what_a_token_costs",
    title="What a token costs",
    part="I. Memory",
    minutes=70,
    builds="The bytes and the time that one token costs, and the number of blocks that a GPU has room for.",
    symptom="A model of 16 GB runs on a GPU of 80 GB, and still it takes only a few dozen long conversations at once.",
    exercises=(
        Exercise("kv_bytes", "Bytes of one token", 6, 1, 5, KVBytes(), "labkit.cache.geometry:kv_bytes"),
        Exercise("attend_last", "The last token, all heads", 10, 3, 4, AttendLast(),
                 "labkit.attention.decode_by_hand:attend_last"),
        Exercise("decode_cached", "Decoding with a cache", 12, 3, 5, DecodeCached(),
                 "labkit.attention.decode_by_hand:decode_cached"),
        Exercise("break_the_gate", "Break it: the gate that never opens", 5, 3, 3, BreakTheGate(), kind="break"),
        Exercise("blocks_that_fit", "How many blocks fit", 8, 2, 3, BlocksThatFit(),
                 "labkit.cache.geometry:blocks_that_fit", stretch=True),
    ),
)
