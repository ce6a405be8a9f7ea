"""Lesson 08: wrong implementations that learners really write, and right ones in another style.

For each exercise at least ten wrong ones, each rejected by the rule that names its fault, and at least two right ones.
"""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right

MUTANTS = [
    Mutant(
        "example_blocks",
        "rounds-down",
        "a-started-block-counts",
        "«One sentence that explains the mistake to whoever made it: the division forgets the part-filled block.»",
        """
def example_blocks(num_tokens, block_size):
    return num_tokens // block_size
""",
    ),
    Mutant(
        "example_blocks",
        "always-one-more",
        "full-blocks-have-no-spare",
        "«Another kind of mistake: off by one at the edge, state changed before the error, last block forgotten, ...»",
        """
def example_blocks(num_tokens, block_size):
    return num_tokens // block_size + 1
""",
    ),
]

RIGHT = [
    Right(
        "example_blocks",
        "adds-before-dividing",
        """
def example_blocks(num_tokens, block_size):
    return (num_tokens + block_size - 1) // block_size
""",
    ),
]
