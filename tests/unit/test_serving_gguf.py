"""From a small GGUF to a checkpoint: biases, ends, a token in front, and what is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from model_oracle import make_checkpoint, oracle
from safetensors.numpy import load_file

from labkit.errors import CheckpointError
from labkit.serving import load
from labkit.serving.gguf_import import LAYER_NAMES, convert
from labkit.serving.tokenizer import Tokenizer


def permute(tensor: np.ndarray, heads: int) -> np.ndarray:
    """Rows as llama.cpp keeps them: of each head's two halves, one row of each by turns."""
    head_dim = tensor.shape[0] // heads
    order = [
        head * head_dim + half * head_dim // 2 + i
        for head in range(heads)
        for i in range(head_dim // 2)
        for half in (0, 1)
    ]
    return tensor[order]


def write(path: Path, model: Path, *, leave_out: tuple[str, ...] = (), **said: object) -> Path:
    """A GGUF of the weights in `model`, with a tokenizer of the bytes and four control tokens."""
    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    letters = [chr(0x100 + i) for i in range(config["vocab_size"] - 4)]
    letters[:2] = ["a", "b"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*letters, "<|begin|>", "<|end|>", "<|turn|>", "ab"])
    writer.add_token_types([1] * len(letters) + [3, 3, 3, 1])
    writer.add_token_merges(["a b"])
    for key, value in said.items():
        name = key.replace("__", ".")
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_uint32(name, value)
    theirs = {ours: name for name, ours in LAYER_NAMES.items()}
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, tensor in load_file(model / "model.safetensors").items():
        module, _, kind = name.rpartition(".")
        if module in top:
            writer.add_tensor(f"{top[module]}.{kind}", tensor)
            continue
        _, _, layer, inner = module.split(".", 3)
        new = f"blk.{layer}.{theirs[inner]}.{kind}"
        if "q_proj" in name:
            tensor = permute(tensor, config["num_attention_heads"])
        elif "k_proj" in name:
            tensor = permute(tensor, config["num_key_value_heads"])
        if new not in leave_out:
            writer.add_tensor(new, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def biased(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("biased")
    return make_checkpoint(folder, "llama", attention_bias=True, mlp_bias=True, num_hidden_layers=2)


def test_biases_come_over_with_their_rows_in_order(biased, tmp_path):
    convert(write(tmp_path / "a.gguf", biased), tmp_path)
    ids = list(range(40, 90))
    expected = oracle(biased, torch.float32)(torch.tensor([ids])).logits[0]
    found = load(tmp_path, dtype=torch.float32).model(torch.tensor(ids), last_only=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_model_without_biases_and_with_settings_that_change_nothing(tmp_path):
    plain = make_checkpoint(tmp_path / "plain", "llama", num_hidden_layers=1)
    said = {"llama__rope__scaling__type": "none", "llama__expert_count": 0, "llama__logit_scale": 1.0}
    convert(write(tmp_path / "a.gguf", plain, **said), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert not config["attention_bias"] and not config["mlp_bias"]


def test_what_ends_a_text_and_what_opens_it(biased, tmp_path):
    size = json.loads((biased / "config.json").read_text())["vocab_size"]
    begin, end, turn = size - 4, size - 3, size - 2
    said = {"bos_token_id": begin, "eos_token_id": end, "eot_token_id": turn, "add_bos_token": True}
    convert(write(tmp_path / "a.gguf", biased, **{f"tokenizer__ggml__{k}": v for k, v in said.items()}), tmp_path)
    assert load(tmp_path, dtype=torch.float32).config.eos_token_ids == (end, turn)
    tokenizer = Tokenizer.read(tmp_path)
    assert tokenizer.encode_prompt("abab") == [begin, size - 1, size - 1]
    assert tokenizer.encode("abab") == [size - 1, size - 1]


@pytest.mark.parametrize(
    ("leave_out", "said", "message"),
    [
        (("blk.1.attn_q.bias",), {}, "a bias in 7 of 8 places"),
        ((), {"llama__rope__scaling__type": "yarn"}, "llama.rope.scaling.type = 'yarn', but only 'none'"),
        ((), {"llama__expert_count": 8}, "llama.expert_count = 8"),
        ((), {"llama__logit_scale": 0.5}, "llama.logit_scale"),
        ((), {"llama__rope__dimension_count": 4}, "llama.rope.dimension_count = 4, but only 8"),
    ],
)
def test_what_would_change_the_numbers_is_refused(biased, tmp_path, leave_out, said, message):
    path = write(tmp_path / "a.gguf", biased, leave_out=leave_out, **said)
    with pytest.raises(CheckpointError, match=message):
        convert(path, tmp_path)
    assert not list(tmp_path.glob("*.json"))
