"""Builds Limner's demo model from nothing: drawn pictures, a VAE, a UNet with text encoder.

    python packaging/build_demo_model.py                   everything, about 80 minutes on one core
    python packaging/build_demo_model.py --stage measure   only the quality gate, on what is there

Each stage continues where it was interrupted: the training stages keep their state in `--work`
and stop after `--minutes` of training in all. The result is `resources/demo_model`, in the
format of diffusers' StableDiffusionPipeline; seed, times and measures go to
`packaging/demo_model.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from demo_world.store import Log, write_text  # noqa: E402

STAGES = ("vae", "diffusion", "export", "measure")
MINUTES = {"vae": 9.0, "diffusion": 67.0}
RECORD = HERE / "demo_model.json"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stage", choices=("all", *STAGES), default="all")
    parser.add_argument("--minutes", type=float, help="training time of the one stage named")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "demo_model")
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "demo_model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.minutes is not None and options.stage not in MINUTES:
        parser.error("--minutes goes with --stage vae or --stage diffusion")
    return options


def record(**values: object) -> None:
    """Adds values to the record kept beside this script."""
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    write_text(RECORD, json.dumps(known | values, indent=2) + "\n")


def stage_vae(options: argparse.Namespace, log: Log) -> None:
    """Trains the VAE."""
    from demo_world.vae import train_vae, vae_quality

    vae = train_vae(options.work, options.seed, minutes(options, "vae"), log)
    log(f"vae quality {vae_quality(vae)}")


def stage_diffusion(options: argparse.Namespace, log: Log) -> None:
    """Trains UNet and text encoder on the VAE's latents."""
    from demo_world.diffusion import train_diffusion
    from demo_world.vae import trained_vae

    vae = trained_vae(options.work)
    train_diffusion(options.work, vae, options.seed, minutes(options, "diffusion"), log)


def stage_export(options: argparse.Namespace, log: Log) -> None:
    """Writes the averaged weights as fp16 safetensors, first beside, then in place of, --out."""
    from demo_world.diffusion import BATCH, cache_latents, trained_pipeline
    from demo_world.store import need_state
    from demo_world.vae import trained_vae, vae_quality

    vae = trained_vae(options.work)
    cache_latents(vae, options.work, options.seed, log)
    quality = vae_quality(vae)
    pipeline = trained_pipeline(options.work, vae, options.seed).to(torch.float16)
    fresh = options.out.with_name(options.out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.save_pretrained(fresh, safe_serialization=True)
    tidy_configs(fresh)
    size = sum(file.stat().st_size for file in fresh.rglob("*") if file.is_file())
    if size > 12_000_000:
        raise RuntimeError(f"{fresh} has {size} bytes; at most 12,000,000 are allowed")
    shutil.rmtree(options.out, ignore_errors=True)
    fresh.rename(options.out)
    states = {name: need_state(options.work / f"{name}.pt") for name in MINUTES}
    record(
        command="python packaging/build_demo_model.py",
        seed=options.seed,
        threads=options.threads,
        bytes=size,
        seconds={name: round(state["seconds"]) for name, state in states.items()},
        steps={name: state["step"] for name, state in states.items()},
        samples_trained=states["diffusion"]["step"] * BATCH,
        parameters={name: parameters(getattr(pipeline, name)) for name in PARTS},
        **{name: round(value, 2) for name, value in quality.items()},
    )
    log(f"exported {size} bytes to {options.out.name}")


def tidy_configs(folder: Path) -> None:
    """Lets the text encoder load in float32 like the other parts; keeps to standard JSON."""
    for part, change in (
        ("text_encoder/config.json", {"dtype": "float32"}),
        ("scheduler/scheduler_config.json", {"lambda_min_clipped": None}),
    ):
        path = folder / part
        values = json.loads(path.read_text(encoding="utf-8")) | change
        known = {key: value for key, value in values.items() if key not in change or value}
        write_text(path, json.dumps(known, indent=2, allow_nan=False) + "\n")


PARTS = ("vae", "unet", "text_encoder")


def parameters(module: torch.nn.Module) -> int:
    """The number of weights of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def stage_measure(options: argparse.Namespace, log: Log) -> None:
    """Runs the quality gate on the exported model; fails where it is not met."""
    from demo_world.measure import GATE, load_judge, load_pipeline, measure, train_judge

    judge_file = HERE / "demo_world" / "judge.safetensors"
    if not judge_file.is_file():
        train_judge(judge_file, options.seed, log)
    measures = measure(load_pipeline(options.out), load_judge(judge_file))
    record(measures=measures)
    log(json.dumps(measures))
    low = [
        f"{name} {measures[name]} < {least}"
        for name, least in GATE.items()
        if measures[name] < least
    ]
    if low:
        raise SystemExit("the quality gate is not met: " + ", ".join(low))


def minutes(options: argparse.Namespace, stage: str) -> float:
    """The training time of a stage in minutes."""
    return MINUTES[stage] if options.minutes is None else options.minutes


def main() -> None:
    """Runs the stages asked for."""
    options = arguments()
    torch.set_num_threads(options.threads)
    log = Log(options.work / "log.txt")
    work = {
        "vae": stage_vae,
        "diffusion": stage_diffusion,
        "export": stage_export,
        "measure": stage_measure,
    }
    for stage in STAGES if options.stage == "all" else (options.stage,):
        work[stage](options, log)


if __name__ == "__main__":
    main()
