"""Trains the demo UNet and text encoder together on cached latents, resumable."""

from __future__ import annotations

import math
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from . import drawing
from .beings import Being, being_caption, draw_being, random_being
from .drawing import Scene, caption, draw_scene, random_scene
from .nets import (
    Average,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    for_training,
    optimizers,
)
from .store import Log, contact_sheet, load_state, need_state, save_state
from .vae import to_tensor

PICTURES = 36_000
BEINGS = 12_000
BEINGS_FROM = 0.6  # share of the training time from which on beings are learned, too
BEINGS_SHARE = 0.35
BATCH = 48
RATE = 2e-3
ADAM_RATE = 2e-3
DROPOUT = 0.1  # share of empty captions, for classifier-free guidance
NO_BACKGROUND = 0.05  # share of captions that leave the background open
SHEET_EVERY = 600.0
SHEET_PROMPTS = (
    "a red circle on a blue background",
    "a yellow star on a black background",
    "a small white star on a purple background, left",
    "two green hearts on a pink background",
    "three orange stars on a blue background",
    "a large black moon on a yellow background",
    "a blue cross on a white background, at the top",
    "a pink ring on a green background, right",
    "a small red triangle on a white background, bottom",
    "three black rings on an orange background",
    "two yellow moons, purple background",
    "a large purple heart on a yellow background",
    "a green square on a red background",
    "three white triangles on a black background",
    "a small blue heart on an orange background, right",
    "two red crosses on a white background",
    "a large yellow star with a face on a blue background",
    "a green creature with orange feet on a white background",
    "a large red creature with yellow feet on a black background",
    "a pink heart with a face, purple background",
    "a blue circle with a face on a yellow background",
    "a limbot robot on a red background",
    "a creature on a green background, left",
    "a small orange square with a face on a pink background",
)


