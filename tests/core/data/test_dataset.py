"""Latents are prepared once, for every usable picture, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.data import cache as cache_module
from core.data.augment import Variation
from core.data.cache import latent_cache
from core.data.dataset import prepare_latents
from core.data.encoding import Encoder, Pixels
from core.data.images import load_pixels
from core.data.plan import NAMED_AT_MOST, make_plan
from core.data.types import Item, Plan
from core.errors import Stopped, UserError
from core.families.base import LoadedModel
from core.training.control import Control
from core.worker import protocol
from tests.core.data.fake_model import FakeModel

AddPicture = Callable[..., Path]
MakeJob = Callable[..., Job]


class Events(list):
    """What was emitted, for looking up."""

    def warnings(self) -> list[protocol.Warning]:
        return [event for event in self if isinstance(event, protocol.Warning)]

    def phases(self) -> list[tuple[int, int]]:
        return [(e.done, e.total) for e in self if isinstance(e, protocol.Phase)]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def plan(add_picture: AddPicture, make_job: MakeJob) -> Plan:
    """Eleven pictures of three shapes."""
    for number in range(11):
        size = [(90, 90), (200, 100), (70, 150)][number % 3]
        add_picture(f"{number}.png", *size, caption="x")
    return make_plan(make_job(batch_size=2, epochs=4), bucket_step=8)


def _prepare(plan: Plan, model: FakeModel, events: Events, **options: object):
    return prepare_latents(plan, _as_model(model), events.append, Control(), **options)  # type: ignore[arg-type]


def _as_model(model: FakeModel) -> LoadedModel:
    return model  # type: ignore[return-value]


def _expected(model: FakeModel, item: Item) -> torch.Tensor:
    """The VAE on the picture's own pixels, -1..1."""
    pixels = torch.from_numpy(load_pixels(item.path, item.placement)).double() / 127.5 - 1
    with torch.no_grad():
        return model.vae(pixels.permute(2, 0, 1)[None].float())[0]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 100])
