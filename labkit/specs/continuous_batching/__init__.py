"""Lesson 16, continuous batching: its rules, witnesses and hints."""

from __future__ import annotations

from labkit.grading.breakit import BreakIt
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.continuous_batching.referees import ChunksReferee, DecodesReferee, StepReferee, workload


class PlanDecodes(Specification):
    """One token for everybody who generates."""

    exercise = "plan_decodes"
    referee = DecodesReferee
    stateful, stay, examples = False, "nothing-is-changed", 1000
    rules = rules_from(
        """
        budget-is-kept: Never are more tokens planned than the budget has.
            ? The budget is 2 and three requests decode. After how many does your loop stop, and what if the \
              budget is 0 from the start?
            A:3:3:1,B:3:3:1,C:3:3:1 2
            A:3:3:1,B:3:3:1,C:3:3:1,D:3:3:1 1
            A:3:3:1 0
            A:4:4:1,B:4:5:2 1
        prompts-do-not-decode: Whoever still has to compute more than the token it generated last does not decode.
            ? How many of its known tokens are computed when a request is ready for the next one, and was the one that \
              is left generated?
            A:5:2:0 3
            A:5:4:0 3
            A:1:0:0 2
            A:5:0:3 9
            A:5:6:3 9
            A:4:4:1,B:5:4:0,C:6:6:1 9
        one-token-each: Each of those that generate gets one token, once.
            ? How many tokens does each of your pairs plan, and can a request come into the plan twice?
            A:3:3:1 4
            A:3:6:4 5
            A:2:2:1,B:2:3:2 9
        nobody-is-left-out: As far as the budget goes, everybody who generates is in the plan.
            ? Somebody at the head of the list is still working on a prompt. What does your loop do then: go on \
              with the next one, or end?
            A:5:2:0,B:3:3:1 1
            A:5:2:0,B:6:0:0,C:3:3:1,D:3:3:1 2
            A:3:3:1,B:5:2:0,C:3:3:1 9
            A:3:5:3:1 9
            "" 3
            300xA:3:3:1 512
        in-order: The plan is in the order of admission, and whoever came first has its token first.
            ? In which order stands the list that you are given, and does anything in your code reorder it?
            A:3:3:1,B:3:9:7 1
            B:3:5:3,A:3:3:1 9
        nothing-is-changed: A plan changes nothing: not the list, and no request in it.
            ? Whose list do you append to, and does any line of yours write to a field of a request?
            A:3:3:1,B:4:4:1 2
        """
    )
    hints = (
        "Two requests each have one token left to compute. One of them has generated something, the other has not. "
        "What comes out of the step for each, and which of the two is still working on its prompt?",
        "A request decodes if its output is not empty and missing is 1. The plan is as long as the budget at most.",
        "plan = []\nfor request in running:\n    if len(plan) ____ budget:\n        break\n"
        "    if request.output and request.missing == ____:\n        plan.append(____)\nreturn plan",
    )
    search = {"running": workload(), "budget": (0, 5)}


