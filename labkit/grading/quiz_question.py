"""A question, and the question as one learner gets it: numbers drawn, text filled in, options in their order.

`Question` is what stands in the file. `Instance` is the question for one seed; it knows the key. What may be sent to
a browser is `Instance.shown()` and nothing else: option ids there are letters in the order shown, so that neither
their order nor their names tell which is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labkit.errors import AnswerError
from labkit.grading.quiz_file import Key, QuizSource
from labkit.grading.quiz_values import ExpressionError, draw, evaluate, interpolate, show, shuffled, stable_hash

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
SEVERAL_TYPES = ("multiple", "sentences")
CHOICE_TYPES = ("single", *SEVERAL_TYPES, "click")


@dataclass(frozen=True)
class Question:
    """A question as it stands in the file. `key` is its place there, for messages."""

    lesson: str
    data: dict[str, Any]
    source: QuizSource
    key: Key

    @property
    def id(self) -> str:
        """The name of the question within its lesson."""
        return self.data["id"]

    @property
    def type(self) -> str:
        """single, multiple, sentences, numeric, ordering, matching, predict, click or short."""
        return self.data["type"]

    @property
    def prediction(self) -> bool:
        """Whether it is asked before a cell that reveals the answer."""
        return bool(self.data.get("prediction", False))

    @property
    def seen_in(self) -> str:
        """The earlier lesson in which it was seen ("02"), or ""."""
        return self.data.get("from", "")

    @property
    def picked(self) -> bool:
        """Whether it is answered by choosing among options."""
        return self.type in CHOICE_TYPES or (self.type == "predict" and "options" in self.data)

    @property
    def several(self) -> bool:
        """Whether more than one option may be right."""
        return self.type in SEVERAL_TYPES

    def instance(self, seed: int) -> Instance:
        """The question for one learner.

        Raises:
            QuizFileError: an expression of the file fails for these numbers.
        """
        return Instance(self, seed)


@dataclass(frozen=True)
class Option:
    """One thing to choose, to put in order or to click. `id` is its letter as shown."""

    id: str
    text: str
    right: bool
    feedback: str
    cell: str
    key: Key

    @property
    def plain(self) -> str:
        """The text without marks; this is what is kept as the answer."""
        return plain(self.text)


@dataclass(frozen=True)
class Pair:
    """One left side of a matching question with the right side that belongs to it."""

    id: str
    left: str
    right: str
    feedback: str
    cell: str


@dataclass(frozen=True)
class Near:
    """What a particular mistake would answer."""

    value: Any
    feedback: str
    cell: str
    key: Key


@dataclass(frozen=True)
class Point:
    """One thing that a short answer should name."""

    name: str
    any: tuple[str, ...]
    also: tuple[str, ...]
    found: str
    missing: str
    cell: str


def plain(text: str) -> str:
    """Text without the marks for code and bold, with single spaces."""
    parts = re.split(r"(`[^`]*`)", text)
    cleaned = [p[1:-1] if len(p) > 1 and p[0] == "`" else re.sub(r"\*\*(.+?)\*\*", r"\1", p) for p in parts]
    return " ".join("".join(cleaned).split())


def same_value(a: Any, b: Any) -> bool:
    """Equal, where 4 and 4.0 are the same and floats may differ in their last digits."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same_value, a, b))
    return a == b


