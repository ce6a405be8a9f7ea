"""Text to token ids and back, for any checkpoint that brings a tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.errors import CheckpointError, MissingFileError, UnreadableError
from labkit.reading import read_bytes, read_json, read_text

MOST_BYTES = 256 << 20
"""Of a tokenizer.json. Those of vocabularies with 256,000 tokens have some 30 MB."""


class Tokenizer:
    """A tokenizer that never turns text into control tokens.

    `<|im_end|>` typed by a user is eleven ordinary characters here. Only `chat.chat_ids` places control tokens, so
    that no prompt can close its own turn and speak as the assistant.

    A byte-level vocabulary can lack a byte. SmolLM2's has no token for six control characters and for the UTF-8
    lead bytes F1 and F2 (characters U+40000 to U+BFFFF, none of them assigned); such bytes are left out by `encode`.

    Args:
        backend: a `tokenizers.Tokenizer`.
        settings: the contents of tokenizer_config.json.
    """

    def __init__(self, backend: Any, settings: dict[str, Any] | None = None) -> None:
        self.backend = backend
        self.backend.encode_special_tokens = True  # the option's name for: treat them as the text they are
        self.settings = settings or {}
        added = backend.get_added_tokens_decoder()
        self.special: dict[str, int] = {token.content: i for i, token in added.items() if token.special}
        """Control tokens by name."""
        self.added: dict[int, str] = {i: token.content for i, token in added.items()}

    @classmethod
    def read(cls, folder: str | Path) -> Tokenizer:
        """Read `folder/tokenizer.json` and, if there, tokenizer_config.json and chat_template.jinja.

        Raises:
            CheckpointError: tokenizer.json is missing or damaged.
        """
        from tokenizers import Tokenizer as Backend

        folder = Path(folder)
        path = folder / "tokenizer.json"
        try:
            data = read_bytes(path, MOST_BYTES)
        except MissingFileError:
            raise CheckpointError(
                f"{folder} has no tokenizer.json, so text cannot be turned into tokens: fetch the checkpoint again."
            ) from None
        except UnreadableError as error:
            raise CheckpointError(f"{path} cannot be read ({error.reason}): fetch the checkpoint again.") from None
        try:
            backend = Backend.from_str(data.decode())
        except Exception as error:  # the library raises bare Exception for every kind of damage
            raise CheckpointError(f"{path} is not a tokenizer file ({error}): fetch the checkpoint again.") from None
        settings: dict[str, Any] = {}
        path = folder / "tokenizer_config.json"
        try:
            found = read_json(path)
            settings = found if isinstance(found, dict) else {}
        except MissingFileError:
            pass
        except UnreadableError as error:
            raise CheckpointError(
                f"{path} cannot be read as JSON ({error.reason}): fetch the checkpoint again."
            ) from None
        template = folder / "chat_template.jinja"
        try:
            settings["chat_template"] = read_text(template, most=1 << 20)
        except MissingFileError:
            pass
        except UnreadableError as error:
            raise CheckpointError(f"{template} cannot be read ({error.reason}): fetch the checkpoint again.") from None
        return cls(backend, settings)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, control tokens included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; nothing is added and no control token is ever among them."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`; control tokens stand for no text, bytes that are no UTF-8 become U+FFFD."""
        from labkit.serving.detokenizer import Detokenizer

        stream = Detokenizer(self)
        return "".join([stream.push(i) for i in ids]) + stream.finish()

    def piece(self, token: int) -> str:
        """One token as a person can read it in a table: a control token by its name, half a character as U+FFFD."""
        if token in self.added:
            return self.added[token]
        return self.decode([token])
