"""The `labkit` command. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from labkit.errors import LabkitError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A hands-on course on KV-cache paging: notebooks, checks, widgets and the engine behind them.",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Drawable = Annotated[
    str,
    typer.Argument(
        help="A trace file; or what is drawn: chats, conversations, poisson, bursty, diurnal, long-tail, agents."
    ),
]
Cache = Annotated[str, typer.Option(help="hash, radix, none; auto: radix where prompts have ids.")]
Card = Annotated[str, typer.Option(help="L4, A100, H100, H200.")]
Model = Annotated[str, typer.Option(help="A model whose cost is known.")]
BUDGET, CHUNK = "Tokens of a step at most.", "Tokens of a prompt in a step at most."
Budget = Annotated[int, typer.Option(help=BUDGET)]
Watermark = Annotated[float, typer.Option(help="Share of blocks that stays free for those who run.")]
Speed = Annotated[float, typer.Option(help="How much faster requests come than in the trace.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="A column of a file of your own: arrival=NAME, input=NAME, output=NAME, block_ids=NAME."),
]
Unit = Annotated[str | None, typer.Option(help="Of the file's times, where it is asked for: s, ms, us, ns.")]
First = Annotated[int | None, typer.Option(help="The first so many.")]


@app.command()
def lab() -> None:
    """Open the course in JupyterLab at lesson 00."""
    from labkit.lab import run

    raise typer.Exit(run())


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine has, what that changes in the course, and how to mend it."""
    from labkit.doctor import run

    raise typer.Exit(run(json))


@app.command()
def lessons(json: Json = False) -> None:
    """List the lessons with their exercises."""
    from labkit.grading.commands import lessons as run

    raise typer.Exit(run(json))


@app.command()
def check(
    lesson: Annotated[str, typer.Argument(help='A lesson: "04", "block_pool" or "04_block_pool".')],
    file: Annotated[Path | None, typer.Option("--file", help="Grade the code in this Python file or notebook.")] = None,
    solved: Annotated[bool, typer.Option("--solved", help="Grade the solved notebook.")] = False,
    json: Json = False,
) -> None:
    """Grade every exercise of a lesson; without options, what you last ran in the notebook."""
    from labkit.grading.commands import check as run

    raise typer.Exit(run(lesson, file, solved, json))


@app.command()
def reset(
    lesson: Annotated[str, typer.Argument(help="The lesson to forget.")],
    exercise: Annotated[str | None, typer.Argument(help="Only this exercise.")] = None,
) -> None:
    """Forget what you did in a lesson, or in one exercise of it."""
    from labkit.grading.progress_commands import reset as run

    raise typer.Exit(run(lesson, exercise))


@app.command()
def export(
    notebook: Annotated[Path, typer.Argument(help="A notebook of yours, saved in JupyterLab.")],
    to: Annotated[Literal["html"], typer.Option("--to", help="The form: one HTML page.")] = "html",
    output: Annotated[
        Path | None, typer.Option("--output", help="The file to write; beside the notebook without.")
    ] = None,
) -> None:
    """Write a notebook as one page that shows its widgets without kernel and network."""
    from labkit.export import export as run

    done = run(notebook, to, output)
    typer.echo(f"written    {done.path} ({done.size / 1024:,.0f} KiB; widgets: {done.widgets})")
    if done.lost:
        typer.echo(
            f"Widgets without a saved state, which stand as text or picture: {done.lost}. To have them too, run their "
            "cells in JupyterLab, save, and export again."
        )


