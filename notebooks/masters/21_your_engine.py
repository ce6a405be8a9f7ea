# %% [markdown] id="symptom"
# # 21. Your engine, a real model
#
# A team has chosen the best part of each kind: a pool that loses no block, a cache that finds what was computed, a
# scheduler that starves nobody. Each of them has passed its tests. On the first day two users get each other's
# sentences. A third one reads every word twice. And at night, when nobody is there any more, memory is full.
#
# Nothing is wrong with any part. What is wrong is a dozen lines between them: who is computed in a step, whose row of
# numbers becomes a word, and who is told. Here you write these lines, and then your engine serves a real model: at a
# door on which any OpenAI client can knock, under load, with your board beside it.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("21")

# %% [markdown] id="play"
# ## Look before you read
#
# Five requests, twelve blocks of 4 tokens, and all your parts at work. No model computes anything yet: each new token is
# a number that somebody made up. Click into the picture and go through it with the arrow keys. Find these five:
#
# - a request that is given blocks which another one has computed;
# - one whose user leaves, and what becomes of its blocks;
# - a block that is evicted;
# - a request that gives its memory up, while it still wants to go on;
# - what that one finds when it comes back.

# %% id="play-widget"
from labkit.specs.your_engine.scenes import one_life
from labkit.widgets import PageTable

PageTable(one_life(), step=12, title="Five requests, twelve blocks",
          subtitle="Each line under the picture is one call of the manager.")

# %% [markdown] id="idea"
# ## What is there, and what is not
#
# Point at the boxes of the map: it says which of these parts are yours. All but one have been at work in the picture
# above. The last one is the box at the bottom right.

# %% id="map"
from labkit.widgets import EngineMap

EngineMap(highlight="model")

# %% [markdown] id="verbs"
# Every serving engine turns one loop, dozens of times per second, in four verbs:
#
# 1. **Schedule.** Ask the scheduler who computes how many tokens. From then on their memory is taken.
# 2. **Run.** One pass of the model over all of these tokens together: single next tokens of those who generate, and
#    pieces of prompts. What comes out is a row of **logits** for each request, a number for each word that could follow
#    its last token.
# 3. **Sample.** Turn a row into a token, for those who have one coming.
# 4. **Commit.** Tell the scheduler what was computed and who has ended, and whoever waits for the tokens.
#
# Where the blocks of a victim go to somebody else in the same step, or come back from the host, there is copying to do;
# it comes before anything is computed.
#
# Below is a scheduler in mid-run, and the step that it decides. Which of the four rows become a token?

# %% id="one-step"
from labkit.specs.your_engine.scenes import in_mid_run

step = in_mid_run().schedule()
print("row  request   prompt  generated  computed  planned in this step")
for row, (request, n) in enumerate(step.plan):
    print(f"{row:3}  {request.id:8} {request.prompt_tokens:7} {len(request.output):10}",
          f"{request.computed:9} {n:9}")

# %% [markdown] id="about-engine-step"
# A and B generate: all that they know is computed with this step, so their rows say what comes next. D came just now,
# with a prompt of two tokens, and both are in this step: its row says what comes next as well. C has 13 tokens of
# prompt and is not through. Its row is about its twelfth token, and what comes after that one is known: it stands in the
# prompt. A token for C would be a word that nobody wrote.
#
# **Chance.** A token is drawn with a random number that is made from three things: the seed of the request, its name, and
# the *position* of the token, counted from the first token of the prompt. So it does not matter with whom a request
# shares its steps, in how many chunks its prompt was cut, or whether it was preempted: it draws the same numbers.
#
# ### Exercise: `engine_step` (15 minutes, difficulty 4, importance 5)
#
# One turn of the loop. All the work is done by what you call; what you decide is the order of calls, and what belongs to
# whom. Each of the three failures at the top of this page is a line that is missing here, or in the wrong place.

