"""From a fresh machine to an open lesson: makes the environment in .venv and runs what was asked in it.

    python bootstrap.py lab      environment, model, notebooks, then JupyterLab at lesson 00
    python bootstrap.py test     environment, then every test that needs no GPU: the same at each run
    python bootstrap.py explore  environment, then the property tests on random examples that nobody has seen
    python bootstrap.py canary   environment, then the kernels on a newer Triton, and their whole support matrix
    python bootstrap.py env      the environment alone, with the tools for work on the project
    python bootstrap.py model    environment, then the model

`make lab`, `make test`, ... call this. It needs nothing but Python 3.11 to 3.13 and the package registry; each command
can be run again: what is done already is found done, what was cut off is taken up again. Only the standard library is
imported, and the syntax stays old enough for old Pythons to read, so that they can be told what is missing.

TORCH_INDEX=URL (in the environment) takes torch from that index, for instance a build without CUDA for a machine
without a GPU. LABKIT_NO_BROWSER=1 opens no browser. LABKIT_NO_MODEL=1 fetches no model. SEED=NUMBER lets explore draw
the examples of an earlier run again.
"""

import codecs
import contextlib
import hashlib
import io
import json
import os
import platform
import random
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import threading
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
WINDOWS = os.name == "nt"
VENV_PYTHON = os.path.join(VENV, "Scripts", "python.exe") if WINDOWS else os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "labkit-environment.json")  # inside .venv: deleting that folder forgets everything
LOCK = os.path.join(ROOT, ".stamps", "environment.lock")
OLDEST, NEWEST = (3, 11), (3, 13)
NEWER_TRITON = "3.9.0"  # beside the one that constraints.txt pins; kernels pass on both
# For nbconvert in this environment: widgets stay alive in a page without a network (labkit/export.py).
NBCONVERT = {"HTMLExporter": {"preprocessors": ["labkit.export.StaticWidgets"]}}


class Stop(Exception):
    """What is missing and what to do about it, in a sentence; ends the program."""


def say(text):
    print("==> " + text, flush=True)


# ---------------------------------------------------------------------- may this machine run it?


def version():
    """Of the Python that reads this, as "3.11"."""
    return ".".join(str(part) for part in sys.version_info[:2])


def supported(numbers):
    """Whether a Python (major, minor, ...) lies in the tested range."""
    return OLDEST <= tuple(numbers[:2]) <= NEWEST


def other_python():
    """Another interpreter on this machine that would do, or None."""
    minors = [str(minor) for minor in range(OLDEST[1], NEWEST[1] + 1)]
    names = ["python3." + minor for minor in minors]
    commands = [[name] for name in names if shutil.which(name)]
    if WINDOWS and shutil.which("py"):
        commands += [["py", "-3." + minor] for minor in minors]
    probe = "import sys, venv, ensurepip; print(sys.executable)"
    for command in commands:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            # A name on the path may be a shim for a version that is not installed: only running it tells.
            found = subprocess.check_output([*command, "-c", probe], stderr=subprocess.DEVNULL, timeout=20)
            return found.decode().strip()
    return None


def check_python(numbers):
    if not supported(numbers):
        raise Stop(
            f"This is Python {numbers[0]}.{numbers[1]}, and the course needs Python 3.11, 3.12 or 3.13: install one of"
            " them (https://www.python.org/downloads, `sudo apt install python3.12 python3.12-venv`,"
            " `brew install python@3.12`, `winget install Python.Python.3.12`) and run this again with it."
        )


