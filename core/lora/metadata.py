"""What a LoRA file says about itself, in the keys that other programs read.

`ss_*` are kohya's (read by Forge, A1111, model managers), `modelspec.*` follow ModelSpec 1.0.1
(read by SwarmUI and ComfyUI). Captions and folder names stay out of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from core.config.job import Job
from core.data.types import Plan
from core.families.base import BaseModelFile, FamilyInfo, PredictionType
from core.reading import parse_json


def program_version() -> str:
    """The installed version of Limner."""
    try:
        return version("limner")
    except PackageNotFoundError:
        return "unknown"


def lora_metadata(
    job: Job,
    family: FamilyInfo,
    base: BaseModelFile,
    prediction: PredictionType,
    plan: Plan,
    *,
    step: int,
    run_name: str,
    started: float,
) -> dict[str, str]:
    """Metadata of a LoRA file at `step`; started: seconds since 1970."""
    title = job.name or run_name
    triggers = [c.prompt.trigger.strip() for c in job.concepts if c.enabled]
    resolution = job.training.resolution
    epoch = step / max(plan.steps_per_epoch, 1)
    spec = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": family.architecture,
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": f"{resolution}x{resolution}",
        "modelspec.date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "modelspec.prediction_type": "v" if prediction == "v_prediction" else "epsilon",
    }
    phrase = ", ".join(dict.fromkeys(t for t in triggers if t))
    if phrase:
        spec["modelspec.trigger_phrase"] = phrase
    kohya: Mapping[str, object] = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": job.lora.rank,
        "ss_network_alpha": job.lora.alpha,
        "ss_base_model_version": family.base_version,
        "ss_v2": False,
        "ss_output_name": title,
        "ss_sd_model_name": base.path.name,
        "ss_resolution": f"({resolution}, {resolution})",
        "ss_num_train_images": plan.samples_per_epoch,
        "ss_num_epochs": job.training.epochs,
        "ss_epoch": int(epoch),
        "ss_steps": step,
        "ss_max_train_steps": plan.total_steps,
        "ss_learning_rate": job.training.learning_rate,
        "ss_lr_scheduler": job.training.scheduler,
        "ss_optimizer": job.training.optimizer,
        "ss_seed": job.training.seed,
        "ss_clip_skip": job.model.clip_skip + 1,
        "ss_mixed_precision": job.training.precision,
        "ss_gradient_accumulation_steps": job.training.gradient_accumulation,
        "ss_training_started_at": started,
        "ss_bucket_info": json.dumps(_buckets(plan)),
    }
    limner = {"version": program_version(), "run": run_name, "step": step}
    return spec | {k: str(v) for k, v in kohya.items()} | {"limner": json.dumps(limner)}


def _buckets(plan: Plan) -> dict[str, object]:
    return {
        "buckets": {
            str(number): {"resolution": [bucket.width, bucket.height], "count": count}
            for number, (bucket, count) in enumerate(plan.buckets.items())
        }
    }


def run_of(metadata: Mapping[str, str]) -> str:
    """The name of the run that wrote a LoRA file; empty when Limner did not write it."""
    try:
        return str(parse_json(metadata.get("limner", "{}")).get("run", ""))
    except (ValueError, AttributeError):
        return ""