# %% id="ex-engine-step"
# %%exercise engine_step
def engine_step(engine) -> list:
    """One step: ask the scheduler, compute, sample, and commit.

    The engine has:
        scheduler: schedule() decides a step, and takes its memory. The step has
            plan, a list of pairs (request, n): who computes how many tokens.
            update(step, tokens, ended) commits it: `tokens` has one for each
            request that was sampled, in the order of the plan, `ended` those
            requests that end with it. It counts; whoever ended is free.
        move(step): copies the blocks that the step says, before anything is
            computed.
        run(batch): one pass through the model. The batch has a pair for each of
            the plan, in its order: the request's id, and the bytes of the tokens
            to compute. Answers logits, [len(batch), vocabulary]: a row for each,
            behind its last token. An empty batch is an error.
        sample(logits, keys): a token id for each row. `keys` has a pair for each
            row: the request, and the position of the token that is chosen.
        ends(request, token): takes a new token into the text of its request, and
            answers whether the text ends with it.
    A request has id, computed, missing, num_tokens as in lesson 16, and
        tokens(start, stop): the bytes of its known tokens start to stop - 1.

    Returns:
        A list of pairs (request, token): who got which, in the order of the plan.
        An empty list where nobody is there.
    """
    # BEGIN SOLUTION
    step = engine.scheduler.schedule()
    engine.move(step)
    if not step.plan:
        return []
    batch = []
    for request, n in step.plan:
        start = request.computed
        batch.append((request.id, request.tokens(start, start + n)))
    logits = engine.run(batch)
    rows, keys = [], []
    for row, (request, n) in enumerate(step.plan):
        if n == request.missing:
            rows.append(row)
            keys.append((request, request.num_tokens))
    tokens = engine.sample(logits[rows], keys)
    answer, ended = [], []
    for (request, _), token in zip(keys, tokens):
        answer.append((request, token))
        if engine.ends(request, token):
            ended.append(request)
    engine.scheduler.update(step, tokens, ended)
    return answer
    # END SOLUTION

# %% [markdown] id="about-live"
# ## The same three questions
#
# In lesson 00 three questions were answered by an engine of the course's own parts. Here they come again, through your
# loop. The next
# cell shows the memory, the one below fills it: run that one with **Ctrl + Enter**, and watch the picture.

# %% id="live-picture" tags=["nbval-ignore-output"]
from labkit.observe.events import EventLog
from labkit.serving import load
from labkit.widgets import PageTable

model, log = load(), EventLog(num_blocks=24, block_size=16)
engine = model.engine(24, log=log)
table = PageTable(log, live=True, title=f"{model.name}: three requests, your engine")
table

# %% id="live" tags=["nbval-ignore-output"]
import textwrap

from labkit.lesson import LIVE_QUESTIONS

answers = []
for name, question in LIVE_QUESTIONS.items():
    request = model.request(name, question, stop_tokens=False, max_new_tokens=40)
    answers += engine.submit(request)
tokens = sum(1 for _ in engine.stream())
table.close_live()
whose = "yours" if "engine_step" in engine.yours else "the reference"
print(f"The loop: {whose}. Yours in this engine:", ", ".join(sorted(engine.yours)) or "nothing")
print(f"{tokens} tokens delivered, {engine.scheduler.totals.computed} computed")
for answer in answers:
    print(f"\n{answer.request}: {LIVE_QUESTIONS[answer.request]}")
    print(textwrap.indent(textwrap.fill(answer.text.strip() + " ...", 80), "   "))

# %% [markdown] id="after-live"
# Click into the picture, go back with the left arrow key, and look at the first blocks. A chat begins with a few tokens
# that say who speaks, and they are the same for everybody: where these fill a block, it is held by all three. In lesson
# 00 each had its own.
#
# ## Is it the same text?
#
# A batch, a chunk, a preemption, a block that somebody else has computed: none of them may change a word. *Fluent* proves
# nothing here. A text from somebody else's row is fluent too.
#
# The plain loop of lesson 00 computes each prompt whole, and nobody is ever preempted in it. So the next cell asks it
# first, and then your engine, in four ways. Numbers of 32 bits are used: sums of many numbers depend a little on their
# order, and with 16 bits that is enough to make two words that are about equally likely change places. Where two texts
# differ all the same, the cell prints how close the two words were.

# %% id="same-text" tags=["nbval-ignore-output"]
import torch

