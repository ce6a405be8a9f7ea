"""The engine on the kernels: a model writes the same with them as with PyTorch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

import kvkernels
from labkit import engine, specs
from labkit.attention import PagedKVCache
from labkit.attention.backend import kernels_for
from labkit.errors import PartError
from labkit.grading import source
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.scheduling.config import SchedulerConfig
from labkit.serving import load
from labkit.serving.decode_graphs import DecodeGraphs
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel
from labkit.serving.model import LanguageModel
from labkit.serving.request import Request

PROMPTS = [list(range(10, 21)), [7, 3, 40, 41]]


@pytest.fixture(scope="module")
def model(device: str) -> LoadedModel:
    """One layer with heads of 16 numbers, the smallest that kernels know."""
    small = load("tiny")
    config = replace(small.config, num_hidden_layers=1, head_dim=16)
    torch.manual_seed(0)
    network = LanguageModel(config)
    for parameter in network.parameters():
        values = torch.randn(parameter.shape) * 2 / parameter.shape[-1] ** 0.5
        parameter.data = values if parameter.dim() > 1 else torch.ones(parameter.shape)
    return LoadedModel(network.to(device), small.tokenizer, name="one layer", source="a seed")


def cache(model: LoadedModel, kernels: bool | None, **more: Any) -> PagedKVCache:
    return model.paged_cache(8, 8, kernels=kernels, yours=False, **more)


def test_a_model_writes_the_same_with_kernels(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("decode", "prefill", "write_kv"):
        kernel = getattr(kvkernels, name)
        note = lambda *a, _k=kernel, _n=name, **how: (called.append(_n), _k(*a, **how))[1]  # noqa: E731
        monkeypatch.setattr(kvkernels, name, note, raising=False)
    with_kernels = model.generate_many(PROMPTS, cache=cache(model, True), max_new_tokens=4, stop=False)
    assert set(called) == {"decode", "prefill", "write_kv"}
    called.clear()
    without = model.generate_many(PROMPTS, cache=cache(model, False), max_new_tokens=4, stop=False)
    assert called == []
    assert [g.token_ids for g in with_kernels] == [g.token_ids for g in without]
    assert all(len(g.token_ids) == 4 for g in with_kernels)


def served(model: LoadedModel, **more: Any) -> tuple[list[list[int]], LLMEngine]:
    """Three prompts on an engine in two batch sizes, the third forced to come later."""
    made = model.engine(12, 8, config=SchedulerConfig(seats=2), yours=False, **more)
    if "kernels" in more and model.model.device.type == "cpu":
        made._graphs = DecodeGraphs(model.model, made.cache, record=lambda call: call)
    for i, prompt in enumerate([*PROMPTS, [5, 6, 7]]):
        made.submit(Request(f"R{i}", prompt, 3 + i))
    list(made.stream())
    return [answer.token_ids for answer in made.answers.values()], made


def test_steps_of_fixed_sizes_say_the_same(model: LoadedModel, device: str) -> None:
    """What a graph would repeat: rows that are not used, block tables that are longer. On a GPU they are graphs."""
    said, made = served(model, kernels=True)
    plain, without = served(model, **({"graphs": False} if device == "cuda" else {}))
    assert said == plain and [len(tokens) for tokens in said] == [3, 4, 5]
    assert made._graphs is not None and without._graphs is None
    assert sorted(made._graphs._recorded) == [(1, 64), (2, 64)]


LESSONS = {"paged_decode": "11", "grouped_decode": "12", "split_decode": "13", "prefill": "14", "write_kv": "14"}


def passed(monkeypatch: pytest.MonkeyPatch, *names: str, breaks: bool = False) -> Counter[str]:
    """The solutions of these kernels have passed, and count their launches."""
    launches: Counter[str] = Counter()
    load = source.load_passed

    class Counted:
        def __init__(self, name: str, kernel: Any) -> None:
            self._name, self._kernel = name, kernel

        def __getitem__(self, grid: Any) -> Any:
            launches[self._name] += 1
            return self._kernel[grid]

    monkeypatch.setattr(source, "load_passed", lambda spec, *rest: Counted(spec.exercise, load(spec, *rest)))
    monkeypatch.setattr(engine.Parts, "_loaded", {})
    for name in names:
        text = solutions(LESSONS[name])[name]
        if breaks:
            text = text.replace("tl.program_id(0)", "tl.program_id(0).nothing")
        Progress().save_pass(specs.resolve_key(LESSONS[name]), name, text)
    return launches


@pytest.mark.parametrize(
    ("names", "launched"),
    [
        (("paged_decode",), {"paged_decode"}),
        (("paged_decode", "grouped_decode"), {"grouped_decode"}),
        (("grouped_decode", "split_decode"), {"split_decode"}),
        (("prefill", "write_kv"), {"prefill", "write_kv"}),
    ],
)
def test_a_learner_s_kernels_take_the_place_of_the_course_s(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], launched: set[str]
) -> None:
    due = model.generate_many(PROMPTS, cache=cache(model, False), max_new_tokens=3, stop=False)
    launches = passed(monkeypatch, *names)
    memory = model.paged_cache(8, 8, kernels=True)
    answers = model.generate_many(PROMPTS, cache=memory, max_new_tokens=3, stop=False)
    assert set(launches) == launched
    assert [g.token_ids for g in answers] == [g.token_ids for g in due]


def test_on_the_processor_they_wait_for_who_asks(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    launches = passed(monkeypatch, "paged_decode", "write_kv")
    assert model.generate(PROMPTS[0], cache=model.paged_cache(8, 8, kernels=False), max_new_tokens=2).token_ids
    assert not launches


def test_a_learner_s_kernel_that_fails_ends_the_run_with_a_sentence(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed(monkeypatch, "paged_decode", breaks=True)
    with pytest.raises(PartError, match=r"Your paged_decode of lesson 11 ended this run: .*AttributeError.*nothing"):
        model.generate_many(PROMPTS, cache=model.paged_cache(8, 8, kernels=True), max_new_tokens=3, stop=False)


def test_a_block_is_copied_before_two_write_in_it(device: str) -> None:
    pages = {}
    for kernels in (True, False):
        made = PagedKVCache(layers=2, kv_heads=1, head_dim=16, num_blocks=4, block_size=4, device=device,
                            kernels=kernels, yours=False)  # fmt: skip
        made.extend("a", [1, 2])
        made.k.copy_(torch.arange(made.k.numel()).view(made.k.shape))
        made.manager.fork("a", "b")
        made.extend("b", [3])
        pages[kernels] = made.k.cpu(), made.manager.blocks("b")
    assert pages[True][1] == pages[False][1]
    assert (pages[True][0] == pages[False][0]).all()


class TestTheRule:
    @staticmethod
    def pages(device: str, head_dim: int = 16, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.zeros(1, 2, 4, 1, head_dim, dtype=dtype, device=device) for _ in range(2))  # type: ignore[return-value]

    def test_a_cpu_takes_pytorch_and_a_gpu_the_kernels(self, device: str) -> None:
        assert kernels_for(*self.pages("cpu")) is None
        assert (kernels_for(*self.pages(device)) is None) == (device == "cpu")

    def test_what_is_asked_for_is_done(self, device: str) -> None:
        assert kernels_for(*self.pages(device), kernels=True) is not None
        assert kernels_for(*self.pages(device), kernels=False) is None

    def test_what_is_asked_for_and_cannot_be_is_a_sentence(self, device: str) -> None:
        with pytest.raises(kvkernels.KernelInputError, match="Heads have 8 numbers; these kernels know"):
            kernels_for(*self.pages(device, head_dim=8), kernels=True)
        with pytest.raises(kvkernels.KernelInputError, match=r"The cache is torch\.float64; this kernel reads"):
            kernels_for(*self.pages(device, dtype=torch.float64), kernels=True)

    def test_pages_on_a_gpu_that_kernels_do_not_know_are_served_by_pytorch(self, device: str) -> None:
        """A GPU is stood in for by a tensor that says it lies on one."""

        class Elsewhere:
            device = torch.device("cuda")

            def __getitem__(self, layer: int) -> torch.Tensor:
                return torch.zeros(2, 4, 1, 8)

        assert kernels_for(Elsewhere(), Elsewhere()) is None  # type: ignore[arg-type]
