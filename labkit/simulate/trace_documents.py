"""Traces that are one JSON document: an array of requests, a result of `vllm bench serve`, an agent's session."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.simulate.trace import Trace, mix
from labkit.simulate.trace_files import beginning, trace_error
from labkit.simulate.trace_formats import Columns
from labkit.simulate.trace_rows import Rows

MAX_DOCUMENT_BYTES = 256 * 2**20
"""Python keeps several times as much for a document, all at once."""

# vllm/benchmarks/serve.py of github.com/vllm-project/vllm: lists of one entry per request, seconds of one clock.
VLLM = Columns("vllm bench serve", "start_times", "input_lens", "output_lens", unit="s")
VLLM_TOTALS = ("total_input_tokens", "request_throughput")
# github.com/callanjfox/kv-cache-tester: seconds from the session's beginning; ids name full blocks.
SESSION = Columns("Weka agent session", "t", "in", "out", "hash_ids", unit="s")

# An array, an object whose first line does not end it, or one that is known by a name in it.
_DOCUMENT = re.compile(rb'\[|\{(?:.*,)?\s*$|\{.*"(?:hash_id_scope|input_lens|total_input_tokens)"\s*:')


def is_document(start: bytes) -> bool:
    """Whether a file that begins so is one JSON document, not a line for each request."""
    line, more, _ = start.partition(b"\n")
    found = _DOCUMENT.match(line)
    return bool(found and (more or found.end() < len(line) or line[:1] == b"["))


def read_document(path: Path) -> Trace | list[Any]:
    """A trace, or a list of what should be requests, each an object by itself.

    Raises:
        TraceFileError: it is no JSON, or not a trace, and why.
    """
    document = _load(path)
    if isinstance(document, list):
        return document
    if isinstance(document.get("requests"), list):
        return _session(path, document)
    if "input_lens" in document:
        return _vllm(path, document)
    if any(name in document for name in VLLM_TOTALS):
        what = "it is a result of vllm bench serve with its totals only, but a trace needs each request"
        raise trace_error(path, None, what, "run it again with --save-result --save-detailed")
    return [document]


def read_folder(path: Path) -> Trace:
    """Weka's agent sessions, a file each.

    Ids are a session's own where its hash_id_scope is "local"; those of "global" ones are the same blocks in all.

    Raises:
        TraceFileError: the folder has no such file, or another .json.
    """
    files = sorted(path.glob("*.json"))
    if not files:
        what = "it is a folder, but must be a file, or hold agent sessions (.json)"
        raise trace_error(path, None, what, "name one of the files in it")
    apart: list[Trace] = []
    together: list[Trace] = []
    for file in files:
        document = _load(file)
        if not isinstance(document, dict) or not isinstance(document.get("requests"), list):
            what = "it is no agent session, but every .json of such a folder must be"
            raise trace_error(file, None, what, "move it elsewhere")
        (together if document.get("hash_id_scope") == "global" else apart).append(_session(file, document))
    trace = mix([*apart, mix(together, same_ids=True)] if together else apart)
    note = f"{len(files):,} sessions, which do not say when they began, all begin at 0 s; `mix` can start them apart."
    source = f"{path.name} ({len(files):,} {SESSION.kind}s)"
    return replace(trace, name=path.name, source=source, notes=(*trace.notes, note))


def _session(path: Path, document: dict[str, Any]) -> Trace:
    size = document.get("block_size")
    if type(size) is not int or size < 1:
        what = f"block_size is {str(size)[:40]!r}, but must be the tokens of a block"
        raise trace_error(path, None, what, "mend the session")
    rows = Rows(path, SESSION)
    requests = sorted(_flat(path, document["requests"], 0.0, ""), key=lambda found: found[1])
    for where, seconds, request in requests:
        rows.add(where, seconds, request.get("in"), request.get("out"), request.get("hash_ids"))
    return rows.trace(["t was read as seconds, as in Weka's agent sessions."], block_tokens=size)


def _flat(path: Path, requests: list[Any], start_s: float, within: str) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """All requests of a session; those of a subagent count their time from where it began."""
    for number, request in enumerate(requests, 1):
        where = f"request {number}{within}"
        if not isinstance(request, dict) or type(request.get("t")) not in (int, float):
            raise trace_error(path, where, "it has no t, a number of seconds", "mend or remove it")
        seconds = start_s + request["t"]
        if isinstance(request.get("requests"), list):
            yield from _flat(path, request["requests"], seconds, f" of {where}")
        else:
            yield where, seconds, request


def _vllm(path: Path, document: dict[str, Any]) -> Trace:
    if "start_times" not in document:
        what = "it has no start_times, so it does not say when requests came"
        raise trace_error(path, None, what, "run it again with a vLLM that saves them")
    times, inputs, outputs = lists = [document.get(name, ()) for name in VLLM.needed]
    errors = document.get("errors") or [""] * len(times)
    if not all(isinstance(values, list) and len(values) == len(times) for values in [*lists, errors]):
        what = f"{', '.join(VLLM.needed)} and errors must be lists of equal length"
        raise trace_error(path, None, what, "check that the file is complete")
    rows = Rows(path, VLLM)
    for number, (error, *values) in enumerate(zip(errors, times, inputs, outputs, strict=True), 1):
        if not error:
            rows.add(f"request {number}", *values)
    failed = len(times) - len(rows)
    notes = [f"{failed:,} of {len(times):,} requests failed and are left out."] * (failed > 0)
    return rows.trace(["start_times was read as seconds, as vllm bench serve writes it.", *notes])


def _load(path: Path) -> Any:
    data = beginning(path, MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        what = f"it is one JSON document of more than {MAX_DOCUMENT_BYTES:,} bytes, which has to be read as a whole"
        raise trace_error(path, None, what, "save it as JSON Lines, an object for each request on a line of its own")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            what, remedy = "the JSON document ends here, but the file goes on", "put each in a file of its own"
        else:
            what, remedy = f"it is not JSON ({error.msg} at column {error.colno})", "mend the file"
        raise trace_error(path, error.lineno, what, remedy) from None
    except UnicodeDecodeError as error:
        raise trace_error(path, None, f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8") from None
    except (ValueError, RecursionError):
        raise trace_error(path, None, "it is not readable JSON", "mend the file") from None
