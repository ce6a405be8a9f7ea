# %% [markdown] id="symptom"
# # 20. Capacity and SLOs
#
# A shop has put its assistant on the front page, and three times as many people ask it something. The board has never
# looked better: more tokens per second than ever before, no error, nobody refused, and every answer complete.
#
# But the shop promised its customers a first word within one second, and after it 20 tokens per second. On an ordinary
# day the server keeps that promise 6.4 times per second. Today it keeps it 1.3 times: one customer in six. The faster
# server is the one that serves fewer people well, and nothing on its board says so.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("20")

# %% id="symptom-numbers"
from labkit.specs.capacity_and_slos.scenes import PROMISE, asked, server

print("    per second                           of all  p99 of the")
print("come    end   tokens   served well  served well  first token")
for per_s in (4, 8, 16, 24):
    run = server(blocks=3000).run(trace=asked(per_s))
    total = run.totals
    share = run.metrics.good / run.requests
    print(f"{per_s:4} {total['requests_per_second']:6.1f} {total['tokens_per_second']:8,.0f}",
          f"{total['goodput']:13.1f} {share:12.0%} {total['ttft_p99_s']:10.1f} s")

# %% [markdown] id="play"
# ## Look before you read
#
# The shop's server: Llama 3.1 8B on one card, an H100; 240 requests, 3,000 blocks of memory. The first panel shows what
# came, what ended, and what was served well. Each turn of a knob simulates it again, and compares with the first run.
#
# Turn the load up to 24 and look at *tokens/s* and at *served well*. Go back to 12, and look for the smallest memory
# with which nearly all are served well. How many sizes did you try, and would the same number do tomorrow?

# %% id="play-widget"
from labkit.specs.capacity_and_slos.scenes import KNOBS, OPENED, on_a_board
from labkit.widgets import StormBoard
from labkit.widgets.storm_panels import PROMISE_PANELS

StormBoard(on_a_board(OPENED), "The shop's server", knobs=KNOBS, settings=OPENED,
           rerun=on_a_board, panels=PROMISE_PANELS)

# %% [markdown] id="idea"
# ## A promise is two numbers, and a share
#
# What a server promises is called a service-level objective, SLO. For a language model it mostly has two numbers: the
# time to the first token, **TTFT**, and the time for each token after it, **TPOT**. A request keeps the promise if it
# meets both. How many did, by the second, is **goodput**. Throughput counts tokens, whoever waits for them; goodput
# counts people.
#
# Capacity is then a question with an answer: *the smallest size with which a share of the requests, 99% say, keeps the
# promise under this load.* You write the measure, and the search. Every figure in between comes from a simulation that
# takes a second, on a card by its data sheet.
#
# ### Exercise: `goodput` (8 minutes, difficulty 2, importance 5)
#
# Count the requests that met both targets, and divide by the seconds. Three kinds of requests are easily miscounted:
# those that were refused or never ended, those with an answer of one token, and those that are hidden in a mean.

# %% id="ex-goodput"
# %%exercise goodput
def goodput(requests: list, seconds: float, ttft_s: float, tpot_s: float) -> float:
    """Requests per second that were served well.

    Args:
        requests: all that came, in any order. Each has arrival_s, when it was to be
            sent; first_s and end_s, when its first and its last token came, in
            seconds of the same clock, None where it never came; and tokens, of its
            answer.
        seconds: how long they were served, above 0.
        ttft_s: seconds from its arrival to its first token at most.
        tpot_s: seconds per token after the first one at most, in the mean of this
            request.

    Returns:
        How many met both, by the second.
    """
    # BEGIN SOLUTION
    good = 0
    for request in requests:
        if request.first_s is None or request.end_s is None:
            continue
        waited = request.first_s - request.arrival_s
        took = request.end_s - request.first_s
        if waited <= ttft_s and took <= (request.tokens - 1) * tpot_s:
            good += 1
    return good / seconds
    # END SOLUTION

