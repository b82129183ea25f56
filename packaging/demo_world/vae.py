"""Trains the demo VAE, resumable, within a given time."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from .drawing import draw_other, draw_scene, random_scene
from .nets import Average, build_vae, for_training, optimizers
from .store import Log, load_state, need_state, save_state

BATCH = 8
OTHERS = 0.4  # share of pictures that are no scene of the demo world
RATE = 4e-3


def to_tensor(pictures: list[Image.Image]) -> Tensor:
    """RGB pictures of one size as float32 (B, 3, H, W) in [-1, 1]."""
    array = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])
    return torch.from_numpy(array).permute(0, 3, 1, 2) / 127.5 - 1


def draw_batch(seed: int, step: int, others: float = OTHERS) -> Tensor:
    """The pictures of one step: derived from seed and step alone."""
    rng = random.Random(f"{seed}/vae/{step}")
    pictures = []
    for _ in range(BATCH):
        if rng.random() < others:
            pictures.append(draw_other(rng))
        else:
            pictures.append(draw_scene(random_scene(rng), rng))
    return to_tensor(pictures)


def loss_of(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """L1 + half L1 of gradients + MSE + small KL, and a weak anchor of latents to the picture.

    The anchor draws the first three latent channels towards the picture at a quarter of its
    size: latents stay smooth and near to colour, which makes the diffusion's work simple.
    A little noise on the latents makes the decoder forgive the denoiser's small errors.
    """
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        mean, spread = posterior.mean.float(), posterior.std.float()
        noise = torch.rand(len(mean), 1, 1, 1) * 0.08
        latents = mean + torch.randn_like(mean) * (spread**2 + noise**2).sqrt()
        decoded = vae.decode(latents).sample.float()
    error = decoded - pictures
    gradients = (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()) / 2
    kl = 0.5 * (mean**2 + spread**2 - 1 - 2 * spread.log()).mean()
    anchor = (mean[:, :3] - 1.3 * functional.avg_pool2d(pictures, 4)).square().mean()
    return error.abs().mean() + gradients + error.square().mean() + 1e-4 * kl + 0.05 * anchor


def train_vae(work: Path, seed: int, minutes: float, log: Log) -> AutoencoderKL:
    """Trains for `minutes` in all, counting earlier calls; saves each minute; returns the EMA."""
    torch.manual_seed(seed)
    vae = for_training(build_vae())
    optims = optimizers(vae, RATE, RATE / 2)
    average = Average(vae, 0.997)
    state = load_state(work / "vae.pt")
    step, spent = 0, 0.0
    if state:
        vae.load_state_dict(state["model"])
        average.weights = state["average"]
        step, spent = state["step"], state["seconds"]
        for optim, saved in zip(optims, state["optims"], strict=True):
            optim.load_state_dict(saved)
    budget, begun, saved_at, logged = minutes * 60, time.monotonic() - spent, spent, spent
    while spent < budget:
        torch.manual_seed(seed * 1_000_003 + step)
        portion = spent / budget
        factor = min(1.0, (step + 1) / 50) * min(1.0, max(0.01, (1 - portion) / 0.6))
        for optim, base in zip(optims, (RATE, RATE / 2), strict=True):
            for group in optim.param_groups:
                group["lr"] = base * factor
        pictures = draw_batch(seed, step).contiguous(memory_format=torch.channels_last)
        loss = loss_of(vae, pictures)
        loss.backward()
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        average.update(vae, step)
        step += 1
        spent = time.monotonic() - begun
        if spent - logged > 30:
            logged = spent
            log(f"vae step {step} seconds {spent:.0f} loss {loss.item():.4f}")
        if spent - saved_at > 60 or spent >= budget:
            saved_at = spent
            optim_states = [optim.state_dict() for optim in optims]
            save_state(
                work / "vae.pt",
                model=vae.state_dict(),
                average=average.weights,
                step=step,
                seconds=spent,
                optims=optim_states,
            )
    return trained_vae(work)


def trained_vae(work: Path) -> AutoencoderKL:
    """The averaged VAE as saved."""
    vae = build_vae()
    vae.load_state_dict(need_state(work / "vae.pt")["average"])
    return vae.eval().requires_grad_(False)


@torch.inference_mode()
def vae_quality(vae: AutoencoderKL, seed: int = 9) -> dict[str, float]:
    """Peak signal to noise in dB on 64 unseen scenes and 64 unseen other pictures."""
    result = {}
    for name, others in (("scenes", 0.0), ("others", 1.0)):
        values = []
        for index in range(64 // BATCH):
            pictures = draw_batch(seed, 1_000_000 + index, others)
            decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
            errors = (decoded - pictures).square().mean(dim=(1, 2, 3)) / 4
            values += (-10 * errors.log10()).tolist()
        result[f"vae_psnr_{name}"] = sum(values) / len(values)
    return result
