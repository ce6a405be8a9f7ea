"""The engine: whose each of its parts is, and how they are put together. The only place that decides either.

Every widget, scene, simulation, benchmark and the model get their parts here, so that a learner's `BlockPool` from
lesson 04 runs under everything that comes later. Where something has not been passed, the reference stands in, and
nobody is stuck. `labkit.mine` is the same question, asked by name.

The environment variable LABKIT_PARTS=reference hands out references only, and what `only` answers one part of the
learner's among references: checks use it to be fair with blame.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, wraps
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from labkit.cache.checks import whole_number
from labkit.cache.tokens import TOKEN_BYTES
from labkit.errors import CacheError, LabkitError, LessonError, PartError, PolicyError

if TYPE_CHECKING:
    from labkit.cache.base import BlockPoolLike, EvictionPolicy, PrefixCache
    from labkit.cache.kv_cache_manager import KVCacheManager
    from labkit.scheduling.config import SchedulerConfig
    from labkit.scheduling.scheduler import Scheduler
    from labkit.specs import Exercise


@dataclass(frozen=True)
class Slot:
    """One box of the engine map. Which exercises fill it is said by `Exercise.slot`.

    Attributes:
        name: e.g. "block_pool".
        title: as the map writes it.
        lesson: number of the lesson that builds it.
        row, column: place on the map, counted from 0.
        about: one sentence for the learner who points at the box.
    """

    name: str
    title: str
    lesson: str
    row: int
    column: int
    about: str


SLOTS: tuple[Slot, ...] = (
    Slot("admission", "Admission", "17", 0, 0, "Decides which waiting request may start."),
    Slot("scheduler", "Scheduler", "16", 0, 1, "Decides which tokens are computed in the next step."),
    Slot("preemption", "Preemption", "18", 0, 2, "Decides who gives memory back when there is none left."),
    Slot("prefix_cache", "Prefix cache", "07", 1, 0, "Finds blocks that were computed before, by their hashes."),
    Slot("block_table", "Block table", "05", 1, 1, "Says which block holds which tokens of a sequence."),
    Slot("eviction", "Eviction", "09", 1, 2, "Decides which cached block goes first."),
    Slot("radix_tree", "Radix tree", "08", 2, 0, "Finds computed blocks by their tokens, in a tree."),
    Slot("sharing", "Sharing", "06", 2, 1, "Counts who holds a block, and copies it before two would write in it."),
    Slot("block_pool", "Block pool", "04", 2, 2, "Hands out the blocks of the cache and takes them back."),
    Slot("attention", "Attention", "10", 3, 1, "Reads keys and values through the block table."),
    Slot("model", "Engine loop", "21", 3, 2, "Runs each step through the model, samples, and tells everybody."),
)
"""The boxes of the engine map."""

LINKS: tuple[tuple[str, str], ...] = (
    ("scheduler", "admission"),
    ("scheduler", "preemption"),
    ("scheduler", "block_table"),
    ("block_table", "prefix_cache"),
    ("block_table", "radix_tree"),
    ("block_table", "sharing"),
    ("prefix_cache", "eviction"),
    ("sharing", "block_pool"),
    ("block_table", "attention"),
    ("attention", "model"),
)
"""Which parts speak to each other."""

Owner = Literal["yours", "reference", "later"]
_refused: set[tuple[str, str, str]] = set()  # texts that passed once and cannot be loaded any more


# ----- whose each part is -----------------------------------------------------------------------------------------


def slot(name: str) -> Slot:
    """The slot called `name`."""
    for known in SLOTS:
        if known.name == name:
            return known
    raise LessonError(f"The engine has no slot {name!r}; its slots are: {', '.join(s.name for s in SLOTS)}.")


def exercises(name: str) -> list[tuple[str, Exercise]]:
    """(lesson key, exercise) of all that fill a slot, in reading order; none while its lesson is still to come."""
    from labkit import specs

    keys = [key for key in specs.KEYS if key.startswith(f"{slot(name).lesson}_")]
    return [(key, e) for key in keys for e in specs.lesson(key).exercises if e.slot == name]


def owner(name: str) -> Owner:
    """Whose a slot is: "yours" once all of its exercises are passed, stretches aside."""
    fills = [(key, exercise.id) for key, exercise in exercises(name) if not exercise.stretch]
    if not fills:
        return "later"
    passed = _passed()
    return "yours" if all(exercise in passed for exercise in fills) else "reference"


def part(name: str) -> Any:
    """The implementation that goes by a name in the lessons: the learner's if its check has passed, else the reference.

    Args:
        name: what an exercise defines, e.g. "BlockPool" or "append_cow".

    Raises:
        LessonError: no exercise defines it; the message names those that there are.
    """
    return Parts().part(name)


class Parts:
    """The parts that go into one engine.

    Args:
        yours: False for the references alone, as benchmarks and tests of the library want them.
    """

    _loaded: ClassVar[dict[tuple[str, str, str], Any]] = {}

    def __init__(self, yours: bool = True) -> None:
        self._passed = _passed() if yours else {}
        self.yours: dict[str, tuple[str, str]] = {}
        """The learner's own among the parts that were asked for: name -> (lesson key, exercise id)."""

    def is_yours(self, name: str) -> bool:
        """Whether `part(name)` is the learner's own."""
        return exported()[name] in self._passed

    def part(self, name: str) -> Any:
        """See the function `part`."""
        from labkit import specs

        known = exported()
        if name not in known:
            names = ", ".join(sorted(known))
            raise LessonError(f"Nothing in the course so far is called {name!r}; there are: {names}.")
        where = lesson, id = known[name]
        entry = specs.exercise(lesson, id)
        reference = load_reference(entry.reference)
        if where not in self._passed:
            return reference
        key = (lesson, id, self._passed[where])
        if key not in self._loaded:
            from labkit.grading.source import CannotLoad, filename, load_passed

            try:
                self._loaded[key] = load_passed(entry.spec, key[2], filename(lesson, id))
            except CannotLoad as error:  # told once
                print(f"{error} Until then the reference stands in.")
                self._loaded[key] = reference
                _refused.add(key)
                del self._passed[where]
        if self._loaded[key] is not reference:
            self.yours[name] = where
        return self._loaded[key]


