"""The replay of a check report: the log that a verdict carries, for the page and as a still picture.

What a verdict carries says which log it is ("kind"): the events of a pool, drawn as a page table or as strips of
memory, or the history of a radix tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.observe.events import Kind
from labkit.observe.tree_log import TreeLog
from labkit.widgets import still_boards, still_tree
from labkit.widgets.memory_map import Layout, shown_layout
from labkit.widgets.memory_state import memory_state
from labkit.widgets.page_table import step_focus
from labkit.widgets.radix_tree import board_data
from labkit.widgets.replay import LogData, pool_state, seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Replay"


def for_page(carried: dict[str, Any], setup: str) -> dict[str, Any]:
    """What `static/check_report.js` draws: a board's data and where it opens.

    Args:
        carried: `Counterexample.replay`.
        setup: what the sequence ran on, e.g. "a pool of 4".
    """
    tree = carried.get("kind") == "tree"
    return {
        "kind": "tree" if tree else "events",
        "title": TITLE,
        "subtitle": _subtitle(setup),
        "step": _opens_at(carried),
        **(_tree_board(carried) if tree else _pool_board(carried)),
    }


def picture(carried: dict[str, Any], setup: str) -> Figure:
    """The picture at which the replay opens."""
    step, subtitle = _opens_at(carried), _subtitle(setup)
    if carried.get("kind") == "tree":
        tree = TreeLog.from_data(carried)
        return still_tree.tree_at(tree, step, {key: _word(key) for key in tree.keys}, TITLE, subtitle)
    log = LogData.of(carried)
    if {int(Kind.RESERVE), int(Kind.RELEASE)}.intersection(log.records["kind"].tolist()):
        shown = shown_layout(Layout("", log, block_size=0), log)
        state = memory_state(log, step, shown["num_slots"], shown["block_size"], shown["wanted"])
        return still_boards.memory_map([log], [shown], [state], step, TITLE, subtitle)
    blocks = log.num_blocks
    return still_boards.page_table(
        log,
        pool_state(log, step, blocks),
        step,
        block_size=int(log.meta.get("block_size") or 0),
        title=TITLE,
        subtitle=subtitle,
        focus=step_focus(log, step),
        legend=seen(log, blocks),
    )


def _opens_at(carried: dict[str, Any]) -> int:
    """How many steps have been taken when the replay opens; where the log does not say, all."""
    steps = len(carried["labels"])
    return min(carried.get("step", steps - 1) + 1, steps)


def _subtitle(setup: str) -> str:
    return f"What your code did on {setup or 'the part'}."


def _tree_board(carried: dict[str, Any]) -> dict[str, Any]:
    return board_data(TreeLog.from_data(carried), _word)


def _pool_board(carried: dict[str, Any]) -> dict[str, Any]:
    log = LogData.of(carried)
    return {
        "records": log.records.tobytes(),
        "names": log.names,
        "slots": [theme.sequence_slot(name) if name else 0 for name in log.names],
        "labels": log.labels,
        "meta": log.meta,
    }


def _word(key: bytes) -> str:
    """An edge as a check writes it: its prompts are words, a letter a token, whatever the size of a page."""
    return key.decode("utf-8", "replace")
