"""What vLLM's own scheduler decided (benchmarks/recordings, made by benchmarks/record_vllm.py), held against ours.

Step by step and request by request: who computes how many tokens in what order, who begins and comes back with how many
tokens from the cache, who is preempted, how many blocks can be had, who has finished.
"""

from __future__ import annotations

import pytest

from labkit.errors import SimulationError
from labkit.simulate.recordings import names, recording, replayed

RECORDINGS = names()


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_scheduler_decides_what_vllm_decided(name: str):
    theirs = recording(name)["steps"]
    ours = replayed(recording(name))
    assert len(ours) == len(theirs)
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        assert our == their, f"step {number} of {name}"


def test_the_recordings_show_what_they_are_for():
    """Enough of them, and pressure in those that are about pressure."""
    seen = {name: recording(name) for name in RECORDINGS}
    preempted = {name: sum(len(step["preempted"]) for step in r["steps"]) for name, r in seen.items()}
    assert len(seen) >= 6 and all(r["version"] for r in seen.values())
    assert preempted["tight"] and preempted["watermark"] and preempted["full_sequence"]
    assert any(hit for step in seen["shared_prefixes"]["steps"] for hit in step["new"].values())
    assert any(hit for step in seen["tight"]["steps"] for hit in step["resumed"].values())


def test_an_unknown_recording_says_which_there_are():
    with pytest.raises(SimulationError, match="plain"):
        recording("tigth")
