"""Tokens as bytes, and salts that never meet."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.cache.tokens import block_id_bytes, salted, token_bytes
from labkit.errors import CacheError, TokenError

PARTS = st.one_of(st.binary(max_size=4), st.text(max_size=4), st.integers(-3, 300))
CIRCUMSTANCES = st.tuples(st.binary(max_size=6), st.lists(PARTS, max_size=3))


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_four_bytes_a_token(tokens):
    expected = struct.pack(f"={len(tokens)}I", *tokens)
    assert token_bytes(tokens) == expected == token_bytes(np.array(tokens, np.uint32)) == token_bytes(expected)


def test_bytes_that_are_no_whole_tokens():
    with pytest.raises(TokenError, match="7 bytes are no whole number of tokens"):
        token_bytes(bytes(7))


def test_the_position_of_a_bad_token_is_named():
    with pytest.raises(TokenError, match="Token at position 2 is -5"):
        token_bytes([1, 2, -5])
    with pytest.raises(TokenError, match=r"position 0 is 2\.5"):
        token_bytes(iter([2.5, 7]))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_eight_bytes_a_block_id(ids):
    assert block_id_bytes(ids) == struct.pack(f"<{len(ids)}q", *ids)


@pytest.mark.parametrize("ids", [[2**63], [0.5], ["a"], 7])
def test_ids_that_cannot_be(ids):
    with pytest.raises(CacheError, match="block ids"):
        block_id_bytes(ids)


@given(CIRCUMSTANCES, CIRCUMSTANCES)
def test_two_circumstances_never_read_alike(one, other):
    kinds = [(one[0], [(type(key), key) for key in one[1]]), (other[0], [(type(key), key) for key in other[1]])]
    assert (salted(*one) == salted(*other)) == (kinds[0] == kinds[1])


def test_no_salt_is_no_bytes():
    assert salted() == b"" and salted(b"") == b"" and salted(b"\x00") != b""


def test_salts_and_keys_of_any_content_stay_apart():
    keys = [["\ud800"], ["é"], [10**5000], [-(10**5000)], ["10"], [10], [b"10"], [""], [b""], [1, 0], ["1", "0"]]
    seen = {salted(salt, extra) for salt in (b"", b"\x00", b"s1:", bytes(range(256))) for extra in keys}
    assert len(seen) == 4 * len(keys)
    for wrong in ("x", None, 7):
        with pytest.raises(CacheError, match=r"salt is .* must be bytes"):
            salted(wrong)
