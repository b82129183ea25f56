"""`{trigger}` in sample prompts: whose words come in, and what is said where none does."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.job import defaults, set_path, validate
from core.config.trigger_words import fill, phrase_of, proposed_word, triggers_of
from core.errors import Problem


def data_with(*concepts: tuple[str, str, str], prompt: str = "") -> dict[str, Any]:
    """Plain data of a job: concepts as (name, kind, trigger), and one sample prompt."""
    data = set_path(defaults(), "model.base", "base.safetensors")
    for index, (name, kind, trigger) in enumerate(concepts):
        for part, value in (
            *(("name", name), ("path", f"/pictures/{name or 'folder'}"), ("kind", kind)),
            ("prompt.trigger", trigger),
        ):
            data = set_path(data, f"concepts.{index}.{part}", value)
    return set_path(data, "sampling.prompts.0.prompt", prompt) if prompt else data


def told(data: dict[str, Any]) -> list[Problem]:
    return [p for p in validate(data)[1] if p.code.startswith("trigger")]


CONCEPTS = (("robot", "train", "zxr"), ("cat", "train", "zxc"), ("old", "prior", "zxo"))


def test_only_the_words_of_learned_concepts_come_in() -> None:
    data = data_with(*CONCEPTS, ("test", "validation", "zxt"))
    data = set_path(data, "concepts.1.enabled", False)
    triggers = triggers_of(data["concepts"])
    assert phrase_of(triggers) == "zxr"
    assert fill("{trigger} in rain", triggers).text == "zxr in rain"


@pytest.mark.parametrize(
    ("prompt", "text", "empty"),
    [
        ("{trigger}, in rain", "zxr, zxc, in rain", ()),
        ("{trigger:cat} beside {trigger:Robot}", "zxc beside zxr", ()),
        ("{trigger:old}, in rain", "in rain", ("{trigger:old}",)),
        ("photo of {trigger:dog} in rain", "photo of in rain", ("{trigger:dog}",)),
        ("no word", "no word", ()),
    ],
)
def test_the_places_are_filled(prompt: str, text: str, empty: tuple[str, ...]) -> None:
    filled = fill(prompt, triggers_of(data_with(*CONCEPTS)["concepts"]))
    assert (filled.text, filled.empty) == (text, empty)


def test_previews_that_would_never_name_the_subject_are_told_with_a_proposed_word() -> None:
    data = data_with(("Red Robot", "train", ""), prompt="{trigger}, in rain")
    [problem] = told(data)
    assert problem.code == "trigger_empty" and problem.severity == "warning"
    assert problem.setting == "concepts.0.prompt.trigger"
    assert proposed_word("Red Robot") == "rdrbtx" and "rdrbtx" in problem.title
    assert told(set_path(data, "concepts.0.prompt.trigger", "rdrbtx")) == []
    assert told(set_path(data, "sampling.every_unit", "never")) == []
    assert told(set_path(data, "sampling.prompts.0.prompt", "a robot in rain")) == []


def test_a_name_that_no_learned_concept_has_is_told_where_it_is_written() -> None:
    [problem] = told(data_with(*CONCEPTS, prompt="{trigger:dog} in rain"))
    assert problem.code == "trigger_unknown" and "dog" in problem.title
    assert problem.setting == "sampling.prompts.0.prompt"


@pytest.mark.parametrize("name", ["", "猫", "a", "été"])
def test_a_word_is_proposed_for_any_name(name: str) -> None:
    assert proposed_word(name).isascii() and len(proposed_word(name)) >= 3


def test_a_named_concept_is_found_whatever_the_unicode_form_case_and_spaces() -> None:
    triggers = triggers_of(data_with(("Caf\u00e9 Robot", "train", "zxk"))["concepts"])
    assert fill("{trigger:cafe\u0301  ROBOT}, rain", triggers).text == "zxk, rain"
