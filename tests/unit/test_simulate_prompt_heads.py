"""A volatile head kills every hit behind it; the same tokens at the end kill none."""

from __future__ import annotations

import pytest

from labkit.errors import CacheError
from labkit.specs.hash_prefix_cache.prompt_heads import (
    HEADS,
    INSTRUCTIONS,
    QUESTION,
    STAMP,
    TOOL,
    TOOLS,
    hit_rate,
    prompts,
)


def test_the_head_alone_decides():
    rate = {head: hit_rate(head) for head in HEADS}
    length = INSTRUCTIONS + TOOL * TOOLS + QUESTION
    best = (INSTRUCTIONS + TOOL * TOOLS) / length
    assert rate["nothing volatile"] == pytest.approx(best * 399 / 400)
    assert rate["a request id in front"] == 0.0
    assert rate["the request id after the instructions"] == pytest.approx(best * length / (length + STAMP), abs=0.01)
    assert rate["nothing volatile"] > rate["a date in front"] > rate["tools in any order"] > 0.1


def test_prompts_are_the_same_every_time_and_unknown_heads_are_refused():
    assert list(prompts("a date in front", 3)) == list(prompts("a date in front", 3))
    with pytest.raises(CacheError, match="There is no head"):
        next(prompts("a joke"))
    with pytest.raises(CacheError, match="no room"):
        hit_rate("nothing volatile", num_blocks=8)
