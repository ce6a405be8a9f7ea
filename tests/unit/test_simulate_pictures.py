"""The figures of lesson 03 say what their data says."""

from __future__ import annotations

import pytest

from labkit.cache.contiguous import FirstFit, ReserveMax
from labkit.simulate import pictures
from labkit.simulate.moments import worst_refusal
from labkit.simulate.replay import ContiguousMemory, PagedMemory, replay, useful_share
from labkit.simulate.workload import draw


def texts(picture) -> list[str]:
    figure = picture.figure
    return [text.get_text() for axes in figure.axes for text in [*axes.texts, axes.title, *axes.get_yticklabels()]] + [
        axes.get_title(loc="left") for axes in figure.axes
    ]


def test_moment_names_what_is_wanted_and_the_longest_hole() -> None:
    refusal = worst_refusal(draw(120, seed=1).capped(2048), FirstFit(12_000))
    picture = pictures.moment(refusal)
    said = " ".join(texts(picture))
    assert f"wanted: {refusal.wanted:,}" in said and f"the longest hole has {refusal.longest:,}" in said
    assert picture._repr_png_() == pictures.moment(refusal)._repr_png_()


def test_curve_marks_the_share_at_completion() -> None:
    trace = draw(2_000, seed=2)
    picture = pictures.share_curve(trace, [2048, 4096, 8192], marked=[4096])
    assert f"{100 * float(useful_share(trace, 4096)):.0f} %" in texts(picture)


@pytest.mark.parametrize("count", [1, 2])
def test_bars_have_one_row_a_memory(count: int) -> None:
    trace = draw(60, seed=3).capped(2048)
    memories = [ContiguousMemory(ReserveMax(8_192, 2_048)), PagedMemory(8_192, 16)][:count]
    runs = [replay(trace, memory, name=f"memory {i}") for i, memory in enumerate(memories)]
    picture = pictures.by_kind(runs)
    assert [name for name in texts(picture) if name.startswith("memory")] == [run.name for run in runs]
    at_once = f"{runs[0].mean_running():.1f}"
    assert at_once in texts(picture) and f"{at_once} at once" in repr(picture)
