"""Training Kolors: a step against plain torch and diffusers, files, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from core.data.batches import epoch_batches
from core.data.types import Batch
from core.errors import UserError
from core.families.base import Frame
from core.families.registry import family
from core.runs.preflight import preflight
from core.training.trainer import train_step
from tests.training.test_step import Reference, open_for, seeded, shake


@pytest.fixture(scope="module")
def tiny_kolors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family("kolors").build_tiny(tmp_path_factory.mktemp("models") / "tiny kolors", seed=0)


class KolorsReference(Reference):
    """The same step with diffusers' own classes, in Kolors' way."""

    def __init__(self, folder: Path) -> None:
        from diffusers import DDPMScheduler, KolorsPipeline

        self.pipeline = KolorsPipeline.from_pretrained(folder, local_files_only=True)
        self.unet = self.pipeline.unet.float().requires_grad_(False)
        self.noise = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")

    def step(self, session: Any, groups: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
        factors = {
            name: value.detach().clone().requires_grad_()
            for name, value in session.adapter.named_weights()
        }
        unet = self.merged(session, "unet", self.unet, factors)
        draws = [draw for batch in groups for draw in batch.draws]
        loss = sum(self.loss(draw, session, unet) for draw in draws) / len(draws)
        loss.backward()
        return float(loss.detach()), {n: f.grad for n, f in factors.items()}

    def loss(self, draw: Any, session: Any, unet: dict) -> torch.Tensor:
        seed = (session.job.training.seed, session.step, draw.item.id, draw.repeat)
        batch = Batch(draw.item.placement.bucket, (draw,))
        latents = session.pictures.load(session.step, batch).latents
        noise = torch.randn(latents.shape[1:], generator=seeded(*seed, "noise"))[None]
        share = torch.rand((), generator=seeded(*seed, "timestep"), dtype=torch.float64)
        at = torch.tensor([min(int(float(share) * 1100), 1099)])
        with torch.no_grad():
            embeddings, _, pooled, _ = self.pipeline.encode_prompt(
                draw.caption, device="cpu", do_classifier_free_guidance=False
            )
        place, bucket = draw.item.placement, draw.item.placement.bucket
        ids = [*draw.item.size[::-1], *place.crop[::-1], bucket.height, bucket.width]
        more = {"text_embeds": pooled, "time_ids": torch.tensor([ids]).float()}
        predicted = torch.func.functional_call(
            self.unet,
            unet,
            (self.noise.add_noise(latents, noise, at), at, embeddings),
            {"added_cond_kwargs": more},
        ).sample
        return torch.nn.functional.mse_loss(predicted, noise)


@pytest.mark.parametrize("targets", ["attention", "all"])
def test_loss_and_gradients_equal_the_reference(
    make_job, tiny_kolors: Path, tmp_path: Path, targets: str
) -> None:
    job = make_job(
        model__base=str(tiny_kolors),
        lora__text_encoder=False,
        lora__targets=targets,
        lora__alpha=2.0,
        training__gradient_checkpointing=targets == "all",
        training__max_grad_norm=None,
    )
    session = open_for(job, tmp_path)
    assert all(one.is_meta for one in session.model.parts["text_encoder"].parameters())
    shake(session)
    steps = epoch_batches(session.plan, job, 0)
    groups = next(g for g in steps if any(d.item.size != (64, 64) for b in g for d in b.draws))
    wanted, gradients = KolorsReference(tiny_kolors).step(session, groups)
    taken: dict[str, torch.Tensor] = {}
    session.optimizer.step = lambda *_: taken.update(
        {n: p.grad.clone() for n, p in session.adapter.named_weights()}
    )
    loss = train_step(session, groups)
    session.close()
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert taken.keys() == gradients.keys()
    assert all(key.startswith("lora_unet_") for key in session.adapter.layers)
    largest = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert torch.allclose(taken[name], gradient, atol=1e-5 * largest, rtol=1e-4), name


def test_a_resumed_run_is_the_same_and_its_file_works_in_diffusers(
    make_job, run_trainer, tiny_kolors: Path
) -> None:
    from diffusers import KolorsPipeline

    job = make_job(
        model__base=str(tiny_kolors),
        lora__text_encoder=False,
        training__max_steps=4,
        training__learning_rate=1e-2,
        checkpoints__every_unit="step",
        checkpoints__every=2,
        checkpoints__keep_states=2,
    )
    straight = run_trainer(job)
    assert all(event.verified for event in straight.of("checkpoint"))
    weights = load_file(straight.folder.lora_file)
    with safe_open(straight.folder.lora_file, framework="pt") as file:
        said = file.metadata()
    assert said["modelspec.architecture"] == "kolors/lora"
    assert said["ss_base_model_version"] == "kolors"
    resumed = run_trainer(job, folder=straight.folder, resume=straight.folder.checkpoint(2))
    assert resumed.outcome.step == 4
    again = load_file(resumed.folder.lora_file)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    session = open_for(job, straight.folder.path.parent / "other")
    session.adapter.load_weights({name: again[name] for name, _ in session.adapter.named_weights()})
    pipeline = KolorsPipeline.from_pretrained(tiny_kolors, local_files_only=True)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    with torch.no_grad():
        theirs, _, pooled, _ = pipeline.encode_prompt(
            "a red circle", device="cpu", do_classifier_free_guidance=False
        )
        more = {"text_embeds": pooled, "time_ids": ids}
        plain = pipeline.unet(latents, 500, theirs, added_cond_kwargs=more).sample
        pipeline.load_lora_weights(resumed.folder.lora_file, use_safetensors=True)
        expected = pipeline.unet(latents, 500, theirs, added_cond_kwargs=more).sample
        text = session.model.text.encode(["a red circle"])
        got = session.model.predict(latents, torch.tensor([500]), text, [Frame.whole((64, 64))])
    session.close()
    assert torch.allclose(got, expected, atol=1e-5) and not torch.allclose(plain, expected)


def test_check_and_training_refuse_what_the_text_encoder_does_not_offer(
    make_job, tiny_kolors: Path, tmp_path: Path
) -> None:
    job = make_job(model__base=str(tiny_kolors), lora__text_encoder=True, model__clip_skip=1)
    codes = {problem.code for problem in preflight(job).errors}
    assert codes == {"text_encoder_not_trained", "clip_skip_unsuitable"}
    with pytest.raises(UserError) as caught:
        open_for(job, tmp_path)
    assert {problem.code for problem in caught.value.problems} == codes


def test_memory_counts_the_text_encoder_alone_not_beside_the_rest(
    make_job, tiny_kolors: Path
) -> None:
    need = preflight(make_job(model__base=str(tiny_kolors), lora__text_encoder=False)).memory
    assert need is not None and need.reading > 0
    training = need.weights + need.lora + max(need.activations, need.sampling)
    assert need.total == max(training, need.reading) + need.rest
    stored = sum(
        tensor.numel() * 4
        for part in ("unet", "vae")
        for tensor in load_file(tiny_kolors / part / "diffusion_pytorch_model.safetensors").values()
    )
    assert need.weights == pytest.approx(stored, rel=0.05)
