"""Short answers by rubric: which points are named, found by words and by how they stand in the sentence.

This judges words, not truth, and every outcome says so. A keyword counts where it is not denied ("I would not
measure"); two denials cancel ("never believe it without measuring"). The answer must have the length of a sentence,
so that a bare list of keywords finds nothing. A phrase may end words in `*`, and `#` is a number: "# and #".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from labkit.grading.quiz_question import Point

HONEST = "This looks for words and how they stand in the sentence; it cannot tell whether what you wrote is true."

_NEGATORS = {"no", "nothing", "not", "never", "without", "cannot", "neither", "nor", "none", "hardly"}
_BREAKS = {"and", "but", "then", "so", "because", "until", "instead", "unless"}
_REACH = 4  # words between a denial and what it denies: "not by running a benchmark"


@dataclass(frozen=True)
class Found:
    """Whether one point was named, and the words it was found by."""

    point: Point
    found: bool
    words: str


def words_of(text: str) -> list[str]:
    """The words of a text, lower case; apostrophes stay inside them."""
    return re.findall(r"[\w'’%-]+", text.lower())


@lru_cache(maxsize=512)
def _pattern(phrase: str) -> re.Pattern[str]:
    parts = []
    for word in phrase.lower().split():
        body = r"\d[\d.,]*" if word == "#" else re.escape(word.rstrip("*"))
        parts.append(rf"{body}\w*" if word.endswith("*") else rf"{body}(?:s|es)?")
    return re.compile(r"\b" + r"[\s-]+".join(parts) + r"\b", re.IGNORECASE)


def _negated(before: str) -> bool:
    """Whether what follows `before` in the same sentence is denied."""
    sentence = re.split(r"[.!?;:\n]", before)[-1]
    clause = words_of(re.split(r",", sentence)[-1])
    whole = words_of(sentence)
    for distance, word in enumerate(reversed(clause)):
        if distance >= _REACH or word in _BREAKS:
            return False
        if word == "without":
            # "Do not rely on it without measuring": the first denial turns the second around.
            earlier = whole[: len(whole) - distance - 1]
            return not any(_is_negator(w) for w in earlier)
        if _is_negator(word):
            return True
    return False


def _is_negator(word: str) -> bool:
    return word in _NEGATORS or word.endswith(("n't", "n’t"))


def _hit(text: str, phrases: tuple[str, ...]) -> str:
    for phrase in phrases:
        for match in _pattern(phrase).finditer(text):
            if not _negated(text[: match.start()]):
                return match.group(0)
    return ""


def find_points(text: str, points: tuple[Point, ...], min_words: int) -> list[Found]:
    """Each point of the rubric with the words it was found by; nothing is found in fewer than `min_words` words."""
    if len(set(words_of(text))) < min_words:
        return [Found(point, False, "") for point in points]
    out = []
    for point in points:
        words = _hit(text, point.any)
        if words and point.also and not _hit(text, point.also):
            words = ""
        out.append(Found(point, bool(words), words))
    return out
