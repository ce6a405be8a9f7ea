"""Lesson 20, capacity and SLOs: its rules, witnesses and hints."""

from __future__ import annotations

import random
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.simulate.column_names import meaning_of
from labkit.simulate.goodput import Outcome
from labkit.specs import Exercise, Lesson
from labkit.specs.capacity_and_slos.referees import SearchReferee, StopwatchReferee
from labkit.words import plural


class Goodput(FunctionSpecification):
    """Requests a second that met both targets."""

    exercise = "goodput"
    examples = 600
    rules = rules_from(
        """
        who-met-both-counts-once: Each request that met both targets counts, and counts once.
            ? What is one request worth that had all of it in time, and what if the one before it had not?
            [[0,0.125,0.5,9]] 4 1 0.25
            [[0,1.5,8.5,5]] 4 2 2
            [[0,0.125,0.5,9],[0,0.25,0.5,4]] 4 1 0.25
            [[0,3,3.5,9],[0,0.5,1,9]] 4 2 0.5
        who-has-no-answer-is-not-served-well: A request that was refused, or is not at its end yet, is not served well.
            ? What stands in `first_s` and `end_s` of somebody who was turned away at the door?
            [[0,null,null,0]] 4 1 0.25
            [[0,0.5,null,3],[0,0.25,0.5,3]] 4 1 0.25
            [[0,null,null,0],[0,null,null,0],[0,0.25,0.5,3]] 2 1 0.25
            [[0,0.25,0.5,3],[9,null,null,0],[0,0.5,null,1]] 4 1 0.25
        zero-is-a-time: Second 0 is a time like any other; None is what never came.
            ? When does a run begin, and what does `not` say of that number?
            [[0,0,0.25,3]] 4 1 0.25
            [[0,0,0.25,2]] 4 1 0.5
            [[0,0,0.25,3],[0,0.25,0.5,3]] 4 1 0.25
        from-its-arrival: What a user waits begins when the request was to be sent, not at the beginning of the run.
            ? Somebody comes at second 100 and has a first token at 100.5. How long is that?
            [[100,100.25,100.5,3]] 4 1 0.25
            [[4,6,6.5,9]] 8 4 2
            300*[0,0.5,1,9]+[1,1,1,0] 300 2 0.5
            [[50,53,53.5,9],[60,60.5,61,9]] 4 2 0.5
        the-first-token-in-time: A request whose first token comes later than ttft_s is not served well, however fast \
          the rest is.
            ?
            [[0,3,3.25,9]] 4 2 0.25
            [[0,2.5,2.5,1]] 4 2 0.25
            [[0,0.5,1,9],[0,9,9.5,90]] 4 2 0.25
        the-tokens-after-it-in-time: A request whose further tokens take more than tpot_s each, in the mean, is not \
          served well, however soon it began.
            ? Who reads a word every three seconds, is that person served well?
            [[0,0.5,9,5]] 4 2 0.5
            [[0,0.5,1,3],[0,0.5,31,11]] 4 2 0.5
            [[0,0,3,5]] 4 2 0.5
        the-first-is-none-of-them: The time after the first token is shared by the tokens after the first.
            ? An answer of 5 tokens: how many gaps are there between its first and its last?
            [[0,1,3.5,5]] 4 2 0.5
            [[0,1,1.75,2]] 4 2 0.5
            [[0,1,31,60]] 4 2 0.5
        one-token-has-no-gap: An answer of one token is served well if that token is in time.
            ? How many tokens come after the first of one, and what does your division do then?
            [[0,1,1,1]] 4 2 0.5
            [[0,1,1,1],[0,0.5,1,4],[0,0.5,0.5,1]] 4 2 0.5
        each-by-its-own-mean: Each request meets the targets or does not; a mean over all of them is not asked for.
            ? One waits 0 seconds and one 3. Whom does their mean of 1.5 describe?
            [[0,0.5,1,9],[0,3,3.5,9]] 4 2 0.5
            [[0,0.25,0.5,9],[0,0.25,8,9],[0,0.25,0.5,9]] 2 2 0.5
            [[0,0,0.5,9],[0,0,0.5,9],[0,0,0.5,9],[0,5,5.5,9]] 4 2 0.5
        by-the-second: The answer is a rate, requests divided by seconds, and not a share or a number.
            ? What is the unit of the answer, and what is divided by what?
            [[0,0.5,1,9],[0,0.5,1,9],[0,0.5,1,9]] 8 2 0.5
            [[0,0.5,1,9]] 0.5 2 0.5
            [[0,0.5,1,9],[1,9,9.5,9]] 16 2 0.5
            [] 8 2 0.5
        exactly-in-time-is-in-time: Whoever meets a target to the second has met it.
            ? The target is 2 s and the first token came after 2 s. Which comparison says yes to that?
            [[0,2,2.5,9]] 4 2 0.5
            [[0,1,3,5]] 4 2 0.5
            [[0,2,6,9]] 4 2 0.5
        """
    )
    hints = (
        "Somebody waits 0.5 s for a first token, and has 21 tokens 2 s later. Which of your targets is which number?",
        "Each request is judged by itself: are both times there, how long was it from its arrival to the first token, "
        "and how long did the gaps behind that take? An answer of n tokens has n - 1 gaps, and each may take tpot_s.",
        "if request.first_s is ____ or request.end_s is ____:\n    continue\n"
        "good += (request.first_s - ____ <= ttft_s and request.end_s - request.first_s <= (____) * tpot_s)\n"
        "...\nreturn good / ____",
    )
    search = {"seed": (0, 10**9)}

    def decode(self, args: Any) -> dict[str, Any]:
        return {**args, "requests": [Outcome(*row) for row in args["requests"]]}

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        rows = []
        for _ in range(draw.randint(0, 5)):
            arrival, first, more = draw.randint(0, 9), draw.randint(0, 12) / 4, draw.randint(0, 8)
            took = max(0.0, more * 0.25 + draw.choice([-0.5, 0.0, 0.25, 1.0])) if more else 0.0
            row = [arrival, arrival + first, arrival + first + took, more + 1]
            rows.append(draw.choice([row, row, row, row, [arrival, None, None, 0], [*row[:2], None, row[3]]]))
        return {"requests": rows, "seconds": draw.choice([1, 4, 8]), "ttft_s": draw.choice([0.5, 2]), "tpot_s": 0.25}

    def rule_for(self, requests: list[Any], seconds: float, ttft_s: float, tpot_s: float) -> str:
        """The rule that one request in it is about; where several are, the worst."""
        about = {self._of(row, ttft_s, tpot_s) for row in requests} - {"who-met-both-counts-once"}
        return min(about, key=self.rank, default="who-met-both-counts-once" if requests else "by-the-second")

    def _of(self, row: list[Any], ttft_s: float, tpot_s: float) -> str:
        arrival, first, end, tokens = row
        if first is None or end is None:
            return "who-has-no-answer-is-not-served-well"
        waited, took, due = first - arrival, end - first, (tokens - 1) * tpot_s
        if waited <= ttft_s < first:
            return "from-its-arrival"
        if waited > ttft_s:
            return "the-first-token-in-time"
        if took > due:
            return "the-first-is-none-of-them" if took <= due + tpot_s else "the-tokens-after-it-in-time"
        if tokens == 1:
            return "one-token-has-no-gap"
        return "exactly-in-time-is-in-time" if waited == ttft_s or took == due else "who-met-both-counts-once"

    def _good(self, row: list[Any], ttft_s: float, tpot_s: float) -> bool:
        arrival, first, end, tokens = row
        return None not in (first, end) and first - arrival <= ttft_s and end - first <= (tokens - 1) * tpot_s

    def blame(
        self, rule: str, seen: Any, expected: Any, requests: list[Any], seconds: float, ttft_s: float, tpot_s: float
    ) -> str:
        """What is answered tells which request was taken for which, where only one sort can be it."""
        good = expected * seconds
        at_zero = sum(self._good(row, ttft_s, tpot_s) and 0 in (row[1], row[2]) for row in requests)
        if at_zero and seen == (round(good) - at_zero) / seconds:
            return "zero-is-a-time"
        served = [row for row in requests if row[2] is not None]
        wrong_unit = {good, good / max(1, len(requests)), good / max(1, len(served)), good * seconds}
        if any(abs(seen - value) < 1e-9 for value in wrong_unit) and good and seen != expected:
            return "by-the-second"
        # Who stops at the first late one has counted those before it; where the next came late in the run, it may be
        # the clock as well.
        flags = [self._good(row, ttft_s, tpot_s) for row in requests]
        before = flags.index(False) if False in flags else len(flags)
        late = before < len(flags) and None not in requests[before]
        begun = all(row[1] <= ttft_s for row, well in zip(requests, flags, strict=True) if well)
        if late and begun and seen == before / seconds and before < good:
            return "who-met-both-counts-once"
        if served and len(served) > 1:
            waited = sum(row[1] - row[0] for row in served) / len(served)
            took = sum(row[2] - row[1] for row in served) / max(1, sum(row[3] - 1 for row in served))
            both = waited <= ttft_s and took <= tpot_s
            if seen == (len(served) / seconds if both else 0) and good != len(served):
                return "each-by-its-own-mean"
        return rule

    def cause(
        self, rule: str, seen: Any, expected: Any, requests: list[Any], seconds: float, ttft_s: float, tpot_s: float
    ) -> str:
        text = f"{expected * seconds:g} of {plural(len(requests), 'request')} in {seconds:g} s met both targets"
        if rule == "zero-is-a-time":
            about = next((row for row in requests if self._good(row, ttft_s, tpot_s) and 0 in (row[1], row[2])), None)
            if about is not None:
                what = "first" if about[1] == 0 else "last"
                return f"{text}. One had its {what} token at second 0: that is a time, and None is not."
        fits = [row for row in requests if self._of(row, ttft_s, tpot_s) == rule]
        if not fits:
            return f"{text}: {expected:g} a second."
        # Of those without an end the one that was counted, where their number tells which.
        half = [row for row in fits if row[1] is not None and row[2] is None]
        counted = round((seen - expected) * seconds) if isinstance(seen, int | float) else 0
        arrival, first, end, tokens = half[0] if half and len(half) == counted else fits[0]
        if first is None or end is None:
            return f"{text}. The one that came at {arrival:g} s has no {'first' if first is None else 'last'} token."
        return (
            f"{text}. The one that came at {arrival:g} s waited {first - arrival:g} s for its first token (target "
            f"{ttft_s:g}) and {end - first:g} s for {plural(tokens - 1, 'further one')} ({tpot_s:g} each)."
        )