@pytest.mark.parametrize("keep_bytes", [2**30, 2000, 0])
def test_every_picture_gets_its_latents(
    plan: Plan, events: Events, batch_size: int | None, keep_bytes: int
) -> None:
    model = FakeModel()
    for _ in range(2):
        store, same = _prepare(plan, model, events, batch_size=batch_size, keep_bytes=keep_bytes)
        assert same == plan and len(store) == 11 and 0 in store and 11 not in store
        for item in plan.items:
            latents, bucket = store[item.id], item.placement.bucket
            assert latents.shape == (4, bucket.height // 8, bucket.width // 8)
            assert latents.dtype == torch.float32 and not latents.requires_grad
            torch.testing.assert_close(latents, _expected(model, item), rtol=1e-4, atol=1e-5)
    assert len(model.encoded) == 11
    phases = events.phases()
    assert phases[0] == (0, 11) and phases[-1] == (11, 11)
    assert phases[: len(phases) // 2] == sorted(phases[: len(phases) // 2])
    assert events.warnings() == []


def test_memory_is_bounded(plan: Plan, events: Events) -> None:
    store, _ = _prepare(plan, FakeModel(), events, batch_size=4, keep_bytes=3000)
    for item in plan.items:
        store[item.id]
    held = store._kept.values()
    # A view would hold its whole batch. The limit may be passed by one picture.
    assert sum(one.latents.untyped_storage().nbytes() for one in held) <= 3000 + 1200


def test_changed_pictures_alone_are_encoded_again(
    plan: Plan, events: Events, add_picture: AddPicture, make_job: MakeJob
) -> None:
    model = FakeModel()
    _prepare(plan, model, events)
    Image.new("RGB", (90, 90), "red").save(plan.items[0].path)
    add_picture("new.png", 90, 90, caption="y")
    later = make_plan(make_job(), bucket_step=8)
    model.encoded.clear()
    store, _ = _prepare(later, model, events)
    assert len(model.encoded) == 2
    assert torch.allclose(store[0], _expected(model, later.items[0]), atol=1e-5)


def test_same_content_elsewhere_is_not_encoded_again(
    plan: Plan, events: Events, make_job: MakeJob, folder: Path
) -> None:
    model = FakeModel()
    _prepare(plan, model, events)
    moved = folder.with_name("moved")
    folder.rename(moved)
    job = make_job()
    job.concepts[0].path = str(moved)
    _prepare(make_plan(job, bucket_step=8), model, events)
    assert len(model.encoded) == 11


def test_another_vae_or_background_is_another_entry(plan: Plan, events: Events) -> None:
    _prepare(plan, FakeModel(), events)
    other = FakeModel(seed=1)
    store, _ = _prepare(plan, other, events)
    assert len(other.encoded) == 11
    assert torch.allclose(store[0], _expected(other, plan.items[0]), atol=1e-5)
    _prepare(plan, other, events, concepts=[Concept(background="#000000")])
    assert len(other.encoded) == 22


@pytest.mark.parametrize("keep_bytes", [2**30, 0])
def test_damaged_entries_are_made_again(plan: Plan, events: Events, keep_bytes: int) -> None:
    model = FakeModel()
    _prepare(plan, model, events)
    entries = sorted(latent_cache().folder.rglob("*.safetensors"))
    assert len(entries) == 11
    for entry in entries[:3]:
        entry.write_bytes(entry.read_bytes()[:-5])
    store, _ = _prepare(plan, model, events, keep_bytes=keep_bytes)
    for item in plan.items:
        torch.testing.assert_close(store[item.id], _expected(model, item), rtol=1e-4, atol=1e-5)
    assert len(model.encoded) == 14
    _prepare(plan, model, events)
    assert len(model.encoded) == 14


def test_entries_of_a_wrong_shape_are_made_again(plan: Plan, events: Events) -> None:
    model, cache = FakeModel(), latent_cache()
    _prepare(plan, model, events)
    for entry in cache.folder.rglob("*.safetensors"):
        cache.put(entry.stem, {"tensor": torch.zeros(4, 2, 2)})
    store, _ = _prepare(plan, model, events)
    assert len(model.encoded) == 22
    assert torch.allclose(store[2], _expected(model, plan.items[2]), atol=1e-5)


def test_interruption_loses_only_what_was_in_work(plan: Plan, events: Events) -> None:
    model = FakeModel()
    model.fail_at = 5
    with pytest.raises(KeyboardInterrupt):
        _prepare(plan, model, events, batch_size=1)
    assert len(model.encoded) == 5
    model.fail_at = None
    store, _ = _prepare(plan, model, events, batch_size=1)
    assert len(model.encoded) == 11 and len(store) == 11


def test_stop_is_honoured_between_pictures(plan: Plan, events: Events) -> None:
    model, control = FakeModel(), Control()
    real = model.encode_pixels

    def stop_at_the_third(pixels: torch.Tensor) -> torch.Tensor:
        if len(model.encoded) == 2:
            control.submit(protocol.Stop())
        return real(pixels)

    model.encode_pixels = stop_at_the_third  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        prepare_latents(plan, _as_model(model), events.append, control, 1)
    assert len(model.encoded) == 3
    prepare_latents(plan, _as_model(model), events.append, Control(), 1)
    assert len(model.encoded) == 11


def test_bad_pictures_are_left_out_with_a_warning(plan: Plan, events: Events) -> None:
    truncated, gone, changed = (plan.items[index].path for index in (1, 4, 7))
    truncated.write_bytes(truncated.read_bytes()[:-200])
    gone.unlink()
    Image.new("RGB", (33, 200)).save(changed)
    model = FakeModel()
    store, less = _prepare(plan, model, events)
    assert [item.id for item in less.items] == [0, 2, 3, 5, 6, 8, 9, 10]
    assert len(store) == 8 and 1 not in store
    assert sorted(w.file for w in events.warnings()) == sorted(
        str(path) for path in (truncated, gone, changed)
    )
    assert {w.code for w in events.warnings()} == {"picture_unreadable"}
    assert all(w.detail for w in events.warnings())
    assert less.total_steps < plan.total_steps and less.concepts[0].skipped == 3
    assert events.phases()[-1] == (11, 11)


def test_many_bad_pictures_are_counted(
    add_picture: AddPicture, make_job: MakeJob, events: Events, folder: Path
) -> None:
    for number in range(NAMED_AT_MOST + 4):
        add_picture(f"{number}.png", caption="x")
    plan = make_plan(make_job(), bucket_step=8)
    for item in plan.items[1:]:
        item.path.unlink()
    _, less = _prepare(plan, FakeModel(), events)
    assert len(less.items) == 1
    assert len(events.warnings()) == NAMED_AT_MOST + 1
    assert "3 more" in events.warnings()[-1].title


def test_no_picture_left_is_an_error(plan: Plan, events: Events) -> None:
    for item in plan.items:
        item.path.unlink()
    with pytest.raises(UserError) as caught:
        _prepare(plan, FakeModel(), events)
    assert caught.value.problem.code == "no_pictures"


def test_priors_alone_are_nothing_to_learn(
    folder: Path, add_picture: AddPicture, make_job: MakeJob, events: Events
) -> None:
    broken = add_picture("broken.png", 90, 90, caption="x")
    add_picture("prior/good.png", 90, 90, caption="x")
    job = make_job()
    job.concepts.append(Concept(path=str(folder / "prior"), kind="prior"))
    broken.write_bytes(broken.read_bytes()[:-100])
    plan = make_plan(job, bucket_step=8)
    assert len(plan.items) == 2 and not plan.problems
    with pytest.raises(UserError) as caught:
        _prepare(plan, FakeModel(), events, concepts=job.concepts)
    assert caught.value.problem.code == "no_train_pictures"


def test_full_disk_warns_once_and_the_run_goes_on(
    plan: Plan, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_replace", full)
    model = FakeModel()
    store, same = _prepare(plan, model, events, keep_bytes=0)
    assert [w.code for w in events.warnings()] == ["cache_unwritable"]
    assert same == plan
    for item in plan.items:
        assert torch.allclose(store[item.id], _expected(model, item), atol=1e-5)
    # Nothing was encoded a second time: what no disk holds stays in memory.
    assert len(model.encoded) == 11


@pytest.mark.parametrize("batch_size", [1, 4])
def test_latents_that_are_not_finite_name_the_picture(
    add_picture: AddPicture, make_job: MakeJob, events: Events, folder: Path, batch_size: int
) -> None:
    for number, grey in enumerate((30, 80, 130, 180)):
        Image.new("RGB", (64, 64), (grey,) * 3).save(folder / f"{number}.png")
    plan = make_plan(make_job(), bucket_step=8)
    model = FakeModel()
    model.bad_brightness = 130 / 127.5 - 1
    with pytest.raises(UserError) as caught:
        _prepare(plan, model, events, batch_size=batch_size)
    problem = caught.value.problem
    assert problem.code == "latents_not_finite" and problem.file == str(folder / "2.png")
    entries = list(latent_cache().folder.rglob("*.safetensors"))
    assert len(entries) == (2 if batch_size == 1 else 0)


def test_out_of_memory_falls_back_to_single_pictures(plan: Plan, events: Events) -> None:
    model = FakeModel()
    real = model.encode_pixels

    def small(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(pixels)

    model.encode_pixels = small  # type: ignore[method-assign]
    store, _ = _prepare(plan, model, events, batch_size=4)
    assert len(store) == 11 and len(model.encoded) == 11


def test_entry_that_vanishes_during_the_run_is_made_again(plan: Plan, events: Events) -> None:
    model = FakeModel()
    store, _ = _prepare(plan, model, events, keep_bytes=0)
    for entry in latent_cache().folder.rglob("*.safetensors"):
        entry.unlink()
    latents = store[3]
    assert torch.allclose(latents, _expected(model, plan.items[3]), atol=1e-5)
    plan.items[5].path.unlink()
    with pytest.raises(UserError) as caught:
        store[5]
    assert caught.value.problem.code == "picture_vanished"


def _repaint(path: Path, shade: int) -> None:
    size = Image.open(path).size
    Image.new("RGB", size, (shade, 99, 7)).save(path)


def test_a_picture_that_is_replaced_while_it_is_read_leaves_no_stale_entry(
    plan: Plan, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, model, real = plan.items[0], FakeModel(), Encoder.read
    before = item.path.read_bytes()

    def slow(encoder: Encoder, read: Item, variations: Sequence[Variation]) -> list[Pixels]:
        if read == item and item.path.read_bytes() == before:
            _repaint(item.path, 200)
        return real(encoder, read, variations)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "read", slow)
        store, _ = _prepare(plan, model, events)
    assert torch.allclose(store[item.id], _expected(model, item), atol=1e-5)
    item.path.write_bytes(before)
    store, _ = _prepare(plan, model, events)
    assert torch.allclose(store[item.id], _expected(model, item), atol=1e-5)
    assert not events.warnings()


def test_a_picture_that_never_stops_changing_costs_only_itself(
    plan: Plan, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, real, shades = plan.items[0], Encoder.read, count()

    def changing(encoder: Encoder, read: Item, variations: Sequence[Variation]) -> list[Pixels]:
        if read == item:
            _repaint(item.path, next(shades))
        return real(encoder, read, variations)

    monkeypatch.setattr(Encoder, "read", changing)
    store, less = _prepare(plan, FakeModel(), events)
    assert len(store) == len(less.items) == 10 and item not in less.items
    (warning,) = events.warnings()
    assert warning.file == str(item.path) and "changes while" in warning.detail


def test_an_entry_made_again_from_another_picture_is_not_kept(plan: Plan, events: Events) -> None:
    item, model = plan.items[0], FakeModel()
    store, _ = _prepare(plan, model, events, keep_bytes=0)
    before = item.path.read_bytes()
    for path in latent_cache().folder.rglob("*.safetensors"):
        path.unlink()
    _repaint(item.path, 30)
    assert torch.allclose(store[item.id], _expected(model, item), atol=1e-5)
    item.path.write_bytes(before)
    store, _ = _prepare(plan, model, events)
    assert torch.allclose(store[item.id], _expected(model, item), atol=1e-5)


def test_nothing_is_written_beside_the_pictures(plan: Plan, events: Events, folder: Path) -> None:
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)}
    _prepare(plan, FakeModel(), events)
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)} == before


@pytest.mark.parametrize(("cores", "calculating", "most"), [(6, 1, 5), (6, 6, 1), (1, 1, 1)])
def test_reading_leaves_the_vae_its_cores(
    plan: Plan,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    calculating: int,
    most: int,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: calculating)
    seen: list[int] = []
    before = set(threading.enumerate())

    class Watched(FakeModel):
        def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            names = [thread.name for thread in threading.enumerate() if thread not in before]
            seen.append(sum(name.startswith("pictures") for name in names))
            return super().encode_pixels(pixels)

    store, _ = _prepare(plan, Watched(), events)
    assert len(store) == 11
    assert 1 <= max(seen) <= most
