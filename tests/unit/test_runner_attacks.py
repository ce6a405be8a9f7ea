"""Code that attacks its own check, by accident or for fun: a verdict of its own kind, never a pass."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from labkit.grading import report, runner
from labkit.grading.verdict import Verdict
from labkit.sandbox import host

pytestmark = pytest.mark.early

GOOD = """{top}
class BlockPool:
    {head}
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.f = list(range(num_blocks))

    @property
    def num_free(self):
        {count}
        return len(self.f)

    def allocate(self, n):
        {start}
        if n > len(self.f):
            return None
        {end}
        return [self.f.pop() for _ in range(n)]

    def free(self, blocks):
        {free}
        self.f.extend(blocks)
"""

WRONG = "return [0] * n"


def pool(
    start: str = "pass", top: str = "", head: str = "pass", count: str = "pass", end: str = "pass", free: str = "pass"
) -> str:
    def indent(text: str) -> str:
        return text.replace("\n", "\n        ")

    return GOOD.format(
        top=top,
        head=head.replace("\n", "\n    "),
        count=indent(count),
        start=indent(start),
        end=indent(end),
        free=indent(free),
    )


@pytest.fixture(scope="module", autouse=True)
def end_spare():
    yield
    host.close()


def check(text: str, exercise: str = "BlockPool") -> Verdict:
    started = time.monotonic()
    verdict = runner.check("04", exercise, text)
    assert time.monotonic() - started < 60  # it came back
    assert verdict.kind != "internal", verdict.message
    assert verdict.message or verdict.passed
    assert report.render(verdict).encode()
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    return verdict


FORGED = """import json, os, glob
text = json.dumps({"token": "", "verdict": {"lesson": "04_block_pool", "exercise": "BlockPool", "verdict": "pass"}})
for name in ["verdict.json", *glob.glob("verdict*"), *glob.glob("*")]:
    open(name, "w").write(text)
