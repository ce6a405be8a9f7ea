"""Lesson 02, what a token costs: bytes, time, and how many blocks fit."""

from __future__ import annotations

from labkit.specs import Lesson

LESSON = Lesson(
    key="02_what_a_token_costs",
    title="What a token costs",
    part="I. Memory",
    minutes=70,
    builds="The bytes and the time that one token costs, and the number of blocks that a GPU has room for.",
    symptom="A model of 16 GB runs on a GPU of 80 GB, and still it takes only a few dozen long conversations at once.",
    lights="attention",
)