class PlanChunks(Specification):
    """Pieces of prompts, until the budget is spent."""

    exercise = "plan_chunks"
    referee = ChunksReferee
    stateful, stay, examples = False, "nothing-is-changed", 1000
    rules = rules_from(
        """
        budget-is-kept: All pieces together are never more than the budget.
            ?
            A:3:0:0,B:3:0:0 4
            A:9:0:0 4
            A:2:0:0,B:2:0:0,C:2:0:0 3
            A:9:0:0 4 longest=6
        no-more-than-is-missing: A piece is no longer than what its request still has to compute.
            ? What of its prompt has a request computed already, and where do you subtract it?
            A:5:0:0 9
            A:5:3:0 9
            A:5:2:3 9
            A:3:0:0 9 longest=5
        longest-is-kept: No piece has more tokens than `longest`, where that is given.
            ? Which of the three limits is missing from your `min`, and for which requests?
            A:9:0:0 9 longest=3
            A:9:0:0,B:9:0:0 9 longest=3
            A:9:1:0 9 longest=3
        one-piece-each: Each request has one piece at most, and a piece has a token at least.
            ? When the budget is spent, what do your next rounds of the loop add to the plan?
            A:4:0:0,B:3:0:0 4
            A:4:0:0 0
            A:9:0:0 9 longest=3
        the-budget-is-spent: Each in turn gets as much as it misses, `longest` and the budget allow.
            ? Add up your pieces. Where the budget has something left, which request still missed tokens, and why \
              did its piece end?
            A:5:0:0,B:9:0:0 8
            A:9:3:0,B:2:0:0 4
            A:9:0:0,B:9:0:0 6 longest=4
            A:4:0:0,B:9:0:0,C:9:0:0 9 longest=3
            A:7:0:0 9 longest=4
            A:5:0:4 9
            A:5:2:3:1 9
            "" 5
            300xA:3:0:0 800
            A:5000:100:0 9000
        in-order: The plan is in the order of the requests, and whoever comes first is served first.
            ? Who is served first when the budget is too small for all, and does anything in your code reorder \
              the list?
            A:9:0:0,B:2:0:0 5
            B:2:0:0,A:3:0:0 9
        nothing-is-changed: A plan changes nothing: not the list, and no request in it.
            ? Whose list do you append to, and does any line of yours write to a field of a request?
            A:5:0:0,B:9:0:0 8
        """
    )
    hints = (
        "Three numbers limit a piece. Which are they, and which of them is another one for the next request?",
        "A piece is the least of what is missing, what is left of the budget, and longest. Once nothing is left of the "
        "budget, nobody gets anything.",
        "for request in requests:\n    piece = min(request.missing, ____)\n    if longest is not None:\n"
        "        piece = min(piece, ____)\n    if piece == ____:\n        break\n"
        "    plan.append((request, piece))\n    budget -= ____",
    )
    search = {"requests": workload(), "budget": (0, 12), "longest": [None, None, 1, 2, 3, 5]}


class OneStep(Specification):
    """Those who run, then the queue."""

    exercise = "step"
    referee = StepReferee
    examples, steps = 150, 14
    rules = rules_from(
        """
        preempted-computes-nothing: Whoever was preempted in this step is not in its plan.
            ? `grow` may take memory from somebody whose turn is still to come. Where do you look before you ask for \
              that one?
            new 4 9 9; come A 3 4; come B 3 3; step; step; step
            new 3 9 9; come A 2 4; come B 2 3; step; step; step
        nothing-is-computed-yet: A step is a decision: no request computes or generates in it.
            ? Who counts what a request has computed, and when?
            new 9 9 9; come A 3 3; step; step
        budget-is-kept: A step computes no more tokens than its budget.
            ? What has the budget left when the decodes are planned, when the chunks are, and when you ask for \
              the queue?
            new 9 4 9; come A 3 2; come B 3 2; step; step
            new 9 3 9; come A 1 3; come B 5 2; step; step
            new 9 2 9; come A 1 4; come B 1 4; step; come C 1 2; step; step
        memory-before-computing: Whoever computes has found memory for as many tokens in this step, and whoever found \
          memory computes.
            ? What do grow and admit answer, and what of it stands in your plan?
            new 9 9 9; come A 3 3; step; step; step
            new 9 4 9; come A 7 2; step; step
            new 9 9 9; come A 3 3; come B 2 2; step; step
        seats-are-kept: No more requests run than there are seats.
            ? Before you ask for the head of the queue: how many run, and how many seats are there?
            new 9 9 1; come A 1 3; come B 1 2; step; step; step; step
            new 9 9 1; come A 1 3; come B 1 2; come C 1 2; step; step
        who-preempts-admits-nobody: A step in which somebody gave memory up lets nobody in.
            ? A victim has just freed its blocks. Who stands at the head of the queue in the next step, and who would \
              have them before?
            new 4 9 9; come A 3 4; come B 3 3; step; step; come C 1 1; step; step
        one-refused-head-stops-the-queue: Where the head of the queue is refused, nobody behind it is let in.
            ? The head of the queue is too long for memory and the next one is not. If the next one goes first, \
              when does the head ever start?
            new 5 20 9; come A 4 3; step; come B 7 2; come C 1 1; step; step; step
            new 6 20 9; come A 4 3; step; come B 9 2; come C 1 1; come D 1 1; step; step; step
        decodes-before-chunks: Who decodes has the budget before all chunks of prompts, and before the queue.
            ? Somebody decodes and somebody else has a long prompt. Who gets the budget of your step when it is small?
            new 9 4 9; come A 1 3; step; come B 9 1; step; step
            new 12 4 9; come A 1 9; step; come B 9 2; step; step; come C 4 1; step; step; step
            new 12 3 9; come A 7 2; step; step; step; come B 1 5; step; come C 9 2; step; step; step
            new 12 6 9 longest=2; come A 9 2; come B 1 5; step; step; step; step
        running-before-the-queue: What those who run can compute comes before the queue.
            ?
            new 12 4 9; come A 9 1; step; come B 4 1; step; step; step
            new 12 6 9 longest=2; come A 9 2; come B 5 2; step; step; step
        the-queue-is-let-in: With budget, seat and memory left, the head of the queue is let in, and then the next.
            ? Somebody was let in, and budget, seat and memory are left. What does your code do next?
            new 9 9 9; come A 2 2; come B 2 2; come C 2 2; step; step
            new 9 9 2; come A 2 1; come B 2 2; step; come C 2 1; step
            new 12 5 9; come A 3 4; come B 6 1; step; step; step
            new 400 900 300; come A 1 1; step; come A 1 1; step; come A 1 1; step; come A 2 2 many=280; step; step
        in-order-of-admission: Those who run find memory in the order of admission, and stand in it in the plan, \
          before those that were let in.
            ? A decodes and B, which came before it, is in the middle of its prompt. Whom do you ask for memory \
              first, and where does each stand in your plan?
            new 12 5 9; come A 7 2; come B 1 3; step; step; step; step; step
            new 12 6 9 longest=3; come A 9 2; come B 1 5; step; step; step; step
            new 6 4 9 longest=3; come A 8 2; come B 1 6; step; step; step; step; step
        """
    )
    hints = (
        "Go through a step on paper: A decodes, B is in the middle of its prompt, C waits. Who asks whom for what, in "
        "which order?",
        "First it is planned how the budget is shared among those who run, decodes first. Then grow is asked for each "
        "of them, in order of admission. If preempted is empty then, admit is asked for the head of the queue, until "
        "it says 0.",
        "decodes = dict(scheduler.plan_decodes(running, scheduler.budget))\n"
        "chunks = scheduler.plan_chunks(____, scheduler.budget - len(decodes), scheduler.longest_chunk)\n"
        "wanted = {**decodes, **dict(chunks)}\n"
        "for request in running:\n    if request in wanted and request not in ____:\n"
        "        if scheduler.grow(request, wanted[request]):\n            plan.append(____)\n"
        "while scheduler.waiting and not ____ and len(scheduler.running) < scheduler.seats:\n"
        "    n = scheduler.admit(____, left)\n    if not n:\n        break",
    )
    search = {
        "num_blocks": (3, 9),
        "budget": (1, 8),
        "seats": (1, 4),
        "longest": [None, None, 1, 2, 3],
        "name": "ABCDEFGH",
        "prompt": (1, 9),
        "max_tokens": (1, 6),
    }


