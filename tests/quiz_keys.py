"""The right answer to a question, as somebody would give it."""

from __future__ import annotations

from typing import Any

from labkit.grading.quiz import Instance
from labkit.grading.quiz_question import plain


def right(instance: Instance) -> Any:
    """An answer that `grade` takes as right, for the numbers that this instance has drawn."""
    question = instance.question
    match question.type:
        case "ordering":
            return list(instance.order)
        case "matching":
            return {plain(pair.left): plain(pair.right) for pair in instance.pairs}
        case "numeric":
            return instance.answer
        case "short":
            return instance.sample
        case _ if not question.picked:
            return instance.output
    chosen = [option.plain for option in instance.options if option.right]
    return chosen if question.several else chosen[0]
