"""Lesson 21, your engine: its rules, witnesses and hints."""

from __future__ import annotations

from labkit.grading.breakit import BreakIt
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.your_engine.referees import CancelReferee, LoopReferee, TuneReferee


class EngineStep(Specification):
    """Schedule, run, sample, commit."""

    exercise = "engine_step"
    referee = LoopReferee
    examples, steps = 120, 14
    rules = rules_from(
        """
        one-decision-a-step: A step asks the scheduler once what to do, before all else.
            ? How often does `schedule` run in one call of yours, and what becomes of what it said first?
            new 9 9 9; come A 3 3; step
            new 9 9 9; step
        copies-come-first: What a step says must be copied is copied once, before anything is computed.
            ? A victim's block is given to somebody else in the same step. What must have happened before that one \
              writes into it?
            new 4 9 9 host=8; come A 3 4; come B 3 3; step; step; step
            new 4 9 9 host=8; come A 3 4; come B 3 3; step; step; step; step; step; step
        what-was-planned-is-computed: `run` is given each request of the plan, by its id and in the order of the plan, \
          and nobody else; where nothing is planned it is not called.
            ? Who is in `step.plan`, and who of them is missing from your batch?
            new 9 9 9; come A 3 3; step; step
            new 9 9 9; come A 3 3; come B 2 2; step; step
            new 9 4 9; come A 7 2; come B 1 3; step; step; step
            new 9 9 9; step
        the-tokens-that-are-missing: The tokens of a request are those behind what it has computed, as many as were \
          planned.
            ? The plan says how many. Where do they begin: at the beginning of the prompt, at its end, or somewhere \
              that the request can tell you?
            new 9 9 9; come A 3 4; step; step; step
            new 9 3 9; come A 8 2; step; step; step; step
            new 9 9 9; come A 4 2; step; step; come B 7 2 shared=4; step; step
            new 4 9 9; come A 3 4; come B 3 3; step; step; step; step; step; step
        one-pass-for-all: All of the plan is computed in one call of `run`.
            ? A call reads all the weights of the model, whoever it is for. How many calls has your step?
            new 9 9 9; come A 3 3; come B 2 2; step; step
            new 400 900 300; come A 2 2 many=280; step; step
        no-token-in-mid-prompt: Nothing is sampled for a request that has known tokens left to compute.
            ? After this step, what does a request know whose chunk does not end its prompt, and what was its row of \
              logits about?
            new 9 3 9; come A 8 2; step; step; step; step
            new 9 4 9; come A 1 3; step; come B 9 1; step; step; step
            new 6 4 9; come A 5 5; step; come B 1 6; step; come C 2 4; step; step; step; step; step
            new 3 4 9 longest=2; come A 3 3; step; come B 2 2; step; come C 2 2; step; step
        nobody-is-left-out: Who has everything computed after the step gets a token, at the end of a prompt as well.
            ? Which tokens does a prompt give that is computed whole in one step? And one whose last chunk it was?
            new 9 9 9; come A 3 3; step; step
            new 9 3 9; come A 5 2; step; step; step
            new 9 9 9; come A 3 3; step; come B 2 2; step; step
        the-row-of-its-own: Row i of the logits belongs to request i of the batch, and a token is sampled from its own.
            ? The batch has a row for everybody, and not everybody is sampled. Which row is that of the third in the \
              plan?
            new 12 4 9 longest=2; come A 7 2; come B 1 3; step; step; step
            new 9 9 9; come A 3 3; come B 2 2; step; step
            new 12 6 9 longest=3; come A 9 2; come B 1 5; step; step; step; step
        keyed-by-position: The key of a token is its request and its position: how many tokens stand before it.
            ? A request with 3 tokens: at which place, counted from 0, will the next one stand? Does that depend on \
              how many steps it took?
            new 9 9 9; come A 3 3; step; step; step
            new 9 3 9; come A 5 2; step; step; step
            new 4 9 9; come A 3 4; come B 3 3; step; step; step; step; step; step
        each-token-is-taken-once: `ends` takes each new token into its text, once, before the step is committed.
            ? `ends` answers a question, and it does something as well. How often is it called for each token?
            new 9 9 9; come A 3 3; come B 2 2; step; step; step
            new 9 9 9; come A 3 5 stop=1; come B 2 2; step; step
        who-ends-is-told: `update` is told who has ended: those for whom `ends` has said yes.
            ? The model has said that its text is complete. Who else has to know, so that its memory comes back?
            new 9 9 9; come A 3 5 stop=2; come B 2 5; step; step; step; step
            new 9 9 9; come A 3 5 stop=1; come B 2 5 stop=1; step; step
        every-step-is-committed: `update` is told once of every step that was computed, and it alone counts: the step, \
          and a token for each that was sampled, in the order of the plan.
            ? A step computes a chunk, and no token comes out of it. Who must hear of it all the same?
            new 9 3 9; come A 8 2; step; step; step; step
            new 9 9 9; come A 3 3; come B 2 2; step; step; step
            new 9 4 9; come A 7 2; come B 1 3; step; step; step
        who-got-what: The answer is a pair for each token that was sampled, the request and the token, in the order of \
          the plan.
            ? Who is to be told of these tokens, and what must stand beside each so that they know whose it is?
            new 9 9 9; come A 3 3; come B 2 2; step; step; step
            new 9 3 9; come A 8 2; step; step; step; step
            new 9 9 9; step
        """
    )
    hints = (
        "Go through a step on paper: A decodes, B is in the middle of its prompt, C ends its prompt. What goes into "
        "the model for each, which rows come out, and for whom is one of them a token?",
        "Schedule, move, run, sample, commit. A batch has (id, tokens) for each of the plan, request.tokens(computed, "
        "computed + n). Sampled is whoever misses exactly the n that were planned, from its own row, with the key "
        "(request, num_tokens). Then ends for each, once, and update for all.",
        "step = engine.scheduler.schedule()\nengine.move(step)\n"
        "batch = [(r.id, r.tokens(r.computed, ____)) for r, n in step.plan]\nlogits = engine.run(batch)\n"
        "rows = [i for i, (r, n) in enumerate(step.plan) if n == ____]\n"
        "who = [step.plan[i][0] for i in rows]\n"
        "tokens = engine.sample(logits[____], [(r, ____) for r in who])\n"
        "ended = [r for r, t in zip(who, tokens) if ____]\nengine.scheduler.update(step, tokens, ended)",
    )
    search = {
        "num_blocks": (3, 9),
        "budget": (1, 8),
        "seats": (1, 4),
        "host": [0, 0, 6],
        "longest": [None, None, 1, 2, 3],
        "name": "ABCDEFGH",
        "prompt": (1, 9),
        "max_tokens": (1, 6),
        "stop": [0, 0, 1, 2],
        "shared": [0, 0, 2, 4],
    }


