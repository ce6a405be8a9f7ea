"""Lesson 14, prefill and chunks: its rules, witnesses and hints.

A witness gives sizes, and `decode` makes the tensors of them. torch is imported only where tensors are made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import show
from labkit.grading.functions import answer_of
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.first_kernel.referees import UNTOUCHED, KernelSpecification, untouched
from labkit.specs.paged_attention.referees import PartsSpecification, SizedSpecification, alike
from labkit.specs.prefill_and_chunks.referees import (
    SAME_ROWS,
    ChunkReferee,
    ChunkSpecification,
    PromptReferee,
    WriteReferee,
)
from labkit.words import plural


class WriteKV(PartsSpecification, KernelSpecification):
    """New keys and values to their slots, a token per program."""

    exercise = "write_kv"
    parts = ("k_cache", "v_cache")
    prelude = KernelSpecification.prelude + "\nfrom kvkernels.kv_write import quantize"
    referee = WriteReferee
    # A witness: KV heads, head_dim, page size, bits of a page's numbers, slots.
    rules = rules_from(
        """
        each-token-to-its-slot: The K and V of token i lie in slot slots[i], wherever that is.
            1 2 2 32 3
            2 2 4 32 5 0 10 7
            1 1 1 32 2 1 0
        keys-and-values: What comes from k lies in k_cache, and what comes from v in v_cache.
            ? Which of the two caches does each of your stores write to, and where were its numbers loaded from?
            1 2 2 32 1
        whole-rows: A slot takes all heads of a token, head after head: kv_heads * head_dim numbers.
            ? How far is it from a token to the next, in numbers, and from a head to the next?
            2 3 2 32 1 -1
            2 2 2 32 1
            4 2 1 32 2 0
            2 4 2 32 3 1
        padding-is-left-out: A token whose slot is below 0 is not written anywhere; slot 0 is a slot like all others.
            ? What does the address of slot -1 come to, for a row of 8 numbers?
            1 2 2 32 1 -1
            2 2 2 32 -1 -1 0
        nothing-else-is-written: Every slot that nobody named stays as it is.
            ? tl.arange wants a power of two. Which of its lanes stand for no number of yours, with 3 heads of 3?
            3 2 2 32 1
            3 4 4 32 2 9
            1 3 2 32 0 2
        eight-bits-are-scaled: Into pages of 8 bits go the scaled numbers, not those that came.
            ? Which names do the given lines change, and do your stores take them before or after?
            2 2 2 8 1 2
        offsets-have-64-bits: A slot far behind in a large cache is found: its offset needs more than 32 bits.
            ? Which dtype has a slot as it is loaded, and which one has its product with the numbers of a row?
            2 2 4 32 536870921
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which lanes of the last token would read past the end of k?
            1 3 1 32 0
            3 1 2 32 3 1
        """
    )
    hints = (
        "Take token 2 of four, 2 heads of 4 numbers, and slot 5. At which number does its row begin in k, and "
        "at which in k_cache?",
        "A row is KV_HEADS * HEAD_DIM numbers, in k and in a slot alike; number d of head h stands "
        "h * HEAD_DIM + d into it.",
        "within = head[:, None] * ____ + d[None, :]\n"
        "there = (head < ____)[:, None] & (d < ____)[None, :]\n"
        "key = tl.load(k + token * ____ + within, mask=there)\n"
        "tl.store(k_cache + slot * ____ + within, key, mask=there)",
    )
    search = {
        "kv_heads": (1, 3), "head_dim": (1, 4), "page": (1, 4), "bits": [32, 32, 8], "tokens": (1, 5),
        "seed": (0, 10_000),
    }  # fmt: skip
    examples = 6
    held = 64
    """How many blocks of a cache have memory, the last ones."""

    def rule_outside(self, **args: Any) -> str:
        return "offsets-have-64-bits" if max(args.get("slots", [0]), default=0) >= 2**29 else self.inside

    def sized(self, kv_heads: int, head_dim: int, page: int, bits: int, slots: list[int]) -> None:
        """New tokens with these slots."""

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        tokens = sizes.pop("tokens")
        slots = draw.sample(range(3 * sizes["page"] + tokens), tokens)
        return {**sizes, "slots": [-1 if draw.random() < 0.2 else slot for slot in slots]}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        kv_heads, head_dim, page, bits, slots = (args[name] for name in self.parameters())
        draw = random.Random(5)
        k, v = (
            torch.tensor([draw.uniform(-2, 2) for _ in range(len(slots) * kv_heads * head_dim)])
            .view(len(slots), kv_heads, head_dim)
            .add(9 * number)
            for number in (0, 1)
        )
        scales = [torch.tensor([0.5 + i + h / 8 for h in range(kv_heads)]) if bits == 8 else None for i in (0, 1)]
        return {
            "k": k,
            "v": v,
            "slots": torch.tensor(slots),
            "k_scale": scales[0],
            "v_scale": scales[1],
            "num_blocks": max(0, *slots, 1) // page + 2,
            "page": page,
        }

    def launch(self, kernel: Any, k: Any, v: Any, slots: Any, k_scale: Any, v_scale: Any, **shape: int) -> Any:
        from kvkernels.inputs import power_of_2  # the launcher refuses heads as small as these
        from labkit.kernels.ledger import larger_than_memory

        caches, (kv_heads, head_dim) = self._caches(k, k_scale, **shape), k.shape[1:]
        skip = shape["num_blocks"] - len(caches[0])
        with ExitStack() as stack:
            whole = [stack.enter_context(larger_than_memory(c, skip)) for c in caches] if skip else caches
            kernel[(len(slots),)](
                *whole, k, v, slots, k if k_scale is None else k_scale, v if v_scale is None else v_scale,
                KV_HEADS=kv_heads, HEADS_PAD=power_of_2(kv_heads), HEAD_DIM=head_dim, HEAD_PAD=power_of_2(head_dim),
                LIMIT=0.0 if k_scale is None else 127.0, ROUND=k_scale is not None,
            )  # fmt: skip
        return caches

    def oracle(self, k: Any, v: Any, slots: Any, k_scale: Any, v_scale: Any, **shape: int) -> Any:
        caches = self._caches(k, k_scale, **shape)
        for cache, new, scale in zip(caches, (k, v), (k_scale, v_scale), strict=True):
            if scale is not None:
                new = (new / scale[:, None] + 0.5).floor().clamp(-127, 127)
            skipped = (shape["num_blocks"] - len(cache)) * shape["page"]
            cache.flatten(0, 1)[slots[slots >= 0] - skipped] = new[slots >= 0].to(cache.dtype)
        return caches

    def _caches(self, k: Any, scale: Any, num_blocks: int, page: int) -> tuple[Any, Any]:
        import torch

        dtype = k.dtype if scale is None else torch.int8
        num_blocks = min(num_blocks, self.held)
        return untouched(num_blocks, page, *k.shape[1:], dtype=dtype), untouched(
            num_blocks, page, *k.shape[1:], dtype=dtype
        )

    def label(self, args: Mapping[str, Any]) -> str:
        return f"write_kv[({len(args['slots'])},)](k_cache, v_cache, k, v, slots, ...)"

    def setup_line(self, **args: Any) -> str:
        given = self.decode(args)
        told = f", {args['bits']} bits" if args["bits"] == 8 else ""
        return (
            f"k and v of shape {tuple(given['k'].shape)}, slots = {args['slots']}, "
            f"{plural(given['num_blocks'], 'page')} of {args['page']}{told}"
        )

    def rule_for(self, **args: Any) -> str:
        if min(args["slots"]) < 0:
            return "padding-is-left-out"
        return "eight-bits-are-scaled" if args["bits"] == 8 else "each-token-to-its-slot"

    def broken_part(self, part: str, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        crossed = alike(seen[0], expected[1]) or alike(seen[1], expected[0])
        if crossed or (alike(seen[0], seen[1]) and (seen[0] != UNTOUCHED).any()):
            return "keys-and-values"
        i = self.parts.index(part)
        due, found = expected[i].flatten(0, 1), seen[i].flatten(0, 1)
        empty = (due == UNTOUCHED).flatten(1).all(dim=1)
        wrong = [slot for slot in range(len(due)) if not empty[slot] and not alike(found[slot], due[slot])]
        if wrong == [0] and (found[0] == UNTOUCHED).all():
            return "padding-is-left-out"
        if not wrong:
            strays = [found[slot] for slot in range(len(due)) if not alike(found[slot], due[slot])]
            whole = any((row != UNTOUCHED).all() and not row.isnan().any() for row in strays)  # a token, not some lanes
            return "padding-is-left-out" if min(args["slots"]) < 0 and whole else "nothing-else-is-written"
        if args["bits"] == 8:
            return "eight-bits-are-scaled"
        some = any((found[slot] == due[slot]).any() for slot in wrong)
        return "whole-rows" if some and args["kv_heads"] * args["head_dim"] > 1 else rule

    def nan(self, seen: Any, **args: Any) -> str:
        return "NaN lies in the cache: a lane that is off, and whose load brought in nothing, was stored all the same."

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        i = self.parts.index(self.wrong_part(seen, expected) or "k_cache")
        due, found = expected[i].flatten(0, 1), seen[i].flatten(0, 1)
        at = next(s for s in range(len(due)) if not alike(found[s], due[s]))
        slot = at + self.decode(args)["num_blocks"] * args["page"] - len(due)
        whose = f"token {args['slots'].index(slot)}" if slot in args["slots"] else "no token"
        due_words = "stay as it was" if whose == "no token" else f"hold {show(due[at], 50)}"
        found_words = "was not written" if (found[at] == UNTOUCHED).all() else f"holds {show(found[at], 50)}"
        if alike(found[at], expected[1 - i].flatten(0, 1)[at]) and whose != "no token":
            found_words += f", which came from {'vk'[i]}"
        return f"Slot {slot} of {self.parts[i]} belongs to {whose} and should {due_words}; it {found_words}."


class CausalWindowMask(SizedSpecification):
    """Which keys each query of a chunk sees."""

    exercise = "causal_window_mask"
    # A witness: position of the chunk's first token, tokens of the chunk, window or null.
    rules = rules_from(
        """
        a-row-per-query: A bool tensor is due, True for what is seen: a row for each new token, a column for each key.
            0 1 null
            2 3 null
        nothing-later: No token sees a key that comes after it.
            ? For the token at position p, which keys have come by then?
            0 3 null
            0 2 null
            2 2 5
        begins-at-its-position: Row i is the token at position start + i, and sees what came before the chunk too.
            ? Which row of the whole prompt's mask is the first row of a chunk that begins at position 4?
            1 1 null
            4 2 null
            4 3 null
            200 2 null
        sees-itself: Every token sees its own key.
            ? Is a token among those that it sees?
            0 2 1
            3 2 1
        the-window-counts-itself: With a window each token sees that many keys, itself and the last before it.
            ? A token at position 7 with a window of 3: which three keys are they?
            0 4 2
            3 3 2
            5 2 3
            2 4 100
        """
    )
    hints = (
        "A chunk begins at position 4. Which keys does its second token see, and how many columns has the mask?",
        "The query of row i stands at position start + i; it sees key j where j <= start + i, and with a window where "
        "j > start + i - window too.",
        "query = torch.arange(____, ____)[:, None]   # positions, one a row\nkey = torch.arange(____)[None, :]\n"
        "seen = key ____ query\nreturn seen if window is None else seen & (key > ____)",
    )
    search = {"start": (0, 7), "n": (1, 6), "window": [None, None, 1, 2, 3, 6]}

    def sized(self, start: int, n: int, window: int | None) -> None:
        """A chunk and a window."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return dict(args)

    def label(self, args: Mapping[str, Any]) -> str:
        return f"causal_window_mask({', '.join(f'{name}={value}' for name, value in args.items())})"

    def setup_line(self, **args: Any) -> str:
        return ""

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        found = super().compare(seen, expected)
        if getattr(seen, "dtype", None) == expected.dtype or (found and found.kind in ("wrong-shape", "nan")):
            return found
        what = f"a tensor of {seen.dtype}" if hasattr(seen, "dtype") else show(seen, 40)
        return Mismatch("wrong-type", f"A tensor of bool is due, True where a key is seen; what comes back is {what}.")

    def rule_for(self, **args: Any) -> str:
        if args["window"]:
            return "the-window-counts-itself"
        return "begins-at-its-position" if args["start"] else "nothing-later"

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind != "rule":
            return self.rules[0].name, None
        start, n = args["start"], args["n"]
        if answer := self._inverted(call):
            return self.rules[0].name, answer
        extra, missing = seen & ~expected, expected & ~seen
        own = seen.diagonal(start)[:n]
        if not extra.any() and not own.any() and int(missing.sum()) == n:
            return "sees-itself", None
        if start and not args["window"] and not extra.any():
            return "begins-at-its-position", None
        if args["window"] and extra.any() and not extra.triu(start + 1).any():
            return "the-window-counts-itself", None
        if extra.triu(start + 1).any():
            return "nothing-later", None
        if not own.all():
            return "sees-itself", None
        return ("the-window-counts-itself" if missing.any() and args["window"] else rule), None

    def _inverted(self, call: Callable[..., Any]) -> dict[str, Any] | None:
        """Sizes that show it, where True and False have changed places."""
        args = {"start": 2, "n": 3, "window": None}
        answer, right = answer_of(call, *args.values()), self.right(args)
        return args if getattr(answer, "shape", None) == right.shape and (answer != right).all() else None

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if (seen != expected).all() and seen.numel() > 1:
            return "Each cell is the other way round: True is due where the query sees the key, and False elsewhere."
        row, key = (seen != expected).nonzero()[0].tolist()
        at = args["start"] + row
        does, due = ("sees", "must not") if seen[row, key] else ("does not see", "must")
        width = f" with a window of {args['window']}" if args["window"] else ""
        return f"Row {row} is the token at position {at}{width}: it {does} key {key}, and {due}."


