"""The text of an exercise cell: executed once as a whole, and its definitions into as many fresh namespaces as needed.

The text, after the prelude that its specification states, is all that is graded and kept: it is self-contained by
construction. It is registered with `linecache`, so that tracebacks show its lines and Triton finds its source.
"""

from __future__ import annotations

import ast
import copy
import linecache
import sys
import time
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any, Protocol

from labkit.errors import LabkitError
from labkit.grading import definitions

MODULE = "labkit_exercise"
"""The `__name__` that the learner's text sees."""

AGAIN_SECONDS = 0.01
"""Where a fresh namespace takes longer than this, all sequences share the first one."""


class Stated(Protocol):
    """What is asked of a specification here."""

    @property
    def prelude(self) -> str: ...
    @property
    def exercise(self) -> str: ...
    @property
    def target(self) -> str: ...


class CannotLoad(LabkitError):
    """A text that passed its check gives no implementation any more; the message says why."""


def filename(lesson: str, exercise: str) -> str:
    """The name under which the text is compiled; tracebacks and `linecache` use it."""
    return f"<exercise {lesson.split('_')[0]}/{exercise}>"


def compile_text(text: str, name: str) -> CodeType:
    """Compile the text (SyntaxError passes through) and register its lines."""
    code = compile(text.removeprefix("\ufeff"), name, "exec", dont_inherit=True)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return code


def compile_kept(text: str, parts: definitions.Split, name: str) -> CodeType:
    """Compile what was kept of a text, with the lines of the whole for tracebacks."""
    compile_text(text, name)
    return compile(ast.Module(parts.kept, []), name, "exec", dont_inherit=True)


class Source:
    """A prelude and a text, ready to be executed again and again.

    Args:
        spec: names the prelude.
        text: the learner's text, without the `%%exercise` line.
        name: file name for tracebacks.
        prelude: import lines to run first, instead of the specification's.
        notebook_names: names defined in other cells of the notebook; only used to explain a NameError.
    """

    def __init__(
        self,
        spec: Stated,
        text: str,
        name: str,
        notebook_names: tuple[str, ...] = (),
        prelude: str | None = None,
    ) -> None:
        self._prelude = compile(spec.prelude if prelude is None else prelude, "<prelude>", "exec", dont_inherit=True)
        self._code = compile_text(text, name)
        self._text, self._name = text, name
        self._names = notebook_names
        self._target = spec.target

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

    def renewing(self, first: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """A function that gives a namespace as it was after the text ran, with none of the state made since.

        Functions and classes are defined anew, so that what a class or a default argument holds begins anew too; all
        other values are copied. The rest of the text does not run again.

        Args:
            first: the namespace in which the text has just run.
        """
        statements, names = definitions.renewed(self._text)
        code = compile(ast.Module(statements, []), self._name, "exec", dont_inherit=True)
        values = {k: v for k, v in first.items() if k not in names and not k.startswith("__")}
        own = {k: v for k, v in first.items() if k in names and getattr(v, "__module__", None) == MODULE}
        pristine = _copied(values, {})
        changing = {k: v for k, v in pristine.items() if v is not values[k]}

        def again() -> dict[str, Any]:
            namespace = fresh_module()
            namespace.update(pristine)
            namespace["__labkit_notebook_names__"] = self._names
            exec(code, namespace)
            # A copy of an instance, or of a table of functions, is one of the new classes and functions.
            namespace.update(_copied(changing, {id(old): namespace[k] for k, old in own.items()}))
            return namespace

        started = time.process_time()
        try:
            again()
        except Exception:
            return lambda: dict(first)
        if time.process_time() - started > AGAIN_SECONDS:
            return lambda: dict(first)
        return again


def _copied(values: dict[str, Any], instead: dict[int, Any]) -> dict[str, Any]:
    """Deep copies, with some objects replaced; a value that cannot be copied is itself."""
    copies = {}
    memo = dict(instead)
    for name, value in values.items():
        try:
            copies[name] = copy.deepcopy(value, memo)
        except Exception:
            copies[name] = value
    return copies


def load_passed(spec: Stated, text: str, name: str) -> Any:
    """What a text that passed defines, for the engine: only its definitions run (`labkit.grading.definitions`).

    Args:
        spec: names the prelude and what the text defines.
        text: the text as it passed.
        name: file name for tracebacks.

    Raises:
        CannotLoad: it does not define it any more, or it needs what runs in a check alone.
    """
    ask = f"Run the cell of {spec.exercise} again to see what its check says."
    try:
        parts = definitions.split(text, spec.prelude)
        namespace = Source(spec, "", name).namespace()
        exec(compile_kept(text, parts, name), namespace)
        lost = definitions.missing(text, parts)
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"Your {spec.target} passed once, and now raises {type(error).__name__}. {ask}") from None
    if spec.target in parts.lost or spec.target not in namespace:
        raise CannotLoad(f"Your {spec.target} is made by code of the cell that runs in the check alone. {ask}")
    if lost:
        raise CannotLoad(
            f"Your {spec.target} uses {lost[0]}, which code of the cell makes that runs in the check alone: make it "
            f"inside of a function or class, then run the cell of {spec.exercise} again."
        )
    return namespace[spec.target]


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


def syntax_message(error: SyntaxError) -> str:
    """One sentence with the line and the text of it."""
    text = (error.text or "").strip()
    if error.lineno is None:
        return f"Python cannot read your cell: {error.msg}."
    if text.startswith(("%", "!", "?")) or text.endswith("?"):
        return (
            f"Line {error.lineno} of your cell is a command of the notebook ({text}), and an exercise cell is plain "
            "Python, checked outside of the notebook: give the command a cell of its own."
        )
    return f"Python cannot read line {error.lineno} of your cell: {error.msg}" + (f" ({text})." if text else ".")
