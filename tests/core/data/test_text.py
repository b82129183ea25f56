"""Text embeddings are what the model gives for the batch, however they were found."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config.job import Job
from core.data import cache as cache_module
from core.data import text as text_module
from core.data.cache import text_cache, text_key
from core.data.plan import make_plan
from core.data.text import TextStore, lasting_captions, prepare_text
from core.data.types import Plan
from core.errors import Stopped
from core.training.control import Control
from core.worker import protocol
from tests.core.data.fake_model import CHUNK, FakeModel

LONG = " ".join(f"word{n}" for n in range(14))


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job()


@pytest.fixture
def plan(add_picture: Callable[..., Path], job: Job) -> Plan:
    for number, caption in enumerate(["a robot", "a red robot", LONG, "a robot", "one\ntwo, x"]):
        add_picture(f"{number}.png", caption=caption)
    add_picture("none.png")
    return make_plan(job, bucket_step=8)


def _prepare(plan: Plan, job: Job, model: FakeModel, emit=None, **options: object) -> TextStore:
    emit = emit or (lambda event: None)
    return prepare_text(plan, job, model, emit, Control(), **options)  # type: ignore[arg-type]


def _is_what_the_model_gives(store: TextStore, model: FakeModel, captions: list[str]) -> bool:
    """To the bit, in the same number formats, and free of the encoder's graph."""
    with torch.no_grad():
        expected = model.text.of(captions)
    got = store[captions]
    return got.keys() == expected.keys() and all(
        torch.equal(got[name], rows)
        and got[name].dtype == rows.dtype
        and not got[name].requires_grad
        for name, rows in expected.items()
    )


BATCHES = [
    ["a robot"],
    ["a robot", "a red robot", "a robot"],
    ["one", LONG],
    [LONG, "", "not in the plan"],
    ["", ""],
]


@pytest.mark.parametrize("keep_bytes", [2**29, 1000, 0])
def test_batches_are_what_the_model_gives(plan: Plan, job: Job, keep_bytes: int) -> None:
    model = FakeModel()
    for _ in range(2):
        store = _prepare(plan, job, model, keep_bytes=keep_bytes)
        for captions in BATCHES:
            assert _is_what_the_model_gives(store, model, captions)


def test_lasting_captions_are_encoded_before_training_and_once(plan: Plan, job: Job) -> None:
    model, events = FakeModel(), []
    assert set(lasting_captions(plan, job)) == {
        *("a robot", "a red robot", LONG, "one", "two, x", "")
    }
    store = _prepare(plan, job, model, events.append)
    assert sum(model.text.encoded) == 6
    assert [(e.name, e.done, e.total) for e in events][-1] == ("caching", 6, 6)
    store[["a robot", "one"]], store[[LONG]]
    assert sum(model.text.encoded) == 6
    _prepare(plan, job, model)
    assert sum(model.text.encoded) == 6
    assert len(list(text_cache().folder.rglob("*.safetensors"))) == 6


def test_what_later_batches_pad_anew_is_named_from_the_start(plan: Plan, job: Job) -> None:
    """The cache's size limit must not touch it, though it is written during the training."""
    store = _prepare(plan, job, FakeModel(), keep_bytes=0)
    named = store.keys()
    for batch in BATCHES:
        store[batch]
    on_disk = {path.stem for path in text_cache().folder.rglob("*.safetensors")}
    assert len(on_disk) > 6 and on_disk <= named == store.keys()


def test_shuffled_captions_leave_no_trace_on_disk(plan: Plan, job: Job) -> None:
    job.concepts[0].caption.shuffle = True
    job.concepts[0].caption.dropout = 0.1
    assert lasting_captions(plan, job) == [""]
    model = FakeModel()
    store = _prepare(plan, job, model)
    store[["x, two", "two, x"]]
    assert len(list(text_cache().folder.rglob("*.safetensors"))) == 1
    done = sum(model.text.encoded)
    store[["two, x", "x, two"]]
    assert sum(model.text.encoded) == done


