"""`labkit generate`: one prompt, answered by the engine."""

from __future__ import annotations

import json as json_module
import sys

from labkit.serving.loaded import load
from labkit.serving.sampling import Sampling

MISSING = "The course's model is not here, so a tiny one answers, whose words mean nothing: run `labkit model fetch`."


def run(
    prompt: str,
    max_tokens: int,
    temperature: float,
    *,
    seed: int = 0,
    stop: tuple[str, ...] = (),
    model: str | None = None,
    json: bool = False,
) -> int:
    """Print the answer as it comes, or all that is known of it as one JSON object. Returns the exit status.

    Raises:
        GenerationError: settings or a prompt that make no sense. CheckpointError: the model cannot be loaded.
    """
    sampling = Sampling(temperature=temperature, seed=seed)  # before seconds are spent on loading a model
    loaded = load(model, quiet=True)
    if loaded.is_tiny and model is None:
        print(MISSING, file=sys.stderr)
    request = loaded.request("A", prompt, max_new_tokens=max_tokens, sampling=sampling, stop=stop)
    engine = loaded.engine(-(-(len(request.prompt_ids) + max_tokens) // 16))
    (answer,) = engine.submit(request)
    for token in engine.stream():
        if not json:
            print(token.text, end="", flush=True)
    if not json:
        print()
        return 0
    told = {
        "model": loaded.name,
        "prompt": prompt,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": len(answer.prompt_ids),
        "tokens": answer.token_ids,
        "first_token_s": answer.prefill_s,
        "tokens_per_s": answer.tokens_per_s,
        "yours": sorted(engine.yours),
    }
    print(json_module.dumps(told, indent=2))
    return 0