class CapacitySearch(Specification):
    """The smallest size that is enough."""

    exercise = "capacity_search"
    referee = SearchReferee
    stateful, examples = False, 800
    rules = rules_from(
        """
        no-size-is-none: Where the largest size is not enough, the answer is None: no size reaches the target.
            ? What do you know when `most` was measured and is too small? And what may you answer if it was not?
            9 8
            2 1
            1000 64
            1000 100
        what-is-answered-was-enough: The answer is a size that was measured, and was enough.
            ? Which measurement says that your answer is enough?
            5 8
            6 8
            8 8
            37 64
            100 100
            1 1
            20 64 24
            20 64 40
        one-less-was-too-small: One size less was measured too, and was not enough; unless the answer is 1.
            ? Your answer is enough. Which measurement says that less is not?
            5 8
            7 8
            1 8
            2 8
            33 64
            37 64 35
            20 64 19
        only-sizes-there-are: Only whole sizes from 1 to most are measured.
            ? The last doubling may go beyond most. What is the largest size that you may ask for?
            37 50
            50 50
            1 1
            2 3
            80 50
        doubles-from-one: Nothing is measured that is twice the answer or more: begin with 1, and double.
            ? How large is the largest size that you have measured, and how large is the answer?
            3 1000000
            1 4096
            5 64
        each-size-once: No size is measured a second time.
            ? A measurement takes minutes. What have you measured when the doubling ends, and what do you measure next?
            5 8
            37 64
            9 1000
            1000 64
        few-measurements: Between the last size that was too small and the first that was enough, halve.
            ? Between 32, too small, and 64, enough: how many sizes must be measured at most?
            60000 100000
            700000 1000000
            37 64
            63 64
            99 100
        """
    )
    hints = (
        "Nobody knows how large the answer is. Which size is measured soonest, and by how much may the next one be "
        "larger if you are never to measure twice the answer?",
        "Begin with 1 and double until it is enough, or until most is not. Then keep two sizes: low was measured too "
        "small (0 if 1 is enough), high was measured enough. Halve what lies between them until nothing does.",
        "low, high = 0, 1\nwhile not enough(high):\n    if high == ____:\n        return None\n"
        "    low, high = high, min(____, most)\nwhile high - low > ____:\n    middle = (low + high) // 2\n"
        "    if enough(middle):\n        high = ____\n    else:\n        low = ____\nreturn high",
    )
    search = {"need": (1, 140), "most": (1, 128), "but": [(1, 128), 2]}


