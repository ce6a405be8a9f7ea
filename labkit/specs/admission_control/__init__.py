"""Lesson 17, admission control: its rules, witnesses and hints."""

from __future__ import annotations

import math
import random
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.admission_control.referees import StuckReferee
from labkit.words import choose, plural


def _up(tokens: int, size: int) -> int:
    return -(-tokens // size)


class CanEverFit(FunctionSpecification):
    """Whether a request could be served by an empty memory."""

    exercise = "can_ever_fit"
    rules = rules_from(
        """
        too-long-is-refused: A request that needs more blocks than there are, at its longest, can never be served.
            ? An empty memory of 4 blocks, and a request that needs 5 in its last step. What does your function \
              compare with what?
            400 1 20 16
            2000000 5 65536 16
            4 1 1 1
        the-answer-takes-room-too: A prompt that fits is not enough: the tokens that are generated need slots as well.
            ? How many tokens are in memory just before the last one of the answer comes out?
            60 40 5 16
            80 20 5 16
            80 17 5 16
            1 400 20 16
            900000 200000 65536 16
        a-started-block-counts: A block that holds one token of it is needed whole.
            ? 81 slots of 16 tokens per block: how many blocks is that, and what does // answer?
            70 13 5 16
            80 10 5 16
            16 2 1 16
            5 1 1 4
        what-fits-is-let-in: A request for which an empty memory has room to spare is not refused.
            ? How many blocks does your function count for this request, and how many are there? Which of them \
              did it count without need?
            20 20 5 16
            1 1 9 16
            90000 20000 65536 16
        exactly-enough-is-enough: A request that takes the last block there is fits.
            ? The request needs just as many blocks as there are. Is one of them left over, and does anybody need \
              it?
            50 16 5 16
            50 30 5 16
            1000000 48570 65536 16
        the-last-token-needs-no-slot: The token that is generated last is never computed, so no slot is needed for it.
            ? A prompt of one token and an answer of one: what is computed, and what of it is in memory when it ends?
            80 1 5 16
            50 31 5 16
            1 1 1 1
            1 320 20 16
            70 11 5 16
        """
    )
    hints = (
        "A prompt of 10 tokens and an answer of 3: which tokens are computed, in which steps, and which is not?",
        "At its longest a request has prompt_tokens + max_tokens - 1 tokens in memory. They stand in blocks of "
        "block_size, and the last of them may be part filled.",
        "slots = prompt_tokens + max_tokens - ____\nreturn -(-slots // ____) <= ____",
    )
    search = {"prompt_tokens": (1, 90), "max_tokens": (1, 90), "num_blocks": (1, 9), "block_size": (1, 20)}

    def rule_for(self, prompt_tokens: int, max_tokens: int, num_blocks: int, block_size: int) -> str:
        slots = prompt_tokens + max_tokens - 1
        needed = _up(slots, block_size)
        if needed > num_blocks:
            if slots // block_size <= num_blocks:
                return "a-started-block-counts"
            return (
                "the-answer-takes-room-too" if _up(prompt_tokens, block_size) <= num_blocks else "too-long-is-refused"
            )
        if _up(slots + 1, block_size) > num_blocks:
            return "the-last-token-needs-no-slot"
        return "exactly-enough-is-enough" if needed == num_blocks else "what-fits-is-let-in"

    def cause(
        self, rule: str, seen: Any, expected: Any, prompt_tokens: int, max_tokens: int, num_blocks: int, block_size: int
    ) -> str:
        slots = prompt_tokens + max_tokens - 1
        needed = _up(slots, block_size)
        has = f"and memory has {num_blocks:,}"
        if expected:
            last = " The last token of the answer is never computed." if rule == "the-last-token-needs-no-slot" else ""
            return (
                f"Before its last token comes out it has {plural(slots, 'token')} in memory, which is "
                f"{plural(needed, 'block')} of {block_size}, {has}: it fits, and was refused.{last}"
            )
        return (
            f"Just before the end of its answer it has {plural(slots, 'token')} in memory, which is "
            f"{plural(needed, 'block')} of {block_size}, {has}: it was let in, and never comes to an end."
        )


class WatermarkGate(FunctionSpecification):
    """Whether enough is left for those who run."""

    exercise = "watermark_gate"
    rules = rules_from(
        """
        only-what-there-is: A request that needs more blocks than are available is refused, whoever runs.
            ? What does your function answer if more is needed than there is, and nobody runs?
            5 4 100 0.0 0
            9 4 100 0.0 1
            120 30 100 0.0 0
        an-empty-engine-lets-in: Where nobody runs, nobody grows, and whatever fits may start.
            ? Nobody runs, and the request needs more than the watermark leaves. When could it start, if not now?
            990 1000 1000 0.02 0
            4 4 100 0.5 0
            96 100 100 0.25 0
        the-watermark-stays-free: While others run, nobody starts who would leave fewer blocks than the watermark.
            ? What is left when the request has its blocks, and how much of memory must that be?
            90 91 1000 0.1 3
            9 10 26 0.25 2
            19 24 26 0.25 1
            50 51 100 0.05 40
            637 640 1280 0.5 300
        a-share-of-all-blocks: The watermark is a share of all blocks, not of those that are available now.
            ? Of which number is the share taken: of what is free now, or of all there is?
            95 110 1000 0.02 3
            10 30 100 0.25 2
            3 22 1000 0.02 2
            0 3 100 0.25 2
        what-leaves-enough-is-let-in: A request that leaves more than the watermark may start.
            ?
            50 110 1000 0.02 3
            1 90 100 0.25 60
            5 1000000 1000000 0.5 4000
            3 9 100 0.0 1
        exactly-the-watermark-is-enough: A request that leaves just as many blocks as the watermark may start.
            ? 20 blocks are to stay free, and just 20 would. Is the watermark touched?
            80 100 1000 0.02 3
            4 4 100 0.0 5
        rounded-down: A share that is no whole number of blocks is rounded down.
            ? A twentieth of 26 blocks is 1.3. How many whole blocks stay free?
            5 6 26 0.05 1
            4 5 7 0.25 1
            0 1 7 0.25 1
            5 5 7 0.1 1
            30 33 15 0.25 2
        """
    )
    hints = (
        "1,000 blocks, a watermark of 0.02, 110 available, 95 needed. How many are left, and who will want them?",
        "What is left, available - needed, must be at least the watermark in whole blocks, or 0 where nobody runs.",
        "left = available - needed\nkept = int(____ * ____) if running else ____\nreturn left >= kept",
    )
    search = {"seed": (0, 10**9)}

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        blocks, share = draw.randint(4, 64), draw.choice([0.0, 0.0625, 0.125, 0.25, 0.5, 0.75])
        available = draw.randint(0, blocks)
        kept = int(share * blocks)
        near = draw.choice([available, available - kept, available - kept - 1, draw.randint(0, blocks)])
        values = max(0, near), available, blocks, share, draw.choice([0, 1, 3])
        return dict(zip(self.parameters(), values, strict=True))

    def rule_for(self, needed: int, available: int, num_blocks: int, watermark: float, running: int) -> str:
        left, share = available - needed, watermark * num_blocks
        kept = int(share)
        if left < 0:
            return "only-what-there-is"
        if not running:
            return "an-empty-engine-lets-in" if left < kept else "what-leaves-enough-is-let-in"
        if left < kept:
            return "a-share-of-all-blocks" if left >= int(watermark * available) else "the-watermark-stays-free"
        if left < share:
            return "rounded-down"
        return "exactly-the-watermark-is-enough" if left == share else "what-leaves-enough-is-let-in"

    def cause(
        self, rule: str, seen: Any, expected: Any, needed: int, available: int, num_blocks: int, watermark: float,
        running: int,
    ) -> str:  # fmt: skip
        left, kept = available - needed, int(watermark * num_blocks)
        if left < 0:
            return f"{plural(needed, 'block')} are needed and {available} available: there is nothing to give it."
        has = f"{available:,} available less {needed:,} needed leaves {left:,}"
        if not running:
            more = " If it may not start now, it never may." if left < kept else ""
            return f"{has}, and nobody runs who could grow into them: it may start.{more}"
        exact = f"{watermark * num_blocks:,.4g}"
        share = f"{watermark:g} of {num_blocks:,} blocks is {exact}"
        share += "" if watermark * num_blocks == kept else f", {kept:,} whole {choose(kept, 'one', 'ones')}"
        runs = f"{plural(running, 'request')} {choose(running, 'runs', 'run')}"
        return f"{has}. {share}, and {runs}: {'it may start' if expected else 'too few are left'}."


class FullSequenceGate(FunctionSpecification):
    """Whether all that is known of a request has room."""

    exercise = "full_sequence_gate"
    rules = rules_from(
        """
        all-tokens-must-fit: A request is refused unless all of its known tokens have room, however it is cut.
            ? What does the rest of the prompt stand on, if only its beginning has room?
            160 0 5 16
            100000 0 700 16
            8000 0 499 16
            1000 16 40 16
            4 0 1 1
            160 16 2 16
        what-is-found-is-not-free-as-well: Blocks that the cache has for the request are not among those available.
            ? Nobody holds the blocks that were found. Where do they lie, and can they be had once more?
            52 32 4 4
            96 64 1 16
            96 64 0 16
            80 48 1 16
            16 8 1 4
        a-started-block-counts: A block that holds one token is needed whole.
            ? 33 tokens, 16 per block: how many blocks is that, and what does // answer?
            33 0 2 16
            28 0 1 16
            52 16 2 16
            17 16 0 16
        what-fits-is-let-in: A request for which there is room to spare is not refused.
            ?
            20 0 5 16
            1 0 3 16
            100000 0 7000 16
            5000 160 400 16
        exactly-enough-is-enough: A request whose last token lies in the last block that can be had may start.
            ? 4 blocks can be had and 4 are needed. Which comparison says yes to that?
            80 0 5 16
            75 0 5 16
            1 0 1 16
        what-is-found-needs-no-block: Blocks that were found in the cache need not be taken again.
            ? How many of its blocks does the request have already, before it takes any?
            52 32 5 4
            96 80 1 16
            1000 992 1 16
            49 16 3 16
            60 40 5 4
            60 56 12 4
            60 40 16 4
        """
    )
    hints = (
        "A prompt of 52 tokens, blocks of 4, and the cache has the first 32 tokens. How many blocks must be found?",
        "Blocks for all tokens, rounded up, less the whole blocks that the cache has, must be no more than available.",
        "needed = -(-num_tokens // block_size) - ____ // ____\nreturn needed <= ____",
    )
    search = {"seed": (0, 10**9)}

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        size, tokens = draw.choice([1, 2, 4, 16]), draw.randint(1, 99)
        cached = size * draw.randint(0, (tokens - 1) // size) * draw.choice([0, 1])
        available = max(0, _up(tokens - cached, size) + draw.randint(-2, 2))
        return {"num_tokens": tokens, "cached": cached, "available": available, "block_size": size}

    def rule_for(self, num_tokens: int, cached: int, available: int, block_size: int) -> str:
        hits, needed = cached // block_size, _up(num_tokens - cached, block_size)
        if needed > available:
            if hits and needed <= available + hits and num_tokens % block_size == 0:
                return "what-is-found-is-not-free-as-well"
            if (num_tokens - cached) // block_size <= available:
                return "a-started-block-counts"
            return "what-is-found-is-not-free-as-well" if hits and needed <= available + hits else "all-tokens-must-fit"
        if hits and needed + 2 * hits > available:
            return "what-is-found-needs-no-block"
        return "exactly-enough-is-enough" if needed == available else "what-fits-is-let-in"

    def cause(
        self, rule: str, seen: Any, expected: Any, num_tokens: int, cached: int, available: int, block_size: int
    ) -> str:
        hits, needed = cached // block_size, _up(num_tokens - cached, block_size)
        text = f"{plural(num_tokens, 'token')} stand in {plural(needed + hits, 'block')} of {block_size}"
        text += f", {hits:,} of which the cache has: {needed:,} must be found" if hits else ""
        text += f", and {available:,} {choose(available, 'is', 'are')} available"
        return f"{text}{': it may start' if expected else ''}." if expected else f"{text}: its end has no room."


class LatencyGate(FunctionSpecification):
    """Whether somebody who comes now begins in time."""

    exercise = "latency_gate"
    rules = rules_from(
        """
        nobody-is-refused-in-the-dark: While the speed is not known, which is what 0 says, nobody is turned away.
            ? The server has just started, and the speed is 0. What does your division do, and what should be answered?
            500 0 1.0
            1000000 0.0 0.25
            1 0 4.0
        who-would-wait-too-long-is-refused: A request is refused where all waiting tokens, its own among them, take \
          longer than the target.
            ?
            9000 1000 4.0
            5000 1000 0.5
            3000 500 2.0
            10000000 20000 60.0
            10000000 1000 4.0
            3 0.5 1.0
            30 10 2.0
            4 1 3.0
        who-begins-in-time-is-let-in: A request that begins within the target is let in.
            ? Which tokens have to be computed before this one's first, and how long do they take at that speed? \
              Is anything counted twice?
            500 1000 4.0
            1 1000 4.0
            1500 20000 1.0
            3 0.5 8.0
            20 2 15.0
            6 4 9.0
        exactly-in-time-is-in-time: A wait that is as long as the target is not too long.
            ? The target is 9 s and the wait is 9 s. Which comparison says yes to that?
            2000 1000 2.0
            60 1 60.0
            4000 500 8.0
        a-fraction-of-a-second-counts: A wait is a time, not a number of whole seconds.
            ? What is left of 1.9 seconds once it is a whole number?
            1900 1000 1.0
            400 1000 0.25
            1200 1000 1.5
        """
    )
    hints = (
        "9,000 tokens of prompts wait, and 1,000 of them begin each second. When does the last of them begin?",
        "Tokens divided by tokens per second are seconds. Without a speed nobody can tell, and then nobody is refused.",
        "if tokens_per_s == ____:\n    return ____\nreturn queued_tokens / ____ <= ____",
    )
    search = {
        "queued_tokens": (1, 20_000),
        "tokens_per_s": [0, 0.5, 512, 1000, 4000, 20_000],
        "target_s": [0.25, 0.5, 1.0, 1.5, 4.0, 60.0],
    }

    def rule_for(self, queued_tokens: int, tokens_per_s: float, target_s: float) -> str:
        if not tokens_per_s:
            return "nobody-is-refused-in-the-dark"
        wait = queued_tokens / tokens_per_s
        if wait == target_s:
            return "exactly-in-time-is-in-time"
        whole = {f(wait) <= g(target_s) for f in (int, round, math.ceil) for g in (int, round, float)}
        if whole != {wait < target_s}:
            return "a-fraction-of-a-second-counts"
        return "who-begins-in-time-is-let-in" if wait < target_s else "who-would-wait-too-long-is-refused"

    def cause(
        self, rule: str, seen: Any, expected: Any, queued_tokens: int, tokens_per_s: float, target_s: float
    ) -> str:
        if not tokens_per_s:
            return "A speed of 0 says that nobody has measured yet: no wait can be told, and nobody is turned away."
        wait = queued_tokens / tokens_per_s
        text = f"{queued_tokens:,} tokens at {tokens_per_s:,g} a second take {wait:,.6g} s, and the target is "
        return f"{text}{target_s:g} s: {'in time' if expected else 'too late'}."


# ----- break it -----------------------------------------------------------------------------------------------------


class NobodyIsStuck(Specification):
    """What the gate of a server owes to those it lets in, where nobody's memory is ever taken back."""

    exercise = "may_start"
    referee = StuckReferee
    rules = rules_from(
        """
        who-was-let-in-comes-to-an-end: Where somebody runs, somebody gets a token in the next step.
        """
    )
    search = {"num_blocks": (1, 64), "name": "ABCDEFGH", "prompt": (1, 64), "more": (0, 64)}


class BreakTheSevenBlocks(BreakIt):
    """A gate that asks of each whether it could end alone."""

    exercise = "break_seven_blocks"
    base = NobodyIsStuck()
    reference = "labkit.specs.admission_control.referees:may_start"
    renamed = {"Server": "new"}
    example = '("Server", 20)'
    without = {
        "come": "A server to which nobody comes is never stuck: let requests come.",
        "run": "Nothing was computed: the server computes only when it is told to run.",
    }
    hints = (
        "Whom does the gate count when it asks whether a request could come to its end? Who else holds memory then?",
        "Each of two must fit alone, and their prompts must fit together. Both must want more than what is left then.",
        '[("Server", ____), ("come", "A", 4, 1), ("come", "B", 3, ____), ("run",)]',
    )


ADMISSION = "labkit.scheduling.admission:"

LESSON = Lesson(
    key="17_admission_control",
    title="Admission control",
    part="III. The scheduler",
    minutes=65,
    builds="The gates of a server: who may start now, who waits outside, and who is told at once to come again later.",
    symptom="Requests lose their memory in mid-answer and are computed again, by the hundred; throughput looks fine.",
    exercises=(
        Exercise("can_ever_fit", "Could it ever be served?", 5, 1, 4, CanEverFit(), ADMISSION + "can_ever_fit",
                 slot="admission"),
        Exercise("watermark_gate", "Room to grow into", 8, 2, 5, WatermarkGate(), ADMISSION + "watermark_gate",
                 slot="admission"),
        Exercise("full_sequence_gate", "The whole prompt, not its first piece", 10, 3, 5, FullSequenceGate(),
                 ADMISSION + "full_sequence_gate", slot="admission"),
        Exercise("break_seven_blocks", "Break it: two requests and seven blocks", 6, 3, 4, BreakTheSevenBlocks(),
                 kind="break"),
        Exercise("latency_gate", "In time, or not at all", 15, 3, 3, LatencyGate(), ADMISSION + "latency_gate",
                 slot="admission", stretch=True),
    ),
    paths=("storms", "whole"),
    ending="I can say of a request whether it may start now, later or never, and what each gate asks before it says "
    "so. A gate moves the waiting to another place, and I can say to which.",
)  # fmt: skip
