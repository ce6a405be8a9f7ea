"""What lesson 06 shows at work: sequences that fork, on the parts of the lesson, yours or the reference."""

from __future__ import annotations

from labkit.observe.events import EventLog
from labkit.observe.recorder import record
from labkit.specs.sharing.drafts import Drafts

NUM_BLOCKS, BLOCK_SIZE = 24, 4


def one_prompt_several_drafts() -> EventLog:
    """A has ten tokens; B and C begin where it stands, D later where B stands. All write, and end."""
    drafts, log = _recorded()
    drafts.prompt("A", 10)
    drafts.fork("A", "B")
    drafts.fork("A", "C")
    for name, tokens in [("B", 1), ("A", 1), ("C", 1), ("B", 4), ("A", 5)]:
        drafts.append(name, tokens)
    drafts.release("C")
    drafts.fork("B", "D")
    for name, tokens in [("D", 1), ("B", 1), ("D", 6)]:
        drafts.append(name, tokens)
    for name in "ABD":
        drafts.release(name)
    return log


def three_beams() -> EventLog:
    """Three beams over a prompt of six tokens, for ten tokens; which of them go on is made up."""
    beams, log = _recorded()
    beams.prompt("A", 6)
    beams.fork("A", "B")
    beams.fork("A", "C")
    # At each token: nobody, or which beam ends and which one forks in its place.
    for change in ["", "C<A", "", "", "B<A", "", "A<C", "", "B<C", ""]:
        if change:
            loser, parent = change.split("<")
            beams.release(loser)
            beams.fork(parent, loser)
        for name in "ABC":
            beams.append(name)
    return log


def _recorded() -> tuple[Drafts, EventLog]:
    from labkit.mine import BlockPool, BlockTable, RefCounts, append_cow, fork

    log = EventLog(num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE)
    refs = record(RefCounts(BlockPool(NUM_BLOCKS)), log)
    return record(Drafts(refs, BLOCK_SIZE, BlockTable, fork, append_cow), log), log
