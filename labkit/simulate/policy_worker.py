"""The process in which somebody's eviction policy runs: it is told what happens and names victims, and has no future.

Started as `python -P -m labkit.simulate.policy_worker`. One line of JSON on standard input is the job; each line after
it is what has happened since the last victim and, at its end, what is wanted: another victim, or the final count. The
trace, its seed and its file are known to the other process alone. Lines out: {"victim": block} or {"refused": reason}.

The policy's text is held to the rules of `labkit.simulate.policy_meter`, which count its operations. Behind them stands
an audit hook: whoever gets around the rules still cannot open a file, list a folder, start a process, or look through
the collector's objects.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from labkit.errors import PolicyError
from labkit.simulate.policy_meter import ALLOWED_MODULES, FILENAME, Meter, TooMuch, load, state_size

OPERATIONS = 30
"""Operations that a policy may spend for each block that it is told of or asked for, on the average so far."""

HEAD_START = 20_000
"""Operations that it may be ahead of that."""

THINGS = 32
"""Things that it may keep (`state_size`) for each block of the cache, beside THINGS_AT_LEAST."""

THINGS_AT_LEAST = 2_000

_WATCHED = (
    "open", "os.", "gc.", "socket.", "subprocess.", "ctypes.", "shutil.", "mmap.", "pty.", "winreg.", "tempfile.",
    "glob.", "sqlite3.", "urllib.", "http.", "sys.settrace", "sys.setprofile", "sys._current_frames",
)  # fmt: skip


class Refused(BaseException):
    """The policy broke a rule; the message is the reason.

    Attributes:
        rule: "operations", "state", "reach" (out of the policy), "victim" (no block), "unwritten" or "raised".
        short: the reason in two or three words, or "".
    """

    def __init__(self, reason: str, rule: str = "raised", short: str = "") -> None:
        super().__init__(reason)
        self.rule = rule
        self.short = short


class Host:
    """Runs one policy and keeps its account.

    Args:
        text, prelude, parts: see `policy_meter.load`.
        target: the class that `text` defines.
        num_blocks: blocks of the cache; handed to the class if its constructor takes anything.

    Raises:
        Refused: with the reason.
    """

    def __init__(self, text: str, target: str, num_blocks: int, prelude: str = "", parts: dict[str, str] | None = None,
                 guard: Guard | None = None) -> None:
        self.target = target
        self.num_blocks = num_blocks
        self.meter = Meter(HEAD_START)
        self.told = 0  # blocks that it was told of or asked for
        self.victims = 0
        self.guard = guard or Guard()
        self.namespace: dict[str, Any] = {}
        self.namespace = self._run("the text", lambda: load(text, self.meter, prelude, parts))
        if not isinstance(self.namespace.get(target), type):
            raise Refused(f"The text does not define a class {target}: keep the name of the stub.")
        self.call = self.namespace["__call__"]  # counts also what is not of this text, such as the course's LRU
        cls = self.namespace[target]
        takes = cls.__init__ is not object.__init__ and getattr(cls.__init__, "__code__", None) is not None \
            and cls.__init__.__code__.co_argcount > 1  # fmt: skip
        self.policy = self._run(f"{target}()", lambda: cls(num_blocks) if takes else cls())
        for name in ("add", "remove", "evict"):
            if not callable(getattr(self.policy, name, None)):
                raise Refused(f"{target} has no method {name}, which the cache calls: write it.")

    def tell(self, event: str, *args: Any) -> None:
        """Something has happened: stored(blocks, depth), hit(blocks), released(blocks), add(block), remove(block)."""
        self._earn(len(args[0]) if isinstance(args[0], list) else 1)
        method = getattr(self.policy, event, None)
        if method is not None:
            self._run(event, lambda: self.call(method, *args))

    def victim(self) -> int:
        """Whom it would evict."""
        self._earn(1)
        self.victims += 1
        block = self._run("evict", lambda: self.call(self.policy.evict))
        if type(block) is not int:
            raise Refused(f"{self.target}.evict() returned {block!r:.60}: it returns a block's number.", "victim")
        if self.victims % (4 * self.num_blocks) == 0:
            self.check_state()
        return block

    def check_state(self) -> int:
        """How many things it keeps; refused where they are too many."""
        own = {key: value for key, value in self.namespace.items() if not key.startswith("__")}
        things, most = state_size([self.policy, own]), THINGS * self.num_blocks + THINGS_AT_LEAST
        if things > most:
            raise Refused(
                f"{self.target} keeps {things:,} things after {self.victims:,} evictions from a cache of "
                f"{self.num_blocks:,} blocks, and {most:,} are allowed: forget what has been evicted.", "state",
                f"{things:,} things kept",
            )
        return things

    def account(self) -> dict[str, int]:
        """What it has spent in all."""
        things = self.check_state()
        return {"operations": self.meter.spent, "told": self.told, "victims": self.victims, "things": things}

    def _earn(self, blocks: int) -> None:
        self.told += blocks
        self.meter.most = HEAD_START + OPERATIONS * self.told

    def _run(self, what: str, call: Callable[[], Any]) -> Any:
        self.guard.begin()
        try:
            return call()
        except TooMuch:
            raise self._too_much() from None
        except Refused:
            raise
        except PolicyError as error:
            short = re.sub(r"^line \d+ ", "", str(error)).partition(",")[0].rstrip(".")
            raise Refused(f"{self.target}: {error}", "reach", short) from None
        except NotImplementedError:
            raise Refused(f"{what} is not written yet: it ends in NotImplementedError.", "unwritten") from None
        except SyntaxError as error:
            raise Refused(f"Python cannot read line {error.lineno}: {error.msg}.") from None
        except MemoryError:
            raise Refused(f"{self.target} ran out of memory in {what}: keep less.") from None
        except BaseException as error:
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__, -30) if f.filename == FILENAME]
            where = f" in line {lines[-1]}" if lines else ""
            name = type(error).__name__
            raise Refused(f"{self.target} raised {name}{where}, in {what}{_message(error)}.", short=name) from None
        finally:
            reason = self.guard.end()
            if reason:
                raise Refused(
                    f"{self.target} {reason}, and may not: a policy works with what it is told.", "reach", reason
                )
            if self.meter.spent > self.meter.most:  # it caught what should have stopped it
                raise self._too_much()

    def _too_much(self) -> Refused:
        evictions = f"{self.victims:,} eviction{'' if self.victims == 1 else 's'}"
        return Refused(
            f"{self.target} needs more than {OPERATIONS} operations for each block that it is told of or asked for: "
            f"{self.meter.spent:,} for {self.told:,} blocks so far, {evictions} among them. Look for a "
            "loop over all blocks, or for min, sorted, `in` or remove on a list.",
            "operations", f"{self.meter.spent:,} operations",
        )


def _message(error: BaseException) -> str:
    """What an error of Python's own says, as the end of a sentence; other errors could say anything."""
    if type(error).__module__ != "builtins" or not all(type(arg) in (str, int, float) for arg in error.args):
        return ""
    return f": {error}"[:160].rstrip(".")


