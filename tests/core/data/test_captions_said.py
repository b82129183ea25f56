"""What a plan leaves out or reads by guess, and that it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.config.job import Job
from core.culling.notes import change_notes
from core.data.plan import make_plan
from core.data.types import Plan
from core.data.undecodable import known_undecodable, remember_undecodable
from core.errors import Problem

MakeJob = Callable[..., Job]
AddPicture = Callable[..., Path]


def plan_of(job: Job) -> Plan:
    return make_plan(job, bucket_step=8)


def job_of(make_job: MakeJob, **prompt: str) -> Job:
    """A job whose concept has these settings below `prompt`."""
    job = make_job()
    for name, value in prompt.items():
        setattr(job.concepts[0].prompt, name, value)
    return job


def told(plan: Plan, code: str) -> Problem:
    [problem] = [p for p in plan.problems if p.code == code]
    return problem


def test_rejected_pictures_are_not_trained(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    for name in ("a", "b", "c"):
        add_picture(f"{name}.png", caption=f"thing {name}")
    change_notes(folder, {"b.png": {"mark": "reject"}, "c.png": {"mark": "keep"}})
    plan = plan_of(make_job())
    assert [item.path.name for item in plan.items] == ["a.png", "c.png"]
    [summary] = plan.concepts
    assert (summary.pictures, summary.rejected, summary.skipped) == (2, 1, 0)
    job = make_job()
    job.concepts[0].include_rejected = True
    plan = plan_of(job)
    assert [item.path.name for item in plan.items] == ["a.png", "b.png", "c.png"]
    assert plan.concepts[0].rejected == 0


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("全身、金属、句読点。テスト", "cp932", "Shift-JIS"),
        ("赤いロボット、立っている", "euc_jp", "EUC-JP"),
        ("一个红色的机器人，站着", "gb18030", "GB18030"),
        ("ein grüner Bär", "cp1252", "Windows-1252"),
    ],
)
def test_captions_whose_encoding_was_guessed_are_listed_with_the_guess(
    folder: Path,
    make_job: MakeJob,
    add_picture: AddPicture,
    text: str,
    encoding: str,
    name: str,
) -> None:
    add_picture("a.png", caption="plain")
    add_picture("b.png", caption="x")
    (folder / "b.txt").write_bytes(text.encode(encoding))
    plan = plan_of(make_job())
    assert plan.items[1].captions == (text,)
    problem = told(plan, "caption_encoding_guessed")
    assert name in problem.title and "b.txt" in problem.title and text[:5] in problem.title
    # Chosen, nothing is left to guess.
    plan = plan_of(job_of(make_job, encoding=encoding))
    assert plan.items[1].captions == (text,)
    assert not plan.problems


def test_another_encoding_can_be_chosen(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    add_picture("a.png", caption="x")
    (folder / "a.txt").write_bytes("빨간 로봇".encode("cp949"))
    assert plan_of(job_of(make_job, encoding="cp949")).items[0].captions == ("빨간 로봇",)


def test_paragraphs_are_said_to_be_captions_of_their_own(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    paragraph = "A red robot stands in front of a white wall and looks at the camera."
    add_picture("a.png", caption=f"{paragraph}\n\n{paragraph}\n")
    add_picture("b.png", caption="red robot\nblue robot")
    problem = told(plan_of(make_job()), "captions_several_lines")
    assert problem.title.startswith("1 caption file") and "a.png" in problem.title
    assert problem.setting == "concepts.0.prompt.lines"
    assert not plan_of(job_of(make_job, lines="whole")).problems


def test_texts_of_no_picture_are_named(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    add_picture("a.png", caption="x")
    (folder / "b.txt").write_text("lost")
    problem = told(plan_of(make_job()), "captions_without_picture")
    assert "b.txt" in problem.title and problem.setting == "concepts.0.prompt.source"


def test_pictures_that_proved_damaged_are_remembered_until_they_change(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    path = add_picture("a.png", caption="x")
    add_picture("b.png", caption="x")
    remember_undecodable({path: "Its data is damaged.", folder / "gone.png": "It is gone."})
    plan = plan_of(make_job())
    assert [item.path.name for item in plan.items] == ["b.png"]
    assert plan.concepts[0].skipped == 1
    assert told(plan, "picture_unreadable").detail == "Its data is damaged."
    path.write_bytes(path.read_bytes() + b"\0")
    assert known_undecodable() == {}
    assert len(plan_of(make_job()).items) == 2


def test_what_the_system_refused_for_a_moment_is_not_remembered(add_picture: AddPicture) -> None:
    path = add_picture("a.png", caption="x")
    remember_undecodable({path: "The file cannot be read (Input/output error)."})
    assert known_undecodable() == {}


def test_a_caption_file_that_is_not_chosen_yet_is_asked_for(
    make_job: MakeJob, add_picture: AddPicture
) -> None:
    add_picture("a.png")
    problem = told(plan_of(job_of(make_job, source="single_file")), "concept_no_caption_file")
    assert "choose that file" in problem.title and not problem.detail
    assert problem.setting == "concepts.0.prompt.file"


@pytest.mark.parametrize("caption", ["a {red|blue} robot", "a __animals/*__", "{2$$a|b} robot"])
def test_choices_that_are_not_switched_on_are_named(
    make_job: MakeJob, add_picture: AddPicture, caption: str
) -> None:
    add_picture("a.png", caption=caption)
    add_picture("b.png", caption="a plain {robot} ||| of a __ kind")
    job = make_job()
    problem = told(plan_of(job), "choices_off")
    assert problem.title.startswith("1 caption") and problem.file.endswith("a.png")
    assert problem.setting == "concepts.0.caption.choices"
    job.concepts[0].caption.choices = True
    assert "choices_off" not in [p.code for p in plan_of(job).problems]


def test_a_concept_of_rejected_pictures_alone_says_why_nothing_is_left(
    folder: Path, make_job: MakeJob, add_picture: AddPicture
) -> None:
    add_picture("a.png", caption="x")
    add_picture("b.png", caption="x")
    change_notes(folder, {"a.png": {"mark": "reject"}, "b.png": {"mark": "reject"}})
    job = make_job()
    problem = told(plan_of(job), "pictures_all_rejected")
    assert problem.title.startswith("All 2 pictures")
    assert problem.setting == "concepts.0.include_rejected"
    change_notes(folder, {"b.png": {"mark": ""}})
    assert "pictures_all_rejected" not in [p.code for p in plan_of(job).problems]