class ChunkPrefill(ChunkSpecification):
    """A chunk of each sequence over its pages, in PyTorch."""

    exercise = "chunk_prefill"
    prelude = ChunkSpecification.prelude + "\n\nfrom labkit.mine import causal_window_mask, gather_kv"
    referee = ChunkReferee
    rules = rules_from(
        """
        a-row-for-each-query: q of shape [tokens, q_heads, head_dim] gives an output of the same shape.
            2 1 2 2 null [2,0] [1,0]
        follows-the-table: Page j of a sequence is the block that entry j of its table names.
            ? Which number indexes the cache: the page's, or the table's entry?
            2 1 1 2 null [[2,2]]
            2 1 1 2 null [2,0] [2,0]
        own-slots-only: No slot is read that holds no token of the sequence, and no entry of the table beyond its pages.
            ? How many tokens has the sequence, the new ones included, and how many of its last page's slots are that?
            4 1 1 2 null [[1,0]]
            4 1 1 2 null [[3,2]]
            2 1 1 2 null [[2,2]]
        nothing-later: No token sees one that comes after it, in its own chunk or anywhere.
            ? Where the scores of a chunk are made, all of its keys are there. Which of them has a token not seen yet?
            4 1 1 2 null [[3,0]]
            2 1 1 2 null [[4,0]]
        any-chunks-the-same-rows: However a prompt is cut, each of its tokens gets the same row, within 1e-6.
            ? At which position does the first token of this chunk stand, and by which two numbers do you know it?
            4 1 1 2 null [[2,3]]
            4 1 1 2 null [[1,4]]
            2 1 1 2 null [[3,5]]
        each-sequence-its-own-rows: Rows starts[i] to starts[i + 1] - 1 of q are sequence i's, over its own pages.
            ? Which rows of q and of the output are those of sequence 1, where starts is [0, 2, 5]?
            4 1 1 2 null [2,0] [3,1]
            2 1 1 2 null [1,4] [0,3] [3,0]
            4 1 2 2 null [2,2] [2,2]
        scaled-by-root-d: Scores are divided by the square root of head_dim.
            ? Which length stands under the root: the head's, or all heads' together?
            4 1 1 4 null [[2,1]]
            4 2 1 3 null [[2,1]]
        neighbours-share-a-kv-head: Query head h reads KV head h // group, where group = q_heads // kv_heads.
            ? With 4 query heads and 2 KV heads, which two query heads read KV head 0?
            4 2 2 2 null [[2,1]]
            2 3 2 2 null [[2,2]]
        the-window-is-kept: With a window each token sees that many keys, itself among them, in any chunk.
            ? Does the window go with the chunk, or with each of its tokens?
            4 1 1 2 2 [[4,0]]
            4 1 1 2 3 [[3,4]]
        same-dtype-as-given: The answer has the dtype of the tensors that were passed in.
            ? Which dtype have the tensors that you make yourself, and which have those that came in?
            2 1 1 2 null [[2,1]]
        the-tensors-given-stay: The tensors that were passed in are left as they were.
            2 1 2 2 null [[2,1]]
        """
    )
    hints = (
        "A sequence has 7 tokens, 3 of them new. Which keys does its first new token see, and which rows "
        "of q are its own?",
        "For each sequence: its rows are starts[i] to starts[i + 1], its chunk begins at length - new, and the mask of "
        "that chunk hides what each row must not see before softmax is taken.",
        "rows = slice(int(starts[i]), int(starts[i + 1]))\nk, v = gather_kv(k_cache, v_cache, ____, ____)\n"
        "scores = torch.einsum('qhd,khd->hqk', q[rows], k) / ____\n"
        "seen = causal_window_mask(____, ____, window)\n"
        "weights = scores.masked_fill(____, -math.inf).softmax(dim=2)",
    )
    search = {
        "block_size": (1, 4), "kv_heads": (1, 2), "group": (1, 2), "head_dim": (1, 3), "window": [None, None, 1, 2, 4],
        "seqs": (1, 3), "seed": (0, 10_000),
    }  # fmt: skip

    def rule_if_raised(self, rule: str, **args: Any) -> str:
        return "own-slots-only" if rule == SAME_ROWS else rule


