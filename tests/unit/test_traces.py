"""Both readers on good files, on every kind of bad one, and on the real traces where they are present."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import TraceFileError
from labkit.simulate.traces import read_azure_csv, read_mooncake_jsonl, read_trace

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
    trace = read_trace(write(tmp_path, request() + '{"timestamp": 1, "input_length": 1, "output_length": 0}\n'))
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


@pytest.mark.parametrize("reader", [read_trace, read_azure_csv, read_mooncake_jsonl])
def test_what_is_no_file_gets_one_sentence(tmp_path, reader):
    with pytest.raises(TraceFileError, match="no such file; check the path"):
        reader(tmp_path / "nowhere.csv")
    with pytest.raises(TraceFileError, match="is a folder, but must be a file"):
        reader(tmp_path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.simulate.traces.MAX_LINE_BYTES", 1000)
    with pytest.raises(TraceFileError, match="longer than 1,000 bytes"):
        read_trace(write(tmp_path, "{" + "x" * 5000))


# name -> rows, (mean, p50, p99) of the prompts, of the answers, arrivals a second, CV of the times between them
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
    assert trace.notes == ()
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert (trace.hash_ids is not None) == name.startswith("mooncake")


def test_mooncake_ids_are_one_for_512_tokens():
    path = DATA / "mooncake_conversation.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {DATA}")
    trace = read_trace(path, max_requests=500)
    assert [len(ids) for ids in trace.hash_ids] == (-(-trace.input_tokens // 512)).tolist()
