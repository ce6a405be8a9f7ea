"""What you have built so far: `from labkit.mine import BlockPool`.

A name resolves to your own implementation if its check has passed, else to the reference; it is looked up at every
import, so a cell that is run again after a pass gets yours.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from labkit import engine

    return engine.part(name)