class Prefill(ChunkSpecification, KernelSpecification):
    """The same in one kernel: a few tokens with all heads of a group per program."""

    exercise = "prefill"
    prelude = KernelSpecification.prelude + "\nfrom kvkernels.step6_prefill import LOG2E, sequence_of"
    near = 1e-4
    rules = rules_from(
        """
        writes-each-row: Every row of the output is written, for each token and each query head.
            4 1 1 16 null [[1,0]]
            4 1 2 16 null [[9,0]]
        own-slots-only: No slot is read that holds no token of the sequence.
            ? Up to which position are there keys for the tokens of this program?
            4 1 1 16 null [[2,1]]
        nothing-later: No token sees one that comes after it.
            ? A tile holds keys that only some of the program's rows see. What becomes of the scores of the others?
            4 1 1 16 null [[5,0]]
        any-chunks-the-same-rows: However a prompt is cut, each of its tokens gets the same row, within 1e-4.
            ? How many tokens of the sequence came before this chunk, and where do you add them?
            4 1 1 16 null [[3,4]]
            4 1 1 16 null [[9,20]]
        each-sequence-its-own-rows: Rows starts[i] to starts[i + 1] - 1 of q are sequence i's, over its own pages.
            ? Which program of its sequence is this one, and which of the sequence's tokens does it begin with?
            4 1 1 16 null [3,1] [2,0]
            4 1 8 16 null [[3,2]]
        neighbours-share-a-kv-head: Row r of a program is token r // GROUP and query head r % GROUP of this KV head.
            ? With a group of 2, which token and which head is row 3 of a program?
            4 2 2 16 null [[2,1]]
        the-window-is-kept: With a window each token sees that many keys, itself among them.
            ? Which keys are too far back for a token at position p, and does that go into the mask?
            4 1 1 16 2 [[6,3]]
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            ? Which entries of the table name a page, and which lanes of a tile may look one up?
            4 1 1 16 null [[4,0]]
        """
    )
    hints = (
        "A program with 16 rows and a group of 2 takes 8 tokens. Which token is its row 5, which query head, and which "
        "position has that token where 20 tokens came before the chunk?",
        "Row r sees the keys up to past + token: a tile is loaded where a position is below `stop`, and a score counts "
        "where its key's position is not beyond what the row sees.",
        "token = first_token + r // ____\nhead = kv_head * GROUP + r % ____\n"
        "block = tl.load(table + position // ____, mask=used, other=0).to(tl.int64)\n"
        "row = (block * PAGE + position % ____) * KV_HEADS + ____\n"
        "visible = position[None, :] ____ sees_to[:, None]",
    )
    search = {
        "block_size": [1, 4], "kv_heads": [1], "group": (1, 2), "head_dim": [16], "window": [None, 2],
        "seqs": (1, 2), "seed": (0, 10_000),
    }  # fmt: skip
    examples = 4

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        given = super().decode(args)
        for name in ("q", "k_cache", "v_cache"):
            given[name] = given[name].float()
        for name in ("block_tables", "lengths", "starts"):
            given[name] = given[name].int()
        return given

    def oracle(self, **inputs: Any) -> Any:
        from labkit.attention.chunked import chunk_prefill

        return chunk_prefill(**inputs)

    def launch(self, kernel: Any, **inputs: Any) -> Any:
        import kvkernels

        return kvkernels.prefill(**inputs, rows=16, tile=16, validate=False, kernel=Unwritten(kernel))

    def label(self, args: Mapping[str, Any]) -> str:
        return "prefill[grid](out, q, k_cache, v_cache, ...)"

    def broken(self, rule: str, seen: Any, expected: Any, call: Callable[..., Any], **args: Any) -> str:
        if (seen == UNTOUCHED).any():
            return self.rules[0].name
        return super().broken(rule, seen, expected, call, **args)

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if rule == self.rules[0].name:
            row, head, _ = (seen == UNTOUCHED).nonzero()[0].tolist()
            return f"Nobody has written row {row}, query head {head} of the output."
        return super().cause(rule, seen, expected, **args)


