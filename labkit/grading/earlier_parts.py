"""Which of the learner's earlier parts it is, where a check passes over the references and fails over their own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from labkit import engine, specs
from labkit.grading.progress import Progress
from labkit.grading.specification import Specification

ENOUGH = 5.0
"""Processor seconds after which no part is looked for any more: a check has 15, and each part costs one check more."""


def to_blame(spec: Specification, passes: Callable[[], bool], began: float = 0.0) -> str:
    """A sentence that names the part and says what to do; "" where no part fails alone, or time is short.

    Args:
        spec: the exercise that is checked. Its prelude says which parts it takes.
        passes: checks once more, over the parts that LABKIT_PARTS names; what it raises counts as a failure.
        began: `time.process_time()` when the check began.
    """
    passed = Progress().passed_all()
    names = re.findall(r"\w+", " ".join(re.findall(r"from labkit\.mine import (.*)", spec.prelude)))
    for name in names:
        where = lesson, exercise = engine.exported()[name]
        if where not in passed:
            continue
        if time.process_time() - began > ENOUGH:
            return ""
        os.environ["LABKIT_PARTS"] = engine.only(*where)
        if not _passes(passes):
            number, id = specs.lesson(lesson).number, "" if exercise == name else f" (exercise {exercise})"
            return (
                f"It is your {name} of lesson {number}{id}: over this one and the references the check fails as well. "
                "Something is asked of it here that was not asked there. Mend its cell and run this one again."
            )
    return ""


def _passes(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception:
        return False
