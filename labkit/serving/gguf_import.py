"""From a GGUF file to a checkpoint folder in Hugging Face layout.

GGUF is llama.cpp's file format: metadata, tokenizer and quantised tensors in one file. Three things differ from the
layout that `labkit.serving.checkpoint` loads, and each is undone here:

- Weights are quantised (Q4_1, Q8_0: small integers with one scale a group of 32). They are widened to fp32 by the
  `gguf` package and stored as fp32. A Q4_1 weight is scale * q + minimum with scale and minimum in fp16, which needs
  up to some twenty bits of mantissa: bf16 (8 bits) or fp16 (11) would round a second time, and two programs that read
  the same GGUF would no longer hold the same model. The price is 538 MB on disk instead of 269.
- Rows of Q and K are permuted, because llama.cpp rotates neighbours (2i, 2i + 1) where Hugging Face rotates halves
  (i, i + head_dim / 2).
- Names: `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import CheckpointError

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


_NEUTRAL: dict[str, str | float] = {
    "llama.rope.scaling.type": "none",
    "llama.expert_count": 0,
    "llama.attention.sliding_window": 0,
    **dict.fromkeys((f"llama.rope.{key}" for key in ("scaling.factor", "scaling.attn_factor", "scale_linear")), 1.0),
    **dict.fromkeys((f"llama.{key}_scale" for key in ("embedding", "residual", "logit")), 1.0),
    **dict.fromkeys(("llama.rope.scaling.yarn_log_multiplier", "llama.attention.scale"), 0.0),
}
"""What would change the model's numbers and has no place in the config that is written here, each with the value with
which it does not."""


def convert(gguf_file: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write `folder/config.json`, `model.safetensors`, `tokenizer.json` and `tokenizer_config.json`.

    Args:
        gguf_file: a GGUF of architecture "llama" with a byte-level BPE tokenizer.
        folder: exists; the caller moves it into place once this has returned.
        progress: called with (tensors done, tensors in all).

    Raises:
        CheckpointError: the file is not a GGUF, or holds a model or a tokenizer of another kind, or says what this
            cannot carry over.
        OSError: the files cannot be written.
    """
    import gguf
    from safetensors.numpy import save_file

    try:
        reader = gguf.GGUFReader(gguf_file)
    except (ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"{gguf_file} is not a whole GGUF file ({error}): fetch it again.") from None
    meta = _Metadata(reader, gguf_file)
    config = _config(meta, {tensor.name for tensor in reader.tensors})

    tensors: dict[str, np.ndarray] = {}
    for number, tensor in enumerate(reader.tensors):
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if ".attn_q." in tensor.name:
            values = unpermute(values, config["num_attention_heads"])
        elif ".attn_k." in tensor.name:
            values = unpermute(values, config["num_key_value_heads"])
        tensors[_hf_name(tensor.name, gguf_file)] = np.ascontiguousarray(values)
        if progress is not None:
            progress(number + 1, len(reader.tensors))

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(meta))
    _tokenizer(meta).save(str(folder / "tokenizer.json"))


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Put rows of a Q or K projection [heads * head_dim, in], or its bias [heads * head_dim], back into Hugging Face
    order.

    llama.cpp stores row 2i + h of a head where Hugging Face has row h * head_dim / 2 + i.
    """
    halves = weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1)
    return halves.swapaxes(1, 2).reshape(weight.shape)


class _Metadata:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: Any, path: Path) -> None:
        self._fields = reader.fields
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def get(self, key: str, default: Any = None) -> Any:
        return self._fields[key].contents() if key in self._fields else default

    def need(self, key: str) -> Any:
        if key not in self._fields:
            raise CheckpointError(f"{self.path} has no field {key!r}, which is needed to load it: fetch it again.")
        return self._fields[key].contents()

    def expect(self, key: str, value: str | float) -> None:
        found = self.get(key)
        if found != value:
            raise CheckpointError(
                f"{self.path} has {key} = {found!r}, but only {value!r} can be converted: choose another file."
            )


def _config(meta: _Metadata, tensor_names: set[str]) -> dict[str, Any]:
    meta.expect("general.architecture", "llama")
    for key, neutral in _NEUTRAL.items():
        if key in meta:
            meta.expect(key, neutral)
    heads = int(meta.need("llama.attention.head_count"))
    hidden = int(meta.need("llama.embedding_length"))
    head_dim = int(meta.get("llama.attention.key_length", hidden // heads))
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        if key in meta:
            meta.expect(key, head_dim)
    attention_bias, mlp_bias = (
        _biases(tensor_names, layers=int(meta.need("llama.block_count")), modules=modules, path=meta.path)
        for modules in (("attn_q", "attn_k", "attn_v", "attn_output"), ("ffn_gate", "ffn_up", "ffn_down"))
    )
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": int(meta.get("llama.vocab_size") or len(meta.need("tokenizer.ggml.tokens"))),
        "hidden_size": hidden,
        "intermediate_size": int(meta.need("llama.feed_forward_length")),
        "num_hidden_layers": int(meta.need("llama.block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(meta.get("llama.attention.head_count_kv", heads)),
        "head_dim": head_dim,
        "attention_bias": attention_bias,
        "mlp_bias": mlp_bias,
        "max_position_embeddings": int(meta.need("llama.context_length")),
        # Stored as fp32; its shortest decimal is the number that was meant (1e-05, not 9.999999747378752e-06).
        "rms_norm_eps": float(str(np.float32(meta.need("llama.attention.layer_norm_rms_epsilon")))),
        "rope_theta": float(meta.get("llama.rope.freq_base", 10000.0)),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in tensor_names,
        "bos_token_id": meta.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": _ends(meta),
        "pad_token_id": meta.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }


def _biases(tensor_names: set[str], *, layers: int, modules: Sequence[str], path: Path) -> bool:
    """Whether these projections have a bias: in every layer, or in none."""
    biases = {f"blk.{layer}.{module}.bias" for layer in range(layers) for module in modules}
    missing = biases - tensor_names
    if missing and missing != biases:
        raise CheckpointError(
            f"{path} has a bias in {len(biases) - len(missing)} of {len(biases)} places where Llama's layout has all "
            "or none: choose another file."
        )
    return not missing


def _ends(meta: _Metadata) -> list[int] | None:
    """The tokens that end a text, and a turn."""
    ends = [meta.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")]
    return list(dict.fromkeys(int(token) for token in ends if token is not None)) or None


def _hf_name(name: str, path: Path) -> str:
    if name in _TOP:
        return _TOP[name]
    head, _, rest = name.partition(".")
    number, _, inner = rest.partition(".")
    module, _, kind = inner.rpartition(".")
    if head != "blk" or module not in LAYER_NAMES:
        raise CheckpointError(f"{path} holds a tensor {name!r} that no Llama model has: choose another file.")
    return f"model.layers.{number}.{LAYER_NAMES[module]}.{kind}"


_CONTROL = 3  # gguf.TokenType.CONTROL: a token that stands for no text


def _tokenizer(meta: _Metadata) -> Any:
    """Rebuild the tokenizer from vocabulary and merges: byte-level BPE that splits every digit off."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from tokenizers.processors import TemplateProcessing

    meta.expect("tokenizer.ggml.model", "gpt2")
    meta.expect("tokenizer.ggml.pre", "smollm")  # the name llama.cpp gives to exactly this way of splitting
    tokens: list[str] = meta.need("tokenizer.ggml.tokens")
    types: list[int] = meta.need("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in meta.need("tokenizer.ggml.merges")]

    tokenizer = Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    before, after = (
        [tokens[int(meta.need(f"tokenizer.ggml.{side}_token_id"))]]
        if meta.get(f"tokenizer.ggml.add_{side}_token")
        else []
        for side in ("bos", "eos")
    )
    if before or after:
        around = [(token, tokens.index(token)) for token in {*before, *after}]
        tokenizer.post_processor = TemplateProcessing(single=[*before, "$A", *after], special_tokens=around)
    return tokenizer


def _tokenizer_config(meta: _Metadata) -> dict[str, Any]:
    tokens: list[str] = meta.need("tokenizer.ggml.tokens")

    def name(key: str) -> str | None:
        token = meta.get(f"tokenizer.ggml.{key}")
        return None if token is None else tokens[int(token)]

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "bos_token": name("bos_token_id"),
        "eos_token": name("eos_token_id"),
        "unk_token": name("unknown_token_id"),
        "pad_token": name("padding_token_id"),
        "model_max_length": int(meta.need("llama.context_length")),
        "chat_template": meta.get("tokenizer.chat_template"),
    }


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