from labkit.cache.block_table import blocks_needed
from labkit.scheduling.config import SchedulerConfig
from labkit.specs.your_engine.scenes import first_difference, gap

exact, new = load(dtype=torch.float32), 16
prompts = {name: exact.prompt_ids(question) for name, question in LIVE_QUESTIONS.items()}
plain = exact.generate_many(list(prompts.values()), max_new_tokens=new, stop=False)
longest = max(map(len, prompts.values())) + new
few = blocks_needed(longest, 16) + 2  # for one of them, and not for three
pieces, swap = {"token_budget": 12}, {"preemption": "swap", "host_blocks": 32}
ways = {
    "together, prompts whole": (64, {}),
    "prompts in pieces": (64, pieces),
    f"{few} blocks, computed again": (few, pieces),
    f"{few} blocks, swapped": (few, pieces | swap),
}
print("way                         preempted   the same text")
for way, (blocks, knobs) in ways.items():
    engine = exact.engine(blocks, config=SchedulerConfig(**knobs))
    asked = [exact.request(name, ids, stop_tokens=False, max_new_tokens=new)
             for name, ids in prompts.items()]
    ours = [engine.submit(request)[0] for request in asked]
    for _ in engine.stream():
        pass
    apart = [first_difference(a.token_ids, b.token_ids) for a, b in zip(plain, ours)]
    print(f"{way:27} {engine.cache.manager.counters.preemptions:9}",
          f"{apart.count(None):6} of {len(ours)}")
    for answer, at in zip(plain, apart):
        if at is not None:
            close = gap(exact, answer.prompt_ids + answer.token_ids[:at])
            print(f"   {answer.request}, token {at}: the two words were {close:.5f} apart")

# %% [markdown] id="after-same-text"
# That is the promise of an engine: **a schedule decides when, never what.** It is held by the course's own tests against
# another implementation, `transformers`, with every policy of eviction, both kinds of preemption and prompts cut anywhere.
# On a GPU and in 16 bits it holds as far as arithmetic does: there, engines compare the logits, and allow an error that is
# stated.

# %% [markdown] id="halfway"
# ## Half way
#
# The engine runs, and says what it should. What follows is what makes it a server: people who leave, memory that is worth
# its bytes, a door, and a storm. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("21")

# %% [markdown] id="about-cancel"
# ## Somebody leaves
#
# A tab is closed in mid-answer. Nobody will read the rest, and as long as the server does not notice, it computes on, and
# holds blocks for nobody. Servers that forget this in one of the places where a request can be run full in a night
# without a single error.
#
# ### Exercise: `cancel` (8 minutes, difficulty 2, importance 4)
#
# Give back all that a request has, wherever it is. Whoever looks only at those that run has thought of one case of four.

# %% id="ex-cancel"
# %%exercise cancel
def cancel(scheduler, request) -> None:
    """Take a request out, and give back all that it has, wherever it is.

    Args:
        scheduler: has
            running: a list, those in memory; waiting: the queue, with remove(request).
            manager: free(id) gives the blocks back of one in memory; forget(id) is
                for one that was preempted, and will not come back.
            swapper.pool: the host's blocks, None where nobody is swapped; forget(id)
                frees those of a request that was swapped out.
        request: its id, and state: State.RUNNING; State.WAITING, it has never run;
            or State.PREEMPTED, it waits again. One that was preempted and still has
            something computed, request.computed above 0, has it on the host.
    """
    # BEGIN SOLUTION
    if request.state is State.RUNNING:
        scheduler.running.remove(request)
        scheduler.manager.free(request.id)
    else:
        scheduler.waiting.remove(request)
        if request.state is State.PREEMPTED:
            scheduler.manager.forget(request.id)
            if request.computed > 0:
                scheduler.swapper.pool.forget(request.id)
    # END SOLUTION

# %% id="use-cancel" tags=["nbval-ignore-output"]
engine = model.engine(24)
answers = {}
for name, question in LIVE_QUESTIONS.items():
    request = model.request(name, question, stop_tokens=False, max_new_tokens=40)
    answers[name] = engine.submit(request)[0]
for _ in range(12):
    engine.step()