class Instance:
    """A question for one seed. Which attributes are filled depends on the type; the others are empty.

    Attributes:
        options: single, multiple, sentences, click and predict with options, in the order shown; ordering: the items,
            shuffled.
        order: ordering: the plain texts of the items in the right order.
        pairs, sides: matching: the pairs, and the right-hand sides as shown.
        elsewhere: matching: by right-hand side, what is said where it is given to a left one that is not its own.
        answer, tolerance, unit: numeric, in `unit`.
        output: predict: what the code shows.
        near, feedback, otherwise: numeric and predict.
        points, need, min_words, sample: short.
    """

    def __init__(self, question: Question, seed: int) -> None:
        self.question = question
        self.seed = seed
        self._name = (question.lesson, question.id)
        data = question.data
        try:
            self.values = draw(data, seed, self._name)
        except ExpressionError as error:
            raise question.source.error(question.key, str(error), "mend `params`, `let` or `where`") from None
        self.text = self._fill("text").strip()
        self.code = self._fill("code").rstrip()
        self.reveals = self._fill("reveals").strip()
        self.explanation = self._fill("explanation").strip()
        self.feedback = self._fill("feedback").strip()
        self.otherwise = self._fill("otherwise").strip()
        self.cell: str = data.get("cell", "")
        self.options: tuple[Option, ...] = ()
        self.order: tuple[str, ...] = ()
        self.pairs: tuple[Pair, ...] = ()
        self.elsewhere: dict[str, str] = {}
        self.sides: tuple[str, ...] = ()
        self.answer = 0.0
        self.tolerance = 0.0
        self.unit: str = data.get("unit", "")
        self.output = self._fill("output").strip("\n")
        self.near: tuple[Near, ...] = ()
        self.points: tuple[Point, ...] = ()
        self.need = 0
        self.min_words = 1
        self.sample = self._fill("sample").strip()
        self.picture: dict[str, Any] = {}
        if question.picked:
            self._build_options()
        else:
            getattr(self, f"_build_{question.type}")()

    # -- building -------------------------------------------------------------------------------------------

    def _at(self, raw: Any, *path: str | int) -> str:
        """A text of the file, filled in; a failing expression is told with its line."""
        if not isinstance(raw, str):
            return show(raw)
        try:
            return interpolate(raw, self.values)
        except ExpressionError as error:
            raise self._error(path, error) from None

    def _fill(self, name: str) -> str:
        return self._at(self.question.data[name], name) if name in self.question.data else ""

    def _value(self, raw: Any, *path: str | int) -> Any:
        """A value of the file: text is an expression, anything else stands for itself."""
        if not isinstance(raw, str):
            return raw
        try:
            return evaluate(raw, self.values)
        except ExpressionError as error:
            raise self._error(path, error) from None

    def _error(self, path: Sequence[str | int], error: object, remedy: str = "mend the expression") -> Exception:
        return self.question.source.error((*self.question.key, *path), str(error), remedy)

    def _build_options(self) -> None:
        data = self.question.data
        click = self.question.type == "click"
        base: tuple[str, ...] = ("picture", "regions") if click else ("options",)
        raws = data["picture"]["regions"] if click else data["options"]
        answer = self._value(data["answer"], "answer") if "answer" in data else None
        made: list[tuple[Option, Any]] = []
        for i, raw in enumerate(raws):
            value = self._value(raw["value"], *base, i, "value") if "value" in raw else None
            text = self._at(raw["text"], *base, i, "text").strip() if "text" in raw else show(value)
            if "answer" in data:
                right = same_value(value, answer)
            else:
                right = bool(self._value(raw.get("right", False), *base, i, "right"))
            feedback = self._at(raw["feedback"], *base, i, "feedback").strip()
            key = (*self.question.key, *base, i)
            made.append((Option("", text, right, feedback, raw.get("cell", ""), key), value))
        seen: dict[str, int] = {}
        for i, (option, _) in enumerate(made):
            if option.plain in seen:
                problem = f"reads `{option.plain}` for seed {self.seed}, as option {seen[option.plain] + 1} does"
                raise self._error((*base, i), problem, "make the options differ for all numbers, or narrow `where`")
            seen[option.plain] = i
        rights = sum(option.right for option, _ in made)
        several = self.question.several
        if rights == 0 or (rights > 1 and not several):
            problem = f"{rights} options are right for seed {self.seed}"
            raise self._error(base, problem, "make exactly one right" if not several else "make one or more right")
        if not click and self.question.type != "sentences" and data.get("shuffle", True):
            if all(_number(option.plain) is not None for option, _ in made):
                made.sort(key=lambda m: _number(m[0].plain) or 0.0)
            else:
                made = shuffled(made, self.seed, self._name)
        self.options = tuple(
            Option(LETTERS[i], o.text, o.right, o.feedback, o.cell, o.key) for i, (o, _) in enumerate(made)
        )
        if click:
            self.picture = self._build_picture(data["picture"])

    def _build_picture(self, raw: dict[str, Any]) -> dict[str, Any]:
        regions = []
        for i, (region, option) in enumerate(zip(raw["regions"], self.options, strict=True)):
            path = ("picture", "regions", i)
            shown = {"id": option.id, "text": option.text, "box": region["box"], "look": region.get("look", "plain")}
            shown["mark"] = self._at(region.get("mark", option.plain), *path, "mark")
            if "note" in region:
                shown["note"] = self._at(region["note"], *path, "note")
            shown |= {name: region[name] for name in ("seq", "fill") if name in region}
            regions.append(shown)
        draw_list = []
        for i, shape in enumerate(raw.get("draw", [])):
            shown = dict(shape)
            for name in ("write", "mark"):
                if name in shown:
                    shown[name] = self._at(shown[name], "picture", "draw", i, name)
            draw_list.append(shown)
        label = self._at(raw["label"], "picture", "label")
        return {"size": raw["size"], "label": label, "draw": draw_list, "regions": regions}

    def _build_near(self, number: bool) -> None:
        near = []
        for i, raw in enumerate(self.question.data.get("near", [])):
            path = ("near", i)
            make = self._value if number else self._at
            value = make(raw["value"], *path, "value")
            feedback = self._at(raw["feedback"], *path, "feedback").strip()
            near.append(Near(value, feedback, raw.get("cell", ""), (*self.question.key, *path)))
        self.near = tuple(near)

    def _build_numeric(self) -> None:
        data = self.question.data
        answer = self._value(data["answer"], "answer")
        if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
            problem = f"is {answer!r} for seed {self.seed}, which is no finite number"
            raise self._error(("answer",), problem, "write an expression that gives a number")
        self.answer = answer
        tolerance = data.get("tolerance", 0)
        if isinstance(tolerance, str):
            tolerance = abs(self.answer) * float(tolerance.rstrip("% ")) / 100
        # Rounding of the expression itself is never the learner's mistake.
        self.tolerance = max(float(tolerance), 1e-9 * abs(self.answer))
        self._build_near(number=True)

    def _build_predict(self) -> None:
        self._build_near(number=False)

    def _build_ordering(self) -> None:
        raws = self.question.data["items"]
        items = []
        for i, raw in enumerate(raws):
            text = self._at(raw["text"], "items", i, "text").strip()
            feedback = self._at(raw["feedback"], "items", i, "feedback").strip()
            key = (*self.question.key, "items", i)
            items.append(Option("", text, True, feedback, raw.get("cell", ""), key))
        self.order = tuple(item.plain for item in items)
        if len(set(self.order)) != len(self.order):
            raise self._error(("items",), f"two items read alike for seed {self.seed}", "make the items differ")
        mixed = shuffled(items, self.seed, self._name, fixed_order_is_key=True)
        self.options = tuple(
            Option(LETTERS[i], o.text, o.right, o.feedback, o.cell, o.key) for i, o in enumerate(mixed)
        )

    def _build_matching(self) -> None:
        data = self.question.data
        pairs = []
        for i, raw in enumerate(data["pairs"]):
            left, right, feedback = (self._at(raw[n], "pairs", i, n).strip() for n in ("left", "right", "feedback"))
            pairs.append(Pair(LETTERS[i], left, right, feedback, raw.get("cell", "")))
        if len({plain(p.left) for p in pairs}) != len(pairs):
            raise self._error(("pairs",), f"two left sides read alike for seed {self.seed}", "make them differ")
        extra = [self._at(raw, "extra", i).strip() for i, raw in enumerate(data.get("extra", []))]
        taken = {plain(p.right) for p in pairs}
        for i, text in enumerate(extra):
            if plain(text) in taken:
                problem = f"`{text}` is the match of a pair for seed {self.seed}"
                raise self._error(("extra", i), problem, "take something that matches nothing")
        sides = list(dict.fromkeys([p.right for p in pairs] + extra))
        if all(_number(plain(s)) is not None for s in sides):
            sides.sort(key=lambda s: _number(plain(s)) or 0.0)
        else:
            # No rule but the seed: an order that is never that of the pairs would tell something about them.
            sides.sort(key=lambda s: stable_hash(self.seed, *self._name, "side", s))
        self.pairs, self.sides = tuple(pairs), tuple(sides)
        sides_at: list[tuple[Any, tuple[str | int, ...]]] = [
            *((raw["right"], ("pairs", i, "right")) for i, raw in enumerate(data["pairs"])),
            *((raw, ("extra", i)) for i, raw in enumerate(data.get("extra", []))),
        ]
        for raw, place in sides_at:
            said = data.get("elsewhere", {}).get(str(raw), "")
            self.elsewhere[plain(self._at(raw, *place).strip())] = self._at(said, "elsewhere", str(raw)).strip()

    def _build_short(self) -> None:
        rubric = self.question.data["rubric"]
        points = []
        for i, raw in enumerate(rubric["points"]):
            found, missing = (self._at(raw[n], "rubric", "points", i, n).strip() for n in ("found", "missing"))
            also = tuple(raw.get("with", []))
            points.append(Point(raw["name"], tuple(raw["any"]), also, found, missing, raw.get("cell", "")))
        self.points = tuple(points)
        self.need = rubric.get("need", len(points))
        self.min_words = rubric.get("min_words", 1)

    # -- what is shown --------------------------------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """What may be sent to a browser: the question without its key and without any feedback."""
        question = self.question
        out: dict[str, Any] = {"id": question.id, "type": question.type, "text": self.text, "code": self.code}
        out |= {"from": question.seen_in, "prediction": question.prediction}
        if question.type == "click":
            out["picture"] = self.picture
        elif self.options:
            out["options"] = [{"id": o.id, "text": o.text} for o in self.options]
        if question.type == "numeric":
            out["unit"] = self.unit
            tolerance = question.data.get("tolerance", 0)
            if tolerance:
                out["within"] = tolerance if isinstance(tolerance, str) else f"{show(tolerance)} {self.unit}".strip()
        if question.type == "matching":
            out["lefts"] = [{"id": p.id, "text": p.left} for p in self.pairs]
            out["sides"] = [{"id": LETTERS[i], "text": s} for i, s in enumerate(self.sides)]
        return out

    def from_ids(self, answer: Any) -> Any:
        """An answer of the widget, in ids as shown, as the texts that are kept and graded.

        Raises:
            AnswerError: an id that was never shown.
        """
        texts = {o.id: o.plain for o in self.options}
        sides = {LETTERS[i]: plain(s) for i, s in enumerate(self.sides)}
        lefts = {p.id: plain(p.left) for p in self.pairs}
        try:
            if self.question.several or self.question.type == "ordering":
                return [texts[id] for id in answer]
            if self.question.type == "matching":
                return {lefts[id]: sides[side] for id, side in answer.items() if side}
            return texts[answer] if self.question.picked else answer
        except (KeyError, TypeError, AttributeError):
            raise AnswerError(
                f"the answer to '{self.question.id}' names something that was not shown; run the cell again"
            ) from None

    def to_ids(self, answer: Any) -> Any:
        """A kept answer in ids as shown, or None where the question has changed since."""
        texts = {o.plain: o.id for o in self.options}
        sides = {plain(s): LETTERS[i] for i, s in enumerate(self.sides)}
        lefts = {plain(p.left): p.id for p in self.pairs}
        try:
            if self.question.several or self.question.type == "ordering":
                return [texts[text] for text in answer]
            if self.question.type == "matching":
                return {lefts[left]: sides[side] for left, side in answer.items()}
            return texts[answer] if self.question.picked else str(answer)
        except (KeyError, TypeError, AttributeError):
            return None

    def as_text(self, number: str = "") -> str:
        """The question as a learner sees it, in plain text."""
        lines = [f"{number}{plain(self.text)}"]
        lines += [f"    {line}" for line in self.code.splitlines()]
        hint = {
            "multiple": "Choose all that apply.",
            "sentences": "Name the sentences that are asked for.",
            "ordering": "Put in order.",
            "matching": "Match each left side with one of the right sides.",
            "predict": "What does the code show?",
            "click": f"Choose a place in the picture ({self.picture.get('label', '')}).",
            "numeric": f"Answer with a number{f' in {self.unit}' if self.unit else ''}.",
            "short": "Answer in a sentence or two.",
        }.get(self.question.type)
        if hint:
            lines.append(f"   {hint}")
        notes = {region["id"]: region["note"] for region in self.picture.get("regions", []) if "note" in region}
        lines += [f"   ({o.id}) {o.plain}" + (f": {notes[o.id]}" if o.id in notes else "") for o in self.options]
        lines += [f"   {plain(p.left)} -> ?" for p in self.pairs]
        if self.sides:
            lines.append(f"   Right sides: {'; '.join(plain(s) for s in self.sides)}")
        return "\n".join(lines)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None
