"""Real kernels: two that write progress at once, one that dies in the middle of a check, one that is interrupted."""

from __future__ import annotations

import time

import psutil
import pytest

from labkit.exercise_magic import INTERRUPTED
from labkit.grading.progress import Progress

START = 'from labkit.lesson import start\nstart("04")'
SLOW = '''\
%%exercise BlockPool
import time


class BlockPool:
    """Right, and slow enough to be interrupted."""

    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks))[::-1]

    @property
    def num_free(self):
        return len(self._free)

    def allocate(self, n):
        time.sleep(0.2)
        return [self._free.pop() for _ in range(n)] if n <= len(self._free) else None

    def free(self, blocks):
        time.sleep(0.2)
        self._free.extend(blocks)
'''


def test_two_kernels_write_progress_at_once(kernel, prepared_home, exercise_text):
    first, second = kernel(), kernel()
    for one in (first, second):
        one.run(START)
    write = """
from labkit.grading.progress import Progress
for i in range({n}):
    Progress().record_attempt("04_block_pool", "{name}", "fail", "rule", 0.01, f"attempt {{i}}")
    Progress().save_answer("04_block_pool", "{name}-q", i, True, 1.0)
print("wrote")
"""
    requests = [
        (first, first.send(write.format(n=60, name="BlockPool"))),
        (second, second.send(write.format(n=60, name="blocks_needed"))),
    ]
    assert all("wrote" in one.wait(request) for one, request in requests)
    checks = [
        (first, first.send(exercise_text("04", "BlockPool", solved=True))),
        (second, second.send(exercise_text("04", "blocks_needed", solved=True))),
    ]
    assert all("passed" in one.wait(request) for one, request in checks)
    progress = Progress(prepared_home)
    done = progress.summary()["lessons"]["04_block_pool"]
    for name in ("BlockPool", "blocks_needed"):
        assert done["exercises"][name]["attempts"] == 61
        assert done["exercises"][name]["passed"]
        assert progress.answers("04_block_pool")[f"{name}-q"]["attempts"] == 60


def test_a_kernel_killed_in_the_middle_of_a_check_harms_nothing(kernel, prepared_home, exercise_text, no_children):
    first = kernel()
    first.run(START)
    first.run(exercise_text("04", "blocks_needed", solved=True))
    kept = Progress(prepared_home).passed("04_block_pool", "blocks_needed")
    assert kept and "def blocks_needed" in kept

    first.send(SLOW)
    time.sleep(1.5)
    workers = [child.pid for child in psutil.Process(first.pid).children(recursive=True)]
    assert workers, "the check runs in a process of its own"
    first.kill()
    no_children(workers)

    progress = Progress(prepared_home)
    assert progress.passed("04_block_pool", "blocks_needed") == kept
    assert progress.passed("04_block_pool", "BlockPool") is None
    second = kernel()
    second.run(START)
    assert "passed" in second.run(exercise_text("04", "BlockPool", solved=True))
    assert Progress(prepared_home).passed("04_block_pool", "BlockPool")


ENDLESS = """\
%%exercise blocks_needed
import subprocess
from pathlib import Path


def begun():
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    Path({file!r}).write_text(str(child.pid) + "\\n")


def blocks_needed(num_tokens, block_size):
    begun()
    while True:
        {inside}


{top}
"""


@pytest.mark.parametrize(
    ("inside", "top"),
    [
        ("pass", ""),
        ("pass", "blocks_needed(1, 1)"),
        ("try:\n            while True: pass\n        except BaseException: pass", ""),
    ],
    ids=["in a call", "at the top level", "swallowing every signal"],
)
def test_an_interrupt_ends_a_check_with_all_that_it_started(
    kernel, prepared_home, exercise_text, no_children, tmp_path, inside, top
):
    file = tmp_path / "begun"
    first = kernel()
    first.run(START)
    request = first.send(ENDLESS.format(file=str(file), inside=inside, top=top))
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < deadline, "the code under check never began"
        time.sleep(0.02)
    started = [child.pid for child in psutil.Process(first.pid).children(recursive=True)]
    assert int(file.read_text()) in started
    first.manager.interrupt_kernel()
    assert first.wait(request).strip() == INTERRUPTED
    no_children(started)
    assert not Progress(prepared_home).summary()["lessons"], "an interrupted check is no attempt"
    assert "passed" in first.run(exercise_text("04", "blocks_needed", solved=True))
