"""What a checkpoint says about its model: `config.json`, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import CheckpointError, MissingFileError, UnreadableError
from labkit.reading import read_json
from labkit.serving.generation_config import stop_tokens, token_ids

if TYPE_CHECKING:
    from labkit.cache.geometry import ModelShape

LAYOUTS = ("llama", "qwen3")
"""The layouts that `labkit.serving.model` knows, by `model_type`. Qwen3 is Llama with a norm on each query and key."""
MOST_LAYERS, MOST_WIDE = 1_000, 10_000_000
"""More layers, or tokens of vocabulary and numbers of a layer, no model has; building one would take the machine."""


@dataclass(frozen=True)
class RopeScaling:
    """How Llama 3.1 stretches its rotary embedding to a longer context (`rope_type` "llama3").

    Wave lengths above `original_context / low_frequency` are stretched by `factor`, those below
    `original_context / high_frequency` are kept, and those between are blended.
    """

    factor: float
    low_frequency: float
    high_frequency: float
    original_context: int


@dataclass(frozen=True)
class ModelConfig:
    """The numbers that shape a Llama or Qwen3 model; names as in the Hugging Face `config.json`."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_scaling: RopeScaling | None = None
    eos_token_ids: tuple[int, ...] = ()
    """Tokens that end a text."""

    @property
    def query_key_norm(self) -> bool:
        """Whether each head's query and key are normalised before the rotary embedding (Qwen3)."""
        return self.model_type == "qwen3"

    def shape(self, name: str, weights_bytes: int, source: str = "") -> ModelShape:
        """What the KV cache needs to know of a model with this config.

        Args:
            name: what people call it.
            weights_bytes: all its weights, in the dtype they are served in.
            source: where the numbers are from.
        """
        from labkit.cache.geometry import ModelShape

        return ModelShape(
            name=name,
            num_layers=self.num_hidden_layers,
            num_query_heads=self.num_attention_heads,
            num_kv_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            weights_bytes=weights_bytes,
            max_context_tokens=self.max_position_embeddings,
            source=source,
        )

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Read `folder/config.json`, and from `generation_config.json` what ends a text.

        Raises:
            CheckpointError: the file is missing or malformed, or the model is of a kind that is not supported.
        """
        path = Path(folder) / "config.json"
        try:
            data = read_json(path, most=1 << 20, bits=128)
        except MissingFileError:
            raise CheckpointError(
                f"{folder} has no config.json, so it is not a model folder in Hugging Face layout: "
                "give the folder that holds config.json and the safetensors files."
            ) from None
        except UnreadableError as error:
            raise CheckpointError(
                f"{path} cannot be read as JSON ({error.reason}): copy or fetch the checkpoint again."
            ) from None
        if not isinstance(data, dict):
            raise CheckpointError(f"{path} holds no JSON object: copy or fetch the checkpoint again.")
        config = cls.from_dict(data, str(path))
        return replace(config, eos_token_ids=stop_tokens(Path(folder), config.eos_token_ids))

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "config.json") -> ModelConfig:
        """Build a config from the contents of a `config.json`.

        Raises:
            CheckpointError: as for `read`.
        """
        kind = data.get("model_type")
        if kind not in LAYOUTS:
            raise CheckpointError(
                f"{where} is of model type {kind!r}, but only {' and '.join(LAYOUTS)} layouts can be loaded: "
                "choose a checkpoint of one of these."
            )
        _refuse(where, "hidden_act", data.get("hidden_act", "silu"), ("silu",))
        _refuse(where, "use_sliding_window", bool(data.get("use_sliding_window", False)), (False,))
        _refuse(where, "quantization_config", data.get("quantization_config"), (None,))
        kinds = data.get("layer_types") or ()
        _refuse(where, "layer_types", next((k for k in kinds if k != "full_attention"), None), (None,))

        try:
            heads = int(data["num_attention_heads"])
            hidden = int(data["hidden_size"])
            # Qwen3 fixes the head width apart from the hidden size; its class default is 128.
            head_dim = data.get("head_dim") or (128 if kind == "qwen3" else hidden // heads)
            theta, scaling = _rope(data, where)
            config = cls(
                model_type=kind,
                vocab_size=int(data["vocab_size"]),
                hidden_size=hidden,
                intermediate_size=int(data["intermediate_size"]),
                num_hidden_layers=int(data["num_hidden_layers"]),
                num_attention_heads=heads,
                num_key_value_heads=int(data.get("num_key_value_heads") or heads),
                head_dim=int(head_dim),
                max_position_embeddings=int(data.get("max_position_embeddings", 2048)),
                rms_norm_eps=float(data.get("rms_norm_eps", 1e-6)),
                rope_theta=theta,
                tie_word_embeddings=bool(data.get("tie_word_embeddings", False)),
                attention_bias=bool(data.get("attention_bias", False)),
                mlp_bias=bool(data.get("mlp_bias", False)),
                rope_scaling=scaling,
                eos_token_ids=token_ids(data.get("eos_token_id")),
            )
        except KeyError as error:
            raise CheckpointError(
                f"{where} has no field {error.args[0]!r}, which the model cannot be built without: "
                "fetch the checkpoint's own config.json."
            ) from None
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise CheckpointError(
                f"{where} has a field of the wrong kind ({error}): fetch the checkpoint's own config.json."
            ) from None
        for field in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
            if not 1 <= getattr(config, field) <= (most := MOST_LAYERS if "layers" in field else MOST_WIDE):
                raise CheckpointError(
                    f"{where} has {field} = {getattr(config, field)}, but it must be from 1 to {most:,}: "
                    "fetch the checkpoint's own config.json."
                )
        if config.head_dim < 2 or config.head_dim % 2:
            raise CheckpointError(
                f"{where} gives heads of head_dim {config.head_dim}, but the rotary embedding turns pairs of numbers: "
                "fetch the checkpoint's own config.json."
            )
        if config.num_key_value_heads < 1 or config.num_attention_heads % config.num_key_value_heads:
            raise CheckpointError(
                f"{where} has {config.num_attention_heads} query heads and {config.num_key_value_heads} KV heads, but "
                "every KV head must serve the same number of query heads: fetch the checkpoint's own config.json."
            )
        return config


def _refuse(where: str, field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise CheckpointError(
            f"{where} has {field} = {value!r}, but only {allowed[0]!r} is supported: choose another checkpoint."
        )


def _rope(data: dict[str, Any], where: str) -> tuple[float, RopeScaling | None]:
    # Older files say rope_theta and rope_scaling, newer ones put both into rope_parameters; where both stand,
    # rope_scaling is what transformers follows.
    rope = data.get("rope_scaling") or data.get("rope_parameters") or {}
    if not isinstance(rope, dict):
        raise CheckpointError(
            f"{where} gives the rotary embedding as {rope!r:.40}, and an object is expected: fetch the checkpoint's "
            "own config.json."
        )
    theta = float(rope.get("rope_theta", data.get("rope_theta", 10000.0)))
    part = rope.get("partial_rotary_factor", data.get("partial_rotary_factor"))
    _refuse(where, "partial_rotary_factor", 1.0 if part is None else part, (1.0,))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind == "llama3":
        field = "original_max_position_embeddings"
        if field in data:
            rope = {field: data[field], **rope}
        return theta, RopeScaling(
            factor=float(rope["factor"]),
            low_frequency=float(rope["low_freq_factor"]),
            high_frequency=float(rope["high_freq_factor"]),
            original_context=int(rope[field]),
        )
    raise CheckpointError(
        f"{where} scales its rotary embedding by {kind!r}, but only 'default' and 'llama3' are supported: "
        "choose another checkpoint."
    )
