"""The first source of the model: the Hugging Face hub, which has the original weights in bf16."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from labkit.errors import ModelFetchError
from labkit.serving.files import NoSpace, need_space, sha256_of

REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
REACH_S = 8.0
"""A hub that has not answered by then counts as unreachable: there is another source to try."""
BYTES = 300_000_000
"""Disk space that the download needs, generously."""


def fetch(partial: Path, *, progress: bool) -> tuple[Path, dict[str, Any]]:
    """Download the model into `partial`.

    Returns:
        The folder with the files, and what the manifest says about their origin.

    Raises:
        ModelFetchError: the hub cannot be reached, lacks a file, or sent one that is not what it announced.
    """
    info = _reach()
    need_space(partial, BYTES)
    folder = partial / "model"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

        quiet_before = are_progress_bars_disabled()
        if not progress:
            disable_progress_bars()
        try:
            snapshot_download(
                REPOSITORY,
                revision=info.sha,
                local_dir=folder,
                allow_patterns=list(FILES),
                etag_timeout=5,
                token=False,  # the model is public: no one's key is needed, so none is sent
            )
        finally:
            if not quiet_before:
                enable_progress_bars()
    except Exception as error:  # the library and its HTTP client have many kinds
        if NoSpace.is_cause(error):
            raise
        raise ModelFetchError(f"the download from the Hugging Face hub broke off ({_short(error)})") from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's own notes about the download
    _verify(folder, info)
    return folder, {"source": "hub", "repository": REPOSITORY, "revision": info.sha}


def _reach() -> Any:
    """What the hub says about the repository; ModelFetchError after `REACH_S` seconds at most."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            from huggingface_hub import HfApi

            answer.append(HfApi().model_info(REPOSITORY, timeout=REACH_S / 2, files_metadata=True, token=False))
        except Exception as error:  # handed to the thread that waits
            answer.append(error)

    # In a thread, because no timeout of the client covers a name lookup that hangs.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_S)
    if not answer:
        raise ModelFetchError(f"the Hugging Face hub did not answer within {REACH_S:.0f} s")
    if isinstance(answer[0], Exception):
        raise ModelFetchError(f"the Hugging Face hub cannot be reached ({_short(answer[0])})")
    return answer[0]


def _verify(folder: Path, info: Any) -> None:
    announced = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise ModelFetchError(f"the Hugging Face hub sent no {name}")
        size = getattr(announced.get(name), "size", None)
        if size is not None and path.stat().st_size != size:
            raise ModelFetchError(f"{name} from the Hugging Face hub has {path.stat().st_size:,} bytes, not {size:,}")
        lfs = getattr(announced.get(name), "lfs", None)
        expected = getattr(lfs, "sha256", None)
        if expected is not None and sha256_of(path) != expected:
            raise ModelFetchError(f"{name} from the Hugging Face hub has the wrong checksum")


def _short(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__