def load_reference(path: str) -> Any:
    """The object behind "module:name"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def exported() -> dict[str, tuple[str, str]]:
    """Everything `labkit.mine` can hand out: name -> (lesson key, exercise id)."""
    from labkit import specs

    return {e.spec.target: (lesson.key, e.id) for lesson in specs.lessons() for e in lesson.exercises if e.reference}


def _passed() -> dict[tuple[str, str], str]:
    """The text of every exercise that has passed and can be loaded, by (lesson key, exercise id)."""
    from labkit.grading.progress import Progress

    parts = os.environ.get("LABKIT_PARTS", "mine")
    texts = {} if parts == "reference" else Progress().passed_all()
    wanted = {where: text for where, text in texts.items() if parts in ("mine", only(*where))}
    return {where: text for where, text in wanted.items() if (*where, text) not in _refused}


def only(lesson: str, exercise: str) -> str:
    """The value of LABKIT_PARTS under which one exercise is the learner's and all others are the references."""
    return f"only {lesson} {exercise}"


# ----- how they are put together ----------------------------------------------------------------------------------

PREFIX_CACHES = ("hash", "radix", None)


def prefix_cache(
    num_blocks: int,
    page_bytes: int,
    kind: str | None = "hash",
    *,
    policy: EvictionPolicy | None = None,
    pool: BlockPoolLike | None = None,
    counts: Callable[[Any], Any] | None = None,
    yours: bool = True,
    **more: Any,
) -> PrefixCache:
    """The pool that block tables take from: counted blocks, and contents that stay findable.

    Args:
        num_blocks: 1 or more.
        page_bytes: bytes of the tokens of one block (`labkit.cache.tokens`).
        kind: "hash" for the chains of lesson 07, "radix" for the tree of lesson 08, None for no caching.
        policy: who is evicted first. By default your LRU of lesson 09, if it has passed; else the free queue of lesson
            07 under "hash", and least recently used under "radix".
        pool: another pool of as many blocks, all of them free.
        counts: makes the counts over the pool, in place of `RefCounts`.
        yours: False for the references alone.
        more: other parts of the cache, by the names that its class gives them.

    Raises:
        CacheError: numbers that make no sense, a pool of another size, another kind. PolicyError: the policy is none.
    """
    return _prefix_cache(Parts(yours), num_blocks, page_bytes, kind, policy, pool, counts, **more)


