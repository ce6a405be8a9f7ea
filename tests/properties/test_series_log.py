"""A series that was recorded is read back as it was, whatever it holds and wherever the recording broke off."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import SeriesError, WatchError
from labkit.observe.exposition import Exposition
from labkit.observe.series import FIGURES, Series, Worth
from labkit.observe.series_log import SeriesLog, read_series, write_series

numbers = st.floats(allow_nan=False, allow_infinity=False)
rows = st.lists(
    st.tuples(
        st.floats(0, 1e9), st.floats(1e-3, 1e6), st.dictionaries(st.sampled_from(sorted(FIGURES)), numbers, max_size=5)
    ),
    max_size=8,
)
worths = st.dictionaries(
    st.sampled_from(sorted(FIGURES)), st.tuples(st.sampled_from([Worth.PROXY, Worth.ABSENT]), st.text(max_size=30))
)


def state(series: Series) -> tuple[Any, ...]:
    return series.source, [series.worth(name) for name in FIGURES], list(series.rows())


def made(source: str, worth: dict[str, tuple[Worth, str]], drawn: list[Any]) -> Series:
    series = Series(source, worth)
    for end_s, seconds, figures in sorted(drawn, key=lambda row: row[0]):
        series.add(end_s, seconds, **figures)
    return series


@given(source=st.text(max_size=30), worth=worths, drawn=rows)
@settings(max_examples=30)
def test_a_series_is_read_back_as_it_was(source: str, worth: dict[str, Any], drawn: list[Any]) -> None:
    series = made(source, worth, drawn)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        write_series(series, path)
        assert state(read_series(path)) == state(series)


@given(drawn=rows, data=st.data())
@settings(max_examples=30)
def test_a_recording_that_broke_off_lacks_its_last_line_alone(drawn: list[Any], data: Any) -> None:
    series = made("a server", {"recomputed": (Worth.ABSENT, "Not told.")}, drawn)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        write_series(series, path)
        whole = path.read_bytes()
        first = whole.index(b"\n", whole.index(b"\n") + 1) + 1  # behind the worths
        path.write_bytes(whole[: data.draw(st.integers(first, len(whole)))])
        kept = path.read_bytes().count(b"\n") - 2
        assert list(read_series(path).rows()) == list(series.rows())[:kept]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b"", "line 1: it is not JSON"),
        (b'{"format": "other"}\n', "line 1: This is no recorded series"),
        (b'{"format": "labkit.series", "version": 2}\n', "of version 2"),
        (b'{"format": "labkit.series", "version": 1}\n[]\n', "line 2: This is no object"),
        (b'{"format": "labkit.series", "version": 1}\n{}\n', "line 2: This line says nothing"),
        (b'{"format": "labkit.series", "version": 1}\n{"end_s": 1}\n', "line 2: This window has no length"),
        (b'{"format": "labkit.series", "version": 1}\n{"end_s": 1, "seconds": true}\n', "no number"),
        (b'{"format": "labkit.series", "version": 1}\n{"end_s": 1, "seconds": 1, "x": 1}\n', "no figure 'x'"),
        (b'{"format": "labkit.series", "version": 1}\n{"end_s": 1, "seconds": -1}\n', "more than 0"),
        (b'{"format": "labkit.series", "version": 1}\n{"worth": {"held": ["good", ""]}}\n', "Worths are given"),
        (b'{"format": "labkit.series", "version": 1}\n{"worth": 3}\n', "Worths are given"),
        (b'{"format": "labkit.series", "version": 1}\n{"end_s": NaN, "seconds": 1}\n', "no number"),
        (b"\xff\xfe\n", "not UTF-8"),
    ],
)
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path, lines: bytes, says: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines)
    with pytest.raises(SeriesError, match=says):
        read_series(path)


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    SeriesLog(tmp_path / "a.jsonl").close()
    with pytest.raises(SeriesError, match="is there already"):
        SeriesLog(tmp_path / "a.jsonl")


LINE = st.one_of(
    st.text(max_size=40),
    st.builds("vllm:{}{{{}}} {}".format, st.text(max_size=5), st.text(max_size=12), st.text(max_size=6)),
    st.builds("# TYPE {} {}".format, st.text(max_size=8), st.text(max_size=8)),
)


@given(st.lists(LINE, max_size=6))
@settings(max_examples=100)
def test_any_answer_is_read_or_refused(lines: list[str]) -> None:
    try:
        found = Exposition("\n".join(lines) + "\n")
    except WatchError as error:
        assert "Prometheus" in str(error)
    else:
        assert all(isinstance(name, str) for name in found.metrics)
