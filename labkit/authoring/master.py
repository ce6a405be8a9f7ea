"""Reading a master notebook: the one file of a lesson that people edit.

A master is a jupytext percent script (https://jupytext.readthedocs.io/en/latest/formats-scripts.html). On top of
that format it keeps a few rules, so that one file yields both notebooks of a lesson:

- every cell carries `id="..."`, which becomes the notebook's own cell id. jupytext leaves it in the metadata and
  draws a random id at every read, so two builds of one file would differ;
- an exercise is one code cell whose first line, comments aside, is `# %%exercise NAME`;
- `# BEGIN SOLUTION` ... `# END SOLUTION` is what the learner writes; the learner's notebook has
  `raise NotImplementedError(...)` there, or the lines of a `# BEGIN STUB` ... `# END STUB` block beside it;
- the cell tags `solved-only`, `learner-only` and `fold` steer the build and do not reach the notebooks.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import AuthorError

SOLVED_ONLY = "solved-only"
LEARNER_ONLY = "learner-only"
FOLD = "fold"
BUILD_TAGS = frozenset({SOLVED_ONLY, LEARNER_ONLY, FOLD})

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CELL_LINE = re.compile(r"^# %%(?![A-Za-z_])")
_CELL_LINE_ID = re.compile(r"\bid=\"([^\"]*)\"")
_EXERCISE = re.compile(r"^(?:# ?)?%%exercise(?:[ \t]+(?P<name>[\w.\-]+))?(?P<rest>.*)$")
_MAGIC = re.compile(r"^# (?P<magic>%%?[A-Za-z_]\w*.*)$")
_BEGIN = {kind: re.compile(rf"^[ \t]*# BEGIN {kind}[ \t]*$") for kind in ("SOLUTION", "STUB")}
_END = {kind: re.compile(rf"^[ \t]*# END {kind}[ \t]*$") for kind in ("SOLUTION", "STUB")}
_MARKER = re.compile(r"^[ \t]*#[ \t]*(BEGIN|END)[ \t]+(SOLUTION|STUB)\b")


@dataclass(frozen=True)
class Region:
    """A marked run of lines in one cell: `lines[begin]` and `lines[end]` are the two markers."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True)
class MasterCell:
    """One cell of a master.

    `source` is the text of the master with magic lines uncommented; `line` is the line of its `# %%` marker in the
    file, from 1, or 0 where it is not known.
    """

    id: str
    kind: str
    source: str
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    line: int = 0
    path: Path | None = None

    @property
    def where(self) -> str:
        """`04_block_pool.py:120, cell ex-blocks-needed`, for messages."""
        name = self.path.name if self.path else "master"
        return f"{name}:{self.line}, cell {self.id}" if self.line else f"{name}, cell {self.id}"

    @property
    def exercise(self) -> str | None:
        """Name of the exercise that this cell holds, or None."""
        if self.kind != "code":
            return None
        index = exercise_line(self.source)
        if index is None:
            return None
        match = _EXERCISE.match(self.source.splitlines()[index])
        name = match["name"] if match else None
        if not name:
            raise AuthorError(
                f"{self.where}: %%exercise names no exercise; write `# %%exercise NAME` with the name "
                "that the lesson's specification uses."
            )
        return name

    @property
    def solved_source(self) -> str:
        """What the solved notebook shows: markers and stub blocks taken out."""
        if self.kind != "code":
            return self.source
        regions = self.regions()
        lines = self.source.splitlines()
        drop: set[int] = set()
        for region in regions:
            if region.kind == "STUB":
                drop.update(range(region.begin, region.end + 1))
            else:
                drop.update((region.begin, region.end))
        return _tidy([line for i, line in enumerate(lines) if i not in drop])

    @property
    def learner_source(self) -> str:
        """What the learner finds: each solution replaced by its stub."""
        if self.kind != "code":
            return self.source
        regions = self.regions()
        lines = self.source.splitlines()
        stubs = _pair(regions, lines, self.where)
        out: list[str] = []
        at = 0
        for region in regions:
            out += lines[at : region.begin]
            at = region.end + 1
            if region.kind == "STUB":
                continue
            if region in stubs:
                stub = stubs[region]
                out += [_uncomment(line, self.where) for line in lines[stub.begin + 1 : stub.end]]
            else:
                out.append(self._refusal(region, lines))
        out += lines[at:]
        return _tidy(out)

    def regions(self) -> list[Region]:
        """Solution and stub regions in order; AuthorError where the markers do not match."""
        found: list[Region] = []
        open_: tuple[str, int] | None = None
        for number, line in enumerate(self.source.splitlines()):
            marker = _MARKER.match(line)
            if not marker:
                continue
            edge, kind = marker[1], marker[2]
            if not (_BEGIN if edge == "BEGIN" else _END)[kind].match(line):
                raise AuthorError(
                    f"{self.where}: the marker line {line.strip()!r} carries more than the marker; "
                    f"write `# {edge} {kind}` alone on its line."
                )
            if edge == "BEGIN":
                if open_:
                    raise AuthorError(
                        f"{self.where}: BEGIN {kind} inside a {open_[0]} region; close that one with "
                        f"`# END {open_[0]}` first."
                    )
                open_ = (kind, number)
            else:
                if not open_ or open_[0] != kind:
                    raise AuthorError(f"{self.where}: END {kind} without a BEGIN {kind} before it; add the marker.")
                found.append(Region(kind, open_[1], number))
                open_ = None
        if open_:
            raise AuthorError(f"{self.where}: BEGIN {open_[0]} is never closed; add `# END {open_[0]}`.")
        return found

    def _refusal(self, region: Region, lines: list[str]) -> str:
        line = lines[region.begin]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        name = _enclosing(lines, region) or self.exercise or self.id
        return f'{indent}raise NotImplementedError("{name}: your code goes here")'