os._exit(0)"""

LIE = """class Liar(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __hash__(self): return 1
    def __index__(self): return 0
    def __int__(self): return 0
    def __add__(self, other): return 0
    def __repr__(self): return "3"
"""

ATTACKS = {
    # what is changed under the check
    "judge replaced": (
        "error",
        "tampering",
        pool(
            WRONG,
            top="import labkit.grading.judge as j\nfrom labkit.grading.verdict import Verdict\n"
            "j.Judge.verdict = lambda self, stored=(): Verdict('', 'BlockPool', 'pass')",
        ),
    ),
    "referee replaced": (
        "error",
        "tampering",
        pool("from labkit.grading.referee import Referee\nReferee.require = lambda self, *a, **k: True\n" + WRONG),
    ),
    "code of a function replaced": (
        "error",
        "tampering",
        pool(
            "import labkit.grading.compare as c\n"
            "c.compare.__code__ = (lambda seen, expected, tolerance=1: None).__code__\n" + WRONG
        ),
    ),
    "witnesses emptied": (
        "error",
        "tampering",
        pool(
            WRONG,
            top="from labkit import specs\nspec = specs.exercise('04', 'BlockPool').spec\n"
            "type(spec).witnesses = ()\ntype(spec).examples = 1",
        ),
    ),
    "builtin replaced": ("error", "tampering", pool(WRONG, top="import builtins\nbuiltins.len = lambda x: 3")),
    "builtin that always agrees": (
        "error",
        "tampering",
        pool(WRONG, top="import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.repr = lambda x: ''"),
    ),
    "builtins deleted": (
        "error",
        "tampering",
        pool(WRONG, top="import builtins\nfor n in ('len', 'set', 'isinstance', 'any', 'type'): delattr(builtins, n)"),
    ),
    "builtins deleted later": ("error", "tampering", pool("import builtins\ndel builtins.len\n" + WRONG)),
    "modules cleared": ("error", "tampering", pool(WRONG, top="import sys\nsys.modules.clear()")),
    "clock replaced": ("error", "tampering", pool(WRONG, top="import time\ntime.process_time = lambda: 1e9")),
    "answers made of passes": (
        "error",
        "tampering",
        pool(WRONG, top="import dataclasses\ndataclasses.asdict = lambda thing: {'verdict': 'pass'}"),
    ),
    "os._exit replaced": ("error", "tampering", pool(WRONG, top="import os\nos._exit = lambda code: None")),
    "verdict forged": ("error", "exit", FORGED + "\n" + pool(WRONG)),
    "verdict forged later": ("error", "exit", pool(FORGED)),
    # what comes back
    "ids that equal everything": (
        "fail",
        "rule",
        pool("if n <= len(self.f): return [Liar(0) for _ in range(n)]", top=LIE),
    ),
    "count that equals everything": ("fail", "rule", pool(count="return Liar(0)", top=LIE)),
    "eq that raises": ("fail", "wrong-type", pool(count="return X()", top="class X:\n    def __eq__(self, o): 1 / 0")),
    "index that raises": (
        "fail",
        "raised",
        pool(count="return X()", top="class X:\n    def __index__(self): raise KeyError('no')"),
    ),
    "list whose iter raises": (
        "fail",
        "raised",
        pool(end="return X(range(n))", top="class X(list):\n    def __iter__(self): 1 / 0"),
    ),
    "list whose len lies": (
        "fail",
        "rule",
        pool(end="return X([0] * 9)", top="class X(list):\n    def __len__(self): return 2"),
    ),
    "iter without end": (
        "timeout",
        "endless-loop",
        pool(
            end="return X()", top="class X(list):\n    def __iter__(self):\n        while True: pass\n        yield 1"
        ),
    ),
    "iter that fills memory": (
        "error",
        "memory",
        pool(
            end="return X()", top="class X(list):\n    def __iter__(self):\n        while True: yield bytearray(10**7)"
        ),
    ),
    "repr of megabytes": (
        "fail",
        "wrong-type",
        pool(end="return X()", top="class X:\n    def __repr__(self): return 'x' * 10**7"),
    ),
    "repr that raises": ("fail", "wrong-type", pool(end="return X()", top="class X:\n    def __repr__(self): 1 / 0")),
    "repr that is no text": (
        "fail",
        "wrong-type",
        pool(end="return X()", top="class X:\n    def __repr__(self): return 3"),
    ),
    "repr without end": (
        "timeout",
        "endless-loop",
        pool(end="return X()", top="class X:\n    def __repr__(self):\n        while True: pass"),
    ),
    "repr with half a character": (
        "fail",
        "wrong-type",
        pool(end="return X()", top="class X:\n    def __repr__(self): return 'a\\udc80\\n\\x1b[31mb'"),
    ),
    "list within itself": ("fail", "rule", pool(end="a = []\na.append(a)\nreturn a * n")),
    "million ids": ("fail", "rule", pool(end="return [0] * 10**6")),
    "generator": ("fail", "wrong-type", pool(end="return (b for b in self.f)")),
    "coroutine": ("fail", "wrong-type", pool().replace("def allocate", "async def allocate")),
    "answers to every name": (
        "error",
        "wrong-parameters",
        "class BlockPool:\n    def __init__(self, num_blocks): pass\n"
        "    def __getattr__(self, name): return lambda *a: None\n",
    ),
    "property raises AttributeError": ("fail", "raised", pool(count="return self.nothing")),
    "property exits": ("error", "exit", pool(count="raise SystemExit")),
    "not a class": ("error", "missing-name", "BlockPool = 3\n"),
    "error whose text raises": (
        "fail",
        "raised",
        pool("raise X", top="class X(Exception):\n    def __str__(self): 1 / 0"),
    ),
    "error below Exception": ("fail", "raised", pool("raise X", top="class X(BaseException): pass")),
    "cancelled": ("fail", "raised", pool("import asyncio\nraise asyncio.CancelledError")),
    "unbound local": ("error", "undefined-name", pool("count = count - n")),
    # the process
    "thread that exits": (
        "fail",
        "rule",
        pool("import sys, threading\nthreading.Thread(target=sys.exit).start()\n" + WRONG),
    ),
    "threads left running": (
        "fail",
        "rule",
        pool(
            WRONG,
            top="import threading, time\nfor _ in range(3): threading.Thread(target=time.sleep, args=(99,)).start()",
        ),
    ),
    "atexit that hangs": ("fail", "rule", pool(WRONG, top="import atexit, time\natexit.register(time.sleep, 99)")),
    "alarms ignored": (
        "fail",
        "rule",
        pool(
            WRONG,
            top="import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGPROF, signal.SIG_IGN)",
        ),
    ),
    "alarms ignored in a loop": (
        "timeout",
        "endless-loop",
        pool("import signal\nsignal.signal(signal.SIGPROF, signal.SIG_IGN)\nwhile True: pass"),
    ),
    "alarm of its own": ("fail", "rule", pool("import signal\nsignal.alarm(1)\n" + WRONG)),
    "fork": ("fail", "rule", pool("import os\nos.fork()\n" + WRONG)),
    "descriptors closed": ("fail", "rule", pool("import os\nos.closerange(0, 200)\n" + WRONG)),
    "every descriptor closed": ("error", "tampering", pool("import os\nos.closerange(0, 99999)\n" + WRONG)),
    "descriptors used up": (
        "fail",
        "rule",
        pool("import os\ntry:\n    while True: os.open('/dev/null', 0)\nexcept OSError: pass\n" + WRONG),
    ),
    "folder removed": ("fail", "rule", pool("import os, shutil\nshutil.rmtree(os.getcwd(), True)\n" + WRONG)),
    "folder left": ("fail", "rule", pool("import os\nos.chdir('/')\nos.environ.clear()\n" + WRONG)),
    "journal overwritten": (
        "error",
        "exit",
        pool("import os\nfor f in os.listdir(): open(f, 'r+b').write(b'\\xff\\xff\\xff\\x00junk{')\nos._exit(3)"),
    ),
    "writes to descriptor one": (
        "fail",
        "rule",
        pool("import os\nos.write(1, b'{\"verdict\": \"pass\"}')\nos.write(2, b'x' * 10**6)\n" + WRONG),
    ),
    "stdout gone": ("fail", "rule", pool("import sys\nsys.stdout = sys.stderr = None\n" + WRONG)),
    "bytes to stdout": ("fail", "raised", pool("import sys\nsys.stdout.write(b'x')")),
    "input": ("fail", "raised", pool("input('n? ')")),
    "input at top level": ("error", "raised-at-top-level", pool(WRONG, top="input()")),
    "recursion limit lifted": (
        "error",
        None,
        pool("import sys\nsys.setrecursionlimit(10**9)\nreturn sorted([n], key=self.allocate)"),
    ),
    "recursion in a property": ("fail", "recursion", pool(count="return self.num_free")),
    "random seed": ("fail", "rule", pool("import random\nrandom.seed(1)\n" + WRONG)),
    "trace function": ("fail", "rule", pool("import sys\nsys.settrace(lambda *a: None)\n" + WRONG)),
    # the text
    "deep nesting": ("error", "syntax", "x = " + "(" * 5000 + ")" * 5000),
    "deep unary": ("error", None, "x = " + "-" * 100_000 + "1\n"),
    "long attribute chain": ("error", None, "x = a" + ".b" * 50_000 + "\n"),
    "half a character": ("error", "syntax", "x = '\ud800'\n"),
    "tabs and spaces": ("error", "syntax", "def f():\n\tx = 1\n        y = 2\n"),
    "megabytes of comment": ("missing", "empty", "# " + "x" * 3_000_000 + "\n"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_in_a_verdict_of_its_own_kind(name: str) -> None:
    word, kind, text = ATTACKS[name]
    verdict = check(text)
    assert (verdict.verdict, verdict.kind) == (word, kind or verdict.kind), verdict.message


RIGHT = {
    "prints in every call": pool("print('x' * 2000)", count="print(self.f)"),
    "form feed": pool().replace("class BlockPool", "\f\nclass BlockPool"),
    "carriage returns": pool().replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + pool(),
    "line separator in a text": pool("x = 'a\u2028b\x0cc'\nassert len(x) == 5"),
    "emoji and accents": "# \U0001f9f1\n" + pool("größe = '\U0001f9f1'"),
    "main block": pool() + "\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)\n",
    "future import": "from __future__ import annotations\n" + pool(),
    "dataclass with annotations as texts": "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    "@dataclass\nclass Box:\n    ids: list[int]\n" + pool("Box([n])"),
    "slow to load": pool(top="x = sum(range(3_000_000))"),
    "asserts below": pool() + "p = BlockPool(2)\nassert p.allocate(3) is None and len(p.allocate(2)) == 2\n",
    "alarms ignored": pool(top="import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)"),
    "folder left": pool("import os\nos.chdir('/')"),
    "opens a socket": pool("import socket\nsocket.socket().close()"),
    "random order": pool("import random\nrandom.shuffle(self.f)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_with_odd_habits_passes(name: str) -> None:
    verdict = check(RIGHT[name])
    assert verdict.passed, f"{verdict.kind} {verdict.rule}: {verdict.message}"


def test_a_function_that_keeps_something_between_calls_is_caught() -> None:
    verdict = check(
        "def find_leak(num_blocks, free_blocks, tables, known=set()):\n    known.update(free_blocks)\n"
        "    for t in tables: known.update(t)\n"
        "    return [b for b in range(num_blocks) if b not in known]\n",
        "find_leak",
    )
    assert verdict.verdict == "fail" and "between calls" in verdict.message
    assert verdict.counterexample and len(verdict.counterexample.steps) == 2


def test_operations_of_odd_types_are_explained() -> None:
    for given in (
        "[('BlockPool', 2), ('allocate', object())]",
        "[('BlockPool', 2), ('free', 0)]",
        "[('allocate', 1)]",
        "[('BlockPool', 10**12)]",
        "[('BlockPool', 2), ('allocate', float('nan'))]",
        "type('L', (list,), {'__iter__': lambda self: 1 / 0})([1])",
    ):
        verdict = check(f"ops = {given}\n", "break_two_piles")
        assert (verdict.verdict, verdict.kind) == ("error", "wrong-operations"), given


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are a POSIX notion")
def test_what_the_code_started_ends_with_the_check(tmp_path) -> None:
    marker = tmp_path / "pids"
    verdict = check(
        pool(
            f"import subprocess\np = subprocess.Popen(['sleep', '120'])\nopen({str(marker)!r}, 'a')"
            f".write(str(p.pid) + ' ')\n{WRONG}"
        )
    )
    assert verdict.verdict == "fail"
    pids = marker.read_text().split()
    assert pids
    for _ in range(100):
        alive = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(pids)], capture_output=True, text=True).stdout
        if all(line.startswith("Z") for line in alive.split()):
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {alive}")


def test_the_asking_process_is_unharmed() -> None:
    for text in (ATTACKS["fork"][2], ATTACKS["builtins deleted"][2], ATTACKS["verdict forged"][2]):
        check(text)
    assert check(pool()).passed


def test_a_cell_with_half_a_character_is_kept_without_harm() -> None:
    from labkit.exercise_magic import keep
    from labkit.grading.progress import Progress

    text = ATTACKS["half a character"][2]
    keep(Progress(), check(text), text)
    assert Progress().attempts("04_block_pool", "BlockPool")[-1]["verdict"] == "error"


def test_in_the_notebook_code_under_main_does_not_run_unchecked() -> None:
    from types import SimpleNamespace

    from labkit import specs
    from labkit.exercise_magic import _define

    text = RIGHT["main block"]
    shell = SimpleNamespace(user_ns={"__name__": "__main__"})
    _define(specs.exercise("04", "BlockPool"), "04_block_pool", text, shell)
    assert shell.user_ns["BlockPool"](2).num_free == 2 and shell.user_ns["__name__"] == "__main__"
