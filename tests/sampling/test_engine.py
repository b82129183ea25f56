"""Drawing with a model: equal to diffusers' pipeline, repeatable, and without side effects."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from core.errors import Stopped, UserError
from core.sampling.engine import batches, draw, draw_many, picture_size
from core.sampling.genspec import GenSpec
from tests.families.loading import load

CPU = torch.device("cpu")
SPEC = GenSpec(
    prompt="a red circle",
    negative="blue",
    seed=5,
    steps=10,
    cfg=7.0,
    sampler="euler",
    schedule="simple",
)


def spec(**changes) -> GenSpec:
    return SPEC.model_copy(update=changes)


def pixels(image) -> np.ndarray:
    return np.asarray(image).astype("float64")


def from_diffusers(folder, recipe: GenSpec, prediction: str, zero_snr: bool) -> np.ndarray:
    """What StableDiffusionPipeline draws from the same noise, 0 to 255, not rounded."""
    from diffusers import (
        DPMSolverMultistepScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        StableDiffusionPipeline,
    )

    kinds = {
        "euler": EulerDiscreteScheduler,
        "ddim": EulerDiscreteScheduler,
        "heun": HeunDiscreteScheduler,
        "dpmpp_2m": DPMSolverMultistepScheduler,
    }
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    config = dict(pipeline.scheduler.config)
    if recipe.schedule == "karras":
        config |= {"use_karras_sigmas": True, "timestep_spacing": "linspace"}
    else:
        config |= {"timestep_spacing": "trailing"}
    pipeline.scheduler = kinds[recipe.sampler].from_config(
        config, prediction_type=prediction, rescale_betas_zero_snr=zero_snr
    )
    pipeline.scheduler.set_timesteps(recipe.steps)
    size = (1, 4, recipe.height // 8, recipe.width // 8)
    latents = torch.randn(size, generator=torch.Generator().manual_seed(recipe.seed))
    most = float(pipeline.scheduler.init_noise_sigma)
    if recipe.sampler != "dpmpp_2m":
        # These schedulers start at sigma; full noise is sqrt(1 + sigma^2) wide.
        latents = latents * (1 + most**2) ** 0.5 / most
    out = pipeline(
        recipe.prompt,
        negative_prompt=recipe.negative,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.cfg,
        latents=latents,
        output_type="np",
    )
    return out.images[0].astype("float64") * 255


@pytest.mark.parametrize(
    ("changes", "prediction", "zero_snr"),
    [
        ({"sampler": "euler"}, "epsilon", False),
        ({"sampler": "ddim"}, "epsilon", False),
        ({"sampler": "heun"}, "epsilon", False),
        ({"sampler": "dpmpp_2m"}, "epsilon", False),
        ({"sampler": "euler", "schedule": "karras"}, "epsilon", False),
        ({"sampler": "euler", "cfg": 1.0}, "epsilon", False),
        ({"sampler": "dpmpp_2m", "prompt": "the red house on blue " * 20}, "epsilon", False),
        ({"sampler": "dpmpp_2m"}, "v_prediction", False),
        ({"sampler": "euler"}, "v_prediction", True),
        ({"sampler": "dpmpp_2m"}, "v_prediction", True),
    ],
)
def test_pictures_equal_diffusers(tiny_folder, changes, prediction, zero_snr):
    recipe = spec(width=64, height=64, **changes)
    model = load(tiny_folder, prediction_type=prediction, zero_terminal_snr=zero_snr)
    if len(recipe.prompt) > 100:
        # diffusers cuts at 75 tokens, so compare what it keeps.
        words = recipe.prompt.split()[:75]
        recipe = spec(width=64, height=64, **(changes | {"prompt": " ".join(words)}))
        assert model.text.count(recipe.prompt) == 75
    expected = from_diffusers(tiny_folder, recipe, prediction, zero_snr)
    drawn = pixels(draw(model, recipe, default_size=512, device=CPU))
    assert expected.std() > 5
    # Ours is rounded to whole levels.
    assert np.abs(drawn - expected).max() < 0.5 + 0.05


def test_a_recipe_gives_its_picture_in_any_company(tiny):
    recipes = [
        spec(seed=1),
        spec(seed=4, prompt="red " * 200),
        spec(seed=2, prompt="a cat", cfg=3.0),
        spec(seed=3, negative=""),
    ]
    together = draw_many(tiny, recipes, default_size=64, device=CPU)
    for recipe, picture in zip(recipes, together, strict=True):
        alone = draw(tiny, recipe, default_size=64, device=CPU)
        assert np.abs(pixels(alone) - pixels(picture)).max() <= 1
        assert np.array_equal(
            pixels(alone), pixels(draw(tiny, recipe, default_size=64, device=CPU))
        )
    assert not np.array_equal(pixels(together[0]), pixels(together[1]))
    with pytest.raises(ValueError):
        draw_many(tiny, [spec(steps=2), spec(steps=3)], default_size=64, device=CPU)


def test_recipes_are_grouped_by_what_must_agree():
    recipes = [spec(), spec(steps=3), spec(seed=9), spec(cfg=1.0), spec(seed=10), spec(width=128)]
    assert batches(recipes, 2) == [[0, 2], [4], [1], [3], [5]]


def test_prompt_and_negative_and_guidance_matter(tiny):
    base = pixels(draw(tiny, SPEC, default_size=64, device=CPU))
    for changes in ({"prompt": "a cat"}, {"negative": "red"}, {"cfg": 2.0}, {"seed": 6}):
        other = pixels(draw(tiny, spec(**changes), default_size=64, device=CPU))
        assert np.abs(other - base).max() > 2, changes


def test_text_beyond_75_tokens_matters(tiny):
    long = "red " * 80
    one = pixels(draw(tiny, spec(prompt=long + "cat"), default_size=64, device=CPU))
    two = pixels(draw(tiny, spec(prompt=long + "house"), default_size=64, device=CPU))
    assert np.abs(one - two).max() > 2


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m"])
def test_drawing_leaves_no_trace(tiny_folder, sampler):
    from peft import LoraConfig, inject_adapter_in_model

    model = load(tiny_folder)
    config = LoraConfig(r=4, lora_dropout=0.5, target_modules=["to_q", "to_v"])
    unet = model.parts["unet"]
    inject_adapter_in_model(config, unet)
    unet.train()
    unet.mid_block.eval()
    modes = {name: module.training for name, module in unet.named_modules()}
    weights = {name: value.clone() for name, value in unet.state_dict().items()}
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    first = draw(model, spec(sampler=sampler), default_size=64, device=CPU)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])
    assert {name: module.training for name, module in unet.named_modules()} == modes
    assert all(torch.equal(value, weights[name]) for name, value in unet.state_dict().items())
    assert any(p.requires_grad for p in unet.parameters())
    # Dropout is off while drawing, so the picture repeats.
    assert (
        first.tobytes() == draw(model, spec(sampler=sampler), default_size=64, device=CPU).tobytes()
    )


def test_progress_is_told_and_a_stop_comes_through(tiny):
    told: list[tuple[int, int]] = []
    draw(tiny, SPEC, default_size=64, device=CPU, on_step=lambda *step: told.append(step))
    assert told == [(done, 10) for done in range(1, 11)]
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) == 3:
            raise Stopped

    tiny.parts["unet"].train()
    with pytest.raises(Stopped):
        draw(tiny, SPEC, default_size=64, device=CPU, check_stop=stop)
    assert next(calls) == 4
    assert tiny.parts["unet"].training
    tiny.parts["unet"].eval()


def test_sizes(tiny):
    assert picture_size(tiny, spec(), 64) == (64, 64)
    assert picture_size(tiny, spec(width=96), (64, 40)) == (96, 40)
    assert picture_size(tiny, spec(), (61, 70)) == (64, 72)
    wide = draw(tiny, spec(width=72, height=40, steps=2), default_size=64, device=CPU)
    assert wide.size == (72, 40) and wide.mode == "RGB"


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler", "euler_ancestral", "heun", "ddim"])
@pytest.mark.parametrize("schedule", ["normal", "karras", "simple", "sgm_uniform", "exponential"])
def test_every_pair_draws_with_zero_terminal_snr_and_in_one_step(tiny_folder, sampler, schedule):
    model = load(tiny_folder, prediction_type="v_prediction", zero_terminal_snr=True)
    for steps in (1, 4):
        recipe = spec(sampler=sampler, schedule=schedule, steps=steps)
        assert pixels(draw(model, recipe, default_size=32, device=CPU)).std() > 0


def test_half_precision_gives_nearly_the_same(tiny_folder, tiny):
    model = load(tiny_folder, dtype=torch.bfloat16)
    recipe = spec(cfg=2.0)
    whole = pixels(draw(tiny, recipe, default_size=64, device=CPU))
    half = pixels(draw(model, recipe, default_size=64, device=CPU, dtype=torch.bfloat16))
    assert 0 < np.abs(whole - half).mean() < 6


def test_a_damaged_model_is_named_and_not_drawn(tiny_folder):
    model = load(tiny_folder)
    with torch.no_grad():
        model.parts["unet"].conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError) as caught:
        draw(model, spec(steps=2), default_size=64, device=CPU)
    assert caught.value.problem.code == "sample_not_finite"
