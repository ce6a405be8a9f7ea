"""`labkit generate`: one prompt, answered by the engine."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from labkit import cli
from labkit.errors import GenerationError
from labkit.serving import Sampling, load

ASK = ["generate", "one two three", "--model", "tiny", "--max-tokens", "6"]


def test_it_says_what_the_model_says():
    expected = load("tiny").generate("one two three", max_new_tokens=6)
    text = CliRunner().invoke(cli.app, ASK)
    assert text.exit_code == 0 and text.stdout == expected.text + "\n" and not text.stderr
    told = json.loads(CliRunner().invoke(cli.app, [*ASK, "--json"]).stdout)
    assert (told["text"], told["tokens"]) == (expected.text, expected.token_ids)
    assert told["finish_reason"] == expected.finish_reason and told["model"] == "tiny" and told["yours"] == []
    assert told["prompt_tokens"] == len(expected.prompt_ids) and told["first_token_s"] > 0


def test_what_is_drawn_has_a_seed_and_ends_where_it_is_told_to():
    how = Sampling(temperature=1.5, seed=4)
    whole = load("tiny").generate("one two three", max_new_tokens=6, sampling=how).text
    drawn = [*ASK, "--temperature", "1.5", "--seed", "4"]
    assert CliRunner().invoke(cli.app, drawn).stdout == whole + "\n"
    told = json.loads(CliRunner().invoke(cli.app, [*drawn, "--stop", whole[4:7], "--json"]).stdout)
    assert told["text"] == whole[:4] and told["finish_reason"] == "stop"


def test_without_a_model_it_says_so_beside_the_answer():
    said = CliRunner().invoke(cli.app, ["generate", "one", "--max-tokens", "2", "--json"])
    assert json.loads(said.stdout)["model"] == "tiny" and "labkit model fetch" in said.stderr


@pytest.mark.parametrize(
    ("more", "message"), [(["--temperature", "-1"], "temperature is -1"), (["--stop", ""], "none of them empty")]
)
def test_settings_that_make_no_sense(more, message):
    failed = CliRunner().invoke(cli.app, [*ASK, *more])
    assert isinstance(failed.exception, GenerationError) and message in str(failed.exception)
