"""Imports go down only, imports inside functions included; and what must stay light stays light.

The rooms, lowest first: cache < scheduling < engine < attention < observe < simulate, serving < grading < the lessons'
specs < widgets < the `%%exercise` cell, authoring, lesson and the commands. Leaves are listed here by name, each with
its reason; there are no exceptions.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "labkit"

RANK = {
    "cache": 0,
    "scheduling": 1,
    "engine": 2,
    "attention": 3,
    "observe": 4,
    "simulate": 5,
    "serving": 5,
    "grading": 6,
    "bench": 6,
    "kernels": 5,
    "drills": 6,
    "mine": 6,
    "specs": 7,
    "widgets": 8,
    "exercise_magic": 9,
    "startup": 10,
    "authoring": 10,
    "lesson": 10,
    "lab": 10,
    "export": 10,
    "reports": 11,
    "doctor": 11,
    "cli": 12,
}

LEAVES = {
    "labkit.chromium": "the browser of this machine, started to print; the standard library alone",
    "labkit.errors": "named errors, importing nothing",
    "labkit.grading.definitions": "what of a cell's text is done again; words alone",
    "labkit.grading.progress": "what the learner has passed, in one file",
    "labkit.grading.source": "a cell's text, executed; whose specification it is does not matter",
    "labkit.paths": "where folders are",
    "labkit.reading": "files from outside, read within bounds",
    "labkit.sandbox": "runs code under limits, whatever the code is for",
    "labkit.theme": "colours and sizes as data",
    "labkit.writing": "files written whole or not at all",
    "labkit.observe.events": "the event log, which every part may write to; numpy alone",
    "labkit.observe.recorder": "the proxy that writes it, on top of the log alone",
    "labkit.observe.changes": "what lies between two looks at a part",
    "labkit.observe.sentences": "the log in words",
    "labkit.observe.pool_state": "the log folded: who holds which block",
    "labkit.observe.regret": "the meter that watches what a cache stores and removes, importing nothing",
    "labkit.words": "plurals and lists",
}

REGISTRY = "labkit.specs"
"""The list of lessons alone, not the lessons below it, which it loads by their names: a leaf."""

SPECS_MAY_USE = {
    "specification",
    "language",
    "referee",
    "classes",
    "functions",
    "breakit",
    "search",
    "compare",
    "display",
    "verdict",
}

STDLIB = set(sys.stdlib_module_names)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of labkit by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(tree: ast.AST, module: str, everything: bool = True) -> Iterator[str]:
    """The dotted names that a module imports; `from labkit.cache import x` counts as labkit.cache.x if there is one.

    everything=False leaves out what is imported inside functions and for type checkers only.
    """
    todo = list(ast.iter_child_nodes(tree))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in modules() else str(node.module)
        elif not everything and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif not everything and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_leaf(module: str) -> bool:
    return module == REGISTRY or any(module == leaf or module.startswith(leaf + ".") for leaf in LEAVES)


def allowed(module: str, target: str) -> bool:
    """Whether `module` may import `target`, both of labkit."""
    source, goal = room(module), room(target)
    if is_leaf(target) or goal == "" or source == goal:
        return True
    if is_leaf(module) or source not in RANK or goal not in RANK:
        return False
    if (source, goal) == ("specs", "grading"):
        return target.count(".") == 1 or target.split(".")[2] in SPECS_MAY_USE
    return RANK[goal] < RANK[source]


def test_the_rule_itself() -> None:
    assert allowed("labkit.serving.model", "labkit.cache.geometry")
    assert allowed("labkit.cache.block_pool", "labkit.observe.events")
    assert not allowed("labkit.cache.block_pool", "labkit.attention.grouped")
    assert not allowed("labkit.cache.block_pool", "labkit.observe.metrics")
    assert not allowed("labkit.simulate.replay", "labkit.serving.model")
    assert not allowed("labkit.observe.events", "labkit.cache.block_pool")
    assert allowed("labkit.paths", "labkit.errors") and not allowed("labkit.errors", "labkit.cache.checks")
    assert not allowed("labkit.specs.block_pool", "labkit.grading.runner")
    assert not allowed("labkit.widgets.base", "labkit.lesson")
    assert not allowed("labkit.grading.report", "labkit.widgets.base")


def test_every_room_has_a_rank() -> None:
    rooms = {room(name) for name in modules() if room(name)} - {room(leaf) for leaf in LEAVES} | {"observe"}
    assert rooms <= set(RANK), f"give {sorted(rooms - set(RANK))} a place in the order"


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down(module: str) -> None:
    ours = [name for name in imports(modules()[module], module) if name.split(".")[0] == "labkit"]
    wrong = sorted({name for name in ours if not allowed(module, name)})
    assert not wrong, f"{module} may not import {', '.join(wrong)}"


def test_leaves_import_nothing_of_labkit_but_leaves() -> None:
    for module in modules():
        if is_leaf(module):
            ours = {name for name in imports(modules()[module], module) if name.startswith("labkit.")}
            assert all(is_leaf(name) for name in ours), f"{module} imports {ours}"


def test_no_ring_of_imports_at_module_level() -> None:
    graph = {
        name: {found for found in imports(tree, name, everything=False) if found in modules() and found != name}
        for name, tree in modules().items()
    }
    state: dict[str, int] = {}

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for found in sorted(graph[name]):
            if state.get(found) == 1:
                ring = [*path[path.index(found) :], found] if found in path else [name, found]
                pytest.fail("a ring of imports: " + " -> ".join(ring))
            if found not in state:
                visit(found, [*path, found])
        state[name] = 2

    for name in sorted(graph):
        if name not in state:
            visit(name, [name])


def third_party(tree: ast.AST, module: str) -> set[str]:
    return {name.split(".")[0] for name in imports(tree, module)} - STDLIB - {"labkit"}


@pytest.mark.parametrize(
    ("prefix", "packages"),
    [
        ("labkit.cache", {"numpy"}),
        ("labkit.scheduling", {"numpy"}),
        ("labkit.attention", {"numpy", "torch", "triton", "kvkernels"}),
        ("labkit.observe.events", {"numpy"}),
        ("labkit.observe.recorder", {"numpy"}),
        ("labkit.errors", set()),
        ("labkit.paths", {"platformdirs"}),
        ("labkit.theme", {"matplotlib"}),
    ],
)
def test_low_rooms_use_few_packages(prefix: str, packages: set[str]) -> None:
    for module, tree in modules().items():
        if module == prefix or module.startswith(prefix + "."):
            assert third_party(tree, module) <= packages, module


def test_kernels_know_nothing_of_labkit() -> None:
    for path in sorted((ROOT / "kernels").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {name.split(".")[0] for name in imports(tree, str(path))} - STDLIB
        assert names <= {"torch", "triton", "kvkernels"}, path.name


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["labkit", "labkit.cli", "labkit.doctor", "labkit.lab", "labkit.specs", "labkit.engine", "labkit.serving",
     "labkit.grading.commands", "labkit.serving.commands", "labkit.grading.progress_commands"],
)  # fmt: skip
def test_these_start_without_torch_triton_and_hypothesis(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"torch", "triton", "hypothesis", "matplotlib", "IPython"}


def test_labkit_itself_loads_nothing_else() -> None:
    before = loaded_by("pass")
    new = {name.split(".")[0] for name in loaded_by("import labkit") - before}
    assert new <= {"labkit", "__future__"}


def test_no_lesson_writes_events_by_hand() -> None:
    """The recorder does, so that a replay says the same in every lesson: `record`, or `watch` around a call."""
    for module, tree in modules().items():
        calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not module.startswith(REGISTRY) or "emit" not in calls, f"{module} emits events: use the recorder"
