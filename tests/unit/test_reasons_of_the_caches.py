"""What wrong answers to lessons 07 to 09 are told, where no known mistake speaks, and how their text fits a laptop."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.authoring import layout, master
from labkit.grading.judge import Judge
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.verdict import Verdict

WIDEST = 62
"""Characters of a code block in a text cell that a window of 1,100 pixels shows on one line."""


def verdict(lesson: str, exercise: str, *edits: tuple[str, str]) -> Verdict:
    """Of the solution with some of its text exchanged."""
    spec, text = specs.exercise(lesson, exercise).spec, solutions(specs.resolve_key(lesson))[exercise]
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return Judge(spec, Source(spec, text, f"<exercise {lesson}/{exercise}>").namespace).verdict()


@pytest.mark.parametrize(("edit", "said"), [
    (("self.hash_of[block] = key", "self.hash_of[key] = block"),
     "hash_of leads from a block to its hash, and 'a' is no block."),
    (("add(key, block)", "add(block, key)"),
     "by_hash leads from a hash to its blocks, and 0 is no hash: add takes the hash, and then the block."),
])  # fmt: skip
def test_an_entry_the_wrong_way_round_is_the_learner_s_and_told_as_such(edit: tuple[str, str], said: str) -> None:
    seen = verdict("07", "register_release", edit)
    assert (seen.verdict, seen.rule, seen.message) == ("fail", "full-blocks-become-findable", said)
    assert seen.counterexample is not None and seen.counterexample.replay


@pytest.mark.parametrize(("edit", "rule", "said"), [
    (("0, []", "0, root.blocks"), "changes-nothing",
     "The answer is the list of the root itself: what anybody adds to it is added to the tree."),
    (("node = child", "node = child; node.last_used += 1"), "changes-nothing",
     "Looking changed the tree: last_used of the node of 'aabb' is 1 and should be 0."),
    (("blocks += child.blocks[:pages]", "blocks.append(child.blocks[:pages])"), "never-a-wrong-block",
     "[4] stands where the id of a block is due, which is a whole number."),
])  # fmt: skip
def test_a_look_is_told_what_it_did_and_nothing_else(edit: tuple[str, str], rule: str, said: str) -> None:
    seen = verdict("08", "match", edit)
    assert (seen.verdict, seen.rule, seen.message) == ("fail", rule, said)


@pytest.mark.parametrize(("lesson", "exercise", "edit", "entry"), [
    ("07", "allocate_prompt", ("return blocks, len", "return [blocks], len"), "[0, 1, 2]"),
    ("08", "evict_leaf", ("return evicted", "return [evicted]"), "[78, 41]"),
])  # fmt: skip
def test_a_list_among_the_blocks_is_told_as_such(lesson: str, exercise: str, edit: tuple[str, str], entry: str) -> None:
    seen = verdict(lesson, exercise, edit)
    assert seen.message == f"{entry} stands where the id of a block is due, which is a whole number."


def test_a_block_whose_count_is_wrong_is_told_with_its_count() -> None:
    seen = verdict("07", "register_release", ("self.refs.drop(blocks[::-1])", "blocks[::-1]"))
    assert seen.rule == "counts-the-holders"
    assert seen.message == "Block 0 is held by nobody; the count says 1."


def test_nothing_is_said_to_have_been_registered_that_was_not() -> None:
    seen = verdict("07", "allocate_prompt", ("cache.register(hashes, blocks)", "pass"))
    assert seen.message.endswith("It is full, and the full blocks of the prompt are registered.")


def test_a_method_without_self_is_told_so() -> None:
    seen = verdict("07", "register_release", ("def register(self, hashes", "def register(hashes"))
    assert seen.kind == "wrong-parameters"
    assert seen.message.startswith("register is a method and has no self: ")
    other = verdict("07", "register_release", ("def register(self, hashes, blocks)", "def register(self, blocks)"))
    assert other.kind == "wrong-parameters" and "has no self" not in other.message


@pytest.mark.parametrize(("answer", "said"), [
    ("child, blocks", "The answer has 2 parts where 3 parts are due: (node, pages, blocks)."),
    ("blocks", "The answer is a list of numbers where 3 parts are due: (node, pages, blocks)."),
    ("child", "The answer is an object of type RadixNode where 3 parts are due: (node, pages, blocks)."),
])  # fmt: skip
def test_an_answer_of_too_few_parts_is_told_how_many_it_has(answer: str, said: str) -> None:
    assert verdict("08", "match", ("return child, pages, blocks", f"return {answer}")).message == said


def test_none_from_a_return_is_not_said_to_be_a_missing_return() -> None:
    seen = verdict("07", "longest_hit", ("return hit", "return hit or None"))
    assert seen.message.endswith("is a return missing, or does one of them give None?")


@pytest.mark.parametrize("number", ["07", "08", "09"])
def test_code_in_the_text_is_no_wider_than_a_laptop_shows(number: str) -> None:
    (path,) = layout.masters([specs.lesson(number).key])
    for cell in master.read(path).cells:
        if cell.kind == "markdown":
            inside = False
            for line in cell.source.splitlines():
                inside ^= line.startswith("```")
                assert not inside or len(line) <= WIDEST, (cell.id, line)