# %% id="use-goodput"
from labkit.engine import Parts
from labkit.mine import goodput
from labkit.simulate.goodput import outcomes
from labkit.specs.capacity_and_slos.scenes import served
from labkit.words import plural

run = served(asked(8), blocks=3000)  # the server made of your parts; every request is kept
lives = outcomes(run.lives)
whose = "yours" if Parts().is_yours("goodput") else "the reference, until yours passes"
print(f"{whose}: {goodput(lives, run.seconds, 1.0, 0.05):.3f},",
      f"the simulator's: {run.totals['goodput']:.3f}")
for ttft_s, tpot_s in ((1.0, 0.05), (0.1, 0.05), (1.0, 0.02), (10.0, 1.0)):
    good = goodput(lives, run.seconds, ttft_s, tpot_s)
    rate = plural(round(1 / tpot_s), "token")
    print(f"first token within {ttft_s:4} s, then {rate} per second:",
          f"{good:.2f} requests per second")

# %% [markdown] id="after-goodput"
# One run, four promises, four figures. A goodput without its target beside it says nothing, and a target is chosen by
# somebody who knows what is done with the answer: who reads it wants each token in time, and a program that waits for
# all of it looks at the last one only.
#
# ## Percentiles
#
# Before you search for a size by such figures, look at the ones that a board offers instead.

# %% id="mean-and-percentiles"
import numpy as np


def percentile(values, share):  # a wait that somebody had, and nothing between two of them
    return np.percentile(values, share, method="lower")


waits = np.array([life.first_s - life.arrival_s for life in lives])
print(f"first token: mean {waits.mean():.2f} s,",
      ", ".join(f"p{share} {percentile(waits, share):.2f} s" for share in (50, 90, 95, 99)))
print(f"{(waits > waits.mean()).mean():.0%} wait longer than the mean,",
      f"{(waits > 1).mean():.1%} longer than promised")

# %% [markdown] id="after-mean"
# The mean describes nobody: most wait far less, and those who wait more wait much more. A percentile is a person: p95
# is the wait that 95 of 100 do not exceed. And the share that meets the target is a percentile, read the other way.
#
# What one cannot do with percentiles is arithmetic. A board stores a p99 for every window or for every replica, and to
# have one number for the day somebody takes their mean. A `Sketch` is a histogram that stores counts instead:

# %% id="average-of-percentiles"
from labkit.simulate.sketch import Sketch

edges = np.arange(0, run.seconds + 4, 4)
at = np.array([life.arrival_s for life in lives])
windows = [waits[(at >= a) & (at < b)] for a, b in zip(edges, edges[1:])]
windows = [window for window in windows if len(window)]
each = [percentile(window, 99) for window in windows]
print(f"p99 of all {len(waits)} requests:     {percentile(waits, 99):.3f} s")
print(f"mean of the p99 of {len(each)} windows: {np.mean(each):.3f} s,",
      f"the worst window {max(each):.3f} s")

together = Sketch()
for window in windows:
    part = Sketch()
    for wait in window:
        part.add(wait)
    together.merge(part)
exact = percentile(waits, 99)
print(f"p99 of the merged sketches: {together.percentile(99):.3f} s, {exact:.3f} s is exact:",
      f"{abs(together.percentile(99) / exact - 1):.2%} off, {together.error:.1%} at most")

# %% [markdown] id="after-average"
# The mean of the windows' p99 is neither the p99 of the day nor of any window: a quiet window counts as much as a full
# one. What can be added up are **counts**: how many waits fell into each bucket of a histogram. Prometheus sums the
# buckets first and takes the percentile last; the `Sketch` does the same with buckets that grow by a constant
# factor, so that its error is known. The share that kept the promise is a count as well, and that is why the search
# below uses it.

# %% [markdown] id="about-capacity-search"
# ## How much is enough
#
# A measurement costs a simulation, minutes of it for a long trace, and on a real server an afternoon. So: as few as
# possible. Two things are known. What is enough stays enough with more. And small sizes are simulated sooner than large
# ones, if the size is a number of cards.
#
# ### Exercise: `capacity_search` (12 minutes, difficulty 3, importance 5)
#
# What comes back is a size that *was measured* to be enough, while one less was measured not to be; `None` where `most`
# was measured and is not. Never measure twice the answer or more, no size a second time, and none beyond `most`.

