"""Lesson 15, smaller pages: its rules, witnesses and hints. torch is imported only where tensors are made."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.first_kernel.cache import ADDRESSED
from labkit.specs.first_kernel.referees import KernelSpecification, untouched
from labkit.specs.paged_attention.referees import SizedSpecification
from labkit.specs.smaller_pages.referees import BlocksReferee, QuantizeReferee
from labkit.words import plural


class QuantizeHeads(SizedSpecification):
    """Keys or values in 8 bits, with a scale for each KV head."""

    exercise = "quantize_heads"
    referee = QuantizeReferee
    # A witness: the dtype of the pages, that of x, a scale for each head or [], and x: tokens, heads, numbers.
    rules = rules_from(
        """
        pages-and-scales: Two tensors come back: pages of the shape of x, and scales of shape [kv_heads].
            ? Over which axes of [tokens, kv_heads, head_dim] do you take the largest, and which one is left?
            int8 float32 [] [[[1,-0.5,2]],[[0.25,2,1]]]
            int8 float32 [] [[[1,3],[2,-4]]]
        dtypes-as-asked: The pages have the dtype asked for, and the scales are float32.
            ? Which of your lines makes 8 bits of the numbers, and which dtype have the scales at that point?
            int8 float32 [] [[[1,-0.5]]]
            e4m3 float32 [] [[[1,-0.5]]]
            e4m3 bfloat16 [] [[[1,-0.5]]]
        a-given-scale-is-used: Where a scale is given, it is the one that is used and that comes back.
            ? Which scale belongs to tokens that are written with a scale that was measured before?
            int8 float32 [0.1] [[[1,-2]]]
            e4m3 float32 [0.1,0.5] [[[1,-2],[3,0.5]]]
        a-head-of-zeros: A head of zeros is kept as zeros, and its scale is positive.
            ? What is 0 / 0?
            int8 float32 [] [[[0,0],[1,2]]]
            e4m3 float32 [] [[[0,0]]]
        one-scale-per-head: Each KV head has a scale of its own.
            ? Head 0 has numbers up to 1 and head 1 up to 100. Which step has head 0, with yours?
            int8 float32 [] [[[1,2],[100,50]]]
            e4m3 float32 [] [[[8,-1],[0.5,0.25]]]
        measured-on-all-tokens: A scale is measured on all tokens of x, not on some of them.
            ? Which token has the largest number of a head? Does your scale know it?
            int8 float32 [] [[[1,2]],[[8,-9]],[[3,3]]]
        the-smallest-that-fits: A measured scale is the largest magnitude of the head divided by the largest number of \
                the page: 127, or 448.
            ? Which number should the largest magnitude of a head become, with int8 and with e4m3?
            int8 float32 [] [[[1,2,-6]]]
            e4m3 float32 [] [[[1,2,-6]]]
            int8 float32 [] [[[1,7,6]]]
        saturates: What a given scale does not reach is cut to the largest there is, 127 or 448, with its sign.
            ? What becomes of 200 in int8 if nobody looks? Who cuts 500 in e4m3, and do all who cast do so?
            int8 float32 [0.01] [[[1,5,-5,0.5]]]
            e4m3 float32 [0.01] [[[1,9,-9,0.5]]]
            int8 float32 [0.01,1] [[[2.0,-0.3],[200,-28.4]]]
        within-half-a-step: A number that is read back is off by half a step at most.
            ? Between which two numbers that can be kept does yours lie, and which of them is nearer?
            int8 float32 [] [[[1,0.3,-0.27,0.996]]]
            int8 float32 [] 3x2x8
            e4m3 float32 [] [[[1,0.3,-0.27,0.001,0.0003]]]
            e4m3 float32 [] 3x2x8
            int8 float32 [0.05] 3x1x8
        computed-in-float32: Scales and quotients are computed in float32, whatever x came in.
            ? How many digits has a bfloat16, and how many numbers are there from 0 to 127?
            int8 bfloat16 [] 4x2x8
            int8 bfloat16 [0.017,0.017] 4x2x8
            e4m3 float16 [] 2x1x8
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            ? Which of your lines writes into x where it stands?
            int8 float32 [0.5] [[[1,2]]]
        """
    )
    hints = (
        "A head goes up to 2.54. Which number should 2.54 become in int8, what does one step stand for then, and what "
        "becomes of 0.03?",
        "scale = largest magnitude of the head / 127 (or 448). What is kept is x / scale, cut to what fits, and with "
        "int8 rounded to the nearest whole number; e4m3 rounds when it is cast.",
        "x = x.float()\nif scale is None:\n    top = x.abs().amax(dim=____)        # [kv_heads]\n"
        "    scale = torch.where(top > 0, ____, 1.0)\nnumbers = (x / scale[____]).clamp(____, ____)\n"
        "if dtype == torch.int8:\n    numbers = numbers.____()\nreturn numbers.to(____), scale",
    )
    search = {"dtype": ["int8", "e4m3"], "came": ["float32", "float32", "bfloat16"], "given": [0, 0, 1],
              "tokens": (1, 3), "kv_heads": (1, 3), "head_dim": (1, 4), "seed": (0, 10_000)}  # fmt: skip

    def sized(self, dtype: str, came: str, scale: Any, x: Any) -> None:
        """The dtype of the pages and of x, the scales ([]: none are given), and the numbers."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {
            "x": torch.tensor(args["x"], dtype=getattr(torch, args["came"])),
            "dtype": torch.int8 if args["dtype"] == "int8" else torch.float8_e4m3fn,
            "scale": torch.tensor(args["scale"], dtype=torch.float32) if args["scale"] else None,
        }

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        given = f", scale = {show(values['scale'], 60)}" if args["scale"] else ""
        return f"x = {show(args['x'], 100)} ({args['came']}){given}"

    def label(self, args: Mapping[str, Any]) -> str:
        return f"quantize_heads(x, torch.{str(self.decode(args)['dtype'])[6:]}{', scale' if args['scale'] else ''})"

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        heads = range(sizes["kv_heads"])
        wide = [draw.choice([0.01, 1, 1, 50]) for _ in heads]
        x = [[[wide[h] * draw.randint(-20, 20) / 10 for _ in range(sizes["head_dim"])] for h in heads]
             for _ in range(sizes["tokens"])]  # fmt: skip
        scale = [draw.randint(1, 9) / 100 for _ in heads] if sizes["given"] else []
        return {"dtype": sizes["dtype"], "came": sizes["came"], "scale": scale, "x": x}

    def rule_for(self, **args: Any) -> str:
        return "a-given-scale-is-used" if args["scale"] else "within-half-a-step"