manager = engine.cache.manager
print(f"after 12 steps: {manager.num_held} blocks held by", *manager.sequences())
engine.cancel("B")
print(f"B has left:     {manager.num_held} blocks held by", *manager.sequences())
for _ in engine.stream():
    pass
print({name: f"{len(answer.token_ids)} tokens, {answer.finish_reason}"
       for name, answer in answers.items()})
print(f"at the end:     {manager.num_held} held, {manager.num_cached} still findable")

# %% [markdown] id="about-predict"
# ## What memory is worth
#
# An operator allows 1,024 tokens for a question and its answer. An engine with contiguous memory must keep that much for
# everybody, since nobody knows how long an answer gets. Give it memory for two of them. Your engine gets **the same
# bytes**, cut into blocks.
#
# Forty requests come at once, with 20 to 100 tokens of prompt and 10 to 40 of answer.

# %% id="predict-p1"
predict("21", "p1")

# %% id="reveal-p1"
from labkit.specs.your_engine.scenes import mixed, peak, planned_peak

rows = model.contiguous_cache(max_seqs=2, max_tokens=1024)
requests = mixed(40, prompt=(20, 100), answer=(10, 40))
in_rows = sum(rows.extend(request.name, request.prompt_ids) for request in requests)

blocks = 2 * 1024 // 16
engine = model.engine(blocks)
assert engine.cache.num_bytes == rows.num_bytes
most, rate = peak(engine, requests)
kept = planned_peak(requests, blocks, token_budget=512, reserve_to_max=True)
print(f"contiguous, 1,024 tokens kept for each:       {in_rows} run at once")
print(f"blocks, prompt and longest answer kept:      {kept} run at once")
print(f"blocks, taken when they are written into:    {most} run at once, with",
      f"{engine.cache.manager.counters.preemptions} preemptions")

# %% [markdown] id="after-p1"
# That is the gain that everything began with, in lesson 03, and it was measured, not computed: memory for two people
# serves a crowd. The second row is worth a look. There a request starts only if all that run could come to their longest
# end at the same time; here everybody does, so a row of it is what paging alone gives. The third row lets in whoever has
# room *now*. It bets that not all are long at once, and when it loses the bet, somebody is preempted.
#
# ## A system prompt for everybody
#
# Every chat of an assistant begins with the same instructions, and every turn with all that was said before. Six people
# ask twice. What the prefix cache finds is not computed again.

# %% id="chats" tags=["nbval-ignore-output"]
from labkit.specs.your_engine.scenes import ASSISTANT, PEOPLE


def two_turns(engine):
    said = {name: [{"role": "system", "content": ASSISTANT}] for name in PEOPLE}
    for turn in (0, 1):
        before, answers = engine.cache.manager.counters, {}
        for name, asks in PEOPLE.items():
            said[name].append({"role": "user", "content": asks[turn]})
            request = model.request(f"{name} {turn}", said[name], max_new_tokens=16)
            answers[name] = engine.submit(request)[0]
        for _ in engine.stream():
            pass
        for name, answer in answers.items():
            said[name].append({"role": "assistant", "content": answer.text})
        now = engine.cache.manager.counters
        asked = now.queried_tokens - before.queried_tokens
        found = now.hit_tokens - before.hit_tokens
        wait = max(answer.prefill_s for answer in answers.values())
        print(f"turn {turn + 1}: {asked:,} tokens of prompts, {found / asked:.0%} found,",
              f"slowest first token {wait:.2f} s")


for kind in (None, "hash"):
    print("without a prefix cache" if kind is None else "with one")
    two_turns(model.engine(512, prefix_cache=kind))

# %% [markdown] id="after-chats"
# In the first turn all six come at once, and the first of them computes the instructions for the others. In the second
# turn each finds its own first turn as well. What is left to compute are the new questions.
#
# ## The door
#
# An engine in a notebook serves whoever sits at the keyboard. `labkit serve` puts it behind an address that speaks
# OpenAI's protocol, so that any client for it can be pointed there. It listens to this machine alone unless you say
# otherwise. The next cell starts it inside the notebook, asks it once, and then lets twelve clients loose on it. Watch the
# board while they are at it: it asks the server's `/metrics`, as it would ask vLLM's.

