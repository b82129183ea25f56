"""One training step against a reference written with plain torch and diffusers."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.data.batches import epoch_batches
from core.data.types import Batch
from core.training.control import Control
from core.training.session import Session, open_session
from core.training.trainer import train_step


def open_for(job: Any, tmp_path: Path) -> Session:
    from core.runs.folder import create

    return open_session(job, create(job, tmp_path / "runs"), lambda _event: None, Control())


def shake(session: Session) -> None:
    """Give every LoRA weight a value, so that both factors have gradients."""
    random = torch.Generator().manual_seed(5)
    for parameter in session.adapter.parameters():
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=random)


def seeded(*parts: int | str) -> torch.Generator:
    """The documented rule: BLAKE2b over the typed parts, upper 63 bits."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts).encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


class Reference:
    """The same step with diffusers' own classes and merged weights W + alpha/r B A."""

    def __init__(self, folder: Path) -> None:
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()
        self.text = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
        self.vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.noise = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        for module in (self.unet, self.text, self.vae):
            module.float().requires_grad_(False)

    def step(self, session: Session, groups: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
        factors = {
            name: value.detach().clone().requires_grad_()
            for name, value in session.adapter.named_weights()
        }
        unet_weights = self.merged(session, "unet", self.unet, factors)
        text_weights = self.merged(session, "text_encoder", self.text, factors)
        draws = [draw for batch in groups for draw in batch.draws]
        losses = [self.loss(draw, session, unet_weights, text_weights) for draw in draws]
        loss = sum(losses) / len(losses)
        loss.backward()
        return float(loss), {n: f.grad for n, f in factors.items()}

    def merged(self, session: Session, component: str, module: Any, factors: Any) -> dict:
        weights = dict(module.named_parameters())
        for key, layer in session.adapter.layers.items():
            if layer.component == component:
                down, up = factors[f"{key}.lora_down.weight"], factors[f"{key}.lora_up.weight"]
                change = (up.flatten(1) @ down.flatten(1)) * (layer.alpha / layer.rank)
                base = weights[f"{layer.module}.weight"]
                weights[f"{layer.module}.weight"] = base + change.view(base.shape)
        return weights

    def loss(self, draw: Any, session: Session, unet: dict, text: dict) -> torch.Tensor:
        latents = self.latents(draw)
        seed = (session.job.training.seed, session.step, draw.item.id, draw.repeat)
        noise = torch.randn(latents.shape[1:], generator=seeded(*seed, "noise"))[None]
        share = torch.rand((), generator=seeded(*seed, "timestep"), dtype=torch.float64)
        at = torch.tensor([min(int(float(share) * 1000), 999)])
        tokens = self.tokenizer(
            [draw.caption], padding="max_length", max_length=77, return_tensors="pt"
        ).input_ids
        call = torch.func.functional_call
        embeddings = call(self.text, text, (tokens,)).last_hidden_state
        noisy = self.noise.add_noise(latents, noise, at)
        predicted = call(self.unet, unet, (noisy, at, embeddings)).sample
        weight = session.job.concepts[draw.item.concept].loss_weight
        return weight * torch.nn.functional.mse_loss(predicted, noise)

    @torch.no_grad()
    def latents(self, draw: Any) -> torch.Tensor:
        placement = draw.item.placement
        image = Image.open(draw.item.path).convert("RGB")
        if image.size != placement.resized:
            image = image.resize(placement.resized, Image.Resampling.LANCZOS)
        left, top = placement.crop
        bucket = placement.bucket
        image = image.crop((left, top, left + bucket.width, top + bucket.height))
        raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = raw.view(bucket.height, bucket.width, 3).permute(2, 0, 1)[None] / 127.5 - 1
        return self.vae.encode(pixels).latent_dist.mean * self.vae.config.scaling_factor


@pytest.mark.parametrize("targets", ["attention", "all"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_equal_the_reference(
    make_job, tiny_model: Path, tmp_path: Path, targets: str, checkpointing: bool
) -> None:
    job = make_job(
        lora__targets=targets,
        lora__alpha=2.0,
        training__gradient_accumulation=2,
        training__gradient_checkpointing=checkpointing,
        training__max_grad_norm=None,
        concepts__0__loss_weight=0.7,
    )
    session = open_for(job, tmp_path)
    shake(session)
    groups = epoch_batches(session.plan, job, 0)[0]
    wanted, gradients = Reference(tiny_model).step(session, groups)
    taken: dict[str, torch.Tensor] = {}
    session.optimizer.step = lambda *_: taken.update(
        {n: p.grad.clone() for n, p in session.adapter.named_weights()}
    )
    loss = train_step(session, groups)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert taken.keys() == gradients.keys()
    largest = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert torch.allclose(taken[name], gradient, atol=3e-5 * largest, rtol=1e-4), name


def test_accumulation_gives_the_mean_over_samples_not_over_batches(
    make_job, tmp_path: Path
) -> None:
    """Five pictures as 2 + 2 + 1 must weigh each the same as one batch of five."""
    job = make_job(training__gradient_accumulation=3, training__max_grad_norm=None)
    session = open_for(job, tmp_path)
    shake(session)
    one = next(b for group in epoch_batches(session.plan, job, 0) for b in group)
    draws = tuple(replace(one.draws[0], repeat=n) for n in range(5))
    split = [
        Batch(one.bucket, draws[:2]),
        Batch(one.bucket, draws[2:4]),
        Batch(one.bucket, draws[4:]),
    ]
    results = []
    for groups in ([Batch(one.bucket, draws)], split):
        grads: list[torch.Tensor] = []
        session.optimizer.step = lambda *_, g=grads: g.extend(
            p.grad.clone() for p in session.adapter.parameters()
        )
        results.append((train_step(session, groups), torch.cat([g.flatten() for g in grads])))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    difference = (results[0][1] - results[1][1]).abs().max() / results[0][1].abs().max()
    assert float(difference) < 1e-5


def test_gradients_are_clipped_to_the_asked_length(make_job, tmp_path: Path) -> None:
    job = make_job(training__max_grad_norm=0.001)
    session = open_for(job, tmp_path)
    shake(session)
    norms: list[float] = []

    def step(*_: Any) -> None:
        grads = [p.grad.flatten() for p in session.adapter.parameters()]
        norms.append(float(torch.cat(grads).norm()))

    session.optimizer.step = step
    train_step(session, epoch_batches(session.plan, job, 0)[0])
    assert norms[0] == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("text_encoder", [False, True])
def test_captions_over_77_tokens_are_trained_in_full(
    make_job, pictures: Path, tmp_path: Path, text_encoder: bool
) -> None:
    """What stands behind token 77 reaches the model, prepared or encoded at the step."""
    folder = tmp_path / "long"
    shutil.copytree(pictures, folder)
    start = " ".join(["thing drawing"] * 60)
    for end, number in (("red", 0), ("blue", 1)):
        (folder / f"{number}.txt").write_text(f"{start} {end}", encoding="utf-8")
    job = make_job(concepts__0__path=str(folder), lora__text_encoder=text_encoder)
    session = open_for(job, tmp_path)
    captions = [item.captions[0] for item in session.plan.items[:2]]
    assert session.model.text.count(captions[0]) > 100
    with torch.no_grad():
        found = session.conditioning(captions)["embeddings"]
    assert found.shape[1] == max(map(session.model.text.length, captions)) >= 2 * 77
    assert torch.equal(found[0, :77], found[1, :77])
    assert not torch.allclose(found[0, 77:], found[1, 77:])
    draws = [d for g in epoch_batches(session.plan, job, 0) for b in g for d in b.draws]
    long = next(d for d in draws if d.caption == captions[0])
    losses = []
    for caption in captions:
        batch = Batch(long.item.placement.bucket, (replace(long, caption=caption),))
        session.optimizer.step = lambda *_: None
        losses.append(train_step(session, [batch]))
    assert losses[0] != losses[1]
    session.close()
