"""Lesson 00, start here: a tour without exercises, and two minutes of the destination."""

from __future__ import annotations

from labkit.specs import Lesson

LESSON = Lesson(
    key="00_start_here",
    title="Start here",
    part="Start",
    minutes=25,
    builds="Nothing yet: you see a real model answer through a paged KV cache, and learn how checks, hints and quizzes "
    "work.",
    symptom="Tokens per second look better than ever, and users say that the answers have stopped coming.",
    ending="I have seen one answer grow in blocks of memory that need not lie side by side, while others grew beside "
    "it. I know how a check, a hint and a question work here, and which path I take.",
)