def _prefix_cache(
    parts: Parts,
    num_blocks: int,
    page_bytes: int,
    kind: str | None,
    policy: EvictionPolicy | None,
    pool: BlockPoolLike | None,
    counts: Callable[[Any], Any] | None,
    **more: Any,
) -> PrefixCache:
    from labkit.cache.eviction import checked_policy
    from labkit.cache.hash_prefix_cache import HashPrefixCache
    from labkit.cache.no_prefix_cache import NoPrefixCache
    from labkit.cache.radix_prefix_cache import RadixPrefixCache

    if kind not in PREFIX_CACHES:
        raise CacheError(f'prefix_cache is {kind!r:.60}, but must be "hash", "radix" or None: choose one.')
    num_blocks = whole_number(num_blocks, "num_blocks", at_least=1, error=CacheError)
    pool = parts.part("BlockPool")(num_blocks) if pool is None else pool
    if not pool.num_blocks == pool.num_free == num_blocks:
        raise CacheError(
            f"The pool has {pool.num_blocks} blocks, {pool.num_free} of them free, but {num_blocks} were asked for: "
            "give a fresh pool of as many."
        )
    refs = (counts or parts.part("RefCounts"))(pool)
    if kind is None:
        return NoPrefixCache(refs)
    if policy is not None:
        checked_policy(policy)
    elif kind == "radix" or parts.is_yours("LRU"):
        policy = parts.part("LRU")()
    if kind == "hash":
        names = {"blocks": "QueuePrefixCache", "chain_hashes": "chain_hashes", "longest_hit": "longest_hit"}
        make: Any = HashPrefixCache
    else:
        names = {name: name for name in ("match", "split", "insert", "evict_leaf")}
        make = RadixPrefixCache
    return make(refs, page_bytes, policy, **{key: parts.part(name) for key, name in names.items()} | more)


def kv_cache_manager(
    num_blocks: int,
    block_size: int = 16,
    *,
    prefix_cache: str | None = "hash",
    policy: EvictionPolicy | None = None,
    pool: BlockPoolLike | None = None,
    counts: Callable[[Any], Any] | None = None,
    regret: bool = False,
    yours: bool = True,
    parts: Parts | None = None,
    **more: Any,
) -> KVCacheManager:
    """A KV-cache manager made of the parts in use.

    Where a part of the learner's raises, or answers what nobody can go on with, the call ends in a PartError that says
    which, and so does every later call: the run is over.

    Args:
        block_size: tokens per block, 1 or more.
        prefix_cache: the kind of cache; this and the rest as for `prefix_cache` above.
        regret: count evictions that are regretted, which costs a hash for each block that is filled.
        parts: those to make it of. By default progress is read for them, which takes most of the time of whoever makes
            hundreds of managers.

    Raises:
        CacheError, PolicyError: as `prefix_cache` above.
    """
    from labkit.cache.kv_cache_manager import KVCacheManager
    from labkit.observe.regret import watch_regret

    parts = parts or Parts(yours)
    block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
    cache = _prefix_cache(parts, num_blocks, TOKEN_BYTES * block_size, prefix_cache, policy, pool, counts, **more)
    tables = {name: parts.part(name) for name in ("fork", "append_cow")}
    manager = KVCacheManager(cache, block_size, table=parts.part("BlockTable"), **tables)
    if regret:
        watch_regret(manager)
    if parts.yours:
        _end_the_run_where_a_part_fails(manager, CALLS, parts.yours)
    return manager


