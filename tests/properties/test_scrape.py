"""Whatever counters do between two questions, nothing is counted twice, and only a restart loses anything."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.observe.live import Watch

ENGINES = ("0", "1")
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.sampled_from(ENGINES), st.integers(1, 50)),
        st.tuples(st.just("restart"), st.sampled_from(ENGINES), st.just(0)),
        st.tuples(st.just("ask"), st.just(""), st.integers(1, 9)),
        st.tuples(st.just("down"), st.just(""), st.integers(1, 9)),
    ),
    max_size=30,
)


@given(happenings)
@settings(max_examples=50)
def test_rates_add_up_to_what_was_counted(drawn: list[tuple[str, str, int]]) -> None:
    counters: dict[str, int] = {}  # an engine appears with its first token
    shown: dict[str, int] = {}  # at the last answer
    counted, now, broken = 0, 0.0, False

    def get(url: str, **given: Any) -> str:
        lines = [f'vllm:generation_tokens_total{{engine="{name}"}} {value}' for name, value in counters.items()]
        return "\n".join(["# TYPE vllm:generation_tokens counter", *lines, ""]) if not broken else "half"

    seen = Watch("h:1", get=get, clock=lambda: now)
    seen.ask()
    for what, engine, amount in drawn:
        if what == "grow":
            counters[engine] = counters.get(engine, 0) + amount
        elif what == "restart" and engine in counters:
            # A counter that has grown beyond what was shown looks as if it had never been reset: nobody can tell.
            counters[engine] = 0
        elif what in ("ask", "down"):
            now += amount
            broken = what == "down"
            row = seen.ask()
            assert (row is None) == broken
            if not broken:
                for name, value in counters.items():
                    counted += value - shown[name] if value >= shown.get(name, value + 1) else value
                shown = dict(counters)
    found = sum(row["delivered"] * row["seconds"] for row in seen.series.rows())
    assert round(found, 6) == counted
    assert all(row["delivered"] >= 0 for row in seen.series.rows())
    assert seen.series.seconds.sum() == (seen.series.end_s[-1] if len(seen.series) else 0)