@dataclass(frozen=True)
class Master:
    """One master, read and checked for format: ids, tags, regions, syntax."""

    path: Path
    cells: tuple[MasterCell, ...]

    @property
    def key(self) -> str:
        """The lesson's key: the file's name without `.py`, e.g. `04_block_pool`."""
        return self.path.stem

    @property
    def exercises(self) -> dict[str, MasterCell]:
        """Exercise cells by exercise name, in the order of the lesson."""
        return {cell.exercise: cell for cell in self.cells if cell.exercise}

    def forms(self, solved: bool) -> Iterator[tuple[MasterCell, str]]:
        """The cells that one of the two notebooks holds, each with its text there."""
        other = LEARNER_ONLY if solved else SOLVED_ONLY
        for cell in self.cells:
            if other not in cell.tags:
                yield cell, cell.solved_source if solved else cell.learner_source


def read(path: str | Path) -> Master:
    """Read the master at `path`.

    Raises AuthorError where the file cannot be read as a master; the message names file, line and cell.
    """
    path = Path(path)
    if not path.is_file():
        raise AuthorError(f"There is no master at {path}; `labkit author new` lays one out.")
    return parse(path.read_text(encoding="utf-8"), path)


def parse(text: str, path: str | Path = "master.py") -> Master:
    """Read a master from its text; `path` is only named in messages."""
    path = Path(path)
    try:
        import jupytext
    except ImportError as error:
        raise AuthorError(
            "jupytext is not installed; it is one of the tools for work on the course: pip install -e '.[dev]'."
        ) from error
    # jupytext's own magic handling also uncomments prose that begins with the name of a shell command
    # ("# more than one block"), so magics are left commented here and handled below.
    reader = {"extension": ".py", "format_name": "percent", "comment_magics": False}
    notebook = jupytext.reads(text, fmt=reader)
    lines: dict[str, list[int]] = {}
    for number, match in _marked_lines(text):
        lines.setdefault(match[1], []).append(number)
    cells = tuple(_cell(raw, index, lines, path) for index, raw in enumerate(notebook.cells))
    master = Master(path, cells)
    _validate(master)
    return master


def exercise_line(source: str) -> int | None:
    """Index of the `%%exercise` line of a cell's text; only comments and blank lines may stand above it."""
    for index, line in enumerate(source.splitlines()):
        if _EXERCISE.match(line):
            return index
        if line.strip() and not line.startswith("#"):
            return None
    return None


def code_of(source: str) -> str:
    """The Python of a cell's text: cell and line magics and shell lines blanked, so that `ast` can read the rest."""
    return "\n".join("" if re.match(r"^[ \t]*(%%?[A-Za-z_]|!)", line) else line for line in source.splitlines())