def scheduler(
    manager: KVCacheManager, config: SchedulerConfig | None = None, *, yours: bool = True, parts: Parts | None = None
) -> Scheduler:
    """A scheduler over a manager, whose decisions are the functions of the lessons, yours where they have passed.

    Where one of yours raises, or answers what nobody can go on with, the run ends as a manager's does.

    Args:
        manager: where the memory is, as `kv_cache_manager` makes it; nobody else allocates in it.
        config: the knobs; vLLM's defaults where left out.
        yours, parts: as for `kv_cache_manager`.
    """
    from labkit.scheduling.scheduler import Rules, Scheduler

    parts = parts or Parts(yours)
    rules = {name: parts.part(name) for name in Rules._fields if name in exported()}
    if parts.is_yours("step"):
        rules["step"] = _only_who_runs(rules["step"])
    if parts.is_yours("choose_victim"):
        rules["choose_victim"] = _one_of_them(rules["choose_victim"])
    made = Scheduler(manager, config, Rules(**rules))
    if parts.yours:
        _end_the_run_where_a_part_fails(made, DECISIONS, parts.yours)
    return made


def decode_attention(*, yours: bool = True, parts: Parts | None = None) -> Callable[..., Any] | None:
    """Your `paged_attention` of lesson 10, once it has passed; None until then, and for the references alone.

    There is no reference here: until then the model gathers keys and values into a copy, which PyTorch attends faster
    than any loop over pages. Where yours raises, or answers what nobody can go on with, the run ends as a manager's.
    """
    return _in_place(parts or Parts(yours), "paged_attention", "online_update")


def prefill_attention(*, yours: bool = True, parts: Parts | None = None) -> Callable[..., Any] | None:
    """Your `chunk_prefill` of lesson 14, once it has passed; None until then, as `decode_attention`."""
    return _in_place(parts or Parts(yours), "chunk_prefill", "causal_window_mask", "gather_kv")


def engine_step(*, yours: bool = True, parts: Parts | None = None) -> Callable[[Any], Any] | None:
    """Your `engine_step` of lesson 21, once it has passed; None until then. The engine ends the run where it fails."""
    parts = parts or Parts(yours)
    if not parts.is_yours("engine_step"):
        return None
    step = parts.part("engine_step")
    return step if "engine_step" in parts.yours else None  # it has passed once, and cannot be loaded any more


KERNELS = ("split_decode", "grouped_decode", "paged_decode", "prefill", "write_kv")
"""Kernels of lessons 11 to 14, under the names of the launchers of `kvkernels` that take one."""


def own_kernels(parts: Parts) -> dict[str, Any]:
    """The learner's kernels that have passed, by the name of their launcher. They run where kernels run
    (`labkit.attention.backend`): on a GPU, or in the interpreter where somebody asks for it.
    """
    known = exported()
    found = {name: parts.part(name) for name in KERNELS if name in known and parts.is_yours(name)}
    return {name: kernel for name, kernel in found.items() if name in parts.yours}


