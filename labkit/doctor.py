"""`labkit doctor`: what this machine has, what that changes in the course, and how to mend it.

It must speak where torch or triton are missing, broken or hang, so both are imported in another process, with a
timeout; nothing here imports them. The same report is a cell of lesson 00.
"""

from __future__ import annotations

import json as json_module
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from labkit import paths
from labkit.errors import LabkitError

PROBE_SECONDS = 90.0  # a first import of torch from a slow disk takes most of a minute
OLDEST_TORCH, OLDEST_TRITON = (2, 12), (3, 7)
INSTALL = "run `make lab` again, or `pip install -e . -c constraints.txt` in your own environment"

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        state: "ok"; "note" where the course runs, but something in it changes; "problem" where it cannot run.
        found: what is there.
        means: what that changes in the course; "" where nothing.
        mend: what to do about it; "" where nothing needs to be done.
    """

    name: str
    state: State
    found: str
    means: str = ""
    mend: str = ""


class Report(tuple[Finding, ...]):
    """The findings of one look, shown as text in a terminal and as a table in a notebook."""

    @property
    def ok(self) -> bool:
        """Whether the course can run."""
        return all(finding.state != "problem" for finding in self)

    @property
    def closing(self) -> str:
        """One sentence on the whole."""
        problems = [finding.name for finding in self if finding.state == "problem"]
        if problems:
            return f"The course cannot run yet: mend {', '.join(problems)} first."
        notes = sum(finding.state == "note" for finding in self)
        if notes:
            above = "one note above says" if notes == 1 else f"{notes} notes above say"
            return f"The course runs here; {above} what differs."
        return "The course runs here, all of it."

    def as_text(self) -> str:
        """Plain lines, for a terminal."""
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
        width = max(len(finding.name) for finding in self)
        lines = []
        for finding in self:
            lines.append(f"{mark[finding.state]} {finding.name:<{width}}  {finding.found}")
            lines += [f"{'':{width + 9}} {text}" for text in (finding.means, finding.mend) if text]
        return "\n".join([*lines, "", self.closing])

    __repr__ = __str__ = as_text

    def _repr_markdown_(self) -> str:
        def cell(text: str) -> str:
            return text.replace("|", "\\|").replace("\n", " ")

        rows = ["| | what | found | what it changes, and what to do |", "|---|---|---|---|"]
        for finding in self:
            state = "**problem**" if finding.state == "problem" else finding.state
            rest = " ".join(text for text in (finding.means, finding.mend) if text)
            rows.append(f"| {state} | {finding.name} | {cell(finding.found)} | {cell(rest)} |")
        return "\n".join([*rows, "", self.closing])


# ------------------------------------------------------------------ looking


def probe(code: str, seconds: float = PROBE_SECONDS) -> dict[str, Any]:
    """Run `code` in a process of its own; the JSON object on its last line, or {"error": one line}."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it did not finish loading within {seconds:.0f} s"}
    except OSError as error:
        return {"error": str(error)}
    lines = done.stdout.strip().splitlines()
    with suppress(ValueError, IndexError):
        result = json_module.loads(lines[-1])
        if isinstance(result, dict):
            return result
    said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    return {"error": f"{said} (exit status {done.returncode})"}


_TORCH = """
import json, torch
found = {"version": torch.__version__, "threads": torch.get_num_threads(), "cuda_build": torch.version.cuda,
         "hip_build": torch.version.hip, "gpus": []}
try:
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            p = torch.cuda.get_device_properties(i)
            found["gpus"].append({"name": p.name, "memory": p.total_memory, "capability": f"{p.major}.{p.minor}"})
except Exception as error:
    found["gpu_error"] = str(error).splitlines()[0]
print(json.dumps(found))
"""
_TRITON = "import json, triton, triton.language; print(json.dumps({'version': triton.__version__}))"


def version_tuple(text: str) -> tuple[int, int]:
    """(major, minor) of a version such as "2.13.0+cpu"; (0, 0) where it has none."""
    parts = text.split("+")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return 0, 0


def look_at_python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    found = f"{version} at {sys.executable}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding(
            "Python",
            "problem",
            found,
            "The course is written for 3.11 to 3.13.",
            "Install one of these, then `make lab`.",
        )
    return Finding("Python", "ok", found)


def look_at_system() -> Finding:
    system, machine = platform.system(), platform.machine()
    found = f"{system} {platform.release()}, {machine}"
    if system == "Darwin" and machine == "x86_64":
        return Finding("system", "problem", found, "torch 2.12 and later have no build for Intel Macs.",
                       "Use a Linux machine or a Mac with an Apple chip.")  # fmt: skip
    if system == "Windows" and machine.upper() == "ARM64" and "ARM" in platform.python_compiler().upper():
        return Finding("system", "problem", found, "torch has no build for Python on Windows on Arm.",
                       "Install the 64-bit Python for x86, or use Linux in WSL.")  # fmt: skip
    if system == "Windows":
        return Finding("system", "ok", found, "A check's memory is watched instead of limited here.")
    return Finding("system", "ok", found)


