"""Lesson 19, eviction storms: its rules, witnesses and hints."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch
from labkit.grading.display import Words, show
from labkit.grading.functions import FunctionReferee, FunctionSpecification
from labkit.grading.language import Argument, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.eviction_storms.boards import Truth, board, truth, windows_of
from labkit.specs.eviction_storms.referees import RedLineReferee
from labkit.words import choose, plural

KIND = {"+": "stored", "-": "removed", "*": "cleared"}


class RegretRate(FunctionSpecification):
    """Regretted evictions per second, from a stream of events.

    In a witness an event is its second, + (stored), - (removed) or * (cleared), and the content.
    """

    exercise = "regret_rate"
    rules = rules_from(
        """
        what-never-left-is-no-regret: What is stored for the first time, or does not come back, is no regret.
            ?
            ["0+A","1+B","2+C"] 4 1
            ["0+A","1-A"] 4 1
            ["0+A","1-A","2+B","3-B"] 2 2
            [] 5 3
        wanted-again-counts: What was evicted and is stored again was regretted.
            ? Which two events make a regret, and which of them says that somebody wanted it again?
            ["0+A","1-A","2+A"] 4 1
            ["0-A","1+A"] 4 1
            ["0+A","0+B","1-B","2-A","3+A","4+B"] 5 1
            ["0+A","1-A","1+A"] 10 1
        each-loss-counts-once: A content that comes back is a regret once for each time that its last block was evicted.
            ? A content comes back twice after one eviction. How often was it missed, and what must happen to \
              your note of it the first time?
            ["0+A","1-A","2+A","3+A"] 4 1
            ["0+A","1-A","2+A","3-A","4+A"] 5 1
            ["0+A","1-A","2+A","3-A","4+A","5-A","6+A"] 7 1
        a-copy-that-stays-is-no-loss: Two blocks may hold the same content. While one of them is left, nothing is lost.
            ? Two requests with one prompt came in the same step, so it was stored twice. What is left when one goes?
            ["0+A","1+A","2-A","3+A"] 4 1
            ["0+A","0+A","1-A","2-A","3+A"] 4 1
            ["0+A","0+A","0+A","1-A","1-A","2+A"] 4 1
            ["0-A","1+A","2+A","3-A","4+A"] 5 1
        a-reset-is-no-eviction: What was cleared was not evicted, and what was lost before that is forgotten.
            ? A server was told to empty its cache. Is its memory too small because of that?
            ["0+A","1*","2+A"] 4 1
            ["0+A","1-A","2*","3+A"] 4 1
            ["0+A","0+A","1*","2+A","3-A","4+A"] 5 1
        in-its-window: A regret belongs to the window in which the content is stored again, however long ago it went.
            ? At which second was the mistake, and at which did somebody pay for it?
            ["0+A","1-A","9+A"] 5 2
            ["0+A","4-A","5+A"] 5 2
            ["0+A","1-A","4+A"] 5 2
            ["0+A","1-A","2+A","3-A","40+A","41-A","42+A"] 10 5
            ["0+A","9.5-A","10+A"] 2.5 6
        by-the-second: The answer is a rate, the number of regrets over the seconds of a window.
            ? Five regrets in a window of ten seconds. What is the rate, and which of your lines divides?
            ["0+A","1-A","2+A"] 10 1
            ["0+A","0+B","1-A","1-B","2+A","2+B","3-A","4+A"] 0.5 9
        """
    )
    hints = (
        "Which contents could somebody regret at this moment? What puts one among them, and what takes it away?",
        "A content is lost when as many of its blocks were removed as stored. It is regretted when it is stored while "
        "it is lost, and from then on it is lost no more.",
        "if kind == 'stored':\n    if content in lost:\n        counts[int(at_s // ____)] += 1\n"
        "        lost.____(content)\n    copies[content] += 1",
    )
    search = {"seed": (0, 10**9)}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {**args, "events": [_event(word) for word in args["events"]]}

    def label(self, args: Mapping[str, Any]) -> str:
        events, window_s, windows = self.decode(args).values()
        return f"regret_rate({show(events, 400)}, {window_s:g}, {windows})"

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        window, windows, at = draw.choice([1, 2, 5, 0.5]), draw.randint(1, 5), 0.0
        events, held = [], dict.fromkeys("ABC", 0)
        for _ in range(draw.randint(0, 14)):
            at = min(at + draw.choice([0, 0, 0.25, 1]), window * windows - 0.25)
            name = draw.choice("ABC")
            kind = draw.choice("++-") if held[name] else "+"
            if draw.random() < 0.04:
                kind, held = "*", dict.fromkeys(held, 0)
            else:
                held[name] += 1 if kind == "+" else -1
            events.append(f"{at:g}{kind}{'' if kind == '*' else name}")
        return {"events": events, "window_s": window, "windows": windows}

    def rule_for(self, events: list[str], window_s: float, windows: int) -> str:
        told = [_event(word) for word in events]
        sums = sum(self.oracle(told, window_s, windows)) * window_s
        if any(kind == "cleared" for _, kind, _ in told):
            return "a-reset-is-no-eviction"
        if _twins(told):
            return "a-copy-that-stays-is-no-loss"
        if not sums:
            return "what-never-left-is-no-regret"
        if windows > 1:
            return "in-its-window"
        stored = [content for _, kind, content in told if kind == "stored"]
        if max(map(stored.count, stored)) > 2:
            return "each-loss-counts-once"
        return "wanted-again-counts" if window_s == 1 else "by-the-second"

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        """Counts that are right and divided by something else, or stand in other windows, are about that alone."""
        if len(seen) == len(expected) and any(expected):
            window_s, due = args["window_s"], np.array(expected)
            whole = np.array_equal(seen, np.floor(due)) and (window_s % 1 or all(type(one) is int for one in seen))
            if whole or any(np.allclose(seen, due * k) for k in (window_s, window_s / args["windows"], 1 / due.sum())):
                return "by-the-second"
            if np.isclose(sum(seen), sum(expected)):
                return "in-its-window"
        return "wanted-again-counts" if rule == "by-the-second" else rule

    def cause(self, rule: str, seen: Any, expected: Any, events: list[str], window_s: float, windows: int) -> str:
        told = [_event(word) for word in events]
        each = [round(rate * window_s) for rate in expected]
        text = (
            f"{plural(sum(each), 'content')} {choose(sum(each), 'was', 'were')} wanted again after the last block of "
        )
        text += f"{choose(sum(each), 'it', 'them')} had been evicted"
        if sum(each) and windows > 1:
            text += ", " + ", ".join(f"{n} in window {at}" for at, n in enumerate(each) if n)
        text += f"; a window is {window_s:g} s."
        if rule == "a-copy-that-stays-is-no-loss" and (twin := _twins(told)):
            text += f" {twin} was in more than one block."
        if rule == "a-reset-is-no-eviction":
            text += " The cache was cleared in between, and nothing before that is an eviction that somebody pays for."
        return text


def _event(word: str) -> tuple[float, str, str]:
    at = next(i for i, letter in enumerate(word) if letter in KIND)
    return float(word[:at]), KIND[word[at]], word[at + 1 :]


def _twins(events: list[tuple[float, str, str]]) -> str:
    """A content of which one block was evicted while another held it as well, or ""."""
    held: dict[str, int] = {}
    for _, kind, content in events:
        if kind == "cleared":
            held.clear()
        else:
            if kind == "removed" and held.get(content, 0) > 1:
                return content
            held[content] = max(0, held.get(content, 0) + (1 if kind == "stored" else -1))
    return ""


# ----- an alarm -----------------------------------------------------------------------------------------------------


class AlarmReferee(FunctionReferee):
    """Shows an alarm a board, and writes when it fired instead of a row of True and False."""

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        answers = _answers(seen)
        if answers is not None:
            self.steps[-1].seen = told = _when(answers)
            self._seen = Words(told)
            whole = args["board"].partition(":")[0]
            if whole != args["board"]:
                later = _answers(self.implementation(board(whole)))
                cut = len(answers)
                same = later is not None and bool((later[:cut] == answers).all())
                cause = f"Of the same {cut} windows it says something else once later ones are there"
                cause += f": {_when(later[:cut])}." if later is not None else "."
                self.require("looks-back-only", same, expected=Words("the same as on the longer board"), cause=cause)
                return
        super().judge(rule, seen, expected, args)


class ThrashAlert(FunctionSpecification):
    """An alarm over boards it has not seen; what is due to each is in its own figures, not in the solution's answer."""

    exercise = "thrash_alert"
    referee = AlarmReferee
    op_seconds = 20.0
    rules = rules_from(
        """
        an-answer-for-each-window: The answer is a list of True and False, one for each window of the board.
            ? How many windows has the board, and how many entries your answer? What stands there for the first \
              windows, before enough is known?
            quiet-5
            growing-2:1
        looks-back-only: What is said of a window does not change when later ones come.
            ? On the day, the rest of the board is not there yet. Which of your numbers is made from all of it?
            chunk-2:11
            crowding-8:14
            answers-5:14
        more-load-is-no-storm: More requests, a longer queue and a later first token are load, and no storm.
            ?
            growing-1
            overload-4
            overload-6
        a-full-cache-is-healthy: A cache that is full evicts all day; where nothing of it is wanted again it is silent.
            ? Is what went wanted again?
            scan-3
            scan-5
        one-bad-window-is-no-storm: A single window in which much is computed twice is no reason to wake anybody.
            ? How many windows do you look at before you are sure?
            lunch-10
            lunch-12
        now-and-then-is-healthy: Where a few are preempted, or a little is wanted again, it is silent.
            ? How much of all that was computed was that? And for how long?
            lunch-1
            lunch-3
            trickle-3
        computing-again-convicts: Where a quarter of what is computed was lost in preemptions, it fires.
            ? What becomes of a preempted request that has to be computed again? Which figure is that?
            chunk-2
            chunk-15
            answers-5
            answers-14
        regret-convicts: Where a quarter of what is computed is there because it had been evicted, it \
          fires, though more is delivered than ever.
            ? Regret is told in blocks, and a block is 16 tokens. What share of the computed tokens is that?
            crowding-4
            crowding-8
            round-3
        it-ends: When it has been over for a while, the alarm is silent again.
            ? What of a storm that has passed is still in your numbers, and for how long?
            passing-5
            passing-7
        a-hole-is-no-answer: A window of which nothing is known counts for nothing; the others around it still count.
            ? What is the sum of NaN and anything else?
            crowding-4?2
            chunk-2?0
            growing-1?9
            answers-5?17
        """
    )
    hints = (
        "Which figures tell how much of the work is done for the second time, and in which unit is each of them?",
        "Tokens computed again after preemptions, and 16 for each evicted block that is wanted again, over the tokens "
        "computed, in sums over the last few windows: healthy below a tenth, a storm above a quarter.",
        'again = board["____"] + 16 * board["____"]\nlast = slice(max(0, at - ____), at + 1)\n'
        "fires.append(np.nansum(again[last]) > ____ * np.nansum(board['computed'][last]))",
    )

    def declared(self, operation: str) -> Mapping[str, Argument]:
        return {"board": Argument(False, False)} if operation == "call" else super().declared(operation)

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"board": board(args["board"])}

    def label(self, args: Mapping[str, Any]) -> str:
        return f'thrash_alert(board("{args["board"]}"))'

    def setup_line(self, *, board: str) -> str:
        """What the name of a board says, where it is not the whole board."""
        if "?" in board:
            return "{} is the board {}, on which nothing is known of window {}".format(board, *board.split("?"))
        return "{} is the board {} after {} windows".format(board, *board.split(":")) if ":" in board else ""

    def right(self, args: Mapping[str, Any]) -> Truth:
        return truth(board(args["board"].partition("?")[0]))

    def rule_for(self, board: str) -> str:
        kind = board.partition("-")[0]
        if ":" in board:
            return "an-answer-for-each-window" if board.endswith(":1") else "looks-back-only"
        if "?" in board:
            return "a-hole-is-no-answer"
        return KINDS_RULE[kind]

    def compare(self, seen: Any, expected: Truth) -> Mismatch | None:
        answers, n = _answers(seen), len(expected.fires)
        if answers is None:
            sentence = f"{show(seen, 60)} came back, where a list of True and False is due, one for each window."
            return Mismatch("wrong-type", "The answer is None: is a return missing?" if seen is None else sentence)
        if len(answers) != n:
            return Mismatch(
                "wrong-shape", f"The board has {plural(n, 'window')}, and there are {len(answers)} answers."
            )
        wrong = (answers & expected.silent) | (~answers & expected.fires)
        return Mismatch("rule") if wrong.any() else None

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        if mismatch.kind in ("wrong-type", "wrong-shape"):
            return "an-answer-for-each-window", None
        return self.blame(rule, seen, expected, **args), None

    def blame(self, rule: str, seen: Any, expected: Truth, *, board: str) -> str:
        answers = _answers(seen)
        assert answers is not None
        if rule == "it-ends" and not answers[expected.fires].all():
            return "regret-convicts"
        if rule == "now-and-then-is-healthy":
            bad = expected.bad_windows[answers]
            return "one-bad-window-is-no-storm" if len(bad) and bad.all() else "now-and-then-is-healthy"
        return rule

    def cause(self, rule: str, seen: Any, expected: Truth, *, board: str) -> str:
        answers = _answers(seen)
        assert answers is not None
        hole = f"Nothing is known of window {board.partition('?')[2]}; the others around it still count. "
        hole *= "?" in board
        missed, false = np.flatnonzero(~answers & expected.fires), np.flatnonzero(answers & expected.silent)
        if len(false):
            at = int(false[0])
            after = expected.fires[:at].any()
            text = "its storm has been over for 20 s" if after else "for 20 s less than a tenth was computed twice"
            return f"It fires in window {at}, and there {text}. {_told(board, at)}"
        at = int(missed[0])
        return f"It is silent in window {at}, and a quarter has been computed twice for 20 s. {hole}{_told(board, at)}"


