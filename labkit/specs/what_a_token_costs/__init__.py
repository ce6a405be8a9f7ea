"""Lesson 02, what a token costs: bytes, time, and how many blocks fit.

Arguments are plain data; tensors and models are made from them in `decode`, and torch is imported only there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification, answer_of, rows
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.attention_by_hand.referees import TensorReferee
from labkit.specs.what_a_token_costs.referees import DecodeReferee, GateReferee
from labkit.words import choose, plural

if TYPE_CHECKING:
    from torch import Tensor

Cube = list[list[list[float]]]
KiB, MiB, GiB = 2**10, 2**20, 2**30


# ----- kv_bytes ---------------------------------------------------------------------------------------------------


class KVBytes(FunctionSpecification):
    """Bytes that one token adds to the cache."""

    exercise = "kv_bytes"
    rules = rules_from(
        """
        a-key-and-a-value: Every KV head keeps two vectors for a token: its key and its value.
            1 1 5 1
            3 5 7 2
        every-layer-keeps-its-own: Each layer keeps keys and values of its own.
            ? Two layers, one KV head each. How many keys are kept for one token, and what does your formula say?
            5 3 1 1
            5 1 1 1
            5 3 7 2
            1 1 1 1
            4 3 1 1
        every-kv-head-keeps-its-own: In each layer, each KV head keeps a key and a value of its own.
            ? One layer with eight KV heads. How many keys are kept for one token, and what does your formula \
              say?
            1 5 1 1
            1 2 1 1
            4 3 1 1
            4 1 1 1
            7 1 8 2
        head-dim-numbers-per-vector: A key or a value is head_dim numbers long.
            ? How many numbers is one key long, and where does that stand in your formula?
            1 1 160 1
            1 1 80 1
            1 1 256 1
            1 1 1 1
            1 5 64 1
        bytes-not-numbers: Each number takes bytes_per_value bytes; the answer is a whole number of bytes.
            ? How many numbers are kept, and how many bytes does each take? Which of the two is your answer?
            1 1 3 4
            1 1 3 1
            1 1 3 2
            3 5 7 4
            32 8 128 2
            1000 64 512 4
        """
    )
    hints = (
        "Take one layer with one KV head whose vectors are 4 numbers long. Which numbers must be kept of a token, and "
        "how many are they?",
        "The answer grows in proportion to each of the four arguments: twice the layers, twice the bytes.",
        "numbers = ____ * num_layers * num_kv_heads * head_dim\nreturn numbers * ____",
    )
    search = {"num_layers": (1, 40), "num_kv_heads": (1, 20), "head_dim": (1, 200), "bytes_per_value": [1, 2, 4]}

    def rule_for(self, **args: int) -> str:
        return "bytes-not-numbers"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: int
    ) -> tuple[str, dict[str, Any] | None]:
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
            factor = (whole(answer_of(call, 3, 5, 1024, 2)) or 0) / (3 * 5 * 1024 * 2)
            if factor == 2 and self.first_wrong(call, (1, 1, 160, 1), (1, 1, 80, 1), (1, 1, 256, 1)):
                rule = "head-dim-numbers-per-vector"
            else:
                rule = "a-key-and-a-value" if factor in (1, 3, 4, 6) else "bytes-not-numbers"
        # The witness of the rule that shows it best; they stand in this order.
        return rule, self.first_wrong(call, *(ops[0].args.values() for name, ops in self.witnesses if name == rule))

    def cause(self, rule: str, seen: Any, expected: Any, **args: int) -> str:
        num_layers, num_kv_heads, head_dim, bytes_per_value = args.values()
        vectors = num_layers * num_kv_heads
        layers, heads = plural(num_layers, "layer"), plural(num_kv_heads, "KV head")
        what = {
            "a-key-and-a-value": f"{vectors} {choose(vectors, 'head keeps', 'heads keep')} a key and a value each, "
            f"which is {2 * vectors} vectors of {head_dim}",
            "every-layer-keeps-its-own": f"{layers} {_keep(num_layers)} for each head",
            "every-kv-head-keeps-its-own": f"{heads} {_keep(num_kv_heads)} in each layer",
            "head-dim-numbers-per-vector": f"Each key and each value is {head_dim} numbers long, no more and no fewer",
            "bytes-not-numbers": f"{2 * vectors * head_dim} numbers of {plural(bytes_per_value, 'byte')} each are kept",
        }[rule]
        return f"{what}: {expected} bytes, where you have {show(seen)}."


def _in_proportion(call: Callable[..., Any], *base: int) -> list[bool]:
    """For each argument: whether the answer is in proportion to it, the others being those of `base`."""
    found = []
    for i, others in enumerate(((1, 2, 4), (1, 2, 4), (2048, 3072), (1, 4))):
        answers = [(x, whole(answer_of(call, *base[:i], x, *base[i + 1 :]))) for x in (base[i], *others)]
        first = answers[0][1] or 0
        found.append(all(y is not None and y * base[i] == first * x for x, y in answers))
    return found


def _keep(n: int) -> str:
    return f"{choose(n, 'keeps', 'keep')} {plural(n, 'key')} and {plural(n, 'value')}"


# ----- attend_last ------------------------------------------------------------------------------------------------

LARGE = 300.0
"""Scores beyond this size are about that rule."""


class AttendLast(FunctionSpecification):
    """All heads of the last token over cached keys and values."""

    exercise = "attend_last"
    prelude = "import math\n\nimport torch\nfrom torch import Tensor\n\nfrom labkit.mine import attend, scores"
    referee = TensorReferee
    needs_torch = True
    examples = 50
    op_seconds = 2.0
    tolerance = 1e-5
    rules = rules_from(
        """
        one-mixture-per-query-head: Each query head gets one mixture of cached values: shape [q_heads, dv].
            [[1,0,3],[1,0,3],[1,0,3],[1,0,3],[1,0,3],[1,0,3]] [[[1,2,0],[1,0,0],[0,1,1]],[[1,2,0],[1,0,0],[0,1,1]]] \
              [[[4,0],[7,1],[9,2]],[[4,0],[7,1],[9,2]]]
            [[1,0],[0,1],[2,1]] [[[1,2]],[[0,1]]] [[[1,0,5,0.5]],[[0,1,-5,0.5]]]
        weights-sum-to-one: A head's weights over the tokens sum to 1: equal values come out as they are.
            ? In one head: over which axis do you divide by the sum, over the tokens or over the heads?
            [[1,2],[0,1]] [[[0.5,1]],[[2,-1]],[[1,1]]] [[[6,-3]],[[6,-3]],[[6,-3]]]
            [[1,2]] [[[0.5,1]],[[2,-1]],[[1,1]]] [[[3,-2]],[[3,-2]],[[3,-2]]]
        every-token-counts: Every cached token counts, from first to last; equal scores count equally.
            ? How many rows of K and V does each of your heads read, and is the first or the last of them left \
              out?
            [[0,0],[0,0]] [[[1,3], [1,3]], [[2,0], [2,0]], [[-1,1], [-1,1]], [[0.5,0], [0.5,0]], [[0,1], [0,1]], \
              [[1,1], [1,1]]] [[[6], [6]], [[60], [60]], [[600], [600]], [[6000], [6000]], [[60000], [60000]], \
              [[600000], [600000]]]
            [[0]] [[[0]], [[1]], [[2]], [[0]], [[1]], [[2]], [[0]], [[1]], [[2]], [[0]], [[1]], [[2]], [[0]], [[1]], \
              [[2]], [[0]], [[1]], [[2]], [[0]], [[1]]] [[[0]], [[1]], [[2]], [[3]], [[4]], [[5]], [[6]], [[7]], \
              [[8]], [[9]], [[10]], [[11]], [[12]], [[13]], [[14]], [[15]], [[16]], [[17]], [[18]], [[19]]]
            2*[0,0]+[0,0] 140x1x2 140x1x3
        neighbours-share-a-kv-head: Neighbouring query heads read one KV head: with 4 and 2, heads 0 and 1 read KV \
          head 0, heads 2 and 3 read KV head 1.
            ? With 4 query heads and 2 KV heads, which KV head does query head 1 read? What does your index say \
              of it?
            [[1],[1],[1],[1],[1],[1]] [[[1],[2],[0]]] [[[5,0],[6,0],[7,0]]]
            [[1,0],[1,0],[1,0],[1,0],[1,0],[1,0]] [[[1,2],[3,0]]] [[[10],[20]]]
            [[1],[2],[3]] [[[1],[2],[0.5]]] [[[5,0],[6,0],[7,0]]]
            [[1,0],[0,1],[-1,0.5],[2,1],[0.5,-1],[1,1]] \
              [[[1,0],[0,1],[4,2]],[[0,2],[1,-1],[3,0]],[[2,1],[0.5,0],[0,1]]] \
              [[[1],[10],[100]],[[2],[20],[200]],[[4],[40],[400]]]
        scores-as-in-lesson-01: A score is the product of query and key, divided by the root of d.
            ?
            [[1,0,2,0,1,0.5],[0,1,0,2,-1,1]] [[[2,1,0,1,0,1]],[[0,1,1,0.5,2,0]],[[1,-1,2,0,1,2]]] \
              [[[1,0,0,5,2]],[[0,1,0,-5,4]],[[0,0,1,0,3]]]
            [[2]] [[[0.5]],[[-1]]] [[[1,3,0]],[[0,0,2]]]
            12x8 70x4x8 70x4x3
        any-size-of-score: Scores of any size give finite and right weights.
            ? Which number do you subtract from the scores of a head before the exponential, and is it one per \
              head?
            [[64,0,0,0]] [[[50,1,0,0]],[[50.03125,0,1,0]]] [[[1]],[[0]]]
            [[64],[-64]] [[[-40]],[[-40.03125]]] [[[1]],[[0]]]
        """
    )
    hints = (
        "Lesson 01's attend(q, K, V) answers for one query vector [d] and keys [n, d]. Which slice of q, of K and of V "
        "do you hand it for query head h?",
        "With g = q_heads // kv_heads, the query heads 0 to g - 1 read KV head 0, the next g read KV head 1, and so "
        "on; every head sees all n tokens.",
        "group = q.shape[0] // K.shape[1]\nrows = []\nfor h in range(q.shape[0]):\n"
        "    kv = h // ____\n    rows.append(attend(q[h], K[:, ____], V[:, ____]))\nreturn torch.stack(rows)",
    )
    search = {"n": (1, 5), "kv_heads": (1, 3), "group": (1, 3), "d": (1, 4), "dv": (1, 3), "seed": (0, 10_000)}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}(q, K, V)"

    def setup_line(self, q: list[list[float]], K: Cube, V: Cube) -> str:
        return (
            f"{plural(len(q), 'query head')}, {plural(len(K[0]), 'KV head')}, {plural(len(K), 'token')}, "
            f"d = {len(q[0])}, dv = {len(V[0][0])}; q = {show(q, 60)}, K = {show(K, 80)}, V = {show(V, 80)}"
        )

    def numbers(self, draw: random.Random, **sizes: int) -> dict[str, Any]:
        n, kv, d, dv = (sizes[name] for name in ("n", "kv_heads", "d", "dv"))
        return {
            "q": rows(draw, kv * sizes["group"], d),
            "K": [rows(draw, kv, d) for _ in range(n)],
            "V": [rows(draw, kv, dv) for _ in range(n)],
        }

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

    def rule_if_raised(self, rule: str, q: list[list[float]], K: Cube, V: Cube) -> str:
        if len(q) != len(K[0]):
            return "neighbours-share-a-kv-head"
        # With one token, what raises is mostly a slice that came out empty: the calls with more tokens say why.
        return "one-mixture-per-query-head" if len(K) > 1 else "scores-as-in-lesson-01"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        q, K, V = self.decode(args).values()
        if tuple(getattr(seen, "shape", ())) != tuple(expected.shape) or not hasattr(seen, "numel"):
            return "one-mixture-per-query-head", None
        if self.mixes_keys(seen, q, K, V):
            return "one-mixture-per-query-head", None
        if seen.dtype.itemsize < 4:  # coarse numbers: every rule looks broken, by a little
            return "scores-as-in-lesson-01", None
        rule = self.rule_for(**args)
        if rule in ("scores-as-in-lesson-01", "neighbours-share-a-kv-head"):
            if self.other_query(seen, expected, q, K, V) is not None:
                return "one-mixture-per-query-head", None
            if self.other_heads(seen, expected, q, K, V):
                return "neighbours-share-a-kv-head", None
        return rule, None

    def nan(self, seen: Any, **args: Any) -> str:
        return "The answer contains NaN: look for inf / inf, 0 / 0 or inf - inf on the way to the weights."

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

    def other_heads(self, seen: Any, expected: Any, q: Tensor, K: Tensor, V: Tensor) -> list[tuple[int, int]]:
        """(k, v) for all KV heads k and v from which the first wrong row may have its keys and its values."""
        h = self.first_wrong_row(seen, expected)
        pairs = sorted(product(range(K.shape[1]), repeat=2), key=lambda pair: pair[0] != pair[1])
        return [
            (k, v)
            for k, v in pairs
            if self.compare(seen[h : h + 1], self.oracle(q[h : h + 1], K[:, k : k + 1], V[:, v : v + 1])) is None
        ]

    def first_wrong_row(self, seen: Any, expected: Any) -> int:
        return next((i for i in range(len(expected)) if self.compare(seen[i], expected[i]) is not None), 0)

    def cause(self, rule: str, seen: Any, expected: Any, q: list[list[float]], K: Cube, V: Cube) -> str:
        n, heads, kv = len(K), len(q), len(K[0])
        values = self.decode({"q": q, "K": K, "V": V}).values()
        h = self.first_wrong_row(seen, expected)
        if rule == "one-mixture-per-query-head":
            if self.mixes_keys(seen, *values):
                return "What comes out is mixed from the keys; a query looks at keys but takes values."
            other = self.other_query(seen, expected, *values)
            return f"Row {h} is the answer to query {other[1] if other else '?'}; each query has a row of its own."
        if rule == "weights-sum-to-one":
            return (
                f"All {n} values are the same, so every mixture of them is that value; yours is not: the weights "
                "of a head do not sum to 1 over the tokens."
            )
        if rule == "every-token-counts":
            return (
                f"The queries are 0, so all scores are equal and each of the {plural(n, 'token')} counts 1/{n}: "
                "yours leaves some out, or counts some more than others."
            )
        if rule == "neighbours-share-a-kv-head":
            yours = "answers from elsewhere"
            if found := self.other_heads(seen, expected, *values):
                k, v = found[0]
                yours = f"takes its keys from KV head {k} and its values from KV head {v}"
                if len(found) > 1:  # the keys are alike
                    yours = f"takes its values from KV head {v}"
                elif k == v:
                    yours = f"reads KV head {k}"
            return (
                f"{heads} query heads over {plural(kv, 'KV head')} are groups of {heads // kv}: query head {h} "
                f"reads KV head {h // (heads // kv)}. Yours {yours}."
            )
        if rule == "any-size-of-score":
            return f"Scores may be hundreds, and the weights must come out right all the same; yours is {show(seen)}."
        scores = [_dot(q[h], token[h // (heads // kv)]) / math.sqrt(len(q[0])) for token in K]
        return (
            f"Query head {h}: the scores are {', '.join(f'{s:.4g}' for s in scores)}, the answer "
            f"{show(expected[h])}; yours is {show(seen[h])}."
        )


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


# ----- decode_cached ----------------------------------------------------------------------------------------------


class DecodeCached(Specification):
    """Greedy decoding with a cache."""

    exercise = "decode_cached"
    referee = DecodeReferee
    stateful = False
    prelude = "import torch\nfrom torch import Tensor\n\nfrom labkit.mine import attend_last"
    needs_torch = True
    examples = 40
    op_seconds = 2.0
    rules = rules_from(
        """
        tokens-as-from-scratch: The new tokens are those that computing everything again would give.
            3 [4,2] [3,1,4] 6
            2 [4,2] [7,9] 4
            1 [4,1] [5,2,8,6] 5
            5 [4,2] [5,5,2,5] 3
            3 [4,2] [3,1,4] 14
            8 [4,2] [5,2,8,6] 12
            4 [4,2] 31..0 6
            10 [4,2] 139..0 3
        each-at-its-own-position: Each token is computed at the position where it stands in the sequence.
            ? The prompt has 5 tokens. At which position is the first new token computed, and what does your code \
              hand the model?
            3 [4,2] [3,1,4,2] 4
            3 [2,2] [6] 3
        each-key-computed-once: The key and value of each token are computed once; after that they are kept.
            ?
            3 [4,2] [3,1,4] 3
            1 [4,2] [2,7,5] 2
        as-many-as-asked: The answer is a list of the num_new new tokens, without the prompt.
            ? How many tokens does your loop give for num_new = 1, and is the prompt part of what you return?
            3 [4,2] [3,1,4] 1
            3 [4,2] [3,1,4] 0
            3 [6,3] [11] 2
        the-prompt-is-left-alone: The list that the caller passed in is unchanged.
            ? Whose list is `prompt`, and does a line of yours append to it?
            1 [4,2] [3,1,4] 2
        """
    )
    hints = (
        "In the loop from scratch, which rows of K and V are different from those of the step before?",
        "Before step i the cache holds the keys and values of all tokens but the newest; the step computes that one "
        'alone, appends it, and attends with its query. In the first step, "the newest" is the whole prompt.',
        "new, start = list(prompt), 0\nfor _ in range(num_new):\n    q, k, v = model.project(new, ____)\n"
        "    K = k if K is None else torch.cat([K, ____])\n    V = ...\n    start += len(new)\n"
        "    new = [model.next_token(attend_last(q[____], K, V))]\n    answer += new",
    )
    search = {
        "seed": (0, 30),
        "heads": lambda draw: draw.choice(([4, 2], [2, 2], [4, 1], [6, 2])),
        "prompt": lambda draw: [draw.randint(0, 31) for _ in range(draw.randint(1, 6))],
        "num_new": (0, 6),
    }

    def describe(self, op: Op) -> str:
        return f"decode_cached(model, {op.args['prompt']}, {op.args['num_new']})"


# ----- blocks_that_fit --------------------------------------------------------------------------------------------


class BlocksThatFit(FunctionSpecification):
    """Blocks that a GPU has room for."""

    exercise = "blocks_that_fit"
    rules = rules_from(
        """
        share-of-the-whole: memory_share is a share of all the GPU's memory, weights included.
            1000 0.5 200 100 30
            1000 0.75 0 0 10
            1003 0.5 0 0 251
            85899345920 0.9 16106127360 2147483648 2097159
        weights-come-off-first: The weights take their part before the cache does.
            ?
            1000 1.0 400 0 100
        the-peak-stays-free: The activation peak stays free for the largest step.
            ? What is computed in the largest step, and where does it lie while your blocks fill all the rest?
            1000 1.0 0 300 100
            1000 1.0 400 300 100
        whole-blocks-only: Only whole blocks count, as a whole number.
            ? 2.7 blocks would fit. How many can be handed out, and of which type is your answer?
            1000 1.0 0 0 300
            899 1.0 0 0 300
            900 1.0 0 0 300
            1000 1.0 150 150 100
            1000 1.0 600 300 100
            200 1.0 0 0 300
        too-small-is-zero: Where weights and peak leave no room for a block, the answer is 0.
            ? The weights alone take more than the share. What does your division give then, and what should be \
              answered?
            1000 1.0 900 300 100
            1000 0.5 800 0 100
            1000 0.5 400 100 10
        """
    )
    hints = (
        "A GPU of 1,000 bytes, a share of 0.5, weights of 200 and a peak of 100: how many bytes may the engine use at "
        "all, and how many of them are left?",
        "weights + peak + blocks * block_bytes <= share * memory, with as many whole blocks as this allows, and never "
        "fewer than none.",
        "left = int(gpu_memory_bytes * ____) - ____ - activation_peak_bytes\nreturn max(____, 0) // block_bytes",
    )
    search = {
        "gpu_memory_bytes": (1, 10_000),
        "memory_share": [0.25, 0.5, 0.75, 1.0],
        "weights_bytes": (0, 6_000),
        "activation_peak_bytes": (0, 2_000),
        "block_bytes": (1, 500),
    }

    def label(self, args: Mapping[str, Any]) -> str:
        return f"{self.target}({', '.join(f'{v:,}' if isinstance(v, int) else str(v) for v in args.values())})"

    def rule_for(self, **args: Any) -> str:
        memory, share, weights, peak, _ = args.values()
        if memory * share <= weights + peak:
            return "too-small-is-zero"
        if share < 1:
            return "share-of-the-whole"
        if weights:
            return "weights-come-off-first"
        return "the-peak-stays-free" if peak else "whole-blocks-only"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        """One thing at a time: the share, whole blocks, the weights, the peak, and all of it too small."""
        if whole(seen) is None:
            return "too-small-is-zero" if expected == 0 else "whole-blocks-only", None
        full, half = (whole(answer_of(call, 3200, share, 0, 0, 1)) for share in (1.0, 0.5))
        if full is not None and half is not None and (full, half) != (3200, 1600):
            share = abs(full - 2 * half) > 2 or full == 32
            rule = "share-of-the-whole" if share else "whole-blocks-only"
            halves, blocks = (1000, 0.5, 0, 0, 2), (1000, 1.0, 0, 0, 300)
            questions = (halves, (1000, 1.0, 0, 0, 2), blocks) if share else (blocks, (900, 1.0, 0, 0, 300), halves)
            if wrong := self.first_wrong(call, *questions):
                return rule, wrong
        for rule, *alike in (
            ("whole-blocks-only", (1000, 1.0, 0, 0, 300), (900, 1.0, 0, 0, 300), (899, 1.0, 0, 0, 300)),
            ("weights-come-off-first", (1000, 1.0, 400, 0, 100)),
            ("the-peak-stays-free", (1000, 1.0, 0, 300, 100), (1000, 1.0, 400, 300, 100)),
            ("share-of-the-whole", (1000, 0.5, 200, 100, 10), (1000, 0.75, 0, 0, 10)),
            ("whole-blocks-only", (1000, 1.0, 150, 150, 100), (1000, 1.0, 600, 300, 100)),
        ):
            if wrong := self.first_wrong(call, *alike):
                return rule, wrong
        if not expected:
            return "too-small-is-zero", None
        return self.rule_for(**args), None

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        memory, share, weights, peak, block = args.values()
        exact, usable = memory * share, int(memory * share)
        left = usable - weights - peak
        if rule == "too-small-is-zero":
            return (
                f"{usable:,} bytes may be used, weights and peak take {weights + peak:,}: "
                f"{'nothing' if left <= 0 else 'less than a block'} is left, so the answer is 0."
            )
        whole_ones = "" if exact == usable else f", which is {usable:,} whole ones"
        text = f"{share:g} of {memory:,} bytes is {usable if exact == usable else exact:,}{whole_ones}"
        if share == 1:
            text = f"All {memory:,} bytes may be used"
        if weights or peak:
            text += f"; less {weights:,} for the weights and {peak:,} for the peak, {left:,} are left"
        return f"{text}: room for {plural(expected, 'whole block')} of {block:,}; yours says {show(seen)}."


# ----- break it ---------------------------------------------------------------------------------------------------


class GateSpecification(Specification):
    """What a gate owes to the requests it lets in."""

    exercise = "Gate"
    referee = GateReferee
    rules = rules_from(
        """
        let-in-means-may-start: A request that is let in may start when the cache is empty.
        what-fits-is-let-in: A request is let in exactly if the cache could hold it.
        """
    )
    search = {
        "num_blocks": (1, 99),
        "full_layers": (0, 9),
        "window_layers": (0, 9),
        "window": (1, 99),
        "tokens": (1, 99),
    }


class BreakTheGate(BreakIt):
    """A gate that counts layers with a window in one way at the door and in another inside."""

    exercise = "break_the_gate"
    base = GateSpecification()
    reference = "labkit.cache.gate:Gate"
    largest = 10**9
    bug = """
