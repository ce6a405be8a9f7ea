"""Lessons 16 to 18 say what is wrong with an answer, and no more than that."""

from __future__ import annotations

import pytest

from labkit.grading import runner
from labkit.grading.judge import Judge
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.verdict import Verdict
from labkit.specs import exercise


def judged(lesson: str, name: str, *edit: str) -> Verdict:
    text = solutions(lesson)[name]
    for old, new in zip(edit[::2], edit[1::2], strict=True):
        assert text.count(old) == 1
        text = text.replace(old, new)
    spec = exercise(lesson, name).spec
    return Judge(spec, Source(spec, text, f"<exercise {name}>").namespace).verdict()


TOLD = [
    ("16", "plan_decodes", ("plan = []", "plan = []; running.reverse()"), "Argument 1 was changed by the call: it was"),
    ("16", "plan_chunks", ("plan = []", "plan = []; requests.sort(key=lambda r: r.missing)"),
     "it was [A, B] and is now [B, A]"),
    ("16", "plan_decodes", ("return plan", "running[:1] = [7]; return plan"),
     "Argument 1 was changed by the call: it was"),
    ("16", "plan_decodes", ("plan.append((request, 1))", "plan.append((request, 1)); request.output.append(0)"),
     "changed `output` of A from [0] to [0, 0]"),
    ("16", "plan_chunks", ("budget -= piece", "budget -= piece; request.computed += piece"),
     "changed `computed` of A from 0 to"),
    ("16", "plan_decodes", ("append((request, 1))", "append((request.id, 1))"),
     "'A' is no request, the request itself is due"),
    ("16", "plan_decodes", ("append((request, 1))", "append((1, request))"),
     "1 is no request, the request itself comes first"),
    ("16", "plan_chunks", ("(request, piece)", "(request, piece / 1)"),
     "the tokens of A are 3.0, which is no whole number"),
    ("16", "plan_chunks", ("in requests:", "in sorted(requests, key=lambda r: r.missing):"), "comes before"),
    ("16", "step", ("        if n == 0:\n            break\n        plan.append((head, n))",
                    "        plan.append((head, n))\n        if n == 0:\n            break"),
     "is in the plan with 0 tokens: `admit` answers 0 where it has refused"),
    ("18", "choose_victim", ("request.arrival, place", "-request.arrival, place"),
     "Both have priority 1; B came at 5, which is later than A, at 3"),
    ("18", "choose_victim", ('raise SchedulerError(f"There is no way {how!r}: choose one of {list(ranks)}.")',
                             "return None"),
     "called 'newest', and the answer is None all the same"),
    ("18", "choose_victim", ('"most-blocks": l', '"most_blocks": l'), "'most-blocks' is one of the ways to choose"),
    ("18", "preempt_recompute", ("State.PREEMPTED", '"PREEMPTED"'), "'PREEMPTED', which is no State"),
    ("18", "preempt_recompute", ("State.PREEMPTED", "State.FINISHED"), "The state of A is State.FINISHED:"),
    ("18", "preempt_recompute", ("request.computed = 0", "request.computed = 0; request.output = []"),
     "output is [] and was [7, 8]"),
    ("18", "preempt_recompute",
     ("request.computed = 0", "request.computed = 0; request.output = request.output.tolist()"),
     "output is [7, 8] and was array [7, 8]"),
]  # fmt: skip


@pytest.mark.parametrize(("lesson", "name", "edit", "words"), TOLD)
def test_the_reason_names_what_is_wrong(lesson: str, name: str, edit: tuple[str, ...], words: str):
    verdict = judged(lesson, name, *edit)
    assert words in verdict.message


RULES = [
    # Whoever never answers a number has not left attention out, and one slot more than is needed still fits here.
    ("18", "break_even", ("return None", "    return None"), "the-fewest-that-is-cheaper"),
    ("18", "break_even", ("if swap < compute", "if 1000 * swap < compute"), "the-fewest-that-is-cheaper"),
    ("18", "break_even", ("n * token_s + pairs * pair_s", "n * token_s"), "attention-grows"),
    ("17", "can_ever_fit",
     ("-(-slots // block_size)", "-(-prompt_tokens // block_size) - (1 - max_tokens) // block_size"),
     "exactly-enough-is-enough"),
]  # fmt: skip


@pytest.mark.parametrize(("lesson", "name", "edit", "rule"), RULES)
def test_the_rule_is_the_one_that_was_broken(lesson: str, name: str, edit: tuple[str, ...], rule: str):
    assert judged(lesson, name, *edit).rule == rule


def test_a_list_of_objects_that_is_made_anew_with_the_same_ones_is_unchanged():
    assert judged("16", "plan_decodes", "plan = []", "plan = []; running[:] = [*running]").passed


def test_a_list_in_which_a_comma_is_missing_says_what_to_look_for():
    verdict = runner.check("16", "break_queue_first", 'ops = [\n    ("Scheduler", 9, 4, 9)\n    ("step",),\n]\n')
    assert "'tuple' object is not callable (line 2 of your cell): a comma may be missing" in verdict.message