class Joint(nn.Module):
    """UNet and text encoder as one module: one optimizer, one average, one state."""

    def __init__(self, tokenizer: CLIPTokenizer):
        super().__init__()
        self.unet = build_unet()
        self.text = build_text_encoder(tokenizer)

    def forward(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """The velocity for latents (B, 4, 16, 16), timesteps (B), token ids (B, 77)."""
        context = self.text(tokens).last_hidden_state
        return self.unet(noisy, times, encoder_hidden_states=context).sample


def world_tokenizer(seed: int) -> CLIPTokenizer:
    """The tokenizer with every word (and comma) of the world's captions as one token."""
    rng = random.Random(f"{seed}/words")
    words: list[str] = []
    for _ in range(4000):
        words += re.findall(r"[a-z]+|[^a-z\s]", caption(random_scene(rng), rng))
    return build_tokenizer(words)


def draw_world(seed: int, start: int, count: int) -> tuple[list[Scene], Tensor]:
    """Scenes and their pictures, (count, 3, 64, 64); each from seed and index alone."""
    scenes, pictures = [], []
    for index in range(start, start + count):
        rng = random.Random(f"{seed}/scene/{index}")
        scene = random_scene(rng)
        scenes.append(scene)
        pictures.append(draw_scene(scene, rng))
    return scenes, to_tensor(pictures)


@torch.inference_mode()
def cache_latents(
    vae: AutoencoderKL, work: Path, seed: int, log: Log
) -> tuple[list[Scene], Tensor]:
    """The training scenes and their latents (N, 4, 16, 16) with standard deviation one.

    The scale found is stored as the VAE's scaling factor.
    """
    path = work / "latents.pt"
    state = load_state(path)
    if state:
        vae.register_to_config(scaling_factor=state["scale"])
        return [Scene(*row) for row in state["scenes"]], state["latents"]
    scenes, parts = [], []
    vae = vae.to(memory_format=torch.channels_last)
    for start in range(0, PICTURES, 60):
        batch, pictures = draw_world(seed, start, 60)
        scenes += batch
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(vae.encode(pictures).latent_dist.mean.float())
    latents = torch.cat(parts)
    scale = round(1 / latents.std().item(), 4)
    latents = latents * scale
    log(f"cached {len(latents)} latents, scale {scale}, mean {latents.mean((0, 2, 3)).tolist()}")
    rows = [(s.shape, s.colour, s.background, s.size, s.position, s.count) for s in scenes]
    save_state(path, scenes=rows, latents=latents, scale=scale)
    vae.register_to_config(scaling_factor=scale)
    return scenes, latents


@torch.inference_mode()
def cache_beings(vae: AutoencoderKL, work: Path, seed: int, log: Log) -> tuple[list[Being], Tensor]:
    """Faces and creatures and their latents (N, 4, 16, 16), scaled as the scenes' are."""
    beings, parts = [], []
    state = load_state(work / "beings.pt")
    for start in range(0, BEINGS, 60):
        pictures = []
        for index in range(start, start + 60):
            rng = random.Random(f"{seed}/being/{index}")
            beings.append(random_being(rng))
            if state is None:
                pictures.append(draw_being(beings[-1], rng))
        if pictures:
            with torch.autocast("cpu", torch.bfloat16):
                parts.append(vae.encode(to_tensor(pictures)).latent_dist.mean.float())
    if state:
        return beings, state["latents"]
    latents = torch.cat(parts) * vae.config.scaling_factor
    save_state(work / "beings.pt", latents=latents)
    log(f"cached {len(latents)} beings")
    return beings, latents


def captions_for(subjects: list[Scene | Being], rng: random.Random) -> list[str]:
    """Training captions: fresh words each time, some empty, some without the background."""
    lines = []
    for subject in subjects:
        chance = rng.random()
        line = ""
        if chance >= DROPOUT:
            if isinstance(subject, Scene):
                line = caption(subject, rng)
            else:
                line = being_caption(subject, rng)
        if chance > 1 - NO_BACKGROUND:
            ground = rf"(^on | on |, )(an? )?{subject.background} background(, )?"
            line = re.sub(ground, lambda match: match.group(3) or "", line)
        lines.append(line)
    return lines


class Objective:
    """The v-prediction loss (Salimans and Ho 2022) with stratified timesteps."""

    def __init__(self) -> None:
        products = build_scheduler().alphas_cumprod
        self.signal, self.noise = products.sqrt(), (1 - products).sqrt()

    def __call__(self, model: Joint, latents: Tensor, tokens: Tensor) -> Tensor:
        """The mean squared error of the velocity; one timestep from each stratum per batch."""
        count = len(latents)
        spread = (torch.arange(count) + torch.rand(count)) / count
        times = (spread[torch.randperm(count)] * 1000).long().clamp(max=999)
        noise = torch.randn_like(latents)
        a = self.signal[times].view(-1, 1, 1, 1)
        b = self.noise[times].view(-1, 1, 1, 1)
        noisy = (a * latents + b * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = model(noisy, times, tokens)
        return functional.mse_loss(velocity.float(), a * noise - b * latents)


def rate_factor(portion: float, step: int) -> float:
    """Warm-up of 50 steps, flat, then a cosine to 2 % from 45 % of the time on."""
    warm = min(1.0, (step + 1) / 50)
    late = max(0.0, (portion - 0.45) / 0.55)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, late))))


