"""Conversations behind a few system prompts, as the prompts that reach a server one after another.

Each turn of a conversation sends all earlier turns again, so prompts share what two prompts of a chat share in life:
the instructions with everybody, the conversation so far with themselves, and now and then everything, because a client
that got no answer in time sends the same prompt again.
"""

from __future__ import annotations

import random

from labkit.cache.checks import whole_number
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.errors import LabkitError

Prompt = list[int]


def chats(
    conversations: int = 60, systems: int = 6, system_tokens: int = 200, most_turns: int = 5, seed: int = 0
) -> list[Prompt]:
    """The prompts of some conversations, their turns mixed as they come.

    Args:
        conversations: how many, 1 or more.
        systems: system prompts; each conversation begins with one of them.
        system_tokens: tokens of each.
        most_turns: turns of the longest conversation.
        seed: equal seeds give equal prompts.

    Returns:
        Token ids, a list for each request. A question has 8 to 64 tokens, an answer 16 to 128, both multiples of
        8; one request in six is sent twice.

    Raises:
        LabkitError: a number below 1.
    """
    numbers = {"conversations": conversations, "systems": systems, "system_tokens": system_tokens,
               "most_turns": most_turns}  # fmt: skip
    for name, value in numbers.items():
        whole_number(value, name, at_least=1, error=LabkitError)
    rng = random.Random(seed)

    def tokens(count: int) -> Prompt:
        return [rng.randrange(50_000) for _ in range(count)]

    heads = [tokens(system_tokens) for _ in range(systems)]
    texts = [list(rng.choice(heads)) for _ in range(conversations)]
    turns = [which for which in range(conversations) for _ in range(rng.randint(1, most_turns))]
    rng.shuffle(turns)
    prompts = []
    for which in turns:
        texts[which] += tokens(8 * rng.randint(1, 8))
        prompts += [list(texts[which])] * (2 if rng.random() < 1 / 6 else 1)
        texts[which] += tokens(8 * rng.randint(2, 16))  # the answer
    return prompts


def serve(manager: KVCacheManager, prompts: list[Prompt], at_once: int = 4) -> float:
    """Send prompts through a manager, `at_once` of them in memory at a time; the share of their tokens that was hit.

    Raises:
        LabkitError: a prompt that does not fit even alone.
    """
    running: list[int] = []
    for name, prompt in enumerate(prompts):
        if len(running) >= at_once:
            manager.free(running.pop(0))
        while not manager.allocate(name, prompt):
            if not running:
                raise LabkitError(
                    f"A prompt of {len(prompt):,} tokens does not fit in {manager.num_blocks:,} blocks: make more."
                )
            manager.free(running.pop(0))
        running.append(name)
    for name in running:
        manager.free(name)
    return manager.counters.hit_tokens / manager.counters.queried_tokens
