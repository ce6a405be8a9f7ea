"""What of a cell is done again without being watched: its imports, definitions and plain assignments.

A cell's text runs once under limits, in a sandbox. In the notebook, and in the engine once it has passed, only those
statements run that no code of the cell can run in: defining a function runs none of it, and a plain assignment gives a
name a value made of literals, of names, and of calls of what only makes a value (`deque()`, `range(8)`,
`torch.tensor(...)`). So a cell that would end the kernel, or do something else there than in the sandbox, cannot.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.words import listed

_BUILTINS = frozenset(
    "abs bool bytearray bytes complex dict divmod enumerate float frozenset int isinstance len list max min object pow "
    "range reversed round set slice sorted str sum tuple zip".split()
)
_MAKERS = frozenset(
    "collections.deque collections.defaultdict collections.OrderedDict collections.Counter collections.namedtuple "
    "itertools.count itertools.chain itertools.product itertools.repeat re.compile threading.Lock threading.RLock "
    "random.Random torch.tensor torch.zeros torch.ones torch.full torch.arange torch.empty torch.device "
    "numpy.array numpy.zeros numpy.ones numpy.full numpy.arange numpy.empty typing.TypeVar typing.NewType".split()
)
"""What makes a value and calls nothing that it is given."""

_KEEPERS = frozenset(
    "property staticmethod classmethod dataclasses.dataclass dataclasses.field functools.partial functools.wraps "
    "functools.partialmethod functools.lru_cache functools.cache functools.cached_property functools.total_ordering "
    "contextlib.contextmanager abc.abstractmethod torch.no_grad torch.inference_mode torch.compile triton.jit "
    "kvkernels.triton.jit triton.autotune triton.heuristics enum.unique typing.overload typing.final typing.override "
    "typing.runtime_checkable".split()
)
"""What keeps a function or class that it is given, to be called later; these may decorate."""

_PURE = ("math.", "typing.")
_AROUND = frozenset("builtins sys os gc importlib inspect platform psutil IPython ipykernel __main__ time".split())
"""Modules that may look different in a notebook and in a sandbox; a value of theirs is not plain."""

_HOOKS = frozenset("__init_subclass__ __set_name__ __class_getitem__ __prepare__ __mro_entries__".split())
_ENUM_HOOKS = frozenset("__init__ __new__ _generate_next_value_ _missing_".split())
"""Methods that run while classes are made, and those that run beside them while an enumeration is."""

_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Split:
    """A text in two.

    Attributes:
        kept: the statements to do again, in order.
        left_out: the others, as (line, what it is).
        lost: names that only left out statements give their value.
    """

    kept: list[ast.stmt] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)


def split(text: str, prelude: str = "") -> Split:
    """Divide a text that Python can read.

    Args:
        text: the cell.
        prelude: import lines that run before it; they say what names mean.
    """
    body = ast.parse(text.removeprefix("\ufeff")).body
    rules = _Rules([*ast.parse(prelude).body, *body])
    parts = Split()
    for statement in body:
        if rules.keeps(statement):
            parts.kept.append(statement)
            parts.lost -= set(_bound(statement))
        elif not _only_as_main(statement):
            parts.left_out.append((statement.lineno, _what(statement)))
            parts.lost |= rules.lose(statement)
    return parts


def missing(text: str, parts: Split) -> list[str]:
    """The lost names that functions of the text use."""
    table = symtable.symtable(text.removeprefix("\ufeff"), "<cell>", "exec")
    return sorted(parts.lost & set(_global_names(table)))


def renewed(text: str) -> tuple[list[ast.stmt], set[str]]:
    """The definitions and imports of a text, to be done again for a module without the state of the first, and their
    names. What other statements bind over, or change, is not among them.
    """
    body = ast.parse(text.removeprefix("\ufeff")).body
    again: list[ast.stmt] = [s for s in body if isinstance(s, _DEFINITION | ast.Import | ast.ImportFrom)]
    others = [s for s in body if s not in again]
    mentioned = {n.id for s in others for n in ast.walk(s) if isinstance(n, ast.Name)}
    if mentioned & {"setattr", "delattr", "globals", "vars", "exec", "eval"}:
        return [], set()
    kept = {name for s in others for name in [*_bound(s), *_changed(s)]}
    again = [s for s in again if not (isinstance(s, _DEFINITION) and s.name in kept)]
    return again, {name for s in again for name in _bound(s)} - kept


def sentence(parts: Split) -> str:
    """What was left out, for the learner; "" where nothing was."""
    if not parts.left_out:
        return ""
    told = [f"line {line} ({what})" for line, what in parts.left_out]
    told[3:] = [f"{len(told) - 3} more"] if len(told) > 3 else []
    which = listed(told)
    return (
        f"Only the imports, definitions and plain assignments of an exercise cell run in the notebook: {which} ran in "
        "the check alone. Move what you want to see here into a cell below."
    )


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for child in table.get_children():
        yield from (s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced())
        yield from _global_names(child)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement binds outside of functions and classes."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DEFINITION):
            yield node.name
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name for name, _ in _imports(node))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        waiting += ast.iter_child_nodes(node)


def _imports(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Names that a statement imports outside of functions and classes, each with its full name."""
    for node in ast.walk(statement) if isinstance(statement, ast.Try) else [statement]:
        if isinstance(node, ast.Import):
            for a in node.names:
                top = a.name.split(".")[0]
                yield a.asname or top, a.name if a.asname else top
        elif isinstance(node, ast.ImportFrom):
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose value a statement may change: TABLE[i] = x, TABLE += x, TABLE.append(x)."""
    for node in ast.walk(statement):
        where: ast.AST = node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            where = node.func
        elif isinstance(node, ast.AugAssign):
            where = node.target
        elif not (isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)):
            continue
        while isinstance(where, ast.Subscript | ast.Attribute):
            where = where.value
        if isinstance(where, ast.Name):
            yield where.id


def _only_as_main(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":` and `if TYPE_CHECKING:`, of which nobody expects anything here."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in (
        "__name__ == '__main__'",
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def _what(statement: ast.stmt) -> str:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return f"{statement.name}, whose decorator, base or default runs code of the cell"
        case ast.For() | ast.AsyncFor() | ast.While():
            return "a loop"
        case ast.Assert():
            return "an assert"
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return "a value that a call makes"
        case ast.Expr():
            return "a call" if isinstance(statement.value, ast.Call) else "a statement"
    return type(statement).__name__.removeprefix("Async").lower()


class _Rules:
    """What the names of a text mean, and which of its statements are kept."""

    def __init__(self, body: list[ast.stmt]) -> None:
        self._meaning: dict[str, str] = {}
        for name, meaning in (pair for statement in body for pair in _imports(statement)):
            self._meaning[name] = "?" if self._meaning.get(name, meaning) != meaning else meaning
        self._own = {name for s in body if not isinstance(s, ast.Import | ast.ImportFrom) for name in _bound(s)}
        self._own -= set(self._meaning)
        self._callable: set[str] = set()  # names of the cell that a call could call
        self._lost: set[str] = set()

    def lose(self, statement: ast.stmt) -> set[str]:
        """Names that a left out statement binds or changes: they have no plain value from here on."""
        lost = set(_bound(statement))
        if not isinstance(statement, ast.Assert):
            lost |= set(_changed(statement)) & self._own - self._callable
        self._lost |= lost
        return lost

    # ----- statements -----------------------------------------------------------------------------------------

    def keeps(self, node: ast.stmt) -> bool:
        """Whether a statement is done again."""
        try:
            return self._keeps(node)
        except RecursionError:  # an expression of thousands of terms
            return False

    def _keeps(self, node: ast.stmt) -> bool:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass():
                return True
            case ast.Expr(value=ast.Constant()):
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                kept = self._defines(node)
                self._callable |= {node.name} if kept else set()
                return kept
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                return self._assigns(node)
            case ast.Try():
                parts = [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]
                return all(map(self.keeps, parts)) and all(self.plain(h.type) for h in node.handlers)
        return isinstance(node, getattr(ast, "TypeAlias", ()))

    def _assigns(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        flat = [
            t for target in targets for t in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
        ]
        for target in flat:
            root = target
            while isinstance(root, ast.Attribute):
                root = root.value
            if not isinstance(root, ast.Name) or (root is not target and root.id not in self._callable):
                return False
        if not self.plain(node.value) or (isinstance(node, ast.AnnAssign) and not self.plain(node.annotation)):
            return False
        if self._holds_code(node):
            self._callable |= {t.id for t in flat if isinstance(t, ast.Name)}
        return True

    def _defines(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        if not all(self._decorates(d) for d in node.decorator_list):
            return False
        if not isinstance(node, ast.ClassDef):
            a = node.args
            told = [x for x in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg] if x is not None]
            parts = [*a.defaults, *a.kw_defaults, node.returns, *(x.annotation for x in told)]
            return all(map(self.plain, parts))
        bases = [self._name(b) for b in node.bases]
        hooks = _HOOKS | _ENUM_HOOKS if any(name.startswith("enum.") for name in bases) else _HOOKS
        return (
            all(map(self.plain, [*node.bases, *(k.value for k in node.keywords)]))
            and "type" not in bases
            and all(self._name(k.value) for k in node.keywords if isinstance(k.value, ast.Name))
            and not any(isinstance(s, _DEFINITION) and s.name in hooks for s in node.body)
            and all(map(self._in_class, node.body))
        )

    def _in_class(self, node: ast.stmt) -> bool:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return self._defines(node)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                return self._assigns(node)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return True
        return False

    def _decorates(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute) and node.attr in ("setter", "getter", "deleter"):
            return isinstance(node.value, ast.Name)  # of a property of the class
        if isinstance(node, ast.Call):
            return self._name(node.func) in _KEEPERS and self.plain(node)
        return self._name(node) in _KEEPERS

    # ----- values ---------------------------------------------------------------------------------------------

    def plain(self, node: ast.expr | None) -> bool:
        """Whether a value is the same wherever it is made, and no code of the cell runs while it is."""
        match node:
            case None | ast.Constant():
                return True
            case ast.Name():
                root = self._meaning.get(node.id, node.id).partition(".")[0]
                dunder = node.id.startswith("__") and node.id != "__name__"
                return node.id not in self._lost and root not in _AROUND and not dunder
            case ast.Attribute():
                return not node.attr.startswith("__") and self.plain(node.value)
            case ast.Lambda():
                return all(map(self.plain, [*node.args.defaults, *node.args.kw_defaults]))
            case ast.Call():
                return self._calls(node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                return all(map(self.plain, made + [e for g in node.generators for e in (g.iter, *g.ifs)]))
            case ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                return False
        return all(self.plain(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def _calls(self, node: ast.Call) -> bool:
        given = [*node.args, *(k.value for k in node.keywords)]
        name = self._name(node.func)
        if not all(map(self.plain, given)):
            return False
        if name in _KEEPERS:
            return True
        if any(map(self._holds_code, given)):
            return False
        called = [k.value for k in node.keywords if k.arg == "key"]
        if name == "collections.defaultdict":
            called += node.args[:1]
        return all(self._name(c) in _BUILTINS for c in called) and (
            name in _BUILTINS or name in _MAKERS or name.startswith(_PURE)
        )

    def _holds_code(self, value: ast.AST) -> bool:
        """Whether code of the cell may lie behind a value, to be called by whoever gets it."""
        return any(
            isinstance(n, ast.Lambda) or (isinstance(n, ast.Name) and n.id in self._callable) for n in ast.walk(value)
        )

    def _name(self, node: ast.expr) -> str:
        """The full name of a function, e.g. "collections.deque"; "" where it is one of the cell's own."""
        if isinstance(node, ast.Attribute):
            above = self._name(node.value)
            return f"{above}.{node.attr}" if above else ""
        if not isinstance(node, ast.Name) or node.id in self._own:
            return ""
        return self._meaning.get(node.id, node.id)
