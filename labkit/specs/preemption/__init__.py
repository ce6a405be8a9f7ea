"""Lesson 18, preemption: its rules, witnesses and hints."""

from __future__ import annotations

import random
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.scheduling.swap import break_even
from labkit.specs import Exercise, Lesson
from labkit.specs.preemption.referees import RateReferee, RecomputeReferee, SwapReferee, VictimReferee
from labkit.words import plural


def _running(draw: random.Random) -> str:
    return ",".join(
        f"{name}:{draw.choice([1, 4, 4, 9, 30])}:{draw.randint(0, 2)}:{draw.randint(0, 3)}"
        for name in "ABCDE"[: draw.randint(1, 5)]
    )


class ChooseVictim(Specification):
    """Who gives memory up."""

    exercise = "choose_victim"
    referee = VictimReferee
    prelude = "from labkit.errors import SchedulerError\n"
    stateful, stay, examples = False, "nothing-is-changed", 1000
    rules = rules_from(
        """
        one-of-them: The answer is one of the requests that run: the request itself.
            ? What does your function return: a request from the list, or its place, its name, its number?
            A:3,B:4 last
            A:3 last
            A:3 priority
            A:3 least-computed
            A:5,B:5 most-blocks
        the-first-is-spared: Whoever came first of those who run is never the victim while somebody else is there, \
          except by priority.
            ? Two requests take each other's memory, each time that the other has computed more. Which of them ends?
            A:2,B:9 least-computed
            A:9,B:2 most-blocks
            A:30,B:9,C:4 most-blocks
            A:1,B:30,C:4 least-computed
        another-way-is-refused: A way to choose that there is not raises SchedulerError.
            ? With which words may `how` be answered, and what does your code do with a word that is none of \
              them?
            A:3,B:4 newest
            A:3 Last
        last-in-goes-first: By "last", whoever was let in last is the victim; that is also what is meant where nothing \
          is said.
            ? The list stands in the order of admission. At which end is whoever was let in last?
            A:9,B:2,C:5 last
            A:2:0:3,B:9:0:2,C:4:1:1 last
            A:9,B:2,C:5 ""
            A:9,300xB:4,C:9 last
        the-least-urgent-goes-first: By "priority", the victim has the highest priority number, and of those the \
          latest arrival; the first is not spared.
            ? Is 0 more urgent than 2, or less? And who of two that are as urgent has waited longer?
            A:4:2:0,B:4:0:1,C:4:1:2 priority
            A:4:0:0,B:4:2:1,C:4:1:2 priority
            A:4:1:3,B:4:1:5,C:4:1:4 priority
            A:4:1:5,B:4:1:3 priority
            A:9:2:1,B:1:2:0,C:1:0:9 priority
        least-computed-goes-first: By "least-computed", the victim has the fewest tokens to compute again.
            ? Who loses least when it has to begin again, and is that a `min` or a `max` of `computed`?
            A:9,B:7,C:4,D:8 least-computed
            A:30,B:2,C:9 least-computed
            A:4,B:100,C:20 least-computed
        most-blocks-goes-first: By "most-blocks", the victim has computed most, so that the most memory comes free.
            ? Which field says how much memory a request holds, and is it the largest or the smallest that is \
              wanted?
            A:2,B:4,C:9,D:3 most-blocks
            A:2,B:30,C:9 most-blocks
            A:2,B:9,C:100 most-blocks
        where-equal-the-later-goes: Where two are equal, the one that was let in later is the victim.
            ? Which of several equal ones do max and min answer, the first or the last?
            A:9,B:4,C:4,D:9 least-computed
            A:2,B:9,C:9,D:4 most-blocks
            A:4:1:1,B:4:1:1 priority
            A:4:0:0,B:4:2:1,C:4:2:1 priority
            A:4,B:4,C:4 most-blocks
            A:4,300xB:4 least-computed
        nothing-is-changed: Choosing changes nothing: not the list, and no request in it.
            ? Does any line of yours sort, reverse or shorten the list that you were given? Which calls give a \
              new one?
            A:9,B:2,C:5 last
            A:9,B:2,C:5 least-computed
        """
    )
    hints = (
        "Four requests run, in the order A, B, C, D. Which of them may be the victim at all, and by what are they "
        "compared?",
        "Leave the first out if there is another and the way is not priority. Of the rest take the one that is the "
        "greatest by the way that was named, and of equal ones the last.",
        "places = range(0 if how == ____ or len(running) == 1 else ____, len(running))\n"
        "keys = {'last': lambda i: i, 'least-computed': lambda i: (-running[i].computed, ____), ...}\n"
        "return running[max(places, key=keys[____])]",
    )
    search = {"running": _running, "how": ["last", "priority", "least-computed", "most-blocks"]}


