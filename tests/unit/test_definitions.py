"""What of a cell runs without being watched: nothing in which code of the cell could run."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from labkit.errors import LabkitError
from labkit.grading import definitions
from labkit.grading.source import CannotLoad, Source, fresh_module, load_passed
from labkit.grading.specification import Specification

KEPT = [
    "import math\nfrom collections import deque",
    "def f(x: list[int] | None = None, *, y=(1, 2)) -> dict[str, int]: return {}",
    "class A:\n    'doc'\n    counts: dict[int, int] = {}\n    def f(self): return [1]",
    "import dataclasses as d\n@d.dataclass(frozen=True)\nclass A:\n    ids: list = d.field(default_factory=list)",
    "class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass",
    "class A:\n    @staticmethod\n    def f(): pass",
    "import functools\n@functools.lru_cache(maxsize=None)\ndef f(n): return n",
    "N = 4\nM = N * 2\nTABLE = {i: i * i for i in range(M)}",
    "from collections import OrderedDict as O, defaultdict\nd = O()\nfree = defaultdict(list)",
    "import torch\n@torch.no_grad()\ndef f(): pass\nSCALE = torch.tensor([1.0])",
    "import math\nX = -math.inf\nY: float = math.sqrt(2)",
    "class A: pass\ndef free(self): pass\nA.free = free",
    "ops = [('BlockPool', 2), ('allocate', 3)] * 2",
    "f = lambda x: print(x)\nHANDLERS = {'a': f}",
    "try:\n    import numpy as np\nexcept ImportError:\n    np = None",
    "from enum import Enum\nclass Kind(Enum):\n    A = 1",
    "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int = 0",
    "class A: pass\nclass B(A): pass",
    "if __name__ == '__main__':\n    print(1)",
    "'a text'\npass",
]

LEFT_OUT = {
    "import os\nos._exit(0)": "line 2 (a call)",
    "for i in range(3): pass": "line 1 (a loop)",
    "assert True": "line 1 (an assert)",
    "import os\nx = os._exit(0)": "line 2 (a value that a call makes)",
    "import sys\nsys.stdout = None": "line 2",
    "import time\ntime.monotonic = None": "line 2",
    "import sys\nx = [0 for _ in range(9 if 'ipykernel' in sys.modules else 1)]": "line 2",
    "from os import _exit as deque\nx = deque(0)\nfrom collections import deque": "line 2",
    "def list(n): print(n)\nx = list(3)": "line 2",
    "def go(f): return f\n@go\ndef f(): pass": "f, whose decorator",
    "def go(): print(1)\ndef f(x=go()): pass": "line 2",
    "class M(type):\n    def __call__(self): pass\nclass A(metaclass=M): pass": "M, whose",
    "class A:\n    def __init_subclass__(cls): print(1)\nclass B(A): pass": "A, whose",
    "class A:\n    print(1)": "line 1",
    "class A:\n    for i in range(3): pass": "line 1",
    "from enum import Enum\nclass K(Enum):\n    A = 1\n    def __init__(self, v): print(v)": "K, whose",
    "f = lambda x: print(x)\ny = sorted([1], key=f)": "line 2",
    "y = sorted([1], key=lambda x: print(x))": "line 1",
    "def die(): print(1)\nfrom collections import defaultdict\nd = defaultdict(die)\nx = d[0]": "line 3",
    "class A:\n    def __iter__(self): print(1)\nx = list(A())": "line 3",
    "x = ().__class__.__base__.__subclasses__": "line 1",
    "import ctypes\nx = ctypes.string_at(0)": "line 2",
    "with open('x') as f: pass": "line 1 (with)",
    "x = (y := 3)": "line 1",
    "x = f'{print(1)}'": "line 1",
    "del print": "line 1",
    "x = [print(i) for i in range(3)]": "line 1",
}


@pytest.mark.parametrize("text", KEPT)
def test_definitions_and_plain_assignments_are_kept(text: str) -> None:
    parts = definitions.split(text)
    assert definitions.sentence(parts) == "" and not parts.lost
    exec(compile(ast.Module(parts.kept, []), "<cell>", "exec"), fresh_module())


@pytest.mark.parametrize("text", LEFT_OUT)
def test_what_could_run_code_of_the_cell_is_left_out_and_said(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parts = definitions.split(text)
    assert LEFT_OUT[text] in definitions.sentence(parts)
    exec(compile(ast.Module(parts.kept, []), "<cell>", "exec"), fresh_module())
    assert capsys.readouterr().out == ""


def test_what_needs_something_left_out_is_left_out_with_it() -> None:
    parts = definitions.split("def make(): return 1\nX = make()\nY = X + 1\ndef f(a=Y): pass\nZ = 3")
    assert [s.lineno for s in parts.kept] == [1, 5] and parts.lost == {"X", "Y", "f"}


# ----- fresh namespaces for every sequence ----------------------------------------------------------------------------


class Bare(Specification):
    exercise = "f"
    prelude = "from collections import deque"


def renewing(text: str) -> Any:
    source = Source(Bare(), text, "<exercise 00/f>")
    return source.renewing(source.namespace())


def test_state_of_one_sequence_does_not_reach_the_next() -> None:
    again = renewing(
        "seen = []\nTABLE = {}\nfor i in range(3): TABLE[i] = [i]\n"
        "class Node:\n    made = []\n    def __init__(self): self.made.append(1)\n"
        "ROOT = Node()\nKINDS = {'node': Node}\n"
        "def f(x, kept=[]):\n    seen.append(x); kept.append(x); TABLE[0].append(x); Node()\n"
        "    lengths = len(seen), len(kept), len(TABLE[0]), len(Node.made)\n"
        "    return *lengths, isinstance(ROOT, Node), KINDS['node'] is Node\n"
    )
    first = (1, 1, 2, 1, True, True)
    assert again()["f"](1) == first and again()["f"](1) == first
    kept = again()["f"]
    assert kept(1) == first and kept(1) == (2, 2, 3, 2, True, True)


def test_the_rest_of_the_text_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    again = renewing("print('once')\nX = [print('once')]\ndef f(): return 1\nassert f() == 1\n")
    for _ in range(5):
        assert again()["f"]() == 1
    assert capsys.readouterr().out == "once\nonce\n"


@pytest.mark.parametrize(
    "text",
    [
        "class f:\n    def __call__(self): return 1\ndef two(self): return 2\nf.__call__ = two\nf = f()\n",
        "def f(): return 1\ndef twice(g): return lambda: 2 * g()\nf = twice(f)\n",
        "class A:\n    x = 1\nsetattr(A, 'x', 2)\ndef f(): return A.x\n",
        "def f(): return X\nexec('X = 2')\n",
        "X = 1\nif X:\n    def f(): return 2\n",
        "def two(g):\n    def h(): return 2\n    return h\n@two\ndef f(): return 1\n",
    ],
)
def test_what_the_text_changed_after_defining_it_stays_changed(text: str) -> None:
    assert renewing(text)()["f"]() == 2


def test_a_long_definition_is_not_repeated() -> None:
    again = renewing("class A:\n    x = sum(range(3_000_000))\ndef f(): return A\n")
    assert again()["f"]() is again()["f"]()


def test_a_long_computation_beside_a_definition_is_not_repeated() -> None:
    again = renewing("x = sum(range(3_000_000))\nclass A: pass\ndef f(): return A\n")
    assert again()["f"]() is not again()["f"]()


# ----- what passed, for the engine ------------------------------------------------------------------------------------


def load(text: str) -> Any:
    return load_passed(Bare(), text, "<exercise 00/f>")


def test_a_text_that_passed_gives_what_it_defines() -> None:
    assert load("N = 2\ndef f(): return deque([N])\nassert len(f()) == 1\n")()[0] == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(:", "raises SyntaxError"),
        ("import nothing_of_the_kind\ndef f(): pass", "raises ModuleNotFoundError"),
        ("from labkit.mine import Nothing\ndef f(): pass", "raises LessonError"),
        ("def g(): pass", "runs in the check alone"),
        ("f = eval('print')", "runs in the check alone"),
        ("import os\ndef f(): return X\nX = os.getpid()", "uses X"),
        ("TABLE = {}\nfor i in range(3): TABLE[i] = i\ndef f(): return TABLE", "uses TABLE"),
    ],
)
def test_a_text_that_gives_nothing_any_more_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(CannotLoad, match=why) as caught:
        load(text)
    assert isinstance(caught.value, LabkitError) and str(caught.value).count("\n") == 0
