"""Lesson 07, «the lesson in three words»: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.functions import FunctionSpecification
from labkit.grading.specification import Rule, Witness, op
from labkit.specs import Exercise, Lesson


class ExampleBlocks(FunctionSpecification):
    """«What the exercise asks for. A class driven by operations: see labkit/specs/block_pool.py.»"""

    exercise = "example_blocks"
    # Worst first: where several rules break at once, the learner sees the first.
    rules = (
        Rule("a-started-block-counts", "«A sentence a learner can read: a block that holds a token is needed whole.»"),
        Rule("full-blocks-have-no-spare", "«Tokens that fill their blocks exactly need no further block.»"),
    )
    # At least one for each rule; the random search only comes after them.
    witnesses = (
        Witness("a-started-block-counts", op("call", num_tokens=17, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=16, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=0, block_size=16)),
    )
    hints = (
        "«A question that points at the mistake, as: how many blocks do 17 tokens need?»",
        "«The invariant, as: the smallest n with n * block_size >= num_tokens.»",
        "«Code with a blank, as: return (num_tokens + ____) // block_size»",
    )

    def oracle(self, num_tokens: int, block_size: int) -> int:
        return -(-num_tokens // block_size)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_tokens": st.integers(0, 10_000), "block_size": st.integers(1, 256)}

    def rule_for(self, num_tokens: int, block_size: int) -> str:
        return "a-started-block-counts" if num_tokens % block_size else "full-blocks-have-no-spare"

    def cause(self, rule: str, seen: Any, expected: Any, num_tokens: int, block_size: int) -> str:
        return "«What went wrong, in one sentence made from the numbers; never the patch.»"


class BreakExample(BreakIt):
    """«Which wrong part is to be caught.»"""

    exercise = "break_example"
    base = ExampleBlocks()
    # Quietly wrong: right on most arguments.
    bug = "def example_blocks(num_tokens, block_size):\n    return max(1, num_tokens // block_size)\n"
    reference = "labkit.cache.block_table:blocks_needed"
    shortest = (op("call", num_tokens=17, block_size=16),)
    hints = (
        "«A question about what the wrong part answers.»",
        "«What holds for a right part and not for this one.»",
        "«ops = [(\"call\", ____, 16)]»",
    )


LESSON = Lesson(
    key="07_hash_prefix_cache",
    title="Prefix cache I: hash chains",
    part="«the part of the course, as other lessons write it»",
    minutes=60,
    builds="«One sentence: what the learner will have built.»",
    symptom="«One sentence from the world of eviction storms.»",
    lights="",  # the slot of the engine map that lights up, from labkit.parts.SLOTS, or nothing
    exercises=(
        # id, title, minutes, difficulty 1-5, importance 1-5, specification, reference implementation
        Exercise("example_blocks", "«A few words»", 5, 1, 3, ExampleBlocks(), "labkit.cache.block_table:blocks_needed"),
        Exercise("break_example", "«A few words»", 5, 2, 3, BreakExample(), kind="break"),
    ),
)
