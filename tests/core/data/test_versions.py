"""Preparing several versions, masks and measured pictures: each once, by content, or left out."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.config.concepts import Concept, ImageAugmentation, Masks
from core.data.augment import change
from core.data.cache import latent_cache
from core.data.dataset import LatentStore, prepare_latents
from core.data.encoding import Encoder
from core.data.images import PictureError, load_mask, load_picture, load_with_alpha
from core.data.plan import make_plan
from core.data.types import Item, Plan
from core.errors import UserError
from core.training.control import Control
from core.worker import protocol
from tests.core.data.fake_model import FakeModel

CHANGES = ImageAugmentation(
    flip=0.5, crop_jitter=0.7, scale=0.7, rotation=0.5, hue=0.5, contrast=0.5, variants=10
)


class Events(list):
    def warnings(self) -> list[protocol.Warning]:
        return [event for event in self if isinstance(event, protocol.Warning)]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def plan(add_picture, make_job) -> Plan:
    for number in range(5):
        add_picture(f"{number}.png", *[(90, 90), (200, 100), (70, 150)][number % 3], caption="x")
    return make_plan(make_job(), bucket_step=8)


def prepare(
    plan: Plan, model: FakeModel, events: Events, concept: Concept, **options
) -> tuple[LatentStore, Plan]:
    concepts = [concept, Concept(kind="validation", image=concept.image)]
    return prepare_latents(plan, model, events.append, Control(), concepts=concepts, **options)


def expected(model: FakeModel, concept: Concept, item: Item, version: int) -> torch.Tensor:
    encoder = Encoder(model, [concept])
    variation = encoder.variation(item, version)
    image = load_picture(item.path)
    pixels = torch.from_numpy(change(image, None, item.placement, variation)[0])
    with torch.no_grad():
        return model.vae(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)[0]


@pytest.mark.parametrize("keep_bytes", [2**30, 3000, 0])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_every_version_is_there_and_encoded_once(
    plan: Plan, events: Events, keep_bytes: int, batch_size: int | None
) -> None:
    model, concept = FakeModel(), Concept(image=CHANGES)
    for _ in range(2):
        store, same = prepare(
            plan, model, events, concept, keep_bytes=keep_bytes, batch_size=batch_size
        )
        assert same == plan and len(store) == 5
        for item in plan.items:
            for version in range(10):
                torch.testing.assert_close(
                    store.version(item.id, version).latents,
                    expected(model, concept, item, version),
                    rtol=1e-4,
                    atol=1e-4,
                )
    entries = list(latent_cache().folder.rglob("*.safetensors"))
    assert len(model.encoded) == len(entries) == len(store.keys()) <= 50
    assert {path.stem for path in entries} == store.keys()
    phases = [(e.done, e.total) for e in events if isinstance(e, protocol.Phase)]
    assert phases[-1] == (50, 50)


def test_versions_that_come_out_alike_are_encoded_once(plan: Plan, events: Events) -> None:
    model = FakeModel()
    concept = Concept(image=ImageAugmentation(flip=0.5, variants=12))
    store, _ = prepare(plan, model, events, concept)
    assert len(model.encoded) == 10
    for item in plan.items:
        assert len({id(store.version(item.id, v)) for v in range(12)}) == 2


def test_only_what_changed_is_encoded_again(plan: Plan, events: Events, folder: Path) -> None:
    model, concept = FakeModel(), Concept(image=CHANGES)
    prepare(plan, model, events, concept)
    before = len(model.encoded)
    # Two versions more of each, and one picture anew; a moved folder changes nothing.
    more = Concept(image=CHANGES.model_copy(update={"variants": 12}))
    prepare(plan, model, events, more)
    assert len(model.encoded) == before + 10
    Image.new("RGB", plan.items[2].size, (3, 4, 5)).save(plan.items[2].path)
    prepare(plan, model, events, more)
    assert len(model.encoded) == before + 22
    moved = folder.with_name("moved")
    shutil.copytree(folder, moved)
    elsewhere = tuple(replace(i, path=moved / i.path.name) for i in plan.items)
    prepare(replace(plan, items=elsewhere), model, events, more)
    assert len(model.encoded) == before + 22


def test_what_is_only_measured_is_prepared_unchanged(plan: Plan, events: Events) -> None:
    model, concept = FakeModel(), Concept(image=CHANGES)
    held = (replace(plan.items[0], id=50, concept=1), replace(plan.items[1], id=51, concept=1))
    store, _ = prepare(replace(plan, validation=held), model, events, concept)
    plain = expected(model, Concept(), held[0], 0)
    torch.testing.assert_close(store[50], plain, rtol=1e-4, atol=1e-5)
    held[1].path.unlink()
    store, less = prepare(replace(plan, validation=held), model, events, concept)
    assert [item.id for item in less.validation] == [50] and 51 not in store
    assert [item.id for item in less.items] == [0, 2, 3, 4]


def test_pictures_changed_at_each_step_are_only_looked_at(plan: Plan, events: Events) -> None:
    model = FakeModel()
    concept = Concept(image=ImageAugmentation(flip=0.5, caching="off"))
    plan.items[3].path.write_bytes(b"no picture")
    store, less = prepare(plan, model, events, concept)
    assert not model.encoded and len(store) == 0
    assert [item.id for item in less.items] == [0, 1, 2, 4]
    assert [w.code for w in events.warnings()] == ["picture_unreadable"]


def test_a_bad_picture_of_several_resolutions_is_told_once(plan: Plan, events: Events) -> None:
    twice = (*plan.items, *(replace(item, id=item.id + 10) for item in plan.items))
    plan.items[1].path.write_bytes(b"")
    _, less = prepare(replace(plan, items=twice), FakeModel(), events, Concept())
    assert [item.id for item in less.items] == [0, 2, 3, 4, 10, 12, 13, 14]
    assert [w.code for w in events.warnings()] == ["picture_unreadable"]


# Masks -------------------------------------------------------------------------------------------


def with_masks(plan: Plan, paint) -> Plan:
    items = []
    for item in plan.items:
        path = item.path.with_name(f"{item.path.stem}-masklabel.png")
        mask = Image.new("L", item.size)
        paint(ImageDraw.Draw(mask), item)
        mask.save(path)
        items.append(replace(item, mask=path))
    return replace(plan, items=tuple(items))


MASKED = Concept(mask=Masks(source="file"))


def left_half(draw: ImageDraw.ImageDraw, item: Item) -> None:
    draw.rectangle((0, 0, item.size[0] // 2 - 1, item.size[1]), fill=255)


@pytest.mark.parametrize("keep_bytes", [2**30, 0])
def test_mask_is_averaged_over_each_latent(plan: Plan, events: Events, keep_bytes: int) -> None:
    masked = with_masks(plan, left_half)
    for _ in range(2):
        store, _ = prepare(masked, FakeModel(), events, MASKED, keep_bytes=keep_bytes)
        for item in masked.items:
            found = store.version(item.id)
            mask, bucket = found.mask, item.placement.bucket
            assert mask is not None and mask.shape == found.latents.shape[1:]
            assert mask.dtype == torch.float32
            # The crop lies in the middle, so half of it is white.
            assert float(mask.mean()) == pytest.approx(0.5, abs=0.02)
            assert (mask[:, 0] == 1).all() and (mask[:, -1] == 0).all()
            assert bucket.width == 8 * mask.shape[1]


def test_mask_follows_every_version(plan: Plan, events: Events) -> None:
    """The picture is painted like its mask, so its brightness tells where the mask must be."""
    for item in plan.items:
        grey = Image.new("L", item.size)
        left_half(ImageDraw.Draw(grey), item)
        grey.convert("RGB").save(item.path)
    masked = with_masks(plan, left_half)
    concept = Concept(
        mask=Masks(source="file"),
        image=ImageAugmentation(flip=0.5, crop_jitter=0.5, scale=0.5, rotation=0.5, variants=6),
    )
    encoder = Encoder(FakeModel(), [concept])
    flipped = 0
    for item in masked.items:
        variations = [encoder.variation(item, version) for version in range(6)]
        for variation, pixels in zip(variations, encoder.read(item, variations), strict=True):
            assert pixels.mask is not None
            bright = pixels.picture[0].float()[None, None] / 255
            seen = torch.nn.functional.avg_pool2d(bright, 8)[0, 0]
            assert float((seen - pixels.mask).abs().max()) < 0.1
            if variation.flip and not variation.angle:
                flipped += 1
                assert pixels.mask[:, 0].sum() <= pixels.mask[:, -1].sum()
    assert flipped


def test_a_changed_mask_makes_only_its_picture_anew(plan: Plan, events: Events) -> None:
    masked, model = with_masks(plan, left_half), FakeModel()
    prepare(masked, model, events, MASKED)
    assert len(model.encoded) == 5
    first = masked.items[1].mask
    assert first is not None
    Image.new("L", (9, 9), 255).save(first)
    store, _ = prepare(masked, model, events, MASKED)
    assert len(model.encoded) == 6
    mask = store.version(masked.items[1].id).mask
    assert mask is not None and (mask == 1).all()
    # Another weight outside is no other entry.
    outside = Concept(mask=Masks(source="file", outside=0.4))
    prepare(masked, model, events, outside)
    assert len(model.encoded) == 6
    # Without masks it is the plain picture's entry.
    prepare(masked, model, events, Concept())
    assert len(model.encoded) == 11


def test_bad_mask_leaves_its_picture_out_and_names_itself(plan: Plan, events: Events) -> None:
    masked = with_masks(plan, left_half)
    for number, content in ((0, b""), (1, b"<html></html>")):
        path = masked.items[number].mask
        assert path is not None
        path.write_bytes(content)
    _, less = prepare(masked, FakeModel(), events, MASKED)
    assert [item.id for item in less.items] == [2, 3, 4]
    details = [w.detail for w in events.warnings()]
    assert "0-masklabel.png" in details[0] and "empty" in details[0]
    assert "1-masklabel.png" in details[1] and "web page" in details[1]


@pytest.mark.parametrize("keep_bytes", [2**30, 0])
def test_black_masks_leave_pictures_out_cached_or_not(
    plan: Plan, events: Events, keep_bytes: int
) -> None:
    masked = with_masks(plan, lambda draw, item: item.id != 2 and left_half(draw, item))
    for _ in range(2):
        events.clear()
        store, less = prepare(masked, FakeModel(), events, MASKED, keep_bytes=keep_bytes)
        assert [item.id for item in less.items] == [0, 1, 3, 4] and 2 not in store
        assert [w.code for w in events.warnings()] == ["mask_black"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_masks_of_every_mode(folder: Path, mode: str) -> None:
    grey = Image.new("L", (20, 10))
    ImageDraw.Draw(grey).rectangle((0, 0, 9, 9), fill=255)
    path = folder / "m.png"
    if mode == "I;16":
        Image.fromarray(np.array(grey).astype(np.uint16) * 257).save(path)
    elif mode in ("RGBA", "LA"):
        white = Image.new(mode, grey.size, "white")
        white.putalpha(grey)
        white.save(path)
    else:
        grey.convert(mode).save(path)
    got = np.array(load_mask(path))
    assert np.array_equal(got, np.array(grey))


def test_transparency_is_upright_with_its_picture(folder: Path) -> None:
    image = Image.new("RGBA", (8, 4), (9, 8, 7, 255))
    image.paste((0, 0, 0, 0), (0, 0, 2, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.png", exif=exif)
    rgb, alpha = load_with_alpha(folder / "a.png", (1, 2, 3))
    assert rgb.size == (4, 8) and alpha is not None and alpha.size == (4, 8)
    # Turned by 90 degrees clockwise, the left edge is the upper one.
    assert alpha.getpixel((0, 0)) == 0 and alpha.getpixel((0, 7)) == 255
    assert rgb.getpixel((0, 0)) == (1, 2, 3)
    Image.new("RGBA", (4, 4), (9, 8, 7, 255)).save(folder / "b.png")
    assert load_with_alpha(folder / "b.png")[1] is None


# Folders that change meanwhile --------------------------------------------------------------------


def test_folder_that_vanishes_while_preparing_is_one_sentence(
    plan: Plan, events: Events, folder: Path
) -> None:
    model = FakeModel()
    real = model.encode_pixels

    def vanish(pixels: torch.Tensor) -> torch.Tensor:
        if len(model.encoded) == 1:
            folder.rename(folder.with_name("away"))
        return real(pixels)

    model.encode_pixels = vanish  # type: ignore[method-assign]
    # Entries are read two threads ahead, so all may have been read by then.
    big = replace(
        plan, items=tuple(replace(i, id=i.id + 5 * n) for n in range(9) for i in plan.items)
    )
    for item in big.items:
        assert item.path.exists()
    concept = Concept(path=str(folder), image=CHANGES)
    with pytest.raises(UserError) as caught:
        prepare(big, model, events, concept)
    assert caught.value.problem.code == "pictures_gone"
    assert str(folder) in caught.value.problem.title
    # What was encoded is kept.
    kept = len(list(latent_cache().folder.rglob("*.safetensors")))
    assert kept == len(model.encoded) >= 1


def test_a_subfolder_that_vanishes_costs_only_its_pictures(
    plan: Plan, events: Events, folder: Path
) -> None:
    inner = folder / "inner"
    inner.mkdir()
    items = []
    for item in plan.items:
        target = inner / item.path.name if item.id > 2 else item.path
        if target != item.path:
            os.rename(item.path, target)
        items.append(replace(item, path=target))
    shutil.rmtree(inner)
    concept = Concept(path=str(folder))
    _, less = prepare(replace(plan, items=tuple(items)), FakeModel(), events, concept)
    assert [item.id for item in less.items] == [0, 1, 2]


def test_pictures_that_join_meanwhile_change_nothing(
    plan: Plan, events: Events, add_picture
) -> None:
    add_picture("00.png")
    model = FakeModel()
    store, same = prepare(plan, model, events, Concept())
    assert same == plan and len(store) == 5 and len(model.encoded) == 5


def test_reading_says_when_a_picture_has_changed(plan: Plan) -> None:
    item = plan.items[0]
    encoder = Encoder(FakeModel())
    Image.new("RGB", (11, 12)).save(item.path)
    with pytest.raises(PictureError, match="changed"):
        encoder.read(item, [encoder.variation(item, 0)])
