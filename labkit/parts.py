"""The parts of the engine and who made each: the learner, where their check has passed, else the reference.

Every widget, simulation and engine asks here, so that a learner's `BlockPool` from lesson 04 runs under everything
that comes later. Where something has not been passed, the reference stands in, and nobody is stuck.

The environment variable LABKIT_PARTS=reference hands out references only (checks use it to be fair with blame).
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from labkit.errors import LessonError

if TYPE_CHECKING:
    from labkit.cache.kv_cache_manager import KVCacheManager


@dataclass(frozen=True)
class Slot:
    """One box of the engine map.

    Attributes:
        name: e.g. "block_pool".
        title: as the map writes it.
        lesson: number of the lesson that builds it.
        exercise: id of the exercise whose pass fills it; "" while its lesson is still to come.
        row, column: place on the map, counted from 0.
        about: one sentence for the learner who points at the box.
    """

    name: str
    title: str
    lesson: str
    exercise: str
    row: int
    column: int
    about: str


SLOTS: tuple[Slot, ...] = (
    Slot("admission", "Admission", "17", "", 0, 0, "Decides which waiting request may start."),
    Slot("scheduler", "Scheduler", "16", "", 0, 1, "Decides which tokens are computed in the next step."),
    Slot("preemption", "Preemption", "18", "", 0, 2, "Decides who gives memory back when there is none left."),
    Slot("prefix_cache", "Prefix cache", "07", "register_release", 1, 0, "Finds blocks that were computed before."),
    Slot("block_pool", "Block pool", "04", "BlockPool", 1, 1, "Hands out the blocks of the cache and takes them back."),
    Slot("eviction", "Eviction", "09", "LRU", 1, 2, "Decides which cached block goes first."),
    Slot("block_table", "Block table", "05", "BlockTable", 2, 0, "Says which block holds which tokens of a sequence."),
    Slot("attention", "Attention", "10", "", 2, 1, "Reads keys and values through the block table."),
    Slot("model", "Model", "21", "", 2, 2, "The language model that the engine serves."),
)
"""The boxes of the engine map."""

LINKS: tuple[tuple[str, str], ...] = (
    ("scheduler", "admission"), ("scheduler", "preemption"), ("scheduler", "block_pool"),
    ("block_pool", "prefix_cache"), ("block_pool", "eviction"), ("block_pool", "block_table"),
    ("block_table", "attention"), ("attention", "model"),
)
"""Which parts speak to each other."""

REFERENCES = {
    "block_pool": "labkit.cache.block_pool:BlockPool",
    "block_table": "labkit.cache.block_table:BlockTable",
}
"""Reference implementations of the slots that have one so far."""

Owner = Literal["yours", "reference"]
_loaded: dict[tuple[str, str, str], Any] = {}


def slot(name: str) -> Slot:
    """The slot called `name`."""
    for known in SLOTS:
        if known.name == name:
            return known
    raise LessonError(f"The engine has no part {name!r}; its parts are: {', '.join(s.name for s in SLOTS)}.")


def get(name: str) -> Any:
    """The implementation for a slot: the learner's if its check has passed, else the reference."""
    place = slot(name)
    if place.exercise:
        return implementation(place.lesson, place.exercise)
    if name not in REFERENCES:
        raise LessonError(f"The part {place.title!r} is built in lesson {place.lesson}, which is still to come.")
    return load_reference(REFERENCES[name])


def owner(name: str) -> Owner:
    """Whose implementation `get` would hand out."""
    place = slot(name)
    if not place.exercise or _only_references():
        return "reference"
    return "yours" if _passed_text(place.lesson, place.exercise) is not None else "reference"


def implementation(lesson: str, exercise: str) -> Any:
    """What an exercise defines: the learner's if it passed, else its reference."""
    from labkit import specs

    entry = specs.exercise(lesson, exercise)
    text = None if _only_references() else _passed_text(lesson, exercise)
    if text is None:
        return load_reference(entry.reference)
    key = (specs.resolve_key(lesson), exercise, text)
    if key not in _loaded:
        from labkit.grading.source import Source, filename

        _loaded[key] = Source(entry.spec, text, filename(key[0], exercise)).namespace()[entry.spec.target]
    return _loaded[key]


def kv_cache_manager(num_blocks: int, block_size: int = 16, **settings: Any) -> KVCacheManager:
    """A KV-cache manager made of the parts in use.

    A prefix cache of the learner's is the queue of lesson 07, which evicts by age alone. Without one, the engine's hash
    cache runs, under whichever eviction policy is in use.

    Args:
        settings: as in `KVCacheManager`; what is given here is not taken from the parts.
    """
    from labkit.cache.kv_cache_manager import KVCacheManager
    from labkit.cache.queue_backed_cache import queue_backed

    settings.setdefault("counts", implementation("06", "RefCounts"))
    if "pool" not in settings:
        settings["pool"] = get("block_pool")(num_blocks)
    if "prefix_cache" not in settings and "policy" not in settings:
        if owner("prefix_cache") == "yours":
            settings["prefix_cache"] = queue_backed(get("prefix_cache"))
        else:
            settings["policy"] = get("eviction")()
    return KVCacheManager(num_blocks, block_size, **settings)


def load_reference(path: str) -> Any:
    """The object behind "module:name"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def exported() -> dict[str, tuple[str, str]]:
    """Everything `labkit.mine` can hand out: name -> (lesson key, exercise id)."""
    from labkit import specs

    return {e.spec.target: (lesson.key, e.id) for lesson in specs.lessons() for e in lesson.exercises if e.reference}


def _only_references() -> bool:
    return os.environ.get("LABKIT_PARTS") == "reference"


def _passed_text(lesson: str, exercise: str) -> str | None:
    from labkit import specs
    from labkit.grading.progress import Progress

    return Progress().passed(specs.resolve_key(lesson), exercise)