class Unwritten:
    """A kernel whose first tensor is one that nobody has written, with nobody's memory around it."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(out: Any, *args: Any, **named: Any) -> None:
            alone = untouched(*out.shape)
            self.kernel[grid](alone, *args, **named)
            out.copy_(alone)

        return launch


class Prompt(Specification):
    """Prompts that come in chunks."""

    exercise = "chunk_prefill"
    referee = PromptReferee
    prelude = ChunkPrefill.prelude + "\nfrom torch.nn.functional import scaled_dot_product_attention"
    needs_torch = True
    rules = rules_from(
        """
        any-chunks-the-same-rows: A token sees itself and all that came before it, in whichever chunk it comes.
            chunk A 2; chunk A 3
        """
    )
    search = {"n": (1, 9), "seq": "ABCD"}


class BreakTheCorner(BreakIt):
    """A mask that begins in the upper left corner, also for a chunk that does not."""

    exercise = "break_corner"
    base = Prompt()
    prelude = "import torch"
    needs_torch = True
    reference = "labkit.attention.chunked:chunk_prefill"
    example = '("chunk", "A", 4)'
    hints = (
        "Three kinds of calls come to this code: a prompt at once, one token of a decode, and what else? Which of them "
        "did its tests see?",
        "is_causal lets row i see the keys 0 to i. That is right where row i is token i, and for a chunk it is not.",
        '[("chunk", "A", ____), ("chunk", "A", ____)]   # the second one of more than one token',
    )

    def why_it_stands(self, ops: list[Op]) -> str:
        seqs = [op.args["seq"] for op in ops]
        first = " Each chunk is the first of its sequence: a prompt at once, as in its tests."
        return super().why_it_stands(ops) + (first if len(set(seqs)) == len(seqs) else "")


LESSON = Lesson(
    key="14_prefill_and_chunks",
    title="Prefill and chunks",
    part="II. Attention kernels",
    minutes=70,
    builds="Attention of many new tokens at once over pages, whole prompts or pieces of them, and the kernel that "
    "writes their keys and values.",
    symptom="Since the server computes long prompts in pieces, its answers to them are fluent and miss the point; "
    "short prompts are answered as before.",
    exercises=(
        Exercise("write_kv", "To their slots", 10, 3, 4, WriteKV(), "kvkernels.kv_write:write_kv_kernel"),
        Exercise("causal_window_mask", "Who sees whom", 8, 2, 5, CausalWindowMask(),
                 "labkit.attention.chunked:causal_window_mask"),
        Exercise("chunk_prefill", "A chunk over pages", 12, 4, 5, ChunkPrefill(),
                 "labkit.attention.chunked:chunk_prefill"),
        Exercise("break_corner", "Break it: the wrong corner", 5, 3, 4, BreakTheCorner(), kind="break"),
        Exercise("prefill", "A chunk in one kernel", 15, 4, 3, Prefill(), "kvkernels.step6_prefill:prefill_kernel",
                 stretch=True),
    ),
    ending="I can say why many tokens at once cost little more than one, and why a chunk must know where it begins. I "
    "write new keys and values to their slots, and I can cut a prompt anywhere and get the same rows.",
)  # fmt: skip