@app.command()
def tournament(
    file: Annotated[Path | None, typer.Option("--file", help="A Python file with a class MyPolicy.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="A trace file with hash_ids.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the first trace; fresh ones without.")] = None,
    json: Json = False,
) -> None:
    """Rank your eviction policy against the built-in ones and Belady's, on traces that it has not seen."""
    from labkit.grading.tournament_command import run

    raise typer.Exit(run(file, trace, seed, json))


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What the model is asked.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the answer at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token, 1 draws as the model says.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends the answer; once or more.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, or tiny; the course's model without.")] = None,
    json: Json = False,
) -> None:
    """Answer a prompt with the engine, on the parts that are yours so far."""
    from labkit.serving.generate_command import run

    raise typer.Exit(run(prompt, max_tokens, temperature, seed=seed, stop=tuple(stop or ()), model=model, json=json))


@app.command()
def serve(
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, or tiny; the course's model without.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    api_key: Annotated[str, typer.Option(envvar="LABKIT_API_KEY", help="What callers must show.")] = "",
    grace: Annotated[float, typer.Option(min=0, help="Seconds for what runs when it is told to stop.")] = 30.0,
    num_blocks: Annotated[int | None, typer.Option(min=1, help="Of KV cache; room for 16,384 tokens without.")] = None,
    kv_bytes: Annotated[int | None, typer.Option("--kv-bytes", min=1, help="Of KV cache, in their place.")] = None,
    block_size: Annotated[int, typer.Option(min=1, help="Tokens a block.")] = 16,
    token_budget: Annotated[int, typer.Option("--token-budget", "--max-num-batched-tokens", help=BUDGET)] = 512,
    seats: Annotated[int, typer.Option("--seats", "--max-num-seqs", help="Requests that run at most.")] = 64,
    longest_chunk: Annotated[
        int | None, typer.Option("--longest-chunk", "--long-prefill-token-threshold", help=CHUNK)
    ] = None,
    queue: Annotated[
        str, typer.Option("--queue", "--scheduling-policy", help="fcfs, priority, shortest, longest-prefix.")
    ] = "fcfs",
    victim: Annotated[str, typer.Option(help="last, priority, least-computed, most-blocks.")] = "last",
    host_blocks: Annotated[int, typer.Option(min=0, help="Of host memory, to which victims are swapped.")] = 0,
    watermark: Watermark = 0.0,
    reserve_to_max: Annotated[bool, typer.Option(help="A request starts only where its longest has room.")] = False,
    latency_target: Annotated[float | None, typer.Option(help="Refuse who would wait for more seconds.")] = None,
    most_queued: Annotated[
        int | None, typer.Option("--most-queued", "--max-num-queued-reqs", help="Requests that wait at most.")
    ] = 256,
    most_queued_tokens: Annotated[
        int | None, typer.Option("--most-queued-tokens", "--max-num-queued-tokens", help="Tokens that wait at most.")
    ] = None,
) -> None:
    """Serve a model to OpenAI's clients, with the engine of the course, on the parts that are yours so far."""
    from labkit.serving.serve import run

    config: dict[str, Any] = dict(token_budget=token_budget, seats=seats, longest_chunk=longest_chunk, queue=queue)
    config |= dict(victim=victim, preemption="swap" if host_blocks else "recompute", host_blocks=host_blocks)
    config |= dict(watermark=watermark, reserve_to_max=reserve_to_max, latency_target_s=latency_target)
    config |= dict(most_queued=most_queued, most_queued_tokens=most_queued_tokens)
    run(model, host, port, api_key, grace, num_blocks, kv_bytes, block_size, **config)


@app.command()
def simulate(
    trace: Drawable,
    blocks: Annotated[int | None, typer.Option(help="Of KV cache; as many as fit on the card without.")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Whose turn it is: fcfs, priority, shortest, longest-prefix. Or what is evicted: LRU, ..."),
    ] = None,
    cache: Cache = "auto",
    block_size: Annotated[int | None, typer.Option(help="Tokens a block; as the trace's ids, or 16.")] = None,
    card: Card = "H100",
    model: Model = "Llama-3.1-8B",
    token_budget: Budget = 8192,
    seats: Annotated[int, typer.Option(help="Requests that run at most.")] = 256,
    longest_chunk: Annotated[int | None, typer.Option(help=CHUNK)] = None,
    victim: Annotated[str, typer.Option(help="last, priority, least-computed, most-blocks.")] = "last",
    watermark: Watermark = 0.0,
    full_sequence: Annotated[bool, typer.Option(help="A prompt starts only where all of it has room.")] = True,
    reserve_to_max: Annotated[bool, typer.Option(help="A request starts only where its longest has room.")] = False,
    latency_target: Annotated[float | None, typer.Option(help="Refuse who would wait for more seconds.")] = None,
    most_queued: Annotated[int | None, typer.Option(help="Requests that wait at most.")] = None,
    ttft: Annotated[float, typer.Option(help="Goodput: seconds to the first token at most.")] = 2.0,
    tpot: Annotated[float, typer.Option(help="Goodput: seconds per token after that at most.")] = 0.1,
    speed: Speed = 1.0,
    column: Columns = None,
    unit: Unit = None,
    requests: First = None,
    seed: Annotated[int, typer.Option(help="Of a workload that is drawn.")] = 0,
    window: Annotated[float | None, typer.Option(help="Seconds to a row of figures; about 300 rows without.")] = None,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the figures over time: png, svg, pdf.")] = None,
) -> None:
    """Serve a trace by a simulated clock: the scheduler and cache of the course, on a card by its data sheet."""
    from labkit.simulate.metrics import Target
    from labkit.simulate.simulate_command import run

    scheduler: dict[str, Any] = dict(token_budget=token_budget, seats=seats, longest_chunk=longest_chunk, victim=victim)
    scheduler |= dict(watermark=watermark, full_sequence=full_sequence, reserve_to_max=reserve_to_max)
    scheduler |= dict(latency_target_s=latency_target, most_queued=most_queued)
    more: dict[str, Any] = dict(blocks=blocks, cache=cache, block_size=block_size, card=card, model=model, speed=speed)
    more |= dict(requests=requests, seed=seed, window_s=window, unit=unit)
    raise typer.Exit(run(trace, policy or [], column or [], scheduler, Target(ttft, tpot), json, plot, **more))


@app.command()
def report(
    trace: Drawable,
    out: Annotated[Path, typer.Option("--out", help="The page: .html, .ipynb, or .pdf.")] = Path("report.html"),
    card: Card = "H100",
    model: Model = "Llama-3.1-8B",
    share: Annotated[float, typer.Option(help="Of the requests, how many must meet the target.")] = 0.95,
    ttft: Annotated[float, typer.Option(help="The target: seconds to the first token at most.")] = 2.0,
    tpot: Annotated[float, typer.Option(help="The target: seconds per token after that at most.")] = 0.1,
    most_cards: Annotated[int, typer.Option(help="Cards that are tried at most.")] = 64,
    blocks: Annotated[int | None, typer.Option(help="Of a card; as many as fit without.")] = None,
    cache: Cache = "auto",
    token_budget: Budget = 8192,
    seats: Annotated[int, typer.Option(help="Requests that run on a card at most.")] = 256,
    watermark: Watermark = 0.0,
    speed: Speed = 1.0,
    column: Columns = None,
    unit: Unit = None,
    requests: First = None,
    own_work: Annotated[bool, typer.Option("--own-work", help="With what you wrote in lesson 20's form.")] = False,
) -> None:
    """Write what a workload is, what it needs under a target, and what happens with less memory."""
    from labkit.reports.command import run

    more: dict[str, Any] = dict(blocks=blocks, cache=cache, card=card, model=model, speed=speed, requests=requests)
    scheduler: dict[str, Any] = dict(token_budget=token_budget, seats=seats, watermark=watermark)
    run(trace, out, column or [], scheduler, (ttft, tpot), share, most_cards, own_work, unit=unit, **more)


@app.command()
def watch(
    place: Annotated[str, typer.Argument(help="A server's metrics (http://HOST:PORT/metrics), or a recording.")],
    every: Annotated[float | None, typer.Option("--every", min=0, help="Seconds between two questions [2].")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="A new file that keeps what comes.")] = None,
    seconds: Annotated[float, typer.Option("--for", min=0, help="How many seconds to watch.")] = float("inf"),
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that an answer may take.")] = 5.0,
    header: Annotated[list[str] | None, typer.Option("--header", help="'NAME: VALUE' to send along.")] = None,
    events: Annotated[str | None, typer.Option("--events", help="vLLM's KV events, tcp://HOST:PORT.")] = None,
    sample: Annotated[float | None, typer.Option("--sample", help="vLLM's --kv-cache-metrics-sample [0.01].")] = None,
    json: Json = False,
) -> None:
    """Watch a server: vLLM, SGLang or labkit's own exporter; each figure says what it is worth."""
    from labkit.observe.watch_command import run

    done = run(
        place,
        every_s=every,
        record=record,
        for_s=seconds,
        timeout_s=timeout,
        headers=header or [],
        sample=sample,
        events=events,
        as_json=json,
    )
    raise typer.Exit(done)