PLAIN = {"page": 2, "kv_heads": 1, "group": 1, "head_dim": 8, "length": 2, "far": 0}
"""Sizes of a launch in which next to no address can be wrong."""


def _row(block: Any, page: Any, slot: Any, page_size: int, kv_heads: int, head: Any) -> Any:
    """The row of a key in a cache seen as [rows, head_dim]."""
    return (block * page_size + slot) * kv_heads + head


class QuantizedScores(KernelSpecification):
    """The scores of one query over the 8-bit keys of a sequence, a page and a query head per program."""

    exercise = "quantized_scores"
    # A witness: the kind of page, page size, KV heads, query heads for each of them, head_dim, tokens, and 1 where the
    # pages of the sequence are the last ones of a cache with more than 2**31 numbers.
    rules = rules_from(
        """
        a-score-for-each-token: out[h, t] is written for each query head and each token of the sequence.
            ? How many tokens has the last page, for 5 tokens in pages of 4? Which scores does it give?
            int8 4 1 1 4 5 0
            int8 4 1 2 4 6 0
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which lanes of the last page stand for tokens that there are?
            int8 4 1 1 4 5 0
        follows-the-table: Page j lies in the block that entry j of the table names.
            ? Program 1 has page 1. In which block does it lie, and in which row of the cache does that block begin?
            int8 4 1 1 4 8 0
            int8 2 2 1 2 5 0
        offsets-have-64-bits: A block far behind in a large cache is found: its offset needs more than 32 bits.
            ? An id of the table is an int32, and so is what it is multiplied by. How large can their product be?
            int8 4 1 1 8 4 1
            e4m3 4 2 1 8 4 1
        own-slots-only: No slot is read that holds no token of the sequence.
            ? A mask stands at your store. What does your load read in the lanes that it hides?
            int8 4 1 1 4 5 0
            e4m3 4 1 1 4 1 0
        neighbours-share-a-kv-head: Query head h reads the keys and the scale of KV head h // group.
            ? With 4 query heads and 2 KV heads: which keys and which scale has query head 1?
            int8 2 2 2 4 2 0
            int8 2 3 2 2 3 0
        times-the-scale-of-its-head: What is kept is a number divided by the scale of its KV head, so a score is \
                multiplied by that scale, once, and by `scale`.
            ? q . (k8 * k_scale) is what is due. What do you have of it before the last line?
            int8 4 1 1 4 4 0
            e4m3 4 2 1 4 4 0
        the-sum-of-the-products: A score is the sum over the numbers of a head of q times k8, in float32.
            ? What is 0.4 in int8? Which of the two numbers of a product is made to fit the other?
            int8 2 1 1 8 2 0
            e4m3 2 1 1 8 2 0
        """
    )
    hints = (
        "For one number the key is k8 * k_scale. Write the sum of q * k8 * k_scale over the numbers of a head: what "
        "can be put before the sum?",
        "A program has one page and one query head: its block, its KV head, PAGE rows of HEAD_DIM bytes. The sum over "
        "the HEAD_DIM axis, in float32, times k_scale of the KV head and times scale, is the score.",
        "block = tl.load(block_table + page).to(____)\n"
        "row = (block * PAGE + tl.arange(0, PAGE)) * KV_HEADS + ____\n"
        "k = tl.load(k_cache + row[:, None] * HEAD_DIM + d[None, :], mask=____, other=0.0)\n"
        "s = tl.sum(query[None, :] * k.to(____), axis=____)\ns = s * (scale * tl.load(k_scale + ____))\n"
        "tl.store(out + head * length + position, s, mask=____)",
    )
    search = {"kind": ["int8", "e4m3"], "page": [2, 4], "kv_heads": (1, 2), "group": (1, 2), "head_dim": [2, 4],
              "length": (1, 7), "far": [0]}  # fmt: skip
    examples = 6
    tolerance = 1e-4

    def sized(self, kind: str, page: int, kv_heads: int, group: int, head_dim: int, length: int, far: int) -> None:
        """Sizes of one launch."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        kind, page, kv_heads, group, head_dim, length, far = (args[name] for name in self.parameters())
        draw = torch.Generator().manual_seed(5)
        dtype = torch.int8 if kind == "int8" else torch.float8_e4m3fn
        count = -(-length // page)
        # Whoever reads a slot without a token finds the largest number, which no score here is small enough to hide.
        cache = torch.full((count + 2, page, kv_heads, head_dim), 127.0 if kind == "int8" else 448.0)
        table = torch.arange(count, 0, -1, dtype=torch.int32)
        at = torch.arange(length)
        numbers = torch.randint(-60, 61, (length, kv_heads, head_dim), generator=draw).float()
        cache[table[at // page].long(), at % page] = numbers
        return {
            "q": torch.randint(-20, 21, (kv_heads * group, head_dim), generator=draw) / 10,
            "k_cache": cache.to(dtype),
            "k_scale": 0.01 * (1 + torch.arange(kv_heads)),
            "block_table": table,
            "length": length,
            "scale": head_dim**-0.5,
            "skip": ADDRESSED // (page * kv_heads * head_dim) if far else 0,
        }

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        return (
            f"{args['kind']} pages of {args['page']}, {plural(args['kv_heads'], 'KV head')} for "
            f"{plural(args['kv_heads'] * args['group'], 'query head')} of {args['head_dim']} numbers, block_table = "
            f"{show(values['block_table'] + values['skip'], 40)}, length = {args['length']}"
        )

    def launch(
        self, kernel: Any, q: Any, k_cache: Any, k_scale: Any, block_table: Any, length: int, scale: Any, skip: int
    ) -> Any:
        from labkit.kernels.ledger import larger_than_memory

        (_, page, kv_heads, head_dim), heads = k_cache.shape, len(q)
        out = untouched(heads, length)
        if skip:
            block_table = untouched(len(block_table), dtype=block_table.dtype).copy_(block_table + skip)
        with larger_than_memory(k_cache, skip) if skip else nullcontext(k_cache) as whole:
            kernel[(-(-length // page), heads)](
                out, q, whole, k_scale, block_table, length, scale,
                Q_HEADS=heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, PAGE=page,
            )  # fmt: skip
        return out

    def oracle(self, q: Any, k_cache: Any, k_scale: Any, block_table: Any, length: int, scale: Any, skip: int) -> Any:
        return self._scores(q, k_cache, k_scale, block_table, length, scale)

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if args.get("far") else self.inside

    def _scores(
        self, q: Any, k_cache: Any, k_scale: Any, block_table: Any, length: int, scale: Any,
        row: Callable[..., Any] | None = None, head: Callable[..., int] = lambda h, kv_heads, group: h // group,
    ) -> Any:  # fmt: skip
        """The scores, right or with one thing wrong."""
        import torch

        page, kv_heads = k_cache.shape[1:3]
        at = torch.arange(length)
        heads = torch.tensor([head(h, kv_heads, len(q) // kv_heads) for h in range(len(q))])
        blocks = block_table[at // page].long()
        rows = (row or _row)(blocks[None], at[None] // page, at[None] % page, page, kv_heads, heads[:, None])
        keys = k_cache.flatten(0, 2).float()
        k = keys[rows.clamp(max=len(keys) - 1)] * k_scale[heads][:, None, None]
        return (q[:, None] * k).sum(dim=2) * scale

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        import torch

        values = self.decode(args)
        del values["skip"]
        if (seen == -77).any():
            return "a-score-for-each-token"
        for name, wrong in (
            ("follows-the-table", {"row": lambda block, j, slot, page, n, h: (j * page + slot) * n + h}),
            ("follows-the-table", {"row": lambda block, j, slot, page, n, h: (block + slot) * n + h}),
            ("follows-the-table", {"row": lambda block, j, slot, page, n, h: block * page + slot + h}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: 0}),
        ):
            answer = self._scores(**values, **wrong)
            if torch.allclose(seen, answer, rtol=1e-3) and not torch.allclose(answer, expected, rtol=1e-3):
                return name
        ratio = seen / expected
        same = [bool(torch.allclose(row, row[:1].expand_as(row), rtol=1e-3)) for row in ratio]
        if all(same) and args["length"] > 1:
            return "times-the-scale-of-its-head"
        plain = self.decode(args | PLAIN)
        return rule if torch.allclose(call(**plain), self.oracle(**plain), rtol=1e-3) else "the-sum-of-the-products"

    def rule_for(self, **args: Any) -> str:
        if args["group"] > 1:
            return "neighbours-share-a-kv-head"
        if args["length"] % args["page"]:
            return "a-score-for-each-token"
        if args["length"] > args["page"]:
            return "follows-the-table"
        return "the-sum-of-the-products" if args["head_dim"] == 8 else "times-the-scale-of-its-head"

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        h, t = ((seen - expected).abs() > 1e-4 * (1 + expected.abs())).nonzero()[0].tolist()
        told = "nobody has written" if float(seen[h, t]) == -77 else f"is {float(seen[h, t]):.4g}"
        return f"The score of query head {h} and token {t} {told}; {float(expected[h, t]):.4g} is due."

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        values = self.decode(args)
        page, row = args["page"], args["kv_heads"] * args["head_dim"]
        place = {int(block): j for j, block in enumerate(values["block_table"])}
        for access in launches[-1].accesses:
            if access.argument != "k_cache":
                continue
            for slot in sorted({int(offset) // row for offset in access.offsets}):
                j = place.get(slot // page)
                if j is None or j * page + slot % page >= args["length"]:
                    cause = (
                        f"Slot {slot % page} of block {slot // page} was read, and the sequence has no token there; "
                        "others have left numbers in it, or write them now."
                    )
                    return "own-slots-only", f"slot {slot % page} of block {slot // page}", cause
        return None


QUESTIONS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("only-regret-costs-time", (8, 4, 0, 1, 0.5, 0, 1)),
    ("beyond-twice-as-much-it-evicts-again", (8, 4, 1, 1, 0, 0, 1)),
    ("what-is-there-is-converted-once", (8, 4, 1, 1, 2, 0, 1)),
    ("what-is-there-is-converted-once", (8, 4, 1, 1, 0.75, 0, 1)),
    ("beyond-twice-as-much-it-evicts-again", (40, 4, 1, 1, 5, 0, 1)),
    ("beyond-twice-as-much-it-evicts-again", (40, 4, 1, 1, 1.5, 0, 1)),
    ("beyond-twice-as-much-it-evicts-again", (6, 4, 1, 1, 0.6, 0, 1)),
    ("exact-where-nothing-is-gained", (8, 4, 1, 1, 1, 0, 1)),
    ("only-regret-costs-time", (12, 4, 0.25, 1, 0.1, 0, 1)),
)
"""In this order each is about one thing alone: who answers the ones above rightly breaks this rule."""


class QuantizeOrEvict(FunctionSpecification):
    """Whether a cache that is too small is better kept in 8 bits."""

    exercise = "quantize_or_evict"
    # A witness: blocks wanted, blocks that fit, share wanted again, s to compute and to convert one, error, allowed.
    rules = rules_from(
        """
        one-of-three: The answer is "keep", "quantize" or "evict".
            10 4 1 1 0 0 1
        keeps-what-fits: Where all wanted blocks fit, nothing is evicted and nothing is quantised.
            ? How many blocks are evicted where as many are wanted as fit?
            4 4 1 1 0 0 1
            3 4 1 1 0 5 1
            1 4 0.5 1 0 0 1
        no-more-error-than-allowed: Where 8 bits cost more error than is allowed, they are not used; as much as \
                allowed will do.
            ? What is gained by a cache whose answers are wrong? Which of your comparisons holds where both are equal?
            8 4 1 1 0 5 1
            8 4 1 1 0 1 1
        only-regret-costs-time: An evicted block costs time only in so far as it is wanted again.
            ? What does it cost to evict a block that nobody asks for again?
            8 4 0 1 0.5 0 1
            40 4 0.25 1 2 0 1
            12 4 0.25 1 0.1 0 1
        beyond-twice-as-much-it-evicts-again: In 8 bits twice as many blocks fit, and what is wanted beyond them is \
                evicted as before.
            ? Forty blocks are wanted and four fit. How many are evicted in 16 bits, and how many in 8?
            8 4 1 1 0 0 1
            40 4 1 1 5 0 1
            40 4 1 1 1.5 0 1
            6 4 1 1 0.6 0 1
            9 4 1 1 0.9 0 1
            7 4 1 1 0.5 0 1
        what-is-there-is-converted-once: Each block that is there, as many as fit, is converted.
            ? How many blocks stand in memory in 16 bits at the moment in which you decide?
            6 4 1 1 0.75 0 1
            8 4 1 1 2 0 1
            9 4 1 1 0.4 0 1
            20 4 1 1 0.45 0 1
            7 4 1 1 0.6 0 1
        exact-where-nothing-is-gained: 8 bits are used only where they take less time; as much will not do.
            ? At equal cost, which of the two has no error?
            8 4 1 1 1 0 1
            8 4 0 1 0 0 1
        """
    )
    hints = (
        "Write down what each way costs in one round: which blocks are computed again, and what is spent once?",
        "Evicting computes (wanted - fit) * again blocks again. Quantising converts fit blocks, and computes "
        "(wanted - 2 * fit) * again blocks again, where that is more than nothing.",
        'if wanted <= ____:\n    return "keep"\nif error > ____:\n    return "evict"\n'
        "evicting = ____ * again * compute_s\nquantizing = fit * convert_s + max(0, ____) * again * compute_s\n"
        'return "quantize" if ____ else "evict"',
    )
    search = {"wanted": (1, 30), "fit": (1, 12), "again": [0, 0.25, 0.5, 1], "compute_s": [1, 2, 4],
              "convert_s": [0, 0.25, 0.5, 1, 2], "error": [0, 1, 2], "allowed": [1, 2]}  # fmt: skip

    def rule_for(self, **args: Any) -> str:
        if args["wanted"] <= args["fit"]:
            return "keeps-what-fits"
        if args["error"] >= args["allowed"]:
            return "no-more-error-than-allowed"
        return "beyond-twice-as-much-it-evicts-again"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if seen not in ("keep", "quantize", "evict"):
            return self.rules[0].name, None
        if rule == "keeps-what-fits" or (rule == "no-more-error-than-allowed" and expected == "evict"):
            return rule, None
        if self.first_wrong(call, [*[*args.values()][:5], 0, 1]) is None:
            return "no-more-error-than-allowed", None
        for name, question in QUESTIONS:
            wrong = self.first_wrong(call, question)
            if wrong is not None:
                return name, wrong
        return rule, None

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if rule == "keeps-what-fits":
            return f"{plural(args['wanted'], 'block')} are wanted and {args['fit']} fit."
        if rule == "no-more-error-than-allowed":
            return f"The error of 8 bits is {args['error']:g}, and {args['allowed']:g} is allowed."
        evict, quantize = _costs(**args)
        convert = args["fit"] * args["convert_s"]
        return (
            f"Evicting costs {evict:g} s in a round, and quantising {quantize:g} s, of which {convert:g} s converting."
        )


def _costs(wanted: int, fit: int, again: float, compute_s: float, convert_s: float, **_: Any) -> tuple[float, float]:
    """Seconds of a round, evicting and quantising."""
    each = again * compute_s
    return (wanted - fit) * each, fit * convert_s + max(0, wanted - 2 * fit) * each


class Blocks(Specification):
    """Sequences that write pages of int8 and end, over blocks that are used again."""

    exercise = "break_stale_scale"
    defines = "Int8Blocks"
    referee = BlocksReferee
    prelude = "import torch"
    needs_torch = True
    rules = rules_from(
        """
        read-within-half-a-step: What is read is off by half a step at most, of a scale that just holds it.
            write A 100; end A; write B 1; read B
        """
    )
    search = {"seq": "ABCD", "size": (1, 1000)}


class BreakTheStaleScale(BreakIt):
    """Blocks of int8 whose scale is still that of their last owner."""

    exercise = "break_stale_scale"
    base = Blocks()
    prelude = "import torch"
    needs_torch = True
    largest = 1000
    reference = "labkit.specs.smaller_pages.scenes:Int8Blocks"
    example = '("write", "A", 100)'
    without = {
        "read": "Nobody reads, so nothing has been seen.",
        "end": "Each block was filled once.",
    }
    hints = (
        "What does a block know when it is written for the second time? Which numbers was that measured on?",
        "A scale that is too large cuts nothing, and its step is too large for small numbers.",
        '[("write", "A", ____), ("end", "A"), ("write", "B", ____), ("read", "B")]',
    )

    def why_it_stands(self, ops: list[Op]) -> str:
        kept = super().why_it_stands(ops)
        if {op.name for op in ops} != set(self.base.names()):
            return kept
        return f"{kept} No scale of a block that was read was much larger than its numbers need."


LESSON = Lesson(
    key="15_smaller_pages",
    title="Smaller pages",
    part="II. Attention kernels",
    minutes=65,
    builds="Pages of 8 bits with a scale for each head, read by a kernel, and a rule for when they beat evicting.",
    symptom="Half of the memory would be free if a number took one byte and not two, and nobody can say what the "
    "answers would lose.",
    exercises=(
        Exercise("quantize_heads", "A scale for each head", 10, 3, 5, QuantizeHeads(),
                 "labkit.attention.head_scales:quantize_heads"),
        Exercise("quantized_scores", "Dequantise in the kernel", 10, 4, 4, QuantizedScores(),
                 "kvkernels.quantized_page:quantized_scores"),
        Exercise("quantize_or_evict", "Quantise or evict", 8, 3, 4, QuantizeOrEvict(),
                 "labkit.cache.quantize_or_evict:quantize_or_evict"),
        Exercise("break_stale_scale", "Break it: whose scale is it", 5, 3, 4, BreakTheStaleScale(), kind="break"),
    ),
    paths=("kernels", "whole"),
    ending="I can keep keys and values in 8 bits and bound the error of every number by half a step. I know why a "
    "scale belongs to a head, where it leaves the loop, and what twice as many blocks do and do not cure.",
)  # fmt: skip
