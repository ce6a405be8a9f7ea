"""Every file of a lesson, by what it is for: `labkit author files LESSON`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from labkit.authoring import layout


def files_of(key: str) -> dict[str, list[Path]]:
    """The files of the lesson `key`: what is edited, what is built from it, the library it shows, the tests it has.

    The library's files are those that its master and its folder in `labkit/specs` import; its tests are those that
    import from that folder or carry the lesson's number or name.
    """
    files, root = layout.files(key), layout.notebooks_dir().parent
    spec = files.spec.parent
    own = [files.master, *sorted(path for path in spec.iterdir() if path.is_file()), files.quiz]
    tests = sorted((root / "tests").rglob("test_*.py"))
    package = f"labkit.specs.{spec.name}"
    return {
        "edited": own,
        "built": [files.learner, files.solved],
        "library": sorted({found for path in own if path.suffix == ".py" for found in _library(path, root, package)}),
        "tests": [path for path in tests if _is_test_of(path, key, spec.name, package)],
    }


def _imports(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _library(path: Path, root: Path, package: str) -> Iterator[Path]:
    for name in _imports(path.read_text(encoding="utf-8")):
        module = root.joinpath(*name.split(".")).with_suffix(".py")
        if name.startswith("labkit.") and not name.startswith(package) and module.is_file():
            yield module


def _is_test_of(path: Path, key: str, name: str, package: str) -> bool:
    if path.stem in (f"test_{name}", f"test_lesson_{key[:2]}"):
        return True
    text = path.read_text(encoding="utf-8")
    # Few tests have the name in them at all, and only those are worth parsing.
    return name in text and any(found == package or found.startswith(package + ".") for found in _imports(text))