def ended_by(parts: Parts, names: Iterable[str], call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that ends the run with a sentence where one of these parts of the learner's fails, as a manager's does."""
    return _guarded(call, {name: parts.yours[name] for name in names}, [])


def _in_place(parts: Parts, name: str, *others: str) -> Callable[..., Any] | None:
    """The learner's attention called `name`, which calls `others`, and whose answer is looked at; None without it."""
    if not parts.is_yours(name):
        return None
    attention, _ = parts.part(name), [parts.part(other) for other in others]
    whose = {part: at for part, at in parts.yours.items() if part in (name, *others)}
    if name not in whose:  # it has passed once, and cannot be loaded any more
        return None

    @wraps(attention)
    def checked(q: Any, *where: Any) -> Any:
        out = attention(q, *where)
        kind = (getattr(out, "shape", None), getattr(out, "dtype", None))
        if kind != (q.shape, q.dtype):
            raise PartError(name, f"answered {type(out).__name__} of {kind}, where {q.shape} is due")
        return out

    return _guarded(checked, whose, [])


def _only_who_runs(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The step, whose answer is looked at before anybody goes on with it."""

    @wraps(step)
    def checked(scheduler: Any) -> Any:
        plan, running = step(scheduler), set(scheduler.running)
        for request, n in plan:
            if request not in running or n < 1:
                raise PartError("step", f"planned {n} tokens for {request!r}")
        return plan

    return checked


def _one_of_them(choose_victim: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """The choice of a victim, who must be among those that were named."""

    @wraps(choose_victim)
    def checked(running: Any, how: str) -> Any:
        victim = choose_victim(list(running), how)
        if victim not in running:
            raise PartError("choose_victim", f"answered {victim!r:.60}, which is none of those that it may choose from")
        return victim

    return checked


CALLS = (
    "lookup",
    "slots",
    "allocate",
    "append",
    "append_each",
    "extend",
    "fork",
    "free",
    "preempt",
    "reset_prefix_cache",
)
"""What a manager does through its parts."""
DECISIONS = ("submit", "schedule", "cancel", "fork")
"""What a scheduler does through them."""


def _end_the_run_where_a_part_fails(made: Any, calls: tuple[str, ...], yours: dict[str, tuple[str, str]]) -> None:
    """Every call of a manager or scheduler with parts of the learner's says whose fault it was, and is the last."""
    over: list[PartError] = []
    for name in calls:
        setattr(made, name, _guarded(getattr(made, name), yours, over))


def _guarded(call: Callable[..., Any], yours: dict[str, tuple[str, str]], over: list[PartError]) -> Callable[..., Any]:
    """A call that says whose fault it was where a part of the learner's fails; `over` holds that error ever after."""

    @wraps(call)
    def made(*args: Any, **kwargs: Any) -> Any:
        if over:
            raise over[0]
        try:
            return call(*args, **kwargs)
        except Exception as raised:
            error = _of_the_kernel(raised)
            if isinstance(error, PartError) and error.__cause__:
                raise  # the manager below has said already whose fault it was
            ended = _blame(error, yours)
            if ended is None:
                raise
            over.append(ended)
            raise ended from error

    return made


def _of_the_kernel(error: Exception) -> Exception:
    """What a kernel raised itself: Triton's interpreter wraps it, and with it the line that it came from."""
    while type(error).__name__ == "InterpreterError" and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _blame(error: Exception, yours: dict[str, tuple[str, str]]) -> PartError | None:
    """The error that ends the run, if it was a part of the learner's; None if the caller has asked for nonsense.

    Whose code raised is in the traceback. What is no `LabkitError` and was raised by the library itself follows from an
    answer that it could not go on with: then each of the learner's parts may have given it.
    """
    from labkit.grading.source import filename

    names = {filename(*where): name for name, where in yours.items()}
    frames = [frame.f_code for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_filename in names]
    if frames:
        name, what = names[frames[-1].co_filename], f"{frames[-1].co_name} raised {type(error).__name__}: {error}"
    elif isinstance(error, PartError):
        name, what = error.part, error.what
    elif isinstance(error, PolicyError):
        name, what = "LRU", str(error).removesuffix(".")
    elif isinstance(error, LabkitError):
        return None
    else:
        name, what = "", f"one of them answered what led to {type(error).__name__}: {error}"
    if name and name not in yours:
        return None
    blamed = [name] if name else sorted(yours)
    cells = ", ".join(f"{name} of lesson {yours[name][0][:2]}" for name in blamed)
    return PartError(
        blamed[0],
        what,
        f"Your {cells} ended this run: {what}; mend it and check it again, or go on with the reference after "
        f"`labkit reset {' '.join(yours[blamed[0]])}`.",
    )
