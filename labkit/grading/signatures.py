"""Whether what the learner defined can be called as the stub can: the same parameters, and documented attributes.

The next cell calls by keyword, and a later part sets an attribute: what the stub offers must be there.
"""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable
from typing import Any

from labkit.grading.display import shorten
from labkit.grading.specification import Specification


def difference(theirs: Any, spec: Specification) -> str:
    """A sentence on the first function or method whose parameters are not the solution's; "" where all are."""
    if spec.defines:
        return ""  # a list of operations, say
    stub = spec.solution()
    if not inspect.isclass(stub):
        return _other(getattr(stub, "fn", stub), getattr(theirs, "fn", theirs), spec.target)  # a kernel's function
    if not inspect.isclass(theirs):
        return ""  # whoever makes an object of it will tell
    for name, method in vars(stub).items():
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            other = _other(method, inspect.getattr_static(theirs, name, None), f"{spec.target}.{name}")
            if other:
                return other
    return ""


def _other(stub: Callable[..., Any], theirs: Any, label: str) -> str:
    if not inspect.isfunction(theirs):
        return ""  # not there, or something else that can be called: the calls themselves will tell
    try:
        mine = inspect.signature(theirs)
        due = inspect.signature(stub)
    except Exception:
        return ""
    for place, (name, parameter) in enumerate(due.parameters.items()):
        found = mine.parameters.get(name)
        if found is None and label.endswith(".__init__") and place < len(mine.parameters):
            continue  # objects are made with arguments by their place
        rest = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in mine.parameters.values())
        if found is None and rest:
            continue
        if found is None or found.kind != parameter.kind or list(mine.parameters).index(name) != place:
            return _sentence(label, mine, due, f"the parameter {name} is not where the stub has it")
        if not _same_default(found.default, parameter.default):
            other = (
                f"{name} has no default" if found.default is found.empty else f"the default of {name} is another one"
            )
            return _sentence(label, mine, due, other)
    further = [p for p in list(mine.parameters.values())[len(due.parameters) :] if p.default is p.empty]
    if any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in further):
        return _sentence(label, mine, due, f"nobody passes {further[0].name}")
    return ""


def _same_default(mine: Any, due: Any) -> bool:
    """Whether two defaults are the same to a caller; an object that only the one text can make counts as any other."""
    if due is inspect.Parameter.empty:
        return True
    if isinstance(due, int | float | str | bytes | bool | None):
        return type(mine) is type(due) and bool(mine == due)
    return mine is not inspect.Parameter.empty


def _sentence(label: str, mine: inspect.Signature, due: inspect.Signature, what: str) -> str:
    def bare(signature: inspect.Signature) -> str:
        kept = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        return shorten(str(signature.replace(parameters=kept, return_annotation=signature.empty)), 90)

    return f"{label} is called by others as {label}{bare(due)}; yours is {label}{bare(mine)}: {what}."


def read_only(thing: Any, spec: Specification) -> str:
    """A sentence on the first attribute that the stub documents and that cannot be read, or set; "" where all can.

    Those must be set that the solution changes after an object was made: others change them as well.
    """
    stub = spec.solution()
    section = re.search(r"^Attributes:\n((?:[ ]+.*\n?)+)", inspect.getdoc(stub) or "", re.MULTILINE)
    documented = re.findall(r"^ {4}(\w+(?:, \w+)*):", section[1], re.MULTILINE) if section else []
    methods = [f for name, f in vars(stub).items() if inspect.isfunction(f) and name != "__init__"]
    for name in [name for names in documented for name in names.split(", ")]:
        try:
            value = getattr(thing, name)
            if any(_assigns(method, name) for method in methods):
                setattr(thing, name, value)
        except Exception as error:
            return (
                f"{spec.target} has the attribute {name} for others to read and to set, as its docstring says; here "
                f"that raises {type(error).__name__}."
            )
    return ""


def _assigns(method: Any, name: str) -> bool:
    """Whether the code of a method stores an attribute of that name."""
    return any(i.opname == "STORE_ATTR" and i.argval == name for i in dis.get_instructions(method))