class BreakTheQueueFirst(BreakIt):
    """A step that serves the queue before those who decode."""

    exercise = "break_queue_first"
    base = OneStep()
    renamed = {"Scheduler": "new"}
    example = '("Scheduler", 9, 4, 9)'
    without = {"step": "Nothing was computed: a step decides only when it is asked."}
    hints = (
        "Who is asked first in the code above, and what is left for the others when the answer is yes?",
        "Somebody must decode, and somebody else must come, in a step whose budget is too small for both.",
        '[("Scheduler", 9, 4, 9), ("come", "A", 1, 2), ("step",), ("come", "B", ____, 1), ("____",)]',
    )


LESSON = Lesson(
    key="16_continuous_batching",
    title="Continuous batching",
    part="III. The scheduler",
    minutes=75,
    builds="The decision of every step: who computes how many tokens, within a budget, with prompts cut into chunks.",
    symptom="The queue is long, and most of the time the seats of the server are idle: everybody waits for the longest "
    "answer.",
    exercises=(
        Exercise("plan_decodes", "One token for everybody who generates", 7, 2, 4, PlanDecodes(),
                 "labkit.scheduling.planning:plan_decodes", slot="scheduler"),
        Exercise("plan_chunks", "Prompts in pieces", 10, 2, 5, PlanChunks(),
                 "labkit.scheduling.planning:plan_chunks", slot="scheduler"),
        Exercise("step", "A step: those who run, then the queue", 15, 4, 5, OneStep(),
                 "labkit.scheduling.step:step", slot="scheduler"),
        Exercise("break_queue_first", "Break it: the queue goes first", 6, 3, 4, BreakTheQueueFirst(), kind="break"),
    ),
    paths=("storms", "whole"),
    ending="I can go through a step of a server: who decodes, whose prompt gets what is left of the budget, and who "
    "comes in. So I can say whose wait gets longer when a long prompt is cut smaller.",
)  # fmt: skip
