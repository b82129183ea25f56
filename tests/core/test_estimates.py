"""How long, how large and how much memory: judged from earlier runs and the model's header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.job import Job
from core.data.types import Bucket, Item, Placement, Plan
from core.families.detect import detect
from core.families.layers import layers_of, lora_bytes
from core.paths import resources_dir
from core.runs.estimates import last_device, measured_speed, time_need
from core.runs.memory import memory_need

DEMO = resources_dir() / "demo_model"


def job(base: Path | str = "", **lora: object) -> Job:
    """A job with LoRA settings."""
    concepts = [{"path": "pictures"}]
    return Job.model_validate({"lora": lora, "model": {"base": str(base)}, "concepts": concepts})


def plan(side: int = 64, pictures: int = 20, steps: int = 100) -> Plan:
    """A plan of `pictures` square pictures."""
    bucket = Bucket(side, side)
    placement = Placement(bucket, (side, side), (0, 0), False)
    return Plan(
        items=tuple(
            Item(number, 0, Path(f"{number}.png"), (side, side), placement, ("x",))
            for number in range(pictures)
        ),
        concepts=(),
        buckets={bucket: pictures},
        samples_per_epoch=pictures,
        steps_per_epoch=steps,
        total_steps=steps,
    )


def write_run(runs: Path, name: str, data: Job, events: list[dict[str, Any]]) -> None:
    """An earlier run with some events, the first of them cut."""
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(data.model_dump()))
    lines = ['{"type": "hel', *[json.dumps(event) for event in events]]
    (folder / "events.jsonl").write_text("\n".join(lines))


def steps(*seconds: float) -> list[dict[str, Any]]:
    return [
        {"type": "step", "step": n, "total": 9, "seconds": s, "memory": 1000 + n, "time": 500 + n}
        for n, s in enumerate(seconds)
    ]


def phase(name: str, time: float, **more: object) -> dict[str, Any]:
    return {"type": "phase", "name": name, "time": time, **more}


def preparing(time: float, done: int) -> dict[str, Any]:
    return phase("caching", time, done=done, total=20, text="Preparing pictures")


def test_the_files_size_follows_from_the_layers() -> None:
    base = detect(str(DEMO))
    for targets, text in (("attention", False), ("attention_ff", False), ("attention", True)):
        wanted = {"attention": ("to_q", "to_k", "to_v", "to_out.0")}
        wanted["attention_ff"] = (
            *wanted["attention"],
            *("ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"),
        )
        numbers = 0
        for layer in layers_of(base):
            of_unet = layer.part.role == "denoiser" and layer.name.endswith(wanted[targets])
            of_text = layer.part.role == "text" and layer.name.endswith(
                ("_proj", "mlp.fc1", "mlp.fc2")
            )
            if of_unet or (text and of_text):
                out, inside, *kernel = layer.shape
                area = kernel[0] * kernel[1] if kernel else 1
                numbers += 4 * (inside * area + out)
        assert numbers > 0
        assert lora_bytes(job(rank=4, targets=targets, text_encoder=text), base) == 2 * numbers


def test_the_newest_comparable_run_tells_the_pace(tmp_path: Path) -> None:
    write_run(tmp_path, "2026-01-01-a", job(rank=8), steps(9.0, 9.0, 9.0))
    write_run(tmp_path, "2026-01-02-b", job(rank=8), steps(1.0, 2.0, 30.0))
    write_run(tmp_path, "2026-01-03-c", job(rank=16), steps(5.0))
    (tmp_path / "2026-01-04-broken").mkdir()
    (tmp_path / "2026-01-04-broken" / "job.json").write_text("{")
    (tmp_path / "2026-01-05-list").mkdir()
    (tmp_path / "2026-01-05-list" / "job.json").write_text("[1]")
    assert measured_speed(job(rank=8), tmp_path).step == 2.0
    assert measured_speed(job(rank=8), tmp_path).run == "2026-01-02-b"
    assert measured_speed(job(rank=32), tmp_path).step == 0.0
    assert measured_speed(job(rank=8), tmp_path / "none").step == 0.0


def test_an_unlike_run_of_the_same_model_is_scaled(tmp_path: Path) -> None:
    earlier = job(DEMO, rank=8)
    earlier.training.resolution, earlier.training.batch_size = 64, 2
    write_run(tmp_path, "2026-01-01-a", earlier, steps(1.0))
    now = job(DEMO, rank=16)
    now.training.resolution, now.training.batch_size = 128, 3
    now.training.gradient_accumulation = 2
    found = measured_speed(now, tmp_path)
    assert found.step == pytest.approx(1.0 * 4 * 3)
    assert not found.exact
    assert found.memory == 0
    # Exactly the same settings are worth more than something newer.
    write_run(tmp_path, "2025-01-01-a", now, steps(7.0))
    assert measured_speed(now, tmp_path).step == 7.0
    now.training.precision = "bfloat16"
    assert measured_speed(now, tmp_path).step == 0.0


def test_a_run_of_another_base_of_the_same_size_is_scaled(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(DEMO, target_is_directory=True)
    write_run(tmp_path / "runs", "2026-01-01-a", job(other), steps(1.5))
    assert measured_speed(job(DEMO), tmp_path / "runs").step == 1.5
    assert measured_speed(job(tmp_path / "none"), tmp_path / "runs").step == 0.0


def test_preparing_and_sampling_are_measured_too(tmp_path: Path) -> None:
    first = [
        {"type": "hello", "pid": 1, "device": "Some GPU", "memory": 8_000, "time": 90.0},
        preparing(100.0, 0),
        preparing(104.0, 8),
        preparing(110.0, 20),
        phase("caching", 110.0, done=0, total=5, text="Reading captions"),
        phase("training", 200.0),
        *steps(1.0, 1.0),
        phase("sampling", 600.0),
        {"type": "sample", "step": 2, "time": 603.0},
        {"type": "sample", "step": 2, "time": 605.0},
        phase("training", 650.0),
    ]
    cached = [preparing(100.0, 0), preparing(100.2, 20), phase("training", 101.0), *steps(3.0)]
    write_run(tmp_path, "2026-01-01-a", job(), first)
    write_run(tmp_path, "2026-01-02-b", job(), cached)
    found = measured_speed(job(), tmp_path)
    assert (found.step, found.exact) == (3.0, True)
    assert found.picture == pytest.approx(0.5)
    assert found.sample == pytest.approx(2.5)
    assert found.memory == 1001
    need = time_need(found, plan(pictures=20, steps=100), samples=4)
    assert (need.training, need.preparing, need.sampling) == (300.0, 10.0, 10.0)
    assert need.total == 320.0
    device = last_device(tmp_path)
    assert (device.name, device.memory, device.is_cpu) == ("Some GPU", 8000, False)


def test_without_runs_no_time_is_told(tmp_path: Path) -> None:
    found = measured_speed(job(), tmp_path)
    assert time_need(found, plan(), samples=4).total == 0.0
    assert last_device(tmp_path).name == ""


def test_the_beginning_and_the_end_of_a_long_run_are_enough(tmp_path: Path) -> None:
    many = [preparing(100.0, 0), preparing(120.0, 20), phase("training", 121.0)]
    many += steps(*[5.0] * 60_000, *[2.0] * 2_000)
    write_run(tmp_path, "2026-01-01-a", job(), many)
    assert (tmp_path / "2026-01-01-a" / "events.jsonl").stat().st_size > 4_800_000
    found = measured_speed(job(), tmp_path)
    assert found.step == 2.0
    assert found.picture == pytest.approx(1.0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_about_what_autograd_keeps(checkpointing: bool) -> None:
    """Against the tensors that a real forward pass of the demo model saves for the backward."""
    import torch
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(DEMO / "unet")
    unet.requires_grad_(False)
    for name, module in unet.named_modules():
        # A bias that learns keeps nothing itself, yet all that lies behind it.
        if name.endswith(("to_q", "to_out.0")) and module.bias is not None:
            module.bias.requires_grad_(True)
    unet.conv_in.bias.requires_grad_(True)
    unet.train()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    own = {p.untyped_storage().data_ptr() for p in unet.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    batch, side = 4, 16
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        unet(
            torch.randn(batch, 4, side, side),
            torch.zeros(batch, dtype=torch.long),
            torch.randn(batch, 77, 128),
        )
    settings = job(DEMO, targets="attention")
    settings.training.batch_size = batch
    settings.training.precision = "float32"
    settings.training.gradient_checkpointing = checkpointing
    settings.sampling.every_unit = "never"
    need = memory_need(settings, detect(str(DEMO)), plan(side=64), on_gpu=False)
    assert need is not None
    # With checkpointing the largest block is made again on top, which the forward pass lacks.
    low, high = (1.0, 3.0) if checkpointing else (0.8, 1.35)
    assert low < need.activations / sum(kept.values()) < high


def test_memory_grows_with_what_makes_it_grow() -> None:
    base = detect(str(DEMO))

    def total(**training: object) -> int:
        settings = Job.model_validate(
            {
                "training": {"precision": "float32", **training},
                "sampling": {"every_unit": "never"},
                "concepts": [{}],
            }
        )
        need = memory_need(settings, base, plan(64 * 4), on_gpu=True)
        assert need is not None
        return need.total

    usual = total(batch_size=2, gradient_checkpointing=False)
    assert total(batch_size=4, gradient_checkpointing=False) > usual
    assert total(batch_size=2, gradient_checkpointing=True) < usual
    assert total(batch_size=2, gradient_checkpointing=False, precision="bfloat16") < usual
    assert total(batch_size=2, gradient_checkpointing=False, optimizer="prodigy") > usual
    assert total(batch_size=2, gradient_checkpointing=False, ema={"enabled": True}) > usual


def test_no_memory_is_told_of_a_model_that_cannot_be_read(tmp_path: Path) -> None:
    from dataclasses import replace

    gone = replace(detect(str(DEMO)), path=tmp_path / "gone")
    assert memory_need(job(), gone, plan(), on_gpu=False) is None
    assert lora_bytes(job(), gone) == 0
