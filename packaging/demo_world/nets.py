"""The demo model's networks, tokenizer and scheduler, and the optimizers that train them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENT_SIDE = 16
TOKENS = 77
CONTEXT = 128


def build_vae(scaling_factor: float = 1.0) -> AutoencoderKL:
    """A 0.7M VAE: (B, 3, 64, 64) in [-1, 1] to and from latents (B, 4, 16, 16).

    Every second convolution of a residual block starts small, so that the network starts near
    the identity; the input convolution's bias starts spread out, or the group normalisation
    would hide flat colour.
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
        scaling_factor=scaling_factor,
    )
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if name.endswith("conv2.weight"):
                parameter.mul_(0.1)
        nn.init.normal_(vae.encoder.conv_in.bias, std=1.0)
        nn.init.normal_(vae.decoder.conv_in.bias, std=1.0)
    return vae


def build_unet() -> UNet2DConditionModel:
    """The denoiser: latents (B, 4, 16, 16), text (B, 77, 128); cross-attention at 8 x 8, 4 x 4."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 112),
        layers_per_block=1,
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,  # the number of heads: diffusers kept Stable Diffusion's misnomer
        norm_num_groups=16,
    )
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith("conv2.weight"):
                parameter.mul_(0.2)
    return unet


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A two-layer CLIP text encoder of width 128; embeddings five times the usual start."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CONTEXT,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        hidden_act="quick_gelu",
        projection_dim=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "token_embedding" in name or "position_embedding" in name:
                parameter.mul_(5.0)
    return model


def build_scheduler() -> DPMSolverMultistepScheduler:
    """DPM++ 2M with Stable Diffusion's betas and v-prediction; Euler reads the same settings."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        steps_offset=1,
    )


class PlainGroupNorm(nn.GroupNorm):
    """Group normalisation in the plain memory format.

    PyTorch's backward pass in channels-last bfloat16 takes up to ten times as long on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Same values as nn.GroupNorm, (B, C, H, W) or (B, C, N)."""
        result = functional.group_norm(
            input.contiguous(), self.num_groups, self.weight, self.bias, self.eps
        )
        if input.ndim == 4:
            return result.contiguous(memory_format=torch.channels_last)
        return result


def for_training(model: nn.Module) -> nn.Module:
    """The model in channels-last with the quicker group normalisation (weights are the same)."""
    for module in model.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = PlainGroupNorm
    return model.to(memory_format=torch.channels_last).train()


# Tokenizer


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes of GPT-2's byte-level BPE, ordered by byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols, spare = [], 256
    for byte in range(256):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(spare))
            spare += 1
    return symbols


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) until each given word is a single token."""
    counts = Counter(words)
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in pieces.items():
            pieces[word] = _merge(parts, best)


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """A CLIP tokenizer in which `words` are single tokens and any other text falls to bytes."""
    symbols = byte_symbols()
    merges = learn_merges(words)
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    entries += ["".join(pair) for pair in merges]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(entries))}
    return CLIPTokenizer(vocabulary, merges, model_max_length=TOKENS)


# Optimizers


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by Newton-Schulz (Jordan et al. 2024).

    Convolutions count as matrices of out x (in * kernel). The update is scaled to AdamW's usual
    size, 0.2 root-mean-square (Liu et al. 2025), so that AdamW's learning rates carry over.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.01})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                buffer = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(buffer, group["momentum"]).flatten(1)
                scale = 0.2 * math.sqrt(max(update.shape))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                update = orthogonalise(update).view_as(parameter)
                parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.to(torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def optimizers(model: nn.Module, lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for weight matrices and kernels, AdamW for the rest (embeddings, norms, biases)."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inner = parameter.ndim >= 2 and "embedding" not in name.replace("time_embedding", "")
        (matrices if inner else rest).append(parameter)
    return [
        Muon(matrices, lr=lr),
        torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class Average:
    """An exponential moving average of a module's weights, kept in float32."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {key: value.clone() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves towards the model; early steps forget faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)
