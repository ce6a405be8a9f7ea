"""Lesson 12, bytes are time: its rules, witnesses and hints. torch is imported only where tensors are made."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification, answer_of
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.bytes_are_time.referees import AddressReferee
from labkit.specs.first_kernel.cache import ADDRESSED, not_its_slots
from labkit.specs.first_kernel.referees import UNTOUCHED, KernelSpecification, untouched
from labkit.specs.paged_attention.referees import alike, dense, numbers, pages
from labkit.words import plural

KINDS = ("floor", "per_query_head", "per_kv_head")


class ExpectedBytes(FunctionSpecification):
    """Bytes of a decode step: needed, asked for per query head, asked for per KV head."""

    exercise = "expected_bytes"
    # A witness: tokens of each sequence, query heads, KV heads, head_dim, page, bytes of K and V, bytes of queries.
    rules = rules_from(
        """
        three-whole-numbers: Three whole numbers come back: floor, per_query_head, per_kv_head.
            [5] 1 1 8 4 2 2
        each-key-and-value-once: The floor reads a key and a value of every token for each KV head, once.
            ? One token, one KV head. Which two vectors of head_dim numbers does a step read of it?
            [5] 4 2 8 4 2 2
            [5] 1 1 8 4 2 2
            [4096] 32 8 128 16 2 2
        queries-in-and-outputs-out: Each query head of each sequence reads a query and writes an output, in all three.
            ? For 3 sequences and 4 query heads: how many vectors go in, and how many come out?
            [5] 4 2 8 4 2 2
            [1,1,1] 4 1 8 4 2 2
        a-page-id-for-each-started-page: Each started page of a sequence costs 4 bytes of the block table.
            ? 5 tokens in pages of 4: how many entries of the table are looked up?
            [5] 4 2 8 4 2 2
            [4] 1 1 8 4 2 2
            [0] 1 1 8 4 2 2
        each-query-head-for-itself: A program per query head reads keys, values and page ids for itself.
            ? Four query heads share one KV head, and each has a program. How often is one key asked for?
            [5] 4 2 8 4 2 2
            [4096] 32 8 128 16 2 2
        once-for-each-kv-head: A program per KV head reads its keys and values once, and the page ids for itself.
            ? How many programs look one sequence's pages up now, and how often does each of them?
            [5] 4 2 8 4 2 2
            [4096] 32 8 128 16 2 2
        every-sequence-counts: Sequences of different lengths each count with their own tokens and pages.
            ? Two sequences of 5 and 9 tokens in pages of 4: how many pages are that, and how many tokens?
            [5,9] 4 2 8 4 2 2
            [1,1,1] 2 1 8 4 2 2
            [0,3] 2 1 8 4 2 2
            [100,1,16,17] 9 3 64 16 2 2
        bytes-as-wide-as-given: Keys and values have kv_bytes a number, queries and outputs q_bytes; page ids neither.
            ? Which of the three parts of your sum change when kv_bytes goes from 2 to 1?
            [5] 4 2 8 4 1 2
            [5] 4 2 8 4 2 4
        """
    )
    hints = (
        "Take one sequence of 5 tokens, 4 query heads, 2 KV heads, pages of 4. What does each part of the step read, "
        "and who reads it?",
        "Each answer is a sum of three parts: keys and values, queries and outputs, page ids. Only how often the first "
        "and the last are read differs.",
        "token = 2 * head_dim * kv_bytes                   # of one KV head\nends = 2 * len(lengths) * ____\n"
        "ids = 4 * sum(-(-n // page) for n in lengths)\nfloor = kv_heads * sum(lengths) * token + ends + ids\n"
        "per_query_head = ____ * (sum(lengths) * token + ids) + ends\nper_kv_head = ____",
    )
    search = {
        "lengths": [(0, 40), 3], "q_heads": [4, 8, 12], "kv_heads": [1, 2, 4], "head_dim": [8, 64], "page": (1, 16),
        "kv_bytes": [1, 2, 4], "q_bytes": [2, 4],
    }  # fmt: skip
    examples = 300

    def oracle(
        self,
        lengths: list[int],
        q_heads: int,
        kv_heads: int,
        head_dim: int,
        page: int,
        kv_bytes: int,
        q_bytes: int,
    ) -> tuple[int, ...]:
        from labkit.attention.decode_bytes import expected_bytes

        return tuple(expected_bytes(lengths, q_heads, kv_heads, head_dim, page, kv_bytes, q_bytes))

    def rule_for(self, **args: Any) -> str:
        return "every-sequence-counts" if len(args["lengths"]) > 1 else "each-key-and-value-once"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        """The first of the parts of a sum that is wrong: each alone shows where the bytes of the others are 0."""
        if not isinstance(seen, list | tuple) or len(seen) != 3 or any(whole(x) is None for x in seen):
            return "three-whole-numbers", None
        if len(args["lengths"]) > 1 and not self.first_wrong(
            call, *([[n], *list(args.values())[1:]] for n in args["lengths"])
        ):
            return "every-sequence-counts", None
        given, due = self._parts(call, args), self._parts(self.oracle, args)
        if given is None or due is None:
            return rule, None
        kv, ends, ids = ([g == d for g, d in zip(a, b, strict=True)] for a, b in zip(given, due, strict=True))
        if self.first_wrong(call, [*list(args.values())[:5], 2, 2]) is None:
            return "bytes-as-wide-as-given", None
        wrong = (
            ("each-key-and-value-once", kv[0]),
            ("queries-in-and-outputs-out", all(ends)),
            ("a-page-id-for-each-started-page", ids[0]),
            ("each-query-head-for-itself", kv[1] and ids[1]),
            ("once-for-each-kv-head", kv[2] and ids[2]),
        )
        return next((name for name, right in wrong if not right), "bytes-as-wide-as-given"), None

    @staticmethod
    def _parts(call: Callable[..., Any], args: Mapping[str, Any]) -> tuple[tuple[int, ...], ...] | None:
        """What keys and values, queries and outputs, and page ids each add to the three answers."""
        shape = list(args.values())[:5]
        answers = [answer_of(call, *shape, *widths) for widths in ((1, 0), (0, 1), (0, 0))]
        if any(not isinstance(a, list | tuple) or len(a) != 3 or None in map(whole, a) for a in answers):
            return None
        kv, ends, ids = (tuple(map(int, answer)) for answer in answers)
        return (
            tuple(a - b for a, b in zip(kv, ids, strict=True)),
            tuple(a - b for a, b in zip(ends, ids, strict=True)),
            ids,
        )

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if rule == "three-whole-numbers":
            return f"Three numbers are due, (floor, per_query_head, per_kv_head); what comes back is {show(seen, 60)}."
        i = next(i for i, (a, b) in enumerate(zip(seen, expected, strict=True)) if a != b)
        lengths, page = args["lengths"], args["page"]
        started = sum(-(-n // page) for n in lengths)
        return (
            f"{KINDS[i]} is {expected[i]:,} bytes and yours is {seen[i]:,}: there are {plural(sum(lengths), 'token')} "
            f"in {plural(started, 'started page')}, {plural(args['q_heads'], 'query head')} and "
            f"{plural(args['kv_heads'], 'KV head')} of {args['head_dim']} numbers."
        )


class TileAddresses(KernelSpecification):
    """Where the rows of a sequence begin, tile by tile: each lane looks its own page up."""

    exercise = "tile_addresses"
    inside = "stays-inside-its-tensors"
    tolerance = 0.0
    # A witness: page, KV heads, head_dim, KV head, tile, tokens, and what is added to every block id.
    rules = rules_from(
        """
        stays-inside-its-tensors: No address outside of the block table and of out is followed.
            ? How many entries has the table of a sequence of 1 token, and how many lanes has a tile of 16?
            1 1 4 0 16 1 0
            4 1 4 0 8 9 0
        tiles-one-after-the-other: Program p writes the positions p * TILE to p * TILE + TILE - 1, as far as they are.
            ? Which positions are program 1's, for tiles of 4?
            4 1 4 0 4 12 0
            2 1 4 0 4 8 0
        each-lane-its-own-page: A lane's block is the entry position // PAGE of the table, whatever the tile.
            ? A tile of 8 positions over pages of 4: how many entries of the table does it need?
            4 1 4 0 8 8 0
            4 1 4 0 4 12 0
            3 1 4 0 4 11 0
            16 1 4 0 8 40 0
        slot-within-the-page: A position's slot is position % PAGE, also where pages are larger than tiles.
            ? Position 13 in pages of 8, tiles of 4: which lane is it, and which slot of its page?
            8 1 4 0 4 16 0
            3 1 4 0 4 11 0
            1 1 4 0 4 5 0
        rows-lie-as-in-the-cache: Row (block, slot, head) of a cache [num_blocks, PAGE, KV_HEADS, HEAD_DIM] begins at \
              ((block * PAGE + slot) * KV_HEADS + head) * HEAD_DIM.
            ? How many numbers lie between slot 0 and slot 1 of the same head?
            4 3 4 2 4 10 0
            4 2 8 1 8 8 0
        only-its-own-entries: No entry of the table is looked up beyond the pages of the sequence.
            ? Which lanes of the last tile have a position of the sequence?
            4 1 4 0 8 3 0
            1 1 4 0 2 3 0
        sixty-four-bits: Addresses beyond 2**31 - 1 are right: the product is taken in 64 bits.
            ? How large does a 32-bit whole number get, and at which of your products is it reached?
            16 8 128 5 16 20 1000000
            480 1 576 0 16 3 7766
        """
    )
    hints = (
        "A tile of 8 positions begins at position 8, and pages hold 4 tokens. Write down the page and the slot of each "
        "of its lanes.",
        "position = first of the tile + lane. Everything else is asked of the position: its page is position // PAGE, "
        "its slot position % PAGE.",
        "position = tl.program_id(0) * ____ + tl.arange(0, ____)\nused = position < ____\n"
        "block = tl.load(block_table + ____, mask=used, other=0).to(tl.int64)\n"
        "row = (block * PAGE + ____) * KV_HEADS + kv_head\ntl.store(out + position, row * HEAD_DIM, mask=____)",
    )
    search = {
        "page": (1, 9), "kv_heads": [3], "head_dim": [4], "kv_head": (0, 2), "tile": [2, 4, 8], "length": (1, 17),
        "far": [0],
    }  # fmt: skip

    def sized(self, page: int, kv_heads: int, head_dim: int, kv_head: int, tile: int, length: int, far: int) -> None:
        """Sizes of one launch."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        page, kv_heads, head_dim, kv_head, tile, length, far = (args[name] for name in self.parameters())
        own = list(range(-(-length // page)))
        random.Random(5).shuffle(own)
        table = torch.tensor([far + 2 * block + 1 for block in own] + [far + 40, far + 41], dtype=torch.int32)
        return {"block_table": table, "length": length, "kv_head": kv_head, "kv_heads": kv_heads,
                "head_dim": head_dim, "page": page, "tile": tile}  # fmt: skip

    def launch(self, kernel: Any, block_table: Any, length: int, kv_head: int, **shape: int) -> Any:
        import torch

        out = untouched(-(-length // shape["tile"]) * shape["tile"], dtype=torch.int64)
        kernel[(len(out) // shape["tile"],)](
            out, block_table, length, kv_head,
            KV_HEADS=shape["kv_heads"], HEAD_DIM=shape["head_dim"], PAGE=shape["page"], TILE=shape["tile"],
        )  # fmt: skip
        return out

    def oracle(self, block_table: Any, length: int, kv_head: int, **shape: int) -> Any:
        import torch

        out = untouched(-(-length // shape["tile"]) * shape["tile"], dtype=torch.int64)
        for position in range(length):
            block, slot = int(block_table[position // shape["page"]]), position % shape["page"]
            row = (block * shape["page"] + slot) * shape["kv_heads"] + kv_head
            out[position] = row * shape["head_dim"]
        return out

    def setup_line(self, **args: Any) -> str:
        table = show(self.decode(args)["block_table"][:-2], 60)
        return (
            f"{plural(args['length'], 'token')} in blocks {table}; pages of {args['page']}, tiles of {args['tile']}, "
            f"{plural(args['kv_heads'], 'KV head')} of {args['head_dim']} numbers; {UNTOUCHED}: not written"
        )

    def rule_for(self, **args: Any) -> str:
        return "sixty-four-bits" if args["far"] else "each-lane-its-own-page"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if args["far"]:
            return "sixty-four-bits"
        at = int((seen != expected).nonzero()[0])
        if at >= args["length"] or UNTOUCHED in (int(seen[at]), *seen[: args["length"]].tolist()):
            return "tiles-one-after-the-other"
        page, kv_heads, head_dim, own = (args[n] for n in ("page", "kv_heads", "head_dim", "kv_head"))
        rows = [divmod(int(x), head_dim) for x in seen[: args["length"]]]
        times = {int(x) / int(y) for x, y in zip(seen, expected[: args["length"]], strict=False)}
        if len(times) == 1 or any(rest or row % kv_heads != own for row, rest in rows):
            return "rows-lie-as-in-the-cache"
        token, block = rows[at][0] // kv_heads, self._block(at, args)
        if token // page == block or token - block * page in (at, at % args["tile"]):
            return "slot-within-the-page"
        return rule

    def _block(self, at: int, args: Mapping[str, Any]) -> int:
        return int(self.decode(args)["block_table"][at // args["page"]])

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        at = int((seen != expected).nonzero()[0])
        if at >= args["length"]:
            return f"out[{at}] is written, and the sequence has {plural(args['length'], 'token')}."
        if int(seen[at]) == UNTOUCHED:
            return (
                f"Nothing is written to out[{at}], which lane {at % args['tile']} of program {at // args['tile']} has."
            )
        return (
            f"Position {at} lies in slot {at % args['page']} of block {self._block(at, args)}, so its row begins at "
            f"{int(expected[at]):,}; yours begins at {int(seen[at]):,}."
        )

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        own = -(-args["length"] // args["page"])
        for access in (a for launch in launches for a in launch.accesses if a.argument == "block_table"):
            far = [int(x) for x in access.offsets if x >= own]
            if far:
                told = f"entry {far[0]} is looked up"
                cause = (
                    f"Program {access.program[0]} looks entry {far[0]} of the table up, and the sequence has "
                    f"{plural(own, 'page')}: what stands behind them is no block of its own."
                )
                return "only-its-own-entries", told, cause
        return None


class Addresses(Specification):
    """A cache of a given size, and the rows that a kernel finds in it."""

    exercise = "tile_addresses"
    referee = AddressReferee
    prelude = TileAddresses.prelude
    needs_torch = needs_triton = True
    rules = rules_from(
        """
        finds-the-row: The row of a slot begins where the cache has it.
            new 8000 480 1 576; read 7999 479 0
        """
    )
    search = {
        "num_blocks": (1, 8), "page": (1, 4), "kv_heads": (1, 4), "head_dim": (1, 4), "block": (0, 7), "slot": (0, 3),
        "kv_head": (0, 3),
    }  # fmt: skip


class BreakTheAddresses(BreakIt):
    """Addresses that are made 64 bits wide after the product."""

    exercise = "break_addresses"
    base = Addresses()
    prelude = "import torch"
    needs_torch = needs_triton = True
    renamed = {"Cache": "new"}
    example = '("Cache", 1000, 544, 2, 256)'
    largest = 4_000_000
    without = {"read": "Nothing is read, so no address has been computed."}
    hints = (
        "Follow the types: what does the block table hold, and which of the products below is still of that type?",
        "A whole number of 32 bits goes up to 2**31 - 1 = 2,147,483,647 and begins again at -2**31. The product counts "
        "numbers, not bytes.",
        '[("Cache", ____, 544, 2, 256), ("read", ____, 0, 0)]   # block * 544 * 2 * 256 must pass 2**31',
    )

    def why_it_stands(self, ops: list[Op]) -> str:
        reads = [op.args for op in ops if op.name == "read"]
        if not reads:
            return super().why_it_stands(ops)
        page, kv_heads, head_dim = (ops[0].args[name] for name in ("page", "kv_heads", "head_dim"))
        most = max(((at["block"] * page + at["slot"]) * kv_heads + at["kv_head"]) * head_dim for at in reads)
        return (
            f"The wrong kernel found every row. The furthest begins at number {most:,}, and 32 bits count up to "
            f"{2**31 - 1:,}."
        )

    def near_miss(self, ops: list[Op]) -> str:
        """Nothing: a block further behind needs a larger cache as well, and that is no change of one argument."""
        return ""


class GroupedDecode(KernelSpecification):
    """One program for a sequence and a KV head, whose query heads are the rows of one product."""

    exercise = "grouped_decode"
    tolerance = 1e-3
    examples = 3
    # A witness: page, KV heads, query heads for each, head_dim, size of the queries, whether the
    # tensors are float16, whether its blocks are far behind in a large cache, tokens of each sequence.
    rules = rules_from(
        """
        every-output-is-written: Each query head of each sequence gets its output, and nothing else is written.
            2 1 2 16 1 0 0 1 2
        stays-inside-its-tensors: No address outside of the tensors of the launch is followed.
            ? Which loads and stores have lanes that stand for nothing: rows beyond the group, positions beyond the end?
            4 1 2 16 1 0 0 5
        follows-the-table: The block of a position is the entry position // PAGE of its sequence's row of the table.
            ? What are the first three lines of your loop in `tile_addresses`?
            4 1 1 16 1 0 0 16
            2 1 1 16 1 0 0 7 5
        own-slots-only: No slot is read that holds no token of the sequence.
            ? Which mask hides the last slots of the last page, in the load and in the scores?
            4 1 1 16 1 0 0 5
            8 2 2 16 1 0 0 3
        over-all-its-tokens: The weights run over all tokens of a sequence, tile after tile, and sum to 1.
            ? What of the state is multiplied by which factor when a tile brings a larger maximum?
            16 1 1 16 1 0 0 40
            4 1 2 16 3 0 0 18
        rows-are-the-heads-of-the-group: Row r of program (seq, kv_head) is query head kv_head * GROUP + r.
            ? With 4 query heads and 2 KV heads, which query heads are the rows of program (0, 1)?
            4 2 2 16 1 0 0 6
            4 3 2 16 1 0 0 2 3
        weights-are-powers-of-2: Scores are multiplied by scale, which brings log2(e) along: a weight is 2 to its score.
            ? scale is log2(e) / sqrt(head_dim). What is 2 to the power of x * log2(e)?
            4 1 1 16 1 0 0 3
        each-sequence-by-itself: Sequences of different lengths are each attended over their own pages.
            ? Which of your addresses contain `seq`, and by what is it multiplied there?
            4 1 1 16 1 0 0 9 5
            4 1 2 16 1 0 0 7 5
        any-size-of-score: Scores of any size leave the output finite and right.
            ? What is subtracted from a score before the power of 2 is taken?
            4 1 1 16 3000 0 0 5
            16 1 1 16 3000 0 0 40
        an-empty-sequence-is-zeros: A sequence of no token gets zeros.
            ? What is l after no tile at all, and what is acc / l then?
            4 1 2 16 1 0 0 3 0
        keys-and-values-are-asked-for-once: Each key and value of a KV head is asked for by one lane of one program.
            ? How many bytes of K has the sequence, and how many did the ledger count?
            4 2 3 16 1 0 0 6
        one-dtype-for-a-product: Queries and caches in float16 are attended too: both sides of a product have one dtype.
            ? The weights are float32. Which dtype have the values, and which dtype has each side of the other product?
            4 1 2 16 1 1 0 1
        offsets-have-64-bits: A block far behind in a large cache is found: its offset needs more than 32 bits.
            ? What did you do in `tile_addresses` so that a product with a block id has 64 bits?
            4 1 2 16 1 0 1 6
        """
    )
    hints = (
        "A group of 2 query heads and a tile of 16 positions: which shape has the query matrix (rows of nothing "
        "included), which shape the keys, and which the scores?",
        "The state of lesson 10 with rows: m and l are [ROWS], acc is [ROWS, HEAD_PAD], and every tile of keys meets "
        "all rows in one product.",
        'score = tl.dot(query, tl.trans(____), input_precision="ieee") * scale\n'
        "score = tl.where(used[None, :], score, ____)\nnew = tl.maximum(m, tl.max(score, ____))\n"
        "keep = tl.exp2(m - ____)\np = tl.exp2(score - new[:, None])\nl = l * keep + tl.sum(p, 1)\n"
        'acc = acc * ____ + tl.dot(p.to(values.dtype), ____, input_precision="ieee")',
    )
    search = {
        "page": [2, 4, 16], "kv_heads": (1, 2), "group": (1, 3), "head_dim": [16], "size": [1], "half": [0],
        "far": [0], "lengths": [(1, 20), 2],
    }  # fmt: skip

    def sized(
        self, page: int, kv_heads: int, group: int, head_dim: int, size: float, half: int, far: int, lengths: list[int]
    ) -> None:
        """Sequences of so many tokens, one query each."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        page, kv_heads, group, head_dim, size, half, far, lengths = (args[name] for name in self.parameters())
        dtype = torch.float16 if half else torch.float32
        k, v, tables = pages(lengths, page, kv_heads, head_dim)
        q = numbers(random.Random(1), len(lengths), kv_heads * group, head_dim) * size
        return {
            "q": q.to(dtype), "k_cache": k.to(dtype), "v_cache": v.to(dtype), "block_tables": tables.int(),
            "lengths": torch.tensor(lengths, dtype=torch.int32),
            "skip": ADDRESSED // (page * kv_heads * head_dim) if far else 0,
        }  # fmt: skip

    def setup_line(self, **args: Any) -> str:
        lengths = ", ".join(map(str, args["lengths"]))
        return (
            f"{lengths} tokens in pages of {args['page']}; {plural(args['kv_heads'], 'KV head')}, "
            f"{plural(args['group'], 'query head')} each"
            + (", all in float16" if args["half"] else "")
            + (f"; {self.decode(args)['skip']:,} blocks lie before theirs" if args["far"] else "")
        )

    def launch(
        self, kernel: Any, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, skip: int
    ) -> Any:
        from kvkernels.inputs import Shape, softmax_scale
        from kvkernels.step3_grouped import constants
        from labkit.kernels.ledger import larger_than_memory

        (seqs, q_heads, head_dim), (blocks, page, kv_heads, _) = q.shape, k_cache.shape
        shape = Shape(seqs, q_heads, kv_heads, head_dim, blocks, page, block_tables.shape[1])
        out = untouched(*q.shape)
        with ExitStack() as far:
            if skip:
                block_tables = untouched(*block_tables.shape, dtype=block_tables.dtype).copy_(block_tables + skip)
                k_cache, v_cache = (far.enter_context(larger_than_memory(own, skip)) for own in (k_cache, v_cache))
            kernel[(seqs, kv_heads)](
                out, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks, softmax_scale(None, head_dim),
                **constants(shape, q.dtype, tile=16),
            )  # fmt: skip
        return out

    def oracle(self, q: Any, k_cache: Any, v_cache: Any, block_tables: Any, lengths: Any, skip: int) -> Any:
        return dense(q.double(), k_cache.double(), v_cache.double(), block_tables, lengths).float()

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if args.get("far") else self.inside

    def rule_for(self, **args: Any) -> str:
        if args["half"] or args["far"]:
            return "one-dtype-for-a-product" if args["half"] else "offsets-have-64-bits"
        if args["size"] > 100:
            return "any-size-of-score"
        if 0 in args["lengths"]:
            return "an-empty-sequence-is-zeros"
        return "each-sequence-by-itself" if len(args["lengths"]) > 1 else "over-all-its-tokens"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if bool((seen == UNTOUCHED).any()):
            return "every-output-is-written"
        *values, _ = self.decode(args).values()
        for name, change in (
            ("follows-the-table", {"block": lambda j, table: j}),
            ("rows-are-the-heads-of-the-group", {"head": lambda h, kv_heads, group: h % kv_heads}),
            ("rows-are-the-heads-of-the-group", {"head": lambda h, kv_heads, group: 0}),
            ("weights-are-powers-of-2", {"scale": lambda d: d**-0.5 * math.log2(math.e)}),
            ("weights-are-powers-of-2", {"scale": lambda d: math.log(2)}),
        ):
            wrong = dense(*values, **change)
            if alike(seen, wrong) and not alike(wrong, expected) and not bool(wrong.isnan().any()):
                return name
        if rule == "over-all-its-tokens" and bool(seen.isnan().any()):
            return "own-slots-only"
        return rule

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        i, h = next(
            (i, h) for i in range(len(seen)) for h in range(seen.shape[1]) if not alike(seen[i, h], expected[i, h])
        )
        return (
            f"Sequence {i} of {plural(args['lengths'][i], 'token')}, query head {h}, which reads KV head "
            f"{h // args['group']}: the output should begin {show(expected[i, h][:3], 50)} and yours begins "
            f"{show(seen[i, h][:3], 50)}."
        )

    def nan(self, seen: Any, **args: Any) -> str:
        return (
            "NaN comes out, and NaN lies in every slot that holds no token of these sequences: one of them was read, "
            "or -inf - (-inf) or 0 / 0 was computed."
        )

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        due = sum(args["lengths"]) * args["kv_heads"] * args["head_dim"] * (2 if args["half"] else 4)
        values = self.decode(args)
        caches = {name: values[name] for name in ("k_cache", "v_cache")}
        tables, lengths = values["block_tables"].tolist(), values["lengths"].tolist()
        stray = (
            None if args["far"] else not_its_slots(launches[-1], caches, tables, lengths, lambda program: program[0])
        )
        if stray and stray[0] and len(lengths) == 1:  # in a block of the sequence, behind its tokens
            return "own-slots-only", *stray[1:]
        for name in ("k_cache", "v_cache"):
            asked = sum(launch.of(name).read for launch in launches)
            if name in launches[0].arguments and asked != due:
                told = f"{asked:,} bytes of {name} are asked for"
                cause = f"The sequences have {due:,} bytes in {name}, and {asked:,} are asked for."
                return "keys-and-values-are-asked-for-once", told, cause
        return None


LESSON = Lesson(
    key="12_bytes_are_time",
    title="Bytes are time",
    part="II. Attention kernels",
    minutes=65,
    builds="A prediction of what a decode reads, held against the count, and tiles that do not care about pages.",
    symptom="The GPU is called busy all day, and its arithmetic units have next to nothing to do.",
    exercises=(
        Exercise("expected_bytes", "Bytes of a decode step", 8, 2, 5, ExpectedBytes(),
                 "labkit.attention.decode_bytes:expected_bytes"),
        Exercise("tile_addresses", "A tile apart from the page", 12, 3, 5, TileAddresses(),
                 "kvkernels.step2_tiled:tile_addresses"),
        Exercise("break_addresses", "Break it: wide too late", 5, 3, 4, BreakTheAddresses(), kind="break"),
        Exercise("grouped_decode", "A group in one program", 15, 4, 4, GroupedDecode(),
                 "kvkernels.step3_grouped:grouped_decode_kernel", stretch=True),
    ),
    ending="I can say how many bytes a decode step must read, count what a kernel asks for, and place it under the "
    "roof of a card. I know why a tile need not be a page, and I read in the compiled code whether loads are wide.",
)  # fmt: skip
