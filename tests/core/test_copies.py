"""What Check says of pictures that are there twice, by what they are there for."""

from __future__ import annotations

from pathlib import Path

from core.config.concepts import Concept
from core.config.job import Job
from core.data.duplicates import DuplicateGroup, Duplicates, Member
from core.errors import Problem
from core.runs.copies import duplicate_problems


def told(*groups: DuplicateGroup, **kinds: str) -> list[Problem]:
    concepts = [Concept(path=f"/{name}", name=name, kind=kind) for name, kind in kinds.items()]  # type: ignore[arg-type]
    return duplicate_problems(Job(concepts=concepts), Duplicates(groups, {}))


def group(*members: tuple[int, str], best: int = 0, exact: bool = False, why: str = "first"):
    found = tuple(Member(concept, Path(name)) for concept, name in members)
    return DuplicateGroup(exact, found, best, why)  # type: ignore[arg-type]


def test_the_one_to_keep_is_named_with_the_reason():
    pair = ((0, "a/a.jpg"), (0, "a/a.png"))
    (problem,) = told(group(*pair, best=1, why="lossless"), a="train")
    assert problem.title == (
        "a.jpg and a.png (a) are nearly the same picture, which is learned more often so; keep "
        "a.png, which is stored without loss."
    )
    assert problem.file == str(Path("a/a.jpg"))
    (problem,) = told(group(*pair), a="train")
    assert problem.title.endswith("; keep one, such as a.jpg.")


def test_prior_pictures_that_are_there_twice_make_one_line_and_are_not_learned():
    groups = [group((0, f"p/{n}.png"), (0, f"p/{n} copy.png")) for n in range(30)]
    (problem,) = told(*groups, p="prior")
    assert problem.code == "prior_copied"
    assert problem.title.startswith(
        "30 prior pictures of p are copies or nearly copies of others, such as 0 copy.png"
    )
    assert "learned" not in problem.title
    assert len(problem.detail.splitlines()) == 30


def test_pictures_that_are_learned_and_prior_make_one_line():
    groups = [group((0, f"a/{n}.png"), (1, f"p/{n}.png"), exact=True) for n in range(3)]
    near = [group((0, "a/0.png"), (1, "p/0.png"), (0, "a/7.jpg"))]
    (problem,) = told(*groups, *near, a="train", p="prior")
    assert (problem.code, problem.setting) == ("prior_learned", "concepts.1.path")
    assert problem.title.startswith("3 prior pictures of p are learned as well, such as 0.png")


def test_validation_pictures_are_not_called_learned():
    members = (Member(0, Path("v/a.png"), True), Member(0, Path("v/b.png"), True))
    (problem,) = told(DuplicateGroup(False, members, 0), v="validation")
    assert "which counts more often in the validation loss so" in problem.title
