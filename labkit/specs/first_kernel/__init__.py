"""Lesson 11, your first Triton kernel: its rules, witnesses and hints.

A witness gives sizes, and `decode` makes the tensors of them: pages lie in no order, and NaN lies in every slot that
holds no token. torch is imported only where tensors are made.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.first_kernel.cache import ADDRESSED, CacheReferee, not_its_slots
from labkit.specs.first_kernel.referees import KernelSpecification, untouched
from labkit.specs.paged_attention.referees import dense, numbers, pages


class CopyMasked(KernelSpecification):
    """The first n numbers of a tensor, a block per program."""

    exercise = "copy_masked"
    # A witness: numbers to copy, numbers per program, numbers that lie in both tensors beyond them.
    rules = rules_from(
        """
        copies-each-number: out[i] is src[i] for each i below n.
            4 4 0
            16 4 0
            5 8 3
            300 64 20
        only-the-first-n: No number at n or beyond is written.
            ? For n = 5 and blocks of 4, which numbers do the lanes of program 1 stand for, and which of them are there?
            5 4 3
            1 8 7
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? A load follows every address that its mask leaves on. Which of your loads and stores has no mask?
            5 4 0
            1 8 0
        """
    )
    hints = (
        "Which numbers is program 1 to copy, for blocks of 4? Which of its lanes have one, for n = 5?",
        "Program p copies the numbers p * BLOCK to p * BLOCK + BLOCK - 1, and of those only what lies below n.",
        "at = tl.program_id(0) * ____ + tl.arange(0, ____)\nthere = at < ____\n"
        "tl.store(out + at, tl.load(src + at, mask=____), mask=____)",
    )
    search = {"n": (1, 20), "block": [2, 4, 8], "beyond": (0, 3)}

    def sized(self, n: int, block: int, beyond: int) -> None:
        """Sizes of one launch."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        src = numbers(random.Random(3), args["n"] + args["beyond"]).float()
        return {"src": src, "n": args["n"], "block": args["block"]}

    def setup_line(self, n: int, block: int, beyond: int) -> str:
        return f"{n + beyond} numbers in src and in out, n = {n}, BLOCK = {block}, grid ({-(-n // block)},)"

    def launch(self, kernel: Any, src: Any, n: int, block: int) -> Any:
        out = untouched(len(src))
        kernel[(-(-n // block),)](out, src, n, BLOCK=block)
        return out

    def oracle(self, src: Any, n: int, block: int) -> Any:
        out = untouched(len(src))
        out[:n] = src[:n]
        return out

    def broken(self, rule: str, seen: Any, expected: Any, call: Any, **args: Any) -> str:
        return rule if not _alike(seen[: args["n"]], expected[: args["n"]]) else "only-the-first-n"

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        at = next(i for i in range(len(seen)) if not _alike(seen[i], expected[i]))
        if rule == "only-the-first-n":
            return f"out[{at}] was written, and n is {args['n']}: it belongs to whoever comes next."
        return f"out[{at}] is {show(seen[at])} and not src[{at}]; program {at // args['block']} is to copy it."


class PagedKernel(KernelSpecification):
    """What the kernels over pages share: they follow the table, and look at no slot without a token."""

    cached: tuple[str, ...] = ("cache",)

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        values = self.decode(args)
        tables, lengths = self.owned(values)
        caches = {name: values[name] for name in self.cached}
        wrong = not_its_slots(launches[-1], caches, tables, lengths, self.sequence_of)
        return wrong and ("only-slots-with-a-token" if wrong[0] else "follows-the-table", *wrong[1:])

    def owned(self, values: Mapping[str, Any]) -> tuple[list[list[int]], list[int]]:
        """The table and the length of each sequence."""
        return [values["block_table"].tolist()], [values["length"]]

    def sequence_of(self, program: tuple[int, int, int]) -> int:
        """Which sequence a program works for."""
        return 0

    def nan(self, seen: Any, **args: Any) -> str:
        return (
            "NaN comes out. It lies in every slot without a token, and in every lane that is off and has no `other`: "
            "one of the two was used."
        )


class GatherPage(PagedKernel):
    """One page per program, found through the table."""

    exercise = "gather_page"
    # A witness: tokens per page, numbers of a token, tokens of the sequence, whether its blocks lie beyond 2**31.
    rules = rules_from(
        """
        copies-its-page: Program j writes the tokens of page j into the rows j * PAGE and on.
            2 2 2 0
            4 2 12 0
            2 4 6 0
            16 32 100 0
        follows-the-table: Page j of the sequence is the block that entry j of its table names.
            ? Program 1 copies page 1. Which number says in which block of the cache that page lies?
            2 2 4 0
        only-slots-with-a-token: No slot of the cache is read that holds no token of the sequence.
            ? How many tokens lie in the last page, and which of its lanes may ask for a number?
            4 2 1 0
            4 2 6 0
        offsets-have-64-bits: A block far behind in a large cache is found: its offset needs more than 32 bits.
            ? An id of the table is an int32, and so is what it is multiplied by. How large can their product be?
            4 8 8 1
            16 16 16 1
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which of your loads and stores has no mask, or one for other lanes?
            4 2 3 0
        """
    )
    hints = (
        "Program 1 copies page 1. In which block does that page lie, and which rows of out does it fill?",
        "Token t lies in slot t % PAGE of block table[t // PAGE], and its numbers begin at (block * PAGE + slot) * "
        "HEAD_DIM. The mask has a row per slot: on, where there is such a token.",
        "block = tl.load(block_table + ____).to(tl.int64)\ntoken = page * PAGE + slot\nused = (token < ____)[:, None]\n"
        "source = (____ * PAGE + slot)[:, None] * HEAD_DIM + d[None, :]\n"
        "target = ____[:, None] * HEAD_DIM + d[None, :]",
    )
    search = {"page": [1, 2, 4], "head_dim": [1, 2, 4], "length": (1, 10), "far": [0]}

    def sized(self, page: int, head_dim: int, length: int, far: int) -> None:
        """One sequence of so many tokens."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        page, head_dim, length, far = (args[name] for name in self.parameters())
        cache, _, tables = pages([length], page, 1, head_dim)
        skip = ADDRESSED // (page * head_dim) if far else 0
        return {"cache": cache[:, :, 0].float(), "block_table": tables[0].int(), "length": length, "skip": skip}

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        table = values["block_table"][: -(-args["length"] // args["page"])] + values["skip"]
        blocks, *rest = values["cache"].shape
        return (
            f"cache [{blocks + values['skip']:,}, {', '.join(map(str, rest))}], block_table {show(table, 60)}, "
            f"length {args['length']}"
        )

    def launch(self, kernel: Any, cache: Any, block_table: Any, length: int, skip: int) -> Any:
        page, head_dim = cache.shape[1:]
        out = untouched(length, head_dim)
        with _far(skip, block_table, cache) as (block_table, cache):
            kernel[(-(-length // page),)](out, cache, block_table, length, HEAD_DIM=head_dim, PAGE=page)
        return out

    def oracle(self, cache: Any, block_table: Any, length: int, skip: int) -> Any:
        return cache[block_table[: -(-length // cache.shape[1])]].flatten(0, 1)[:length]

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if args.get("far") else self.inside

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Any, **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        cache, size = self.decode(args)["cache"], args["page"]
        rows = [t for t in range(args["length"]) if not _alike(seen[t], expected[t])]
        slots = [(seen[t], cache[:, t % size]) for t in rows if t >= size]
        straight = cache.flatten(0, 1)[: args["length"]]
        from_others = len(slots) == len(rows) and all(any(_alike(row, o) for o in others) for row, others in slots)
        if from_others or _alike(seen, straight):
            return "follows-the-table", None
        return super().accuse(rule, mismatch, seen, expected, call, **args)

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        at = next(t for t in range(args["length"]) if not _alike(seen[t], expected[t]))
        page, slot = divmod(at, args["page"])
        block = int(self.decode(args)["block_table"][page])
        return (
            f"Row {at} of out is not token {at}, which program {page} is to copy from slot {slot} of block {block}: it "
            f"is {show(seen[at], 60)} where {show(expected[at], 60)} is due."
        )


class PageScores(PagedKernel):
    """The scores of every query head over one page per program."""

    exercise = "page_scores"
    cached = ("k_cache",)
    tolerance = 2e-4
    # A witness: tokens per page, KV heads, query heads for each, numbers of a head, tokens, whether pages are float16,
    # whether its blocks lie beyond 2**31.
    rules = rules_from(
        """
        scores-of-its-page: out[h, t] is scale times the product of query h and the key of token t.
            2 1 1 2 2 0 0
            2 1 2 2 4 0 0
            4 1 1 16 40 0 0
        follows-the-table: Page j of the sequence is the block that entry j of its table names.
            ? Which number says in which block the keys of page 1 lie?
            2 1 1 2 6 0 0
        neighbours-share-a-kv-head: Query head h reads KV head h // GROUP.
            ? With 4 query heads and 2 KV heads, which two query heads read KV head 0? Where does its key lie in a slot?
            2 2 2 2 2 0 0
            2 3 2 4 5 0 0
        only-slots-with-a-token: No slot of the cache is read that holds no token of the sequence.
            ? How many tokens lie in the last page, and which of its lanes may ask for a key?
            4 1 1 2 1 0 0
            4 1 1 2 6 0 0
        idle-lanes-count-nothing: Lanes from HEAD_DIM on add nothing to a score: they belong to no number of the head.
            ? A head of 3 numbers has 4 lanes. What stands in the fourth, after your loads?
            2 1 1 3 2 0 0
            4 2 1 5 4 0 0
        computed-in-float32: Products and sums are made in float32, whatever the pages hold.
            ? Which dtype has what a load brings in, and which one has the product of two such numbers?
            2 1 1 4 2 1 0
        offsets-have-64-bits: A block far behind in a large cache is found: its offset needs more than 32 bits.
            ? An id of the table is an int32, and so is what it is multiplied by. How large can their product be?
            4 2 1 8 8 0 1
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which of your loads and stores has no mask, or one for other lanes?
            4 1 2 2 3 0 0
        """
    )
    hints = (
        "Program (h, j) has one query and one page. What shape has the tile of keys, and along which axis is it "
        "summed?",
        "The key of token t for query head h begins at ((block * PAGE + slot) * KV_HEADS + h // GROUP) * HEAD_DIM. "
        "What lanes from HEAD_DIM on bring in must be 0, or the sum is none.",
        "query = tl.load(q + ____ + d, mask=in_head, other=____).to(tl.float32)\n"
        "row = (block * PAGE + slot) * ____ + ____\nthere = used[:, None] & ____\n"
        "keys = tl.load(k_cache + row[:, None] * HEAD_DIM + d[None, :], mask=there, other=____).to(tl.float32)\n"
        "score = tl.sum(query[None, :] * keys, ____) * scale",
    )
    search = {
        "page": [1, 2, 4], "kv_heads": (1, 2), "group": (1, 2), "head_dim": (1, 5), "length": (1, 7), "half": [0],
        "far": [0],
    }  # fmt: skip

    def sized(self, page: int, kv_heads: int, group: int, head_dim: int, length: int, half: int, far: int) -> None:
        """One sequence of so many tokens, one query per head."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        page, kv_heads, group, head_dim, length, half, far = (args[name] for name in self.parameters())
        k_cache, _, tables = pages([length], page, kv_heads, head_dim)
        q = numbers(random.Random(1), kv_heads * group, head_dim)
        dtype, size = (torch.float16, 300.0) if half else (torch.float32, 1.0)  # 300 * 300 is no float16
        table = tables[0].int()
        return {
            "q": (q * size).to(dtype),
            "k_cache": (k_cache * size).to(dtype),
            "block_table": table,
            "length": length,
            "skip": ADDRESSED // (page * kv_heads * head_dim) if far else 0,
        }

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        table = values["block_table"][: -(-args["length"] // args["page"])] + values["skip"]
        blocks, *rest = values["k_cache"].shape
        return (
            f"q {list(values['q'].shape)}, k_cache {[blocks + values['skip'], *rest]} of {str(values['q'].dtype)[6:]}, "
            f"block_table {show(table, 60)}, length {args['length']}"
        )

    def launch(self, kernel: Any, q: Any, k_cache: Any, block_table: Any, length: int, skip: int) -> Any:
        (q_heads, head_dim), (page, kv_heads) = q.shape, k_cache.shape[1:3]
        out = untouched(q_heads, length)
        with _far(skip, block_table, k_cache) as (block_table, k_cache):
            kernel[(q_heads, -(-length // page))](
                out, q, k_cache, block_table, length, head_dim**-0.5, GROUP=q_heads // kv_heads, KV_HEADS=kv_heads,
                HEAD_DIM=head_dim, HEAD_PAD=_power_of_2(head_dim), PAGE=page,
            )  # fmt: skip
        return out

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if args.get("far") else self.inside

    def oracle(self, q: Any, k_cache: Any, block_table: Any, length: int, skip: int) -> Any:
        return _scores(q, k_cache, block_table, length)

    def broken(self, rule: str, seen: Any, expected: Any, call: Any, **args: Any) -> str:
        values = {name: value for name, value in self.decode(args).items() if name != "skip"}
        wrong = (
            ("follows-the-table", {"block_table": values["block_table"].new_tensor(range(len(values["block_table"])))}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % group % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: 0}),
        )
        for name, change in wrong:
            told = _scores(**values | change) if args["length"] <= len(values["k_cache"]) * args["page"] else expected
            if _alike(seen, told) and not _alike(told, expected):
                return name
        if args["kv_heads"] > 1:
            return "neighbours-share-a-kv-head"
        return "computed-in-float32" if args["half"] else rule

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Any, **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind == "nan" and not args["half"] and _power_of_2(args["head_dim"]) > args["head_dim"]:
            return "idle-lanes-count-nothing", None
        return super().accuse(rule, mismatch, seen, expected, call, **args)

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        h, t = next((h, t) for h in range(len(seen)) for t in range(args["length"])
                    if not _alike(seen[h, t], expected[h, t]))  # fmt: skip
        block = int(self.decode(args)["block_table"][t // args["page"]])
        return (
            f"Program ({h}, {t // args['page']}): the score of query head {h} and token {t}, whose key lies in slot "
            f"{t % args['page']} of block {block}, KV head {h // args['group']}, is {show(seen[h, t])} where "
            f"{show(expected[h, t])} is due."
        )


class PagedDecode(PagedKernel):
    """Step 1 of the ladder: one program per query head follows the table, with an online softmax."""

    exercise = "paged_decode"
    cached = ("k_cache", "v_cache")
    tolerance = 2e-4
    op_seconds = 12.0
    examples = 4
    # A witness: tokens per page, KV heads, query heads for each, numbers of a head, size of the queries, whether blocks
    # lie beyond 2**31, tokens of each sequence.
    rules = rules_from(
        """
        over-all-its-tokens: The weights run over all tokens of the sequence, in whichever page they lie, and sum to 1.
            ? What is handed from one page to the next, and which of it changes when a larger score comes?
            2 1 1 2 1 0 2
            2 1 1 2 1 0 6
            2 1 1 4 1 0 8
        follows-the-table: Page j of a sequence is the block that entry j of its row of the table names.
            ? Which entry of which row names the page that holds token `first`?
            2 1 1 2 1 0 4
        neighbours-share-a-kv-head: Query head h reads KV head h // (Q_HEADS // KV_HEADS).
            ? With 4 query heads and 2 KV heads, which two query heads read KV head 0?
            2 2 2 2 1 0 2
        only-slots-with-a-token: No slot is read that holds no token of the sequence.
            ? Which lanes of the last page have a token? What is the score of the others, and their weight?
            4 1 1 2 1 0 1
            4 1 1 2 1 0 5
        idle-lanes-count-nothing: Lanes from HEAD_DIM on add nothing to a score and are not written.
            ? A head of 3 numbers has 4 lanes. What stands in the fourth, after your loads?
            2 1 2 3 1 0 3
        each-sequence-by-itself: Each sequence has its own row of the table and its own length; one without a token \
                gives zeros.
            ? How far is it from one row of the table to the next?
            2 1 1 2 1 0 3 1
            2 1 1 2 1 0 0 2
        any-size-of-score: Scores of any size leave the output finite and right.
            ? What is subtracted from a score before its exponential is taken?
            2 1 1 2 5000 0 4
        offsets-have-64-bits: A block far behind in a large cache is found: its offset needs more than 32 bits.
            ? An id of the table is an int32, and so is what it is multiplied by. How large can their product be?
            4 1 1 8 1 1 8
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which of your loads and stores has no mask, or one for other lanes?
            4 1 2 3 1 0 3
        """
    )
    hints = (
        "The loop is lesson 10's: one page after the other, and a state of three. What does a program know at its "
        "start, and what must it look up for each page?",
        "Two of your own kernels stand in the loop: gather_page's address of a slot, with the row of the table in "
        "front, and page_scores' masked sum. What is left is online_update with exp2.",
        "block = tl.load(block_tables + seq * ____ + first // ____).to(tl.int64)\nused = first + slot < ____\n"
        "score = tl.where(used, tl.sum(query[None, :] * keys, 1) * scale, ____)\nnew_m = tl.maximum(m, ____)\n"
        "old = tl.exp2(____)\np = tl.exp2(____)\nl = l * ____ + tl.sum(p, 0)\n"
        "acc = acc * ____ + tl.sum(p[:, None] * values, 0)",
    )
    search = {
        "page": [1, 2, 4], "kv_heads": (1, 2), "group": (1, 2), "head_dim": (1, 4), "size": [1, 1, 5000],
        "far": [0], "lengths": [(0, 5), 2],
    }  # fmt: skip

    def sized(
        self, page: int, kv_heads: int, group: int, head_dim: int, size: float, far: int, lengths: list[int]
    ) -> None:
        """Sequences of so many tokens, one query per head each."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        page, kv_heads, group, head_dim, size, far, lengths = (args[name] for name in self.parameters())
        lengths = lengths or [1]
        k_cache, v_cache, tables = pages(lengths, page, kv_heads, head_dim)
        q = numbers(random.Random(1), len(lengths), kv_heads * group, head_dim) * size
        return {
            "q": q.float(), "k_cache": k_cache.float(), "v_cache": v_cache.float(), "block_tables": tables.int(),
            "lengths": torch.tensor(lengths, dtype=torch.int32),
            "skip": ADDRESSED // (page * kv_heads * head_dim) if far else 0,
        }  # fmt: skip

    def setup_line(self, **args: Any) -> str:
        values = self.decode(args)
        return (
            f"q {list(values['q'].shape)}, caches {list(values['k_cache'].shape)}, block_tables "
            f"{show(values['block_tables'], 90)}, lengths {show(values['lengths'], 60)}"
        )

    def launch(
        self, kernel: Any, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, skip: int
    ) -> Any:
        from kvkernels.inputs import softmax_scale

        (seqs, q_heads, head_dim), (page, kv_heads) = q.shape, k_cache.shape[1:3]
        out = untouched(*q.shape)
        with _far(skip, block_tables, k_cache, v_cache) as (block_tables, k_cache, v_cache):
            kernel[(seqs, q_heads)](
                out, q, k_cache, v_cache, block_tables, lengths, block_tables.shape[1], softmax_scale(None, head_dim),
                Q_HEADS=q_heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, HEAD_PAD=_power_of_2(head_dim), PAGE=page,
            )  # fmt: skip
        return out

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if args.get("far") else self.inside

    def oracle(self, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, skip: int) -> Any:
        return _dense((q, k_cache, v_cache, block_tables, lengths))

    def owned(self, values: Mapping[str, Any]) -> tuple[list[list[int]], list[int]]:
        return values["block_tables"].tolist(), values["lengths"].tolist()

    def sequence_of(self, program: tuple[int, int, int]) -> int:
        return program[0]

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        rule, *told = super().looked(launches, **args) or ("", "", "")
        if rule and len(args["lengths"]) > 1:
            rule = "each-sequence-by-itself"
        return (rule, told[0], told[1]) if rule else None

    def rule_for(self, **args: Any) -> str:
        if args["size"] > 1:
            return "any-size-of-score"
        return "each-sequence-by-itself" if len(args["lengths"]) > 1 else "over-all-its-tokens"

    def broken(self, rule: str, seen: Any, expected: Any, call: Any, **args: Any) -> str:
        values = [*self.decode(args).values()][:-1]
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("follows-the-table", {"block": lambda j, table: j}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: h % kv_heads}),
            ("neighbours-share-a-kv-head", {"head": lambda h, kv_heads, group: 0}),
        )
        for name, change in wrong if len(args["lengths"]) == 1 else ():
            try:
                told = _dense(values, **change)
            except IndexError:
                continue
            if _alike(seen, told) and not _alike(told, expected):
                return name
        return "neighbours-share-a-kv-head" if args["kv_heads"] > 1 and rule == "over-all-its-tokens" else rule

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Any, **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind == "nan" and rule == "over-all-its-tokens":
            idle = _power_of_2(args["head_dim"]) > args["head_dim"]
            return "idle-lanes-count-nothing" if idle else "only-slots-with-a-token", None
        return super().accuse(rule, mismatch, seen, expected, call, **args)

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        i, h = next((i, h) for i in range(len(seen)) for h in range(seen.shape[1])
                    if not _alike(seen[i, h], expected[i, h]))  # fmt: skip
        return (
            f"Program ({i}, {h}), whose sequence has {args['lengths'][i]} tokens in pages of {args['page']}, gives "
            f"{show(seen[i, h], 60)} where {show(expected[i, h], 60)} is due."
        )


@contextmanager
def _far(skip: int, table: Any, *caches: Any) -> Iterator[tuple[Any, ...]]:
    """Table and caches as they are, or, with `skip`, so many blocks further back in caches larger than memory."""
    from labkit.kernels.ledger import larger_than_memory

    with ExitStack() as stack:
        if skip:
            table = untouched(*table.shape, dtype=table.dtype).copy_(table + skip)
            caches = tuple(stack.enter_context(larger_than_memory(cache, skip)) for cache in caches)
        yield (table, *caches)


def _power_of_2(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _alike(seen: Any, expected: Any) -> bool:
    import torch

    return torch.allclose(seen.float(), expected.float(), rtol=1e-4, atol=1e-4, equal_nan=True)


def _dense(values: Any, **wrong: Any) -> Any:
    """Attention in float64, zeros where a sequence has no token."""
    import torch

    out = dense(*(value.double() if value.is_floating_point() else value for value in values), **wrong)
    return torch.nan_to_num(out).float()


def _scores(q: Any, k_cache: Any, block_table: Any, length: int, head: Any = None) -> Any:
    """Scores [q_heads, length], with keys from `head` (query head, KV heads, group) -> KV head."""
    kv_heads, group = k_cache.shape[2], len(q) // k_cache.shape[2]
    pages_needed = -(-length // k_cache.shape[1])
    keys = k_cache[block_table[:pages_needed].long()].flatten(0, 1)[:length].double()
    readers = [(head or (lambda h, kv_heads, group: h // group))(h, kv_heads, group) for h in range(len(q))]
    products = q.double()[:, None] * keys[:, readers].transpose(0, 1)
    return (products.sum(-1) * q.shape[1] ** -0.5).float()


class LargeCache(Specification):
    """A cache of any size, and one page after the other gathered out of it."""

    exercise = "gather_page"
    referee = CacheReferee
    prelude = GatherPage.prelude
    needs_triton = True
    op_seconds = 8.0
    rules = rules_from(
        """
        finds-the-block: Every block of the cache is found, however far behind it lies.
            new 4 2 2; gather 3
        """
    )
    search = {"num_blocks": (1, 40), "page": (1, 8), "head_dim": (1, 8), "block": (0, 39)}


class BreakTheOffsets(BreakIt):
    """A gather whose offsets have 32 bits."""

    exercise = "break_offsets"
    base = LargeCache()
    prelude = ""
    needs_triton = True
    reference = "kvkernels.first_steps:gather_page"
    renamed = {"Cache": "new"}
    example = '("Cache", 4, 16, 128)'
    largest = 2**27
    without = {"gather": "Nothing is gathered, so no address has been computed."}
    hints = (
        "Which numbers does this kernel multiply, and how many bits has each of them?",
        "An int32 ends at 2**31 - 1 = 2,147,483,647. The offset of a block is its id times PAGE times HEAD_DIM.",
        '[("Cache", 2**21, 16, 128), ("gather", ____)]',
    )

    def judge(self, judge: Any, namespace: Mapping[str, Any], stored: list[Op]) -> Any:
        try:
            import kvkernels._triton  # noqa: F401
        except ImportError as error:  # no Triton on this platform
            return self._error(str(error))
        return super().judge(judge, namespace, stored)

    def why_it_stands(self, ops: list[Op]) -> str:
        if any(op.name == "gather" for op in ops):
            per_block = ops[0].args["page"] * ops[0].args["head_dim"]
            most = (max(op.args["block"] for op in ops if op.name == "gather") + 1) * per_block - 1
            return f"The largest offset was {most:,}, and the kernel computed it rightly."
        return super().why_it_stands(ops)


LESSON = Lesson(
    key="11_first_kernel",
    title="Your first Triton kernel",
    part="II. Attention kernels",
    minutes=65,
    builds="Three kernels: a masked copy, a page found through its table, and the scores of every head over a page.",
    symptom="A server ran for weeks. Since it has a card with more memory it dies with an illegal memory access, and "
    "the line that the error names has nothing to do with it.",
    exercises=(
        Exercise("copy_masked", "A masked copy", 8, 2, 4, CopyMasked(), "kvkernels.first_steps:copy_masked"),
        Exercise("gather_page", "One page per program", 10, 3, 5, GatherPage(), "kvkernels.first_steps:gather_page"),
        Exercise("page_scores", "Scores of a page", 10, 3, 5, PageScores(), "kvkernels.first_steps:page_scores"),
        Exercise("break_offsets", "Break it: a larger card", 5, 3, 5, BreakTheOffsets(), kind="break"),
        Exercise("paged_decode", "The whole loop", 15, 4, 4, PagedDecode(),
                 "kvkernels.step1_paged:paged_decode_kernel", stretch=True),
    ),
    ending="I can write a kernel: which program does what, at which addresses, and which lanes are off. I can tell "
    "from a picture of its addresses whether it follows the block table, and I know why a wrong one may go unseen for "
    "weeks.",
)  # fmt: skip