class PreemptRecompute(Specification):
    """Take a request's memory, so that it is computed again."""

    exercise = "preempt_recompute"
    referee = RecomputeReferee
    prelude = "from labkit.scheduling.request import State\n"
    examples, steps = 150, 8
    rules = rules_from(
        """
        memory-is-given-back: The victim's blocks can be had by others.
            ? Which call of the manager gives up the blocks of a sequence, and is it called for this one?
            new 6; run A 3 2; preempt A
            new 6; run A 4 0; run B 2 2; preempt B
        what-was-generated-stays: Prompt, output and max_tokens are what they were: the user has read the output.
            ? Somebody has read half an answer. What may become of that half?
            new 6; run A 3 2; preempt A
            new 6; run A 3 1; preempt A; again A; preempt A
        all-is-computed-again: After it no token of the victim is in memory, whether of its prompt or of its output.
            ? `computed` says for how many tokens K and V are in memory. How many are there now?
            new 6; run A 3 2; preempt A
            new 6; run A 4 0; preempt A
            new 9; run A 8 0 left=4; preempt A
        it-waits-as-preempted: The victim's state says that it was preempted, so that it comes back before others.
            ? By which field will the queue know that this request has run before, and who sets it?
            new 6; run A 3 2; preempt A
        what-was-computed-is-remembered: most_computed stays, because it tells what is computed twice.
            ? By what will anybody see that the tokens that it computes next were computed before?
            new 6; run A 3 2; preempt A
            new 9; run A 8 0 left=3; preempt A
            new 9; run A 8 0; preempt A; again A left=4; preempt A
        it-is-counted-once: The victim's count of preemptions goes up by one each time.
            ? How often does a request that is preempted twice stand in the statistics, and in which line do you \
              count?
            new 6; run A 3 2; preempt A
            new 6; run A 3 2; preempt A; again A; preempt A
        the-manager-is-told: The manager hears that the sequence was preempted, and will come back: what it finds then \
          is no hit.
            ? The manager knows three ways to let go of a sequence: free, preempt, and preempt and forget. What does \
              each say of the blocks that it will find again?
            new 6; run A 4 2; preempt A
            new 6; run A 4 2; preempt A; again A
            new 9; run A 6 1; run B 2 1; preempt A; preempt B; again A; again B
        nothing-else-changes: All else stays: the other requests, and what else the victim carries.
            ? Which fields speak of this victim's memory, and which other fields, or other requests, does your \
              code touch?
            new 9; run A 3 2; run B 2 1; preempt B
            new 9; run A 3 2; run B 2 1; preempt A
            new 400; run A 500 100; run B 30 9; preempt A; again A
        """
    )
    hints = (
        "A has a prompt of 3 tokens and has generated 2. Which of its fields speak of memory, which of what its user "
        "has, and which of its past?",
        "The manager takes the memory, with preempt. Nothing is in memory then, the state is PREEMPTED, and there is "
        "one preemption more. All else stays.",
        "manager.____(request.id)\nrequest.state = State.____\nrequest.computed = ____\nrequest.preemptions += ____",
    )
    search = {
        "num_blocks": (3, 9),
        "name": "ABCDEFGH",
        "prompt": (1, 9),
        "output": (0, 4),
        "left": [1, 1, 1, 2, 4],
    }


