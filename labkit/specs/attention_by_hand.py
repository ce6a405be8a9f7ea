"""Lesson 01, attention by hand."""

from __future__ import annotations

from labkit.specs import Lesson

LESSON = Lesson(key="01_attention_by_hand", title="Attention by hand", part="Start", minutes=60,
                builds="Attention, from one query and three keys to a causal mask.",
                symptom="The first token of an answer takes a second, each later one a few milliseconds.")