from labkit.cache.gate import BLOCK_SIZE, Gate as Right, blocks_needed


class Gate(Right):
    def starts(self, tokens):
        layers = self.full_layers + self.window_layers
        return layers * blocks_needed(tokens, BLOCK_SIZE) <= self.num_blocks
"""
    hints = (
        "For which lengths do the two formulas give the same number of blocks, and from which length on do they not?",
        "You need a sequence longer than the window, whose blocks fit as the door counts them, and do not fit if the "
        "windowed layers are counted in full.",
        'ops = [\n    ("Gate", 4, 1, 1, 16),\n    ("request", ____),\n]',
    )

    renamed = {"gate": "new", "Gate": "new"}
    example = '("Gate", 100, 2, 2, 64)'

    def why_it_stands(self, ops: list[Op]) -> str:
        """What this server did with the last request, where it did nothing wrong."""
        from labkit.cache.gate import Gate

        if all(o.name == "new" for o in ops):
            return 'A server to which nobody comes breaks nothing: add a request after it, such as ("request", 64).'
        at = max(i for i, o in enumerate(ops) if o.name == "request")
        server = Gate(**next(o for o in reversed(ops[:at]) if o.name == "new").args)
        tokens = ops[at].args["tokens"]
        door, all_kept = server.blocks(tokens), Gate(**{**vars(server), "window": tokens}).blocks(tokens)
        has, holds = f"the server has {server.num_blocks:,}", plural(door, "block")
        if not server.accepts(tokens):
            return f"The server turns this request away, and rightly: {tokens:,} tokens hold {holds}, and {has}."
        right = "The server lets this request in and starts it, as it should: "
        if door == all_kept:
            return right + f"at {tokens:,} tokens both formulas count {holds}."
        return right + f"the door counts {holds}, the start {all_kept:,}, and {has}, enough for either."


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
    ending="I can say how many bytes a token leaves behind in a given model, and how many blocks a GPU has room for. "
    "And I can say why decoding waits for memory and a prompt for arithmetic.",
)  # fmt: skip