VARIANTS: dict[str, Any] = {
    "the-way-back-counts": lambda n, fixed, copy, token, pair: (fixed + n * copy, n * token + _pairs(n) * pair),
    "each-way-has-its-fixed-part": lambda n, fixed, copy, token, pair: (
        fixed + 2 * n * copy,
        n * token + _pairs(n) * pair,
    ),
    "attention-grows": lambda n, fixed, copy, token, pair: (2 * (fixed + n * copy), n * token),
    "each-token-attends-to-those-before-it": lambda n, fixed, copy, token, pair: (
        2 * (fixed + n * copy),
        n * token + n * n * pair,
    ),
}
"""What somebody has left out, by the rule that it breaks: seconds of a swap, and of computing again, by tokens."""


def _pairs(n: int) -> float:
    return n * (n + 1) / 2


def _first(seconds: Any, most: int, *costs: float, equal: bool = False) -> int | None:
    both = (seconds(n, *costs) for n in range(1, most + 1))
    return next((n for n, (a, b) in enumerate(both, 1) if a < b or (equal and a == b)), None)


def _right(n: int, fixed: float, copy: float, token: float, pair: float) -> tuple[float, float]:
    return 2 * (fixed + n * copy), n * token + _pairs(n) * pair


class BreakEven(FunctionSpecification):
    """From how many tokens on swapping is cheaper."""

    exercise = "break_even"
    rules = rules_from(
        """
        the-way-back-counts: What goes out comes back, so every token is copied twice.
            ? How often does a token cross the bus until its request runs again?
            10 2 5 0 900
            3 4 3 2 900
            6 1 3 0 900
        each-way-has-its-fixed-part: `fixed_s` is spent on the way out and once more on the way back.
            ? How many copies are started for one request that goes and comes back, and what does each cost \
              before its first byte?
            20 1 4 0 900
            9 0 2 0 900
            30 0 5 1 900
        attention-grows: Each token attends to itself and to all before it, so a long prompt is more than the sum of \
          its tokens.
            ? Which token of a prompt is the dearest one to compute, the first or the last, and why?
            20 1 3 1 900
            0 4 1 1 900
            8 2 1 2 900
            0 1 0 1 900
            500 3 2 1 9000
        each-token-attends-to-those-before-it: n tokens make n * (n + 1) / 2 pairs, since nobody looks ahead.
            ? To how many tokens does the first one attend, to how many the n-th, and what is their sum?
            0 9 2 2 900
            50 0 0 1 900
            7 3 0 1 900
        never-is-none: Where no length up to `most` makes swapping cheaper, the answer is None.
            ? The loop has come to its end without an answer. What does your function return then?
            0 2 1 0 50
            5 1 2 0 1000
            100 0 1 0 200
            3 9 1 2 10
            0 0 0 0 9
        the-fewest-that-is-cheaper: The answer is the smallest number of tokens at which swapping takes less time than \
          computing again.
            ? At the number that you answer, which of the two is cheaper? And at one less?
            0 0 1 0 9
            4 1 4 0 900
            2 1 3 0 900
            0 1 2.5 0 900
            3000 1 4 0 9000
            9 1 3 0 20
            9 1 3 0 19
            1 0 1 0 3
            1 0 1 0 2
        """
    )
    hints = (
        "A request of n tokens. Write down what its way to the host and back costs, and what it costs to compute it.",
        "Swapping n tokens takes 2 * (fixed_s + n * copy_s). Computing them takes n * token_s + n * (n + 1) / 2 * "
        "pair_s. Look for the first n, from 1 to most, at which the first is less.",
        "for n in range(____, most + 1):\n    swap = 2 * (____)\n"
        "    compute = n * token_s + n * (n + 1) / 2 * ____\n    if swap ____ compute:\n        return n\nreturn ____",
    )
    search = {
        "fixed_s": [0, 0, 1, 3, 8, 20],
        "copy_s": [0, 1, 1, 2, 4, 6],
        "token_s": [0, 1, 2, 4, 6],
        "pair_s": [0, 0, 1, 2],
        "most": [1, 5, 40, 300],
    }

    def rule_for(self, fixed_s: float, copy_s: float, token_s: float, pair_s: float, most: int) -> str:
        expected = break_even(fixed_s, copy_s, token_s, pair_s, most)
        equal = _first(_right, most, fixed_s, copy_s, token_s, pair_s, equal=True)
        return "never-is-none" if expected is equal is None else "the-fewest-that-is-cheaper"

    def blame(
        self, rule: str, seen: Any, expected: Any, fixed_s: float, copy_s: float, token_s: float, pair_s: float,
        most: int,
    ) -> str:  # fmt: skip
        if expected is not None and seen in (expected - 1, expected + 1):
            return rule
        if seen is None:
            return rule  # whatever ends without an answer looks like a cost that is never reached
        costs = fixed_s, copy_s, token_s, pair_s
        found = [name for name, variant in VARIANTS.items() if seen == _first(variant, most, *costs)]
        return found[0] if len(found) == 1 else rule

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if seen is None and expected is not None:
            return Mismatch("rule")  # None is an answer like any other
        return super().compare(seen, expected)

    def cause(
        self, rule: str, seen: Any, expected: Any, fixed_s: float, copy_s: float, token_s: float, pair_s: float,
        most: int,
    ) -> str:  # fmt: skip
        whole = isinstance(seen, int) and not isinstance(seen, bool) and 1 <= seen <= most
        n = seen if whole else expected if expected is not None else max(1, most)
        swap, compute = _right(n, fixed_s, copy_s, token_s, pair_s)
        text = f"{plural(n, 'token')}: {swap:g} s to the host and back, {compute:g} s to compute again"
        if whole and swap < compute:
            fewer = f", and {expected:,} are enough" if expected is not None else ""
            return f"{text}. It is cheaper there{fewer}."
        if whole:
            return f"{text}: a swap is not cheaper there."
        if expected is None:
            return f"{text}, and with fewer it is no better: swapping never pays up to {most:,}."
        return f"{text}: a swap is cheaper there."


