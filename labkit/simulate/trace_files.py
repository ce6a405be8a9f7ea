"""Trace files as chunks of whole lines, however packed, and the one sentence that says what is wrong with one."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from labkit.errors import TraceFileError

CHUNK_BYTES = 8 * 2**20

# What a file is packed in is seen by how it begins; its name may say anything.
PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
}
ZIP = b"PK\x03\x04"
NOT_READ = {
    b"\x28\xb5\x2f\xfd": ("it is compressed with zstd, which is not read here", "unpack it first"),
    b"PAR1": ("it is a Parquet file, which is not read here", "save it as CSV or JSON Lines"),
}


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
                raise trace_error(self.path, number, what, "save the file as UTF-8, if it is text at all") from None


def beginning(path: Path, num_bytes: int = 2**16) -> bytes:
    """The first bytes of what the file holds. Raises what `chunks` does."""
    with _opened(path) as (_, file):
        return file.read(num_bytes)


def chunks(
    path: Path, max_line_bytes: int, progress: bool | None = False, first_line_apart: bool = False
) -> Generator[Chunk, None, None]:
    """The lines of a file, some megabytes at a time.

    Args:
        path: the file; packed with gzip, bzip2 or xz, or alone in a zip archive, it is unpacked on the way.
        max_line_bytes: a longer line is refused before it fills the memory.
        progress: draw a bar on stderr: True, False, or None for "where stderr is a terminal and the file takes
            more than one chunk". A notebook's stderr is no terminal, so it stays empty there.
        first_line_apart: give the first line, which may be a header, as a chunk of its own.

    Raises:
        TraceFileError: the file cannot be read or unpacked, or a line has no end.
    """
    with _opened(path) as (raw, file):
        size = path.stat().st_size
        if progress is None:
            progress = size > CHUNK_BYTES and sys.stderr is not None and sys.stderr.isatty()
        with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
            first, rest = 1, b""
            while read := file.read(CHUNK_BYTES):
                bar.update(raw.tell() - bar.n)
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


def lines(pieces: Iterable[Chunk]) -> Iterator[tuple[int, str]]:
    """The lines of several chunks, numbered."""
    for chunk in pieces:
        yield from chunk.lines()


def line_too_long(path: Path, number: int, max_line_bytes: int) -> TraceFileError:
    what = f"the line is longer than {max_line_bytes:,} bytes, but a request takes less"
    return trace_error(path, number, what, "check that this is a trace")


def trace_error(path: Path, where: int | str | None, what: str, remedy: str) -> TraceFileError:
    """What is wrong (and what was expected), where (the number of a line, or words), and what to do."""
    place = f", line {where}" if isinstance(where, int) else f", {where}" if where else ""
    return TraceFileError(f"Cannot read {path}{place}: {what}; {remedy}.")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file as it lies on the disk, and what it holds."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise trace_error(path, None, "it is no ordinary file", "save the trace in a file first")
    packing = None
    try:
        with path.open("rb") as raw:
            start = raw.read(8)
            raw.seek(0)
            for magic, (what, remedy) in NOT_READ.items():
                if start.startswith(magic):
                    raise trace_error(path, None, what, remedy)
            packing, unpack = next((found for magic, found in PACKED.items() if start.startswith(magic)), (None, None))
            if start.startswith(ZIP):
                packing = "zip"
                with zipfile.ZipFile(raw) as archive, archive.open(_only_member(path, archive)) as file:
                    yield raw, file
            elif unpack is not None:
                with unpack(raw) as file:
                    yield raw, file
            else:
                yield raw, raw
    except FileNotFoundError:
        raise trace_error(path, None, "there is no such file", "check the path") from None
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile):
        what = f"its {packing} data is cut off or damaged"
        raise trace_error(path, None, what, "check that the download is complete") from None
    except RuntimeError as error:  # a password, or a compression that zipfile has not
        raise trace_error(path, None, f"its {packing} data cannot be unpacked ({error})", "unpack it first") from None
    except OSError as error:
        if packing:  # gzip and bzip2 say so of damaged data
            what, remedy = f"its {packing} data is cut off or damaged", "check that the download is complete"
        elif path.is_dir():  # Windows says PermissionError where others say IsADirectoryError
            what, remedy = "it is a folder, but must be a file", "name one of the files in it"
        else:
            what, remedy = f"it cannot be read ({error.strerror})", "name a file that you may read"
        raise trace_error(path, None, what, remedy) from None


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(names) != 1:
        what = f"it is a zip archive of {len(names)} files ({', '.join(names)[:120]}), but must hold one"
        raise trace_error(path, None, what, "unpack it and name the trace")
    return names[0]
