"""What lesson 18 says of its workloads and of vLLM's counters."""

from __future__ import annotations

from labkit.cache.geometry import MODELS
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.recordings import names, recording
from labkit.specs.preemption import scenes


def test_with_less_memory_as_much_is_computed_and_less_is_delivered():
    cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
    ample, tight = (scenes.served(scenes.make(blocks), scenes.chats(), cost) for blocks in (20_000, 3_000))
    swap = {"preemption": "swap", "host_blocks": 20_000, "swap_cost": cost.swap_cost}
    swapped = scenes.served(scenes.make(3_000, **swap), scenes.chats(), cost)
    assert ample.preemptions == 0 < tight.preemptions
    # Nobody is too short to be swapped, and without a prefix cache only a swap brings back what was computed.
    assert swapped.preemptions and not swapped.recomputed
    assert tight.delivered_per_s < 0.85 * ample.delivered_per_s
    assert tight.computed_per_s > 0.95 * ample.computed_per_s
    assert tight.delivered_per_s < swapped.delivered_per_s < 1.05 * tight.delivered_per_s
    assert "delivered" in repr(scenes.two_curves({"ample": ample.run, "tight": tight.run}))


def test_the_counters_of_a_recording_add_up():
    for name in names():
        record = recording(name)
        last = scenes.counted(record)[-1]
        prompts = [len(request["prompt"]) for request in record["requests"]]
        assert last.prompt_tokens == last.queries == sum(prompts)
        assert last.generation_tokens == sum(request["max_tokens"] for request in record["requests"])
        assert last.num_preemptions == last.preempted == sum(len(step["preempted"]) for step in record["steps"])
        assert last.computed == sum(n for step in record["steps"] for _, n in step["scheduled"])
        # The last token of each is never computed, and what was found need not be.
        first = last.prompt_tokens + last.generation_tokens - len(prompts) - last.hits
        assert last.computed - last.recomputed == first
        assert last.recomputed == 0 or last.preempted


def test_a_preemption_is_counted_when_its_victim_is_back():
    steps = scenes.counted(recording("tight"))
    assert (steps[11].preempted, steps[11].num_preemptions, steps[12].num_preemptions) == (1, 0, 1)
    assert steps[-1].found == 80 and steps[-1].hits == 0
