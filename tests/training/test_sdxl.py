"""Training Stable Diffusion XL: a step against plain torch and diffusers, files, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.data.batches import epoch_batches
from core.data.types import Batch
from core.families.base import Frame
from core.families.registry import family
from core.lora.file import read_header
from core.training.trainer import train_step
from tests.training.test_step import Reference, open_for, seeded, shake


@pytest.fixture(scope="module")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family("sdxl").build_tiny(tmp_path_factory.mktemp("models") / "tiny xl", seed=0)


class ReferenceXL(Reference):
    """The same step with diffusers' own classes, in SDXL's way."""

    def __init__(self, folder: Path, prediction: str, zero_snr: bool) -> None:
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()
        self.vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
        self.encoders = {
            "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder").eval(),
            "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(
                folder / "text_encoder_2"
            ).eval(),
        }
        self.tokenizers = [
            CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")
        ]
        self.prediction = prediction
        self.noise = DDPMScheduler.from_pretrained(
            folder,
            subfolder="scheduler",
            prediction_type=prediction,
            rescale_betas_zero_snr=zero_snr,
        )
        for module in (self.unet, self.vae, *self.encoders.values()):
            module.float().requires_grad_(False)

    def step(self, session: Any, groups: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
        factors = {
            name: value.detach().clone().requires_grad_()
            for name, value in session.adapter.named_weights()
        }
        unet = self.merged(session, "unet", self.unet, factors)
        texts = {
            name: self.merged(session, name, encoder, factors)
            for name, encoder in self.encoders.items()
        }
        draws = [draw for batch in groups for draw in batch.draws]
        loss = sum(self.loss(draw, session, unet, texts) for draw in draws) / len(draws)
        loss.backward()
        return float(loss.detach()), {n: f.grad for n, f in factors.items()}

    def loss(self, draw: Any, session: Any, unet: dict, texts: dict) -> torch.Tensor:
        call = torch.func.functional_call
        seed = (session.job.training.seed, session.step, draw.item.id, draw.repeat)
        batch = Batch(draw.item.placement.bucket, (draw,))
        latents = session.pictures.load(session.step, batch).latents
        noise = torch.randn(latents.shape[1:], generator=seeded(*seed, "noise"))[None]
        share = torch.rand((), generator=seeded(*seed, "timestep"), dtype=torch.float64)
        at = torch.tensor([min(int(float(share) * 1000), 999)])
        states = []
        for tokenizer, (name, encoder) in zip(self.tokenizers, self.encoders.items(), strict=True):
            ids = tokenizer(
                [draw.caption], padding="max_length", max_length=77, return_tensors="pt"
            ).input_ids
            out = call(encoder, texts[name], (ids,), {"output_hidden_states": True})
            states.append(out.hidden_states[-2])
        place, bucket = draw.item.placement, draw.item.placement.bucket
        ids = [*draw.item.size[::-1], *place.crop[::-1], bucket.height, bucket.width]
        more = {"text_embeds": out.text_embeds, "time_ids": torch.tensor([ids]).float()}
        noisy = self.noise.add_noise(latents, noise, at)
        predicted = call(
            self.unet,
            unet,
            (noisy, at, torch.cat(states, dim=-1)),
            {"added_cond_kwargs": more},
        ).sample
        target = noise
        if self.prediction == "v_prediction":
            target = self.noise.get_velocity(latents, noise, at)
        return torch.nn.functional.mse_loss(predicted, target)


@pytest.mark.parametrize(
    ("prediction", "zero_snr"),
    [("epsilon", False), ("v_prediction", False), ("v_prediction", True)],
)
@pytest.mark.parametrize("text_encoder", [False, True])
def test_loss_and_gradients_equal_the_reference(
    make_job, tiny_sdxl: Path, tmp_path: Path, prediction: str, zero_snr: bool, text_encoder: bool
) -> None:
    job = make_job(
        model__base=str(tiny_sdxl),
        model__prediction_type=prediction,
        model__zero_terminal_snr="on" if zero_snr else "off",
        lora__targets="all",
        lora__alpha=2.0,
        lora__text_encoder=text_encoder,
        training__gradient_checkpointing=text_encoder,
        training__max_grad_norm=None,
    )
    session = open_for(job, tmp_path)
    shake(session)
    # Pictures of other shapes than their buckets, so that sizes and crops are not all alike.
    steps = epoch_batches(session.plan, job, 0)
    groups = next(g for g in steps if any(d.item.size != (64, 64) for b in g for d in b.draws))
    wanted, gradients = ReferenceXL(tiny_sdxl, prediction, zero_snr).step(session, groups)
    taken: dict[str, torch.Tensor | None] = {}
    session.optimizer.step = lambda *_: taken.update(
        {n: None if p.grad is None else p.grad.clone() for n, p in session.adapter.named_weights()}
    )
    loss = train_step(session, groups)
    frames = {tuple(session.pictures.load(0, batch).frames) for batch in groups}
    assert any(frame.original != frame.target for some in frames for frame in some)
    session.close()
    assert loss == pytest.approx(wanted, rel=1e-5)
    prefixes = {key.split("_")[1] for key in session.adapter.layers}
    assert prefixes == ({"unet", "te1", "te2"} if text_encoder else {"unet"})
    assert taken.keys() == gradients.keys()
    largest = max(float(g.abs().max()) for g in gradients.values() if g is not None)
    for name, gradient in gradients.items():
        if gradient is None:
            # Only the last layer of the first encoder lies behind what is read.
            assert taken[name] is None and "te1_text_model_encoder_layers_2" in name
        else:
            assert torch.allclose(taken[name], gradient, atol=1e-5 * largest, rtol=1e-4), name


def test_a_resumed_run_is_the_same_and_its_file_works_in_diffusers(
    make_job, run_trainer, tiny_sdxl: Path
) -> None:
    from diffusers import StableDiffusionXLPipeline

    job = make_job(
        model__base=str(tiny_sdxl),
        training__max_steps=4,
        training__learning_rate=1e-2,
        checkpoints__every_unit="step",
        checkpoints__every=2,
        checkpoints__keep_states=2,
    )
    straight = run_trainer(job)
    assert all(event.verified for event in straight.of("checkpoint"))
    metadata = read_header(straight.folder.lora_file)[1]
    assert metadata["modelspec.prediction_type"] == "epsilon"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    weights = load_file(straight.folder.lora_file)
    resumed = run_trainer(job, folder=straight.folder, resume=straight.folder.checkpoint(2))
    assert resumed.outcome.step == 4
    again = load_file(resumed.folder.lora_file)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    session = open_for(job, straight.folder.path.parent / "other")
    session.adapter.load_weights({name: again[name] for name, _ in session.adapter.named_weights()})
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True)
    pipeline.load_lora_weights(resumed.folder.lora_file, use_safetensors=True)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    with torch.no_grad():
        theirs, _, pooled, _ = pipeline.encode_prompt(
            "a red circle", device="cpu", do_classifier_free_guidance=False
        )
        expected = pipeline.unet(
            latents, 500, theirs, added_cond_kwargs={"text_embeds": pooled, "time_ids": ids}
        ).sample
        text = session.model.text.encode(["a red circle"])
        got = session.model.predict(latents, torch.tensor([500]), text, [Frame.whole((64, 64))])
    session.close()
    assert torch.allclose(got, expected, atol=1e-5)
