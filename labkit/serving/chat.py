"""Chat messages to token ids, by the template that the checkpoint brings.

SmolLM2-Instruct and Qwen3 were trained on the ChatML layout:

    <|im_start|>system
    You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
    <|im_start|>user
    What is a block table?<|im_end|>
    <|im_start|>assistant

Each `<|...|>` is one control token; the model goes on where this text stops. Llama 3 has another layout, and every
model says its own, as a Jinja template. Such a template is code from elsewhere: it runs in Jinja's sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict

from labkit.errors import CheckpointError, GenerationError
from labkit.serving.tokenizer import Tokenizer

if TYPE_CHECKING:
    from jinja2 import Template

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The layout alone, without a system prompt."""


class Message(TypedDict):
    """One turn: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


def chat_ids(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool = True) -> list[int]:
    """Token ids of a conversation.

    Control tokens come from the template only, whatever the contents say: a name of one in a content is its
    characters.

    Args:
        messages: the turns in order.
        reply: end with the opening of an assistant turn, which is what makes the model answer.

    Raises:
        CheckpointError: the model has no chat template, so it was not made for chat, or one that does not work.
        GenerationError: the template refuses these messages, and says why.
        ValueError: a message without role or content.
    """
    template = tokenizer.chat_template
    if template is None:
        raise CheckpointError(
            "This model has no chat template, so it was not made for chat: give a plain string and chat=False."
        )
    turns = []
    for turn in messages:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise ValueError(f"A message is {turn!r}, but needs a role and a content, both strings.")
        if not isinstance(turn.get("content"), str):
            raise ValueError(f"The {turn['role']} message has content {turn.get('content')!r}; it must be a string.")
        turns.append({**turn, "role": tokenizer.mark(turn["role"]), "content": tokenizer.mark(turn["content"])})
    try:
        text = _compiled(template).render(
            messages=turns, add_generation_prompt=reply, tools=None, documents=None, **tokenizer.named
        )
    except _Refusal as refusal:
        raise GenerationError(
            f"The model's chat template refuses these messages ({refusal}): change them as it asks."
        ) from None
    except Exception as error:  # a template is a program, and can fail in any way that a program can
        raise CheckpointError(
            f"The model's chat template does not work ({type(error).__name__}: {error}): give a plain string and "
            "chat=False."
        ) from None
    return tokenizer.encode_layout(text)


class _Refusal(Exception):
    """A template has called `raise_exception`."""


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    """A template, with the functions that transformers has for templates (`utils/chat_template_utils.py`)."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(why: str) -> None:
        raise _Refusal(why)

    def as_json(value: Any, **options: Any) -> str:  # Jinja's own filter writes for HTML
        return json.dumps(value, **{"ensure_ascii": False, **options})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