class Swap(Specification):
    """SwapPool: host blocks for those that had to leave."""

    exercise = "SwapPool"
    referee = SwapReferee
    prelude = "from labkit.mine import BlockPool\nfrom labkit.errors import SchedulerError, UnknownSequenceError\n"
    rules = rules_from(
        """
        one-content-in-a-block: A host block that holds something is given to nobody else.
            ? A block of the host holds A's content. What in your code keeps it from being given to B?
            new 4; out A 2; out B 2
            new 4; out A 2; out B 1; back A; out C 3
            new 300; out A 200; out B 100; back A; out C 150
        ids-of-the-host: Host blocks are numbered from 0 to num_blocks - 1.
            ? The host has blocks of its own. By which numbers are they called, and where do yours come from?
            new 3; out A 2
        all-or-nothing: All blocks of a request have room on the host, or none of them goes and nothing changes.
            ? Where there are two host blocks free and three are needed, what of it may have happened when you answer?
            new 3; out A 2; out B 2
            new 2; out A 3; out B 2
            new 0; out A 1
            new 2; out A 2
        pairs-in-order: `swap_out` answers with a pair for each block, (device block, host block), in the order of the \
          blocks.
            ? The first pair belongs to the first block of the request. What stands left in it, what right, and \
              in which order do your pairs come?
            new 4; out A 3
            new 4; out A 1
        back-where-it-was: What went out of the request's block number i comes back into its block number i.
            ? Which of the host blocks holds the beginning of the request, and into which block of the device does it \
              belong?
            new 4; out A 3; back A
            new 4; out A 1; out B 2; back B; back A
            new 4; out A 2; out B 1; back A; out C 3; back C
        what-was-found-is-not-copied: The first `found` blocks are on the device already, and are not copied.
            ? The first `found` blocks are on the device already. Which pairs are left, and from which place of \
              the list do they start?
            new 4; out A 3; back A found=1
            new 4; out A 3; back A found=3
            new 4; out A 2; out B 2; back B found=1
        host-blocks-come-back: Host blocks are free again when their request has come back, or does not come back.
            ? After which two calls does nobody need the content on the host any more, and which line gives those \
              blocks back?
            new 3; out A 2; back A; out B 3
            new 3; out A 2; forget A; out B 3; back B
            new 3; out A 2; back A found=2
            new 3; out A 2; forget A; out A 1; back A
        counts-what-is-free: num_free is the number of host blocks that hold nothing.
            ? After each call: how many host blocks hold something, and does your count follow every one of them?
            new 4; out A 3; out B 1
        what-makes-no-sense-is-refused: A request that is not swapped out can neither come back nor be forgotten, one \
          that is cannot go out, and it comes back into as many blocks as it left.
            ? What is in your books of a request that never went out, and what should be said of it?
            new 3; back A
            new 3; forget A
            new 3; out A 1; out A 1
            new 3; out A 2; back A more=1; back A
            new 3; out A 1; back A; back A
        pools-are-separate: Two pools share nothing.
            ? Where are your books made: in `__init__`, or once for the whole class?
            new 2; other 2; out A 2
        """
    )
    hints = (
        "The host is a pool of blocks like any other. What must be remembered beside it, until a request comes back?",
        "A dictionary from the request's name to its host blocks, in order. swap_out enters it, swap_in and forget "
        "take it out and free the blocks; zip makes the pairs.",
        "host = self._pool.allocate(____)\nif host is None:\n    return ____\nself._host[name] = host\n"
        "return list(zip(____, host))",
    )
    search = {"num_blocks": (0, 6), "name": "ABC", "n": (1, 3), "found": [0, 0, 1, 2], "more": [0, 0, 0, 1]}
    steps = 14


