"""A learner who never was, with a progress whose every time is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labkit.drills.catalog import DRILLS
from labkit.grading.progress import DRILLS as PLAYED
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions

POOL = "04_block_pool"
BEST = {"points": 83.4, "parts": [30.0, 15.0, 20.0, 18.4], "seed": 1, "pins": [], "changes": 1, "at_risk": 9}


def made_up(tmp_path: Path, **more: Any) -> None:
    """Lesson 04 with one exercise passed after three tries and a break, one not; two drills, one of them gone."""
    tries = [("09:00", "fail"), ("09:10", "fail"), ("13:00", "fail"), ("13:05", "pass"), ("15:00", "pass")]
    text = solutions(POOL)["blocks_needed"]
    data: dict[str, Any] = {
        "format": "labkit-progress",
        "version": 1,
        "seed": 7,
        "attempts": [
            {
                "lesson": POOL,
                "exercise": "blocks_needed",
                "at": f"2026-02-0{1 + i // 3}T{at}:00+00:00",
                "verdict": verdict,
            }
            for i, (at, verdict) in enumerate(tries)
        ]
        + [{"lesson": POOL, "exercise": "BlockPool", "at": "2026-02-03T08:00:00+00:00", "verdict": "error"}],
        "passes": [{"lesson": POOL, "exercise": "blocks_needed", "at": "2026-02-02T15:00:00+00:00", "text": text}],
        "hints": [{"lesson": POOL, "exercise": "blocks_needed", "level": 2}],
        "failing": [],
        "answers": [
            {"lesson": PLAYED, "question": name, "answer": {"plays": 3, "best": BEST}, "correct": True, "score": 0.8}
            for name in (next(iter(DRILLS)), "a-drill-that-is-gone")
        ],
    } | more
    for attempt in data["attempts"]:
        attempt |= {"rule": None, "seconds": 0.1, "text": text}
    for answer in data["answers"]:
        answer |= {"at": "2026-02-03T08:00:00+00:00", "attempts": 1}
    path = tmp_path / "progress.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    Progress().import_(path)
