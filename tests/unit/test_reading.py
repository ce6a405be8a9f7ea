"""Files from outside: whatever is in them, one sentence and soon; and what is right is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from labkit.errors import (
    AnswerError,
    CheckpointError,
    LabkitError,
    LessonError,
    MissingFileError,
    ProgressError,
    QuizFileError,
    TraceFileError,
    UnreadableError,
)
from labkit.reading import MOST_DEEP, parse_json, parse_yaml, read_bytes, read_json, read_python, read_text

DEEP = "[" * 100_000 + "]" * 100_000
BAD_JSON = {
    "deep": (DEEP, "nested too deep"),
    "deep-enough": ("[" * (MOST_DEEP + 1) + "]" * (MOST_DEEP + 1), "nested too deep"),
    "huge-int": ("9" * 5000, "more than 64 bits"),
    "int-65-bits": (str(1 << 63), "more than 64 bits"),
    "nan": ('{"a": NaN}', "it holds NaN"),
    "infinity": ("-Infinity", "it holds -Infinity"),
    "huge-float": ("1e309", "it holds 1e309"),
    "surrogate": ('["\\ud800"]', "surrogate"),
    "surrogate-key": ('{"\\udfff": 1}', "surrogate"),
    "cut": ('{"a": 1', "it is not JSON"),
    "empty": ("", "it is not JSON"),
}
BAD_YAML = {
    "alias": ("a: &x [1]\nb: *x", "alias *x"),
    "endless": ("&x [*x]", "alias *x"),
    "laughs": ("a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]", "alias *a"),
    "deep": ("[" * 200 + "]" * 200, "nested too deep"),
    "no-date": ("a: 2026-99-99", "cannot be made"),
    "no-int": ("a: !!int abc", "cannot be made"),
    "object": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "nan": ("a: .nan", "it holds nan"),
    "infinity": ("a: .inf", "it holds inf"),
    "many": ("- 1\n" * 20_001, "more than 20,000 parts"),
    "long-int": ("a: " + "9" * 4400, "cannot be made"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_told_in_a_clause(name: str) -> None:
    text, reason = BAD_JSON[name]
    with pytest.raises(UnreadableError) as raised:
        parse_json(text)
    assert reason in raised.value.reason and len(raised.value.reason) < 120


@pytest.mark.parametrize("name", BAD_YAML)
def test_bad_yaml_is_told_in_a_clause(name: str) -> None:
    text, reason = BAD_YAML[name]
    with pytest.raises(UnreadableError) as raised:
        parse_yaml(text, yaml.SafeLoader)
    assert reason in raised.value.reason and len(raised.value.reason) < 160


def test_what_is_right_is_read(tmp_path: Path) -> None:
    value = {"a": [1, -(1 << 63), 2.5, None, True, "é 🙂"], "b": {"c": [[[]]]}}
    assert parse_json(json.dumps(value)) == value == parse_json(json.dumps(value, ensure_ascii=False))
    assert parse_yaml("a: [1, 2.5, text]\nb: {c: d}\n", yaml.SafeLoader)[1] == {"a": [1, 2.5, "text"], "b": {"c": "d"}}
    assert parse_yaml("", yaml.SafeLoader) == (None, None)
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a":\r\n 1}')
    assert read_json(path) == {"a": 1} and read_text(path) == '{"a":\n 1}'
    path.write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    assert read_python(path).endswith("x = 'é'\n")
    assert read_bytes(path, most=path.stat().st_size) == path.read_bytes()


@pytest.mark.parametrize("encoding", ["hex", "rot13", "undefined", "punycode", "utf-7", "nothing-of-this-name"])
def test_python_in_no_encoding_of_text(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "f.py"
    path.write_text(f"# coding: {encoding}\nx = 1\n")
    with pytest.raises(UnreadableError, match="UTF-8"):
        read_python(path)


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


def device(path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    path.symlink_to("/dev/zero")


WRONG_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (pipe, "no ordinary file"),
    "device": (device, "no ordinary file"),
    "folder": (Path.mkdir, "folder"),
    "large": (lambda path: path.write_bytes(b" " * 20_000_000), "larger than"),
    "latin": (lambda path: path.write_bytes(b'{"a": "\xe9"}'), "not UTF-8"),
    "utf-16": (lambda path: path.write_bytes('{"a": 1}'.encode("utf-16")), "not UTF-8"),
    "deep": (lambda path: path.write_text(DEEP), "nested too deep|expression in it is nested|too many nested|deep"),
    "missing": (lambda path: None, "no such|is no quiz|not there|missing"),
}


def quiz(path: Path) -> None:
    from labkit.grading.quiz import load

    load(path)


def answers(path: Path) -> None:
    from labkit.grading.quiz_commands import read_answers

    read_answers(path)


def config(path: Path) -> None:
    from labkit.serving.config import ModelConfig

    ModelConfig.read(path.parent)


def tokenizer(path: Path) -> None:
    from labkit.serving.tokenizer import Tokenizer

    Tokenizer.read(path.parent)


def progress(path: Path) -> None:
    from labkit.grading.progress import Progress

    Progress(path.parent / "home").import_(path)


def policy(path: Path) -> None:
    from labkit.grading.tournament_command import hold

    hold(seed=1, file=path, requests=3, capacities=(2,))


def trace(path: Path) -> None:
    from labkit.simulate.traces import read_trace

    read_trace(path)


def graded(path: Path) -> None:
    from labkit import specs
    from labkit.grading.commands import _from_file

    _from_file(path, list(specs.lesson("04").exercises))


READERS: dict[str, tuple[Callable[[Path], None], str, type[LabkitError] | tuple[type[LabkitError], ...]]] = {
    "quiz": (quiz, "q.yaml", (QuizFileError, LessonError)),
    "answers": (answers, "answers.json", AnswerError),
    "config": (config, "config.json", CheckpointError),
    "tokenizer": (tokenizer, "tokenizer.json", CheckpointError),
    "progress": (progress, "export.json", ProgressError),
    "policy": (policy, "policy.py", LabkitError),
    "trace": (trace, "trace.jsonl", TraceFileError),
    "graded": (graded, "file.py", LessonError),
}


@pytest.mark.parametrize("wrong", ["pipe", "device", "folder", "latin", "missing"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_files_says_what_is_wrong(tmp_path: Path, reader: str, wrong: str) -> None:
    read, name, error = READERS[reader]
    make, _ = WRONG_FILES[wrong]
    make(tmp_path / name)
    with pytest.raises(error) as raised:
        read(tmp_path / name)
    said = str(raised.value)
    assert said.count("\n") == 0 and (name in said or str(tmp_path) in said) and "Error(" not in said


@pytest.mark.parametrize("wrong", ["pipe", "device", "folder", "large", "latin", "utf-16", "deep", "missing"])
def test_wrong_files_have_a_reason(tmp_path: Path, wrong: str) -> None:
    make, reason = WRONG_FILES[wrong]
    make(tmp_path / "f")
    with pytest.raises(MissingFileError if wrong == "missing" else UnreadableError, match=reason):
        read_json(tmp_path / "f")


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.parametrize("reader", ["answers", "config", "progress"])
def test_bad_json_reaches_every_reader_as_a_sentence(tmp_path: Path, reader: str, name: str) -> None:
    read, file, error = READERS[reader]
    (tmp_path / file).write_text(BAD_JSON[name][0], encoding="utf-8")
    with pytest.raises(error):
        read(tmp_path / file)


@pytest.mark.parametrize(
    "changed",
    [
        {"rope_scaling": [1]}, {"rope_scaling": "llama3"}, {"num_hidden_layers": 10**9}, {"vocab_size": 1 << 62},
        {"head_dim": []}, {"eos_token_id": {"a": 1}}, {"hidden_size": "wide"}, {"rope_theta": [1]},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_is_refused_at_once(changed: dict) -> None:
    from labkit.serving.config import ModelConfig

    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    right = {"model_type": "llama", **dict.fromkeys(sizes, 8), "head_dim": 4}
    assert ModelConfig.from_dict(right).num_hidden_layers == 8
    with pytest.raises(CheckpointError, match=r"config\.json"):
        ModelConfig.from_dict({**right, **changed})


HEAVY = ("hypothesis", "jsonschema", "jupytext", "matplotlib", "nbformat", "pandas", "scipy", "torch", "transformers")
"""What takes a second and more to load. Quizzes, for one, were held to their schema before they travelled."""


def test_the_first_cell_of_no_lesson_loads_what_is_slow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom labkit import specs\nfrom labkit.lesson import start\n"
        "for key in specs.KEYS: start(key)\n"
        f"print(len(sys.modules), *(name for name in {HEAVY} if name in sys.modules))"
    )
    env = {**os.environ, "LABKIT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, text=True)
    count, *slow = done.stdout.split()
    assert slow == [] and int(count) < 1_000


def test_the_first_cell_of_a_lesson_loads_no_lesson_that_has_no_box_on_its_map(tmp_path: Path) -> None:
    """With lesson 19 came the drills, and with the traces of 09 all that reads a trace from a file."""
    code = "import sys\nfrom labkit.lesson import start\nstart('16')\nprint(*sys.modules)"
    env = {**os.environ, "LABKIT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, text=True)
    loaded = done.stdout.split()
    assert {"labkit.specs.continuous_batching", "labkit.specs.block_pool"} <= set(loaded)
    others = ("labkit.drills", "labkit.specs.eviction_storms", "labkit.specs.start_here", "labkit.simulate.traces")
    assert not [name for name in loaded if name.startswith(others)]
