"""The lessons: what each one is, which exercises it has, and the specification of each exercise.

One module a lesson (`labkit.specs.block_pool`), each with a `LESSON`. Nothing here imports torch or hypothesis at
module level, so that `labkit lessons` answers at once.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from labkit.errors import LessonError

KEYS = (
    "00_start_here",
    "01_attention_by_hand",
    "02_what_a_token_costs",
    "03_contiguous_world",
    "04_block_pool",
    "05_block_tables",
    "06_sharing",
    "07_hash_prefix_cache",
    "08_radix_prefix_cache",
    "09_eviction_tournament",
    "10_paged_attention",
    "11_first_kernel",
    "12_bytes_are_time",
    "13_one_long_request",
    "14_prefill_and_chunks",
    "15_smaller_pages",
    "16_continuous_batching",
    "17_admission_control",
    "18_preemption",
    "19_eviction_storms",
    "20_capacity_and_slos",
    "21_your_engine",
)
"""Lesson keys in reading order. The part after the number names the spec module."""


@dataclass(frozen=True)
class Exercise:
    """One exercise cell.

    Attributes:
        id: what stands after `%%exercise`; also the name the learner defines (unless the specification says otherwise).
        title: a few words for the report and the progress overview.
        minutes, difficulty (1-5), importance (1-5): shown above the cell.
        spec: its `labkit.grading.specification.Specification`; this page, which all may read, names no room above.
        reference: "module:name" of the implementation that stands in until the learner's passes; "" for break-it
            exercises, which nothing later builds on.
        slot: the slot of the engine that it fills (see `labkit.engine.SLOTS`), or None.
        stretch: True for exercises that fold and count towards nothing.
        kind: "function", "class" or "break".
        module: name of the spec module; filled in by the registry.
    """

    id: str
    title: str
    minutes: int
    difficulty: int
    importance: int
    spec: Any
    reference: str = ""
    slot: str | None = None
    stretch: bool = False
    kind: Literal["function", "class", "break"] = "function"
    module: str = ""


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        key: e.g. "04_block_pool"; number and module name are parts of it.
        title: as the learner reads it.
        part: "Start", "I. Memory", ...
        minutes: core minutes, everything that does not fold.
        builds: one sentence: what the learner will have built.
        symptom: one sentence from the world of eviction storms that opens the lesson.
        ending: what the learner can say when it is done, in their own voice, two or three sentences.
        exercises: in the order of the notebook.
        paths: which of the paths storms, kernels, whole go through it.
    """

    key: str
    title: str
    part: str
    minutes: int
    builds: str
    symptom: str
    exercises: tuple[Exercise, ...] = ()
    paths: tuple[str, ...] = ("storms", "kernels", "whole")
    ending: str = ""

    @property
    def number(self) -> str:
        """Two digits, e.g. "04"."""
        return self.key.split("_", 1)[0]

    @property
    def lights(self) -> str:
        """The slot of the engine map that its exercises fill, or ""."""
        return next((exercise.slot for exercise in self.exercises if exercise.slot), "")

    @property
    def module(self) -> str:
        """Name of the folder of rules and mistakes below `labkit/specs`, e.g. "block_pool"."""
        return self.key.split("_", 1)[1]

    def exercise(self, id: str) -> Exercise:
        """The exercise with this id; LessonError names the ones there are."""
        for exercise in self.exercises:
            if exercise.id == id:
                return exercise
        names = ", ".join(e.id for e in self.exercises) or "none"
        raise LessonError(f"Lesson {self.number} has no exercise {id!r}; its exercises are: {names}.")


def resolve_key(name: str) -> str:
    """The full key for "04", "4", "block_pool" or "04_block_pool"; LessonError for anything else."""
    text = str(name).strip().removesuffix(".ipynb").removesuffix(".py")
    for key in KEYS:
        number, module = key.split("_", 1)
        if text in (key, number, module) or (text.isdigit() and len(text) < 3 and int(text) == int(number)):
            return key
    raise LessonError(f"There is no lesson {name!r}; name one of: {', '.join(KEYS)}.")


def following(name: str) -> str | None:
    """The key of the lesson that comes after this one; None after the last."""
    at = KEYS.index(resolve_key(name)) + 1
    return KEYS[at] if at < len(KEYS) else None


@cache
def _load(key: str) -> Lesson:
    from dataclasses import replace

    module = importlib.import_module(f"labkit.specs.{key.split('_', 1)[1]}")
    lesson: Lesson = module.LESSON
    if lesson.key != key:
        raise LessonError(f"labkit/specs/{lesson.module}.py calls itself {lesson.key!r}; expected {key!r}.")
    return replace(lesson, exercises=tuple(replace(e, module=lesson.module) for e in lesson.exercises))


def lesson(name: str) -> Lesson:
    """The lesson called by number, key or module name."""
    return _load(resolve_key(name))


def exercise(lesson_name: str, id: str) -> Exercise:
    """One exercise of one lesson."""
    return lesson(lesson_name).exercise(id)


def lessons() -> tuple[Lesson, ...]:
    """All lessons in reading order."""
    return tuple(_load(key) for key in KEYS)
