"""The figures of compiled kernels that tests hold them to, by release of Triton: `compiled.json` beside this file.

Registers differ between releases (a paged decode takes 118 on 3.7.1 and 107 on 3.9.0), so each has figures of its own.
`labkit kernels matrix --write` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.kernels.offline import Compiled
from labkit.writing import write_atomically

FILE = Path(__file__).with_name("compiled.json")
FIELDS = ("registers", "shared_bytes", "widest_load_bits")


def key(result: Compiled) -> str:
    """E.g. "grouped_decode_kernel grouped_decode bf16 sm_90"."""
    return f"{result.kernel} {result.name} {result.dtype} {result.arch}"


def recorded(version: str) -> dict[str, dict[str, int]]:
    """The figures under a release of Triton, by `key`; none for a release that nobody has measured."""
    everything: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return {name: dict(zip(FIELDS, row, strict=True)) for name, row in everything.get(version, {}).items()}


def record(results: Sequence[Compiled]) -> Path:
    """Put figures in the place of those of the same release; other releases stay. Returns the file."""
    everything: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    for result in results:
        everything.setdefault(result.triton, {})[key(result)] = [getattr(result, field) for field in FIELDS]
    lines = [
        f" {json.dumps(version)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(rows.items()))
        + "\n }"
        for version, rows in sorted(everything.items())
    ]
    write_atomically(FILE, "{\n" + ",\n".join(lines) + "\n}\n")
    return FILE
