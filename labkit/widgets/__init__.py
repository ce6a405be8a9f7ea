"""Widgets: views of the event log, of a verdict, of a quiz, of the learner's progress.

`from labkit.widgets import PageTable` loads what that one widget needs, when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AddressPicture": "address_picture",
    "AttentionPlay": "attention_play",
    "BlockSizePlay": "block_size_play",
    "CheckReport": "check_report",
    "ChunkPlay": "chunk_play",
    "DrillBoard": "drill_board",
    "EngineMap": "engine_map",
    "EvictionStrip": "eviction_strip",
    "KernelReport": "kernel_report",
    "Layout": "memory_map",
    "LessonEnd": "lesson_end",
    "MemoryMap": "memory_map",
    "OnlineSoftmax": "online_softmax",
    "OpeningCard": "opening_card",
    "OwnWork": "own_work",
    "PagePlay": "page_play",
    "PageTable": "page_table",
    "ProgressOverview": "progress_overview",
    "QuantPlay": "quant_play",
    "QuizWidget": "quiz",
    "RadixTree": "radix_tree",
    "RequestTimeline": "request_timeline",
    "Roofline": "roofline",
    "SplitView": "split_view",
    "Storm": "storm",
    "StormBoard": "storm_board",
    "TokenCost": "token_cost",
    "TournamentBoard": "tournament_board",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
