"""Tokens as bytes: what prompts are compared and hashed by.

A prompt of a thousand tokens is a thousand Python integers, or one bytes object of 4,000 bytes. Bytes are cut, hashed
and compared in C, a block at a time, so every cache here takes them. A trace without tokens has ids of its own for its
blocks (Mooncake's `hash_ids`); the eight bytes of such an id do the same job, as two tokens.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Sequence

from labkit.errors import CacheError, TokenError

TOKEN_BYTES = 4
"""Bytes of one token id: unsigned, in the machine's order."""

BLOCK_ID_BYTES = 8
"""Bytes of one block id of a trace: signed, in the machine's order."""

MAX_TOKEN = 2**32 - 1

assert array("I").itemsize == TOKEN_BYTES and array("q").itemsize == BLOCK_ID_BYTES


def token_bytes(tokens: bytes | Iterable[int]) -> bytes:
    """Token ids as bytes, 4 per token. Bytes are taken as they are.

    Raises:
        TokenError: an id that is not a whole number from 0 to 2**32 - 1, or bytes that are no whole tokens.
    """
    if isinstance(tokens, (bytes, bytearray, memoryview)):
        tokens = bytes(tokens)
        if len(tokens) % TOKEN_BYTES:
            raise TokenError(
                f"{len(tokens)} bytes are no whole number of tokens of {TOKEN_BYTES} bytes: pass whole tokens."
            )
        return tokens
    tokens = tokens if isinstance(tokens, Sequence) else list(tokens)  # an iterator can be read only once
    try:
        return array("I", tokens).tobytes()
    except (TypeError, OverflowError, ValueError):
        return array("I", [whole_token(token, i) for i, token in enumerate(tokens)]).tobytes()


def token_array(tokens: bytes | Iterable[int]) -> array[int]:
    """Token ids as numbers; TokenError for what is none."""
    if type(tokens) is list:  # as nearly always
        try:
            return array("I", tokens)
        except (TypeError, OverflowError, ValueError):
            pass
    return array("I", token_bytes(tokens))


def whole_token(token: object, position: int | None = None) -> int:
    """`token` as an int, or TokenError, which names its position if given."""
    try:
        number = operator.index(token)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_TOKEN:
        where = "" if position is None else f" at position {position}"
        raise TokenError(
            f"Token{where} is {token!r:.60}, but must be a whole number from 0 to 2**32 - 1: pass ids of the tokenizer."
        )
    return number


def block_id_bytes(ids: Iterable[int]) -> bytes:
    """A trace's own block ids as bytes, 8 an id.

    Raises:
        CacheError: an id that is not a whole number of 64 bits.
    """
    try:
        return array("q", ids).tobytes()
    except (TypeError, OverflowError, ValueError):
        raise CacheError(
            f"{ids!r:.60} are no block ids, which are whole numbers of 64 bits: pass the trace's hash_ids."
        ) from None


def salted(salt: bytes = b"", extra_keys: Sequence[str | bytes | int] = ()) -> bytes:
    """What stands in front of a prompt's first block, so that equal tokens under other circumstances differ.

    A salt keeps tenants apart; extra keys name whatever else shapes K and V (an adapter, an image). Two different pairs
    never give the same bytes: each part is written with its kind and its length.

    Args:
        salt: any bytes.
        extra_keys: strings, bytes or whole numbers.

    Raises:
        CacheError: a salt or a key of another type.
    """
    if not isinstance(salt, bytes):
        raise CacheError(f"The salt is {salt!r:.60}, but must be bytes: encode it, for instance with .encode().")
    if not salt and not extra_keys:
        return b""  # as nearly always
    parts = [b"s%d:" % len(salt), salt]
    for key in extra_keys:
        if isinstance(key, str):
            kind, data = b"t", key.encode("utf-8", "surrogatepass")
        elif isinstance(key, bytes):
            kind, data = b"b", key
        elif isinstance(key, int):
            kind, data = b"i", b"%x" % key
        else:
            raise CacheError(f"An extra key is {key!r:.60}, but must be a string, bytes or a whole number: convert it.")
        parts += [kind, b"%d:" % len(data), data]
    return b"".join(parts)