class Cancel(Specification):
    """Somebody leaves, wherever their request is."""

    exercise = "cancel"
    referee = CancelReferee
    prelude = "from labkit.scheduling.request import State\n"
    examples, steps = 200, 16
    rules = rules_from(
        """
        who-runs-leaves-its-memory: One that runs is no longer in `running`, and its blocks are free at once.
            ? Whoever runs stands in a list and holds memory. Which two of your lines give up the one and the other?
            new 9 9 0; come A 3 4; step; cancel A
            new 9 9 0; come A 3 4; come B 3 4; step; cancel A; step; step
            new 9 9 0; come A 3 9; step times=4; cancel A; come B 9 5; step
            new 400 300 0; come A 2 4 many=280; step; cancel A7
        who-waits-leaves-the-queue: One that has not run leaves the queue, and there is nothing else to give back.
            ? What does a request hold that has never run?
            new 9 9 0; come A 3 4; cancel A
            new 9 1 0; come A 3 4; come B 3 4; step; cancel B; step
            new 9 1 0; come A 3 4; come B 3 4; come C 2 2; step; cancel B; step times=5
        who-was-preempted-is-forgotten: One that was preempted leaves the queue, and the manager forgets it, since it \
          does not come back.
            ? The manager has noted whom it preempted, so that it knows them when they come back. Who tells it that \
              this one will not?
            new 4 9 0; come A 3 4; come B 3 3; step times=3; cancel B; step
            new 5 9 0; come A 4 6; come B 3 4; step times=4; cancel B
        host-blocks-come-back: Where one was swapped out, what it has on the host is free as well.
            ? How do you see that a preempted request lies on the host, and who has the blocks there?
            new 4 9 4; come A 3 4; come B 3 3; step times=3; cancel B
            new 4 9 4; come A 3 4; come B 3 3; step times=3; cancel B; come C 3 3; step times=3; cancel C
        nobody-else-is-touched: Whoever else runs or waits keeps all that they have, shared blocks as well.
            ? Which of your lines takes more than one request out of something?
            new 9 9 0; come A 4 4 shared=4; come B 4 4 shared=4; step; step; cancel A; step
            new 9 1 0; come A 3 4; come B 3 4; come C 2 2; step; cancel C; step times=5
            new 4 9 8; come A 3 4; come B 3 3; step times=3; cancel A; step; step
            new 9 2 0; come A 3 4; come B 3 4; come C 2 2; step; cancel A; step times=5
        a-cancel-is-no-preemption: No counter takes it for a preemption.
            ? A board counts preemptions to tell storms. Which call of yours counts as one?
            new 9 9 0; come A 3 4; step; step; cancel A
        what-it-computed-stays-findable: What it has computed stays findable, as that of one that has finished.
            ? The next user may begin with the same prompt. Which call of yours makes it unfindable?
            new 9 9 0; come A 4 4; step; step; cancel A
            new 9 9 0; come A 4 4; come B 2 4; step; cancel A; step; cancel B
        """
    )
    hints = (
        "In how many states can a request be when its user leaves? For each of them: in which list is it, and what "
        "does it hold?",
        "Who runs: out of `running`, and manager.free. Who does not: waiting.remove. And if it was preempted, "
        "manager.forget; if it still counts something as computed, that lies on the host: swapper.pool.forget.",
        "if request.state is State.RUNNING:\n    scheduler.running.remove(request)\n"
        "    scheduler.manager.____(request.id)\nelse:\n    scheduler.waiting.remove(request)\n"
        "    if request.state is State.PREEMPTED:\n        scheduler.manager.____(request.id)\n"
        "        if request.____:\n            scheduler.swapper.pool.forget(request.id)",
    )
    search = {
        "num_blocks": (3, 9),
        "seats": (1, 4),
        "host": (0, 6),
        "name": "ABCDEFGH",
        "prompt": (1, 7),
        "max_tokens": (1, 6),
        "shared": [0, 0, 2, 4],
        "times": [1, 1, 2, 3],
    }


