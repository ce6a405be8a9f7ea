"""`labkit author new 05_block_tables`: the files of a lesson, working from the first minute."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Template

from labkit.authoring import layout, templates
from labkit.errors import AuthorError
from labkit.writing import write_atomically


def lay_out(key: str, title: str | None = None) -> list[Path]:
    """Write master, specification, bank of mistakes and quiz of a new lesson and enter it in the registry; their paths.

    Raises AuthorError, with nothing written, where the key is not usable or any of the files exists.
    """
    match = layout.KEY.fullmatch(key)
    if not match:
        raise AuthorError(f"{key!r} is no lesson key; write two digits, `_` and a name, like 05_block_tables.")
    name, number = match["name"], match["number"]
    files = layout.files(key)
    wanted = {
        files.master: templates.MASTER,
        files.spec: templates.SPEC,
        files.mistakes: templates.MISTAKES,
        files.quiz: templates.QUIZ,
    }
    taken = [path for path in wanted if path.exists()]
    taken += [path for path in files.master.parent.glob(f"{number}_*.py") if path not in taken]
    if taken:
        raise AuthorError(
            f"{', '.join(path.name for path in taken)} exists already; nothing was written. Choose another number and "
            "name, or remove what is there."
        )
    registry = layout.registry()
    entered = with_key(registry.read_text(encoding="utf-8"), key)
    words = title or name.replace("_", " ").capitalize()
    # What YAML, Python and Markdown would each quote differently is not worth a rule of its own.
    if re.search(r'["\\\n]', words):
        raise AuthorError(
            "The title holds a quote, a backslash or a line break; leave it out and add it by hand later."
        )
    filled = {
        path: Template(text).substitute(key=key, number=number, name=name, title=words) for path, text in wanted.items()
    }
    for path, text in filled.items():
        write_atomically(path, text)
    write_atomically(registry, entered)
    return [*filled, registry]


def with_key(text: str, key: str) -> str:
    """The text of `labkit/specs/__init__.py` with `key` entered in KEYS, in reading order.

    Raises AuthorError where KEYS is not the plain tuple of strings that it is expected to be.
    """
    tree = ast.parse(text)
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in assigned:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == "KEYS" and node.value is not None:
            break
    else:
        raise AuthorError(f'labkit/specs/__init__.py has no KEYS; add "{key}" to the registry by hand.')
    try:
        keys = list(ast.literal_eval(node.value))
    except ValueError:
        raise AuthorError(f'KEYS of labkit/specs/__init__.py is no plain tuple; add "{key}" by hand.') from None
    if key in keys:
        return text
    lines = text.splitlines(keepends=True)
    body = "".join(f'    "{known}",\n' for known in sorted([*keys, key]))
    return "".join(lines[: node.lineno - 1]) + f"KEYS = (\n{body})\n" + "".join(lines[node.end_lineno :])
