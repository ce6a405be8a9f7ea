"""The process in which somebody's eviction policy runs: it is told what happens and names victims, and has no future.

It has the environment and the supervisor of a sandbox (`labkit.sandbox`), but unlike a sandbox's job it answers many
times. Started as `python -P -m labkit.simulate.policy_worker`. One line of JSON on standard input is the job;
each line after it is what has happened since the last victim, and asks for another. The trace, its seed and its file
are known to the other process alone. Lines out: {"victim": block} or {"refused": reason}.

Before the text runs, the process gives up what it could look around with (`give_up`): no file can be opened, so neither
/proc nor the trace's file, nor any module that is not loaded yet; no process can be started; processor time and memory
are limited. These are limits of the operating system, which hold whatever Python code is tricked into. Where there are
none, on Windows, a policy is trusted. A policy could still send signals as the user who runs the tournament; somebody
else's belongs into a container.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from labkit.errors import PolicyError
from labkit.simulate.policy_bounds import MODULES, OWN_PARTS, memory_growth, names_lru, reaches_beyond

FILENAME = "<policy>"
MEMORY_BYTES = 2 << 30


class Refused(Exception):
    """The policy broke a rule; the message is the reason."""


class Host:
    """Runs one policy.

    Args:
        text: Python that defines the class `target`.
        target: the class. Its constructor takes the number of blocks, or nothing.
        num_blocks: blocks of the cache.
        prelude: import lines to run before the text.
        parts: what `from labkit.mine import NAME` gives, by name, as text; the course's own LRU where there is none.

    Raises:
        Refused: with the reason; so does every method.
    """

    def __init__(
        self, text: str, target: str, num_blocks: int, prelude: str = "", parts: Mapping[str, str] | None = None
    ) -> None:
        self.target = target
        namespace = self._run("the text", lambda: _load(text, prelude, parts or {}))
        cls = namespace.get(target)
        if not isinstance(cls, type):
            raise Refused(f"The text does not define a class {target}: keep the name of the stub.")
        code = getattr(getattr(cls, "__init__"), "__code__", None)  # noqa: B009  (any class)
        takes = code is not None and code.co_argcount > 1
        self.make: Callable[[int], Any] = lambda blocks: cls(blocks) if takes else cls()
        self.policy = self._run(f"{target}()", lambda: self.make(num_blocks))
        for name in ("add", "remove", "evict"):
            if not callable(getattr(self.policy, name, None)):
                raise Refused(f"{target} has no method {name}, which the cache calls: write it.")

    def tell(self, event: str, *args: Any) -> None:
        """Something has happened: stored(blocks, depth), hit(blocks), released(blocks), add(block), remove(block)."""
        method = getattr(self.policy, event, None)
        if method is not None:
            self._run(event, lambda: method(*args))

    def victim(self) -> int:
        """Whom it would evict."""
        block = self._run("evict", self.policy.evict)
        if type(block) is not int:
            raise Refused(f"{self.target}.evict() returned {block!r:.60}: it returns a block's number.")
        return block

    def check_memory(self) -> None:
        """Whether another policy of the class keeps more and more."""
        growth = self._run("a long run", lambda: memory_growth(self.make))
        if growth.sentence:
            raise Refused(f"{self.target} keeps more and more. {growth.sentence}")

    def _run(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Refused:
            raise
        except PolicyError as error:
            raise Refused(f"{self.target}: {error}") from None
        except NotImplementedError:
            raise Refused(f"{what} is not written yet: it ends in NotImplementedError.") from None
        except SyntaxError as error:
            raise Refused(f"Python cannot read line {error.lineno}: {error.msg}.") from None
        except MemoryError:
            raise Refused(f"{self.target} ran out of memory in {what}: keep less.") from None
        except BaseException as error:
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__, -30) if f.filename == FILENAME]
            where = f" in line {lines[-1]}" if lines else ""
            raised = f"{type(error).__name__}{where}, in {what}{_message(error)}"
            raise Refused(f"{self.target} raised {raised}.") from None


def _load(text: str, prelude: str, parts: Mapping[str, str]) -> dict[str, Any]:
    """The names that a policy's text defines."""
    builds_on_lru = names_lru(text)
    own = parts.get("LRU") if builds_on_lru else None
    for source, whose in ((text, ""), (own or "", "your LRU")):
        if sentence := reaches_beyond(source, whose):
            raise Refused(sentence)
    mine = sys.modules[OWN_PARTS] = ModuleType(OWN_PARTS)
    mine.__dict__["LRU"] = importlib.import_module("labkit.cache.eviction").LRU
    if own is not None:
        mine.__dict__["LRU"] = _execute(own, prelude)["LRU"]
    return _execute(text, prelude)


def _execute(text: str, prelude: str) -> dict[str, Any]:
    module = sys.modules["labkit_policy"] = ModuleType("labkit_policy")  # dataclasses look their module up there
    exec(compile(prelude, "<prelude>", "exec", dont_inherit=True), module.__dict__)
    exec(compile(text, FILENAME, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _message(error: BaseException) -> str:
    """What an error of Python's own says, as the end of a sentence; other errors could say anything."""
    if type(error).__module__ != "builtins" or not all(type(arg) in (str, int, float) for arg in error.args):
        return ""
    return f": {error}"[:160].rstrip(".")


def give_up(seconds: float) -> None:
    """Give up files, processes, and all but `seconds` of processor time; what is open stays open."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    for limit, value in (
        (resource.RLIMIT_CPU, most),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):
            continue  # this system has no such limit, or a lower one


def main() -> None:
    """Serve one policy until the end of standard input."""
    lines, out = sys.stdin, os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)
    job = json.loads(lines.readline())
    for name in MODULES:
        importlib.import_module(name)
    give_up(job.pop("seconds"))

    def say(**answer: Any) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    try:
        check_memory = job.pop("check_memory")
        host = Host(**job)
        if check_memory:
            host.check_memory()
        say(ready=True)
        for line in lines:
            for event in json.loads(line):
                host.tell(*event)
            say(victim=host.victim())
    except Refused as refused:
        say(refused=str(refused))
    out.flush()
    os._exit(0)  # threads and atexit hooks of the policy must not hold the process


if __name__ == "__main__":
    main()