class TuneStorm(Specification):
    """Fewer seats in a storm, and more when it is over: on servers that it has not seen.

    A witness names a server of `labkit.specs.your_engine.storms`, and its seeds.
    """

    exercise = "tune_storm"
    referee = TuneReferee
    prelude = "from dataclasses import replace\n"
    op_seconds = 8.0
    rules = rules_from(
        """
        answers-with-knobs: The answer is a SchedulerConfig after every window, also of one in which nobody was there.
            ? What does your function return in each of its cases, and what is there when nothing was computed?
            serve quiet 5
        two-knobs-alone: Nothing but seats and the watermark is turned.
            ? `replace` makes a new SchedulerConfig with some fields changed. Which of yours are neither?
            serve quiet 3
        unknown-is-no-reason: Where nothing is known of the last window, the knobs stay as they are.
            ? What is `NaN > 0.1`, and what is `not NaN <= 0.1`? Which of the two stands in your function?
            blind documents 3 10
            blind few-seats 3 4
        the-healthy-are-left-alone: A server for which seats can do nothing delivers as much as untouched, however \
          many wait, however full its cache is, and however much of what it evicts is wanted again.
            ? Which figure do you take for a storm that seats could calm? Who of those that run took somebody's memory?
            serve overload 3
            serve scan 3
            serve beginnings 1
        a-storm-comes-to-rest: Within a few windows a storm is over: of what is computed twice on a server that nobody \
          touches, two thirds at most are left.
            ?
            serve documents 3 4
            serve answers 2 3
            serve both 6 7
        nobody-is-strangled: A server that had a storm delivers 70% at least of what it would have untouched.
            ? How few seats does your rule come down to, and how long does it take to come back from there?
            serve documents 3 4
            serve answers 2 3
        seats-come-back: Where hardly anything is computed twice and somebody waits for a seat, there are more seats \
          after a while.
            ? When it has been calm for a while and people wait, which line of yours adds a seat? How many windows \
              does it take?
            serve few-seats 3
            serve passing 7
        """
    )
    hints = (
        "How much of what is computed did a preemption throw away? How many must run so that nobody takes another's "
        "memory, and how many windows does your rule take to get there from 64?",
        "The share of `recomputed` in `computed`. Above a tenth or two: a share of the seats that are taken, "
        "`running`, and not of those that there are. Near nothing, with all seats taken and somebody waiting: a seat "
        "or two more. Else the same. Regret is for more memory to cure, not for fewer seats.",
        'again, computed = board["____"][-1], board["computed"][-1]\n'
        "if again > ____ * computed:\n"
        '    seats = int(____ * min(config.seats, board["running"][-1]))\n'
        "    return replace(config, seats=max(1, seats))\n"
        'if board["waiting"][-1] > 0 and board["running"][-1] >= ____:\n'
        "    return replace(config, seats=config.seats + ____)\nreturn config",
    )


