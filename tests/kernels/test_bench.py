"""The bench of the kernels where there is no GPU: floors, shapes, who is looked at, and a dry run of all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from kvkernels import tuned
from kvkernels._triton import INTERPRETED
from labkit.bench import kernel_tuning
from labkit.bench.bench_commands import app
from labkit.bench.kernel_bench import bench_workload, keep, lines, summary, timed
from labkit.bench.kernel_inputs import Inputs
from labkit.bench.kernel_peers import Absent, Peer, peers
from labkit.bench.kernel_shapes import SHAPES, TINY, Workload, chosen
from labkit.bench.kernel_timing import Clock, gpu, read_ceiling
from labkit.errors import KernelError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


class TestShapes:
    def test_the_floor_is_what_the_table_of_targets_says(self) -> None:
        """At the 4.3 TB/s that a copy moves there."""
        floors = {w.name: w.floor_bytes / 4.3e6 for w in SHAPES}
        for name, us in (("B32 4K", 125), ("B128 4K", 500), ("B16 4K MHA", 250), ("B1 128K", 125), ("B1 32K", 31),
                         ("B1 4K", 3.9)):  # fmt: skip
            assert floors[name] == pytest.approx(us, rel=0.02), name
        assert floors["B32 4K fp8"] == pytest.approx(floors["B32 4K"] / 2, rel=0.01)

    def test_the_five_of_kernelbench(self) -> None:
        five = [w for w in SHAPES if w.group == "kernelbench"]
        geomean = torch.tensor([float(w.floor_bytes) for w in five]).log().mean().exp() / 1e6
        assert len(five) == 5
        assert float(geomean) == pytest.approx(63, abs=2)

    def test_operations_of_a_prefill(self) -> None:
        w = Workload("", "", 2, 1, 16, (5, 4), new=3)
        assert w.flops == 4 * 2 * 16 * ((3 + 4 + 5) + (2 + 3 + 4))

    def test_chosen_by_name_group_and_numbers(self) -> None:
        assert chosen([]) == list(SHAPES)
        assert [w.name for w in chosen(["b1 4k", "pages"])] == [
            "B1 4K",
            *(w.name for w in SHAPES if w.group == "pages"),
        ]
        (own,) = chosen(["2,8,2,64,100,32,fp8"])
        assert (own.lengths, own.q_heads, own.page, own.dtype) == ((100, 100), 8, 32, "fp8")
        assert chosen(["2,8,2,64,100"])[0].page == 16

    @pytest.mark.parametrize("word", ["B9", "1,2,3", "2,8,2,64,x", "2,8,2,64,0", "1,2,3,4,5,6,7"])
    def test_what_is_no_shape(self, word: str) -> None:
        with pytest.raises(KernelError, match="which is no shape: give a group"):
            chosen([word])


@no_gpu
class TestWithoutAGpu:
    @pytest.mark.parametrize("json_too", [[], ["--json"]])
    def test_it_says_so_and_times_nothing(self, json_too: list[str]) -> None:
        done = CliRunner().invoke(app, ["kernels", *json_too])
        assert isinstance(done.exception, KernelError)
        assert "torch finds none here: run `labkit bench kernels` on a machine with one" in str(done.exception)
        assert done.stdout == ""
        with pytest.raises(KernelError):
            gpu()

    def test_a_dry_run_goes_through_everybody(self) -> None:
        clock = Clock.dry()
        shapes = [bench_workload(clock, w, None) for w in TINY]
        assert [s["name"] for s in shapes] == [w.name for w in TINY]
        for shape in shapes:
            ours = shape["rows"][0]
            assert ours["us"] is None
            assert ours["error"] < 0.01 and ours["replay_error"] < 0.01
        looked_at = {row["name"] for row in shapes[0]["rows"] if "error" in row}
        assert looked_at >= {"ours", "ours, tile 16 and 16 segments", "gather + SDPA", "FlexAttention, paged"}
        absent = {row["name"]: row["absent"] for row in shapes[0]["rows"] if "absent" in row}
        assert set(absent) == {"ours, as a CUDA graph", "varlen_attn"}

    def test_its_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from labkit.bench import kernel_shapes

        monkeypatch.setattr(kernel_shapes, "TINY", TINY[3:4])
        done = CliRunner().invoke(app, ["kernels", "--dry-run", "--json"])
        assert done.exit_code == 0, done.output
        result: dict[str, Any] = json.loads(done.stdout)
        assert set(result) == {"machine", "method", "ceiling", "shapes", "summary"}
        assert {"card", "torch", "triton", "python"} <= set(result["machine"])
        (shape,) = result["shapes"]
        assert {"name", "lengths", "page", "dtype", "floor_bytes", "flops", "floor_us", "rows"} <= set(shape)
        assert not [row for row in shape["rows"] if row.get("us")]
        assert result["summary"]["kernelbench_geomean_of_spec"] is None


class TestWhoIsLookedAt:
    """On the device that kernels run on."""

    @pytest.fixture
    def x(self, device: str) -> Inputs:
        return Inputs(Workload("", "", 4, 2, 16, (20, 3), page=8, dtype="fp32"), torch.device(device))

    def row(self, x: Inputs, call: Any, **how: Any) -> dict[str, Any]:
        return timed(Clock.dry(), x, Peer("peer", lambda: call, **how))

    def test_one_who_answers_for_more_rows_than_there_are_queries(self, x: Inputs) -> None:
        row = self.row(x, lambda: torch.zeros(23, 4, 16, device=x.q.device))
        assert row["absent"].startswith("KernelError: answers torch.float32 [23, 4, 16] to queries of")

    def test_one_who_is_wrong(self, x: Inputs) -> None:
        assert self.row(x, lambda: x.right() * 1.1)["absent"] == "its error is 10.0% of the answer"

    def test_one_who_remembers_the_first_contents(self, x: Inputs) -> None:
        first = x.right()
        assert "its replay error is" in self.row(x, lambda: first)["absent"]
        assert self.row(x, x.right)["replay_error"] == 0

    def test_one_who_raises_is_a_line(self, x: Inputs) -> None:
        def fails() -> torch.Tensor:
            raise NotImplementedError("no such page\nand more")

        assert self.row(x, fails)["absent"] == "NotImplementedError: no such page"

    def test_a_varlen_attn_without_block_tables(self, x: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
        from torch.nn.attention import varlen

        monkeypatch.setattr(varlen, "varlen_attn", lambda query, key, value, cu_seq_q, cu_seq_k, max_q, max_k: None)
        (absent,) = (p for p in peers(x) if p.name == "varlen_attn")
        assert isinstance(absent, Absent)
        assert absent.why.endswith("takes no block_table")


@pytest.mark.skipif(not INTERPRETED, reason="small sizes are for the interpreter")
def test_the_read_reduce_reads_everything_once() -> None:
    from labkit.kernels.ledger import ledger

    with ledger() as book:
        read_ceiling(Clock.dry(), 5000)
    assert [launch.of("x").read for launch in book.launches] == [4 * 5000] * 4


def test_the_summary_holds_ours_to_the_targets() -> None:
    """Made-up times, on a made-up H200."""
    ours = {"name": "ours", "us": 100.0, "of_ceiling": 0.9, "tflops": 1.0, "launch_us": 1.0, "error": 0.0}
    shapes = [
        {"name": w.name, "group": w.group, "floor_bytes": w.floor_bytes, "target": w.target, "floor_us": 100.0,
         "rows": [ours | {"bytes_per_s": w.floor_bytes / 100e-6}]} for w in SHAPES
    ]  # fmt: skip
    done: dict[str, Any] = {"machine": {"card": "NVIDIA H200"}, "ceiling": {"bytes_per_s": 4e12}, "shapes": shapes}
    done["summary"] = found = summary(done)
    assert found["fp8_gain"] == found["page_1_over_256"] == 1.0
    assert found["kernelbench_geomean_of_spec"] == pytest.approx(63e6 / 100e-6 / 4.8e12, rel=0.05)
    assert found["targets"] == {"B32 4K": True, "B128 4K": True, "B16 4K MHA": False, "B1 128K": True, "B1 32K": True,
                                "B1 4K": False, "prefill 8K": False}  # fmt: skip
    text = "\n".join(lines(done))
    assert "B32 4K: floor 537" in text and "100.0 us" in text and "target of B1 4K: missed" in text
    assert "targets" not in summary(done | {"machine": {"card": "NVIDIA A100"}})


def test_a_result_is_kept_under_its_card(tmp_path: Path) -> None:
    done = {"machine": {"card": "NVIDIA H200"}}
    assert keep(done, tmp_path).name == "kernels-nvidia-h200.json"
    with pytest.raises(KernelError, match="this is an installed copy: use --json"):
        keep(done, tmp_path / "none")


class TestTuning:
    def test_the_fastest_that_is_right_is_kept(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        seen: list[tuned.Configuration] = []

        class Fake(Clock):
            def time(self, call: Any) -> dict[str, float | None]:
                row = next(iter(tuned.rows().values()))
                seen.append(row)
                return {"us": {None: 10.0, 32: 8.0, 64: 5.0}[row.tile] / row.waves}

        grid = [tuned.Configuration(tile=tile) for tile in (32, 64)]
        monkeypatch.setattr(kernel_tuning, "candidates", lambda work: grid)
        monkeypatch.setattr(tuned, "rows", lambda known={}: known)
        clock = Clock.dry()
        work = Workload("", "", 2, 1, 16, (20,), dtype="fp16")
        found = kernel_tuning.tune_rows([work], Fake(clock.device, 1), lambda _: None)
        (key,) = found
        assert key.startswith("decode ") and key.endswith("float16 d16 g2 page16")
        assert found[key] == tuned.Configuration(tile=64, waves=4)
        assert tuned.rows() == {}

        monkeypatch.undo()
        file = tmp_path / "tuned.json"
        file.write_text('{"decode sm_90 a": {"tile": 32}}')
        kernel_tuning.keep_rows(found, file)
        assert json.loads(file.read_text()) == {"decode sm_90 a": {"tile": 32}, key: found[key]._asdict()}

    def test_what_gains_nothing_is_no_row(self) -> None:
        clock = Clock.dry()
        if clock.device.type != "cuda":  # nothing is timed, so nothing is faster
            work = Workload("", "", 2, 1, 16, (5,), dtype="fp16")
            assert kernel_tuning.tune_rows([work], clock, lambda _: None, most=1) == {}


def test_the_order_of_a_timed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that is made up: cold cache, a GPU that waits for the host, and events around the call alone."""
    happened: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            happened.append("event")

        def elapsed_time(self, end: Event) -> float:
            return 0.002

    class Flush:
        def zero_(self) -> None:
            happened.append("flush")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: happened.append("wait"))
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: happened.append("hold"))
    clock = Clock.__new__(Clock)
    clock.device, clock.runs, clock.flush = torch.device("cuda"), 2, Flush()  # type: ignore[assignment]
    took = clock.time(lambda: happened.append("call"))
    assert took["us"] == took["least_us"] == pytest.approx(2.0)
    assert happened == ["call"] * 3 + ["wait"] + ["flush", "hold", "event", "call", "event", "wait"] * 2
