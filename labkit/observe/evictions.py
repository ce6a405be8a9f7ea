"""What was evicted, and when it was wanted again: removals paired with the requests that came for their content.

An eviction whose content nobody asks for again costs nothing. One that is wanted again is regretted: its content is
computed a second time. Which of the two it was shows only later, so it is found by pairing after the fact.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from labkit.errors import BoardError
from labkit.observe.events import EventLog, Kind


@dataclass(frozen=True)
class Eviction:
    """One cached block dropped to make room.

    Attributes:
        step: when, as the log counts its steps, from 0.
        block: the block that was emptied; -1 where that is not known.
        label: what was in it, in words for a reader.
        wanted_again: the step at which its content was asked for again, later than `step`; None if it never was.
    """

    step: int
    block: int
    label: str
    wanted_again: int | None = None

    @property
    def regretted(self) -> bool:
        """Whether the content was wanted again."""
        return self.wanted_again is not None


def pair_evictions(
    removals: Iterable[tuple[int, Hashable, int]],
    requests: Iterable[tuple[int, Hashable]],
    label: Callable[[Hashable], str] | None = None,
) -> list[Eviction]:
    """Pair each removal with the first later request for its content.

    A request at the step of the removal itself does not count: a step looks up what it needs before it evicts. Where
    a content was removed twice before it is asked for again (two blocks held it), only the second removal left
    nothing behind, so only that one is regretted.

    Args:
        removals: (step, content, block), in the order in which they happened. A content is anything that is equal to
            itself and hashable: a block hash, a prefix as a tuple, a number. A block of -1 is not known.
        requests: (step, content) of each block that was asked for, whether it was found or not; any order of steps.
        label: words for a content; by default its own text, bytes in hexadecimal.

    Returns:
        One `Eviction` a removal, in the order of `removals`.

    Raises:
        BoardError: the steps of the removals go backwards.
    """
    label = label or _text
    wanted: dict[Hashable, list[int]] = {}
    for step, content in requests:
        wanted.setdefault(content, []).append(step)
    for steps in wanted.values():
        # From the last to the first, so that the next one stands at the end.
        steps.sort(reverse=True)
    found: list[int | None] = []
    rows: list[tuple[int, int, str]] = []
    last: dict[Hashable, int] = {}
    before = 0
    for index, (step, content, block) in enumerate(removals):
        if step < before:
            raise BoardError(f"Removal {index} is at step {step}, after one at step {before}; give them in order.")
        before = step
        steps = wanted.get(content, [])
        while steps and steps[-1] <= step:
            steps.pop()
        again = steps[-1] if steps else None
        if content in last and found[last[content]] == again:
            found[last[content]] = None
        last[content] = index
        found.append(again)
        rows.append((step, block, label(content)))
    return [Eviction(step, block, words, again) for (step, block, words), again in zip(rows, found, strict=True)]


def evictions_of(log: EventLog, label: Callable[[Hashable], str] | None = None) -> list[Eviction]:
    """The evictions of an event log whose STORED events say in `arg` which content a block holds.

    REMOVED drops the content that its block was last STORED with. REUSE of a block asks for the content in it; STORED
    of a content that some block held before asks for it too, since it had to be computed again.

    Raises:
        BoardError: a block is removed whose content the log does not say.
    """
    holds: dict[int, int] = {}
    removals: list[tuple[int, Hashable, int]] = []
    requests: list[tuple[int, Hashable]] = []
    for step, kind, _, _, block, arg in log.records.tolist():
        if kind == Kind.STORED:
            if arg >= 0:
                holds[block] = arg
                requests.append((step, arg))
            else:
                holds.pop(block, None)
        elif kind == Kind.REUSE and block in holds:
            requests.append((step, holds[block]))
        elif kind == Kind.CLEARED:
            holds.clear()
        elif kind == Kind.REMOVED:
            if block not in holds:
                raise BoardError(
                    f"Step {step} removes block {block}, but the log does not say what was in it; "
                    "its STORED event should carry the number of the content as `arg`."
                )
            removals.append((step, holds.pop(block), block))
    return pair_evictions(removals, requests, label)


def _text(content: Hashable) -> str:
    return content.hex() if isinstance(content, bytes) else str(content)
