"""Loading a checkpoint folder in Hugging Face layout: safetensors files and their config.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from labkit.errors import CheckpointError, UnreadableError
from labkit.reading import read_json
from labkit.serving.config import ModelConfig
from labkit.serving.model import LanguageModel

_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_SPARE = re.compile(r"lm_head\.weight|.*\.rotary_emb\.inv_freq")
"""What files may hold beyond the weights of the model: a tied head a second time, and tables that are computed here."""


def load_model(
    folder: str | Path, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu"
) -> LanguageModel:
    """Load a Llama or Qwen3 model from a local folder.

    Args:
        folder: holds config.json and either model.safetensors or model.safetensors.index.json with its shards.
        dtype: the weights are converted to it as they are read.
        device: where they go.

    Raises:
        CheckpointError: a file is missing, cut short, or does not hold what config.json says.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder: give the folder that holds the model's config.json.")
    config = ModelConfig.read(folder)
    with torch.device("meta"):  # shapes without memory: the tensors come from the files
        model = LanguageModel(config)
    wanted = {_file_name(name): (name, tuple(p.shape)) for name, p in model.named_parameters()}

    state: dict[str, torch.Tensor] = {}
    for path, names in _files(folder, set(wanted), config.num_hidden_layers).items():
        for name, tensor in _read(path, names, config.num_hidden_layers):
            inner, shape = wanted[name]
            if tuple(tensor.shape) != shape:
                raise CheckpointError(
                    f"{name} in {path} has shape {list(tensor.shape)}, but config.json asks for {list(shape)}: "
                    "the two do not belong together, so fetch the checkpoint again."
                )
            if not tensor.is_floating_point():
                raise CheckpointError(
                    f"{name} in {path} is stored as {tensor.dtype}, but weights must be floating point: "
                    "choose a checkpoint that is not quantised."
                )
            state[inner] = tensor.to(device=device, dtype=dtype)
    missing = sorted(name for name, (inner, _) in wanted.items() if inner not in state)
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(wanted)} weights, {missing[0]} first: fetch the checkpoint again."
        )
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def _file_name(parameter: str) -> str:
    """The checkpoint's name of a parameter of ours: everything but the output head lives below `model.`."""
    return parameter if parameter.startswith("lm_head.") else f"model.{parameter}"


def _files(folder: Path, wanted: set[str], layers: int) -> dict[Path, set[str]]:
    """Which names to read from which file."""
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.exists():
        return {single: wanted}
    if not index.exists():
        raise CheckpointError(
            f"{folder} has neither model.safetensors nor model.safetensors.index.json: "
            "only safetensors weights are loaded, so fetch or convert the checkpoint."
        )
    try:
        weight_map = read_json(index)["weight_map"]
        places = {name: str(weight_map[name]) for name in wanted if name in weight_map}
        others = [str(name) for name in weight_map if name not in wanted]
    except (UnreadableError, KeyError, TypeError) as error:
        raise CheckpointError(f"{index} is not a safetensors index ({error!r}): fetch the checkpoint again.") from None
    for name in others:
        _refuse_unless_spare(index, name, layers)
    files: dict[Path, set[str]] = {}
    for name, file in places.items():
        # A shard lies beside its index; a path that leads elsewhere is a broken or hostile file.
        if Path(file).name != file:
            raise CheckpointError(f"{index} points outside its folder ({file!r}): fetch the checkpoint again.")
        files.setdefault(folder / file, set()).add(name)
    return files


def _read(path: Path, names: set[str], layers: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) for those of `names` that the file holds.

    A name that is not wanted is refused, unless it is one of `_SPARE`: a layer, a bias, a norm or a scale that was left
    out would give a model that talks nonsense.
    """
    if not path.exists():
        raise CheckpointError(f"{path} is missing, but its index names it: fetch the checkpoint again.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping)
                if name in names:
                    yield name, file.get_tensor(name)
                else:
                    _refuse_unless_spare(path, name, layers)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}): it was cut short or damaged, so fetch it again."
        ) from None


def _refuse_unless_spare(path: Path, name: str, layers: int) -> None:
    """A weight that the model has no place for, in a file or its index."""
    if (match := _LAYER.match(name)) and int(match[1]) >= layers:
        raise CheckpointError(
            f"{path} holds {name}, but config.json says that there are {layers} layers: the two do not belong "
            "together, so fetch the checkpoint again."
        )
    if not _SPARE.fullmatch(name):
        raise CheckpointError(
            f"{path} holds {name}, which no part of a model with this config.json has: the text would be another "
            "without it, so choose a plain Llama or Qwen3 checkpoint."
        )
