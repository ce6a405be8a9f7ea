"""The short lives at the top of lessons 04 and 05: what a script may say, and the sentences that come of it."""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool
from labkit.errors import LessonError
from labkit.specs.block_pool.scene import lives


def test_a_life_is_told_and_the_free_end_is_filled_first():
    log = lives("A 10, B 5, A 6, B 1, B ends, A 40, A 5", BlockPool(8), block_size=4)
    assert log.labels == [
        "append(A, 10) -> tokens 0 to 9 need 3 new blocks: blocks 0, 1, 2",
        "append(B, 5) -> tokens 0 to 4 need 2 new blocks: blocks 3, 4",
        "append(A, 6) -> tokens 10 to 11 go to block 2; tokens 12 to 15 need a new block: block 5",
        "append(B) -> token 5 goes to block 4, which has room",
        "release(B) -> blocks 4, 3 back in the pool",
        "append(A, 40) -> False: 10 blocks are wanted, 4 are free",
        "append(A, 5) -> tokens 16 to 20 need 2 new blocks: blocks 6, 7",
    ]


@pytest.mark.parametrize("script", ["A", "A ten", "A 1 2", "A 1,", "A -1"])
def test_what_is_no_life_is_refused(script: str):
    with pytest.raises(LessonError, match="no step of a life"):
        lives(script, BlockPool(8), block_size=4)