@dataclass
class Progress:
    """Everything that an interrupted training goes on with."""

    model: Joint
    optims: list[torch.optim.Optimizer]
    average: Average
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Writes the state."""
        save_state(
            path,
            model=self.model.state_dict(),
            average=self.average.weights,
            step=self.step,
            seconds=self.seconds,
            optims=[optim.state_dict() for optim in self.optims],
        )

    def load(self, path: Path) -> None:
        """Reads the state, if there is one."""
        state = load_state(path)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.weights = state["average"]
        self.step, self.seconds = state["step"], state["seconds"]
        for optim, saved in zip(self.optims, state["optims"], strict=True):
            optim.load_state_dict(saved)


def begin(tokenizer: CLIPTokenizer, path: Path, seed: int) -> Progress:
    """A fresh model ready for training, or the one saved at `path`."""
    torch.manual_seed(seed)
    model = Joint(tokenizer)
    for_training(model)
    model.unet.set_attn_processor(AttnProcessor())  # the fused backward pass is slow on a CPU
    model.text.set_attn_implementation("eager")
    progress = Progress(model, optimizers(model, RATE, ADAM_RATE), Average(model, 0.995))
    progress.load(path)
    return progress


class Pictures:
    """The cached latents and their subjects, and what of them a step trains on."""

    def __init__(self, vae: AutoencoderKL, work: Path, seed: int, log: Log):
        self.vae, self.work, self.seed, self.log = vae, work, seed, log
        self.scenes, self.scene_latents = cache_latents(vae, work, seed, log)
        self.beings: list[Being] = []
        self.being_latents = self.scene_latents[:0]

    def batch(self, step: int, portion: float) -> tuple[Tensor, list[str]]:
        """Latents (48, 4, 16, 16) and captions, chosen by seed and step; beings come later."""
        rng = random.Random(f"{self.seed}/step/{step}")
        others = round(BATCH * BEINGS_SHARE) if portion >= BEINGS_FROM else 0
        if others and not self.beings:
            made = cache_beings(self.vae, self.work, self.seed, self.log)
            self.beings, self.being_latents = made
        chosen = rng.sample(range(len(self.scenes)), BATCH - others)
        strange = rng.sample(range(len(self.beings)), others)
        subjects: list[Scene | Being] = [self.scenes[index] for index in chosen]
        subjects += [self.beings[index] for index in strange]
        latents = torch.cat((self.scene_latents[chosen], self.being_latents[strange]))
        return latents, captions_for(subjects, rng)


def train_diffusion(work: Path, vae: AutoencoderKL, seed: int, minutes: float, log: Log) -> None:
    """Trains for `minutes` in all, counting earlier calls; saves every minute."""
    path, budget = work / "diffusion.pt", minutes * 60
    pictures, objective = Pictures(vae, work, seed, log), Objective()
    tokenizer = world_tokenizer(seed)
    now = begin(tokenizer, path, seed)
    begun = time.monotonic() - now.seconds
    saved_at = logged = sheet_at = now.seconds
    losses: list[float] = []
    while now.seconds < budget:
        torch.manual_seed(seed * 1_000_003 + now.step)
        portion = now.seconds / budget
        for optim, base in zip(now.optims, (RATE, ADAM_RATE), strict=True):
            for group in optim.param_groups:
                group["lr"] = base * rate_factor(portion, now.step)
        latents, lines = pictures.batch(now.step, portion)
        loss = objective(now.model, latents, tokenize(tokenizer, lines))
        loss.backward()
        for optim in now.optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        now.average.update(now.model, now.step)
        now.step += 1
        losses.append(loss.item())
        now.seconds = time.monotonic() - begun
        ended = now.seconds >= budget
        if now.seconds - logged > 30:
            logged, mean = now.seconds, sum(losses) / len(losses)
            samples = now.step * BATCH
            log(f"step {now.step} samples {samples} seconds {logged:.0f} loss {mean:.4f}")
            losses.clear()
        if now.seconds - saved_at > 60 or ended:
            saved_at = now.seconds
            now.save(path)
            if now.seconds - sheet_at > SHEET_EVERY or ended:
                sheet_at = now.seconds
                save_sheet(trained_pipeline(work, vae, seed), work / f"sheet-{now.step:06d}.png")


def tokenize(tokenizer: CLIPTokenizer, lines: list[str]) -> Tensor:
    """Token ids (B, 77), padded as the pipeline pads them."""
    return tokenizer(
        lines, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids


def trained_pipeline(work: Path, vae: AutoencoderKL, seed: int) -> StableDiffusionPipeline:
    """The pipeline with the averaged weights as saved."""
    tokenizer = world_tokenizer(seed)
    model = Joint(tokenizer)
    model.load_state_dict(need_state(work / "diffusion.pt")["average"])
    return assemble(vae, model.text.eval(), tokenizer, model.unet.eval())


def assemble(
    vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """A StableDiffusionPipeline without safety checker."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_sheet(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """A contact sheet of `SHEET_PROMPTS`."""
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        list(SHEET_PROMPTS) * 2,
        num_inference_steps=16,
        guidance_scale=4.0,
        height=drawing.SIDE,
        width=drawing.SIDE,
        generator=torch.Generator().manual_seed(1),
    ).images
    temporary = path.with_suffix(".part.png")
    contact_sheet(pictures, 8).save(temporary)
    temporary.replace(path)
