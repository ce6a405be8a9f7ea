"""What a check stands on, and whether the code under check has changed it.

The code runs in the same process as its referee, and a cell may replace a builtin, or a part of the check, by accident
(a clever helper) or for fun. A verdict that comes after that would be worth nothing, so it is not given.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
from types import FunctionType, ModuleType
from typing import Any

from labkit.grading.specification import Specification

_MISSING = object()


class Seal:
    """A record of builtins, of the check's own modules and of the specification, taken before the code runs."""

    def __init__(self, spec: Specification) -> None:
        self._spec = spec
        self._builtins = builtins.__dict__
        self._builtins_before = dict(self._builtins)
        self._rules = repr((spec.rules, spec.witnesses))
        self._modules = {name: module for name, module in sys.modules.items()
                         if name == "labkit" or name.startswith("labkit.")}
        self._kept: list[tuple[str, Any, dict[str, Any]]] = []
        for module in (json, os, *self._modules.values()):
            self._keep(module.__name__, module)
            if module.__name__.startswith("labkit"):
                for name, value in list(vars(module).items()):
                    if isinstance(value, type) and value.__module__ == module.__name__:
                        self._keep(f"{module.__name__}.{name}", value)
        self._code = [(f.__module__ + "." + f.__qualname__, f, f.__code__) for _, _, names in self._kept
                      for f in names.values() if isinstance(f, FunctionType) and f.__module__.startswith("labkit")]

    def _keep(self, name: str, thing: Any) -> None:
        self._kept.append((name, thing, dict(vars(thing))))

    def broken(self) -> str:
        """The name of something that is not as it was; "" where all is."""
        # No builtin may be called before all of them are known to be the right ones.
        for key, value in self._builtins_before.items():
            if key != "_" and self._builtins.get(key, _MISSING) is not value:
                self._builtins.update(self._builtins_before)
                return f"the builtin {key}"
        for name, thing, before in self._kept:
            now = vars(thing) if not isinstance(thing, ModuleType) else thing.__dict__
            for key, value in before.items():
                if now.get(key, _MISSING) is not value and key not in _CHANGES_BY_ITSELF:
                    return f"{name}.{key}"
            if isinstance(thing, type):
                for key in now:
                    if key not in before and (key in _DANGEROUS or not key.startswith("_")):
                        return f"{name}.{key}"
        for name, function, code in self._code:
            if function.__code__ is not code:
                return name
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                return name
        if repr((self._spec.rules, self._spec.witnesses)) != self._rules:
            return "the rules of the exercise"
        return ""

    def restore(self) -> None:
        """Put back what was recorded, so that the verdict can be written."""
        sys.modules.update(self._modules)
        for _, thing, before in self._kept:
            if isinstance(thing, ModuleType):
                thing.__dict__.update(before)
            else:
                for key, value in before.items():
                    if vars(thing).get(key, _MISSING) is not value:
                        try:
                            setattr(thing, key, value)
                        except (AttributeError, TypeError):
                            pass


_DANGEROUS = frozenset({"__eq__", "__getattribute__", "__getattr__", "__setattr__", "__bool__", "__len__", "__call__"})
"""Special methods that nobody adds to a class of the check by accident."""

_CHANGES_BY_ITSELF = frozenset({"_", "__warningregistry__", "__annotations__", "__annotations_cache__", "__doc__",
                                "_start_bytes", "_extra_bytes", "_spare", "_loaded"})
"""Names that ordinary use changes."""
