"""What a column is called is enough, or it is refused; the reader takes what comes out."""

from __future__ import annotations

import pytest

from labkit.errors import TraceFileError
from labkit.simulate.column_names import MEANINGS, column_map, meaning_of
from labkit.simulate.trace_formats import FORMATS
from labkit.simulate.traces import column_names, read_trace
from labkit.specs.capacity_and_slos.scenes import foreign_log


@pytest.mark.parametrize(("name", "meaning"), [
    ("Start_ms", ("arrival", "ms")),
    (" prompt-tokens ", ("input", None)),
    ("timestamp", ("arrival", None)),
    ("end_ms", (None, None)),
    ("prompt_tokens_ms", (None, None)),
    ("start_h", (None, None)),
    ("", (None, None)),
])  # fmt: skip
def test_a_name(name: str, meaning: tuple[str | None, str | None]):
    assert meaning_of(name) == meaning


def test_no_name_means_two_things_and_all_are_plain():
    names = [name for known in MEANINGS.values() for name in known]
    assert len(set(names)) == len(names) and all(meaning_of(name)[0] for name in names)


def test_the_public_formats_are_known_by_their_columns():
    for known in FORMATS:
        columns, unit = column_map([name for name in known.names if name], known.unit or "s")
        assert [columns.get(key) for key in MEANINGS] == [*known.names] and unit == (known.unit or "s")


@pytest.mark.parametrize(("names", "unit", "words"), [
    (["start", "prompt_tokens"], None, "in which unit start counts"),
    (["start_ms", "created", "prompt_tokens"], None, "Both start_ms and created"),
    (["start_ms", "answer"], None, "No column is the input"),
    ([], "s", "No column is the arrival"),
])  # fmt: skip
def test_what_is_open_is_refused(names: list[str], unit: str | None, words: str):
    with pytest.raises(TraceFileError, match=words):
        column_map(names, unit)


def test_a_log_from_elsewhere_is_read_by_it(tmp_path):
    log = foreign_log(tmp_path / "log.csv")
    columns, unit = column_map(column_names(log), None)
    trace = read_trace(log, column_map=columns, unit=unit)
    assert len(trace) == 200 and unit == "ms" and 2 < trace.per_s < 10
    assert read_trace(log, column_map=columns, unit="s").per_s == pytest.approx(trace.per_s / 1000)


LINE = '{"Prompt Tokens": 7, "Started_ms": 1700000000000, "user": "a, b", "gen_len": 3}\n'


@pytest.mark.parametrize(("text", "names"), [
    (LINE * 2, ["Prompt Tokens", "Started_ms", "user", "gen_len"]),
    (f"[{LINE}, {LINE}]", ["Prompt Tokens", "Started_ms", "user", "gen_len"]),
    ('"Started_ms","Prompt Tokens","a, b"\n1700000000000,7,"a, b"\n', ["Started_ms", "Prompt Tokens", "a, b"]),
    ("\ufeffStarted_ms;Prompt Tokens\n1700000000000;7\n", ["Started_ms", "Prompt Tokens"]),
], ids=["JSON Lines", "an array", "quoted", "semicolons"])  # fmt: skip
def test_the_names_of_a_file_are_those_that_its_reader_finds(tmp_path, text: str, names: list[str]):
    file = tmp_path / "own"
    file.write_text(text, encoding="utf-8")
    assert column_names(file) == names
    columns, unit = column_map(column_names(file), None)
    assert read_trace(file, column_map=columns, unit=unit).input_tokens[0] == 7 and unit == "ms"


@pytest.mark.parametrize(("text", "words"), [
    ("", "it is empty"),
    ("1,2\n3,4\n", "must name the columns"),
    ('{"input_lens": [3], "output_lens": [2], "start_times": [0.0], "ttfts": [0.1]}', "its fields mean is known"),
])  # fmt: skip
def test_a_file_without_names_to_map_is_refused(tmp_path, text: str, words: str):
    file = tmp_path / "own"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TraceFileError, match=words):
        column_names(file)
