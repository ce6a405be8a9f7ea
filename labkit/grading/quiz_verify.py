"""What holds for *Verify it*: a claim is true, false or too broad, and nothing but the evidence tells which.

Whoever answers by habit ("too broad", the careful one, the longest one) must not be right for it. So all three verdicts
stand among the options; where "too broad" is right it is not the only careful one; and over the lessons each verdict is
right about as often as the others, with no run of three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from labkit.grading.quiz_question import Question

VERDICTS = ("True", "False", "Too broad")
LONGER = 1.1
"""How many times as long as the longest of the others the right option may be."""
FEWEST, MOST = 1 / 4, 1 / 2
"""The shares of the lessons in which a verdict is the right one."""


def verdict(text: str) -> str:
    """The verdict with which an option begins, "" for another word."""
    return next((word for word in VERDICTS if text.startswith((f"{word};", f"{word}:"))), "")


def right_verdict(question: Question) -> str:
    """The right verdict of a claim."""
    return next((verdict(o["text"]) for o in question.data["options"] if o.get("right") is True), "")


def in_one(question: Question) -> Iterator[tuple[str, str]]:
    """What is wrong with the options of one claim: (problem, remedy)."""
    texts = [option["text"] for option in question.data["options"]]
    count = Counter(verdict(text) for text in texts)
    if count[""]:
        yield "do not all begin with a verdict", "begin each with `True;`, `False;` or `Too broad;` and its evidence"
    for word in VERDICTS:
        if not count[word]:
            yield f"hold no `{word}`", "let all three verdicts occur"
    if right_verdict(question) == "Too broad" and count["Too broad"] == 1:
        yield "leave the right one alone in its caution", "add another `Too broad` on other evidence"
    right = [len(option["text"]) for option in question.data["options"] if option.get("right") is True]
    wrong = [len(option["text"]) for option in question.data["options"] if option.get("right") is not True]
    if right and wrong and right[0] > LONGER * max(wrong):
        problem = f"give the right one away: it has {right[0]} characters, and no other more than {max(wrong)}"
        yield problem, "make it a tenth longer than the longest of the others at most"


def over_lessons(claims: Sequence[Question]) -> Iterator[tuple[Question, str, str]]:
    """What is wrong with the claims of all lessons, in reading order: (where, problem, remedy)."""
    given = [right_verdict(question) for question in claims]
    for word in VERDICTS:
        share = given.count(word) / len(given) if given else FEWEST
        if not FEWEST <= share <= MOST:
            problem = f"`{word}` is the right verdict in {given.count(word)} of {len(given)} lessons"
            yield claims[-1], problem, "let it be a quarter of them at least, and half at most"
    for i in range(len(given) - 2):
        if len({*given[i : i + 3]}) == 1:
            problem = f"`{given[i]}` is right three times in a row"
            yield claims[i + 2], problem, "change the claim of one of the three"
