"""The README is true: its table is the registry's, and every file and command that it names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from labkit import specs
from labkit.grading.quiz import load

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="an installed wheel has no README beside it")


def row(lesson: specs.Lesson) -> str:
    name = f"[{lesson.title}](notebooks/solved/{lesson.key}.ipynb)"
    questions = len(load(lesson.key).graded)
    asked = "1 question" if questions == 1 else f"{questions} questions"
    return f"| {lesson.number} | {name} | {lesson.builds} | {lesson.minutes} min, {asked} |"


def test_the_table_of_lessons_is_the_registry() -> None:
    text = README.read_text(encoding="utf-8")
    table = text.partition("<!-- lessons -->")[2].partition("<!-- /lessons -->")[0]
    assert table.strip().splitlines() == [row(lesson) for lesson in specs.lessons()]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_what_a_page_links_to_is_there(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{page} links to {target}"


def test_files_that_the_pages_name_are_there() -> None:
    for page in ("README.md", "docs/architecture.md"):
        for name in re.findall(
            r"`((?:labkit|tests|docs|notebooks|quizzes|kernels|benchmarks)/[\w./]*)`",
            (ROOT / page).read_text(encoding="utf-8"),
        ):
            assert (ROOT / name).exists(), f"{page} names {name}"


def test_commands_that_the_readme_names_exist() -> None:
    from typer.testing import CliRunner

    from labkit import cli

    for words in set(re.findall(r"`labkit ([a-z]+)", README.read_text(encoding="utf-8"))):
        name = words.split()[0]
        known = {c.name or c.callback.__name__ for c in cli.app.registered_commands} | set(cli.GROUPS)
        assert name in known, f"labkit {name}"
    assert CliRunner().invoke(cli.app, ["lessons", "--json"]).exit_code == 0


def test_the_figures_of_the_simulator_are_those_of_its_results() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    results = json.loads((ROOT / "benchmarks" / "results" / "simulate.json").read_text(encoding="utf-8"))
    speeds = {found["name"]: found["figures"] for found in results["speeds"]}
    roomy, tight = speeds["azure_llm_2023_conv, room for all"], speeds["azure_llm_2023_conv, tight"]
    mooncake = speeds["mooncake_conversation, room for all"]
    assert f"{roomy['requests']:,} requests, in {roomy['wall_seconds']:.1f} s" in text
    assert f"{mooncake['requests']:,} with their block ids, in {mooncake['wall_seconds']:.0f} s" in text
    assert f"{tight['preemptions']:,} preemptions" in text
    assert f"{tight['ttft_p99_s']:.1f} s, not {roomy['ttft_p99_s']:.1f} s" in text
    delivered = {f"{found['tokens_per_second']:,.0f} tokens per second" for found in (roomy, tight)}
    assert len(delivered) == 1 and delivered.pop() in text
