"""What a LoRA file says about itself, in the keys that other programs read.

`ss_*` are kohya's (read by Forge, A1111, model managers), `modelspec.*` follow ModelSpec 1.0.1
(read by SwarmUI and ComfyUI). Tags and names of folders are left out where the user wishes that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from core.config.concepts import Kind
from core.config.job import Job
from core.config.trigger_words import phrase_of, triggers_of
from core.data.batches import locate
from core.data.types import Plan
from core.families.base import BaseModelFile, FamilyInfo, PredictionType
from core.hardware import Precision
from core.paths import user_path
from core.reading import parse_json

_MIXED: Mapping[Precision, str] = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
# Of sentences each is a tag of its own; thousands of them would only swell the file.
_MOST_TAGS = 1000


def program_version() -> str:
    """The installed version of Limner."""
    try:
        return version("limner")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Trained:
    """What a run has really done at the moment of saving.

    precision: of the calculation; rates: role of a network (`denoiser`, `text`) -> its learning
    rate without the schedule's factor, for Prodigy the one that it found; started, now: seconds
    since 1970.
    """

    step: int
    precision: Precision
    rates: Mapping[str, float]
    started: float
    now: float


def lora_metadata(
    job: Job,
    family: FamilyInfo,
    base: BaseModelFile,
    prediction: PredictionType,
    plan: Plan,
    trained: Trained,
    run_name: str,
) -> dict[str, str]:
    """Metadata of a LoRA file; every value a text, as the format has it."""
    title = job.name or run_name
    resolution = job.training.resolution
    made = datetime.fromtimestamp(trained.now, UTC)
    spec = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": family.architecture,
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": f"{resolution}x{resolution}",
        "modelspec.date": made.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    # ModelSpec has words for these two alone.
    if word := {"epsilon": "epsilon", "v_prediction": "v"}.get(prediction):
        spec["modelspec.prediction_type"] = word
    phrase = phrase_of(triggers_of(concept.model_dump() for concept in job.concepts))
    if phrase:
        spec["modelspec.trigger_phrase"] = phrase
    kohya = {
        "ss_network_module": "networks.lora",
        "ss_base_model_version": family.base_version,
        "ss_v2": False,
        "ss_output_name": title,
        "ss_sd_model_name": base.path.name,
        "ss_clip_skip": job.model.clip_skip + 1,
        **_network(job),
        **_progress(job, plan, trained),
        **_settings(job, trained),
        **_pictures(job, plan),
    }
    limner = {"version": program_version(), "run": run_name, "step": trained.step}
    return spec | {k: str(v) for k, v in kohya.items()} | {"limner": json.dumps(limner)}


def _network(job: Job) -> dict[str, object]:
    lora = job.lora
    found: dict[str, object] = {
        "ss_network_dim": lora.rank,
        "ss_network_alpha": lora.alpha,
        "ss_network_dropout": lora.dropout or None,
    }
    if lora.targets == "all":
        # What kohya's scripts ask for to train convolutions too.
        same = {"conv_dim": str(lora.rank), "conv_alpha": str(lora.alpha)}
        found["ss_network_args"] = json.dumps(same)
    return found


def _progress(job: Job, plan: Plan, trained: Trained) -> dict[str, object]:
    """How far the training was, in steps and in epochs that are counted from 1."""

    def epoch_of(step: int) -> int:
        return locate(plan, job, step - 1)[0] + 1 if step else 0

    return {
        "ss_steps": trained.step,
        "ss_max_train_steps": plan.total_steps,
        "ss_epoch": epoch_of(trained.step),
        "ss_num_epochs": epoch_of(plan.total_steps),
        "ss_num_batches_per_epoch": plan.steps_per_epoch * job.training.gradient_accumulation,
        "ss_training_started_at": trained.started,
        "ss_training_finished_at": trained.now,
    }


def _settings(job: Job, trained: Trained) -> dict[str, object]:
    """How it was trained, by kohya's names; None where something is off, as kohya has it."""
    training = job.training
    loss, noise = training.loss, training.timesteps
    return {
        "ss_learning_rate": trained.rates["denoiser"],
        "ss_unet_lr": trained.rates["denoiser"],
        "ss_text_encoder_lr": trained.rates.get("text"),
        "ss_lr_scheduler": training.scheduler,
        "ss_lr_warmup_steps": training.warmup_steps,
        "ss_optimizer": training.optimizer,
        "ss_seed": training.seed,
        "ss_mixed_precision": _MIXED[trained.precision],
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_gradient_accumulation_steps": training.gradient_accumulation,
        "ss_total_batch_size": training.batch_size * training.gradient_accumulation,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_loss_type": "l2" if loss.kind == "mse" else loss.kind,
        "ss_min_snr_gamma": loss.min_snr_gamma if loss.weighting == "min_snr" else None,
        "ss_debiased_estimation": loss.weighting == "debiased",
        "ss_noise_offset": noise.noise_offset or None,
        "ss_ip_noise_gamma": noise.input_perturbation or None,
    }


def _pictures(job: Job, plan: Plan) -> dict[str, object]:
    """What was learned from; tags and names of folders only where the settings let them out."""
    resolution = job.training.resolution
    prior = sum(c.per_epoch for c in plan.concepts if c.kind == "prior")
    found: dict[str, object] = {
        "ss_resolution": f"({resolution}, {resolution})",
        "ss_enable_bucket": not job.training.buckets.square,
        "ss_num_train_images": plan.samples_per_epoch - prior,
        "ss_num_reg_images": prior,
        "ss_bucket_info": json.dumps(_buckets(plan)),
    }
    if job.checkpoints.tell_captions:
        names = _folder_names(job, plan)
        found |= {
            "ss_tag_frequency": json.dumps(_tags(plan, names), ensure_ascii=False),
            "ss_dataset_dirs": json.dumps(_folders(job, plan, names, "train"), ensure_ascii=False),
            "ss_reg_dataset_dirs": json.dumps(
                _folders(job, plan, names, "prior"), ensure_ascii=False
            ),
        }
    return found


def _folder_names(job: Job, plan: Plan) -> dict[int, str]:
    """Concept -> the name of its folder, with a number where two concepts' would be the same."""
    names: dict[int, str] = {}
    for summary in plan.concepts:
        name = user_path(job.concepts[summary.index].path.strip()).name or summary.name
        number, chosen = 2, name
        while chosen in names.values():
            chosen, number = f"{name} ({number})", number + 1
        names[summary.index] = chosen
    return names


def _folders(job: Job, plan: Plan, names: Mapping[int, str], kind: Kind) -> dict[str, object]:
    found: dict[str, object] = {}
    for summary in plan.concepts:
        if summary.kind == kind and summary.pictures:
            repeats = job.concepts[summary.index].repeats
            whole = int(repeats) if repeats == int(repeats) else repeats
            found[names[summary.index]] = {"n_repeats": whole, "img_count": summary.pictures}
    return found


def _tags(plan: Plan, names: Mapping[int, str]) -> dict[str, dict[str, int]]:
    """Folder -> tag in small letters -> how many pictures have it; the most frequent ones."""
    learned = {summary.index for summary in plan.concepts if summary.kind == "train"}
    # A picture that is trained at several resolutions counts once.
    captions = {(i.concept, i.path): i.captions for i in plan.items if i.concept in learned}
    counts: dict[str, Counter[str]] = {}
    for (concept, _path), texts in captions.items():
        tags = {tag.strip().lower() for text in texts for tag in text.split(",")} - {""}
        counts.setdefault(names[concept], Counter()).update(sorted(tags))
    return {name: dict(count.most_common(_MOST_TAGS)) for name, count in counts.items()}


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
