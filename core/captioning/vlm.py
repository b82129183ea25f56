"""BLIP, BLIP-2 and Florence-2 captioners through transformers, from local files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from core.captioning.options import CaptionOptions
from core.captioning.wd import smaller
from core.errors import fail
from core.hardware import Precision, best_precision, cpu_calculates_in
from core.reading import read_json

if TYPE_CHECKING:
    import torch

# What config.json calls a model -> its class in transformers.
CLASSES = {
    "blip": "BlipForConditionalGeneration",
    "blip-2": "Blip2ForConditionalGeneration",
    "florence2": "Florence2ForConditionalGeneration",
}
USUAL_TASK = "<DETAILED_CAPTION>"
# Several times what these models look at (384 to 768 pixels).
_LARGEST = 2048
_SPECIAL = ("<s>", "</s>", "<pad>")


def model_kind(folder: Path) -> str:
    """`blip`, `blip-2` or `florence2`, from the folder's config.json.

    Raises UserError when it is another model, or one that would need code from its folder.
    """
    file = folder / "config.json"
    try:
        config = read_json(file)
        kind = str(config["model_type"])
        vision = config.get("vision_config") or {}
        foreign = kind == "florence2" and str(vision.get("model_type", "")) == "davit"
    except (ValueError, KeyError, TypeError, AttributeError):
        raise fail(
            "captioner_damaged",
            f"{file} cannot be read as a model's description; fetch the captioner again.",
            file=str(file),
        ) from None
    if foreign:
        raise fail(
            "captioner_foreign",
            f"{folder} holds Florence-2 in its first format, which runs code from its folder; "
            "use a converted one, such as florence-community/Florence-2-base.",
            setting="captioner",
            file=str(folder),
        )
    if kind not in CLASSES:
        raise fail(
            "captioner_unknown",
            f"{folder} holds a model of the kind {kind}; choose a BLIP, BLIP-2 or Florence-2 "
            "model.",
            setting="captioner",
            file=str(folder),
        )
    if not any(folder.glob("*.safetensors")):
        raise fail(
            "captioner_pickle",
            f"{folder} has no .safetensors weights, and Limner never loads the pickle format; "
            "choose another model.",
            setting="captioner",
            file=str(folder),
        )
    return kind


class Captioner:
    """A loaded captioner. batch: how many pictures it takes at once, 0 where that is free."""

    batch = 0

    def __init__(self, folder: Path, options: CaptionOptions) -> None:
        """Load the model. Raises UserError when it is missing, damaged or of another kind."""
        import torch
        import transformers

        self.options = options
        self.kind = model_kind(folder)
        self.device = _device(options, torch)
        self.dtype = _dtype(options, self.device, torch)
        transformers.utils.logging.disable_progress_bar()
        model_class = getattr(transformers, CLASSES[self.kind])
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(folder, **local)
            model, report = model_class.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=self.dtype,
                output_loading_info=True,
                **local,
            )
        except Exception as error:
            # transformers raises almost anything on damaged or unlike files.
            raise _damaged(folder, error) from error
        if missing := sorted(report.get("missing_keys", ())):
            raise _damaged(folder, ValueError(f"{len(missing)} weights are missing: {missing[0]}"))
        self._model = model.to(self.device).eval()
        self._check_prompt()

    @property
    def provider(self) -> str:
        """Where and in which number format it calculates, in words."""
        precision: Precision = str(self.dtype).removeprefix("torch.")  # type: ignore[assignment]
        slow = self.device.type == "cpu" and not cpu_calculates_in(precision)
        words = ", slow on this processor: float32 is faster" if slow else ""
        return f"{self.device.type}, {precision}{words}"

    def _check_prompt(self) -> None:
        prompt = self.options.prompt.strip()
        if self.kind != "florence2" or not prompt:
            return
        known = set(getattr(self._processor, "task_prompts_without_inputs", {}))
        head = prompt.partition(">")[0] + ">"
        if head in known and prompt != head:
            raise fail(
                "bad_prompt",
                f"The task {head} takes no further words; write {head} alone.",
                setting="prompt",
            )

    def prepare(self, image: Image.Image) -> Image.Image:
        """One RGB picture as `describe` takes it: several wait in memory, so none is huge."""
        return smaller(image, _LARGEST) if max(image.size) > _LARGEST else image

    def describe(self, prepared: Sequence[Image.Image]) -> list[str]:
        """The caption of each picture. Greedy or by the model's own beams, never at random."""
        import torch

        prompt = self.options.prompt.strip()
        if self.kind == "florence2":
            prompt = prompt or USUAL_TASK
        texts = [prompt] * len(prepared) if prompt else None
        inputs = self._processor(images=list(prepared), text=texts, return_tensors="pt")
        placed = {
            name: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        with torch.inference_mode():
            tokens = self._model.generate(
                **placed, max_new_tokens=self.options.max_tokens, do_sample=False
            )
        plain = self.kind != "florence2"
        found = self._processor.batch_decode(tokens, skip_special_tokens=plain)
        return [self._clean(text, prompt) for text in found]

    def _clean(self, text: str, prompt: str) -> str:
        for mark in _SPECIAL if self.kind == "florence2" else ():
            text = text.replace(mark, "")
        text = " ".join(text.split())
        if self.kind == "blip-2" and prompt:
            # BLIP-2 repeats a question before its answer; BLIP's prompt begins the caption.
            text = text.removeprefix(prompt).strip()
        return text


def _device(options: CaptionOptions, torch: Any) -> torch.device:
    mps = torch.backends.mps.is_available()
    if options.device == "gpu" and not (torch.cuda.is_available() or mps):
        raise fail("no_gpu", "No GPU was found; choose the processor or auto.", setting="device")
    if options.device == "cpu":
        return torch.device("cpu")
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")


def _dtype(options: CaptionOptions, device: torch.device, torch: Any) -> torch.dtype:
    if options.dtype != "auto":
        return getattr(torch, options.dtype)
    if device.type == "cuda":
        return getattr(torch, best_precision("cuda"))
    return torch.float16 if device.type == "mps" else torch.float32


def _damaged(folder: Path, error: Exception) -> Exception:
    words = " ".join(str(error).split())
    return fail(
        "captioner_damaged",
        f"The captioner in {folder} cannot be loaded; fetch its files again.",
        detail=f"({type(error).__name__}: {words[:300]})",
        file=str(folder),
    )
