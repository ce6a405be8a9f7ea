"""PagePlay: a pool, or a page table, to play with: requests are let in, grow and end as buttons are pressed."""

from __future__ import annotations

from dataclasses import dataclass
from traceback import walk_tb
from typing import Any, ClassVar

import traitlets

from labkit import engine, theme
from labkit.errors import DoubleFreeError, LabkitError, PartError
from labkit.observe.changes import COLLECTIONS, block_ids
from labkit.observe.events import EventLog
from labkit.observe.recorder import record
from labkit.simulate.replay import sequence_name
from labkit.widgets.page_table import PageTable, _slots
from labkit.words import blocks, choose, plural

TOKENS = (10, 5, 14, 7, 3, 12, 6, 9, 4, 11)
"""What the requests that wait come with, the same for everybody, and then from the beginning again."""

OPERATIONS = ("admit", "grow", "end", "end_twice", "restart")


@dataclass
class _Request:
    """A request that is in. `holder` is its table, or where there is none the list that the pool gave."""

    name: str
    holder: Any

    def blocks(self) -> list[int]:
        return block_ids(self.holder if isinstance(self.holder, list) else self.holder.blocks)


class PagePlay(PageTable):
    """The page table as a toy: each button is one operation on the parts in use, and the picture shows what it did.

    The parts are the learner's where they have passed, else the reference; the card says whose. What raises is told in
    one sentence. The requests that wait are the same for everybody, so how many are in when one is refused can be
    compared.

    Args:
        num_blocks: blocks in the pool, 1 or more.
        block_size: tokens per block, 1 or more.
        pool: the pool by its name in the lessons, "BlockPool" or "CheckedPool".
        tables: whether each request has a `BlockTable`, so that it can grow by a token; else it holds what
            `allocate` gave.
        admitted: requests that are let in before it is shown.
        title, subtitle: what stands above the picture.
        parts: whose parts; by default those in use now.

    Raises:
        LabkitError: an operation that there is none of.
    """

    _name: ClassVar[str] = "page_play"

    rows = traitlets.List([]).tag(sync=True)  # who is in: name, slot of its colour, what it holds in words
    calls = traitlets.Dict({}).tag(sync=True)  # by operation what it calls, "NAME" for the request
    waits = traitlets.Dict({}).tag(sync=True)  # who is next: name, slot, wants
    said = traitlets.Dict({}).tag(sync=True)  # about the last operation: text, and look: "", "bad"
    tally = traitlets.Unicode("").tag(sync=True)
    whose = traitlets.Unicode("").tag(sync=True)
    done = traitlets.Int(0).tag(sync=True)  # operations so far: the page waits until its own has been counted

    def __init__(
        self,
        num_blocks: int = 12,
        block_size: int = 4,
        *,
        pool: str = "BlockPool",
        tables: bool = False,
        admitted: int = 2,
        title: str = "",
        subtitle: str = "",
        parts: engine.Parts | None = None,
    ) -> None:
        self._parts = parts or engine.Parts()
        self._make_pool, self._pool_name = self._parts.part(pool), pool
        self._make_table = self._parts.part("BlockTable") if tables else None
        self._needed = self._parts.part("blocks_needed")
        self._tokens, self._size, self._admitted = block_size, num_blocks, admitted
        super().__init__(
            EventLog(num_blocks=num_blocks, block_size=block_size if tables else 0),
            title=title or f"{plural(num_blocks, 'block')} to play with",
            subtitle=subtitle,
        )
        named = [pool, *(["BlockTable"] if tables else [])]
        self.whose = " · ".join(f"{name}: {'yours' if name in self._parts.yours else 'reference'}" for name in named)
        self.calls = {
            "admit": "",
            "grow": "append(1)" if tables else "allocate(1)",
            "end": "release()" if tables else "free(its blocks)",
            "end_twice": "",
        }
        self._say("")
        self._restart()
        self._show()

    # ----- what the buttons do ----------------------------------------------------------------------------------

    def do(self, operation: str, name: str = "") -> None:
        """One operation, as its button does it.

        Args:
            operation: "admit" lets the next request in, "grow" gives one a token (without tables: a block) more, "end"
                ends it, "end_twice" gives back what it holds a second time, "restart" begins again.
            name: the request, for "grow", "end" and "end_twice".
        """
        request = next((one for one in self._in if one.name == name), None)
        if operation not in OPERATIONS or (request is None and operation not in ("admit", "restart")):
            raise LabkitError(
                f"{operation!r:.40} of {name!r:.20} is nothing to play: choose one of {', '.join(OPERATIONS)}, of a "
                f"request that is in."
            )
        self._say("")
        try:
            if operation == "admit":
                self._admit()
            elif operation == "restart":
                self._restart()
            elif request is not None:
                getattr(self, f"_{operation}")(request)
        except KeyboardInterrupt:
            self._say("It was interrupted before it came back.", "bad")
        except Exception as error:  # whatever a part of the learner's does wrong is told in the page
            self._say(self._told(error), "bad")
        self._show(self.done + 1)

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("type") == "do":
            self.do(str(content.get("operation")), str(content.get("name") or ""))

    def _restart(self) -> None:
        self._source = self._log = EventLog(**self._log_meta())
        self._pool = self._make_pool(self._size)
        self._in: list[_Request] = []
        self._came = self._ended = self._refused = self._most = 0
        for _ in range(self._admitted):
            self._admit()

    def _log_meta(self) -> dict[str, int]:
        return {"num_blocks": self._size} | ({"block_size": self._tokens} if self._make_table else {})

    def _recorded(self, name: str = "") -> Any:
        return record(self._pool, self._log, name)

    def _next(self) -> tuple[str, int]:
        return sequence_name(self._came), TOKENS[self._came % len(TOKENS)]

    def _admit(self) -> None:
        name, tokens = self._next()
        wanted = int(self._needed(tokens, self._tokens))
        if self._make_table:
            holder = record(self._make_table(self._recorded(), self._tokens), self._log, name)
            admitted = holder.append(tokens)
        else:
            holder = self._taken(name, wanted)  # a list of our own: it will grow, and the answer is the pool's
            admitted = holder is not None
        if not admitted:
            self._refused += 1
            self._say(f"Full: {name} wants {plural(wanted, 'block')}, and {self._free()}. {self._race()}")
            return
        self._in.append(_Request(name, holder))
        self._came += 1
        self._most = max(self._most, len(self._in))
        shared = self._shared()
        if shared:
            self._say(f"Two requests write into {blocks(shared)} now, and nobody was told.", "bad")

    def _grow(self, request: _Request) -> None:
        if self._make_table:
            grown = request.holder.append(1)
        else:
            more = self._taken(request.name, 1)
            grown = more is not None
            request.holder += more or []
        if not grown:
            self._refused += 1
            self._say(f"Full: {request.name} finds no block free, and keeps what it has. End somebody to go on.")

    def _end(self, request: _Request) -> None:
        held = request.blocks()
        if self._make_table:
            request.holder.release()
        else:
            self._recorded(request.name).free(held)
        self._in.remove(request)
        self._ended += 1

    def _end_twice(self, request: _Request) -> None:
        """Cancelled by its user and by a timeout: what it held goes back two times."""
        held = request.blocks()
        self._end(request)
        try:
            self._recorded(request.name).free(held)
        except DoubleFreeError as error:
            self._say(f"Refused the second time. {self._told(error)}")
            return
        real, counted = self._size - len({block for one in self._in for block in one.blocks()}), self._pool.num_free
        same = blocks(held)
        if counted > real:
            self._say(
                f"{same.capitalize()} came back twice, and no error was raised: num_free says {counted}, where "
                f"{real} of {self._size} are free. Let more in until two of them get the same block.",
                "bad",
            )
        else:
            self._say(
                f"{same.capitalize()} came back twice, and no error was raised. This pool knows each free block once, "
                "so num_free is still right; but whoever made the mistake learns nothing of it."
            )

    def _taken(self, name: str, wanted: int) -> list[int] | None:
        """So many blocks for a request, None where there are none."""
        answer = self._recorded(name).allocate(wanted)
        if answer is not None and not (isinstance(answer, COLLECTIONS) and len(answer) == wanted):
            raise PartError(
                self._pool_name, f"allocate({wanted}) answered {answer!r:.60}, which is no list of {wanted}"
            )
        return None if answer is None else block_ids(answer)

    # ----- in words ---------------------------------------------------------------------------------------------

    def _free(self) -> str:
        free = self._pool.num_free
        return f"{free} {choose(free, 'is', 'are')} free"

    def _shared(self) -> list[int]:
        seen: dict[int, int] = {}
        for one in self._in:
            for block in one.blocks():
                seen[block] = seen.get(block, 0) + 1
        return sorted(block for block, times in seen.items() if times > 1)

    def _race(self) -> str:
        """How many fitted, beside a memory that reserves the longest for each, as lesson 03 had it."""
        if shared := self._shared():
            return (
                f"And {blocks(shared)} {choose(len(shared), 'has', 'have')} two owners: this race counts for nothing."
            )
        longest = max(TOKENS)
        reserved = self._size * self._tokens // longest
        return (
            f"{plural(len(self._in), 'request')} {choose(len(self._in), 'is', 'are')} in. A memory that reserves "
            f"{longest} slots for each, the longest that comes, would hold {reserved}."
        )

    def _told(self, error: Exception) -> str:
        """An error as one sentence, with the name of the learner's part that raised it."""
        from labkit.grading.source import filename

        if isinstance(error, PartError):
            return str(error)
        cells = {filename(*where): name for name, where in self._parts.yours.items()}
        frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
        mine = next((cells[name] for name in reversed(frames) if name in cells), "")
        first = (str(error).splitlines() or [""])[0][:200].rstrip(". ")
        who = f"Your {mine}" if mine else f"The course's {self._pool_name}"
        return f"{who} raised {type(error).__name__}{f': {first}' if first else ''}."

    def _say(self, text: str, look: str = "") -> None:
        self._said = {"text": text, "look": look}

    def _show(self, done: int = 0) -> None:
        name, tokens = self._next()
        wanted = int(self._needed(tokens, self._tokens))
        data = self.log_data()
        with self.hold_sync():
            self.labels, self.names, self.slots = data.labels, data.names, _slots(data.names)
            self.records = data.records.tobytes()
            self.rows = [
                {"name": one.name, "slot": theme.sequence_slot(one.name), "holds": self._holds(one)} for one in self._in
            ]
            call = f"append({tokens})" if self._make_table else f"allocate({wanted})"
            self.calls = {**self.calls, "admit": call}
            self.waits = {"name": name, "slot": theme.sequence_slot(name), "tokens": plural(tokens, "token")}
            self.tally = (
                f"in {len(self._in)} · most at once {self._most} · ended {self._ended} · refused {self._refused} · "
                f"num_free {self._pool.num_free}"
            )
            self.said = self._said
            self.done = done

    def _holds(self, one: _Request) -> str:
        return plural(one.holder.num_tokens, "token") if self._make_table else plural(len(one.holder), "block")

    def summary(self) -> str:
        return f"PagePlay({self._size} blocks of {self._tokens}; {self.whose}; {self.tally})"
