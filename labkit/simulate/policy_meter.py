"""Counting the operations of somebody's policy, the same on every machine.

A time says as much about the machine as about the code, so the tournament counts. The policy's text is rewritten before
it runs: every statement, call and element that a loop looks at adds to a counter, and what Python does in C is charged
by what it has to look at. One operation is

- a statement that is executed, a call, an element of a comprehension;
- an element that a built-in function, method or operator has to look at: min, sum, list, sorted (n log2 n), `in` on a
  list, slices, copies, +, ==, list.remove, list.insert, list.pop(0), del list[i], deque[i], ...; the items that come
  out of an iterator which is handed to one (also through zip, map, filter, itertools);
- log2 n for heappush and heappop and for bisect; 64 bits of a whole number that is longer.

Dictionaries and sets are charged one operation for a look-up, an entry or a removal, lists for append, pop() and an
index. A call of a policy of the course (an LRU that somebody builds on) counts as 16, and one more for each block that
it is told of. Not counted: reading a name or an attribute, arithmetic on short numbers, and the collector's work; nor
that `next(iter(d))` slows down once many entries have been taken from the front of a dict. Where in doubt the charge is
too high: a C function that is not known here counts all elements of all its arguments.

What can be said in a policy is limited so that nothing escapes the counter, and nothing reaches out of the policy:
`ALLOWED_MODULES` and no others, the built-ins of `BUILTINS`, no names or attributes with two underscores but the usual
special methods, no frames. A policy runs in a process of its own, in which there is no future to be found
(`labkit.simulate.policy_worker`); these rules say beforehand, and with a line, what would be refused there.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import operator
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from labkit.errors import PolicyError

FILENAME = "<policy>"
"""The name under which a policy's text is compiled."""

MODULE = "labkit_policy"
"""The module that its classes say they are from."""

ALLOWED_MODULES = (
    "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "enum", "functools", "heapq",
    "itertools", "labkit.cache.eviction", "labkit.errors", "labkit.mine", "math", "operator", "random", "typing",
)  # fmt: skip
_LEFT_OUT = {
    # They hold state, move elements or reach attributes where no counter looks.
    "collections": {"UserList", "UserDict", "UserString", "ChainMap"},
    "functools": {"cache", "lru_cache", "cached_property", "singledispatch", "singledispatchmethod"},
    "itertools": {"tee", "cycle"},
    "operator": {"attrgetter", "methodcaller"},
    "random": {"SystemRandom", "seed", "getstate", "setstate"},
    "typing": {"get_type_hints", "ForwardRef", "evaluate_forward_ref"},
}
BUILTINS = frozenset(
    "abs all any bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate filter float format "
    "frozenset getattr hasattr hash id int isinstance issubclass iter len list map max min next object ord pow print "
    "property range repr reversed round set setattr slice sorted staticmethod str sum super tuple type zip "
    "True False None NotImplemented Ellipsis __build_class__".split()
) | {
    name for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}  # fmt: skip
_DUNDERS = frozenset(
    f"__{name}__" for name in
    "init len contains iter next reversed getitem setitem delitem missing lt le gt ge eq ne hash bool repr str call "
    "enter exit add sub mul neg and or xor index int float slots post_init name doc class future annotations "
    "match_args".split()
)  # fmt: skip
_FRAMES = ("f_", "gi_", "cr_", "ag_", "tb_", "co_", "func_")


class TooMuch(BaseException):
    """More operations than are allowed; no `except Exception` of a policy stops it."""


class Meter:
    """Counts operations and stops what goes beyond `most`.

    Attributes:
        spent: operations so far.
        most: TooMuch is raised beyond; raise it as the policy earns more.
    """

    def __init__(self, most: int = 1 << 62) -> None:
        self.spent = 0
        self.most = most

    def tick(self, n: int = 1) -> bool:
        """Count `n` operations."""
        self.spent += n
        if self.spent > self.most:
            raise TooMuch
        return True

    def check(self) -> None:
        """Raise again what an `except:` or `finally:` has caught."""
        if self.spent > self.most:
            raise TooMuch


