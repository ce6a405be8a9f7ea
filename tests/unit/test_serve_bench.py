"""`labkit bench serve`: what it counts is right; what it times is looked at by nobody here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from model_oracle import make_checkpoint
from typer.testing import CliRunner

from labkit.bench import bench_commands
from labkit.bench.serve_bench import Asked, bench_memory, bench_serve, in_transformers, lines, mixed, padded_batch
from labkit.bench.serve_gpu import bench_decode, bytes_of_step, random_model
from labkit.serving import load


def test_paging_holds_more_requests_than_reserving_does():
    model = load("tiny")
    told = bench_memory(model, 60, 2 * 2048, lambda what: None)
    assert told["ways"]["model_maximum"]["peak_running"] == 2
    assert told["times_model_maximum"] >= 2.5 and told["times_prompt_and_max_tokens"] > 1.2
    assert told["bytes"] == 2 * 2 * 4096 * 2 * 8 * 4  # K and V, layers, slots, heads, numbers, bytes
    assert told["ways"]["paged"]["served"] == 60


def test_the_workload_is_mixed_and_the_same_each_time():
    asked = mixed(200, 300, 500)
    assert asked == mixed(200, 300, 500) != mixed(200, 300, 500, seed=1)
    lengths = sorted(len(one.prompt) for one in asked)
    assert lengths[0] < 40 and lengths[-1] == 500 and all(3 <= t < 300 for one in asked for t in one.prompt)
    assert len({one.answer for one in asked}) > 30


def test_the_command_on_a_model_without_a_peer():
    command = ["serve", "--model", "tiny", "--requests", "8", "--rounds", "1", "--steps", "2"]
    result = CliRunner().invoke(bench_commands.app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert done["speed"]["requests_per_s"] > 0 and "times" not in done["speed"] and "times" not in done["step"]
    assert 0 < done["step"]["overhead_share"] < 1 and done["dtype"] == "bfloat16"
    assert any("paged" in line for line in lines(done)) and "nothing is compared" in result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), "llama", max_position_embeddings=1024)


def test_beside_transformers(folder: Path):
    model = load(folder, dtype=torch.float32)
    theirs, why = in_transformers(model, str(folder))
    assert not why
    out = padded_batch(theirs, [Asked([5, 6, 7], 4), Asked([8], 2)])
    assert out.shape == (2, 3 + 4)  # as many as the longest answer, behind the longest prompt
    (ours,) = [model.generate([5, 6, 7], max_new_tokens=4, stop=False).token_ids]
    assert out[0, 3:].tolist() == ours
    done = bench_serve(model, theirs, lambda what: None, requests=8, rounds=1, steps=2, context=20)
    assert done["speed"]["times"] > 0 and done["step"]["times"] > 0
    assert {"speed, times", "step, times", "overhead", "memory, times model maximum"} == set(done["targets"])
    assert any(line.startswith("  transformers:") for line in lines(done))


def test_the_floor_of_a_step_is_its_bytes():
    small = load("tiny").config
    model = random_model(small, "cpu", torch.bfloat16)
    weights = sum(p.numel() for p in model.model.parameters()) - small.vocab_size * small.hidden_size
    assert bytes_of_step(model, 3, 10) == 2 * weights + 3 * 10 * (2 * 2 * 2 * 8 * 2)
    told = bench_decode(model, 1e9, batch=3, context=40, steps=4)
    assert told["step_ms"] > 0 and told["of_floor"] == pytest.approx(told["floor_ms"] / told["step_ms"])
    assert "floor_ms" not in bench_decode(model, None, batch=2, context=20, steps=2)
