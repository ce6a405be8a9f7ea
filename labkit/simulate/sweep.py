"""Many simulations, wherever there are processes to run them: this machine's cores, a Dask cluster, a Ray pool.

An executor is whatever has `submit` as in `concurrent.futures`: `ProcessPoolExecutor()`, `Client(...).get_executor()`
of Dask, or a Ray pool's. A configuration is plain data and its result a dict, so both travel to any of them. Results
are appended to a file as they come, one JSON object a line: a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from labkit.errors import LabkitError, SimulationError
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import without_nan


def run_one(configuration: Configuration) -> dict[str, Any]:
    """The figures of one simulation, as `labkit simulate --json` has them."""
    result = configuration.run()
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return without_nan(result.totals | {"wall_seconds": result.wall_seconds})


def key_of(configuration: Configuration) -> str:
    """What a configuration is known by in a file of results: the same for the same settings, whatever its name."""
    settings = {name: value for name, value in configuration.to_dict().items() if name != "name"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def sweep(
    configurations: Iterable[Configuration],
    executor: Executor | None = None,
    *,
    results: str | Path | None = None,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Run all of them. One that fails does not stop the others.

    Args:
        configurations: what to run; those that are equal but for their names run once.
        executor: where; the cores of this machine without. It stays open.
        results: a file of JSON Lines in which each result is kept as soon as there is one. What it holds already is
            not run again, unless it failed.
        progress: a bar on stderr: True, False, or None for "if that is a terminal".

    Returns:
        For each configuration, in their order, {"configuration": its settings, "figures": its totals, "error": None};
        or figures None and the error as a sentence.

    Raises:
        SimulationError: a file of results that is none. Ctrl-C ends the sweep, and what the file has stays.
    """
    wanted = list(configurations)
    path = None if results is None else Path(results)
    done = {} if path is None else _read(path)
    todo = {key_of(c): c for c in wanted if done.get(key_of(c), {"error": ""})["error"] is not None}
    from tqdm import tqdm

    show = sys.stderr.isatty() if progress is None else progress
    own = ProcessPoolExecutor() if executor is None and todo else None
    try:
        with tqdm(total=len(todo), unit="run", disable=not show) as bar:
            for key, result in _results(executor or own, todo) if todo else ():
                done[key] = result
                if path is not None:
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"key": key, **result}) + "\n")
                bar.update()
    finally:
        if own is not None:
            own.shutdown(wait=False, cancel_futures=True)
    return [done[key_of(c)] | {"configuration": c.to_dict()} for c in wanted]


def _results(executor: Any, todo: dict[str, Configuration]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each result as it comes."""
    ended: SimpleQueue[Future[dict[str, Any]]] = SimpleQueue()
    futures: dict[Any, str] = {}
    try:
        for key, configuration in todo.items():
            future = executor.submit(run_one, configuration)
            futures[future] = key
            future.add_done_callback(ended.put)  # unlike `as_completed`, which looks into futures of Python's own
        for _ in range(len(futures)):
            future = ended.get()
            key = futures[future]
            yield key, {"configuration": todo[key].to_dict(), **_outcome(future)}
    finally:
        for future in futures:
            future.cancel()


def _outcome(future: Any) -> dict[str, Any]:
    try:
        return {"figures": future.result(), "error": None}
    except Exception as error:  # whatever went wrong there, the others go on
        what = str(error) if isinstance(error, LabkitError) else f"{type(error).__name__}: {error}"
        return {"figures": None, "error": what}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What a file of results holds, the last of each. Its last line may be cut off, where somebody was stopped."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            found[entry["key"]] = {name: entry[name] for name in ("configuration", "figures", "error")}
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                # What follows would be appended to it.
                path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")
                break
            raise SimulationError(
                f"Line {number} of {path} is no result of a sweep: name another file, or remove that line."
            ) from None
    return found
