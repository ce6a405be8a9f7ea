# %% [markdown] id="symptom"
# # 19. Eviction storms
#
# A server has become popular. Within a minute the tokens that go out each second have more than quadrupled. Hardly
# anybody waits, the first token comes in less than half a second, and every graph that people look at is green. One graph is
# new: cached blocks evicted, 0 before and about 68 per second now.
#
# One of those who run it says that a full cache evicts, and that this is what it is for. Another says that memory is
# too small. A third wants to see the eviction rate on the same board as the throughput from now on. Who is right, how
# would they know, and what should be changed? After this lesson you can say so of a server that you have never seen.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("19")

# %% id="symptom-numbers"
from labkit.specs.eviction_storms.scenes import crowded, late_figures, mean

# Llama 3.1 8B on one L4; after 40 seconds more people come
popular = crowded()
print(f"{'':33} 0 to 40 s  80 to 120 s")
for figure, title in {
    "delivered": "tokens delivered per second", "ttft_p50": "first token, median (s)",
    "waiting": "requests that wait", "evicted": "cached blocks evicted per second",
}.items():
    early, late = mean(popular, figure, 0, 40), mean(popular, figure, 80, 120)
    print(f"{title:33} {early:9.1f} {late:12.1f}")

# %% [markdown] id="play"
# ## Look before you read
#
# This is that server. The three large pictures stand in one row for a reason: what users get, and beside it, as
# large, what it costs. Move the cursor with the arrow keys, and read the sentence below.
#
# Then turn the knobs; the same people come again. Give it more **blocks**: what happens to the tokens that are
# *computed*, and what to those that are *delivered*? Go back, and take away **seats**, then set a **watermark**. Go
# back once more, and let its prompts have fewer **beginnings**, as if those with the same beginning were sent to one
# server of several.

# %% id="play-widget"
from labkit.specs.eviction_storms.scenes import KNOBS, OPENED, crowded
from labkit.widgets import StormBoard

StormBoard(popular, "A server that has become popular", knobs=KNOBS, settings=OPENED,
           rerun=lambda chosen: crowded(**chosen))

# %% [markdown] id="idea"
# ## What convicts
#
# Paging lets more requests into one GPU. So **throughput can rise while the eviction rate quietly climbs into
# thrashing**: watch the eviction rate, and not throughput alone. That sentence is what this course grew out of, and
# you can sharpen it now. An eviction by itself harms nobody. What harms is **work that is done twice**, and there are
# two ways to it:
#
# - **regret**: a cached block is evicted and wanted again, and its tokens are computed a second time (lesson 09);
# - **recomputation**: somebody who runs gives its memory up, and all that it had is computed again (lesson 18).
#
# Both are figures of the board: blocks of 16 tokens per second, and tokens per second.

# %% id="done-twice"
late = {it: mean(popular, it, 80, 120) for it in ("computed", "regretted", "recomputed")}
twice = 16 * late["regretted"] + late["recomputed"]
print(f"80 to 120 s: {late['computed']:,.0f} tokens computed per second.")
print(f"For the second time: {16 * late['regretted']:,.0f} that had been evicted,",
      f"{late['recomputed']:,.0f} of preempted ones, together {twice / late['computed']:.0%}")

# %% [markdown] id="after-twice"
# Tokens *computed* and tokens *delivered* are two curves. In a storm the first holds, since the GPU is as busy as ever,
# and the second falls, or rises less than it could. The server above delivers more than it did, and half of what it
# computes it has computed before. What do the knobs make of that?

# %% id="knobs-table"
print("changed            done twice  delivered/s  requests that wait")
changes = [{}, {"blocks": 2500}, {"blocks": 4000}, {"beginnings": 20}, {"beginnings": 10}]
for change in [*changes, {"watermark": 0.2}, {"seats": 12}]:
    title = " ".join(f"{knob} {value}" for knob, value in change.items()) or "nothing"
    share, delivered, waiting = late_figures(**change)
    print(f"{title:18} {share:10.0%} {delivered:12.0f} {waiting:19.1f}")