@app.command()
def drill(
    name: Annotated[str | None, typer.Argument(help="Which one; one drawn by chance without.")] = None,
    endless: Annotated[bool, typer.Option("--endless", help="One after the other, until you have enough.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of its numbers; fresh ones without.")] = None,
) -> None:
    """Say what is wrong with a server by its board alone, and mend it."""
    from labkit.drills.command import run

    raise typer.Exit(run(name, endless, seed))


GROUPS = {
    "model": ("labkit.serving.commands", "Fetch the model, or say what is there."),
    "quiz": ("labkit.grading.quiz_commands", "Check quiz files, or grade answers."),
    "progress": ("labkit.reports.certificate_command", "Show, export or import your progress; the certificate."),
    "stress": ("labkit.bench.stress_commands", "Random operations against a model, until one disagrees."),
    "bench": ("labkit.bench.bench_commands", "How fast the course's own code is on this machine."),
    "kernels": ("labkit.kernels.commands", "The Triton kernels, and what a GPU compiler makes of them."),
    "author": ("labkit.authoring.commands", "Build and check the notebooks from their masters."),
}
"""Groups of commands that live beside what they call: name -> (module with an `app`, help)."""


def main() -> None:
    """Entry point: errors that labkit raises on purpose end in one sentence, not in a traceback."""
    import importlib

    asked = next((a for a in sys.argv[1:] if not a.startswith("-")), "")
    for name, (module, text) in GROUPS.items():
        # Only the group that is asked for is imported, so that every other command starts at once.
        group = importlib.import_module(module).app if asked == name else typer.Typer(no_args_is_help=True)
        app.add_typer(group, name=name, help=text)
    try:
        app()
    except LabkitError as error:
        print(f"labkit: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
