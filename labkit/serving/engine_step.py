"""One step of the engine: lesson 21."""

from __future__ import annotations

from typing import Any

from labkit.scheduling.request import Request


def engine_step(engine: Any) -> list[tuple[Request, int]]:
    """One step: schedule, run, sample, commit.

    Args:
        engine: a `labkit.serving.llm_engine.LLMEngine`.

    Returns:
        Who got which token, in the order of the plan.
    """
    step = engine.scheduler.schedule()
    engine.move(step)  # copies and swaps, before anything is computed
    if not step.plan:
        return []
    batch = [(r.id, r.tokens(r.computed, r.computed + n)) for r, n in step.plan]
    logits = engine.run(batch)  # of the last token of each, [len(batch), vocab_size]
    rows = [i for i, (r, n) in enumerate(step.plan) if n == r.missing]  # decodes, and chunks that end a prompt
    sampling = [step.plan[i][0] for i in rows]
    tokens = engine.sample(logits[rows], [(r, r.num_tokens) for r in sampling])
    ended = [r for r, token in zip(sampling, tokens, strict=True) if engine.ends(r, token)]
    engine.scheduler.update(step, tokens, ended)  # the memory of who ended is free
    return list(zip(sampling, tokens, strict=True))