def look_at_torch(torch: dict[str, Any]) -> Finding:
    if "error" in torch:
        return Finding("torch", "problem", f"not usable: {torch['error']}",
                       "Every lesson from 01 on computes with it.", f"To mend it, {INSTALL}.")  # fmt: skip
    build = (
        f"CUDA {torch['cuda_build']}" if torch["cuda_build"] else ("ROCm" if torch["hip_build"] else "no GPU support")
    )
    found = f"{torch['version']} ({build}, {torch['threads']} thread{'s' if torch['threads'] != 1 else ''})"
    if version_tuple(torch["version"]) < OLDEST_TORCH:
        return Finding(
            "torch", "note", found, "It is older than what the course is tested with.", f"To mend it, {INSTALL}."
        )
    return Finding("torch", "ok", found)


def look_at_triton(triton: dict[str, Any]) -> Finding:
    if platform.system() != "Linux" and "error" in triton:
        return Finding("triton", "note", f"none for {platform.system()}",
                       "Kernels cannot be run here, only read, with recorded runs; all else is whole.",
                       "For kernels use Linux, or WSL on Windows.")  # fmt: skip
    if "error" in triton:
        return Finding("triton", "note", f"not usable: {triton['error']}",
                       "Lessons that write kernels cannot check them; all else is whole.",
                       f"To mend it, {INSTALL}.")  # fmt: skip
    if version_tuple(triton["version"]) < OLDEST_TRITON:
        return Finding("triton", "note", triton["version"],
                       "Kernels run on a GPU, but its interpreter fails on loop bounds known only at run time.",
                       "torch 2.12 or later brings a newer one.")  # fmt: skip
    return Finding("triton", "ok", triton["version"])