def check_machine(system, tag, libc, bits):
    """Stop before anything is installed where no build of torch exists.

    system: platform.system(); tag: sysconfig.get_platform(); libc: "musl" or "glibc"; bits: of the interpreter.
    """
    elsewhere = " Use a Linux machine, a Mac with an Apple chip, or a notebook server on the web instead."
    if bits != 64:
        raise Stop(f"This Python has {bits} bits, and torch is built for 64 only: install a 64-bit Python.")
    if system == "Darwin" and tag.endswith("x86_64"):
        if rosetta():
            raise Stop("This is a Python for Intel on a Mac with an Apple chip: install one for arm64 and use that.")
        raise Stop("This is a Mac with an Intel chip, and torch 2.12 and later have no build for it." + elsewhere)
    if system == "Windows" and "arm" in tag:
        raise Stop(
            "This is a Python for Windows on Arm, and torch has no such build: install the 64-bit Python for x86"
            " (it runs there, more slowly), or use Linux in WSL."
        )
    if libc == "musl":
        raise Stop("This Linux uses musl (Alpine does), and torch is built for glibc: use Debian or Fedora instead.")


def rosetta():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.check_output(["sysctl", "-n", "sysctl.proc_translated"]).strip() == b"1"
    return False


def check_venv():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Stop(
            f"This Python has no {error.name}, which makes environments: on Debian or Ubuntu"
            f" `sudo apt install python{version()}-venv`, elsewhere install Python from"
            " https://www.python.org/downloads; then run this again."
        ) from None


def check_space():
    free = shutil.disk_usage(ROOT).free / 1e9
    need = 2.0 if os.environ.get("TORCH_INDEX") or platform.system() != "Linux" else 8.0
    if free < need and not os.path.exists(STAMP):
        say(f"Only {free:.1f} GB are free here; the environment may need about {need:.0f} GB.")


# ---------------------------------------------------------------------- the environment