class ColumnMap(FunctionSpecification):
    """Which column is which."""

    exercise = "column_map"
    examples = 600
    prelude = (
        "from labkit.errors import TraceFileError\n"
        "from labkit.simulate.column_names import MEANINGS, meaning_of\n"
    )  # fmt: skip
    refusal = "nothing-is-guessed"
    rules = rules_from(
        """
        nothing-is-guessed: Where nothing says the unit, a needed column is missing, or two mean the same thing, it \
          raises TraceFileError.
            ? A column `start` holds 1700000000. Are those seconds? Who could tell you?
            ["start","prompt_tokens","completion_tokens"] null
            ["timestamp","input_length","output_length","hash_ids"] null
            ["start_ms","completion_tokens"] null
            ["prompt_tokens","completion_tokens"] s
            ["start_ms","prompt_tokens","input_tokens"] null
            ["start_ms","arrived_at","prompt_tokens"] null
            ["timestamp","start_ms","prompt_tokens"] s
            ["start_ms","prompt_tokens","gen_len","completion_tokens"] null
            [] s
            [] null
            ["when","how_much"] ms
        what-is-clear-is-answered: A file whose names say all that is needed is not refused.
            ?
            ["start_ms","prompt_tokens"] null
            ["start","prompt_tokens","completion_tokens"] s
            ["start_ms","prompt_tokens","completion_tokens","hash_ids"] null
        each-meaning-its-column: Arrival, prompt, answer and block ids each stand under their own key.
            ? What does `meaning_of` say of each column of this file, and under which key does your map put it?
            ["start_ms","prompt_tokens","completion_tokens"] null
            ["completion_tokens","prompt_tokens","start_ms"] null
            ["arrived_at","context_tokens","generated_tokens","block_hashes"] s
        as-the-file-spells-it: Under the key stands the name as the file spells it, with its capitals and spaces.
            ? By which name will the reader look for the column in the file?
            ["Start_ms"," Prompt Tokens","Completion-Tokens"] null
            ["TIMESTAMP","ContextTokens","GeneratedTokens"] s
        what-is-none-of-them-is-left-out: Columns that mean something else are not in the map, and no key stands for \
          nothing.
            ? Which keys has the map of a file that says nothing of answers?
            ["start_ms","prompt_tokens"] null
            ["user","start_ms","end_ms","prompt_tokens","total_tokens","completion_tokens","status"] null
            ["arrival_s","input_len","output_len","ttft"] null
        the-given-unit-counts: Where somebody gives the unit, it is that one, whatever the name ends in.
            ? Whom do you believe, a name, or somebody who has looked into the file?
            ["start","prompt_tokens"] ms
            ["start_ms","prompt_tokens"] us
            ["timestamp","input_length","output_length","hash_ids"] s
        else-the-unit-of-the-name: Where nobody gives it, the arrival's name says it.
            ? `start_ms` says its unit. Where in your code is that heard when nobody gives one?
            ["start_ms","prompt_tokens"] null
            ["prompt_tokens","arrival_time_us"] null
            ["received_ns","input_tokens","output_tokens"] null
            ["arrival_s","input_len","output_len"] null
        """
    )
    hints = (
        "A file has the columns start_ms, end_ms, prompt_tokens and total_tokens. Which of them do you need, and what "
        "does `meaning_of` say of each?",
        "Go through the names once; keep under its meaning each name that has one, as it is spelled. A meaning that is "
        "there already, a needed one that is missing at the end, and a unit that is still None are refused.",
        "for name in names:\n    meaning, ending = meaning_of(name)\n    if meaning is None:\n        ____\n"
        "    if meaning in found:\n        raise ____\n    found[____] = ____\n    if meaning == 'arrival':\n"
        "        unit = unit or ____",
    )
    search = {
        "names": [["start", "start_ms", "Timestamp", "arrived_at_us", "prompt_tokens", "Input Tokens", "gen_len",
                   "completion_tokens", "hash_ids", "end_ms", "user", "total_tokens"]],
        "unit": [None, None, "s", "ms"],
    }  # fmt: skip

    def rule_for(self, names: list[str], unit: str | None) -> str:
        return "each-meaning-its-column"

    def blame(self, rule: str, seen: Any, expected: Any, names: list[str], unit: str | None) -> str:
        columns = seen[0] if isinstance(seen, tuple | list) and len(seen) == 2 else None
        if columns == expected[0]:
            return "the-given-unit-counts" if unit else "else-the-unit-of-the-name"
        if not isinstance(columns, dict) or not set(columns) >= set(expected[0]):
            return "each-meaning-its-column"
        if set(columns) > set(expected[0]):
            return "what-is-none-of-them-is-left-out"
        plain = {key: str(name).strip().lower() for key, name in columns.items()}
        same = plain == {key: name.strip().lower() for key, name in expected[0].items()}
        return "as-the-file-spells-it" if same else "each-meaning-its-column"

    def rule_if_raised(self, rule: str, names: list[str], unit: str | None) -> str:
        return "what-is-clear-is-answered"

    def why_refused(self, names: list[str], unit: str | None) -> str:
        meanings = [meaning_of(name) for name in names]
        for wanted in ("arrival", "input", "output", "block_ids"):
            fits = [name for name, (meaning, _) in zip(names, meanings, strict=True) if meaning == wanted]
            if len(fits) > 1:
                return f"{fits[0]} and {fits[1]} could both be the {wanted}, and nobody said which."
            if not fits and wanted in ("arrival", "input"):
                return f"No column of this file is the {wanted}, and without one there are no requests."
        return "Nothing says in which unit arrivals count: seconds and milliseconds differ by a load of a thousand."

    def cause(self, rule: str, seen: Any, expected: Any, names: list[str], unit: str | None) -> str:
        if rule in ("the-given-unit-counts", "else-the-unit-of-the-name"):
            said = f"was given as {unit}" if unit else f"is in the name of the column: {expected[0]['arrival']}"
            return f"The unit {said}."
        return f"The map of these columns is {expected[0]}."


