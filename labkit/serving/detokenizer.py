"""Token ids to text, one at a time, never half a character."""

from __future__ import annotations

import codecs
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.serving.tokenizer import Tokenizer


class Detokenizer:
    """Turns a stream of token ids into a stream of text.

    In a byte-level vocabulary a token is a run of bytes, and one emoji may be spread over four tokens. Bytes that do
    not yet make a whole character are held back until they do; what has been handed out never changes. All pieces
    together with `finish()` are the text that decoding everything at once would give.

    Tokenizers that are not byte-level (Llama 2) are streamed by the `tokenizers` library itself.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._other = None
        if not _is_byte_level(tokenizer):
            from tokenizers.decoders import DecodeStream

            self._other = DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> str:
        """Take one token; returns the text that is now certain, often "" in the middle of a character."""
        if self._other is not None:
            return self._other.step(self._tokenizer.backend, token) or ""
        return self._utf8.decode(self._bytes(token))

    def finish(self) -> str:
        """The end: what was held back can no longer become a character, so it is U+FFFD or nothing."""
        return self._utf8.decode(b"", final=True)

    def _bytes(self, token: int) -> bytes:
        added = self._tokenizer.added.get(token)
        if added is not None:
            return b"" if added in self._tokenizer.special else added.encode()
        text = self._tokenizer.backend.id_to_token(token)
        if text is None:  # an id beyond the vocabulary: models may have more rows than there are tokens
            return b""
        table = byte_of_character()
        return bytes(table[character] for character in text)


@cache
def byte_of_character() -> dict[str, int]:
    """Which byte each character of a byte-level vocabulary stands for.

    Printable Latin-1 characters stand for themselves; the other 68 bytes borrow the characters from U+0100 on, in
    order, so that a vocabulary file shows no blanks (GPT-2, Radford et al., 2019).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    borrowed = (byte for byte in range(256) if byte not in printable)
    table.update({chr(0x100 + i): byte for i, byte in enumerate(borrowed)})
    return table


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    return "ByteLevel" in type(tokenizer.backend.decoder).__name__