KINDS_RULE = {
    witness.partition("-")[0]: rule.name
    for rule in ThrashAlert.rules
    for witness in rule.witnesses
    if not {":", "?"} & set(witness)
}
"""Which rule a kind of board is about: the last under which one of them is a witness."""


def _answers(seen: Any) -> np.ndarray | None:
    """The answers as bool [n]; None where they are none."""
    if not isinstance(seen, list | tuple | np.ndarray) or np.ndim(seen) != 1:
        return None
    if not all(isinstance(one, bool | np.bool_) for one in seen):
        return None
    return np.array(seen, dtype=bool)


def _when(answers: np.ndarray) -> str:
    """ "fires in windows 12 to 23" """
    return f"fires in {windows_of(answers)}" if answers.any() else "is silent"


def _told(name: str, at: int) -> str:
    """A few figures of the twenty seconds before a window ends."""
    found = board(name.partition("?")[0])
    last = slice(max(0, at - 3), at + 1)
    means = {figure: float(np.nanmean(found[figure][last])) for figure in ("computed", "recomputed", "regretted")}
    return (
        f"In these 20 s: {means['computed']:,.0f} tokens computed per second, {means['recomputed']:,.0f} of them again "
        f"after a preemption, and {means['regretted']:,.1f} blocks of 16 tokens per second wanted again."
    )


