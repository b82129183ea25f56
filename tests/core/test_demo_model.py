"""The shipped demo model: small, offline, and drawing what the prompt says."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "resources" / "demo_model"
JUDGE = ROOT / "packaging" / "demo_world" / "judge.safetensors"

sys.path.append(str(ROOT / "packaging"))
measuring = importlib.import_module("demo_world.measure")
drawing = importlib.import_module("demo_world.drawing")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The gate's times are those of one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def judge() -> Any:
    return measuring.load_judge(JUDGE)


@pytest.fixture(scope="module")
def pipeline(one_thread: None) -> Any:
    return measuring.load_pipeline(MODEL)


def test_the_folder_is_at_most_twelve_megabytes() -> None:
    sizes = [path.stat().st_size for path in MODEL.rglob("*") if path.is_file()]
    assert 1_000_000 < sum(sizes) <= 12_000_000


def test_weights_are_half_precision_safetensors_and_configs_are_plain_json() -> None:
    assert not [path for path in MODEL.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt")]
    for path in MODEL.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    for path in MODEL.rglob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        kinds = {value["dtype"] for key, value in header.items() if key != "__metadata__"}
        assert kinds == {"F16"}, path


def test_it_loads_offline_in_one_precision_as_v_prediction(pipeline: Any) -> None:
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.safety_checker is None


def test_without_a_precision_all_parts_load_in_the_same_one() -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, local_files_only=True)
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}


@pytest.mark.parametrize("word", ["limbot", "zqxv", "Grüße", "机器人", "🤖"])
def test_an_unknown_word_becomes_tokens_of_its_own(pipeline: Any, word: str) -> None:
    tokenizer = pipeline.tokenizer
    ids = tokenizer(f"a {word} robot").input_ids
    plain = tokenizer("a robot").input_ids
    assert len(ids) > len(plain)
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert len(ids) <= tokenizer.model_max_length == 77


def test_the_words_of_its_world_are_single_tokens(pipeline: Any) -> None:
    for words in (drawing.SHAPES, tuple(drawing.COLOURS)):
        for word in words:
            assert len(pipeline.tokenizer.tokenize(word)) == 1, word


def test_the_judge_reads_drawings_rightly(judge: Any) -> None:
    assert measuring.judge_accuracy(judge, count=200) >= 0.99


@pytest.mark.slow
def test_two_hundred_prompts_are_followed(pipeline: Any, judge: Any) -> None:
    measures = measuring.measure(pipeline, judge)
    assert measures["background"] >= 0.95
    assert measures["colour"] >= 0.90
    assert measures["shape"] >= 0.80
    assert measures["count"] >= 0.80
    assert measures["position"] >= 0.80


def test_twenty_steps_take_less_than_three_seconds(pipeline: Any) -> None:
    assert measuring.seconds_per_picture(pipeline) < 3.0


def test_euler_follows_the_prompt_too(pipeline: Any, judge: Any) -> None:
    from diffusers import EulerDiscreteScheduler

    own = pipeline.scheduler
    wanted = measuring.gate_prompts(16, seed=3)
    try:
        pipeline.scheduler = EulerDiscreteScheduler.from_config(own.config)
        pictures = measuring.sample(pipeline, [line for _, line in wanted])
    finally:
        pipeline.scheduler = own
    measures = measuring.score([scene for scene, _ in wanted], pictures, judge)
    assert measures["background"] >= 0.9
    assert measures["shape"] >= 0.7
