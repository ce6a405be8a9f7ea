"""Every public format and packing, column maps, units of time, and files that are none of it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import LabkitError, TraceFileError
from labkit.simulate.traces import read_trace

SESSIONS = Path(__file__).resolve().parents[3] / "shared" / "data" / "weka_sessions"
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.401000+00:00,613,239\n"
    "2024-05-10 00:00:00.901000+00:00,641,98\n"
)
BURST_OLD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n6,ChatGPT,613,239,852,API log\n"
BURST_NEW = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "6.0,abc,1.5,ChatGPT,613,239,852,API log\n"
)
QWEN = {"chat_id": 0, "parent_chat_id": -1, "timestamp": 0.5, "input_length": 33, "output_length": 7, "turn": 1}
MAP = {"arrival": "start", "input": "prompt", "output": "answer"}


def write(folder: Path, text: str | bytes, name: str = "trace.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path, **options) -> str:
    with pytest.raises(TraceFileError) as caught:
        read_trace(path, **options)
    message = str(caught.value)
    assert message.startswith("Cannot read ") and "; " in message and message.endswith(".") and "\n" not in message
    return message


def plain(trace):
    return trace.arrival_s.tolist(), trace.input_tokens.tolist(), trace.output_tokens.tolist()


# ----- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [BURST_OLD, BURST_NEW])
def test_burstgpt(tmp_path, header):
    more = header.splitlines()[1].replace("6", "8", 1).replace("613", "20").replace("239", "0")
    path = write(tmp_path, header + more + "\n")
    trace = read_trace(path)
    assert plain(trace) == ([0, 2], [613, 20], [239, 0])
    said = "Timestamp was read as seconds, as in BurstGPT's traces: 0.5 requests per second"
    assert trace.notes == (f"{said}; where that is wrong, pass unit=.",)
    assert "begin nearly idle" in read_trace(path, max_requests=1).notes[-1]
    assert read_trace(path, unit="ms").arrival_s.tolist() == [0, 0.002]


def test_burstgpt_under_azures_names_is_asked_for_its_unit(tmp_path):
    path = write(tmp_path, "TIMESTAMP,Model,ContextTokens,GeneratedTokens\n6,GPT-4,613,239\n7,GPT-4,1,2\n")
    assert "line 2: TIMESTAMP is '6', and nothing says in which unit of time; pass unit=" in refusal(path)
    trace = read_trace(path, unit="s")
    assert plain(trace) == ([0, 1], [613, 1], [239, 2]) and trace.notes == ()


def test_mooncakes_names_in_seconds(tmp_path):
    rows = [QWEN | {"timestamp": t, "hash_ids": [1, 2, n]} for n, t in enumerate((0.5, 1.25))]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    trace = read_trace(path)
    assert trace.arrival_s.tolist() == [0, 0.75] and trace.block_tokens == 16
    assert "read as seconds, as in Qwen-Bailian's traces: 1.33 requests per second" in trace.notes[0]
    # Without what only Qwen-Bailian has it would be Mooncake's, whose milliseconds are whole.
    for row in rows:
        del row["chat_id"]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    assert "timestamp has fractions, such as 0.5, but Mooncake's milliseconds are whole" in refusal(path)
    assert read_trace(path, unit="s").arrival_s.tolist() == [0, 0.75]
    assert read_trace(path, unit="ms").notes == ()


def test_azures_columns_as_json_and_mooncakes_as_csv(tmp_path):
    row = {"TIMESTAMP": "2024-05-10 00:00:00.4+00:00", "ContextTokens": 613.0, "GeneratedTokens": 239}
    trace = read_trace(write(tmp_path, json.dumps(row) + "\n" + json.dumps(row | {"ContextTokens": 1}) + "\n"))
    assert plain(trace) == ([0, 0], [613, 1], [239, 239]) and trace.notes == ()
    table = 'timestamp,input_length,output_length,hash_ids\n0,20,1,"[5, 6]"\n1500,10,1,5\n1600,0,1,\n'
    trace = read_trace(write(tmp_path, table))
    assert trace.arrival_s.tolist() == [0, 1.5, 1.6] and [ids.tolist() for ids in trace.hash_ids] == [[5, 6], [5], []]


def test_hashes_of_64_bits_without_a_sign(tmp_path):
    ids = [[2**64 - 1, 5], [2**64 - 1, 2**63]]
    rows = [{"timestamp": 0, "input_length": 20, "output_length": 1, "hash_ids": row} for row in ids]
    trace = read_trace(write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows)))
    assert [row.tolist() for row in trace.hash_ids] == [[-1, 5], [-1, -(2**63)]]


@pytest.mark.parametrize("indent", [None, 1])
def test_json_as_a_whole(tmp_path, indent):
    rows = [QWEN, QWEN | {"timestamp": 3.5, "input_length": 1}]
    assert read_trace(write(tmp_path, json.dumps(rows, indent=indent))).input_tokens.tolist() == [33, 1]
    assert read_trace(write(tmp_path, "\ufeff \n" + json.dumps(QWEN, indent=indent))).input_tokens.tolist() == [33]
    path = write(tmp_path, json.dumps([*rows, QWEN | {"input_length": -1}], indent=indent))
    assert f"{path}, request 3: input_length is '-1'" in refusal(path)
    assert len(read_trace(path, max_requests=2)) == 2
    assert ", request 2: it is '5', but must be a JSON object" in refusal(write(tmp_path, json.dumps([QWEN, 5])))


def test_an_object_that_its_first_line_does_not_end(tmp_path):
    assert len(read_trace(write(tmp_path, json.dumps(QWEN).replace(', "input', ',\n"input')))) == 1


def bench(**fields):
    lists = {"input_lens": [10, 20, 30], "output_lens": [1, 2, 0], "start_times": [100.5, 101.0, 101.5]}
    more = {"ttfts": [0.1] * 3, "itls": [[], [0.1], []], "errors": ["", "", "Traceback: timeout"]}
    return {"date": "20261130", "request_throughput": 2.0, "total_input_tokens": 60} | lists | more | fields


@pytest.mark.parametrize("indent", [None, 2])
def test_results_of_vllm_bench_serve(tmp_path, indent):
    trace = read_trace(write(tmp_path, json.dumps(bench(), indent=indent)))
    assert plain(trace) == ([0, 0.5], [10, 20], [1, 2])
    assert trace.notes == (
        "start_times was read as seconds, as vllm bench serve writes it.",
        "1 of 3 requests failed and are left out.",
    )
    totals = {key: value for key, value in bench().items() if not isinstance(value, list)}
    assert "run it again with --save-result --save-detailed" in refusal(
        write(tmp_path, json.dumps(totals, indent=indent))
    )
    without = {key: value for key, value in bench().items() if key != "start_times"}
    assert "no start_times" in refusal(write(tmp_path, json.dumps(without, indent=indent)))
    for wrong in (bench(output_lens=[1]), bench(output_lens=None), bench(start_times=5), bench(errors=[""])):
        assert "must be lists of equal length" in refusal(write(tmp_path, json.dumps(wrong, indent=indent)))
    assert "request 1: input_lens is 'many'" in refusal(write(tmp_path, json.dumps(bench(input_lens=["many", 1, 1]))))
    assert "no request" in refusal(write(tmp_path, json.dumps(bench(errors=["x"] * 3))))
    two = json.dumps(bench()) + "\n" + json.dumps(bench())
    assert "line 2: the JSON document ends here, but the file goes on" in refusal(write(tmp_path, two))


# ----- Weka's agent sessions ------------------------------------------------------------------------------------------


def session(folder: Path, name: str, scope: str = "local", **fields) -> Path:
    inner = [{"t": 0.0, "in": 64, "out": 1, "hash_ids": [9]}, {"t": 3.0, "in": 70, "out": 2, "hash_ids": [9]}]
    requests = [
        {"t": 0.0, "type": "n", "in": 130, "out": 5, "hash_ids": [1, 2]},
        {"t": 4, "type": "subagent", "requests": inner},
        {"t": 5.0, "type": "s", "in": 200, "out": 6, "hash_ids": [1, 2, 3]},
    ]  # fmt: skip
    document = {"id": name, "block_size": 64, "hash_id_scope": scope, "requests": requests} | fields
    return write(folder, json.dumps(document), f"{name}.json")


def test_an_agent_session_with_a_subagent(tmp_path):
    trace = read_trace(session(tmp_path, "a"))
    assert plain(trace) == ([0, 4, 5, 7], [130, 64, 200, 70], [5, 1, 6, 2])
    assert [ids.tolist() for ids in trace.hash_ids] == [[1, 2], [9], [1, 2, 3], [9]]
    assert trace.block_tokens == 64 and trace.notes == ("t was read as seconds, as in Weka's agent sessions.",)
    assert len(read_trace(session(tmp_path, "a"), max_requests=3)) == 3


def test_local_ids_of_different_sessions_do_not_meet(tmp_path):
    for name, scope in (("a", "local"), ("b", "local"), ("c", "global"), ("d", "global")):
        session(tmp_path, name, scope)
    (tmp_path / "README.md").write_text("no session")
    trace = read_trace(tmp_path)
    assert len(trace) == 16 and trace.name == tmp_path.name and "all begin at 0 s" in trace.notes[-1]
    firsts = [ids.tolist() for ids, tokens in zip(trace.hash_ids, trace.input_tokens, strict=True) if tokens == 130]
    assert len({tuple(ids) for ids in firsts}) == 3  # those of c and d are the same blocks
    assert len(np.unique(trace.hash_ids.flat)) == 3 * 4
    assert len(read_trace(tmp_path, max_requests=5)) == 5


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"block_size": 0}, "block_size is '0'"),
        ({"block_size": "64"}, "block_size is '64'"),
        ({"requests": []}, "no request"),
        ({"requests": [{"t": 0, "in": 1, "out": 1}, {"in": 1, "out": 1}]}, "request 2: it has no t"),
        ({"requests": [{"t": 0, "requests": [5]}]}, "request 1 of request 1: it has no t"),
        ({"requests": [{"t": 0, "in": 1}]}, "request 1: out is 'None'"),
        ({"requests": [{"t": -1, "in": 1, "out": 1}]}, "request 1: t is '-1"),
        ({"requests": [{"t": 0, "in": 1, "out": 1, "hash_ids": "1"}]}, "request 1: hash_ids is '1'"),
    ],
)
def test_a_bad_session(tmp_path, fields, what):
    path = session(tmp_path, "a", **fields)
    assert what in refusal(path) and what in refusal(tmp_path)


def test_a_folder_of_something_else(tmp_path):
    write(tmp_path, json.dumps([QWEN]), "x.json")
    assert "x.json: it is no agent session" in refusal(tmp_path)


def test_real_sessions():
    if not SESSIONS.exists():
        pytest.skip(f"{SESSIONS} is not there")
    trace = read_trace(SESSIONS)
    documents = [json.loads(path.read_text()) for path in sorted(SESSIONS.glob("*.json"))]
    tops = [request for document in documents for request in document["requests"]]
    every = [inner for request in tops for inner in request.get("requests", [request])]
    assert (len(tops), len(trace)) == (693, len(every))
    assert trace.input_tokens.sum() == sum(request["in"] for request in every)
    assert trace.hash_ids.counts.tolist() == (trace.input_tokens // 64).tolist() and trace.block_tokens == 64
    own = [{i for r in d["requests"] for q in r.get("requests", [r]) for i in q["hash_ids"]} for d in documents]
    assert len(np.unique(trace.hash_ids.flat)) == sum(map(len, own))


# ----- packings and delimiters ----------------------------------------------------------------------------------------


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_slash_", "/"), content)
    return data.getvalue()


PACKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: zipped(conv=data, __MACOSX_slash_conv=b"x", folder_slash_=b""),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed(tmp_path, kind):
    expected = plain(read_trace(write(tmp_path, AZURE)))
    packed = PACKERS[kind](AZURE.encode())
    assert plain(read_trace(write(tmp_path, packed, "conv.csv"))) == expected  # whatever it is called
    assert plain(read_trace(write(tmp_path, PACKERS[kind](json.dumps([QWEN]).encode()))))[1] == [33]
    lines = random.Random(0).choices(AZURE.splitlines(keepends=True)[1:], k=3000)
    noise = AZURE + "".join(line.replace("613", str(n)) for n, line in enumerate(lines))
    packed = PACKERS[kind](noise.encode())
    for cut in (len(packed) // 3, len(packed) - 6):
        assert f"its {kind} data is cut off or damaged" in refusal(write(tmp_path, packed[:cut]))
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    assert f"its {kind} data is cut off or damaged" in refusal(write(tmp_path, bytes(damaged)))
    assert "is empty" in refusal(write(tmp_path, PACKERS[kind](b"")))


def test_what_is_not_unpacked_is_named(tmp_path):
    assert "a zip archive of 2 files (a, b), but must hold one" in refusal(write(tmp_path, zipped(a=b"1", b=b"2")))
    assert "compressed with zstd" in refusal(write(tmp_path, b"\x28\xb5\x2f\xfd rest"))
    assert "Parquet" in refusal(write(tmp_path, b"PAR1 rest"))
    locked = bytearray(zipped(a=AZURE.encode()))
    locked[6] |= 1  # the bits that say "encrypted", in the file's own header and in the directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert "zip data cannot be unpacked" in refusal(write(tmp_path, bytes(locked)))


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
@pytest.mark.parametrize("rows", [1, 300])
def test_delimiters(tmp_path, monkeypatch, delimiter, rows):
    monkeypatch.setattr("labkit.simulate.traces.BATCH_BYTES", 0)
    text = AZURE + AZURE.splitlines()[2] + "\n"
    text = text.replace(",", delimiter) + (AZURE.splitlines()[2].replace(",", delimiter) + "\n") * rows
    assert read_trace(write(tmp_path, text)).input_tokens.tolist() == [613] + [641] * (rows + 2)
    quoted = text.replace("ContextTokens", '"Context, tokens; all"', 1)
    columns = {"arrival": "TIMESTAMP", "input": "Context, tokens; all"}
    assert len(read_trace(write(tmp_path, quoted), column_map=columns)) == rows + 3


# ----- column maps and units ------------------------------------------------------------------------------------------


def test_a_column_map(tmp_path):
    table = "id,start,prompt,answer\nx,1000,5,2\ny,3000,6,0\n"
    path = write(tmp_path, table)
    assert "pass unit=" in refusal(path, column_map=MAP)
    trace = read_trace(path, column_map=MAP, unit="ms")
    assert plain(trace) == ([0, 2], [5, 6], [2, 0]) and trace.notes == ()
    lines = [{"start": "2026-11-30T10:00:00Z", "prompt": 5, "answer": 2, "ids": [1]}, {"start": "2026-11-30T10:00:01Z"}]
    lines[1] |= {"prompt": 6, "answer": 0, "ids": [1]}
    path = write(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    trace = read_trace(path, column_map=MAP | {"block_ids": "ids"})
    assert plain(trace) == ([0, 1], [5, 6], [2, 0]) and trace.notes == ()
    assert [ids.tolist() for ids in trace.hash_ids] == [[1], [1]]
    assert read_trace(path, column_map=MAP).hash_ids is None


def test_a_column_map_without_an_output(tmp_path):
    trace = read_trace(
        write(tmp_path, "start,prompt\n0,5\n4,6\n"), column_map={"arrival": "start", "input": "prompt"}, unit="s"
    )
    assert plain(trace) == ([0, 4], [5, 6], [1, 1])
    assert trace.notes == ("Nothing says how many tokens were generated: one for each request.",)


@pytest.mark.parametrize(
    ("name", "per_s"),
    [("start_s", 1), ("start (ms)", 1e3), ("start_us", 1e6), ("t [ns]", 1e9), ("Start Seconds", 1), ("ms", 1e3)],
)
def test_a_unit_in_the_name(tmp_path, name, per_s):
    trace = read_trace(
        write(tmp_path, f"{name},n\n0,5\n3,6\n"), column_map={"arrival": name, "input": "n", "output": "n"}
    )
    assert trace.arrival_s.tolist() == [0, 3 / per_s] and f"{name} was read as " in trace.notes[0]
    assert "as its name says" in trace.notes[0]


@pytest.mark.parametrize("name", ["start", "tokens", "requests", "arrivals", "items"])
def test_no_unit_in_the_name(tmp_path, name):
    path = write(tmp_path, f"{name},n\n0,5\n")
    assert "nothing says in which unit" in refusal(path, column_map={"arrival": name, "input": "n"})


def test_what_documents_mean_is_not_to_be_mapped(tmp_path):
    for path in (session(tmp_path, "a"), tmp_path):
        for options in ({"column_map": MAP}, {"unit": "ms"}):
            assert "leave column_map and unit out" in refusal(path, **options)
        assert read_trace(path, unit="s").arrival_s.tolist() == [0, 4, 5, 7]


@pytest.mark.parametrize("first", ["0,5,6", "2024-05-10 00:00:00.401,613,239", " 1.5 ;2;3"])
def test_a_table_without_a_header(tmp_path, first):
    for options in ({}, {"column_map": {"arrival": first[0], "input": "5"}, "unit": "s"}):
        said = refusal(write(tmp_path, f"{first}\n{first}\n"), **options)
        assert "line 1: the row holds values (" in said and "put a header above it" in said


@pytest.mark.parametrize("cell", ["5-6", "a1b2", "[1, 2", "1.5", "[[1]]", "-"])
def test_block_ids_in_a_cell_that_are_none(tmp_path, cell):
    path = write(tmp_path, f'start_s,n,ids\n0,9,"-7 8"\n0,9,"{cell}"\n')
    columns = {"arrival": "start_s", "input": "n", "block_ids": "ids"}
    if cell == "[1, 2":
        assert [ids.tolist() for ids in read_trace(path, column_map=columns).hash_ids] == [[-7, 8], [1, 2]]
    else:
        assert f"line 3: ids is '{cell}', but must be a list of whole numbers" in refusal(path, column_map=columns)


def test_a_column_that_is_missing_is_named_beside_those_there_are(tmp_path):
    path = write(tmp_path, "id,begin,prompt\nx,0,5\n")
    said = refusal(path, column_map=MAP)
    assert "column_map names the column start, which is missing; the file has id, begin, prompt; correct it" in said
    said = refusal(path)
    assert "of no trace known here (Azure LLM inference, BurstGPT, Qwen-Bailian, Mooncake)" in said
    assert "the file has id, begin, prompt; " in said and "column_map={" in said
    assert "block, which is missing" in refusal(
        path, column_map={"arrival": "begin", "input": "prompt", "block_ids": "block"}
    )
    lines = write(tmp_path, '{"begin": 0, "prompt": 5}\n')
    assert "column start, which is missing; the file has begin, prompt" in refusal(lines, column_map=MAP)


@pytest.mark.parametrize(
    "wrong", [{}, {"arrival": "a"}, MAP | {"outputs": "x"}, MAP | {"output": 3}, "start", [("arrival", "a")], 5]
)
def test_a_column_map_that_is_none(tmp_path, wrong):
    with pytest.raises(LabkitError, match=r"^column_map is .*, but must say under 'arrival', 'input' and 'output'"):
        read_trace(write(tmp_path, AZURE), column_map=wrong)


def test_a_unit_that_is_none(tmp_path):
    with pytest.raises(LabkitError, match="unit is 'minutes', but must be one of s, ms, us, ns"):
        read_trace(write(tmp_path, AZURE), unit="minutes")


# ----- what is no trace -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("start_s,n\n0,5\n,6\n", "line 3: start_s is '', but must be a number of seconds, 0 or more"),
        ("start_s,n\n0,5\n1,\n", "line 3: n is ''"),
        ("start_s,n\n0,5\n-1,6\n", "line 3: start_s is '-1', but must be a number of seconds, 0 or more"),
        ("start_s,n\n0,5\nnan,6\n", "line 3: start_s is 'nan'"),
        ("start_s,n\n0,5\n2024-05-10 00:00:00,6\n", "line 3: start_s is '2024-05-10 00:00:00', but must be a number"),
        ("start_s,n\n2024-05-10 00:00:00,6\n1,5\n", "line 3: start_s is '1', but must be a date and time"),
        ("start_s,n\n", "no request"),
        ("", "is empty"),
    ],
)
def test_holes_and_other_times(tmp_path, monkeypatch, text, what):
    columns = {"arrival": "start_s", "input": "n"}
    path = write(tmp_path, text)
    said = refusal(path, column_map=columns)
    assert what in said
    monkeypatch.setattr("labkit.simulate.traces.BATCH_BYTES", 0)
    for size in (4, 10, 12):
        monkeypatch.setattr("labkit.simulate.trace_files.CHUNK_BYTES", size)
        assert refusal(path, column_map=columns) == said


@pytest.mark.parametrize("seed", range(12))
def test_garbage_gets_a_sentence(tmp_path, seed):
    data = random.Random(seed).randbytes(300_000)
    for start in (
        b"",
        b"{",
        b"[",
        b"{\n",
        b"\x1f\x8b\x08\x00",
        b"PK\x03\x04",
        b"BZh9",
        b"\xfd7zXZ\x00",
        AZURE.encode(),
    ):
        refusal(write(tmp_path, start + data))


def test_a_document_too_large_to_be_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.simulate.trace_documents.MAX_DOCUMENT_BYTES", 1000)
    rows = [QWEN] * 100
    for indent in (None, 1):
        said = refusal(write(tmp_path, json.dumps(rows, indent=indent)))
        assert "more than 1,000 bytes, which has to be read as a whole; save it as JSON Lines" in said
    assert "it is not JSON (Expecting" in refusal(write(tmp_path, '[{"a": 1}, oops]'))
    assert "not UTF-8" in refusal(write(tmp_path, b'["\xe9"]'))
    deep = refusal(write(tmp_path, "[" * 999))  # how deep is too deep depends on the Python
    assert "not readable JSON" in deep or "it is not JSON (Expecting value at column 1000)" in deep


def test_numbers_in_columns_are_the_same_however_the_file_is_cut(tmp_path, monkeypatch):
    rng = random.Random(3)
    rows = [
        f"{rng.random() * 10 ** rng.randrange(6):.{rng.randrange(12)}f},{rng.randrange(10**4)}" for _ in range(2000)
    ]
    path = write(tmp_path, "start_s,n\n" + "\n".join(rows))
    columns = {"arrival": "start_s", "input": "n", "output": "n"}
    expected = read_trace(path, column_map=columns)
    times = sorted(float(row.split(",")[0]) for row in rows)
    assert expected.arrival_s.tolist() == [time - times[0] for time in times]
    monkeypatch.setattr("labkit.simulate.traces.BATCH_BYTES", 0)
    monkeypatch.setattr("labkit.simulate.trace_rows.Rows.add", None)
    for size in (1000, 10**6):
        monkeypatch.setattr("labkit.simulate.trace_files.CHUNK_BYTES", size)
        trace = read_trace(path, column_map=columns)
        assert plain(trace) == plain(expected) and trace.notes == expected.notes
