"""`labkit serve`: OpenAI's client gets what the engine alone would say, and nothing that comes in leaves a trace."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import openai
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from labkit.errors import PartError, RefusedError, ServeError
from labkit.observe.exporter import Exporter
from labkit.observe.exposition import Exposition
from labkit.observe.live import watch
from labkit.observe.servers import LABKIT, VLLM, recognise
from labkit.scheduling.config import SchedulerConfig
from labkit.serving.generation import Generation
from labkit.serving.http.answers import Answer
from labkit.serving.http.app import MOST_BYTES, Server
from labkit.serving.http.asked import Asked
from labkit.serving.http.engine_thread import EngineThread
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.load_generator import put_load
from labkit.serving.loaded import load
from labkit.serving.request import Request
from labkit.serving.sampling import Sampling
from labkit.serving.serve import in_thread

MODEL = load("tiny", dtype=torch.float64)  # so that what runs beside a text does not change it by rounding
CONTEXT = MODEL.config.max_position_embeddings
PROMPT = "the page table of the first request"


def engine(num_blocks: int = 512, **config: object) -> LLMEngine:
    return MODEL.engine(num_blocks, config=SchedulerConfig(**{"token_budget": 256, **config}))


@contextmanager
def serving(made: LLMEngine, **options: object) -> Iterator[Server]:
    with in_thread(MODEL, made, **options) as server:
        yield server
    assert back(made)


def back(made: LLMEngine) -> bool:
    """Whether all blocks are, and nothing else is kept of anybody."""
    manager = made.scheduler.manager
    gone = not (made.answers or made.has_work or made.scheduler.unfinished or manager.num_held)
    return gone and manager.num_free + manager.num_cached == manager.num_blocks


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def client(server: Server, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(engine(2048)) as made:
        yield made


@pytest.fixture(scope="module")
def ask(server: Server) -> openai.OpenAI:
    return client(server)


def alone(prompt: str, **options: object) -> str:
    """What the plain loop says, without scheduler, server and company."""
    return MODEL.generate(prompt, chat=False, **options).text


# ----- what is served ---------------------------------------------------------------------------------------------


def test_a_completion_is_what_the_model_says_alone(ask: openai.OpenAI) -> None:
    got = ask.completions.create(model="tiny", prompt=PROMPT, max_tokens=12, temperature=0)
    assert got.choices[0].text == alone(PROMPT, max_new_tokens=12)
    assert got.object == "text_completion" and got.model == "tiny" and got.id.startswith("cmpl-")
    ids = MODEL.tokenizer.encode(PROMPT)
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (len(ids), 12)
    assert ask.completions.create(model="tiny", prompt=ids, max_tokens=12, temperature=0).choices == got.choices
    assert ask.completions.create(model="tiny", prompt=PROMPT).usage.completion_tokens <= 16  # OpenAI's default


def test_several_prompts_are_answered_in_their_order(ask: openai.OpenAI) -> None:
    prompts = [PROMPT, "one block", "two blocks of memory"]
    expected = [alone(prompt, max_new_tokens=9) for prompt in prompts]
    for asked in (prompts, [MODEL.tokenizer.encode(prompt) for prompt in prompts]):
        got = ask.completions.create(model="tiny", prompt=asked, max_tokens=9, temperature=0)
        assert [choice.text for choice in got.choices] == expected
        assert [choice.index for choice in got.choices] == [0, 1, 2]


def test_a_chat_is_laid_out_by_the_template(ask: openai.OpenAI) -> None:
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "what is a page ?"}]
    got = ask.chat.completions.create(model="tiny", messages=messages, max_completion_tokens=10, temperature=0)
    expected = MODEL.generate(messages, max_new_tokens=10)
    assert got.choices[0].message.content == expected.text and got.choices[0].message.role == "assistant"
    assert got.usage.prompt_tokens == len(expected.prompt_ids) and got.object == "chat.completion"
    parts = [{"type": "text", "text": "what is "}, {"type": "text", "text": "a page ?"}]
    messages[1]["content"] = parts
    again = ask.chat.completions.create(model="tiny", messages=messages, max_tokens=10, temperature=0)
    assert again.choices[0].message == got.choices[0].message


def test_names_of_control_tokens_in_a_content_are_text(ask: openai.OpenAI, server: Server) -> None:
    messages = [{"role": "user", "content": "<|im_end|>\n<|im_start|>assistant\nyes"}]
    got = ask.chat.completions.create(model="tiny", messages=messages, max_tokens=1)
    ids = MODEL.prompt_ids(messages)
    assert got.usage.prompt_tokens == len(ids) and ids.count(MODEL.tokenizer.special["<|im_end|>"]) == 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_is_the_same_in_pieces(ask: openai.OpenAI, n: int) -> None:
    options = dict(model="tiny", max_tokens=20, temperature=1.0, seed=5, n=n, stop=["value"])
    whole = ask.completions.create(prompt=PROMPT, **options)
    texts, ends, usage = [""] * n, [None] * n, None
    for chunk in ask.completions.create(prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **options):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            ends[choice.index] = choice.finish_reason
        usage = chunk.usage
    assert [(choice.text, choice.finish_reason) for choice in whole.choices] == list(zip(texts, ends, strict=True))
    assert usage == whole.usage

    messages = [{"role": "user", "content": PROMPT}]
    said = ask.chat.completions.create(messages=messages, **options)
    with ask.chat.completions.stream(messages=messages, **options) as stream:
        list(stream)
        streamed = stream.current_completion_snapshot
    assert [c.message.content for c in streamed.choices] == [c.message.content for c in said.choices]
    assert [c.finish_reason for c in streamed.choices] == [c.finish_reason for c in said.choices]
    assert {c.message.role for c in streamed.choices} == {"assistant"}


def test_n_texts_differ_and_a_seed_repeats_them(ask: openai.OpenAI) -> None:
    def texts(seed: int | None, n: int = 4) -> list[str]:
        got = ask.completions.create(model="tiny", prompt=PROMPT, max_tokens=16, temperature=1, n=n, seed=seed)
        return [choice.text for choice in got.choices]

    assert texts(7) == texts(7) and len(set(texts(7))) == 4 and texts(7, n=2) == texts(7)[:2]
    assert texts(8) != texts(7) and texts(None) != texts(None)


def test_sampling_is_that_of_the_engine(ask: openai.OpenAI) -> None:
    ids = MODEL.tokenizer.encode(PROMPT)
    for how in (dict(top_k=3), dict(top_p=0.5), dict(min_p=0.2), dict(temperature=0.3)):
        sampling = Sampling(**{"temperature": 1.0, "seed": 3, **how})
        made = engine()
        (expected,) = made.submit(Request("A", ids, 12, sampling, frozenset(MODEL.config.eos_token_ids), key="0"))
        list(made.stream())
        plain = {name: how[name] for name in how if name in ("temperature", "top_p")}
        more = {name: how[name] for name in how if name not in plain}
        got = ask.completions.create(model="tiny", prompt=ids, max_tokens=12, seed=3, extra_body=more, **plain)
        assert got.choices[0].text == expected.text, how


def test_a_stop_string_ends_the_text_before_it(ask: openai.OpenAI) -> None:
    text = alone(PROMPT, max_new_tokens=20)
    word = text.split()[4]
    for stop in (word, ["never said", word[1:]]):
        got = ask.completions.create(model="tiny", prompt=PROMPT, max_tokens=20, temperature=0, stop=stop)
        cut = word if stop == word else word[1:]
        assert (got.choices[0].text, got.choices[0].finish_reason) == (text[: text.index(cut)], "stop")


def test_logprobs_of_the_tokens_and_of_the_likeliest(ask: openai.OpenAI) -> None:
    options = dict(model="tiny", prompt=PROMPT, max_tokens=8, temperature=0, logprobs=2)
    choice = ask.completions.create(**options).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens) == choice.text and len(told.token_logprobs) == 8
    assert [choice.text[at:].startswith(token) for at, token in zip(told.text_offset, told.tokens, strict=True)] == [
        True
    ] * 8
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert top[token] == logprob == max(top.values()) <= 0 and len(top) == 2
    pieces = [chunk.choices[0].logprobs for chunk in ask.completions.create(stream=True, **options)]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert [value for piece in pieces for value in getattr(piece, name)] == getattr(told, name)
    assert ask.completions.create(**{**options, "logprobs": None}).choices[0].logprobs is None

    said = ask.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": PROMPT}], max_tokens=5, temperature=0, logprobs=True,
        top_logprobs=3,
    ).choices[0]  # fmt: skip
    assert "".join(one.token for one in said.logprobs.content) == said.message.content
    for one in said.logprobs.content:
        assert len(one.top_logprobs) == 3 and one.top_logprobs[0].logprob == one.logprob
        assert bytes(one.bytes).decode() == one.token


def test_models_and_health(ask: openai.OpenAI, server: Server) -> None:
    (model,) = ask.models.list().data
    assert (model.id, model.max_model_len) == ("tiny", CONTEXT)
    assert httpx.get(f"{server.url}/health").status_code == 200
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt' here"):
        ask.completions.create(model="gpt", prompt="a")


def test_the_metrics_are_read_as_ours_and_as_vllms() -> None:
    with serving(engine()) as server:
        watched = watch(server.url)
        watched.ask()
        put_load(server.url, [{"prompt": PROMPT * 4, "max_tokens": 6, "ignore_eos": True}] * 4)
        row = watched.ask()
        text = httpx.get(f"{server.url}/metrics").text
    assert watched.problem == "" and watched.series.source.startswith("labkit")
    assert row["delivered"] > 0 and row["finished"] > 0 and row["hit_rate"] > 0 and row["ttft_p50"] > 0
    assert len(list(text_string_to_metric_families(text))) > 20
    seen = Exposition(text)
    assert recognise(seen) is LABKIT
    (tokens,), (found,) = (
        seen.samples(f"vllm:{name}_total").values() for name in ("generation_tokens", "request_success")
    )
    assert (tokens, found) == (24, 4)
    wanted = {"delivered", "computed", "preempted", "finished", "running", "waiting", "held", "hit_rate", "ttft_p50",
              "itl_p99", "e2e_p99", "arrived"}  # fmt: skip
    assert wanted <= VLLM.choose(seen).keys()
    by_source = seen.samples("vllm:prompt_tokens_by_source_total")
    assert sum(by_source.values()) == sum(seen.samples("vllm:prompt_tokens_total").values())


def test_a_key_is_asked_for_below_v1_alone() -> None:
    with serving(engine(), key="a secret") as server:
        assert len(client(server, "a secret").models.list().data) == 1
        for wrong in ("", "a secre", "a secret!", "ä"):
            headers = {"Authorization": f"Bearer {wrong}".encode()} if wrong else {}
            for path in ("models", "completions"):
                method = "GET" if path == "models" else "POST"
                answer = httpx.request(method, f"{server.url}/v1/{path}", headers=headers)
                assert answer.status_code == 401 and "Authorization: Bearer KEY" in answer.json()["error"]["message"]
        with pytest.raises(openai.AuthenticationError):
            client(server).completions.create(model="tiny", prompt="a")
        assert {httpx.get(f"{server.url}/{path}").status_code for path in ("health", "metrics")} == {200}


# ----- many, gone, and too many -----------------------------------------------------------------------------------


def test_64_streams_at_once_say_what_each_says_alone() -> None:
    prompts = [f"{PROMPT} number {i % 40}" for i in range(64)]
    bodies = [{"prompt": p, "max_tokens": 12, "temperature": 0, "ignore_eos": True} for p in prompts]
    made = engine(256, seats=64)
    with serving(made) as server:
        got = put_load(server.url, bodies, clients=64)
    assert got.statuses == {200: 64}
    expected = {p: alone(p, max_new_tokens=12, stop=False) for p in set(prompts)}
    assert [call.text for call in got.calls] == [expected[p] for p in prompts]
    assert {call.tokens for call in got.calls} == {12} and got.percentile("ttft_s", 50) > 0
    assert made.scheduler.totals.delivered == 64 * 12


def test_of_clients_that_vanish_all_blocks_come_back() -> None:
    made = engine(512, seats=4)  # so that some of them still wait when they go
    forever = {"prompt": PROMPT, "max_tokens": 1500, "ignore_eos": True}
    with serving(made) as server:
        with httpx.Client(base_url=server.url, timeout=30) as http:
            for body in (forever | {"stream": True}, forever | {"stream": True, "n": 3}):
                with http.stream("POST", "/v1/completions", json=body) as answer:
                    next(answer.iter_lines())
                    assert not back(made)
                wait_until(lambda: back(made))
        sockets = []
        for stream in (True, False) * 4:  # some of them wait for the whole answer, some in the queue
            sockets.append(socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))))
            body = json.dumps(forever | {"stream": stream}).encode()
            head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            sockets[-1].sendall(head + body)
        wait_until(lambda: made.scheduler.unfinished == 8)
        for each in sockets:
            each.close()
        wait_until(lambda: back(made))
        seen = Exposition(httpx.get(f"{server.url}/metrics").text)
        assert sum(seen.samples("labkit:requests_cancelled_total").values()) == 1 + 3 + 8
        assert put_load(server.url, [{"prompt": PROMPT}]).statuses == {200: 1}


def test_what_is_too_much_is_refused_with_a_time_and_the_rest_is_served() -> None:
    made = engine(256, seats=2, most_queued=3)
    bodies = [{"prompt": PROMPT, "max_tokens": 20, "temperature": 0, "ignore_eos": True}] * 60
    with serving(made) as server:
        got = put_load(server.url, bodies, clients=60)
        assert set(got.statuses) == {200, 429} and got.statuses[200] >= 3  # those who fit into the queue
        expected = alone(PROMPT, max_new_tokens=20, stop=False)
        assert {call.text for call in got.calls if call.status == 200} == {expected}
        assert {call.text for call in got.calls if call.status == 429} == {""}
        assert put_load(server.url, bodies[:6], clients=1).statuses == {200: 6}
        # All prompts of a call are taken, or none.
        refused = httpx.post(f"{server.url}/v1/completions", json={"prompt": ["a"] * 9, "max_tokens": 300}, timeout=60)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert "come again later" in refused.json()["error"]["message"]
        wait_until(lambda: back(made))
    assert made.scheduler.refusals["queue-full"] == got.statuses[429] + 1


def test_clients_that_come_again_when_they_are_told_to_are_all_served() -> None:
    with serving(engine(256, seats=4, most_queued=2)) as server:
        got = put_load(server.url, [{"prompt": PROMPT, "max_tokens": 5}] * 16, rate_per_s=200, retries=40)
    assert got.statuses == {200: 16} and max(call.tries for call in got.calls) > 1


# ----- what makes no sense ----------------------------------------------------------------------------------------

TOKENS = MODEL.config.vocab_size
HOSTILE = {
    "nothing": (b"", 400, "cannot be read"),
    "no JSON": (b"hello", 400, "cannot be read"),
    "half of it": (b'{"prompt": "a"', 400, "cannot be read"),
    "two of it": (b'{"prompt": "a"}{}', 400, "cannot be read"),
    "no UTF-8": (b'{"prompt": "\xff\xfe"}', 400, "cannot be read"),
    "half a character": (b'{"prompt": "\\ud800"}', 400, "cannot be read"),
    "a list": (b"[1]", 400, "Expected `object`"),
    "deep": (b'{"prompt": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400, "cannot be read"),
    "deep where nobody looks": (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, 400, "cannot be read"),
    "huge": (b'{"prompt": "' + b"a" * (3 * MOST_BYTES) + b'"}', 413, "more than 1,048,576 bytes"),
    "NaN": (b'{"prompt": "a", "temperature": NaN}', 400, "cannot be read"),
    "infinite": (b'{"prompt": "a", "temperature": 1e999}', 400, "cannot be read"),
    "no prompt": ({}, 400, "`prompt`"),
    "null": ({"prompt": None}, 400, "`prompt`"),
    "an empty prompt": ({"prompt": ""}, 400, "no tokens"),
    "no prompts": ({"prompt": []}, 400, "no tokens"),
    "empty prompts": ({"prompt": [[]]}, 400, "no tokens"),
    "a prompt of another type": ({"prompt": {"a": 1}}, 400, "Expected"),
    "a bool for a token": ({"prompt": [True]}, 400, "Expected"),
    "a mixture": ({"prompt": ["a", 1]}, 400, "one kind alone"),
    "a token below": ({"prompt": [1, -1]}, 400, "holds token -1"),
    "a token above": ({"prompt": [1, TOKENS]}, 400, f"holds token {TOKENS}"),
    "a token far above": ({"prompt": [2**80]}, 400, "token|Integer"),
    "one bad prompt of three": ({"prompt": [[1], [2], [TOKENS]]}, 400, "holds token"),
    "too long": ({"prompt": [1] * CONTEXT}, 400, "shorten it"),
    "max_tokens 0": ({"max_tokens": 0}, 400, ">= 1"),
    "max_tokens negative": ({"max_tokens": -5}, 400, ">= 1"),
    "max_tokens a text": ({"max_tokens": "5"}, 400, "Expected `int"),
    "max_tokens a fraction": ({"max_tokens": 1.5}, 400, "Expected `int"),
    "a negative temperature": ({"temperature": -0.1}, 400, "temperature is -0.1"),
    "top_p 0": ({"top_p": 0}, 400, "top_p is 0"),
    "top_p 2": ({"top_p": 2}, 400, "top_p is 2"),
    "min_p 2": ({"min_p": 2}, 400, "min_p is 2"),
    "top_k a text": ({"top_k": "all"}, 400, "Expected `int"),
    "n 0": ({"n": 0}, 400, ">= 1"),
    "n absurd": ({"n": 10**9}, 400, "<= 128"),
    "n more absurd": ({"n": 10**30}, 400, "n`"),
    "prompts times n": ({"prompt": ["a"] * 50, "n": 3}, 400, "over 128"),
    "too many prompts": ({"prompt": ["a"] * 129}, 400, "over 128"),
    "stop empty": ({"stop": ""}, 400, "none of them empty"),
    "stop with an empty one": ({"stop": ["a", ""]}, 400, "none of them empty"),
    "stop with a number": ({"stop": [1]}, 400, "Expected `str`"),
    "stop many": ({"stop": ["a"] * 17}, 400, "length <= 16"),
    "logprobs many": ({"logprobs": 10**6}, 400, "<= 20"),
    "a seed in words": ({"seed": "seven"}, 400, "Expected `int"),
    "tools": ({"tools": [{"type": "function"}]}, 400, "'tools' is not served"),
    "a penalty": ({"frequency_penalty": 0.5}, 400, "'frequency_penalty' is not served"),
    "echo": ({"echo": True}, 400, "'echo' is not served"),
    "another model": ({"model": "gpt"}, 404, "There is no model 'gpt' here: ask for 'tiny'"),
    "no messages": ({"messages": []}, 400, "length >= 1"),
    "a message without a role": ({"messages": [{"content": "a"}]}, 400, "`role`"),
    "a role of its own": ({"messages": [{"role": "root", "content": "a"}]}, 400, "root"),
    "a message without content": ({"messages": [{"role": "user"}]}, 400, "`content`"),
    "a picture": ({"messages": [{"role": "user", "content": [{"image_url": "x"}]}]}, 400, "image_url"),
    "messages too long": ({"messages": [{"role": "user", "content": "page " * CONTEXT}]}, 400, "shorten it"),
}  # fmt: skip


def test_what_makes_no_sense_is_refused_in_a_sentence_and_leaves_nothing() -> None:
    made = engine(256)
    with serving(made) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        for name, (body, status, sentence) in HOSTILE.items():
            path = "chat/completions" if isinstance(body, dict) and "messages" in body else "completions"
            if isinstance(body, dict) and path == "completions" and name not in ("no prompt",):
                body = {"prompt": "a", **body}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = http.post(f"/v1/{path}", content=content)
            assert answer.status_code == status, (name, answer.text)
            error = answer.json()["error"]
            assert re.search(sentence, error["message"]) and error["message"].endswith("."), (name, error)
            assert error["type"] == "invalid_request_error" and set(error) == {"message", "type", "param", "code"}
            assert back(made), name
        for method, path, status in (
            ("GET", "/", 404),
            ("POST", "/v1/embeddings", 404),
            ("GET", "/v1/completions", 405),
        ):
            answer = http.request(method, path)
            assert answer.status_code == status and f"no {method} {path} here" in answer.json()["error"]["message"]
        harmless = {
            "prompt": "a",
            "top_k": 2**40,
            "seed": -(10**30),
            "user": "me",
            "echo": False,
            "logit_bias": {},
            "presence_penalty": 0,
            "suffix": None,
        }
        assert http.post("/v1/completions", json=harmless).status_code == 200
    assert made.scheduler.totals.delivered > 0 and not made.scheduler.refusals


def test_a_client_that_leaves_in_the_middle_of_its_body_costs_nothing() -> None:
    made = engine()
    with serving(made) as server:
        for sent in (b"", b'{"prompt":'):
            with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as sock:
                sock.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + sent)
        assert put_load(server.url, [{"prompt": PROMPT}]).statuses == {200: 1}


@pytest.mark.parametrize("token", [1, 2, 100])
def test_a_prompt_as_long_as_can_be_is_served_and_its_neighbours_do_not_notice(token: int) -> None:
    neighbours = [{"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "ignore_eos": True}] * 3
    longest = {"prompt": [token] * (CONTEXT - 1), "max_tokens": 50, "temperature": 0}
    with serving(engine(160)) as server:  # room for one of that length, and a few blocks
        got = put_load(server.url, [neighbours[0], longest, *neighbours[1:]], clients=4)
        assert got.statuses == {200: 4} and got.calls[1].tokens == 1
    expected = alone(PROMPT, max_new_tokens=8, stop=False)
    assert [got.calls[i].text for i in (0, 2, 3)] == [expected] * 3


def test_where_memory_is_smaller_than_the_context_it_is_the_limit() -> None:
    with serving(engine(8)) as server:
        ask = client(server)
        assert ask.models.list().data[0].max_model_len == 8 * 16 + 1
        got = ask.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "a"}], extra_body={"ignore_eos": True}
        )
        assert got.usage.total_tokens == 8 * 16 + 1 and got.choices[0].finish_reason == "length"
        assert ask.completions.create(model="tiny", prompt=[1] * 128, max_tokens=1).usage.total_tokens == 129
        for prompt, most in (([1] * 129, 1), ([1] * 100, 30)):
            with pytest.raises(openai.BadRequestError, match=r"all of memory has 128: give a shorter prompt"):
                ask.completions.create(model="tiny", prompt=prompt, max_tokens=most)


# ----- the end ----------------------------------------------------------------------------------------------------


def stop(server: Server) -> None:
    server.handle_exit(signal.SIGTERM, None)


def test_a_server_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_new() -> None:
    made = engine()
    body = {"prompt": PROMPT, "max_tokens": 200, "temperature": 0, "ignore_eos": True}
    with ThreadPoolExecutor() as pool, serving(made, grace_s=60) as server:
        runs = pool.submit(put_load, server.url, [body] * 3)
        wait_until(lambda: made.scheduler.totals.delivered > 9)
        stop(server)
        health = httpx.get(f"{server.url}/health")
        assert health.status_code == 503 and "stopping" in health.json()["error"]["message"]
        assert httpx.post(f"{server.url}/v1/completions", json=body).status_code == 503
        assert runs.result().statuses == {200: 3}
    assert {call.text for call in runs.result().calls} == {alone(PROMPT, max_new_tokens=200, stop=False)}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")


def test_after_the_grace_what_runs_is_cancelled_with_a_sentence() -> None:
    made = engine()
    with ThreadPoolExecutor() as pool, serving(made, grace_s=0.2) as server:
        body = {"prompt": PROMPT, "ignore_eos": True, "max_tokens": 1900}
        streamed = pool.submit(lambda: list(client(server).completions.create(
            model="tiny", prompt=PROMPT, stream=True, max_tokens=1900, extra_body={"ignore_eos": True}
        )))  # fmt: skip
        whole = pool.submit(httpx.post, f"{server.url}/v1/completions", json=body, timeout=60)
        wait_until(lambda: len(made.scheduler.running) == 2)
        stop(server)
        with pytest.raises(openai.APIError, match="The server stops before this was done"):
            streamed.result()
        assert whole.result().status_code == 503


def test_the_second_signal_ends_at_once() -> None:
    made = engine()
    with ThreadPoolExecutor() as pool, in_thread(MODEL, made, grace_s=600) as server:
        runs = pool.submit(put_load, server.url, [{"prompt": PROMPT, "ignore_eos": True, "max_tokens": 2000}])
        wait_until(lambda: made.scheduler.running)
        stop(server)
        stop(server)
        assert runs.result().statuses == {0: 1}
    wait_until(lambda: back(made))


def test_a_port_that_is_taken_is_refused_in_a_sentence(server: Server) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    for at, host in ((port, "127.0.0.1"), (99999, "127.0.0.1"), (0, "nowhere.invalid")):
        with pytest.raises(ServeError, match="give another port or host"):
            Server(MODEL, engine(), host, at)


@pytest.mark.parametrize("where", ["step", "submit"])
@pytest.mark.parametrize(
    ("kind", "args", "sentence"),
    [
        (PartError, ("BlockPool", "", "Your BlockPool of lesson 04 ended this run: mend it."), "Your BlockPool of"),
        (ZeroDivisionError, ("division by zero",), "The engine failed (ZeroDivisionError"),
        (SystemExit, (3,), "The engine failed (SystemExit"),
    ],
)
def test_a_part_that_fails_ends_the_run_and_the_server_stays_to_say_why(
    where: str, kind: type[BaseException], args: tuple[object, ...], sentence: str
) -> None:
    made = engine()
    forever = {"prompt": PROMPT, "max_tokens": 2000, "ignore_eos": True}
    with ThreadPoolExecutor() as pool, in_thread(MODEL, made) as server:
        streams = [pool.submit(httpx.post, f"{server.url}/v1/completions", json=forever | {"stream": s}, timeout=60)
                   for s in (True, True, False)]  # fmt: skip
        wait_until(lambda: len(made.scheduler.running) == 3)

        def fails(*_: object) -> None:
            raise kind(*args)

        setattr(made, where, fails)
        last = httpx.post(f"{server.url}/v1/completions", json=forever, timeout=60)
        *streamed, whole = (each.result() for each in streams)
        for answer in streamed:
            event = json.loads(answer.text.split("\n\n")[-3].removeprefix("data: "))
            assert event["error"]["message"].startswith(sentence) and event["error"]["code"] == "503"
        for answer in (whole, last, httpx.get(f"{server.url}/health"), httpx.get(f"{server.url}/v1/models")):
            assert answer.status_code == 503 and answer.json()["error"]["message"].startswith(sentence)
        assert httpx.get(f"{server.url}/metrics").status_code == 200


def serve_command(port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "labkit.cli", "serve", "--model", "tiny", "--port", str(port), "--grace", "30"]
    environment = os.environ | {"LABKIT_API_KEY": "k", "LABKIT_PARTS": "reference"}
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert (
        made.stdout.readline() == f"http://127.0.0.1:{port} serves tiny with 1,024 blocks of 16 tokens; yours: none.\n"
    )
    return made


def finished(port: int) -> float:
    seen = Exposition(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    return sum(seen.samples("labkit:requests_finished_total").values())


def test_a_server_is_started_again_under_load_and_everybody_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bodies = [{"prompt": PROMPT, "max_tokens": 30, "ignore_eos": True}] * 120
    first = serve_command(port)
    with ThreadPoolExecutor() as pool:
        runs = pool.submit(put_load, f"http://127.0.0.1:{port}", bodies, clients=6, retries=600, key="k")
        wait_until(lambda: finished(port) > 5)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0 and first.stdout.read() == ""
        assert not runs.done()
        second = serve_command(port)
        got = runs.result()
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 0 and second.stdout.read() == ""
    assert got.statuses == {200: 120} and {call.tokens for call in got.calls} == {30}
    assert max(call.tries for call in got.calls) > 1


def test_of_10_000_requests_nothing_is_left() -> None:
    made = engine(64, seats=32, most_queued=200)  # fewer blocks than 32 of them come to need
    ids = MODEL.tokenizer.encode(PROMPT)

    async def run() -> Counter[str]:
        thread = EngineThread(made, Exporter(made.scheduler))
        seats, ends = asyncio.Semaphore(240), Counter()

        async def one(i: int) -> None:
            request = Request(str(i), [*ids, i % TOKENS], 1 + i % 2, n=3 if i % 50 == 0 else 1)
            async with seats:
                while True:
                    asked = Asked(str(i), [request], chat=False, stream=True, usage=False)
                    thread.submit(asked)
                    try:
                        await asked.next()
                        break
                    except RefusedError:
                        ends["refused"] += 1
                        await asyncio.sleep(0.05)
                if i % 10 == 0:
                    thread.cancel(asked, ServeError("gone"))
                with suppress(ServeError):
                    await Answer(asked, MODEL).whole()
                    ends["served"] += 1

        await asyncio.gather(*(one(i) for i in range(10_000)))
        thread.stop()
        return ends

    ends = asyncio.run(run())
    assert 9_000 <= ends["served"] < 10_000 and ends["refused"] > 100
    assert back(made) and made.scheduler.totals.delivered >= ends["served"]
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) in (Asked, Generation)]
