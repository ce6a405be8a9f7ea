"""`labkit author check`: what a lesson lacks before it can be given to learners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labkit.authoring import drift, layout, rooms, shape
from labkit.authoring import master as masters
from labkit.authoring.finding import Finding
from labkit.errors import AuthorError


def check(paths: Sequence[Path]) -> list[Finding]:
    """Everything wrong with the lessons whose masters are given, in reading order; an empty list where all is well.

    Nothing is executed and nothing is written.
    """
    findings: list[Finding] = []
    for path in paths:
        findings += check_one(path)
    return findings


def check_one(path: Path) -> list[Finding]:
    """Everything wrong with one lesson."""
    try:
        master = masters.read(path)
    except AuthorError as error:
        return [Finding(path, "", "format", str(error))]
    files = layout.files(master.key)
    findings: list[Finding] = []
    lesson = None
    if layout.is_lesson(master.key):
        lesson, found = rooms.lesson(master)
        findings += found
    findings += shape.check(master, lesson)
    if layout.is_lesson(master.key):
        findings += rooms.check(master, lesson)
        findings += drift.learner(master, files.learner)
    findings += drift.solved(master, files.solved)
    return findings