# %% id="door" tags=["nbval-ignore-output"]
import httpx
from IPython.display import display

from labkit.observe.live import watch
from labkit.serving.load_generator import put_load as send
from labkit.serving.serve import in_thread
from labkit.specs.your_engine.scenes import beside
from labkit.widgets import StormBoard

engine = model.engine(160, config=SchedulerConfig(seats=12, token_budget=256), regret=True)
with in_thread(model, engine) as server:
    body = {"messages": [{"role": "user", "content": "What is a page?"}], "max_tokens": 24}
    url = f"{server.url}/v1/chat/completions"
    answer = httpx.post(url, json=body, timeout=60).json()
    print(answer["choices"][0]["message"]["content"])
    watched = watch(server.url, every_s=0.5)
    board = StormBoard(watched.series, "Your endpoint, twelve clients")
    display(board)
    system = {"role": "system", "content": ASSISTANT}
    asks = [ask for turns in PEOPLE.values() for ask in turns]
    calls = [{"messages": [system, {"role": "user", "content": ask}], "max_tokens": 24}
             for ask in 3 * asks]
    found = beside(board, watched, lambda: send(server.url, calls, clients=12))
print(f"{len(found.calls)} calls, by status: {dict(found.statuses)}")
median, slow = (found.percentile("ttft_s", share) for share in (50, 99))
print(f"{found.tokens_per_s:.0f} tokens/s; first text after {median:.2f} s in the median,",
      f"{slow:.2f} s for the slowest hundredth")

# %% [markdown] id="after-door"
# In a terminal the same server is `labkit serve`, and `labkit watch` with its address is the board. Whom the front door of
# lesson 17 turns away is told 429, *too many requests*, and after how many seconds to come again. That is what OpenAI's own
# service answers; vLLM says 503.
#
# ## A storm of your own
#
# Now ask for trouble. Twelve documents of about 150 tokens each, answers of about 30; memory for four of them, and twelve
# seats. A document is let in as soon as its *first piece* has room (`full_sequence=False`, lesson 17).

# %% id="storm" tags=["nbval-ignore-output"]
from labkit.specs.your_engine.scenes import in_windows

documents = mixed(12, prompt=(120, 180), answer=(24, 40))
STORMY = SchedulerConfig(seats=12, token_budget=128, full_sequence=False)


def stormy(tune=None):
    engine = model.engine(50, config=STORMY, prefix_cache=None)
    board = in_windows(engine, documents, steps=6, tune=tune)
    totals, seconds = engine.scheduler.totals, board.end_s[-1]
    print(f"{totals.delivered} tokens delivered, {totals.computed:,} computed,",
          f"{totals.recomputed:,} of them again; {seconds:.1f} s,",
          f"{totals.delivered / seconds:.0f} tokens/s")
    return board


before = stormy()
StormBoard(before, "Twelve documents, memory for four")

# %% [markdown] id="about-tune"
# Every graph that counts work is busy. The one that counts what is computed *again* is the one that convicts: those who
# run take each other's memory. Nobody is at fault, there are too many of them.
#
# So give out fewer seats. How many? That depends on what people ask today, and tomorrow they ask something else. TCP has
# the same question, how many packets may be under way, and the answer that the internet runs on: **where it hurts, fewer
# by a factor; where it does not, one more, and look again** (Chiu and Jain, 1989).
#
# ### Exercise: `tune_storm` (12 minutes, difficulty 4, importance 4)
#
# After each window of a board, say how many seats there are in the next one. Your function is tried on servers that it
# has not seen: three that are in a storm, one whose storm passes, one that has too few seats, and some that are
# healthy and look as if they were not. Two of the figures tell of work that is done twice. Only one of them gets better
# with fewer seats: think of what each of them says, and who has to give something up for it.

