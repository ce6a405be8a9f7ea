"""Text to token ids and back, for any checkpoint that brings a tokenizer.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from labkit.errors import CheckpointError, MissingFileError, UnreadableError
from labkit.reading import read_bytes, read_json, read_text

MOST_BYTES = 256 << 20
"""Of a tokenizer.json. Those of vocabularies with 256,000 tokens have some 30 MB."""
OPENS, CLOSES = "\ufdd0", "\ufdd1"
"""Around a control token's name that is ordinary text; Unicode keeps these two characters for a program's own use."""
LONG = 1 << 15
"""Characters from which a text is encoded as a batch of one: the library holds Python's lock for a second a million of
them, in which no other thread runs, and gives it up for a batch."""
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
"""Control tokens that templates call by what they are for."""


class Tokenizer:
    """A tokenizer that never turns text into control tokens.

    `<|im_end|>` typed by a user is eleven ordinary characters here. Only what the checkpoint itself puts around a text
    or a turn holds control tokens, so that no prompt can close its own turn and speak as the assistant.

    A byte-level vocabulary can lack a byte. SmolLM2's has no token for six control characters and for the UTF-8
    lead bytes F1 and F2 (characters U+40000 to U+BFFFF, none of them assigned); such bytes are left out by `encode`.

    Args:
        backend: a `tokenizers.Tokenizer`.
        settings: the contents of tokenizer_config.json, over those of special_tokens_map.json.
    """

    def __init__(self, backend: Any, settings: dict[str, Any] | None = None) -> None:
        self.backend = backend
        self.backend.encode_special_tokens = True  # the option's name for: treat them as the text they are
        self.settings = settings or {}
        added = backend.get_added_tokens_decoder()
        self.special: dict[str, int] = {token.content: i for i, token in added.items() if token.special}
        """Control tokens by name."""
        self.added: dict[int, str] = {i: token.content for i, token in added.items()}
        self.named: dict[str, str] = {}
        """Those of `NAMED` that the checkpoint has."""
        for name in NAMED:
            token = self.settings.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                self.named[name] = token

    @classmethod
    def read(cls, folder: str | Path) -> Tokenizer:
        """Read `folder/tokenizer.json` and, if there, special_tokens_map.json, tokenizer_config.json and
        chat_template.jinja.

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
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            path = folder / name
            try:
                found = read_json(path, bits=128)  # "no limit" is written as 10**30 in model_max_length
                settings |= found if isinstance(found, dict) else {}
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

    @property
    def chat_template(self) -> str | None:
        """How the model was taught to read a conversation, as a Jinja template; None if it was not."""
        template = self.settings.get("chat_template")
        if isinstance(template, list):  # several by name; "default" is the one for a plain conversation
            by_name = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
            template = by_name.get("default")
        return template if isinstance(template, str) else None

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; nothing is added and no control token is ever among them."""
        return self._ids(text, False)

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of `text` as the model was trained to meet it: Llama 3, for one, puts <|begin_of_text|> in front.

        tokenizer.json alone says so, as for transformers: add_bos_token in tokenizer_config.json is for other readers.
        """
        return self._ids(text, True)

    def _ids(self, text: str, special: bool) -> list[int]:
        if len(text) < LONG:
            return self.backend.encode(text, add_special_tokens=special).ids
        (found,) = self.backend.encode_batch([text], add_special_tokens=special)
        return found.ids

    def mark(self, text: str) -> str:
        """`text` with `OPENS` and `CLOSES` around each name of a control token, for `encode_layout`."""
        text = text.replace(OPENS, "").replace(CLOSES, "")
        names = sorted(map(re.escape, self.special), key=len, reverse=True)
        return re.sub("|".join(names), f"{OPENS}\\g<0>{CLOSES}", text) if names else text

    def encode_layout(self, text: str) -> list[int]:
        """Token ids of a text in which a control token's name is that token, except where it is marked."""
        ids: list[int] = []
        # What a template has cut in two at a mark stays in two, so that no name comes together again.
        parts = re.split(f"{OPENS}([^{OPENS}{CLOSES}]*){CLOSES}|{OPENS}|{CLOSES}", text)
        for number, part in enumerate(parts):
            if part and number % 2:
                ids += self.encode(part)
            elif part:
                self.backend.encode_special_tokens = False
                try:
                    ids += self.encode(part)
                finally:
                    self.backend.encode_special_tokens = True
        return ids

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