def _marked_lines(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if _CELL_LINE.match(line):
            match = _CELL_LINE_ID.search(line)
            if match:
                yield number, match


def _cell(raw: Any, index: int, lines: dict[str, list[int]], path: Path) -> MasterCell:
    metadata = dict(raw.metadata)
    id_ = metadata.pop("id", None)
    first = raw.source.strip().splitlines()[0] if raw.source.strip() else "(empty)"
    if id_ is None:
        raise AuthorError(
            f'{path.name}: cell {index + 1}, which begins "{first[:60]}", has no id; give its `# %%` line one: '
            '`# %% id="what-it-is"`.'
        )
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise AuthorError(
            f"{path.name}: cell id {id_!r} is not usable; use at most 64 lower-case letters, digits, `-` and `_`."
        )
    for noise in ("title", "lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker"):
        metadata.pop(noise, None)
    tags = metadata.pop("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise AuthorError(f'{path.name}, cell {id_}: tags must be a list of strings, like tags=["fold"].')
    source = raw.source if raw.cell_type != "code" else _uncomment_magics(raw.source)
    line = lines[id_].pop(0) if lines.get(id_) else 0
    return MasterCell(id_, raw.cell_type, source, tuple(tags), metadata, line, path)


def _uncomment_magics(source: str) -> str:
    at = exercise_line(source)
    lines = source.splitlines()
    if at is not None:
        # Inside an exercise every other magic stays as it was written: the text is graded as plain Python.
        lines[at] = re.sub(r"^# ?(?=%%exercise)", "", lines[at])
        return "\n".join(lines)
    return "\n".join(_MAGIC.sub(lambda match: match["magic"], line) for line in lines)


def _uncomment(line: str, where: str) -> str:
    if not line.strip():
        return ""
    match = re.match(r"^([ \t]*)#(?: |$)?(.*)$", line)
    if not match:
        raise AuthorError(f"{where}: the stub line {line.strip()!r} is not a comment; begin it with `# `.")
    text = f"{match[1]}{match[2]}"
    return text if text.strip() else ""


def _pair(regions: list[Region], lines: list[str], where: str) -> dict[Region, Region]:
    """Which stub replaces which solution: the stub right below it, else the one right above it."""
    pairs: dict[Region, Region] = {}
    taken: set[Region] = set()

    def adjacent(first: Region, second: Region) -> bool:
        return not any(line.strip() for line in lines[first.end + 1 : second.begin])

    neighbours = list(itertools.pairwise(regions))
    for first, second in neighbours:
        if first.kind == "SOLUTION" and second.kind == "STUB" and adjacent(first, second):
            pairs[first] = second
            taken.add(second)
    for first, second in neighbours:
        apart = first.kind == "STUB" and first not in taken and second.kind == "SOLUTION" and second not in pairs
        if apart and adjacent(first, second):
            pairs[second] = first
            taken.add(first)
    if any(region.kind == "STUB" and region not in taken for region in regions):
        raise AuthorError(
            f"{where}: a STUB block stands apart from its solution; put it right below the `# END SOLUTION` "
            "that it replaces."
        )
    return pairs


def _enclosing(lines: list[str], region: Region) -> str | None:
    """Qualified name of the innermost function that holds the region, e.g. `BlockPool.allocate`; None at top level."""
    try:
        tree = ast.parse(code_of("\n".join(lines)))
    except SyntaxError:
        return None  # reported by _validate, with the line
    line = region.begin + 1
    best: tuple[int, str] | None = None

    def visit(node: ast.AST, prefix: str) -> None:
        nonlocal best
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                # A marker comment after the last statement still belongs to the function above it.
                end = max(child.end_lineno or child.lineno, region.end)
                inside = child.lineno <= line <= end and _belongs(child, region)
                if inside and not isinstance(child, ast.ClassDef) and (best is None or child.lineno >= best[0]):
                    best = (child.lineno, name)
                visit(child, f"{name}.")

    def _belongs(node: Any, inner: Region) -> bool:
        return any(inner.begin + 1 <= n.lineno <= inner.end + 1 for n in ast.walk(node) if hasattr(n, "lineno"))

    visit(tree, "")
    return best[1] if best else None


def _tidy(lines: list[str]) -> str:
    """Join lines, without blank ones at either end and without a run of blank ones where a block was taken out."""
    out: list[str] = []
    for line in lines:
        line = line.rstrip()
        if not line and len(out) >= 2 and not out[-1] and not out[-2]:
            continue
        out.append(line)
    return "\n".join(out).strip("\n")


def _validate(master: Master) -> None:
    seen: dict[str, MasterCell] = {}
    exercises: dict[str, MasterCell] = {}
    for cell in master.cells:
        if cell.id in seen:
            raise AuthorError(
                f"{cell.where}: the id is used twice (lines {seen[cell.id].line} and {cell.line}); rename one."
            )
        seen[cell.id] = cell
        if SOLVED_ONLY in cell.tags and LEARNER_ONLY in cell.tags:
            raise AuthorError(f"{cell.where}: tagged both solved-only and learner-only; keep one of the two.")
        if FOLD in cell.tags and (cell.kind != "markdown" or not cell.source.lstrip().startswith("#")):
            raise AuthorError(
                f"{cell.where}: tagged fold, but only a markdown cell that begins with a heading can fold what "
                "follows it; move the tag to the heading's cell."
            )
        if cell.kind != "code":
            continue
        name = cell.exercise
        if name is None and re.search(r"^(?:# ?)?%%exercise\b", cell.source, re.MULTILINE):
            raise AuthorError(f"{cell.where}: %%exercise must come first in its cell; only comments may be above it.")
        if name is not None:
            if name in exercises:
                raise AuthorError(f"{cell.where}: exercise {name} is already in {exercises[name].where}; rename one.")
            exercises[name] = cell
        for form, text in (("solved", cell.solved_source), ("learner", cell.learner_source)):
            if not cell.source.lstrip().startswith("%%") or name is not None:
                _parses(cell, form, text)


def _parses(cell: MasterCell, form: str, text: str) -> None:
    try:
        compile(code_of(text), cell.where, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        raise AuthorError(
            f"{cell.where}: the {form} form is not Python ({error.msg}, line {error.lineno} of the cell: "
            f"{(error.text or '').strip()!r}); mend the master."
        ) from None