def test_choices_and_dropped_tags_are_left_to_each_step(
    add_picture: Callable[..., Path], make_job: Callable[..., Job]
) -> None:
    add_picture("a.png", caption="a {red|blue} robot, metal")
    add_picture("b.png", caption="a plain robot, metal")
    job = make_job()
    augmentation = job.concepts[0].caption
    plan = make_plan(job, bucket_step=8)
    assert set(lasting_captions(plan, job)) == {
        "a {red|blue} robot, metal",
        "a plain robot, metal",
    }
    augmentation.choices = True
    assert lasting_captions(plan, job) == ["a plain robot, metal"]
    augmentation.tag_dropout = 0.5
    assert lasting_captions(plan, job) == []
    augmentation.dropout = 0.1
    assert lasting_captions(plan, job) == [""]


def test_captions_that_are_only_measured_are_prepared(
    add_picture: Callable[..., Path], job: Job
) -> None:
    add_picture("a.png", caption="seen")
    add_picture("held/b.png", caption="one, two\nthree")
    held = job.concepts[0].model_copy(deep=True)
    held.kind, held.path = "validation", str(Path(held.path) / "held")
    held.caption.shuffle, held.caption.dropout = True, 0.9
    job.concepts.append(held)
    model = FakeModel()
    plan = make_plan(job, bucket_step=8)
    assert set(lasting_captions(plan, job)) == {"seen", "one, two"}
    store = _prepare(plan, job, model)
    assert len(store.keys()) == 2 == sum(model.text.encoded)
    assert _is_what_the_model_gives(store, model, ["one, two"])


def test_without_captions_only_the_empty_one_is_needed(plan: Plan, job: Job) -> None:
    job.concepts[0].caption.dropout = 1
    assert lasting_captions(plan, job) == [""]


def test_too_many_captions_are_encoded_on_demand(
    plan: Plan, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "LASTING_AT_MOST", 3)
    model = FakeModel()
    store = _prepare(plan, job, model)
    assert model.text.encoded == []
    assert _is_what_the_model_gives(store, model, ["a robot"])
    assert not text_cache().folder.exists()


def test_on_the_cpu_each_caption_is_encoded_alone(plan: Plan, job: Job) -> None:
    model = FakeModel()
    store = _prepare(plan, job, model)
    store[["new one", "new two", LONG]]
    assert set(model.text.encoded) == {1}


def test_another_encoder_is_another_entry(plan: Plan, job: Job) -> None:
    _prepare(plan, job, FakeModel())
    other = FakeModel(seed=1)
    store = _prepare(plan, job, other)
    assert _is_what_the_model_gives(store, other, ["a robot"])


def test_damaged_entries_are_made_again(plan: Plan, job: Job) -> None:
    model = FakeModel()
    _prepare(plan, job, model)
    for entry in text_cache().folder.rglob("*.safetensors"):
        entry.write_bytes(b"damaged")
    store = _prepare(plan, job, model)
    assert _is_what_the_model_gives(store, model, [LONG])


def test_memory_is_bounded(plan: Plan, job: Job) -> None:
    one = CHUNK * 6 * 2 + 6 * 4
    store = _prepare(plan, job, FakeModel(), keep_bytes=3 * one)
    for number in range(50):
        store[[f"caption {number}"]]
    assert len(store._kept) <= 3


def test_stop_is_honoured(plan: Plan, job: Job) -> None:
    control = Control()
    control.submit(protocol.Stop())
    with pytest.raises(Stopped):
        prepare_text(plan, job, FakeModel(), lambda event: None, control)  # type: ignore[arg-type]


def test_full_disk_warns_once(plan: Plan, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_replace", full)
    events: list[object] = []
    store = _prepare(plan, job, FakeModel(), events.append)
    warnings = [event for event in events if isinstance(event, protocol.Warning)]
    assert [warning.code for warning in warnings] == ["cache_unwritable"]
    assert store[["a robot"]]["embeddings"].shape == (1, CHUNK, 6)


def test_chunks_of_the_fake_text_side() -> None:
    shapes = [FakeModel().text.of(some)["embeddings"].shape[:2] for some in (["a"], ["a", LONG])]
    assert shapes == [(1, CHUNK), (2, 3 * CHUNK)]


def test_half_precision_takes_half_the_room_on_disk(plan: Plan, job: Job) -> None:
    _prepare(plan, job, FakeModel())
    entry = text_cache().get(text_key("a robot", CHUNK, "text 0"))
    assert entry is not None and entry["embeddings"].dtype == torch.float16
