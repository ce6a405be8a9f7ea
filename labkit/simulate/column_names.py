"""What the columns of a request log are likely to mean, by their names: a column map for `read_trace`, or a refusal.

The names are those of vLLM's and SGLang's logs, of OpenAI's usage records and of the public traces. What a name leaves
open is never filled in: two columns that could be meant, a needed one that is missing, a unit of time that nobody gave.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import TraceFileError
from labkit.simulate.trace_formats import PER_SECOND

MEANINGS: dict[str, tuple[str, ...]] = {
    "arrival": ("arrival", "arrival_time", "arrived", "arrived_at", "start", "start_time", "started", "started_at",
                "received", "received_at", "timestamp", "request_time", "created"),
    "input": ("prompt_tokens", "num_prompt_tokens", "input_tokens", "input_length", "input_len", "prompt_len",
              "prompt_length", "context_tokens", "contexttokens", "request_tokens"),
    "output": ("completion_tokens", "output_tokens", "output_length", "output_len", "generated_tokens",
               "generation_tokens", "generatedtokens", "gen_len", "response_tokens"),
    "block_ids": ("hash_ids", "block_ids", "block_hashes"),
}  # fmt: skip
"""Names by what they mean, in lower case, without a unit of time."""


def meaning_of(name: str) -> tuple[str | None, str | None]:
    """What one column means, and the unit that its name ends in.

    Capitals, and spaces around it, make no difference; a space or hyphen within is an underscore.

        meaning_of("Start_ms") -> ("arrival", "ms");  meaning_of("prompt_tokens") -> ("input", None)

    Returns:
        A key of `MEANINGS`, or None for what is none of them; "s", "ms", "us" or "ns" for an arrival, or None.
    """
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    for meaning, known in MEANINGS.items():
        if plain in known:
            return meaning, None
    front, _, unit = plain.rpartition("_")
    return ("arrival", unit) if front in MEANINGS["arrival"] and unit in PER_SECOND else (None, None)


def column_map(names: Sequence[str], unit: str | None) -> tuple[dict[str, str], str]:
    """The column map of a file, and its unit of time, as `labkit.simulate.traces.read_trace` takes them.

    Args:
        names: of the columns, as the file spells them.
        unit: of arrivals, where somebody knows it; else the name of that column says it.

    Raises:
        TraceFileError: two columns for one thing, none for arrivals or prompts, or a unit that nothing says.
    """
    found: dict[str, str] = {}
    for name in names:
        meaning, said = meaning_of(name)
        if meaning is None:
            continue
        if meaning in found:
            raise TraceFileError(f"Both {found[meaning]} and {name} could be the {meaning}: drop one of them.")
        found[meaning] = name
        if meaning == "arrival" and unit is None:
            unit = said
    for needed in ("arrival", "input"):
        if needed not in found:
            raise TraceFileError(f"No column is the {needed}; the file has {', '.join(names)[:200]}: name it yourself.")
    if unit is None:
        raise TraceFileError(f"Nothing says in which unit {found['arrival']} counts: ask whoever wrote the file.")
    return found, unit