def wanted(extras, torch_index):
    """What the environment must be: a stamp equal to this means that nothing is to be done."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    digest.update(json.dumps(NBCONVERT).encode())
    return {"files": digest.hexdigest(), "root": ROOT, "extras": extras, "torch_index": torch_index}


def read_stamp():
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp = json.load(file)
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def write_json(path, value):
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(temporary, path)


def venv_works():
    """Whether .venv has a Python of a version we know, and pip. False for one cut off while it was made, or moved."""
    if not os.path.exists(VENV_PYTHON):
        return False
    probe = "import sys, pip; print(sys.version_info[0], sys.version_info[1]); print(sys.prefix)"
    try:
        lines = subprocess.check_output([VENV_PYTHON, "-c", probe], stderr=subprocess.DEVNULL, timeout=60).decode()
        numbers, prefix = lines.splitlines()[:2]
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return supported([int(part) for part in numbers.split()]) and os.path.samefile(prefix, VENV)


@contextlib.contextmanager
def alone():
    """Two runs at once: the second waits here until the first has made the environment."""
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    with open(LOCK, "a+") as file:
        said = False
        while True:
            try:
                if WINDOWS:
                    import msvcrt

                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not said:
                    say("Another run is making the environment; waiting for it.")
                    said = True
                time.sleep(0.5)
        yield  # closing the file gives the lock back, and so does the end of the process


def run(command, what, **options):
    """Run a command with its output in sight; a failure stops with `what` to do."""
    try:
        status = subprocess.call(command, stdin=subprocess.DEVNULL, cwd=ROOT, **options)
    except OSError as error:
        raise Stop(f"{command[0]} could not be started ({error}). {what}") from None
    if status != 0:
        raise Stop(what)


def pinned(name):
    """The requirement that constraints.txt holds for a package, such as "torch==2.13.0"."""
    with open(os.path.join(ROOT, "constraints.txt"), encoding="utf-8") as file:
        for line in file:
            if re.match(re.escape(name) + r"\s*==", line, re.IGNORECASE):
                return line.strip()
    raise Stop(f"constraints.txt has no version of {name}; take that file from the project again.")


def ensure_environment(dev):
    """Make .venv what pyproject.toml and constraints.txt say; cheap when it is that already."""
    with alone():
        stamp = read_stamp()
        # Tools that are there stay there, and so does the index torch once came from.
        extras = "dev" if dev or stamp.get("extras") == "dev" else ""
        torch_index = os.environ.get("TORCH_INDEX") or stamp.get("torch_index") or ""
        target = wanted(extras, torch_index)
        if stamp == target and os.path.exists(VENV_PYTHON):
            say("The environment in .venv is up to date.")
            return
        check_venv()
        check_space()
        again = "Mend what the lines above name (network, disk, rights), then run this again: it goes on from here."
        moved = stamp.get("root", ROOT) != ROOT  # the scripts of an environment name the place it was made in
        if moved or not venv_works():
            if os.path.isdir(VENV) and os.listdir(VENV):
                say("The environment in .venv was moved or is incomplete; making it anew.")
                shutil.rmtree(VENV)
            else:
                say(f"Making an environment in .venv with Python {version()}.")
            run([sys.executable, "-m", "venv", VENV], again)
        elif stamp:
            say("The project's versions changed; bringing .venv up to date.")
        else:
            say("Completing the environment in .venv.")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(STAMP)  # from here to the end it is not what any stamp says
        pip = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
        if torch_index:
            say("Installing torch from the index given in TORCH_INDEX.")
            force = ["--force-reinstall"] if torch_index != stamp.get("torch_index") else []
            run(pip + force + ["--no-deps", "--index-url", torch_index, pinned("torch")], again)
        say("Installing the project with the versions in constraints.txt (several minutes the first time).")
        project = f"{ROOT}[{extras}]" if extras else ROOT
        run([*pip, "-c", os.path.join(ROOT, "constraints.txt"), "-e", project], again)
        settings = os.path.join(VENV, "etc", "jupyter")
        os.makedirs(settings, exist_ok=True)
        write_json(os.path.join(settings, "jupyter_nbconvert_config.json"), NBCONVERT)
        write_json(STAMP, target)
        say("The environment is ready.")


def environment():
    """The variables that a program of the environment sees: as if the environment were activated."""
    env = dict(os.environ)
    env["VIRTUAL_ENV"] = VENV
    env["PATH"] = os.path.dirname(VENV_PYTHON) + os.pathsep + env.get("PATH", "")
    env.pop("PYTHONHOME", None)
    env["PYTHONUNBUFFERED"] = "1"
    return env


def hand_over(arguments):
    """Become `python -m labkit.lab ...` of the environment, so that Ctrl-C and signals reach it directly."""
    command = [VENV_PYTHON, "-m", "labkit.lab", *arguments]
    sys.stdout.flush()
    os.chdir(ROOT)
    if WINDOWS:  # exec there gives the prompt back while the program still runs
        try:
            return subprocess.call(command, env=environment())
        except KeyboardInterrupt:
            return 0
    return os.execve(VENV_PYTHON, command, environment())


# ---------------------------------------------------------------------- the tests


def test_groups():
    """(name, command) in the order they begin, the cheap and telling first; see `BESIDE`."""
    pytest = [VENV_PYTHON, "-m", "pytest"]
    units, notebooks, browser = existing(["tests/unit"]), existing(["tests/notebooks"]), existing(["tests/browser"])
    quick = existing(["tests/properties", "tests/mutants", "tests/kernels"])
    ruff = [VENV_PYTHON, "-m", "ruff"]
    groups = [
        ("format", [*ruff, "format", "--check", "."]),
        ("style", [*ruff, "check", "--output-format", "concise", "."]),
        ("types", [VENV_PYTHON, "-m", "mypy"]),
        ("units", pytest + units + spread(4, "loadfile") + ["--no-loadscope-reorder"] + coverage()),
    ]
    groups.append(("alone", pytest + those_with("mark.serial", units + quick + notebooks) + ["-m", "serial"]))
    groups.append(("library", pytest + quick + spread(2, "worksteal")))
    if notebooks:
        groups.append(("notebooks", pytest + notebooks + spread(3, "worksteal")))
    if browser:
        # A page on a busy machine can be late for reasons of the browser's. A test that fails is tried once more, and
        # is named in the summary and counted as "rerun" where that passes: a fault of ours fails twice.
        groups.append(("browser", pytest + browser + spread(2, "worksteal") + ["--reruns", "1", "-rR"]))
    return groups


def spread(workers, by):
    """Options that spread a group over so many processes, for two cores.

    Two where tests compute; more where they wait for programs that they start, for kernels or for pages. By "loadfile"
    where the tests of a file share what is dear to make, else by "worksteal", which leaves nobody idle at the end.
    """
    return ["-n", str(workers), "--dist", by, "-m", "not serial"]


def coverage():
    """Options that print how much of labkit the unit tests reach.

    Measured on some of them: 1.8 times the processor time on 3.13, and 2.7 times on 3.11, which is too much.
    """
    if sys.version_info < (3, 12):
        say("Coverage is measured with Python 3.12 and later.")
        return []
    return ["--cov=labkit", "--cov-report=term:skip-covered"]


def test_environment():
    """The variables that tests see."""
    env = environment()
    # Workers that each take a thread per core wait for each other: measured, that is several times slower.
    env.setdefault("OMP_NUM_THREADS", "1")
    env["COVERAGE_CORE"] = "sysmon"
    # Images for containers set this. Hundreds of workers, kernels and commands would then each compile the course anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def explore():
    """Run the tests that draw random examples with fresh ones; the seed it prints draws the same again."""
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(2**32))
    again = f"`make explore SEED={seed}` (without make: SEED={seed} python bootstrap.py explore) draws the same again."
    say(f"Fresh examples, from seed {seed}. {again}")
    profile = ["--hypothesis-profile", "explore", "--hypothesis-seed", seed]
    status, _ = run_group(
        [VENV_PYTHON, "-m", "pytest", "tests/properties", "tests/unit", "-m", "hypothesis", *profile],
        test_environment(),
    )
    say(f"Seed {seed}: {'nothing found' if status == 0 else 'see above'}. {again}")
    return status


def canary():
    """Run the tests of the kernels on a newer Triton, which lies beside the environment and not in it."""
    beside = os.path.join(ROOT, ".stamps", "triton-" + NEWER_TRITON)
    if not os.path.isdir(os.path.join(beside, "triton")):
        say(f"Fetching Triton {NEWER_TRITON}, to lie in {os.path.relpath(beside, ROOT)}.")
        pip = [VENV_PYTHON, "-m", "pip", "install", "--no-deps", "--target", beside, "triton==" + NEWER_TRITON]
        if subprocess.call(pip):
            raise Stop(f"Triton {NEWER_TRITON} could not be fetched: see what pip says above, and try again.")
    newer = {**test_environment(), "PYTHONPATH": beside, "LABKIT_WHOLE_MATRIX": "1"}
    status, _ = run_group([VENV_PYTHON, "-m", "pytest", "tests/kernels", *spread(2, "worksteal")], newer)
    return status


def existing(folders):
    """Those folders that hold a test."""
    return [
        folder
        for folder in folders
        if any(name.startswith("test_") for _, _, names in os.walk(os.path.join(ROOT, folder)) for name in names)
    ]


def those_with(text, folders):
    """The files of tests in which a text stands: to import all, for their marks, takes longer than to run these."""
    found = []
    for folder in folders:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                path = os.path.join(place, name)
                if name.startswith("test_") and name.endswith(".py"):
                    with open(path, encoding="utf-8") as file:
                        if text in file.read():
                            found.append(os.path.relpath(path, ROOT))
    return sorted(found)


def run_group(command, env, out=None):
    """Run one group, its output in sight or written to `out`; returns (exit status, its last line that says something).

    What is not in sight is in no hurry: it takes the processor time that is left.
    """
    out, command = (sys.stdout, command) if out is None else (out, patient(command))
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    RUNNING.append(process)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tail = ""
    try:
        # In pieces as they come, not by lines: pytest's dots make a line only after minutes.
        for piece in iter(lambda: process.stdout.read1(4096), b""):
            text = decoder.decode(piece)
            out.write(text)
            out.flush()
            tail = (tail + text)[-4096:]
        last = (tail.strip().splitlines() or [""])[-1].strip()
        return process.wait(), last
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        RUNNING.remove(process)


def total(lines):
    """Add up pytest's closing lines: {"passed": 120, "failed": 1, ...}."""
    counts = {}
    for line in lines:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        words = "passed|failed|skipped|xfailed|xpassed|rerun|errors?|deselected"
        for number, word in re.findall(rf"(\d+) ({words})\b", plain):
            word = "error" if word.startswith("error") else word
            counts[word] = counts.get(word, 0) + int(number)
    counts.pop("deselected", None)  # those of one group are run by another
    return counts