# %% id="ex-capacity-search"
# %%exercise capacity_search
def capacity_search(enough, most: int) -> int | None:
    """The smallest size that is enough, by few measurements.

    Args:
        enough: a function. enough(size) measures a size from 1 to most, and takes
            long; it answers True or False. What is enough stays enough with more.
        most: the largest size to think of, 1 or more.

    Returns:
        A size that was measured to be enough, where one less was measured not to
        be (or which is 1). None if most was measured, and is not enough.
    """
    # BEGIN SOLUTION
    low, high = 0, 1
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
    # END SOLUTION

# %% id="how-many-blocks"
from labkit.mine import capacity_search
from labkit.specs.capacity_and_slos.scenes import measured_picture, rush

WANTED, UNIT = 0.99, 200  # of the requests; blocks


def search_blocks(per_s, seed=1):
    measured = {}

    def enough(size):
        run = server(blocks=UNIT * size).run(trace=rush(per_s, seed))
        measured[size] = run.metrics.good / run.requests
        return measured[size] >= WANTED

    return capacity_search(enough, 26_600 // UNIT), measured  # an H100 has room for 26,674


size, measured = search_blocks(12)
print(f"12 per second: {UNIT * size:,} blocks, found by {len(measured)} simulations")
measured_picture(measured, UNIT, WANTED)

# %% [markdown] id="after-how-many"
# That is for a rush of 20 seconds. Up to there every block counts, and behind it memory buys nothing. The numbers at the
# dots are the order in which they were measured: 6,400 ended the doubling, and the rest is halving.
#
# Now for 24 per second. The largest size is all the memory that the card has.

# %% id="no-size"
from dataclasses import replace

size, measured = search_blocks(24)
print(f"24 per second: {size}")
large = sorted((UNIT * n, share) for n, share in measured.items() if n > 8)
print("  ", ", ".join(f"{blocks:,} blocks {share:.0%}" for blocks, share in large))

first, rest = replace(PROMISE, tpot_s=1e9), replace(PROMISE, ttft_s=1e9)  # one half of it each
print("40 per second:     first token   20 tokens/s   both")
for blocks in (6400, 12_800, 26_600):
    runs = [server(blocks, target=target).run(trace=rush(40))
            for target in (first, rest, PROMISE)]
    shares = [run.metrics.good / run.requests for run in runs]
    print(f"{blocks:9,} blocks", " ".join(f"{share:12.0%}" for share in shares))

# %% [markdown] id="after-no-size"
# `None` is an answer: **no memory reaches this target**. At 24 per second the card itself is too slow; it is cards that
# are missing, not blocks.
#
# The last rows are worth a second look. At 40 per second the server keeps its promise to *fewer* with 12,800 blocks than
# with 6,400. As few as before have their first token in time. But more run at once, each step takes longer, and more
# than half of those few now miss the 20 tokens per second; with all memory each of them does. So *what is enough stays
# enough* is an assumption, not a law. The search is safe where it holds, and what it answers was measured in any case.
#
# ## One draw is not the load
#
# A load is a rate; who comes when is *drawn*. The same shop on other days: the same rate, other people.

# %% id="other-seeds"
print("blocks   served well, on your day and six more   enough on")
for size in (20, 24, 25):
    shares = []
    for seed in range(1, 8):
        run = server(blocks=UNIT * size).run(trace=rush(12, seed))
        shares.append(run.metrics.good / run.requests)
    print(f"{UNIT * size:6,}  ", " ".join(f"{share:4.0%}" for share in shares),
          f"    {sum(share >= WANTED for share in shares)} of 7")

# %% [markdown] id="after-seeds"
# Your search was exact for the one day that it saw, and that day was a hard one. Had it seen the second day, it would
# have ordered 4,000 blocks or fewer, and four other days would have been bad. A capacity is honest with four things
# beside it: the target, the load, how long it lasted (where people come sooner than they are served, the queue grows for
# as long as they do), and over how many draws or days it held. *Enough* can be all of them at once: let the
# function that you hand to the search measure several days, and say yes only if each of them is well.
#
# And with 240 requests, 99% means that two may wait. A share that is told to a tenth of a percent needs thousands.

# %% [markdown] id="halfway"
# ## Half way
#
# You have the measure and the search. The second half is about more than one card, and about whose trace it is. A good
# place to stop and come back: what you passed is kept.

# %% id="save"
save_point("20")

# %% [markdown] id="about-cards"
# ## How many cards
#
# The same search, over another size, for a rush of 20 seconds again. A router deals the requests of 48 per second to so
# many servers in turn, each a card with 3,000 blocks.

# %% id="how-many-cards"
from labkit.simulate.capacity import serve

tried = {}


def enough_cards(cards):
    tried[cards] = serve(server(blocks=3000), rush(48), cards).share
    return tried[cards] >= WANTED


print("cards:", capacity_search(enough_cards, 16))
print(", ".join(f"{cards}: {share:.0%}" for cards, share in sorted(tried.items())))

# %% [markdown] id="about-replicas"
# Requests that share nothing can be dealt out like cards. Conversations cannot: each turn begins with all that was said
# before, and what was said before lies in the cache of *one* server.
#
# ## One prediction first
#
# Below, the first 600 prompts of conversations, about four of each yet, behind one system prompt of 256 tokens. A single
# server, with as much memory as an H100 has, finds 72% of all prompt tokens in its cache. Now the same prompts go to
# four such servers in turn. Together they have four times the memory.

# %% id="predict-p1"
predict("20", "p1")

# %% id="reveal-p1"
from labkit.specs.capacity_and_slos.scenes import begun, chats

trace = chats(2)
print(f"{len(trace)} prompts in {trace.duration_s:.0f} s, {begun(trace)} conversations;",
      f"the system prompt is {256 * len(trace) / trace.input_tokens.sum():.0%} of all tokens")
print("servers  router        found in a cache   first token p99   requests of each")
deals = [(n, "round robin") for n in (1, 2, 4, 8)]
for replicas, route in (*deals, (4, "most found"), (4, "done first")):
    fleet = serve(server(), trace, replicas, route)
    print(f"{replicas:7}  {route:12} {fleet.hit_rate:17.0%}",
          f"{fleet.ttft.percentile(99):15.2f} s  ", *fleet.requests)

# %% [markdown] id="after-p1"
# Each cache sees a fraction of the repeats. All of them soon have the system prompt, and a conversation that comes to a
# server again finds there what it was when it last came; that is why more is left than a fourth of what one server
# finds. But every doubling of the servers costs hits, and memory does not bring them back: what was computed elsewhere is
# not here.
#
# The two routers at the end know what they sent where. **Most found** sends a prompt to whoever has most of it, whatever
# waits there. All prompts begin with the same system prompt, so the first server has most of everything, for ever, and
# three servers are idle. That is no invention: llm-d-router pull request 2515 is about a router that sent everything to
# one of eight replicas, and in its issue 355 two of eight did all the work for 4,096 requests with one prefix. Its hit
# rate is that of the single server, the best of the table, and so the hit rate acquits it. **Done first** adds what a
# server still has to compute to what it would miss of this prompt, and takes the smallest sum. It finds nearly as much,
# and nobody is idle.

# %% id="cards-by-router"
busy = chats(4, n=800)
print(f"{len(busy)} prompts in {busy.duration_s:.0f} s")
for route in ("round robin", "done first"):
    tried = {}

    def enough_cards(cards):
        tried[cards] = serve(server(blocks=3000), busy, cards, route)
        return tried[cards].share >= WANTED

    cards = capacity_search(enough_cards, 16)
    print(f"{route:11}: {cards} cards, {tried[cards].hit_rate:.0%} found;",
          ", ".join(f"{n}: {fleet.share:.0%}" for n, fleet in sorted(tried.items())))
    days = [serve(server(blocks=3000), chats(4, day, 800), cards, route).share
            for day in (2, 3)]
    print("   on two other days:", ", ".join(f"{share:.1%}" for share in days))

# %% [markdown] id="after-cards"
# The same load, the same cards, the same promise, and one of three cards less. A hit is a prompt that need not be
# computed, and prompts are what these cards spend their time on. But two cards were enough on two of three days, and
# three on all of them: whoever orders two has no headroom, and this was less than a minute.

# %% [markdown] id="about-column-map"
# ## Bring your own workload
#
# All of this is worth as much as the trace. Yours is a log with columns that nobody but its author knows.
#
# `meaning_of(name)` knows many names, and says for one of them what it means and which unit of time it ends in:
# `meaning_of("Start_ms")` is `("arrival", "ms")`, `meaning_of("prompt_tokens")` is `("input", None)`, and
# `meaning_of("status")` is `(None, None)`. It and `TraceFileError` are there in your cell.
#
# ### Exercise: `column_map` (8 minutes, difficulty 2, importance 4)
#
# Make a map of all columns of a file. An arrival, a prompt or a unit that the names leave open is refused, never filled
# in: milliseconds read as seconds are a load a thousand times too small, and nobody notices, because everything is
# served well. Only answers may be missing: the reader then takes one token each, and says so in a note.

# %% id="ex-column-map"
# %%exercise column_map
def column_map(names: list[str], unit: str | None) -> tuple[dict[str, str], str]:
    """Which column of a request log means what, and in which unit it counts time.

    Args:
        names: of the columns, as the file spells them.
        unit: of the arrivals, "s", "ms", "us" or "ns", where somebody knows it.

    Returns:
        The name of the column under "arrival" and "input", and under "output" and
        "block_ids" where there is one; and the unit: the given one, else the one
        that the arrival's name ends in.

    Raises:
        TraceFileError: two columns mean one thing, none means arrival or input, or
            nothing says the unit.
    """
    # BEGIN SOLUTION
    found = {}
    for name in names:
        meaning, ending = meaning_of(name)
        if meaning is None:
            continue
        if meaning in found:
            raise TraceFileError(f"{found[meaning]} and {name} could both be the {meaning}")
        found[meaning] = name
        if meaning == "arrival":
            unit = unit or ending
    if "arrival" not in found or "input" not in found:
        raise TraceFileError(f"no arrival or no input among {names}")
    if unit is None:
        raise TraceFileError(f"in which unit does {found['arrival']} count?")
    return found, unit
    # END SOLUTION

# %% id="use-column-map"
from pathlib import Path

from labkit.errors import TraceFileError
from labkit.mine import column_map
from labkit.simulate.traces import column_names, read_trace
from labkit.specs.capacity_and_slos.scenes import foreign_log

log = foreign_log(Path("gateway.csv"))
print(column_names(log))
columns, unit = column_map(column_names(log), None)
print(columns, unit)
print("without answers:", column_map(["start_ms", "prompt_tokens"], None))
theirs = read_trace(log, column_map=columns, unit=unit)
print(f"{len(theirs)} requests, prompts of {theirs.input_tokens.mean():,.0f} tokens")
try:
    column_map(["Started", "Prompt Tokens"], None)
except TraceFileError:
    print("refused: nothing says the unit of Started")
wrong = read_trace(log, column_map=columns, unit="s")
for name, it in (("in milliseconds", theirs), ("as seconds", wrong)):
    run = server(blocks=1500).run(trace=it)
    share = run.metrics.good / run.requests
    print(f"{name:15} {it.per_s:7.4f} requests per second, {share:.1%} served well")

# %% [markdown] id="after-column-map"
# The last two rows are one file. Read wrongly it is a request every three minutes, and any server would do.
#
# Now a log of yours. Put its path in `OWN_FILE`: a table or JSON Lines, one row per request, of any names. Where the map
# is refused, write `OWN_COLUMNS` by hand, `{"arrival": "...", "input": "...", "output": "..."}`; where the unit is, ask
# whoever wrote the file. Without a path the cell takes the gateway's log once more. It looks for the number of cards and
# for the memory, some seconds without a word, and writes a page that can be handed to a colleague:
# `report.html`, beside this notebook. As `report.pdf` it is the same page, printed by the Chromium or Chrome of this
# machine.

# %% id="own-report"
from labkit.reports.command import command_line
from labkit.reports.report import write_report
from labkit.simulate.configuration import Configuration

OWN_FILE = None  # for example "requests.csv"
OWN_UNIT = None  # "s", "ms", "us" or "ns", where the names do not say it
OWN_COLUMNS = None  # by hand, where the map is refused
OWN_PAGE = Path("report.html")  # or "report.pdf"
own, columns, unit = OWN_FILE or str(log), OWN_COLUMNS, OWN_UNIT
if columns is None:
    columns, unit = column_map(column_names(own), unit)
mine = Configuration(own, columns=columns, unit=unit, blocks=1500, target=PROMISE)
found = write_report(mine, OWN_PAGE, share=WANTED)
for note in found.trace.notes:
    print(note)
for tried in found.cards:
    print(f"cards: {tried.cards}, {tried.blocks:,} blocks each: {tried.share:.1%} served well")
print(found.answer)
print("\nIn a terminal, in this folder, the same is\n")
print(command_line(mine, OWN_PAGE, WANTED))

# %% [markdown] id="after-own-report"
# The page needs neither kernel nor network. It says what the workload is, what it needs, what happens with less memory,
# and what was taken for granted; read that last part before you send it. Without its settings the command would give
# another answer: each of them is a part of the question.
#
# ## Many at once
#
# A plan is a table: memory by load, by day, by target. Its cells have nothing to do with one another, so they run
# wherever there is a processor, and each result is kept as soon as there is one. Below a sweep is stopped after half of
# its runs, and asked for again.

# %% id="sweep"
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from labkit.simulate.sweep import sweep

one = server(requests=200)
plan = [replace(one, blocks=blocks, speed=speed, name=f"{blocks:,} blocks, load x {speed}")
        for speed in (1, 2) for blocks in (1500, 3000, 6000)]
kept = Path(tempfile.mkdtemp()) / "plan.jsonl"
with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
    sweep(plan[:3], pool, results=kept, progress=False)
    before = len(kept.read_text(encoding="utf-8").splitlines())
    results = sweep(plan, pool, results=kept, progress=False)
after = len(kept.read_text(encoding="utf-8").splitlines())
print(f"{before} runs were kept, {after - before} more were run, {len(results)} results")
for result in results:
    figures = result["figures"]
    well = figures["goodput"] / figures["requests_per_second"]
    print(f"{result['configuration']['name']:22} {well:4.0%} served well,",
          f"p99 {figures['ttft_p99_s']:5.2f} s")

# %% [markdown] id="about-break-it"
# ### Break it: the clock that starts too late (6 minutes, difficulty 2, importance 4)
#
# Before a server is ordered somebody measures one. vLLM issue 54101 (2026) is about the client with which many do that,
# `vllm bench serve`. With 8 requests that were due every tenth of a second, a server that took half a second for each,
# and one connection, it reported a mean of 506 ms; from the time at which the requests were due it was 1,932 ms. The
# users of such a server would wait four times as long as its report says.
#
# The code below says how long a request waited for its first token. `due_s` is when its user wanted it sent, `sent_s`
# when the client sent it, `first_s` when the first token came.
#
# ```python
# def waited(due_s, sent_s, first_s):
#     return first_s - sent_s
# ```
#
# Convict it. `("Client", 2)` makes a client with 2 connections, 1 to 64, and comes first; each waits for its answer
# before it sends the next. `("due", 3, 2)` is a request that is due at second 3 and takes the server 2 seconds, whole
# numbers up to 64, in order of time. `("run",)` sends them all. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_stopwatch
# BEGIN SOLUTION
ops = [
    ("Client", 1),
    ("due", 0, 2),
    ("due", 1, 1),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Client", 2),
#     ("due", 0, 2),
#     ("run",),
# ]
# END STUB

# %% [markdown] id="after-break-it"
# A client that waits for answers before it sends slows down together with the server, and leaves out just those waits
# that it causes. This has a name, **coordinated omission**, and a remedy: send when it is due (an *open* loop), or count
# from when it was due. Everything in this lesson is open: people come when they come.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("20")

# %% id="finish"
finish("20")

# %% [markdown] id="facts" tags=["fold"]
# ## Stretch: ten claims (12 minutes)
#
# You have all the evidence that these need: each is settled by a cell of this course, and some are true. Before you
# choose, say to yourself which cell you would run.

# %% id="facts-quiz"
quiz("facts")

# %% [markdown] id="practice" tags=["fold"]
# ## Stretch: three tasks (15 minutes)
#
# The first is a draft as an assistant writes it: fluent, mostly right, and not to be handed on as it is. The second
# takes one detail of it, and asks for steps that could prove you wrong; its grader looks for words, and says so. The
# third goes to the source: which word means what there, and only then its figures. The cell below it counts the same
# with your function of lesson 03.

# %% id="practice-quiz"
quiz("practice")

# %% id="paper-and-ours"
from labkit.mine import waste_by_kind
from labkit.simulate.replay import useful_share, useful_share_over_time
from labkit.simulate.workload import draw

# one sequence: 20 slots held, 6 written, 14 at its end; 5 free in one piece, and 8 are wanted
print(waste_by_kind([(0, 20, 6, 14)], [(20, 5)], 8))
conversation = draw(20_000, seed=0)
for reserved in (2_048, 4_096):
    print(f"reserve {reserved:,}: {useful_share(conversation, reserved):.1%} at the end,",
          f"{useful_share_over_time(conversation, reserved):.1%} over its life")

# %% [markdown] id="own-work-text" tags=["fold"]
# ## Your own work
#
# A course ends where your own server begins. Write down one detail of it, and one claim about it that you want to be
# sure of. When you have checked it, say where. What you write stays on this machine; `labkit report --own-work` puts it
# into the report.

# %% id="own-work"
from labkit.widgets import OwnWork

OwnWork()

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read, and the repositories of the issues.
#
# - **Goodput**: `vllm bench serve` takes `--goodput ttft:1000 tpot:50`, in milliseconds, and prints requests per second
#   that met all of them. With `--max-concurrency` a request waits in the client before its clock starts (issue 54101).
# - **Percentiles**: `vllm:time_to_first_token_seconds` and `sglang:time_to_first_token_seconds` are histograms. Sum
#   their buckets over replicas and time, and take the percentile last. No bucket says which *request* met both targets:
#   goodput cannot be had from two histograms.
# - **Routers**: what a replica has cached, and what waits there, are two scores that somebody has to weigh.
#   llm-d-router pull request 2515 and issue 355 are what comes of weighing the first only.
# - **Headroom** is for what a search did not see: other days, a replica that is down, an update that takes one out at a
#   time. With N replicas and one away, each of the others has N / (N - 1) of its load.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked to plan a server wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("20", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## How many measurements
#
# Let the answer be $n$, and $2^{k-1} < n \le 2^k$. Doubling measures $1, 2, 4, \dots, 2^k$, which is $k + 1$ sizes.
# Between $2^{k-1}$ and $2^k$ lie $2^{k-1} - 1$ sizes that nobody has measured, and each measurement halves them:
# $k - 1$ more. Together $2k$, about $2 \log_2 n$, for $n > 1$; for $n = 1$ it is one, and where `most` cuts the last
# doubling short it is as many or fewer. Beginning with `most` and halving would be $\log_2 \text{most}$: fewer where
# $n$ is larger than the root of `most`, but the sizes measured first would be the largest, and those take longest.
#
# Against noise it has no remedy. If a measurement near the edge is wrong with probability $p$, the halving goes the
# wrong way there, and never comes back. It stays true that what is answered was measured once, and that one less was
# measured once.
