"""Names of other projects that the course quotes, held against their releases: `labkit author outside`.

They stand in `outside.yaml`, each once. A release is a wheel, or a folder with unpacked ones; nothing of it is imported
or installed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

from labkit.errors import AuthorError

KINDS = {"metric", "flag", "path", "name", "default", "log", "version", "issue", "pull", "cve", "paper"}
NUMBERED = {"issue", "pull", "paper"}
"""Kinds whose name is a number: quoted where it stands alone, and never as a part of another."""


@dataclass(frozen=True)
class Name:
    """One row of `outside.yaml`, which says what each field means."""

    project: str
    name: str
    kind: str
    file: str = ""
    find: str = ""
    quoted: str = ""
    gone: bool = False
    says: str = ""

    @property
    def checked(self) -> bool:
        """Whether a release can show it."""
        return bool(self.file) or (self.kind == "path" and not self.says)

    def stands_in(self, text: str) -> bool:
        """Whether a text, its line ends made spaces, quotes it."""
        sought = self.quoted or self.name
        if sought not in text:
            return False
        return self.kind not in NUMBERED or re.search(rf"(?<![\d.]){re.escape(sought)}(?!\d)", text) is not None


@dataclass(frozen=True)
class Project:
    """A project whose names are quoted; the version is that of the release last read, "" where none was."""

    name: str
    distribution: str
    version: str
    names: tuple[Name, ...]


@dataclass(frozen=True)
class Release:
    """One version of a project: its files by path, read when asked for."""

    distribution: str
    version: str
    paths: frozenset[str]
    read: Callable[[str], bytes]

    def has(self, path: str) -> bool:
        return path in self.paths or any(other.startswith(path + "/") for other in self.paths)

    def holds(self, path: str, sought: str) -> bool:
        """Whether a file has it, whole: `vllm:prompt_tokens` does not stand in `vllm:prompt_tokens_cached`."""
        if path not in self.paths or sought.encode() not in (text := self.read(path)):
            return False
        ends = (r"(?<!\w)" if sought[0].isalnum() else "", r"(?!\w)" if sought[-1].isalnum() else "")
        return re.search(re.escape(sought).join(ends).encode(), text) is not None

    def elsewhere(self, sought: str) -> str:
        """The first Python file that holds it, or ""."""
        return next((path for path in sorted(self.paths) if path.endswith(".py") and self.holds(path, sought)), "")


@cache
def projects() -> tuple[Project, ...]:
    """`outside.yaml`, read; raises AuthorError for a row that it does not allow."""
    import yaml

    path = Path(__file__).with_suffix(".yaml")
    return tuple(_project(name, entry) for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items())


def _project(project: str, entry: dict[str, Any]) -> Project:
    names = tuple(_name(project, row) for row in entry["names"])
    return Project(project, str(entry.get("distribution", "")), str(entry.get("version", "")), names)


def _name(project: str, row: dict[str, Any]) -> Name:
    allowed = {field.name for field in fields(Name)} - {"project", "file"} | {"in"}
    if not {"name", "kind"} <= set(row) <= allowed or row["kind"] not in KINDS:
        raise AuthorError(f"outside.yaml, {project}: {row!r} is no row; the top of that file says what a row has.")
    return Name(
        project=project,
        name=str(row["name"]),
        kind=row["kind"],
        file=row.get("in", ""),
        **{key: row[key] for key in ("find", "quoted", "gone", "says") if key in row},
    )


@cache
def texts() -> dict[Path, str]:
    """What the course says, by file, each on one line: masters without their comment marks, quizzes, library, pages."""
    from labkit.authoring import layout

    root = layout.notebooks_dir().parent
    found = [*root.glob("notebooks/masters/*.py"), *root.glob("quizzes/*.yaml"), *root.glob("labkit/**/*.py")]
    found += [root / "README.md", *root.glob("docs/*.md")]
    joined = {}
    for path in sorted(found):
        lines = path.read_text(encoding="utf-8").splitlines()
        joined[path] = re.sub(r"\s+", " ", " ".join(line.removeprefix("# ") for line in lines))
    return joined


def quoted_in(name: Name) -> list[Path]:
    """The files that quote a name."""
    return [path for path, text in texts().items() if name.stands_in(text)]


def releases(place: Path) -> Iterator[Release]:
    """The releases of quoted projects in a wheel or below a folder.

    Raises AuthorError where there is none, or no such place.
    """
    found = False
    known = {project.distribution for project in projects()} - {""}
    for distribution, version, paths, read in _distributions(place):
        if distribution in known:
            found = True
            yield Release(distribution, version, frozenset(paths), read)
    if not found:
        raise AuthorError(
            f"{place} holds no release of {' or '.join(sorted(known))}; give a wheel or a folder with one."
        )


def _distributions(place: Path) -> Iterator[tuple[str, str, list[str], Callable[[str], bytes]]]:
    """(name, version, paths, how to read one) of each distribution in a wheel or a folder of unpacked ones."""
    if place.is_dir():
        for info in sorted(place.rglob("*.dist-info")):
            root = info.parent
            paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
            yield *_named(info.name), paths, partial(_read_below, root)
    elif zipfile.is_zipfile(place):
        wheel = zipfile.ZipFile(place)
        infos = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
        for name in sorted(infos):
            yield *_named(name), wheel.namelist(), wheel.read
    else:
        raise AuthorError(f"{place} is neither a wheel nor a folder; give one that pip has downloaded.")


def _read_below(root: Path, path: str) -> bytes:
    return (root / path).read_bytes()


def _named(info: str) -> tuple[str, str]:
    distribution, _, version = info.removesuffix(".dist-info").partition("-")
    return distribution.lower(), version


def gone(release: Release) -> Iterator[tuple[Name, str]]:
    """The names that this release does not hold as the course quotes them, each with a sentence that says so."""
    for project in projects():
        if project.distribution == release.distribution:
            for name in project.names:
                sentence = _missing(name, release) if name.checked else ""
                if sentence:
                    yield name, sentence


def _missing(name: Name, release: Release) -> str:
    sought = name.find or name.name
    if name.kind == "path":
        return "" if release.has(sought) else "is no file or folder of it"
    there = release.holds(name.file, sought)
    if name.gone:
        return f"is quoted as gone, and stands in {name.file}" if there else ""
    if there:
        return ""
    moved = release.elsewhere(sought)
    return f"is not in {name.file} any more" + (f" ({moved} has it)" if moved else "")