def patient(command):
    """The command such that whatever else is ready to run goes first, where the system knows such a thing."""
    return ["nice", "-n", "10", *command] if shutil.which("nice") else command


# A test waits for its page, and a page for its kernel: what only computes runs in the gaps that all after it leave.
BESIDE = "library"
RUNNING = []


def run_tests():
    env = test_environment()
    results, waiting, started = [], [], time.time()
    groups = test_groups()

    def run_one(name, command, *out):
        begun = time.time()
        status, last = run_group(command, env, *out)
        nothing = status == 5 and name == "alone"  # pytest: no test of that kind
        results.append((name, status == 0 or nothing, last, time.time() - begun))

    try:
        for number, (name, command) in enumerate(groups, 1):
            part = f"Tests, part {number} of {len(groups)}: {name}"
            if name == BESIDE and number < len(groups):
                say(f"{part}, in the gaps of those that follow; what it says comes after them")
                out = io.StringIO()
                thread = threading.Thread(target=run_one, args=(name, command, out), daemon=True)
                thread.start()
                waiting.append((part, thread, out))
                continue
            say(part)
            run_one(name, command)
        for part, thread, out in waiting:
            thread.join()
            say(part)
            print(out.getvalue(), end="", flush=True)
    except BaseException:
        for process in list(RUNNING):
            process.terminate()
        raise
    print()
    say(f"All parts, {time.time() - started:.0f} s:")
    for name, good, last, seconds in results:
        print("{:10} {:6} {:5.0f} s  {}".format(name, "ok" if good else "FAILED", seconds, last))
    counts = total([last for name, _, last, _ in results if name not in ("format", "style", "types")])
    closing = ", ".join(f"{counts[word]} {word}" for word in sorted(counts)) or "no test ran"
    print(f"===== {closing} in {time.time() - started:.0f}s =====", flush=True)
    return 0 if len(results) == len(groups) and all(good for _, good, _, _ in results) and counts.get("passed") else 1


# ---------------------------------------------------------------------- the commands


def main(arguments):
    commands = ("lab", "test", "explore", "canary", "env", "model")
    if len(arguments) != 1 or arguments[0] not in commands:
        print(__doc__.strip())
        return 0 if arguments in (["help"], ["-h"], ["--help"]) else 2
    command = arguments[0]
    try:
        if not supported(sys.version_info):
            better = other_python()
            if better is None:
                check_python(sys.version_info)
            say(f"This is Python {version()}; going on with {better}.")
            return subprocess.call([better, os.path.abspath(__file__), command])
        libc = "musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "glibc"
        check_machine(platform.system(), sysconfig.get_platform(), libc, struct.calcsize("P") * 8)
        ensure_environment(dev=command in ("test", "explore", "canary", "env"))
        if command == "lab":
            return hand_over([])
        if command == "model":
            return hand_over(["--model-only"])
        if command == "test":
            return run_tests()
        if command == "explore":
            return explore()
        if command == "canary":
            return canary()
        return 0
    except Stop as reason:
        sys.stdout.flush()
        print(f"Stopped: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C. Run this again to go on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
