"""One step of the engine: schedule, run, sample, commit. Lesson 21.

The loop that every serving engine turns dozens of times per second. What it calls does the work; what it decides is who
is computed, whose row of logits becomes a token, and who is told. Compare `step` of nano-vllm's `llm_engine.py`, and
vLLM's `EngineCore.step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.scheduling.request import Request


def engine_step(engine: Any) -> list[tuple[Request, int]]:
    """One step of an engine.

    Args:
        engine: gives `scheduler`, and the four calls that spend time: `move(step)` copies what the step says before
            anything is computed; `run(batch)` takes (name, bytes of the tokens to compute) of each request, and
            answers with logits [len(batch), vocab_size], those of the last token of each; `sample(logits, keys)` takes
            [n, vocab_size] and n pairs (request, position of the token that is chosen) and answers with n token ids;
            `ends(request, token)` takes one token into the text of its request and says whether it was the last.

    Returns:
        Who got which token, in the order of the plan.
    """
    step = engine.scheduler.schedule()
    engine.move(step)
    if not step.plan:
        return []
    batch = [(request.id, request.tokens(request.computed, request.computed + n)) for request, n in step.plan]
    logits = engine.run(batch)
    rows = [row for row, (request, n) in enumerate(step.plan) if n == request.missing]
    sampling = [step.plan[row][0] for row in rows]
    tokens = engine.sample(logits[rows], [(request, request.num_tokens) for request in sampling])
    ended = [request for request, token in zip(sampling, tokens, strict=True) if engine.ends(request, token)]
    engine.scheduler.update(step, tokens, ended)
    return list(zip(sampling, tokens, strict=True))
