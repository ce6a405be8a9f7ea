"""What a column is called is enough, or it is refused; the reader takes what comes out."""

from __future__ import annotations

import pytest

from labkit.errors import TraceFileError
from labkit.simulate.column_names import MEANINGS, column_map, meaning_of
from labkit.simulate.trace_formats import FORMATS
from labkit.simulate.traces import read_trace
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
    columns, unit = column_map(log.read_text(encoding="utf-8").splitlines()[0].split(","), None)
    trace = read_trace(log, column_map=columns, unit=unit)
    assert len(trace) == 200 and unit == "ms" and 2 < trace.per_s < 10
    assert read_trace(log, column_map=columns, unit="s").per_s == pytest.approx(trace.per_s / 1000)