# %% [markdown] id="after-knobs"
# More blocks help, and so do fewer beginnings on one server; what is delivered stays, and nobody waits. Twelve seats
# cure the disease best of all, and take half of the throughput with it: most people are outside. A watermark hardly
# helps, and puts some of them outside as well.

# %% [markdown] id="about-regret-rate"
# ### Exercise: `regret_rate` (8 minutes, difficulty 3, importance 5)
#
# No server of today exports regret. Some tell what is needed to count it: vLLM, where it is asked to, publishes an
# event for each block that becomes findable and for each that is evicted, with a hash that says what was in it. You
# count from such a stream.
#
# Mind two things. Two requests with one beginning that come in the same step both store it, in a block each; when one
# of the blocks goes, nothing is lost. And a cache that was cleared, because somebody asked for it, has not been short
# of memory.

# %% id="ex-regret-rate"
# %%exercise regret_rate
from collections import Counter


def regret_rate(events: list, window_s: float, windows: int) -> list[float]:
    """Contents that were wanted again after their eviction, by the second.

    Args:
        events: (seconds, kind, content) in order of time, from 0 up to, not
            including, windows * window_s. kind is "stored": a block with this
            content can be found; "removed": such a block was evicted; "cleared":
            all were dropped, which is no eviction; what was evicted before that is
            forgotten too.
        window_s: seconds of a window, above 0.
        windows: how many, 1 or more.

    Returns:
        For each window: how often a content was stored in it whose last block had
        been evicted before, over window_s. What is removed and was never stored
        had been there before the events began.
    """
    # BEGIN SOLUTION
    copies, lost, counts = Counter(), set(), [0] * windows
    for at_s, kind, content in events:
        if kind == "stored":
            if content in lost:
                counts[int(at_s // window_s)] += 1
                lost.remove(content)
            copies[content] += 1
        elif kind == "removed":
            copies[content] -= 1
            if copies[content] <= 0:
                copies[content] = 0
                lost.add(content)
        else:
            copies.clear()
            lost.clear()
    return [count / window_s for count in counts]
    # END SOLUTION

# %% [markdown] id="about-tapes"
# The caches of two servers were put on tape. Both are full, and both evict.

# %% id="use-regret-rate"
from labkit.mine import regret_rate
from labkit.specs.eviction_storms.boards import server
from labkit.specs.eviction_storms.scenes import tape

for name in ("scan-3", "crowding-3"):
    events = tape(name)
    gone = [0] * 12
    for at_s, kind, _ in events:
        gone[int(at_s // 10)] += (kind == "removed") / 10
    again = regret_rate(events, 10, 12)
    print(f"{name}: {len(events):,} events. Blocks per second, in windows of 10 s:")
    print("   evicted     ", *(f"{n:4.0f}" for n in gone))
    print("   wanted again", *(f"{n:4.0f}" for n in again))
    meter = server(name).series["regretted"]
    same = abs(sum(again) * 10 - meter.sum() * 5) < 0.01
    print("   as the server's own meter has it:", same)

# %% [markdown] id="after-tapes"
# The first reads documents that come once. It evicts about as much as the second, and nothing of it is missed: a picture
# of evictions alone would wake the wrong people. The **panel that acquits** is the one of regret.

# %% [markdown] id="about-table"
# ## What a real server tells
#
# From what you see to what it means, to the metric, to the flag. Every figure is *exact*, a *proxy* with its bias, or
# *absent*.

# %% id="symptom-table"
from IPython.display import Markdown

from labkit.specs.eviction_storms.scenes import symptom_table

Markdown(symptom_table())

# %% [markdown] id="after-table"
# Look at what is absent. The two figures that convict are the two that vLLM's `/metrics` do not have: its KV events
# tell the first, and operations per token hint at the second. With SGLang it is the other way round: recomputation is
# the difference of two counters, and regret is not told. Whoever has only usage, throughput and evictions can neither
# convict nor acquit. No flag makes memory: those for blocks that are *evicted and wanted again* find
# some, or choose better what goes. Where no flag stands there is none for it.
#
# `labkit watch localhost:8000` stands on the same table and shows this board for a server of yours. With `--events` it
# listens to vLLM's KV events as well, and counts regret as you did. `python -m labkit.observe.monitoring FOLDER` makes
# rules for Prometheus of it: regret and recomputation have their alerts there, evictions and usage have none.

# %% [markdown] id="halfway"
# ## Half way
#
# You can count what was wanted again, and know which figures convict. The second half is an alarm, and ten servers. A
# good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("19")

# %% [markdown] id="about-alarms"
# ## Whom to wake
#
# An alarm that is right about a storm is half of the work. The other half is to be silent on a busy day. GuideLLM, a
# load generator, stops a run when the server is *over-saturated*: when concurrency and the time to the first token both
# go up, by the slopes of straight lines. As an alarm it needs only what everybody exports.
#
# Here are 33 boards, three seeds of eleven kinds. Five kinds are storms; the others are a scan, a lunch-time crowd with
# a few preemptions, a trickle of regret, a plain overload, a server that grows, one that hardly anybody uses.

# %% id="predict-p1"
predict("19", "p1")

# %% id="reveal-p1"
from labkit.observe.alerts import RULES
from labkit.specs.eviction_storms.boards import KINDS, firing, over_saturation, score

names = [f"{kind}-{seed}" for kind in KINDS for seed in (21, 22, 23)]
others = {
    "over-saturation": over_saturation,
    "evictions above 10 per second": lambda board: board["evicted"] > 10,
    "preemptions above 0.2 per second": lambda board: board["preempted"] > 0.2,
    "the rules of the storm board": firing(RULES),
}
for name, alarm in others.items():
    it = score(alarm, names)
    print(f"{name:33} {it.told:2} of {it.storms} storms told,",
          f"{it.false} of {it.healthy} healthy accused")

# %% [markdown] id="after-p1"
# (A board that lies between healthy and a storm is not counted.)
#
# Over-saturation is about load. It accuses servers to which more people come, served or not, and it misses storms for
# which no larger crowd is needed. Evictions miss a server that caches nothing, and accuse every cache that is full.
# Preemptions miss documents that come round and round, for which nobody has to be preempted. The rules of the board
# accuse nobody, and they are slow: regret has to last for a minute before they speak, and some storms are over by then.

# %% [markdown] id="about-thrash-alert"
# ### Exercise: `thrash_alert` (12 minutes, difficulty 4, importance 5)
#
# Write a better one. It gets a board, as you see it in the cell below, and says of each window whether somebody has to
# look *now*. So what it says of a window must not change when later ones come. It is judged on boards that you have not
# seen: storms, in which it has to fire in time, and healthy servers, of which it must say nothing. After a failure you
# can look at the board that it names: `StormBoard(board("scan-3"))`.
#
# Think first: what is in short supply, and how much of it is spent for the second time? In which unit is each figure?
# One window is five seconds, in which a single prompt can be most of the work.

# %% id="practice"
from labkit.specs.eviction_storms.boards import board
from labkit.widgets import StormBoard

# to practise on: KINDS has the kinds, and any number is a seed
StormBoard(board("lunch-3"), "A board to practise on")

# %% id="ex-thrash-alert"
# %%exercise thrash_alert
import numpy as np


def thrash_alert(board) -> list[bool]:
    """In which windows the server computes so much twice that somebody must look.

    Args:
        board: of n windows of 5 seconds. board["computed"] is a float array [n]; so
            are "delivered", "recomputed" (tokens per second), "evicted", "regretted"
            (blocks of 16 tokens per second), "preempted", "arrived", "finished" (a
            second), "running", "waiting" (at the end of the window), "held",
            "cached", "free", "hit_rate" (shares), "ttft_p50", "itl_p99" (seconds)
            and more. NaN is what is not known. len(board) is n.

    Returns:
        n times True or False. What is said of a window stays when later ones come.
        True where a quarter or more of the tokens computed in the last 20 seconds
        had been computed before, and that for 20 seconds; False where it has been
        less than a tenth for 20 seconds. Between the two it is yours to choose.
    """
    # BEGIN SOLUTION
    again = board["recomputed"] + 16 * board["regretted"]
    computed = board["computed"]
    fires = []
    for at in range(len(board)):
        last = slice(max(0, at - 3), at + 1)
        known = np.isfinite(again[last] + computed[last])
        twice = again[last][known].sum()
        whole = computed[last][known].sum()
        fires.append(bool(whole > 0 and twice >= 0.15 * whole))
    return fires
    # END SOLUTION

# %% id="league"
from labkit.mine import thrash_alert
from labkit.observe.alerts import rule_of

for name, alarm in {**others, "your alarm": thrash_alert}.items():
    it = score(alarm, names)
    print(f"{name:33} {it.told:2} of {it.storms} storms told,",
          f"{it.false} of {it.healthy} healthy accused")
StormBoard(
    board("crowding-22"), "Your alarm on a board",
    rules=[rule_of(thrash_alert, "yours", "Your alarm")],
)

# %% [markdown] id="after-league"
# The 33 boards are others than those of the check. From now on your alarm stands beside the rules on every storm board
# of the course whose knobs can be turned.

# %% [markdown] id="about-prove"
# ## Change the right thing, and prove it
#
# An alarm says that something is wrong. The rest is four questions, and they are what each drill below asks:
#
# 1. **What convicts?** Here is a server that preempts, without a prefix cache. Over two minutes it has computed a
#    seventh of its work before: more than the tenth under which a server is merely busy.
# 2. **What does that rule out?** Nothing is cached, so nothing is regretted: no policy of eviction will help.
# 3. **What is the next look, and what would each outcome mean?** The watermark. If it is high, somebody holds memory
#    that does not run; if it is 0, requests are let in as if their answers took no room. It is 0.
# 4. **Which change, and what does it cost?** A watermark; new requests wait longer. One run proves nothing, since who
#    comes is drawn. So the same eight crowds are served under each setting.

# %% id="prove"
from labkit.specs.eviction_storms.scenes import SICK, paired

print("watermark  preempted  computed twice  delivered/s  first token")
runs = {mark: paired(SICK, range(1, 9), watermark=mark) for mark in (0.0, 0.02, 0.05, 0.1)}
for mark, it in runs.items():
    print(f"{mark:9} {it.preemptions:10} {it.twice:15.0%} {it.delivered:12.0f}",
          f"{it.ttft_s:10.1f} s")
before, after = runs[0.0].runs, runs[0.05].runs
fewer = sum(b.totals["preemptions"] < a.totals["preemptions"] for a, b in zip(before, after))
print(f"0.05 against 0: fewer preemptions on {fewer} of 8 crowds")

# %% [markdown] id="after-prove"
# From a watermark of 0 to one of 0.05 preemptions fall fourfold, tokens per second move by less than a percent, and the
# median first token comes nearly twice as late. That is the shape of vLLM pull request 44594 (lesson 17 has its figures). Who
# looks at throughput alone sees neither the disease nor the cure. On one of the eight crowds nobody was preempted to
# begin with, so nothing could get better there: that is why a fix is judged on several.

# %% [markdown] id="about-break-it"
# ### Break it: the red line (6 minutes, difficulty 3, importance 4)
#
# There is a Grafana board for vLLM (`vllm_kv_cache.json`) that shows preemptions per second: red from 1 on. Somebody made
# it an alarm:
#
# ```python
# def alarm(preempted, computed, recomputed, seconds):
#     return preempted / seconds >= 1
# ```
#
# In vLLM issue 25538 requests of 100,000 tokens were let in on their first piece and gave it up again: about 100 tokens
# per second became 1.5, and one preemption threw away as much as thousands do elsewhere. Convict the alarm. A third of all
# tokens is to be computed twice, and it stays calm.
#
# `("Server", 20)` makes a server with 20 blocks of 16 tokens and no prefix cache, and comes first;
# `("come", "A", 100, 50)` brings a request of 100 tokens that generates 50; `("run",)` serves all that have come, for
# a second at least. Who came last gives way first. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_red_line
# BEGIN SOLUTION
ops = [
    ("Server", 10),
    ("come", "A", 10, 30),
    ("come", "B", 133, 10),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Server", 20),
#     ("come", "A", 100, 50),
#     ("run",),
# ]
# END STUB

# %% [markdown] id="about-drills"
# ## Ten servers
#
# Now without labels. Ten drills in an order of your own, and no two alike in a row: somebody's headline, two minutes of
# a board, and neither code nor configuration. Pin what convicts on one figure, and on another what rules a rival out,
# before you see any options; choose the next look and say what each outcome would mean; name the cause; change
# something, or nothing, and say what it costs. Your change is tried on crowds that you have not seen. Some of these
# servers are healthy, and some boards acquit the cache: for a healthy server, pin what acquits it of what its headline
# suspects.
# A pin takes 3 windows at least, and half the board at most.
#
# A pin is judged in those of its windows in which the trouble of the headline is, and what you are told afterwards is
# what was computed: the value there, and the line. A figure that tells two causes apart on one server does so on all;
# where one cannot, you are told why. Work done twice has one scale everywhere: over two minutes, or any 20 seconds,
# less than a tenth is a busy day and a quarter is a storm. Between the two lies the line of the board's own rule, 15%,
# and the drills hold the windows that you pin to that.
#
# Three of them are enough for today, at about six minutes each. The board goes on for as long as you do: after the ten
# come the other six of the course, and then any of the 16. `labkit drill --endless` is the same in a terminal.

# %% id="drills"
from labkit.widgets import DrillBoard

DrillBoard(endless=True)

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("19")

# %% id="finish"
finish("19")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **vLLM's KV events** (`--kv-events-config`, `vllm/distributed/kv_events.py`) are the stream of your exercise:
#   `BlockStored`, `BlockRemoved`, `AllBlocksCleared`. `BlockRemoved` is sent for each block, also where another one with
#   the same content stays, so blocks have to be counted; who crosses contents off a list sees regret where there is none.
# - **vLLM** counts preemptions late: `vllm:num_preemptions_total` grows when the victim gives its next token. In the
#   worst storm nobody comes back, and the counter stands still. An alarm on it needs a second leg: delivered tokens per
#   second, or `vllm:num_requests_waiting_by_reason`.
# - **SGLang** has evictions as `sglang:evicted_tokens_total`, in tokens, and recomputation as the difference of
#   `sglang:realtime_tokens_total` and `sglang:prefill_effective_tokens_total`. The gauge `sglang:num_retracted_reqs` is
#   set back at each report: what happened between two scrapes is not in it.
# - **How many preemptions are healthy?** inference-sim issue 963 has a vLLM that was well and preempted 7.4% of its
#   requests, each at most 4 times. Evictions have no such figure: LMCache issue 4994 has two caches with equally many,
#   one of which lost all that was in use.
# - **More tokens and more memory are not the only cures.** Requests with one beginning sent to one server of several
#   need it cached once. Taken too far it fills one server and empties the others (llm-d-router pull request 2515).

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked how to watch a KV cache wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("19", "verify")

# %% [markdown] id="fair" tags=["fold"]
# ## Is the judge fair?
#
# The check calls a storm what your alarm should measure: a share of work that is done twice. Nobody else has to agree
# with that. So here is another witness: the same people on the same card with four times the blocks. Where memory was
# the trouble, the card has less to compute for each token that it delivers; where it was not, hardly anything changes.

# %% id="witness"
from dataclasses import replace

from labkit.drills.world import run

print("kind       computed for a delivered token    with four times the blocks")
for kind, world in KINDS.items():
    plenty = replace(world, blocks=4 * world.blocks)
    each = []
    for it in (world, plenty):
        totals = [run(it, seed).totals for seed in (21, 22)]
        computed = sum(one["computed_tokens_per_second"] for one in totals)
        each.append(computed / sum(one["tokens_per_second"] for one in totals))
    print(f"{kind:10} {each[0]:29.1f} {each[1]:29.1f}  {each[1] / each[0] - 1:+.0%}")