class BreakCancel(BreakIt):
    """A cancel that knows three of the four cases."""

    exercise = "break_cancel"
    base = Cancel()
    renamed = {"Scheduler": "new"}
    example = '("Scheduler", 9, 9, 4)'
    without = {
        "cancel": "Nobody leaves in it: a cancel that is never called forgets nothing.",
        "step": "Nobody has run in it: who waits for the first time has nothing to forget.",
    }
    hints = (
        "Which of the four cases has a line in the code above, and which has none?",
        "Somebody must be swapped out when their user leaves: memory must be short, and the host must have room.",
        '[("Scheduler", 4, 9, ____), ("come", "A", 3, 4), ("come", "B", 3, ____), ("step",), ..., ("cancel", "____")]',
    )


LESSON = Lesson(
    key="21_your_engine",
    title="Your engine, a real model",
    part="Capstone",
    minutes=75,
    builds="The loop that turns your parts into a server, what it does when a user leaves, and how it calms a storm.",
    symptom="Every part has passed its tests, and two users get each other's sentences.",
    exercises=(
        Exercise("engine_step", "Schedule, run, sample, commit", 15, 4, 5, EngineStep(),
                 "labkit.serving.engine_step:engine_step", slot="model"),
        Exercise("cancel", "Somebody leaves", 8, 2, 4, Cancel(), "labkit.scheduling.cancel:cancel", slot="model"),
        Exercise("tune_storm", "A storm, calmed", 12, 4, 4, TuneStorm(), "labkit.scheduling.tuning:tune_storm"),
        Exercise("break_cancel", "Break it: the client that was swapped out", 6, 3, 3, BreakCancel(), kind="break"),
    ),
    paths=("storms", "kernels", "whole"),
    ending="I have an engine that serves a real model, and I can name every line that its tokens go through. I know "
    "what it owes to whoever leaves, and what to turn when it computes more and delivers less.",
)  # fmt: skip
