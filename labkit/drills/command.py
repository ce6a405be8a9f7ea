"""`labkit drill`: a play in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from labkit.drills.board import board_lines
from labkit.drills.catalog import drill
from labkit.drills.course import SEEDS, drawn, playable
from labkit.drills.drill import CAUSES, COSTS
from labkit.drills.evidence import LEAST_WINDOWS, Pin
from labkit.drills.play import MOST_CHANGES, Play
from labkit.drills.score import score
from labkit.errors import DrillError

T = TypeVar("T")


def run(name: str | None, endless: bool, seed: int | None) -> int:
    """Play one drill, or one after the other. Exit status 0; 2 where input ends before the play does.

    Args:
        name: which; one by chance without.
        endless: go on until the player has enough.
        seed: of the numbers, and of what is drawn by chance; a fresh one without.

    Raises:
        DrillError: no such drill.
    """
    console = Console(soft_wrap=True, highlight=False)
    chosen = None if name is None else drill(name)
    seed = int(np.random.default_rng().integers(SEEDS)) if seed is None else seed
    try:
        while True:
            playing = chosen or drawn(seed)
            # The name would tell, so a play that was drawn is shared by its seed alone.
            again = f"labkit drill {playing.name} --seed {seed}" if chosen else f"labkit drill --seed {seed}"
            _debrief(console, _played(console, Play(playing, playable(playing, seed))), again)
            if not endless or not typer.confirm("Another one?", default=True):
                return 0
            seed += 1
    except typer.Abort:
        console.print("\nThe play ends here, without a score.")
        return 2


def _played(console: Console, play: Play) -> Play:
    """All moves of a play, each asked for until it is one."""
    console.rule("A server that somebody else runs")
    console.print(play.headline + "\n")
    for line in board_lines(play.board):
        console.print(escape(line))
    console.print(f"\nA pin is {LEAST_WINDOWS} to {len(play.board) // 2} windows wide: half the board at most.")
    console.print("\nBefore you see any options: what on this board proves the cause, and what rules another one out?")
    play = _until_it_is_one(console, lambda: play.convict(_pin("Pin what convicts")))
    convicted = play
    console.print("\nWhat may be wrong with a server:")

    def rule_out() -> Play:
        rival = _choice(console, "Which of these can you rule out?", CAUSES)
        return convicted.rule_out(_pin("Pin what rules it out"), rival)

    play = _until_it_is_one(console, rule_out)
    case = play.options
    looks = {look.name: look for look in case.looks}
    look = looks[_choice(console, "Where do you look next?", {name: look.what for name, look in looks.items()})]
    causes = {cause: CAUSES[cause] for cause in case.diagnoses} | {"": "It would tell me nothing"}
    meanings = [
        _choice(console, f"What would it mean if it said: “{says}”", causes) or None for says, _ in look.outcomes
    ]
    play = play.look_up(look.name, meanings)
    console.print(f"\n[bold]It says:[/bold] {escape(play.outcome)}")
    del causes[""]
    play = play.diagnose(_choice(console, "What is the cause?", causes))
    return _until_it_is_one(console, lambda: _fixed(console, play))


def _fixed(console: Console, play: Play) -> Play:
    fixes = {fix.name: fix.title for fix in play.options.fixes}
    _menu(console, f"What do you change? Up to {MOST_CHANGES}, with commas; 0 for nothing.", fixes)
    numbers = [part.strip() for part in typer.prompt("Numbers").split(",")]
    names = [] if numbers == ["0"] else [_numbered(number, list(fixes)) for number in numbers]
    return play.fix(names, _choice(console, "And what does that cost?", COSTS))


def _debrief(console: Console, play: Play, again: str) -> None:
    console.rule("Score")
    with console.status("The fix is tried on hidden pairs of runs."):
        got = score(play)
    for part in got.parts:
        console.print(f"{part.points:5.0f} of {part.of:<3} {part.name}: {escape(part.says)}")
    console.print(f"[bold]{got.points:5.0f} of 100[/bold]\n")
    incident = play.drill.incident
    console.print(f"It was [bold]{play.drill.name}[/bold], after a real one: {escape(incident.name)} {incident.link}")
    console.print(escape(incident.told))
    console.print(escape(f"What was done: {incident.done}"))
    console.print(f"\nThe same numbers again: {again}")


# ----- asking -----------------------------------------------------------------------------------------------------


def _until_it_is_one(console: Console, move: Callable[[], T]) -> T:
    while True:
        try:
            return move()
        except DrillError as error:
            console.print(escape(str(error)))


def _pin(question: str) -> Pin:
    """A figure and its windows, as "itl_p99 12-23"."""
    words = typer.prompt(f"{question} (figure first-last, such as running 12-20)").replace("-", " ").split()
    if len(words) != 3 or not all(word.isdecimal() for word in words[1:]):
        raise DrillError("A pin is the name of a figure and two windows: running 12-20, say.")
    return Pin(words[0], int(words[1]), int(words[2]))


def _choice(console: Console, question: str, options: Mapping[str, str]) -> str:
    _menu(console, question, options)
    return _until_it_is_one(console, lambda: _numbered(typer.prompt("Number"), list(options)))


def _menu(console: Console, question: str, options: Mapping[str, str]) -> None:
    console.print(f"\n[bold]{escape(question)}[/bold]")
    for at, text in enumerate(options.values(), start=1):
        console.print(f"{at:3}  {escape(text)}")


def _numbered(number: str, options: list[str]) -> str:
    if not (number.strip().isdecimal() and 1 <= int(number) <= len(options)):
        raise DrillError(f"{number!r:.60} is none of them: give a number from 1 to {len(options)}.")
    return options[int(number) - 1]
