"""Trace files as chunks of whole lines, and the one sentence that says what is wrong with a file."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tqdm import tqdm

from labkit.errors import TraceFileError

CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file.

    Attributes:
        path: the file.
        first: number of the first line, counted from 1.
        data: the bytes; every line ends in a line feed, but for the last of a file.
        max_line_bytes: a longer line is refused.
    """

    path: Path
    first: int
    data: bytes
    max_line_bytes: int

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines and their numbers. Decoded one by one, so that a bad byte is found in the line that has it."""
        for number, raw in enumerate(BytesIO(self.data), self.first):
            if len(raw) > self.max_line_bytes:
                raise line_too_long(self.path, number, self.max_line_bytes)
            try:
                # utf-8-sig drops the byte order mark that spreadsheets put in front.
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                what = f"byte {error.start + 1} of the line is not UTF-8"
                raise trace_error(self.path, number, what, "save the file as UTF-8") from None


def chunks(
    path: Path, max_line_bytes: int, progress: bool | None = False, first_line_apart: bool = False
) -> Generator[Chunk, None, None]:
    """The lines of a file, some megabytes at a time.

    Args:
        path: the file.
        max_line_bytes: a longer line is refused before it fills the memory.
        progress: draw a bar on stderr: True, False, or None for "where stderr is a terminal and the file takes
            more than one chunk". A notebook's stderr is no terminal, so it stays empty there.
        first_line_apart: give the first line, which may be a header, as a chunk of its own.

    Raises:
        TraceFileError: the file cannot be read, or a line has no end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise trace_error(path, None, "it is no ordinary file", "save the trace in a file first")
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if progress is None:
                progress = size > CHUNK_BYTES and sys.stderr is not None and sys.stderr.isatty()
            with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
                first, rest = 1, b""
                while read := file.read(CHUNK_BYTES):
                    bar.update(len(read))
                    end = read.rfind(b"\n") + 1
                    if end:
                        data = rest + read[:end]
                        if first == 1 and first_line_apart:
                            header = data.index(b"\n") + 1
                            yield Chunk(path, first, data[:header], max_line_bytes)
                            first, data = 2, data[header:]
                        yield Chunk(path, first, data, max_line_bytes)
                        first += data.count(b"\n")
                        rest = read[end:]
                    else:
                        rest += read
                    if len(rest) > max_line_bytes:
                        raise line_too_long(path, first, max_line_bytes)
                if rest:
                    yield Chunk(path, first, rest, max_line_bytes)
    except FileNotFoundError:
        raise trace_error(path, None, "there is no such file", "check the path") from None
    except IsADirectoryError:
        raise trace_error(path, None, "it is a folder, but must be a file", "name one of the files in it") from None
    except OSError as error:
        # Windows says PermissionError where others say IsADirectoryError.
        what = "it is a folder, but must be a file" if path.is_dir() else f"it cannot be read ({error.strerror})"
        raise trace_error(path, None, what, "name a file that you may read") from None


def lines(pieces: Iterable[Chunk]) -> Iterator[tuple[int, str]]:
    """The lines of several chunks, numbered."""
    for chunk in pieces:
        yield from chunk.lines()


def line_too_long(path: Path, number: int, max_line_bytes: int) -> TraceFileError:
    what = f"the line is longer than {max_line_bytes:,} bytes, but a request takes less"
    return trace_error(path, number, what, "check that this is a trace")


def trace_error(path: Path, line: int | None, what: str, remedy: str) -> TraceFileError:
    """What is wrong (and what was expected), where, and what to do."""
    where = f"{path}, line {line}" if line else f"{path}"
    return TraceFileError(f"Cannot read {where}: {what}; {remedy}.")
