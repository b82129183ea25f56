"""Drawing pictures with a loaded model.

Nothing here touches a global random state or the model's adapters: a picture drawn in the middle
of training changes nothing about the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from PIL import Image

from core.errors import fail
from core.families.base import Frame, LoadedModel
from core.sampling.genspec import GenSpec
from core.sampling.solvers import SOLVERS

OnStep = Callable[[int, int], None]
CheckStop = Callable[[], None]


def draw(
    model: LoadedModel,
    spec: GenSpec,
    *,
    default_size: int | tuple[int, int],
    device: torch.device,
    dtype: torch.dtype | None = None,
    on_step: OnStep | None = None,
    check_stop: CheckStop | None = None,
) -> Image.Image:
    """The picture of one recipe; see `draw_many`."""
    return draw_many(
        model,
        [spec],
        default_size=default_size,
        device=device,
        dtype=dtype,
        on_step=on_step,
        check_stop=check_stop,
    )[0]


def draw_many(
    model: LoadedModel,
    specs: Sequence[GenSpec],
    *,
    default_size: int | tuple[int, int],
    device: torch.device,
    dtype: torch.dtype | None = None,
    on_step: OnStep | None = None,
    check_stop: CheckStop | None = None,
) -> list[Image.Image]:
    """One picture for each recipe, drawn side by side.

    The recipes must agree in size, steps, sampler, schedule and in whether CFG is used
    (`batches` groups them). default_size: px, or (width, height), where a recipe gives none.
    dtype: number format of autocast; None or float32 leaves it as the caller has it.
    on_step(done, total) is called after each step, check_stop before each model call; whatever
    it raises comes through, with the model as it was.

    The starting noise comes from a CPU generator seeded by each recipe alone, so a recipe gives
    the same noise on every device and beside any other recipe.

    Raises UserError `sample_not_finite` or `vae_not_finite`.
    """
    width, height = picture_size(model, specs[0], default_size)
    if len({_alike(spec, picture_size(model, spec, default_size)) for spec in specs}) > 1:
        raise ValueError("the recipes differ in more than prompt, seed and CFG scale")
    format_ = autocast(device, dtype)
    with torch.no_grad(), _resting(model.parts), format_:
        latents = _sample_all(model, specs, (height, width), device, on_step, check_stop)
        if not torch.isfinite(latents).all():
            raise fail(
                "sample_not_finite",
                "A sample came out as numbers that are not finite; the model or LoRA is damaged, "
                "or its number format (model.dtype) is too small.",
                setting="model.dtype",
            )
        if check_stop:
            check_stop()
        pictures = []
        # One at a time: decoding needs far more memory than sampling.
        for one in latents:
            pictures += model.decode_latents(one[None])
        return pictures


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast | nullcontext[None]:
    """Autocast to a half-precision format on a device, or nothing for float32 and None."""
    if dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(device.type, dtype)
    return nullcontext()


def batches(specs: Sequence[GenSpec], most: int) -> list[list[int]]:
    """Indices of recipes that `draw_many` takes together, in order, at most `most` in each."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, spec in enumerate(specs):
        groups.setdefault(_alike(spec, (spec.width or 0, spec.height or 0)), []).append(index)
    return [
        group[first : first + most]
        for group in groups.values()
        for first in range(0, len(group), most)
    ]


def picture_size(
    model: LoadedModel, spec: GenSpec, default_size: int | tuple[int, int]
) -> tuple[int, int]:
    """Width and height in px: the recipe's or the default, rounded to whole latents."""
    usual = default_size if isinstance(default_size, tuple) else (default_size, default_size)
    step = model.latent_scale
    sides = (spec.width or usual[0], spec.height or usual[1])
    width, height = (max(step, int(side / step + 0.5) * step) for side in sides)
    return width, height


def _alike(spec: GenSpec, size: tuple[int, int]) -> tuple[object, ...]:
    return (*size, spec.steps, spec.sampler, spec.schedule, spec.cfg > 1)


@contextmanager
def _resting(components: Mapping[str, torch.nn.Module]) -> Iterator[None]:
    """Every module in eval mode (no dropout), and each back in its own mode afterwards."""
    before = [(m, m.training) for part in components.values() for m in part.modules()]
    for part in components.values():
        part.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _sample_all(
    model: LoadedModel,
    specs: Sequence[GenSpec],
    size: tuple[int, int],
    device: torch.device,
    on_step: OnStep | None,
    check_stop: CheckStop | None,
) -> torch.Tensor:
    """Scaled latents (B, C, h, w) float32 of recipes that are alike, in their order.

    Recipes with longer prompts go separately: padding the others' would change their pictures.
    """
    groups: dict[int, list[int]] = {}
    for index, spec in enumerate(specs):
        texts = [spec.negative, spec.prompt] if spec.cfg > 1 else [spec.prompt]
        groups.setdefault(max(model.text.length(text) for text in texts), []).append(index)
    latents: dict[int, torch.Tensor] = {}
    for number, group in enumerate(groups.values()):

        def told(done: int, total: int, before: int = number) -> None:
            if on_step:
                on_step(before * total + done, len(groups) * total)

        drawn = _sample(model, [specs[i] for i in group], size, device, told, check_stop)
        latents.update(zip(group, drawn, strict=True))
    return torch.stack([latents[index] for index in range(len(specs))])


def _sample(
    model: LoadedModel,
    specs: Sequence[GenSpec],
    size: tuple[int, int],
    device: torch.device,
    on_step: OnStep,
    check_stop: CheckStop | None,
) -> torch.Tensor:
    """Scaled latents (B, C, h, w) float32 of recipes that are alike and as long."""
    spec = specs[0]
    process = model.process
    levels = process.sigmas(spec.schedule, spec.steps, (size[1], size[0]))
    guided = spec.cfg > 1
    prompts = [one.prompt for one in specs]
    if guided:
        prompts = [one.negative for one in specs] + prompts
    text = {name: rows.to(device) for name, rows in model.text.encode(prompts).items()}
    frames = [Frame.whole((size[1], size[0]))] * len(prompts)
    scales = torch.tensor([one.cfg for one in specs], device=device).reshape(-1, 1, 1, 1)

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        if check_stop:
            check_stop()
        both = torch.cat([x, x]) if guided else x
        seen, time = process.to_model(both, sigma)
        out = model.predict(seen, time, text, frames).float()
        clean = process.from_model(both, out, sigma)
        if not guided:
            return clean
        without, with_prompt = clean.chunk(2)
        return without + (with_prompt - without) * scales

    def after(index: int, clean: torch.Tensor) -> None:
        on_step(index + 1, spec.steps)

    generators = [torch.Generator("cpu").manual_seed(one.seed) for one in specs]
    shape = (
        model.latent_channels,
        size[0] // model.latent_scale,
        size[1] // model.latent_scale,
    )

    def noise() -> torch.Tensor:
        fresh = [torch.randn(shape, generator=g, dtype=torch.float32) for g in generators]
        return torch.stack(fresh).to(device)

    start = process.start(noise(), levels[0])
    return SOLVERS[spec.sampler](denoise, start, levels, noise, after, process)
