"""What a worker sees: an environment from an allow-list, and for code of others a namespace of its own.

The namespace is bubblewrap's (Debian's package `bubblewrap`): no network, an empty home, no processes but its own, and
of the file system only Python, the course and a folder to work in, all but the last read-only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Literal

import labkit

Isolation = Literal["bubblewrap", "process"]
"""What holds the code: a namespace of its own, or only a process of its own."""

_PASSED = (
    "PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH",
    "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE",
    "APPDATA", "LOCALAPPDATA", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LABKIT_HOME", "CUDA_VISIBLE_DEVICES", "CUDA_HOME",
    "TRITON_CACHE_DIR",
)  # fmt: skip
"""Names of variables that a worker gets where they are set; nothing else of the environment reaches the code."""

_SET = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TRITON_INTERPRET": "1"}
"""What every worker has. Kernels are interpreted there on machines with a GPU too: only so can their addresses be
looked at before they are followed."""

_PROBE_SECONDS = 20.0


def environment(isolated: bool = False) -> dict[str, str]:
    """The environment of a worker. One in a namespace is told of no home, neither the person's nor the course's."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    passed |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    if isolated:
        for name in ("LABKIT_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR", "TEMP", "TMP"):
            passed.pop(name, None)
        passed["HOME"] = "/tmp"
    return passed | _SET


def command(arguments: list[str], folder: Path, isolated: bool) -> list[str]:
    """The command line of a worker that works in `folder`."""
    python = [sys.executable, "-P", "-m", "labkit.sandbox.worker", *arguments]
    return [*_bubblewrap(folder), *python] if isolated else python


@cache
def strongest() -> Isolation:
    """What this machine can do for code of others: "bubblewrap" where it is installed and allowed to work."""
    if shutil.which("bwrap") is None:
        return "process"
    try:
        done = subprocess.run(
            [*_bubblewrap(None), sys.executable, "-c", "import labkit"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            env=environment(True),
        )
    except (OSError, subprocess.TimeoutExpired):
        return "process"
    return "bubblewrap" if done.returncode == 0 else "process"


def _bubblewrap(folder: Path | None) -> list[str]:
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    words += ["--tmpfs", "/tmp"]
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf.d"):
        words += ["--ro-bind-try", path, path]
    for path in _python_paths():
        words += ["--ro-bind", path, path]
    if folder is not None:
        words += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
    return words


def _python_paths() -> list[str]:
    """The folders that Python and the course are in."""
    package = Path(labkit.__file__).parent
    wanted = {Path(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values())}
    wanted |= {Path(p) for p in sys.path if p} | {Path(sys.executable).resolve().parent.parent, package}
    wanted |= {package.parent / name for name in ("kernels", "notebooks", "quizzes")}  # a checkout
    wanted = {path for path in wanted if path.is_dir() and path not in (Path("/"), Path.home(), package.parent)}
    wanted = {path for path in wanted if not path.is_relative_to("/usr")}
    return sorted(
        str(path) for path in wanted if not any(path != other and path.is_relative_to(other) for other in wanted)
    )
