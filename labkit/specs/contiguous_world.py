"""Lesson 03, the contiguous world."""

from __future__ import annotations

from labkit.specs import Lesson

LESSON = Lesson(key="03_contiguous_world", title="The contiguous world", part="I. Memory", minutes=65,
                builds="An allocator for memory in one piece, and the waste it makes, by kind.",
                symptom="Half of the memory is free, and the server refuses a request that needs a tenth of it.")
