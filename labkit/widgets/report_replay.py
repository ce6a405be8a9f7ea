"""The replay of a check report: the log that a verdict carries, for the page.

What a verdict carries says which log it is ("kind"): the events of a pool, drawn as a page table or as strips of
memory, or the history of a radix tree.
"""

from __future__ import annotations

from typing import Any

from labkit import theme
from labkit.observe.pool_state import LogData
from labkit.observe.trees import TreeLog
from labkit.widgets.radix_tree import board_data

TITLE = "Replay"


def for_page(carried: dict[str, Any], setup: str, whose: str = "yours") -> dict[str, Any]:
    """What `static/check_report.js` draws: a board's data and where it opens.

    Args:
        carried: `Counterexample.replay`.
        setup: what the sequence ran on, e.g. "a pool of 4".
        whose: whose code it was, as `Counterexample.whose` says.
    """
    tree = carried.get("kind") == "tree"
    return {
        "kind": "tree" if tree else "events",
        "title": TITLE,
        "subtitle": _subtitle(setup, whose),
        "step": _opens_at(carried),
        **(_tree_board(carried) if tree else _pool_board(carried)),
    }


def _opens_at(carried: dict[str, Any]) -> int:
    """How many steps have been taken when the replay opens; where the log does not say, all."""
    steps = len(carried["labels"])
    return min(carried.get("step", steps - 1) + 1, steps)


def _subtitle(setup: str, whose: str) -> str:
    return f"What {'the code' if whose == 'yours' else whose} did on {setup or 'the part'}."


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
        "contents": carried.get("contents", {}),
    }


def _word(key: bytes) -> str:
    """An edge as a check writes it: its prompts are words, a letter per token, whatever the size of a page."""
    return key.decode("utf-8", "replace")
