"""Prior concepts: the target is what the base model itself predicts, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.data.batches import epoch_batches
from core.data.types import Batch
from core.lora.inject import without_adapter
from core.training.trainer import train_step
from tests.training.test_step import Reference, open_for, seeded, shake


def all_draws(session, job) -> list:
    return [d for group in epoch_batches(session.plan, job, 0) for b in group for d in b.draws]


@pytest.mark.parametrize("text_encoder", [True, False])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_before_any_step_the_loss_is_exactly_zero(
    make_job, tmp_path: Path, text_encoder: bool, checkpointing: bool
) -> None:
    job = make_job(
        lora__text_encoder=text_encoder,
        lora__dropout=0.3,
        training__gradient_checkpointing=checkpointing,
    )
    session = open_for(job, tmp_path)
    session.job.concepts[0].kind = "prior"
    for group in epoch_batches(session.plan, job, 0):
        session.optimizer.step = lambda *_: None
        assert train_step(session, group) == 0.0
    session.close()


class PriorReference(Reference):
    """As Reference; the target of prior draws is the prediction of the untouched base model."""

    def loss(self, draw, session, unet: dict, text: dict) -> torch.Tensor:
        if session.job.concepts[draw.item.concept].kind != "prior":
            return super().loss(draw, session, unet, text)
        latents = self.latents(draw)
        seed = (session.job.training.seed, session.step, draw.item.id, draw.repeat)
        noise = torch.randn(latents.shape[1:], generator=seeded(*seed, "noise"))[None]
        share = torch.rand((), generator=seeded(*seed, "timestep"), dtype=torch.float64)
        at = torch.tensor([min(int(float(share) * 1000), 999)])
        tokens = self.tokenizer(
            [draw.caption], padding="max_length", max_length=77, return_tensors="pt"
        ).input_ids
        call = torch.func.functional_call
        noisy = self.noise.add_noise(latents, noise, at)
        with torch.no_grad():
            wanted = self.unet(noisy, at, self.text(tokens).last_hidden_state).sample
        embeddings = call(self.text, text, (tokens,)).last_hidden_state
        predicted = call(self.unet, unet, (noisy, at, embeddings)).sample
        weight = session.job.concepts[draw.item.concept].loss_weight
        return weight * torch.nn.functional.mse_loss(predicted, wanted)


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("text_encoder", [True, False])
def test_loss_and_gradients_equal_the_reference(
    make_job,
    tiny_model: Path,
    pictures: Path,
    tmp_path: Path,
    checkpointing: bool,
    text_encoder: bool,
) -> None:
    """Ordinary and prior pictures in the same batches, with other weights and captions."""
    job = make_job(
        training__gradient_checkpointing=checkpointing,
        training__gradient_accumulation=20,
        training__batch_size=3,
        training__max_grad_norm=None,
        lora__text_encoder=text_encoder,
    )
    prior = job.concepts[0].model_copy(deep=True)
    prior.kind, prior.loss_weight, prior.prompt.trigger = "prior", 0.6, "plain"
    job.concepts.append(prior)
    session = open_for(job, tmp_path)
    shake(session)
    groups = epoch_batches(session.plan, job, 0)[0]
    kinds = {frozenset(d.item.concept for d in batch.draws) for batch in groups}
    assert frozenset({0, 1}) in kinds
    wanted, gradients = PriorReference(tiny_model).step(session, groups)
    taken: dict[str, torch.Tensor] = {}
    session.optimizer.step = lambda *_: taken.update(
        {n: p.grad.clone() for n, p in session.adapter.named_weights()}
    )
    assert train_step(session, groups) == pytest.approx(wanted, rel=1e-5)
    largest = max(float(g.abs().max()) for g in gradients.values() if g is not None)
    assert taken.keys() == {name for name, g in gradients.items() if g is not None}
    for name, gradient in taken.items():
        assert torch.allclose(gradient, gradients[name], atol=2e-5 * largest, rtol=1e-4), name
    session.close()


def test_prior_alone_leaves_the_weights_where_they_do_nothing(make_job, run_trainer) -> None:
    """Nothing pulls at a LoRA that changes nothing, so after steps it still changes nothing."""
    job = make_job(
        training__weight_decay=0.0,
        training__max_steps=10,
        training__batch_size=1,
    )
    job.concepts[0].loss_weight = 0.0
    prior = job.concepts[0].model_copy(update={"kind": "prior", "loss_weight": 1.0})
    job.concepts.append(prior)
    done = run_trainer(job)
    assert [step.loss for step in done.of("step")] == [0.0] * 10


def test_without_adapter_puts_everything_back(make_job, tmp_path: Path) -> None:
    session = open_for(make_job(lora__dropout=0.1), tmp_path)
    shake(session)
    model, device = session.model, session.device
    noisy = torch.randn(1, model.latent_channels, 8, 8)
    at = torch.tensor([10])
    model.parts["unet"].eval()
    model.parts["text_encoder"].eval()

    def predicted() -> torch.Tensor:
        with torch.no_grad():
            return model.predict(noisy, at, session.conditioning(["a thing"]), []).to(device)

    before = predicted()
    with pytest.raises(RuntimeError), without_adapter(model, session.adapter):
        base = predicted()
        raise RuntimeError
    assert not torch.equal(base, before)
    assert torch.equal(predicted(), before)
    assert all(p.requires_grad for p in session.adapter.parameters())
    batch = Batch(
        session.plan.items[0].placement.bucket, tuple(all_draws(session, session.job)[:1])
    )
    train_step(session, [batch])
    assert all(p.grad is not None for p in session.adapter.parameters())
    session.close()