class Guard:
    """What the audit hook has seen while the policy was running."""

    def __init__(self) -> None:
        self.watching = False
        self.reason = ""

    def begin(self) -> None:
        self.watching, self.reason = True, ""

    def end(self) -> str:
        self.watching = False
        return self.reason

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """For sys.addaudithook."""
        if not self.watching or not event.startswith(_WATCHED):
            return
        if event == "open" and isinstance(args[0], str) and args[0].endswith((".py", ".pyc", ".so", ".pyd")):
            return  # an import
        if event == "open" and str(args[0]).startswith("<"):
            return  # Python looks for the line of an error
        what = f"opens {os.path.basename(str(args[0]))}" if event == "open" else f"calls {event}"
        self.reason = self.reason or what
        raise Refused(what)


def main() -> None:
    """Serve one policy until the end of standard input."""
    lines, out = sys.stdin, os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    job = json.loads(lines.readline())
    _limit_memory()
    for name in ALLOWED_MODULES:
        importlib.import_module(name)  # beforehand: Python lists folders to find them
    guard = Guard()
    sys.addaudithook(guard.hook)

    def say(**answer: Any) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    try:
        host = Host(job["text"], job["target"], job["num_blocks"], job["prelude"], job["parts"], guard)
        say(ready=True)
        for line in lines:
            *events, wanted = json.loads(line)
            for event in events:
                host.tell(*event)
            if wanted == "victim":
                say(victim=host.victim())
            else:
                say(**host.account())
    except Refused as refused:
        say(refused=str(refused))


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    except (ImportError, ValueError, OSError):
        pass  # elsewhere the watchdog of the other process is the limit


if __name__ == "__main__":
    main()
