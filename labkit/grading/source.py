"""The text of an exercise cell: compiled once, executed into as many fresh namespaces as are needed.

The text, after the prelude that its specification states, is all that is graded and kept: it is self-contained by
construction. It is registered with `linecache`, so that tracebacks show its lines and Triton finds its source.
"""

from __future__ import annotations

import linecache
import sys
from types import CodeType, ModuleType
from typing import Any

from labkit.grading.specification import Specification

MODULE = "labkit_exercise"
"""The `__name__` that the learner's text sees."""


def filename(lesson: str, exercise: str) -> str:
    """The name under which the text is compiled; tracebacks and `linecache` use it."""
    return f"<exercise {lesson.split('_')[0]}/{exercise}>"


def compile_text(text: str, name: str) -> CodeType:
    """Compile the text (SyntaxError passes through) and register its lines."""
    code = compile(text.removeprefix("\ufeff"), name, "exec", dont_inherit=True)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return code


class Source:
    """A prelude and a text, ready to be executed again and again.

    Args:
        spec: names the prelude.
        text: the learner's text, without the `%%exercise` line.
        name: file name for tracebacks.
        prelude: import lines to run first, instead of the specification's.
        notebook_names: names defined in other cells of the notebook; only used to explain a NameError.
    """

    def __init__(self, spec: Specification, text: str, name: str, notebook_names: tuple[str, ...] = (),
                 prelude: str | None = None) -> None:
        self._prelude = compile(spec.prelude if prelude is None else prelude, "<prelude>", "exec", dont_inherit=True)
        self._code = compile_text(text, name)
        self._names = notebook_names
        self._target = spec.target

    def run_prelude(self) -> None:
        """Run the prelude alone. What it imports is loaded then, and runs of the text take only their own time."""
        exec(self._prelude, fresh_module())

    def namespace(self) -> dict[str, Any]:
        """A fresh namespace in which prelude and text have run."""
        namespace = fresh_module()
        exec(self._prelude, namespace)
        namespace["__labkit_notebook_names__"] = self._names
        imported = namespace.get(self._target)
        exec(self._code, namespace)
        if imported is not None and namespace.get(self._target) is imported:
            del namespace[self._target]  # the prelude's, not the learner's
        return namespace


def fresh_module() -> dict[str, Any]:
    """The names of a new, empty module.

    It is known to `sys.modules` under its name, since dataclasses, typing and pickle look a class's module up there.
    Code under `if __name__ == "__main__":` does not run in it.
    """
    module = ModuleType(MODULE)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules[MODULE] = module
    return module.__dict__


def strip_magic(text: str) -> tuple[str | None, str]:
    """Split a cell into the exercise id of its `%%exercise` line and the rest.

    Comment lines and blank lines above the magic line are allowed. The id is None where there is no such line. The
    magic line is replaced by a blank one, so that line numbers stay those of the cell.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for i, line in enumerate(lines):
        bare = line.strip().removeprefix("#").strip()
        if bare.startswith("%%exercise"):
            words = bare.split()
            lines[i] = ""
            return (words[1] if len(words) > 1 else ""), "\n".join(lines).rstrip("\n") + "\n"
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return None, text
