"""Checkpoint folders: what cannot be loaded is refused in one sentence that says why."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from model_oracle import make_checkpoint
from safetensors.torch import load_file, save_file

from labkit.errors import CheckpointError
from labkit.serving import load
from labkit.serving.checkpoint import load_model
from labkit.serving.config import ModelConfig
from labkit.serving.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("whole"), "llama")


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value != "DROP"}))


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_a_whole_folder_loads(folder):
    model = load_model(folder, torch.float32)
    assert model.dtype == torch.float32
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in model.parameters())
    assert torch.isfinite(model(torch.tensor([1, 2, 3]))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "model type 'mamba'"),
        ({"model_type": "DROP"}, "model type None"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'yarn'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "'factor'"),
        ({"hidden_size": "DROP"}, "'hidden_size'"),
        ({"vocab_size": "many"}, "wrong kind"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_key_value_heads": 4}, "6 query heads and 4 KV heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"vocab_size": 50}, "has shape"),
        ({"num_hidden_layers": 4}, r"lacks 9 of .*layers\.3"),
        ({"num_hidden_layers": 2}, "says that there are 2 layers"),
    ],
)
def test_a_config_that_does_not_fit(folder, changes, message):
    edit(folder, **changes)
    assert re.search(message, refused(folder))


def test_older_config_files_say_rope_theta_at_the_top():
    base = {"model_type": "llama", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = ModelConfig.from_dict({**base, "num_attention_heads": 2, "rope_theta": 5e5, "eos_token_id": [3, 4]})
    assert (config.rope_theta, config.num_key_value_heads, config.head_dim) == (5e5, 2, 4)
    assert config.eos_token_ids == (3, 4)


def test_what_is_missing_is_named(folder):
    assert "is not a folder" in refused(folder / "nowhere")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only safetensors weights are loaded" in refused(folder)
    (folder / "config.json").write_text("{")
    assert "cannot be read as JSON" in refused(folder)
    (folder / "config.json").write_text("[]")
    assert "no JSON object" in refused(folder)
    (folder / "config.json").unlink()
    assert "has no config.json" in refused(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_a_file_that_is_cut_short(folder, keep):
    path = folder / "model.safetensors"
    size = path.stat().st_size
    os.truncate(path, int(size * keep) if 0 < keep < 1 else size + keep if keep < 0 else int(keep))
    assert "not a whole safetensors file" in refused(folder)


def test_weights_of_another_kind(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({name: t.to(torch.int8) if "q_proj" in name else t for name, t in tensors.items()}, path)
    assert "not quantised" in refused(folder)
    del tensors["model.norm.weight"]
    save_file(tensors, path)
    assert "lacks 1 of" in refused(folder) and "model.norm.weight" in refused(folder)


def test_an_index_that_misleads(tmp_path):
    folder = make_checkpoint(tmp_path / "shards", "qwen3", shard="60KB")
    index = folder / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    first = next(iter(whole["weight_map"]))

    outside = json.loads(index.read_text())
    outside["weight_map"][first] = "../elsewhere.safetensors"
    index.write_text(json.dumps(outside))
    assert "points outside its folder" in refused(folder)

    index.write_text(json.dumps({"weight_map": 3}))
    assert "not a safetensors index" in refused(folder)

    index.write_text(json.dumps(whole))
    (folder / whole["weight_map"][first]).unlink()
    assert "is missing, but its index names it" in refused(folder)


def test_a_tokenizer_that_is_missing_or_damaged(folder):
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        Tokenizer.read(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a tokenizer file"):
        Tokenizer.read(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        load(folder)


def test_load_says_that_the_tiny_model_stands_in(capsys):
    model = load()
    assert model.is_tiny and model.name == "tiny"
    assert "labkit model fetch" in capsys.readouterr().out
    load(quiet=True)
    load("tiny")
    assert capsys.readouterr().out == ""


def test_the_tiny_model_is_the_same_every_time():
    a, b = load("tiny"), load("tiny")
    assert a.generate("Hello", max_new_tokens=12).text == b.generate("Hello", max_new_tokens=12).text
    assert a.generate("Hello", max_new_tokens=12).text != a.generate("Good bye", max_new_tokens=12).text
    assert a.shape.num_kv_heads == 2 and a.shape.weights_bytes == sum(4 * p.numel() for p in a.model.parameters())
