"""Small files from outside: text, JSON, YAML and Python, read within bounds.

Whatever a file holds, the reader comes back soon, with what it holds or with UnreadableError and a reason. Refused are

- what is no ordinary file: a named pipe never ends, and a device has no end;
- more bytes than were allowed for;
- text in another encoding than UTF-8 (a byte order mark is taken off);
- JSON beyond what every reader of it can take: NaN and infinity, whole numbers of more than 64 bits (or as many as the
  file's kind may have), numbers that no float can hold, halves of surrogate pairs, nesting deeper than `MOST_DEEP`;
- YAML with aliases, with which a short file can stand for an endless one, and values that Python cannot make.

Traces are large and have a reader of their own (`labkit.simulate.trace_files`).
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import tokenize
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import MissingFileError, UnreadableError

MOST_BYTES = 16 << 20
MOST_DEEP = 100
MOST_NODES = 20_000  # of a YAML file
_ENCODINGS = ("utf-8", "utf-8-sig", "ascii", "us-ascii", "iso-8859-1", "latin-1", "cp1252")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file of at most `most` bytes.

    Raises:
        UnreadableError: with the reason; MissingFileError, which is one, where there is no such file.
    """
    try:
        # Not blocking: opening a named pipe would wait for its other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnreadableError("it is no ordinary file")
            data = file.read(most + 1)
    except FileNotFoundError:
        raise MissingFileError("there is no such file") from None
    except (OSError, ValueError) as error:
        folder = isinstance(error, IsADirectoryError) or Path(path).is_dir()
        raise UnreadableError("it is a folder" if folder else getattr(error, "strerror", None) or str(error)) from None
    if len(data) > most:
        raise UnreadableError(f"it is larger than {most:,} bytes")
    return data


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; line ends become line feeds.

    Raises: as `read_bytes`.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableError("it is not UTF-8 text", data.count(b"\n", 0, error.start) + 1) from None


def read_python(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a Python file, in the encoding that its first lines name; other than those of text are refused.

    Raises: as `read_bytes`.
    """
    data = read_bytes(path, most)
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        if encoding not in _ENCODINGS:
            raise UnreadableError(f"it names the encoding {encoding:.40}, and UTF-8 is expected")
        return data.decode(encoding).replace("\r\n", "\n")
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise UnreadableError("it is not UTF-8 text") from None


def read_json(path: Path, most: int = MOST_BYTES, bits: int = 64) -> Any:
    """The value in a JSON file, whose whole numbers have `bits` bits at most.

    Raises: as `read_bytes`.
    """
    return parse_json(read_text(path, most), bits)


def parse_json(text: str, bits: int = 64) -> Any:
    """The value that a JSON text stands for.

    Raises:
        UnreadableError: see the top of this file.
    """
    try:
        value = json.loads(text, parse_int=partial(_whole, bits=bits), parse_float=_number, parse_constant=_number)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"it is not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.lineno) from None
    except RecursionError:
        raise UnreadableError("it is nested too deep") from None
    check_plain(value, bits)
    return value


def check_plain(value: Any, bits: int = 64) -> None:
    """Refuse a JSON-like value that is nested too deep, or holds what cannot be written down again.

    Raises:
        UnreadableError: with the reason.
    """
    waiting = [(value, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth > MOST_DEEP:
                raise UnreadableError("it is nested too deep")
            inside = [*value, *value.values()] if isinstance(value, dict) else value
            waiting += [(each, depth + 1) for each in inside]
        elif isinstance(value, float):
            _number(value)
        elif type(value) is int:
            _whole(value, bits)
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UnreadableError("it holds half of a surrogate pair, which is no text") from None


def _whole(digits: str | int, bits: int) -> int:
    most = 1 << (bits - 1)
    if len(digits if isinstance(digits, str) else "") > bits // 3 or not -most <= int(digits) < most:
        raise UnreadableError(f"it holds a whole number of more than {bits} bits")
    return int(digits)


def _number(digits: str | float) -> float:
    if not math.isfinite(float(digits)):
        raise UnreadableError(f"it holds {str(digits)[:20]}, which is no number that JSON has")
    return float(digits)


def parse_yaml(text: str, loader: type[yaml.SafeLoader]) -> tuple[yaml.Node | None, Any]:
    """The node and the value of a YAML text.

    Args:
        text: one document.
        loader: a safe loader: no tag makes an object.

    Raises:
        UnreadableError: see the top of this file; also where it is not YAML.
    """
    try:
        _check_events(text, loader)
        reader = loader(text)
        try:
            node = reader.get_single_node()
            value = None if node is None else reader.construct_document(node)
        finally:
            reader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context
        raise UnreadableError(f"it is not YAML: {what}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise UnreadableError(f"it is not YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # of 2026-99-99, say
        raise UnreadableError(f"a value in it cannot be made ({str(error).splitlines()[0][:80]})") from None
    check_plain(value)
    return node, value


def _check_events(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Refuse, before anything is built, what could grow without end."""
    deep = 0
    for number, event in enumerate(yaml.parse(text, Loader=loader)):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise UnreadableError(f"it uses the alias *{event.anchor:.40}, which is not taken: write it out", line)
        deep += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if deep > MOST_DEEP:
            raise UnreadableError("it is nested too deep", line)
        if number > MOST_NODES:
            raise UnreadableError(f"it has more than {MOST_NODES:,} parts", line)
