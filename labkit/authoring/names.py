"""Which names a piece of Python defines and which it needs from elsewhere, seen without running it."""

from __future__ import annotations

import ast
import builtins

from labkit.authoring.master import code_of

NOTEBOOK_NAMES = frozenset({"display", "get_ipython", "In", "Out", "exit", "quit", "_", "__", "__name__"})


def parse(source: str) -> ast.Module:
    """The syntax tree of a cell's text, its magic lines left out."""
    return ast.parse(code_of(source))


def defined(tree: ast.Module) -> set[str]:
    """Names that running the text leaves behind at its top level."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(child.name)
            elif isinstance(child, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                continue
            else:
                found.update(_binds(child))
                visit(child)

    visit(tree)
    return found


def needed(tree: ast.Module) -> dict[str, int]:
    """Names that are read but bound nowhere in the text, each with the line of its first use.

    A name that is bound anywhere in the text counts as its own, even where the binding is in another function: the
    question here is what must come from another cell, and a false alarm costs an author more than a missed one, which
    running the notebook finds.
    """
    bound = set(dir(builtins)) | NOTEBOOK_NAMES
    for node in ast.walk(tree):
        bound.update(_binds(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    reads = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id not in bound]
    first: dict[str, int] = {}
    for node in sorted(reads, key=lambda n: n.lineno):
        first.setdefault(node.id, node.lineno)
    return first


def used(tree: ast.Module) -> dict[str, int]:
    """Names that the text reads before it binds them at its own top level, with the line of the first use."""
    bound: set[str] = set()
    first: dict[str, int] = {}
    for statement in tree.body:
        local = {n.arg for n in ast.walk(statement) if isinstance(n, ast.arg)}
        local |= {
            name
            for n in ast.walk(statement)
            if isinstance(n, ast.comprehension)
            for t in ast.walk(n.target)
            for name in _binds(t)
        }
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound | local:
                first.setdefault(node.id, node.lineno)
        bound |= defined(ast.Module([statement], []))
    return first


def calls(tree: ast.Module, *functions: str) -> list[tuple[str, ast.Call]]:
    """Calls of the named functions, as `name(...)` or `module.name(...)`, in the order of the text."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if name in functions:
                found.append((name, node))
    return sorted(found, key=lambda pair: (pair[1].lineno, pair[1].col_offset))


def text_argument(call: ast.Call, index: int) -> str | None:
    """The string literal at a position of a call, or None where there is none."""
    if index < len(call.args):
        argument = call.args[index]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return None


def undocumented(tree: ast.Module) -> list[str]:
    """Classes, functions and public methods at the top of the text that have no docstring."""
    missing = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not ast.get_docstring(node):
                missing.append(node.name)
            if isinstance(node, ast.ClassDef):
                missing += [
                    f"{node.name}.{method.name}"
                    for method in node.body
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not method.name.startswith("_")
                    and not ast.get_docstring(method)
                ]
    return missing


def _binds(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        return {node.id}
    if isinstance(node, ast.alias):
        return {(node.asname or node.name).split(".")[0]}
    if isinstance(node, ast.ExceptHandler) and node.name:
        return {node.name}
    if isinstance(node, ast.Global | ast.Nonlocal):
        return set(node.names)
    if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        return {node.name}
    if isinstance(node, ast.MatchMapping) and node.rest:
        return {node.rest}
    return set()
