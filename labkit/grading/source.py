"""The text of an exercise cell: compiled once, executed into as many fresh namespaces as are needed.

The text, after the prelude that its specification states, is all that is graded and kept: it is self-contained by
construction. It is registered with `linecache`, so that tracebacks show its lines and Triton finds its source.
"""

from __future__ import annotations

import linecache
from types import CodeType
from typing import Any

from labkit.grading.specification import Specification


def filename(lesson: str, exercise: str) -> str:
    """The name under which the text is compiled; tracebacks and `linecache` use it."""
    return f"<exercise {lesson.split('_')[0]}/{exercise}>"


def compile_text(text: str, name: str) -> CodeType:
    """Compile the text (SyntaxError passes through) and register its lines."""
    code = compile(text, name, "exec", dont_inherit=True)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return code


class Source:
    """A prelude and a text, ready to be executed again and again.

    Args:
        spec: names the prelude.
        text: the learner's text, without the `%%exercise` line.
        name: file name for tracebacks.
        notebook_names: names defined in other cells of the notebook; only used to explain a NameError.
    """

    def __init__(self, spec: Specification, text: str, name: str, notebook_names: tuple[str, ...] = ()) -> None:
        self._prelude = compile(spec.prelude, "<prelude>", "exec", dont_inherit=True)
        self._code = compile_text(text, name)
        self._names = notebook_names

    def namespace(self) -> dict[str, Any]:
        """A fresh namespace in which prelude and text have run."""
        namespace: dict[str, Any] = {"__name__": "labkit_exercise", "__builtins__": __builtins__}
        exec(self._prelude, namespace)
        namespace["__labkit_notebook_names__"] = self._names
        exec(self._code, namespace)
        return namespace


def strip_magic(text: str) -> tuple[str | None, str]:
    """Split a cell into the exercise id of its `%%exercise` line and the rest.

    Comment lines and blank lines above the magic line are allowed. The id is None where there is no such line. The
    magic line is replaced by a blank one, so that line numbers stay those of the cell.
    """
    lines = text.splitlines()
    for i, line in enumerate(lines):
        bare = line.strip().removeprefix("#").strip()
        if bare.startswith("%%exercise"):
            words = bare.split()
            lines[i] = ""
            return (words[1] if len(words) > 1 else ""), "\n".join(lines) + "\n"
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return None, text