# %% id="ex-tune-storm"
# %%exercise tune_storm
def tune_storm(config, board):
    """The knobs for the next window, by what the windows until now have shown.

    Args:
        config: a SchedulerConfig, those of the window that has just ended. Its
            seats are how many requests may run, its watermark the share of blocks
            that stays free when somebody is let in; `replace(config, seats=9)`
            is the same with 9 seats.
        board: by name a list of figures, one for each window, the last one last;
            NaN where nothing is known. In tokens per second: computed, delivered,
            recomputed (lost in preemptions); in blocks of 16 tokens per second:
            regretted; at the end of the window: running, waiting. All of
            lesson 19's figures are there.

    Returns:
        A SchedulerConfig: config itself for no change.
    """
    # BEGIN SOLUTION
    running, waiting = board["running"][-1], board["waiting"][-1]
    computed, again = board["computed"][-1], board["recomputed"][-1]
    if again > 0.15 * computed:
        seats = int(0.7 * min(running, config.seats))
        return replace(config, seats=max(1, seats))
    if waiting > 0 and running >= config.seats and again <= 0.05 * computed:
        return replace(config, seats=config.seats + 2)
    return config
    # END SOLUTION

# %% id="use-tune"
from labkit.mine import tune_storm
from labkit.specs.your_engine.scenes import turned

print("                       untouched           with tune_storm")
print("server        twice  tokens/s  wait   twice  tokens/s  wait")
for kind, seed in (("documents", 3), ("answers", 2), ("both", 6), ("passing", 7),
                   ("overload", 3), ("beginnings", 1)):
    found = [turned(kind, seed), turned(kind, seed, tune_storm)]
    rows = (f"{twice:6.0%} {rate:9.0f} {waits:5} " for twice, rate, waits, _ in found)
    print(f"{kind:12}", *rows)

# %% [markdown] id="after-tune"
# The last row is the trap. *Beginnings* evicts what is wanted again, so over a fifth of what it computes it had computed, and
# yet nobody waits and everything that is asked for is delivered. Its prompts begin in more ways than the cache has room
# for. That is a matter of memory, or of a router that sends like to like (lesson 20). What happens to whoever gives out
# fewer seats for it?

# %% id="two-storms"
from dataclasses import replace


def for_regret_as_well(config, board):
    again = board["recomputed"][-1] + 16 * board["regretted"][-1]
    if again > 0.15 * board["computed"][-1]:
        return replace(config, seats=max(1, int(0.7 * min(board["running"][-1], config.seats))))
    return tune_storm(config, board)


for tune in (None, for_regret_as_well):
    twice, rate, waits, seats = turned("beginnings", 1, tune)
    print(f"{seats:2} seats at the end: {twice:.0%} computed twice, {rate:.0f} tokens/s,",
          f"{waits} people wait")

# %% [markdown] id="about-cure"
# As much is done twice as before, and most of what was served is not. Fewer of those who run share a beginning with
# whoever comes next, so what is evicted is wanted again just as often.
#
# Back to your own engine, and its own storm.

# %% id="cure" tags=["nbval-ignore-output"]
after = stormy(tune_storm)
StormBoard(after, "The same documents, with tune_storm")

# %% [markdown] id="limits"
# ## What paging does not do
#
# Three limits stood on the first page of this course. You have met each of them since, and all of them hold for the
# engine that you have just seen.
#
# - **It makes no memory.** Where those who run need more than there is, somebody waits or gives way (lesson 18). `tune_storm`
#   chooses waiting.
# - **It does not help the one very long request**, which needs all of its blocks whatever they are called (lesson 13).
# - **It does not decide whom to let in.** The gates of lesson 17 and the seats of this one do, and if they are wrong, the
#   best memory manager thrashes.