def load(text: str, meter: Meter, prelude: str = "", parts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Execute a policy's text with a counter in it.

    Args:
        text: Python that defines a class.
        meter: counts what runs, now and whenever something that the text defines is called.
        prelude: import lines to run before; they keep the same rules.
        parts: what `from labkit.mine import NAME` gives, by name, as text; the course's own `LRU` where there is none.

    Returns:
        The names that the text defines.

    Raises:
        PolicyError: the text does something that a policy may not do; the sentence says what, and in which line.
        TooMuch, and whatever the text itself raises.
    """
    tools = _Tools(meter, parts or {})
    module = sys.modules[MODULE] = ModuleType(MODULE)  # dataclasses look their module up there
    namespace = module.__dict__
    namespace |= {"__builtins__": tools.builtins, **tools.names}
    for source, lines in ((prelude, "of the prelude"), (text, "")):
        tree = ast.parse(source, FILENAME)
        _Rules(lines).visit(tree)
        tree = ast.fix_missing_locations(_Counted("deque" in source).visit(tree))
        exec(compile(tree, FILENAME, "exec", dont_inherit=True), namespace)
    return namespace


def state_size(roots: Any) -> int:
    """How many things a policy keeps: entries of all containers, attributes and closures that are reached from `roots`.

    Long strings and whole numbers count as one thing for every 64 bits.
    """
    seen: set[int] = set()
    waiting, count = [roots], 0
    while waiting:
        value = waiting.pop()
        if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 1 << 64):
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        inside: list[Any] = []
        if isinstance(value, int):
            count += value.bit_length() // 64
        elif isinstance(value, str | bytes | bytearray):
            count += len(value) // 8
        elif isinstance(value, dict):
            inside += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset | deque):
            inside += value
        elif isinstance(value, FunctionType):
            if value.__code__.co_filename == FILENAME:
                inside += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
                inside += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
                inside += vars(value).values()
        elif isinstance(value, MethodType):
            inside += [value.__self__, value.__func__]
        elif isinstance(value, functools.partial):
            inside += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, GeneratorType) and value.gi_frame is not None:
            inside += value.gi_frame.f_locals.values()
        elif isinstance(value, type):
            if value.__module__ == MODULE:
                inside += [kept for name, kept in vars(value).items() if not name.startswith("__")]
        if not isinstance(value, type | FunctionType | ModuleType | _Module):
            inside += getattr(value, "__dict__", {}).values()
            for cls in type(value).__mro__:
                slots = cls.__dict__.get("__slots__", ())
                for slot in (slots,) if isinstance(slots, str) else slots:
                    if hasattr(value, slot):
                        inside.append(getattr(value, slot))
        count += len(inside)
        waiting += inside
    return count


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # not yet assigned
        return False


# ----- what may be said ---------------------------------------------------------------------------------------------


class _Rules(ast.NodeVisitor):
    """Refuses, with the line, what a policy may not say."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, node: ast.AST, what: str) -> None:
        line = f"line {getattr(node, 'lineno', '?')}{' ' if self.where else ''}{self.where}"
        raise PolicyError(f"{line} {what}")

    def name(self, node: ast.AST, name: str | None) -> None:
        if name and name.startswith("__") and name.endswith("__") and name not in _DUNDERS:
            self.refuse(node, f"uses {name}, which reaches behind the policy: a policy works with what it is told.")

    def visit(self, node: ast.AST) -> None:
        for field in ("id", "attr", "arg", "asname", "name", "rest"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                self.name(node, value)
        for value in getattr(node, "names", ()):
            self.name(node, value if isinstance(value, str) else None)
        super().visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and hasattr(builtins, node.id) and node.id not in BUILTINS:
            if node.id not in _DUNDERS:
                self.refuse(node, f"uses {node.id}, which reaches out of the policy: a policy works with what it is "
                                  "told.")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith(_FRAMES):
            self.refuse(node, f"reads {node.attr}, which leads to what is not the policy's: a policy works with what "
                              "it is told.")
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.module(node, "." * node.level + (node.module or ""))

    def module(self, node: ast.AST, name: str) -> None:
        if name not in ALLOWED_MODULES:
            allowed = ", ".join(m for m in ALLOWED_MODULES if m[0] not in "_l")
            self.refuse(node, f"imports {name}, and a policy may import only {allowed} and your own parts.")

    def visit_Assign(self, node: ast.Assign | ast.AugAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Slice):
                    if not _plain(part.value):
                        self.refuse(node, "assigns to a slice of a list that has no name: give it one first.")
        self.generic_visit(node)

    visit_AugAssign = visit_Assign

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.refuse(node, "is asynchronous, and a policy answers at once.")


def _plain(node: ast.AST) -> bool:
    """Whether evaluating this a second time does nothing but cost: a name, an attribute, a plain index."""
    if isinstance(node, ast.Subscript):
        return _plain(node.value) and isinstance(node.slice, ast.Name | ast.Constant | ast.Attribute)
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _plain(node.value))


# ----- the counters in the text --------------------------------------------------------------------------------------


class _Counted(ast.NodeTransformer):
    """Puts the counters in: calls of names with two underscores, which no text can use."""

    def __init__(self, deques: bool) -> None:
        self.deques = deques

    def ask(self, tool: str, *args: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(tool, ast.Load()), list(args), [])

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Visited, with a tick before every run of statements that ends in a compound one."""
        out: list[ast.stmt] = []
        run: list[ast.stmt] = []
        for statement in statements:
            run.append(statement)
            if hasattr(statement, "body") or statement is statements[-1]:
                tick = ast.Expr(self.ask("__tick__", ast.Constant(len(run))))
                out.append(ast.copy_location(tick, run[0]))
                for each in run:
                    done = self.visit(each)
                    out += done if isinstance(done, list) else [done]
                run = []
        return out

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and not isinstance(node, ast.Module | ast.ClassDef):
                future = [s for s in block[:1] if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
                setattr(node, field, future + self.body(block[len(future):]))
        for field, value in ast.iter_fields(node):
            if field in ("body", "orelse", "finalbody") and isinstance(value, list):
                if isinstance(node, ast.Module | ast.ClassDef):
                    setattr(node, field, [x for s in value for x in _listed(self.visit(s))])
                continue
            if field in ("annotation", "returns", "type_params"):
                continue
            if isinstance(value, list):
                setattr(node, field, [self.visit(v) if isinstance(v, ast.AST) else v for v in value])
            elif isinstance(value, ast.AST):
                setattr(node, field, self.visit(value))
        return node

    def located(self, new: ast.expr, old: ast.AST) -> ast.expr:
        return ast.copy_location(new, old)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self.visit(node.args)
        node.body = self.located(ast.BoolOp(ast.And(), [self.ask("__tick__"), self.visit(node.body)]), node)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        node.iter = self.visit(node.iter)
        node.ifs = [self.ask("__tick__"), *(self.visit(test) for test in node.ifs)]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.body = [ast.Expr(self.ask("__check__")), *self.body(node.body)]
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        node.body, node.orelse = self.body(node.body), self.body(node.orelse) if node.orelse else []
        node.handlers = [self.visit(handler) for handler in node.handlers]
        if node.finalbody:
            node.finalbody = [ast.Expr(self.ask("__check__")), *self.body(node.finalbody)]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node
        node.args = [self.visit(arg) for arg in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        node.args.insert(0, self.visit(node.func))
        node.func = ast.copy_location(ast.Name("__call__", ast.Load()), node)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            node.value = self.located(self.ask("__all__", self.visit(node.value)), node)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        node.value = self.located(self.ask("__all__", self.visit(node.value)), node)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        node.values = [
            self.visit(value) if key is not None else self.located(self.ask("__size__", self.visit(value)), value)
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        node.keys = [key and self.visit(key) for key in node.keys]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        calm = isinstance(node.op, ast.Add | ast.Sub | ast.Div | ast.FloorDiv | ast.BitAnd)
        if calm and (_number(node.left) or _number(node.right)):
            node.left, node.right = left, right
            return node
        return self.located(self.ask("__op__", ast.Constant(type(node.op).__name__), left, right), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        value = self.visit(node.value)
        calm = isinstance(node.op, ast.Add | ast.Sub)
        if not (calm and _number(node.value)):
            before: ast.expr = ast.Constant(None)
            if _plain(node.target):
                before = _again(node.target)
            value = self.located(self.ask("__aug__", ast.Constant(type(node.op).__name__), before, value), node)
        node.value = value
        node.target = self.visit(node.target)
        return self.with_slices(node, [node.target])

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        stars = any(isinstance(part, ast.Starred) for target in node.targets for part in ast.walk(target))
        node.value = self.visit(node.value)
        if stars:
            node.value = self.located(self.ask("__all__", node.value), node)
        node.targets = [self.visit(target) for target in node.targets]
        return self.with_slices(node, node.targets)

    def with_slices(self, node: ast.stmt, targets: list[ast.expr]) -> Any:
        """Assigning to a slice moves what stands behind it."""
        charges = [
            ast.copy_location(ast.Expr(self.ask("__size__", _again(part.value))), node)
            for target in targets for part in ast.walk(target)
            if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Slice)
        ]  # fmt: skip
        return [*charges, node] if charges else node

    def visit_Delete(self, node: ast.Delete) -> Any:
        out: list[ast.stmt] = []
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                index = self.visit(target.slice) if not isinstance(target.slice, ast.Slice) else self.ask(
                    "slice", *(self.visit(part) if part else ast.Constant(None)
                               for part in (target.slice.lower, target.slice.upper, target.slice.step)))
                out.append(ast.Expr(self.ask("__delete__", self.visit(target.value), index)))
            else:
                out.append(ast.Delete([target]))
        return [ast.copy_location(statement, node) for statement in out]

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value, node.slice = self.visit(node.value), self.visit(node.slice)
        if not isinstance(node.ctx, ast.Load):
            return node
        if isinstance(node.slice, ast.Slice):
            return self.located(self.ask("__size__", node), node)
        if self.deques:
            return self.located(self.ask("__item__", node.value, node.slice), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        node.left = self.visit(node.left)
        node.comparators = [self.visit(other) for other in node.comparators]
        kind = node.ops[0]
        if len(node.ops) > 1:
            node.comparators = [self.located(self.ask("__size__", other), other) for other in node.comparators]
            return node
        (other,) = node.comparators
        if isinstance(kind, ast.In | ast.NotIn):
            found: ast.expr = self.ask("__in__", node.left, other)
            if isinstance(kind, ast.NotIn):
                found = ast.UnaryOp(ast.Not(), found)
            return self.located(found, node)
        if not isinstance(kind, ast.Is | ast.IsNot) and not (_number(node.left) or _number(other)):
            node.comparators = [self.located(self.ask("__like__", other), other)]
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self.located(self.ask("__size__", self.visit(node.value)), node)
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        node.subject = self.located(self.ask("__size__", self.visit(node.subject)), node)
        for case in node.cases:
            case.guard = case.guard and self.visit(case.guard)
            case.body = self.body(case.body)
        return node


def _again(node: ast.expr) -> ast.expr:
    """A second copy of an expression, to be read."""
    return ast.parse(ast.unparse(node), mode="eval").body


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) < 1 << 64


# ----- what the counters do ------------------------------------------------------------------------------------------

_CONTAINERS = (list, tuple, dict, set, frozenset, deque, str, bytes, bytearray, range, type({}.keys()),
               type({}.values()), type({}.items()))  # fmt: skip
_HASHED = (dict, set, frozenset, range, type({}.keys()))
_CHEAP = {
    list: {"append"},
    dict: {"get", "pop", "popitem", "setdefault", "keys", "values", "items", "__getitem__", "__contains__",
           "__setitem__", "__delitem__", "__len__", "__iter__"},
    OrderedDict: {"move_to_end"},
    set: {"add", "discard", "remove", "pop", "__contains__", "__len__", "__iter__"},
    deque: {"append", "appendleft", "pop", "popleft"},
    random.Random: {"random", "randrange", "randint", "getrandbits", "choice", "uniform"},
}  # fmt: skip
_ARGUMENTS_ONLY = {list: {"extend"}, dict: {"update", "fromkeys"}, deque: {"extend", "extendleft"},
                   set: {"update", "difference_update"}}  # fmt: skip
_CHEAP_FUNCTIONS = frozenset(
    "abs bool callable chr divmod float getattr hasattr hash id int isinstance issubclass iter len next object ord "
    "print property range reversed round setattr slice staticmethod classmethod type log log2 sqrt exp floor ceil "
    "defaultdict OrderedDict random randrange randint getrandbits choice uniform isqrt".split()
)
_LOGARITHMIC = frozenset("heappush heappop heapreplace heappushpop bisect bisect_left bisect_right".split())
_LAZY = frozenset(
    "zip map filter enumerate accumulate chain compress dropwhile filterfalse groupby islice pairwise starmap "
    "takewhile zip_longest batched repeat count from_iterable".split()
)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "MatMult": operator.matmul,
    "FloorDiv": operator.floordiv, "Mod": operator.mod, "Pow": operator.pow, "LShift": operator.lshift,
    "RShift": operator.rshift, "BitOr": operator.or_, "BitXor": operator.xor, "BitAnd": operator.and_,
}  # fmt: skip


def _log2(n: int) -> int:
    return max(1, n.bit_length())


def _size(value: Any) -> int:
    """Elements that whoever goes through `value` has to look at."""
    if type(value) is int:
        return value.bit_length() // 64
    return len(value) if isinstance(value, _CONTAINERS) else 0


class _Tools:
    """The functions behind the counters, for one meter."""

    def __init__(self, meter: Meter, parts: Mapping[str, str]) -> None:
        self.meter = meter
        self.tick = meter.tick
        self.parts = parts
        self.modules: dict[str, Any] = {}
        self.names = {
            "__tick__": self.tick, "__check__": meter.check, "__call__": self.call, "__all__": self.whole,
            "__size__": self.size, "__like__": self.like, "__op__": self.op, "__aug__": self.aug,
            "__delete__": self.delete, "__item__": self.item, "__in__": self.contains,
        }  # fmt: skip
        self.builtins = {name: getattr(builtins, name) for name in BUILTINS}
        self.builtins |= {"__import__": self.load_module, "print": lambda *args, **kwargs: None}
        self.builtins |= {"getattr": self.get, "setattr": self.put, "hasattr": self.has, "type": _Type}

    # Names.

    def load_module(self, name: str, _globals: Any = None, _locals: Any = None, fromlist: Any = (), _: int = 0) -> Any:
        if name not in ALLOWED_MODULES:
            raise PolicyError(f"imports {name}, which a policy may not.")
        if name == "labkit.mine":
            return _Module(**{part: self.part(part) for part in fromlist or ()})
        if name not in self.modules:
            module = importlib.import_module(name)
            left_out = _LEFT_OUT.get(name, set())
            public = {
                key: value for key, value in vars(module).items()
                if not key.startswith("_") and key not in left_out and not isinstance(value, ModuleType)
            }  # fmt: skip
            if name == "random":
                public |= {"Random": _Seeded, **{key: getattr(_Seeded(), key) for key in public
                                                 if hasattr(_Seeded, key) and key != "Random"}}
            self.modules[name] = _Module(**public)
        if "." in name and not fromlist:
            return _Module(**{name.split(".")[1]: self.modules[name]})
        return self.modules[name]

    def part(self, name: str) -> Any:
        """What the learner has built, with counters; the course's own LRU where they have not."""
        if name in self.parts:
            return load(self.parts[name], self.meter, "from labkit.cache.eviction import Policy")[name]
        if name == "LRU":
            from labkit.cache.eviction import LRU

            return LRU
        raise PolicyError(f"takes {name} from labkit.mine, but a policy may take LRU only.")

    def get(self, value: Any, name: str, *default: Any) -> Any:
        self.allowed(name)
        return getattr(value, name, *default)

    def has(self, value: Any, name: str) -> bool:
        self.allowed(name)
        return hasattr(value, name)

    def put(self, value: Any, name: str, new: Any) -> None:
        self.allowed(name)
        setattr(value, name, new)

    def allowed(self, name: object) -> None:
        if not isinstance(name, str) or name.startswith(("__", *_FRAMES)):
            raise PolicyError(f"asks for the attribute {name}, which leads to what is not the policy's.")

    # Work in C.

    def counted(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self.tick(1)
            yield item

    def whole(self, value: Any) -> Any:
        """All elements of `value` are about to be gone through by Python itself."""
        if isinstance(value, Iterator):
            return self.counted(value)
        return self.size(value)

    def size(self, value: Any) -> Any:
        n = _size(value)
        if n:
            self.tick(n)
        return value

    def like(self, value: Any) -> Any:
        """The right side of a comparison: two containers may have to be compared element by element."""
        if type(value) not in (int, float, str):
            self.size(value)
        return value

    def op(self, name: str, a: Any, b: Any) -> Any:
        if type(a) is int and type(b) is int:
            if name == "LShift":
                self.tick(max(0, a.bit_length() + b) // 64)
            elif name == "Pow":
                self.tick(a.bit_length() * max(0, b) // 64)
            else:
                self.tick((a.bit_length() + b.bit_length()) // 64)
        elif name == "Mult" and (type(a) is int or type(b) is int):
            self.tick(max(0, a * _size(b)) if type(a) is int else max(0, b * _size(a)))
        else:
            self.tick(_size(a) + _size(b))
        return _OPERATORS[name](a, b)

    def aug(self, name: str, before: Any, value: Any) -> Any:
        if isinstance(before, list | set | dict | deque | bytearray) and name != "Mult":
            return self.whole(value)
        if name == "Mult":
            self.tick(_size(before) * value if type(value) is int and value > 0 else 0)
        elif name in ("LShift", "Pow") and type(before) is int and type(value) is int:
            self.tick(max(0, before.bit_length() + value) // 64 if name == "LShift"
                      else before.bit_length() * max(0, value) // 64)
        self.tick(_size(before) + _size(value))
        return value

    def delete(self, container: Any, index: Any) -> None:
        if isinstance(container, list | deque | bytearray):
            self.tick(len(container))
        del container[index]

    def item(self, container: Any, index: Any) -> Any:
        if type(container) is deque and type(index) is int:
            n = len(container)
            self.tick(min(index % n, -index % n) if n else 0)
        return container[index]

    def contains(self, value: Any, container: Any) -> bool:
        if not isinstance(container, _HASHED):
            if isinstance(container, Iterator):
                container = self.counted(container)
            else:
                self.size(container)
        return value in container

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.tick(1)
        if isinstance(function, functools.partial):
            return self.call(function.func, *function.args, *args, **{**function.keywords, **kwargs})
        on: Any = None
        if isinstance(function, MethodType):
            on, inner = function.__self__, function.__func__
            if not isinstance(inner, FunctionType):
                return self.charged(function, inner, on, args, kwargs)
        else:
            inner = function
        if isinstance(inner, FunctionType):
            if inner.__code__.co_filename == FILENAME or inner.__module__ == __name__:  # counted, or ours
                return function(*args, **kwargs)
            if (inner.__module__ or "").startswith("labkit.cache"):
                # The course's own policies: a heap's logarithm, and something for each block.
                self.tick(15 + sum(_size(arg) for arg in args))
                return function(*args, **kwargs)
        elif isinstance(inner, type) and (inner.__module__ == MODULE or inner is _Type):
            return function(*args, **kwargs)
        return self.charged(function, inner, on, args, kwargs)

    def charged(self, function: Any, inner: Any, on: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of something that runs without counters."""
        name = getattr(inner, "__name__", "")
        if isinstance(inner, BuiltinFunctionType | MethodWrapperType):
            on = inner.__self__
            on = None if isinstance(on, ModuleType) else on
        elif isinstance(inner, MethodDescriptorType) or (on is None and hasattr(inner, "__objclass__")):
            on = args[0] if args else None
        if on is not None and not isinstance(on, type):
            kind = next((k for k in (OrderedDict, dict, list, set, deque, random.Random) if isinstance(on, k)), None)
            kinds = (kind, dict) if kind is OrderedDict else (kind,)
            if any(name in _CHEAP.get(k, ()) for k in kinds):
                return function(*args, **kwargs)
            if kind is list and name == "pop":
                self.tick(len(on) if args and args[0] != -1 else 0)
                return function(*args, **kwargs)
            if kind is list and name == "sort":
                self.tick(len(on) * _log2(len(on)))
            elif not any(name in _ARGUMENTS_ONLY.get(k, ()) for k in kinds):
                self.tick(_size(on))
        elif name in _CHEAP_FUNCTIONS and not (name == "defaultdict" and len(args) > 1):
            if name not in ("OrderedDict", "defaultdict"):
                return function(*args, **{key: self.watched(value) for key, value in kwargs.items()})
        elif name in _LOGARITHMIC:
            self.tick(_log2(_size(args[0])) if args else 1)
            return function(*args, **kwargs)
        elif name in _LAZY:
            return function(*(self.lazily(value) for value in args), **kwargs)
        elif name in ("sorted", "nsmallest", "nlargest"):
            for value in args:
                self.tick(_size(value) * (_log2(_size(value)) - 1))
        for value in (*args, *kwargs.values()):
            self.size(value)
            if inner in (bytes, bytearray) and type(value) is int:
                self.tick(max(0, value) // 8)
        return function(*(self.watched(value) for value in args),
                        **{key: self.watched(value) for key, value in kwargs.items()})

    def lazily(self, value: Any) -> Any:
        if isinstance(value, _CONTAINERS) or isinstance(value, Iterator):
            return self.counted(iter(value))
        return self.watched(value)

    def watched(self, value: Any) -> Any:
        """An argument for code without counters: what that code draws from it, or calls through it, is counted."""
        if isinstance(value, GeneratorType) and value.gi_code.co_filename == FILENAME:
            return value
        if isinstance(value, Iterator):
            return self.counted(value)
        if isinstance(value, BuiltinFunctionType | MethodWrapperType | MethodDescriptorType | functools.partial):
            return lambda *args, **kwargs: self.call(value, *args, **kwargs)
        return value


class _Module(SimpleNamespace):
    """What a policy sees of a module: its public names, which stay as they are."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise PolicyError(f"sets {name} in a module, and may not: what a policy keeps, it keeps in itself.")


class _Seeded(random.Random):
    """Random numbers that are the same at every run, also where no seed is given."""

    def __init__(self, seed: Any = 0) -> None:
        super().__init__(0 if seed is None else seed)


class _TypeOf(type):
    def __call__(cls, *args: Any) -> Any:
        if len(args) != 1:
            raise PolicyError("makes a class with type(), which a policy may not: write a class statement.")
        return builtins.type(args[0])

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.type)


class _Type(metaclass=_TypeOf):
    """type(x), and nothing else."""


__all__ = ["ALLOWED_MODULES", "BUILTINS", "FILENAME", "Meter", "TooMuch", "load", "state_size"]