class Meter(Specification):
    """A hit rate says how much of new prompts the cache has."""

    exercise = "HitRate"
    referee = RateReferee
    rules = rules_from(
        """
        only-new-prompts-are-hits: Prompts that share nothing hit nothing.
        """
    )
    search = {"num_blocks": (1, 64), "name": "ABCDEFGH", "prompt": (1, 64), "max_tokens": (1, 64)}


class BreakTheHitRate(BreakIt):
    """A meter that counts every admission."""

    exercise = "break_hit_rate"
    base = Meter()
    reference = "labkit.specs.preemption.referees:HitRate"
    renamed = {"Server": "new"}
    example = '("Server", 20)'
    without = {
        "come": "A server to which nobody comes has no hit rate: let requests come.",
        "run": "Nothing was computed: the server computes only when it is told to run.",
    }
    hints = (
        "Nobody's prompt shares anything. Whose blocks can a request find in the cache, then, and when?",
        "Somebody must give memory up in mid-answer, with a whole block computed that nobody takes until it is back.",
        '[("Server", 2), ("come", "A", 1, ____), ("come", "B", ____, 2), ("run",)]',
    )


RULES = "labkit.scheduling.preemption:"
SWAP = "labkit.scheduling.swap:"

LESSON = Lesson(
    key="18_preemption",
    title="Preemption",
    part="III. The scheduler",
    minutes=70,
    builds="Who gives memory up when there is none left, what becomes of what it computed, and when a copy is cheaper.",
    symptom="The GPU is as busy as ever and the users get a fifth less, and no counter of tokens says where it went.",
    exercises=(
        Exercise("choose_victim", "Who gives way", 8, 2, 4, ChooseVictim(), RULES + "choose_victim", slot="preemption"),
        Exercise("preempt_recompute", "Taken, and computed again", 8, 2, 5, PreemptRecompute(),
                 RULES + "preempt_recompute", slot="preemption"),
        Exercise("break_even", "When a copy is cheaper", 8, 3, 3, BreakEven(), SWAP + "break_even", slot="preemption"),
        Exercise("break_hit_rate", "Break it: hits out of nothing", 6, 3, 4, BreakTheHitRate(), kind="break"),
        Exercise("SwapPool", "Host blocks", 15, 3, 3, Swap(), SWAP + "SwapPool", slot="preemption", stretch=True),
    ),
    paths=("storms", "whole"),
    ending="I can say who gives memory up when there is none left, what that one loses, and from which length on a "
    "copy is cheaper than computing again. And I know which counters do not show any of it.",
)  # fmt: skip
