"""Chat messages to token ids: the ChatML layout that SmolLM2-Instruct and Qwen3 were trained on.

    <|im_start|>system
    You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
    <|im_start|>user
    What is a block table?<|im_end|>
    <|im_start|>assistant

Each `<|...|>` is one control token, and each turn ends with a newline; the model goes on where this text stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from labkit.errors import CheckpointError
from labkit.serving.tokenizer import Tokenizer

SMOLLM_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What SmolLM2-Instruct's template says where the messages bring no system prompt of their own."""


class Message(TypedDict):
    """One turn: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


def chat_ids(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool = True) -> list[int]:
    """Token ids of a conversation.

    The ids are put together turn by turn instead of formatting one string and encoding it: control tokens come from
    here only, whatever the contents say.

    Args:
        messages: the turns in order. Where the first is not a system prompt and the model's template has a default
            one (SmolLM2), that is put in front.
        reply: end with the opening of an assistant turn, which is what makes the model answer.

    Raises:
        CheckpointError: the model has no ChatML tokens, so it was not made for chat.
        ValueError: a message without role or content.
    """
    start, end = tokenizer.special.get("<|im_start|>"), tokenizer.special.get("<|im_end|>")
    if start is None or end is None:
        raise CheckpointError(
            "This model has no <|im_start|> and <|im_end|> tokens, so it was not made for chat: "
            "give a plain string and chat=False."
        )
    turns = list(messages)
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise ValueError(f"A message is {turn!r}, but needs a role and a content, both strings.")
        if not isinstance(turn.get("content"), str):
            raise ValueError(f"The {turn['role']} message has content {turn.get('content')!r}; it must be a string.")
    has_default = SMOLLM_SYSTEM in (tokenizer.settings.get("chat_template") or "")
    if has_default and turns and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": SMOLLM_SYSTEM})

    newline = tokenizer.encode("\n")
    ids: list[int] = []
    for turn in turns:
        ids += [start, *tokenizer.encode(f"{turn['role']}\n{turn['content']}"), end, *newline]
    if reply:
        ids += [start, *tokenizer.encode("assistant\n")]
    return ids
