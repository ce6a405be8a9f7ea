"""What a judge stands on, and whether the code under judgement has changed it.

The code runs in the same process as its referee, and a cell may replace a builtin, or a part of the check, by accident
(a clever helper) or for fun. A verdict that comes after that would be worth nothing, so it is not given. Who looks for
a way around this finds one.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import dataclasses
import inspect
import json
import json.encoder
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

_MISSING = object()


class Seal:
    """A record of builtins, of the modules of labkit and of a few that they lean on, taken before the code runs.

    Args:
        what: what else must stay as it is, as a reader would call it.
        state: a text of it, compared before and after.
    """

    def __init__(self, what: str = "", state: Callable[[], str] = str) -> None:
        self._what, self._state, self._before = what, state, state()
        self._builtins = builtins.__dict__
        self._builtins_before = dict(self._builtins)
        self._modules = {
            name: module for name, module in sys.modules.items() if name == "labkit" or name.startswith("labkit.")
        }
        self._kept: list[tuple[str, Any, dict[str, Any]]] = []
        for module in (json, json.encoder, os, time, copy, dataclasses, inspect, signal, *self._modules.values()):
            self._keep(module.__name__, module)
            if module.__name__.startswith("labkit"):
                for name, value in list(vars(module).items()):
                    if isinstance(value, type) and value.__module__ == module.__name__:
                        self._keep(f"{module.__name__}.{name}", value)
        self._code = [
            (f.__module__ + "." + f.__qualname__, f, f.__code__)
            for _, _, names in self._kept
            for f in names.values()
            if isinstance(f, FunctionType) and f.__module__.startswith("labkit")
        ]

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
        return self._what if self._state() != self._before else ""

    def restore(self) -> None:
        """Put back what was recorded, so that an answer can be sent."""
        sys.modules.update(self._modules)
        for _, thing, before in self._kept:
            if isinstance(thing, ModuleType):
                thing.__dict__.update(before)
            else:
                for key, value in before.items():
                    if vars(thing).get(key, _MISSING) is not value:
                        with contextlib.suppress(AttributeError, TypeError):
                            setattr(thing, key, value)


_DANGEROUS = frozenset({"__eq__", "__getattribute__", "__getattr__", "__setattr__", "__bool__", "__len__", "__call__"})
"""Special methods that nobody adds to a class of the check by accident."""

_CHANGES_BY_ITSELF = frozenset(
    {
        "_",
        "__warningregistry__",
        "__annotations__",
        "__annotations_cache__",
        "__doc__",
        "_start_bytes",
        "_extra_bytes",
        "_spare",
        "_loaded",
    }
)
"""Names that ordinary use changes."""
