"""Both readers on good files, on every kind of bad one, and on the real traces where they are present."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import LabkitError, TraceFileError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.traces import read_trace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROW = "2023-11-16 18:15:46.6805900,374,44\n"


def write(folder: Path, text: str | bytes, name: str = "trace.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def request(**fields) -> str:
    return json.dumps({"timestamp": 0, "input_length": 10, "output_length": 2, "hash_ids": [1]} | fields) + "\n"


def test_azure(tmp_path):
    trace = read_trace(write(tmp_path, HEADER + ROW + "2023-11-16 18:15:50.9951690,396,109\n", "conv.csv"))
    assert (trace.name, len(trace), trace.hash_ids, trace.notes) == ("conv", 2, None, ())
    assert trace.arrival_s == pytest.approx([0, 4.314579], abs=1e-6)
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.total_tokens.tolist() == [418, 505]
    assert trace.total_tokens.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + ROW,  # as a spreadsheet saves it
        (HEADER + ROW).replace("\n", "\r\n"),
        "\n\n" + HEADER + "\n" + ROW + "\n",
        "id, generatedtokens , contexttokens,timestamp\nx,44,374.0,2023-11-16 18:15:46+00:00\n",  # other order and case
        HEADER + '"2023-11-16 18:15:46","374","44"\n',
    ],
)
def test_azure_in_other_dress(tmp_path, text):
    trace = read_trace(write(tmp_path, text))
    assert (trace.input_tokens.tolist(), trace.output_tokens.tolist()) == ([374], [44])


def test_mooncake(tmp_path):
    trace = read_trace(write(tmp_path, request(timestamp=500) + "\n" + request(timestamp=2000, hash_ids=[1, 7])))
    assert trace.arrival_s.tolist() == [0, 1.5]
    assert [ids.tolist() for ids in trace.hash_ids] == [[1], [1, 7]]
    assert trace.head(1).hash_ids[0].tolist() == [1]


def test_mooncake_where_only_some_lines_have_hash_ids(tmp_path):
    text = request() + '{"timestamp": 1, "input_length": 1, "output_length": 0}\n'
    trace = read_trace(write(tmp_path, text), unit="ms")
    assert trace.hash_ids is None
    assert trace.notes == ("Only 1 of 2 requests have hash_ids, so none are kept.",)


def test_times_out_of_order_are_sorted_with_a_note(tmp_path):
    lines = [request(timestamp=t, input_length=t + 1, hash_ids=[t]) for t in (3000, 1000, 2000)]
    trace = read_trace(write(tmp_path, "".join(lines)))
    assert trace.arrival_s.tolist() == [0, 1, 2]
    assert trace.input_tokens.tolist() == [1001, 2001, 3001]
    assert [ids.tolist() for ids in trace.hash_ids] == [[1000], [2000], [3000]]
    assert "have been sorted" in trace.notes[0]


def test_max_requests(tmp_path):
    path = write(tmp_path, HEADER + ROW * 5)
    assert len(read_trace(path, max_requests=3)) == 3
    path = write(tmp_path, request() * 5)
    assert len(read_trace(path, max_requests=3)) == 3


def test_capped(tmp_path):
    lines = [request(input_length=i, output_length=o) for i, o in ((5, 5), (20, 5), (7, 9), (0, 0))]
    capped = read_trace(write(tmp_path, "".join(lines))).capped(10)
    assert capped.input_tokens.tolist() == [5, 9, 7, 0]
    assert capped.output_tokens.tolist() == [5, 1, 3, 0]


BAD = {
    "empty": (b"", None, "is empty"),
    "blank": (b"\n\n", None, "is empty"),
    "neither": (b"hello\nworld\n", 1, "begins with 'hello'"),
    "header only": (HEADER, None, "no request"),
    "missing column": ("TIMESTAMP,ContextTokens\n2023-11-16,1\n", 1, "GeneratedTokens is missing"),
    "short row": (HEADER + ROW + "2023-11-16 18:15:46,1\n", 3, "has 2 fields"),
    "negative": (HEADER + "2023-11-16 18:15:46,-1,5\n", 2, "ContextTokens is '-1'"),
    "fraction": (HEADER + "2023-11-16 18:15:46,1,5.5\n", 2, "GeneratedTokens is '5.5'"),
    "word": (HEADER + "\n2023-11-16 18:15:46,many,5\n", 3, "ContextTokens is 'many'"),
    "infinite": (HEADER + "2023-11-16 18:15:46,inf,5\n", 2, "ContextTokens is 'inf'"),
    "huge": (HEADER + "2023-11-16 18:15:46,9" + "9" * 5000 + ",5\n", 2, "ContextTokens is '999"),
    "no date": (HEADER + "yesterday,1,5\n", 2, "TIMESTAMP is 'yesterday'"),
    "open quote": (HEADER + '"' + ROW * 5000, None, "CSV"),
    "latin": (HEADER.encode() + ROW.encode() + b"2023-11-16 18:15:46,1,\xe9\n", 3, "byte 23 of the line is not UTF-8"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", 1, "not UTF-8"),
    "bad json": (request() + "{'timestamp': 0}\n", 2, "not JSON"),
    "cut json": (request() + request()[:20], 2, "not JSON"),
    "no object": (request() + "[1, 2]\n", 2, "must be a JSON object"),
    "missing field": (request() + '{"timestamp": 0, "input_length": 3}\n', 2, "'output_length' is missing"),
    "negative length": (request(input_length=-5), 1, "input_length is '-5'"),
    "text length": (request(output_length="5"), 1, "output_length is '5'"),
    "true length": (request(output_length=True), 1, "output_length is 'True'"),
    "null length": (request(input_length=None), 1, "input_length is 'None'"),
    "nan time": (request(timestamp=float("nan")), 1, "timestamp is 'nan'"),
    "negative time": (request(timestamp=-1), 1, "timestamp is '-1'"),
    "text time": (request(timestamp="0"), 1, "timestamp is '0'"),
    "bad ids": (request(hash_ids=[1, "x"]), 1, "hash_ids"),
    "huge ids": (request(hash_ids=[2**70]), 1, "hash_ids"),
    "ids no list": (request(hash_ids=5), 1, "hash_ids"),
    "deep": ('{"a": ' + "[" * 100_000 + "\n", 1, "JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_sentence(tmp_path, name):
    content, line, what = BAD[name]
    path = write(tmp_path, content)
    with pytest.raises(TraceFileError) as caught:
        read_trace(path)
    message = str(caught.value)
    assert message.startswith(f"Cannot read {path}, line {line}: " if line else f"Cannot read {path}")
    assert what in message
    assert "; " in message  # what is wrong; what to do
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))


def test_what_is_no_file_gets_one_sentence(tmp_path):
    with pytest.raises(TraceFileError, match="no such file; check the path"):
        read_trace(tmp_path / "nowhere.csv")
    with pytest.raises(TraceFileError, match="is a folder, but must be a file"):
        read_trace(tmp_path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.simulate.traces.MAX_LINE_BYTES", 1000)
    with pytest.raises(TraceFileError, match="longer than 1,000 bytes"):
        read_trace(write(tmp_path, "{" + "x" * 5000))


# name -> rows, (mean, p50, p99) of the prompts, of the answers, arrivals per second, CV of the times between them
REAL = {
    "azure_llm_2023_conv.csv": (19_366, (1155, 1020, 4142), (211, 129, 601), 5.53, 1.09),
    "mooncake_conversation.jsonl": (12_031, (12_035, 6909, 85_400), (343, 350, 1119), 3.40, 3.03),
}


@pytest.mark.parametrize("name", REAL)
def test_real_traces_have_the_published_statistics(name):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in {DATA}")
    rows, prompts, outputs, per_s, cv = REAL[name]
    trace = read_trace(DATA / name)
    summary = trace.summary()
    assert len(trace) == rows
    assert [summary["input_tokens"][k] for k in ("mean", "p50", "p99")] == pytest.approx(prompts, abs=1)
    assert [summary["output_tokens"][k] for k in ("mean", "p50", "p99")] == pytest.approx(outputs, abs=1)
    assert summary["arrivals"]["per_s"] == pytest.approx(per_s, abs=0.005)
    assert summary["arrivals"]["cv"] == pytest.approx(cv, abs=0.005)
    said = "timestamp was read as milliseconds, as in Mooncake's traces: 3.4 requests per second; "
    said += "where that is wrong, pass unit=."
    assert trace.notes == ((said,) if name.startswith("mooncake") else ())
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert (trace.hash_ids is not None) == name.startswith("mooncake")


def test_mooncake_ids_are_one_for_512_tokens():
    path = DATA / "mooncake_conversation.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {DATA}")
    trace = read_trace(path, max_requests=500)
    assert [len(ids) for ids in trace.hash_ids] == (-(-trace.input_tokens // 512)).tolist()


# ----- in chunks ------------------------------------------------------------------------------------------------------


def outcome(path: Path, **options):
    """What a reader makes of a file, as plain values."""
    try:
        trace = read_trace(path, **options)
    except TraceFileError as error:
        return str(error)
    ids = None if trace.hash_ids is None else [row.tolist() for row in trace.hash_ids]
    columns = (trace.arrival_s, trace.input_tokens, trace.output_tokens)
    return [column.tolist() for column in columns], [column.dtype for column in columns], ids, trace.notes


def in_chunks(monkeypatch, chunk_bytes: int, batch_bytes: int) -> None:
    monkeypatch.setattr("labkit.simulate.trace_files.CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr("labkit.simulate.traces.BATCH_BYTES", batch_bytes)


def line_by_line(monkeypatch) -> None:
    monkeypatch.setattr("labkit.simulate.traces.csv_batch", lambda *_: None)


OTHERS = {
    "azure": HEADER + ROW * 9 + "2023-11-16 18:15:50,9,8\n2023-11-16 18:15:51.25+00:00,7,6\n",
    "azure without an end": (HEADER + ROW * 9).rstrip(),
    "azure, quoted names": HEADER.replace("TIMESTAMP", '"TIMESTAMP"') + ROW * 9,
    "azure, a line break in quotes": "note," + HEADER + ("x," + ROW) * 4 + '"y\nz",' + ROW + ("x," + ROW) * 4,
    "azure, other columns": "a," + HEADER.strip() + ",b\n" + ("é," + ROW.strip() + ",x,,\n") * 9,
    "azure, windows": (HEADER + ROW * 9).replace("\n", "\r\n"),
    "azure, blank lines": HEADER + (ROW + "\n") * 9,
    "azure, spaces and points": HEADER + (ROW + " 2023-11-16 18:15:47 , 5 , 6.0\n") * 4,
    "azure, nine digits": HEADER + "1969-12-31 23:59:58.123456789,1,1\n" + ROW,
    "no such day": HEADER + ROW * 5 + "2023-02-30 18:15:46,1,1\n" + ROW,
    "no such hour": HEADER + ROW * 5 + "2023-02-03 25:15:46,1,1\n" + ROW,
    "too many": HEADER + ROW * 5 + "2023-02-03 18:15:46,3000000000,1\n" + ROW,
    "return alone": HEADER + ROW * 5 + "2023-02-03 18:15:46,3,1\r" + ROW,
    "late": HEADER + ROW * 3 + "2023-11-16 18:15:40,1,1\n" + ROW * 3,
    "mooncake": "".join(request(timestamp=n, hash_ids=list(range(n))) for n in range(9)),
    "mooncake, without ids": '{"timestamp": 0.5, "input_length": 1, "output_length": 2}\n' * 9,
    "mooncake, ids here and there": request() * 3 + '{"timestamp": 1, "input_length": 1, "output_length": 2}\n' * 3,
    "mooncake, no ids in a list": request(hash_ids=[], input_length=0) * 5,
    "mooncake, windows and blank": (request() + "\n \n").replace("\n", "\r\n") * 5,
    "mooncake, late": "".join(request(timestamp=n % 4, hash_ids=[n] * n) for n in range(9)),
    "mooncake, great numbers": request(timestamp=2**60 + 1) + request(timestamp=10**300, hash_ids=[-(2**63)]),
}


@pytest.mark.parametrize("name", [*BAD, *OTHERS])
def test_however_a_file_is_cut_the_answer_is_the_same(tmp_path, monkeypatch, name):
    path = write(tmp_path, BAD[name][0] if name in BAD else OTHERS[name])
    with monkeypatch.context() as patch:
        line_by_line(patch)
        expected = [outcome(path), outcome(path, max_requests=3)]
    assert (name in BAD) <= isinstance(expected[0], str)
    sizes = (1, 50, 200, 10**6) if path.stat().st_size < 10**5 else (10**5,)
    for chunk_bytes in sizes:
        in_chunks(monkeypatch, chunk_bytes, batch_bytes=0)
        assert [outcome(path), outcome(path, max_requests=3)] == expected


def test_usual_chunks_are_read_at_once(tmp_path, monkeypatch):
    in_chunks(monkeypatch, 300, batch_bytes=0)
    monkeypatch.setattr("labkit.simulate.trace_rows.Rows.add", None)
    assert len(read_trace(write(tmp_path, HEADER + ROW * 100))) == 100


def test_a_bad_row_far_into_a_large_file_is_named(tmp_path):
    path = write(tmp_path, HEADER + ROW * 60_000 + "2023-11-16 18:15:46,-1,5\n" + ROW * 60_000)
    with pytest.raises(TraceFileError, match=r"line 60002: ContextTokens is '-1'"):
        read_trace(path)
    path = write(tmp_path, request() * 60_000 + request(input_length=-1) + request() * 60_000)
    with pytest.raises(TraceFileError, match=r"line 60001: input_length is '-1'"):
        read_trace(path)


def test_progress_only_where_asked_for_or_on_a_terminal(tmp_path, monkeypatch, capsys):
    path = write(tmp_path, HEADER + ROW * 100)
    in_chunks(monkeypatch, 1000, batch_bytes=0)
    read_trace(path)
    assert capsys.readouterr() == ("", "")
    read_trace(path, progress=True)
    out, err = capsys.readouterr()
    assert (out, "trace.txt" in err, "100%" in err) == ("", True, True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    read_trace(path, progress=False)
    assert capsys.readouterr() == ("", "")
    read_trace(path)
    assert "100%" in capsys.readouterr().err
    in_chunks(monkeypatch, 10**6, batch_bytes=0)
    read_trace(path)  # small: over before anybody could look
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("lines_before", [0, 3, 500])
@pytest.mark.parametrize("ids", [[], [1, 2], [1, 2, 3, 4]])
def test_ids_that_do_not_fit_the_prompt(tmp_path, lines_before, ids):
    good = request(input_length=1025, hash_ids=[1, 2, 3])
    path = write(tmp_path, good * lines_before + "\n" + request(input_length=1025, hash_ids=ids) + good)
    what = rf"line {lines_before + 2}: hash_ids has {len(ids)} ids, but a prompt of 1,025 tokens has 3 blocks of 512; "
    with pytest.raises(TraceFileError, match=what):
        read_trace(path, block_tokens=512)
    trace = read_trace(path, unit="ms")
    assert (trace.block_tokens, len(trace)) == (None, lines_before + 2)
    assert trace.notes == ("The requests do not agree on how many tokens one of hash_ids stands for.",)
    with pytest.raises(LabkitError, match="block_tokens is 0"):
        read_trace(path, block_tokens=0)


def test_block_tokens_are_found(tmp_path):
    def found(*requests: tuple[int, int]) -> int | None:
        lines = [request(input_length=tokens, hash_ids=list(range(blocks))) for tokens, blocks in requests]
        return read_trace(write(tmp_path, "".join(lines))).block_tokens

    assert found((10, 1)) == 512
    assert found((1000, 2), (0, 0)) == 512
    assert found((100, 7), (33, 3)) == 16
    assert found((100, 7), (33, 3), (30, 2), (15, 1)) == 16
    assert found((1000, 10), (1001, 11)) == 100
    assert found((10, 0)) is None
    assert found((0, 1)) is None


@pytest.mark.parametrize("count", [0, -3, 1.5])
def test_max_requests_must_make_sense(tmp_path, count):
    with pytest.raises(LabkitError, match="max_requests is"):
        read_trace(write(tmp_path, HEADER + ROW), max_requests=count)


def test_block_ids():
    rows = [[5, 6], [], [7], [8, 9, 10], []]
    ids = BlockIds.of(rows)

    def plain(ids: BlockIds) -> list[list[int]]:
        assert isinstance(ids, BlockIds)
        assert all(row.dtype == np.int64 for row in ids)
        return [row.tolist() for row in ids]

    assert (len(ids), plain(ids), ids.counts.tolist()) == (5, rows, [2, 0, 1, 3, 0])
    for start in (None, 0, 1, 4, 9, -2):
        for stop in (None, 0, 2, 9, -1):
            for step in (None, 1, 2, -1):
                assert plain(ids[start:stop:step]) == rows[start:stop:step]
    assert plain(ids.take([3, 3, 0, 1])) == [rows[3], rows[3], rows[0], rows[1]]
    assert plain(ids.take([])) == plain(BlockIds.of([])) == []
    assert (ids[-2].tolist(), ids[np.int64(2)].tolist()) == ([8, 9, 10], [7])
    with pytest.raises(IndexError):
        ids[5]
    with pytest.raises(ValueError, match="add up to 3"):
        BlockIds(np.arange(4), np.array([1, 2]))
    assert repr(ids) == "BlockIds(5 requests, 6 blocks)"
