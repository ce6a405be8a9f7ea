"""What a checkpoint says about making text, apart from the model: `generation_config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.errors import CheckpointError, MissingFileError, UnreadableError
from labkit.reading import read_json

NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"), (1,)),
    **dict.fromkeys(("num_beams", "num_beam_groups"), (1,)),
    **dict.fromkeys(("min_length", "min_new_tokens", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), (0,)),
    **dict.fromkeys(("penalty_alpha", "diversity_penalty", "max_time"), (0,)),
    **dict.fromkeys(("token_healing", "remove_invalid_values"), (False,)),
    **dict.fromkeys(("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "constraints"), ([],)),
    **dict.fromkeys(("force_words_ids", "sequence_bias", "stop_strings", "dola_layers"), ([], {})),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "watermarking_config"), ()),
    **dict.fromkeys(("exponential_decay_length_penalty", "decoder_start_token_id"), ()),
}
"""Settings that change which text comes out even where nothing is drawn, and the values with which they do not; null
is one of them always. None is understood here, so another value is refused.

What says how to draw (temperature, top_k, top_p, ...) is advice for those who draw, and nothing is drawn here unless
`Sampling` says so; limits of length are the caller's; the rest is about caches and outputs."""


def stop_tokens(folder: Path, known: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens that end a text.

    Llama 3 Instruct ends its turns with <|eot_id|>, which stands in generation_config.json alone.

    Args:
        folder: of the checkpoint.
        known: those of config.json, which hold where this file is missing or does not say.

    Raises:
        CheckpointError: the file cannot be read, or asks for what would change the text and is not understood.
    """
    path = folder / "generation_config.json"
    try:
        data = read_json(path, most=1 << 20, bits=128)
    except MissingFileError:
        return known
    except UnreadableError as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error.reason}): fetch the checkpoint again.") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object: fetch the checkpoint again.")
    for field, neutral in NEUTRAL.items():
        value = data.get(field)
        if value is not None and value not in neutral:
            raise CheckpointError(
                f"{path} has {field} = {value!r:.60}, which changes the text and is not supported here: "
                "take the line out to load the model without it."
            )
    try:
        return token_ids(data.get("eos_token_id")) or known
    except (TypeError, ValueError):
        raise CheckpointError(
            f"{path} has eos_token_id = {data['eos_token_id']!r:.60}, which is neither a token nor a list of tokens: "
            "fetch the checkpoint again."
        ) from None


def token_ids(value: Any) -> tuple[int, ...]:
    """One token id, a list of them, or None for none."""
    if value is None:
        return ()
    return tuple(int(v) for v in value) if isinstance(value, list) else (int(value),)
