"""Pictures keep their recipe, in our form and in the one that other programs read."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from core.sampling.genspec import GenSpec
from core.sampling.png_metadata import read_recipe, save_png

RED = Image.new("RGB", (24, 16), "red")


@pytest.mark.parametrize(
    "prompt",
    [
        "a red circle",
        "café, naïve",
        "一只红色的猫\nsecond line",
        'quotes "and", commas: and colons',
        "zero \0 byte and half \ud800 a letter",
        "",
        "long " * 100_000,
    ],
)
def test_a_recipe_comes_back_whole(tmp_path, prompt):
    path = tmp_path / "picture.png"
    spec = GenSpec(prompt=prompt, negative="blurry\nugly", seed=2**53, steps=7, cfg=3.5)
    save_png(RED, path, spec, {"model": "demo", "lora_step": 120})
    recipe = read_recipe(path)
    assert recipe is not None
    assert GenSpec.model_validate(recipe["spec"]) == spec
    assert (recipe["width"], recipe["height"]) == (24, 16)
    assert (recipe["model"], recipe["lora_step"]) == ("demo", 120)
    with Image.open(path) as picture:
        assert picture.convert("RGB").tobytes() == RED.tobytes()
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_the_text_for_other_programs(tmp_path):
    path = tmp_path / "picture.png"
    spec = GenSpec(
        prompt="a café\non a hill",
        negative="bad\nworse",
        seed=42,
        steps=20,
        cfg=7.0,
        sampler="dpmpp_2m",
        schedule="sgm_uniform",
    )
    facts = {"model": "my model, v1.5", "model_hash": "0123abcd", "clip_skip": 1, "lora_step": 5}
    save_png(RED, path, spec, facts)
    with Image.open(path) as picture:
        lines = picture.text["parameters"].split("\n")
    assert lines[:3] == ["a café", "on a hill", "Negative prompt: bad worse"]
    # How A1111 reads the last line.
    found = dict(re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', lines[3]))
    assert found == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "SGM Uniform",
        "CFG scale": "7",
        "Seed": "42",
        "Size": "24x16",
        "Model hash": "0123abcd",
        "Model": '"my model, v1.5"',
        "Clip skip": "2",
        "RNG": "CPU",
        "LoRA step": "5",
        "Version": "Limner",
    }


def test_no_negative_prompt_means_no_line_for_it(tmp_path):
    save_png(RED, tmp_path / "a.png", GenSpec(prompt="x"))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["parameters"].startswith("x\nSteps: 25, ")


def test_pictures_without_a_recipe(tmp_path):
    RED.save(tmp_path / "plain.png")
    RED.save(tmp_path / "plain.jpg")
    (tmp_path / "no.png").write_bytes(b"not a picture")
    save_png(RED, tmp_path / "cut.png", GenSpec(prompt="x"))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    for name in ("plain.png", "plain.jpg", "no.png", "cut.png", "absent.png"):
        assert read_recipe(tmp_path / name) is None