# ----- break it -----------------------------------------------------------------------------------------------------


class ToldOfHalf(Specification):
    """What an alarm owes to somebody whose server computes a third of its tokens twice."""

    exercise = "alarm"
    referee = RedLineReferee
    rules = rules_from(
        """
        much-that-is-computed-twice-is-told: Where a third of all tokens is computed twice, the alarm is red.
        """
    )
    search = {"num_blocks": (1, 64), "name": "ABCDEFGH", "prompt": (1, 1000), "answer": (1, 200)}


class BreakTheRedLine(BreakIt):
    """An alarm that counts preemptions, and not what each of them throws away."""

    exercise = "break_red_line"
    base = ToldOfHalf()
    reference = "labkit.specs.eviction_storms.referees:alarm"
    renamed = {"Server": "new"}
    example = '("Server", 20)'
    largest = 1000
    without = {
        "come": "A server to which nobody comes computes nothing: let requests come.",
        "run": "Nothing was computed: the server computes only when it is told to run.",
    }
    hints = (
        "What does one preemption cost where the victim has a short prompt, and what where it has a long one?",
        "One request has to grow until it needs the block of another, whose prompt fills nearly all of memory. One "
        "preemption is enough, if the run lasts longer than a second.",
        '[("Server", ____), ("come", "A", 1, ____), ("come", "B", ____, 1), ("run",)]',
    )


OBSERVE = "labkit.observe."

LESSON = Lesson(
    key="19_eviction_storms",
    title="Eviction storms",
    part="III. The scheduler",
    minutes=75,
    builds="The rate of regret, and an alarm that tells a storm from a busy day on boards it has not seen.",
    symptom="Throughput has quadrupled, every graph is green, and half of what the GPU computes it had computed.",
    exercises=(
        Exercise("regret_rate", "Evicted, and wanted again", 8, 3, 5, RegretRate(), OBSERVE + "regret:regret_rate"),
        Exercise("thrash_alert", "An alarm that convicts", 12, 4, 5, ThrashAlert(), OBSERVE + "alerts:thrash_alert"),
        Exercise("break_red_line", "Break it: the red line", 6, 3, 4, BreakTheRedLine(), kind="break"),
    ),
    paths=("storms", "whole"),
    ending="I can look at a board full of evictions and say whether it is a storm: by what is done twice and by "
    "nothing else. I have an alarm that says it, tried on boards that it had not seen.",
)