def look_at_gpu(torch: dict[str, Any]) -> Finding:
    if "error" in torch:
        return Finding("GPU", "note", "not looked for, since torch does not load")
    if torch["gpus"]:
        gpus = "; ".join(
            f"{gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB, compute capability {gpu['capability']}"
            for gpu in torch["gpus"]
        )
        return Finding("GPU", "ok", gpus, "Kernels run and are timed on it.")
    without = "Everything runs on the processor; kernels run in the interpreter, and their timings are recorded ones."
    if "gpu_error" in torch:
        return Finding("GPU", "note", f"not usable: {torch['gpu_error']}", without, "Bring the driver up to date.")
    if shutil.which("nvidia-smi"):
        names = _first_line(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
        if names and not torch["cuda_build"]:
            return Finding("GPU", "note", f"{names}, but this torch was built without CUDA", without,
                           "Install torch from its CUDA index: `make lab TORCH_INDEX=URL`.")  # fmt: skip
        if names:
            return Finding("GPU", "note", f"{names}, but torch cannot use it", without,
                           "Bring the driver up to what this torch's CUDA needs.")  # fmt: skip
    if torch["cuda_build"]:
        return Finding(
            "GPU", "ok", "none", without + " This torch is the CUDA build, larger than needed here, no slower."
        )
    return Finding("GPU", "ok", "none", without)


def look_at_cores() -> Finding:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    if cores < 2:
        return Finding("cores", "note", "1", "The model and the checks take turns: expect checks of several seconds.")
    return Finding("cores", "ok", str(cores))


def memory_limit() -> int:
    """Bytes of memory this process may use: the machine's, or a container's where that is less."""
    import psutil

    limit = psutil.virtual_memory().total
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = min(limit, int(Path(file).read_text()))
    return limit


def look_at_memory() -> Finding:
    try:
        import psutil

        total, free = memory_limit() / 2**30, psutil.virtual_memory().available / 2**30
    except (ImportError, OSError) as error:
        return Finding("memory", "note", f"not known ({error})")
    found = f"{total:.1f} GiB, {min(free, total):.1f} GiB of it free"
    if total < 3.5:
        return Finding("memory", "note", found, "The model with JupyterLab and a browser needs about 4 GiB.",
                       "Close other programs, or go without the model (LABKIT_NO_MODEL=1).")  # fmt: skip
    return Finding("memory", "ok", found)


def look_at_model() -> Finding:
    without = "The lessons run with a tiny seeded model, whose answers mean nothing."
    try:
        from labkit.serving.commands import model_info

        facts = model_info()
    except (ImportError, OSError, LabkitError) as error:
        return Finding("model", "note", f"could not be looked at ({error})", without, f"To mend it, {INSTALL}.")
    if not facts["present"]:
        return Finding("model", "note", f"{facts['name']} is not here", without, "Run `labkit model fetch`.")
    if facts.get("damage"):
        return Finding("model", "note", f"{facts['name']} is damaged: {facts['damage']}", without,
                       "Run `labkit model fetch`.")  # fmt: skip
    return Finding("model", "ok", f"{facts['name']}, {facts['bytes'] / 1e6:,.0f} MB, {facts['source']}")


def look_at_jupyter() -> Finding:
    versions = {}
    for name in ("jupyterlab", "ipykernel", "anywidget"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return Finding("JupyterLab", "problem", f"{name} is not installed", "The lessons are notebooks.",
                           f"To mend it, {INSTALL}.")  # fmt: skip
    found = f"{versions['jupyterlab']} (ipykernel {versions['ipykernel']}, anywidget {versions['anywidget']})"
    if version_tuple(versions["jupyterlab"]) < (4, 4):
        return Finding(
            "JupyterLab", "note", found, "The widgets are made for 4.4 and later.", f"To mend it, {INSTALL}."
        )
    return Finding("JupyterLab", "ok", found)


def look_at_browser() -> Finding:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge", "firefox"):
        path = shutil.which(name)
        if path:
            return Finding("browser", "ok", path)
    try:
        return Finding("browser", "ok", f"the system's own ({webbrowser.get().__class__.__name__})")
    except webbrowser.Error:
        return Finding("browser", "ok", "none found on this machine",
                       "`make lab` prints an address; open it in a browser that reaches this machine.",
                       "Browser tests need Chromium (`sudo apt install chromium`).")  # fmt: skip


def look_at_folder(name: str, folder: Path, what: str, state: State, mend: str) -> Finding:
    """Whether a file can be made in `folder`, or would be once the folder is made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(name, state, f"{folder} cannot be written ({error.strerror or error})", what, mend)
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < 1e9:
        return Finding(name, "note", found, "The model takes up to 540 MB, and half of that again while it is fetched.",
                       "Free some space.")  # fmt: skip
    return Finding(name, "ok", found)


def look_at_home() -> Finding:
    lost = "Progress and the model cannot be kept."
    return look_at_folder("home", paths.home(), lost, "problem", "Set LABKIT_HOME to a folder you may write to.")


def look_at_work() -> Finding:
    from labkit.lab import work_dir

    lost = "Notebooks cannot be copied to where you would edit them."
    return look_at_folder(
        "work", work_dir(), lost, "note", "Use a folder that belongs to you, or give back its rights."
    )


def look_at_progress() -> Finding:
    from labkit.grading.progress import Progress

    file = paths.home() / "progress.sqlite"
    if not file.exists():
        return Finding("progress", "ok", "nothing recorded yet")
    try:
        summary = Progress().summary()
    except LabkitError as error:
        return Finding("progress", "note", str(error), "What you passed before counts again after the next start.")
    passed, attempts = summary["passed"], summary["attempts"]
    return Finding(
        "progress", "ok", f"{passed} exercise{'s' if passed != 1 else ''} passed, {attempts} attempts, {file}"
    )


def _first_line(command: list[str]) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        out = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if out.returncode == 0:
            return (out.stdout.strip().splitlines() or [""])[0]
    return ""


def report() -> Report:
    """Look at everything; one finding each, in a fixed order. Takes seconds, most of them for importing torch."""
    torch, triton = probe(_TORCH), probe(_TRITON)
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", look_at_python),
        ("system", look_at_system),
        ("torch", lambda: look_at_torch(torch)),
        ("triton", lambda: look_at_triton(triton)),
        ("GPU", lambda: look_at_gpu(torch)),
        ("cores", look_at_cores),
        ("memory", look_at_memory),
        ("model", look_at_model),
        ("JupyterLab", look_at_jupyter),
        ("browser", look_at_browser),
        ("home", look_at_home),
        ("work", look_at_work),
        ("progress", look_at_progress),
    ]
    findings = []
    for name, look in looks:
        try:
            findings.append(look())
        except Exception as error:  # one look that fails must not hide what the others see
            findings.append(Finding(name, "note", f"could not be looked at ({type(error).__name__}: {error})"))
    return Report(findings)


def show() -> Report:
    """The report as the last line of a notebook cell: `from labkit import doctor; doctor.show()`."""
    return report()


def run(json: bool = False) -> int:
    """`labkit doctor [--json]`: print the report; 0 if the course can run, else 1."""
    seen = report()
    if json:
        print(json_module.dumps({"ok": seen.ok, "findings": [asdict(finding) for finding in seen]}, indent=1))
    else:
        print(seen.as_text())
    return 0 if seen.ok else 1
