"""Cells whose top level would end or cripple a kernel: of each, only what cannot do so runs there.

A kernel's side of `%%exercise` is played in a process of its own, as if the sandbox had let every cell through; after
each cell the process is looked at as a kernel needs it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

TARGET = "\ndef blocks_needed(num_tokens, block_size):\n    return -(-num_tokens // block_size)\n"

HOSTILE = {
    "descriptors closed": "import os\nos.closerange(3, 300)",
    "output moved away": "import os\nos.dup2(os.open(os.devnull, os.O_RDWR), 1)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "alarm": "import signal\nsignal.alarm(1)",
    "alarm with a handler": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1 / 0)\nsignal.alarm(1)",
    "interval timer": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)",
    "interrupts ignored": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
    "memory limit": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))",
    "output gone": "import sys\nsys.stdout = sys.stderr = None",
    "output closed": "import sys\nsys.stdout.close()",
    "loop stopped": "import asyncio\nasyncio.new_event_loop().stop()\nimport os\nos._exit(1)",
    "switch interval": "import sys\nsys.setswitchinterval(1000)",
    "recursion limit": "import sys\nsys.setrecursionlimit(40)",
    "loops in a notebook alone": "import sys\nwhile 'IPython' in sys.modules: pass",
    "exits in a notebook alone": "import sys\nif 'IPython' in sys.modules:\n    import os\n    os._exit(1)",
    "asks for the shell": "get_ipython().ask_exit()",
    "exit": "exit()",
    "SystemExit": "raise SystemExit",
    "abort": "__import__('os').abort()",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "fork": "import os\nos.fork()",
    "process": "import subprocess\nsubprocess.Popen(['sleep', '300'])",
    "thread": "import threading, os\nthreading.Timer(0.1, os._exit, [1]).start()",
    "clock replaced": "import time\ntime.monotonic = lambda: 0",
    "environment": "import os\nos.environ['LABKIT_HOME'] = '/nowhere'",
    "folder": "import os\nos.chdir('/')",
    "builtin replaced": "import builtins\nbuiltins.print = None",
    "builtin deleted": "import builtins\ndel builtins.len",
    "modules cleared": "import sys\nsys.modules.clear()",
    "trace function": "import sys\nsys.settrace(lambda *a: 1 / 0)",
    "in a class body": "import os\nclass A:\n    os._exit(1)",
    "in a decorator": "import os\ndef d(f): os._exit(1)\n@d\ndef f(): pass",
    "in a metaclass": "import os\nclass M(type):\n    def __new__(*a): os._exit(1)\nclass A(metaclass=M): pass",
    "in a subclass": "import os\nclass A:\n    def __init_subclass__(c): os._exit(1)\nclass B(A): pass",
    "in a default": "import os\ndef f(x=os._exit(1)): pass",
    "in an annotation": "import os\ndef f(x: os._exit(1)): pass",
    "in a comprehension": "import os\nx = [os._exit(1) for _ in (1,)]",
    "in a text": "import os\nx = f'{os._exit(1)}'",
    "as a key": "import os\nx = sorted([1], key=lambda v: os._exit(v))",
    "as a factory": "import os\nfrom collections import defaultdict\nx = defaultdict(lambda: os._exit(1))[0]",
    "under another name": "from os import _exit as deque\nx = deque(1)",
    "as an operator": "import os\nclass A:\n    def __add__(s, o): os._exit(1)\nx = A() + 1",
    "in an assertion": "import os\nassert not os._exit(1)",
    "around an import": "import os\ntry:\n    import nothing\nexcept ImportError:\n    os._exit(1)",
}

KERNEL = r"""
import builtins, json, os, resource, signal, sys, threading, time
from types import SimpleNamespace
from IPython.core.interactiveshell import InteractiveShell
from labkit import specs
from labkit.exercise_magic import _define

shell = InteractiveShell.instance()
exercise = specs.exercise("04", "blocks_needed")

def state():
    return (
        sorted(os.listdir("/dev/fd")), os.readlink("/dev/fd/1"), os.getcwd(), dict(os.environ), sys.stdout, sys.stderr,
        sys.getswitchinterval(), sys.getrecursionlimit(), sys.gettrace(), threading.active_count(), time.monotonic,
        signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), signal.getitimer(signal.ITIMER_REAL),
        resource.getrlimit(resource.RLIMIT_AS), dict(vars(builtins)),
        open(f"/proc/self/task/{os.getpid()}/children").read(),
        len(sys.modules) > 100,
    )

said = {}
for name, text in json.loads(sys.stdin.read()).items():
    _define(exercise, "04_block_pool", "import math\n", shell)
    before = state()
    _define(exercise, "04_block_pool", text, shell)
    after = state()
    changed = [str(i) for i, (a, b) in enumerate(zip(before, after)) if a != b]
    print(json.dumps([name, changed, shell.user_ns.pop("blocks_needed")(17, 16)]), file=sys.__stderr__, flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at the process through /proc")
def test_no_cell_harms_the_kernel() -> None:
    cells = {name: text + TARGET for name, text in HOSTILE.items()}
    done = subprocess.run(
        [sys.executable, "-c", KERNEL], input=json.dumps(cells), capture_output=True, text=True, timeout=850
    )
    seen = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    assert [name for name, _, _ in seen] == list(HOSTILE), done.stderr[-2000:]
    assert [(name, changed) for name, changed, _ in seen if changed] == []
    assert {answer for _, _, answer in seen} == {2} and done.returncode == 0
    # Each says what it left out: all of them have something.
    assert done.stdout.count("run in the notebook") == len(HOSTILE)
