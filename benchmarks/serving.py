"""How fast the course's model makes text on this machine: `python benchmarks/serving.py [--json FILE]`.

Measured are tokens per second of decoding, alone and in batches, by dtype and by cache, and the seconds that a prompt
of about 500 tokens takes. Each figure is the median over the steps of one run: on a machine that does other things as
well, a mean mostly measures those.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from statistics import median

import torch

from labkit.serving import load
from labkit.serving.loaded import LoadedModel

STEPS = 48


def decode(model: LoadedModel, batch: int, cache: str) -> float:
    """Tokens per second of `batch` sequences together."""
    prompts = [f"Tell me a long story about the number {i}." for i in range(batch)]
    answers = model.generate_many(prompts, max_new_tokens=STEPS, stop=False, cache=cache)
    return batch / median(answers[0].step_s)


def prefill(model: LoadedModel) -> tuple[int, float]:
    """Tokens of a long prompt, and the seconds until its first token."""
    answers = [model.generate("page " * 480, max_new_tokens=1) for _ in range(3)]
    return len(answers[0].prompt_ids), median(answer.prefill_s for answer in answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here as well")
    options = parser.parse_args()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        model = load(dtype=dtype)
        name = str(dtype).removeprefix("torch.")
        decode(model, 1, "paged")  # the first run loads libraries
        for cache, batch in [("none", 1), ("contiguous", 1), ("paged", 1), ("paged", 8), ("paged", 32)]:
            speed = decode(model, batch, cache)
            results.append({"dtype": name, "cache": cache, "batch": batch, "tokens_per_s": round(speed, 1)})
            print(f"{name:9} {cache:10} batch {batch:2}: {speed:7.1f} tokens/s")
        tokens, seconds = prefill(model)
        results.append({"dtype": name, "prompt_tokens": tokens, "prefill_s": round(seconds, 3)})
        print(f"{name:9} prompt of {tokens} tokens: {seconds:.3f} s")
    machine = {
        "model": model.name,
        "source": model.source,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(machine)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