# ----- break it -----------------------------------------------------------------------------------------------------


class EverySecondCounts(Specification):
    """What a client that measures a server owes to whoever reads its figures."""

    exercise = "waited"
    referee = StopwatchReferee
    rules = rules_from(
        """
        all-of-the-waiting-counts: A request waits from when it was due to its first token, wherever it waits.
        """
    )
    search = {"connections": (1, 64), "at": (0, 64), "takes": (1, 64)}


class BreakTheStopwatch(BreakIt):
    """A client whose clock starts when it sends."""

    exercise = "break_stopwatch"
    base = EverySecondCounts()
    reference = "labkit.specs.capacity_and_slos.scenes:waited"
    renamed = {"Client": "new"}
    example = '("Client", 2)'
    without = {
        "due": "Nothing was asked of the server: let requests be due.",
        "run": "Nothing was sent: the client sends only when it is told to run.",
    }
    hints = (
        "For which requests are `due_s` and `sent_s` different numbers? What keeps a client from sending in time?",
        "A request is sent late only while every connection waits for an answer. So one must be due before the answer "
        "of the one that has the last connection.",
        '[("Client", ____), ("due", 0, 2), ("due", ____, 1), ("run",)]',
    )


LESSON = Lesson(
    key="20_capacity_and_slos",
    title="Capacity and SLOs",
    part="III. The scheduler",
    minutes=75,
    builds="Three tools of whoever plans: what was served well, how much is enough for it, and whose trace that is.",
    symptom="Throughput is at its best ever, and the server keeps its promise to one in six: what would be enough?",
    exercises=(
        Exercise("goodput", "What was served well", 8, 2, 5, Goodput(), "labkit.simulate.goodput:goodput"),
        Exercise("capacity_search", "How much is enough", 12, 3, 5, CapacitySearch(),
                 "labkit.simulate.capacity_search:capacity_search"),
        Exercise("column_map", "A file you have never seen", 8, 2, 4, ColumnMap(),
                 "labkit.simulate.column_names:column_map"),
        Exercise("break_stopwatch", "Break it: the clock that starts too late", 6, 2, 4, BreakTheStopwatch(),
                 kind="break"),
    ),
    paths=("storms", "whole"),
    ending="I can say how many requests were served well, how much memory or how many cards are enough for that, and "
    "of which draw of the load this is true. And I can put a trace of my own to the same test.",
)  # fmt: skip
