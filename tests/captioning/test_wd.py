"""WD14-style taggers: what the model gets, what is made of its probabilities, bad files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.captioning.options import CaptionOptions
from core.captioning.wd import Tag, WdTagger, choose_tags, prepare, read_tags
from core.data.images import load_picture
from core.errors import UserError
from tests.captioning.makers import SIDE, TAGS, MakeTagger, tag_list, weights_of

ROWS = [Tag(name, kind) for name, kind in TAGS]


def options(folder: Path | str = "x", **more: object) -> CaptionOptions:
    return CaptionOptions(tagger=str(folder), **more)  # type: ignore[arg-type]


def photo(size: tuple[int, int] = (30, 17)) -> Image.Image:
    generator = np.random.default_rng(3)
    return Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def reference(image: Image.Image, side: int) -> np.ndarray:
    """Pad to a square with white, resize with BICUBIC, BGR, float32 of 0 to 255, NHWC."""
    longest = max(image.width, image.height)
    square = np.full((longest, longest, 3), 255, np.uint8)
    left, top = (longest - image.width) // 2, (longest - image.height) // 2
    square[top : top + image.height, left : left + image.width] = np.asarray(image)
    small = Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC)
    red, green, blue = np.moveaxis(np.asarray(small), 2, 0)
    return np.stack([blue, green, red], axis=2).astype(np.float32)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize("size", [(30, 17), (9, 40), (8, 8), (1, 1), (100, 3)])
def test_preparation_is_the_formats(size):
    image = photo(size)
    assert prepare(image, SIDE, SIDE) == pytest.approx(reference(image, SIDE))
    assert prepare(image, SIDE, SIDE).dtype == np.float32


@pytest.mark.parametrize("size", [(1, 10000), (10000, 3), (6000, 5000)])
def test_huge_pictures_take_little_memory(size):
    image = Image.new("RGB", size, (10, 20, 30))
    pixels = prepare(image, SIDE, SIDE)
    square = size[0] > 4096 and size[1] > 4096
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels[SIDE // 2, SIDE // 2] == pytest.approx((30, 20, 10), abs=1) or not square
    assert (pixels[:, :2] > 250).all() or (pixels[:2] > 250).all() or square


def test_transparent_parts_become_white(tmp_path):
    image = Image.new("RGBA", (SIDE, SIDE), (10, 20, 30, 255))
    image.paste((200, 0, 0, 0), (0, 0, SIDE // 2, SIDE))
    image.save(tmp_path / "half.png")
    pixels = prepare(load_picture(tmp_path / "half.png"), SIDE, SIDE)
    assert (pixels[:, : SIDE // 2] == 255).all()
    assert (pixels[:, SIDE // 2 :] == (30, 20, 10)).all()


def test_probabilities_equal_the_models_formula(make_tagger: MakeTagger):
    tagger = WdTagger(folder := make_tagger(), options(device="cpu"))
    assert tagger.size == (SIDE, SIDE) and tagger.batch == 0
    assert tagger.provider == "CPU", folder
    images = [photo((30, 17)), photo((12, 25)), photo((8, 8))]
    weights, bias = weights_of()
    flat = np.stack([reference(image, SIDE).reshape(-1) for image in images]) / 255
    expected = sigmoid(flat @ weights + bias)
    found = tagger.probabilities([tagger.prepare(image) for image in images])
    assert found == pytest.approx(expected, abs=1e-5)


def test_channels_first_is_known_from_the_shape(make_tagger: MakeTagger):
    tagger = WdTagger(make_tagger(shape=[1, 3, SIDE, SIDE]), options(device="cpu"))
    assert tagger.size == (SIDE, SIDE) and tagger.batch == 1
    weights, bias = weights_of()
    flat = reference(photo(), SIDE).transpose(2, 0, 1).reshape(-1) / 255
    found = tagger.probabilities([tagger.prepare(photo())])[0]
    assert found == pytest.approx(sigmoid(flat @ weights + bias), abs=1e-5)


def test_a_fixed_batch_is_filled_up(make_tagger: MakeTagger):
    tagger = WdTagger(make_tagger(shape=[4, SIDE, SIDE, 3]), options(device="cpu"))
    free = WdTagger(make_tagger("free"), options(device="cpu"))
    inputs = [tagger.prepare(photo(size)) for size in ((30, 17), (5, 9))]
    assert tagger.batch == 4
    assert tagger.probabilities(inputs) == pytest.approx(free.probabilities(inputs), abs=1e-6)


CHANCES = [0.9, 0.1, 0.95, 0.36, 0.5, 0.34, 0.86, 0.84]


def test_thresholds_go_by_category_and_ratings_stay_out():
    assert choose_tags(CHANCES, ROWS, options()) == ["hatsune miku", "1girl", "^_^", "long hair"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"general": 0.3}, ["hatsune miku", "1girl", "^_^", "long hair", "smile (happy)"]),
        ({"character": 0.8, "general": 0.9}, ["hatsune miku", "rin (lamp)", "1girl"]),
        ({"characters_first": False}, ["1girl", "hatsune miku", "^_^", "long hair"]),
        ({"ratings": True}, ["hatsune miku", "1girl", "^_^", "long hair", "general"]),
        ({"underscores": True}, ["hatsune_miku", "1girl", "^_^", "long_hair"]),
        ({"most_tags": 2}, ["hatsune miku", "1girl"]),
        ({"most_tags": 1}, ["1girl"]),
        ({"exclude": ("Long_Hair", "1girl")}, ["hatsune miku", "^_^"]),
        ({"exclude": ("rin (lamp)",), "character": 0.5}, ["hatsune miku", "1girl", "^_^"]),
        ({"general": 1.0, "character": 1.0}, []),
    ],
)
def test_rules(more, expected):
    found = choose_tags(CHANCES, ROWS, options(**more))
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or "rin (lamp)" in more.get("exclude", ())


def test_parentheses_are_escaped_only_when_asked():
    found = choose_tags(CHANCES, ROWS, options(character=0.8, escape=True))
    assert "rin \\(lamp\\)" in found and "rin (lamp)" not in found


@pytest.mark.parametrize("face", ["^_^", "o_o", ">_<", "|_|", "(o)_(o)", "<|>_<|>", "0_0", ";_;"])
def test_faces_keep_their_underscore(face):
    assert choose_tags([0.9], [Tag(face, 0)], options()) == [face]


@pytest.mark.parametrize("name", ["long_hair", "v-shaped_eyebrows", "x-ray_(film)", "no_humans"])
def test_words_lose_their_underscore(name):
    assert choose_tags([0.9], [Tag(name, 0)], options()) == [name.replace("_", " ")]


def test_the_whole_way(sure_tagger: Path):
    tagger = WdTagger(sure_tagger, options(device="cpu"))
    assert tagger.describe([tagger.prepare(photo())] * 3) == ["hatsune miku, 1girl, long hair"] * 3


def test_more_tags_than_outputs_is_told(make_tagger: MakeTagger):
    folder = make_tagger(tags=tag_list([*TAGS, ("extra", 0)]))
    with pytest.raises(UserError, match=r"8 probabilities, but .* has 9"):
        WdTagger(folder, options(device="cpu"))


def test_fewer_tags_than_outputs_is_told_also_when_the_model_does_not_declare_them(make_tagger):
    folder = make_tagger(tags=tag_list(TAGS[:5]))
    with pytest.raises(UserError) as error:
        WdTagger(folder, options(device="cpu"))
    assert error.value.problem.code == "tagger_mismatch"


@pytest.mark.parametrize(
    "text",
    ["", "tag_id,name,category,count\n", "id;name\n1;x\n", "tag_id,name,category\n0,x,zero\n"],
)
def test_a_tag_list_without_sense_is_named(tmp_path, text):
    file = tmp_path / "selected_tags.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(UserError) as error:
        read_tags(file)
    assert error.value.problem.code == "tagger_tags" and str(file) in error.value.problem.title


def test_quoted_names_and_a_byte_order_mark_are_read(tmp_path):
    file = tmp_path / "selected_tags.csv"
    file.write_bytes(
        '\ufefftag_id,name,category,count\r\n1,"a,b",0,5\r\n2,"""x""",4,5\r\n'.encode()
    )
    assert read_tags(file) == [Tag("a,b", 0), Tag('"x"', 4)]


def test_a_damaged_model_is_named(make_tagger: MakeTagger):
    folder = make_tagger()
    (folder / "model.onnx").write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match="cannot be loaded; fetch"):
        WdTagger(folder, options(device="cpu"))


def test_a_model_of_another_kind_is_refused(make_tagger: MakeTagger):
    with pytest.raises(UserError, match="is no WD14-style tagger"):
        WdTagger(make_tagger(shape=["batch", SIDE, SIDE * 3]), options(device="cpu"))


def test_a_missing_gpu_is_told(make_tagger: MakeTagger, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError) as error:
        WdTagger(make_tagger(), options(device="gpu"))
    assert error.value.problem.setting == "device"


def test_without_onnxruntime_one_sentence_tells_what_to_install(make_tagger, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError) as error:
        WdTagger(make_tagger(), options())
    assert error.value.problem.code == "onnxruntime_missing"
    assert "-m pip install onnxruntime" in error.value.problem.hint