# %% [markdown] id="about-break-it"
# ### Break it: the client that was swapped out (6 minutes, difficulty 3, importance 3)
#
# Servers forget a client where they did not expect one. The code below is what somebody wrote for clients who leave.
#
# ```python
# def cancel(scheduler, request):
#     if request.state is State.RUNNING:
#         scheduler.running.remove(request)
#         scheduler.manager.free(request.id)
#         return
#     scheduler.waiting.remove(request)
#     if request.state is State.PREEMPTED and request.computed == 0:
#         scheduler.manager.forget(request.id)
# ```
#
# Convict it. `("Scheduler", 9, 9, 4)` has 9 blocks of 2 tokens, 9 seats and 4 host blocks, and comes first; with 0 host
# blocks victims are computed again. `("come", "A", 3, 4)` is a request with 3 tokens of prompt and 4 to generate,
# `("step",)` one step, and `("cancel", "A")` its user leaves. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_cancel
# BEGIN SOLUTION
ops = [
    ("Scheduler", 4, 9, 4),
    ("come", "A", 4, 2),
    ("come", "B", 4, 2),
    ("step",),
    ("step",),
    ("cancel", "B"),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Scheduler", 9, 9, 4),
#     ("come", "A", 3, 4),
#     ("step",),
#     ("cancel", "A"),
# ]
# END STUB

# %% [markdown] id="after-break-it"
# Blocks of the device all come back here, and every board that looks at the device shows a healthy server. It is the host
# that fills up, by as much as one client had, each time that one leaves in the wrong moment. After that nobody can be
# swapped any more, and a server that was fast in its first week is slow in its third.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("21")

# %% [markdown] id="about-final"
# ## The final check
#
# Thirty questions across the whole course, which take about half an hour; the first ten stood in lesson 00. Take as many
# tries as you like: what an answer says names the lesson that shows it.

# %% id="final"
quiz("final")

# %% [markdown] id="about-certificate"
# ## Your certificate
#
# One page that says what of this engine you have built and what is the reference's, what you passed and answered, and how
# long it took. It needs no network to open. Write your name into the cell if you want it there.

# %% id="certificate" tags=["nbval-ignore-output"]
from labkit.reports.certificate import certificate

certificate("")

# %% id="finish"
finish("21")

# %% [markdown] id="further" tags=["fold"]
# ## Where to go from here
#
# - **Your own server.** `labkit watch HOST:PORT` reads vLLM's and SGLang's metrics with the board of this course;
#   `labkit report` turns a log of yours into a page with sizes. That is where a course stops and work begins.
# - **Your own model.** `labkit serve --model FOLDER` takes a Llama or Qwen3 checkpoint in Hugging Face layout.
# - **Read one.** nano-vllm has about 1,200 lines, and you know every part of it. Then vLLM's
#   `vllm/v1/core/sched/scheduler.py`: its `schedule` is your `step`, its `_preempt_request` is yours as well.
# - **What is missing here**, and each is a good project: speculative decoding over forked tables, more than one card,
#   prefill and decode on different machines, a cache tier on disk.

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **The loop**: `EngineCore.step` in `vllm/v1/engine/core.py` is schedule, execute, sample, update. Between the model and
#   the update it looks who has left meanwhile (`_process_aborts_queue`): they get no token of this step any more.
# - **Clients who leave**: `finish_requests` in `vllm/v1/core/sched/scheduler.py` takes a request out of the list that it is
#   in, and then frees what it has. There is a case that you do not have: blocks into which another machine is still
#   writing wait until it is done.
# - **Seats**: `--max-num-seqs` is fixed while vLLM runs. SGLang turns a knob of its own while it runs, the `new_token_ratio` of
#   lesson 17. It goes up at once when somebody had to give way, and down a little with every step: fast in one
#   direction and slow in the other, as yours.
# - **The same text** is nothing that an engine on a GPU promises. A batch changes the order of sums, and in 16 bits that
#   can change a word.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was shown a board with a high rate of regret wrote the sentence below. Is it true, false, or too
# broad? Pick the judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("21", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why a factor down and a step up
#
# Let $s$ be the seats and $c$ the number that memory bears today; above it, work is lost. Adding $a$ per window and
# multiplying by $m$ when $s > c$, the seats swing between $m(c + a)$ and $c + a$ at most: from one cut to the next it
# takes about $(1 - m)\,c / a$ windows. If $c$ falls to a tenth, as when documents come instead of questions, multiplying is
# there after $\log 10 / \log (1/m)$ windows, 7 for $m = 0.7$, whatever $c$ was; subtracting would take as many windows as
# there are seats. If $c$ rises again, adding takes long, and that is the price: a cautious server loses a little for a
# while, a bold one falls into the storm again. Multiplying on the way up as well overshoots by the same factor each
# time, so that one window in few is a storm.
