"""What a plan has to say about files and concepts: each problem in one place, in its words."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from core.config.concepts import Concept
from core.data.companions import MASK
from core.data.textfile import CaptionText
from core.data.types import Bucket, Item
from core.errors import Problem

log = logging.getLogger(__name__)

# This many files are named one by one for each kind of trouble; the rest is only counted.
NAMED_AT_MOST = 50


ALL_NAMED = "limner check --json and the log of a run name them all."


def more_files(code: str, count: int, title: str, setting: str = "") -> Problem:
    """How many files of a kind of trouble are not named. title: with a place for the number."""
    return Problem(
        code=code,
        title=title.format(count),
        hint=ALL_NAMED,
        severity="warning",
        setting=setting,
    )


def log_unnamed(problem: Problem) -> None:
    """Write down a problem that is told nowhere else, since there are too many of its kind."""
    log.info("%s [%s]", problem.sentence(), problem.file)


class Notes:
    """Collects problems; only the first few files of each kind are named one by one.

    unnamed: the problems of the others, which the log and `limner check --json` tell.
    """

    def __init__(self) -> None:
        self._all: list[Problem] = []
        self._named: dict[tuple[str, str], int] = {}
        self.unnamed: list[Problem] = []

    def add(self, *problems: Problem) -> None:
        """Problems that are few by their nature."""
        self._all += problems

    def add_file(self, problem: Problem) -> None:
        """A problem of one file among many."""
        kind = (problem.code, problem.setting)
        self._named[kind] = self._named.get(kind, 0) + 1
        if self._named[kind] <= NAMED_AT_MOST:
            self._all.append(problem)
        else:
            log_unnamed(problem)
            self.unnamed.append(problem)

    def has_errors(self) -> bool:
        """Whether anything forbids training."""
        return any(problem.severity == "error" for problem in self._all)

    def problems(self) -> tuple[Problem, ...]:
        """Errors first, then warnings, each in the order of the concepts."""
        rest = [
            more_files(
                code,
                count - NAMED_AT_MOST,
                "{} more files have the same kind of trouble.",
                setting,
            )
            for (code, setting), count in self._named.items()
            if count > NAMED_AT_MOST
        ]
        return tuple(sorted([*self._all, *rest], key=lambda problem: problem.severity))


def concept_name(index: int, concept: Concept) -> str:
    """How a concept is called: its name, else its folder's, else its number."""
    return concept.name.strip() or Path(concept.path).name or f"number {index + 1}"


def unreadable_picture(path: Path, reason: str, concept: int) -> Problem:
    """The warning about a picture that is left out."""
    return Problem(
        code="picture_unreadable",
        title=f"{path.name} cannot be used and is left out; fix or remove it.",
        detail=reason,
        severity="warning",
        setting=f"concepts.{concept}.path",
        file=str(path),
    )


def unconverted_picture(path: Path, colours: str, concept: int) -> Problem:
    """The warning about a picture whose colours are trained other than they are meant."""
    return Problem(
        code="picture_colours",
        title=f"{path.name} has {colours}, which cannot be converted, so its colours and "
        "brightness will be wrong; export it as sRGB.",
        severity="warning",
        setting=f"concepts.{concept}.path",
        file=str(path),
    )


def small_picture(path: Path, size: tuple[int, int], bucket: Bucket, concept: int) -> Problem:
    """The warning about a picture that is left out for its size."""
    return Problem(
        code="picture_small",
        title=f"{path.name} is left out, because its {size[0]}x{size[1]} pixels are fewer than "
        f"those of its bucket, {bucket}.",
        severity="warning",
        setting=f"concepts.{concept}.small",
        file=str(path),
    )


def unreadable_mask(mask: Path, picture: Path, reason: str, concept: int) -> Problem:
    """The warning about a picture that is left out for its mask."""
    return Problem(
        code="mask_unreadable",
        title=f"{picture.name} is left out, because its mask {mask.name} cannot be used; fix or "
        "remove the mask.",
        detail=reason,
        severity="warning",
        setting=f"concepts.{concept}.mask.source",
        file=str(mask),
    )


def black_mask(item: Item) -> Problem:
    """The warning about a picture of which nothing would be learned."""
    return Problem(
        code="mask_black",
        title=f"{item.path.name} is left out: its mask is black all over its crop, so that "
        "nothing of it would be learned.",
        hint="Fix the mask, or give the part outside it some weight.",
        severity="warning",
        setting=f"concepts.{item.concept}.mask.source",
        file=str(item.mask or item.path),
    )


def odd_mask(
    mask: Path, mask_size: tuple[int, int], size: tuple[int, int], concept: int
) -> Problem:
    """The warning about a mask that has another shape than its picture."""
    return Problem(
        code="mask_shape",
        title=f"The mask {mask.name} of {mask_size[0]}x{mask_size[1]} has another shape than its "
        f"picture of {size[0]}x{size[1]} and is stretched over it; make it again if that is wrong.",
        severity="warning",
        setting=f"concepts.{concept}.mask.source",
        file=str(mask),
    )


def unreadable_caption(path: Path, reason: str, concept: int) -> Problem:
    """The warning about a picture whose caption cannot be read."""
    return Problem(
        code="caption_unreadable",
        title=f"The caption of {path.name} cannot be read and counts as missing; fix its file.",
        detail=reason,
        severity="warning",
        setting=f"concepts.{concept}.prompt.source",
        file=str(path),
    )


def unreadable_captions(name: str, index: int, concept: Concept, reason: str) -> Problem:
    """The error about a whole concept's captions."""
    table = concept.prompt.source == "metadata"
    if not table and not concept.prompt.file.strip():
        return Problem(
            code="concept_no_caption_file",
            title=f"Concept {name} takes its captions from one file; choose that file.",
            setting=f"concepts.{index}.prompt.file",
        )
    return Problem(
        code="caption_table_unreadable" if table else "caption_file_unreadable",
        title=f"The {'table of captions' if table else 'caption file'} of concept {name} cannot be "
        "read; choose it again.",
        detail=reason,
        setting=f"concepts.{index}.prompt.{'table' if table else 'file'}",
        file=concept.prompt.table if table else concept.prompt.file,
    )


def missing_captions(
    name: str, index: int, concept: Concept, missing: Sequence[Path], count: int
) -> Problem:
    """The warning about a concept's pictures without captions."""
    trigger = concept.prompt.trigger.strip()
    used = "measured" if concept.kind == "validation" else "trained"
    instead = f"the trigger word {trigger!r} alone" if trigger else "an empty caption"
    return Problem(
        code="captions_missing",
        title=f"{_share(missing, count, name)} {_word(missing, 'has', 'have')} no caption and will "
        f"be {used} with {instead}.",
        severity="warning",
        setting=f"concepts.{index}.prompt.source",
        file=str(missing[0]),
    )


_ENCODING_NAMES = {
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "gb18030": "GB18030 (Chinese)",
    "cp1252": "Windows-1252 (Western European)",
}


def guessed_encodings(name: str, index: int, guesses: Mapping[Path, CaptionText]) -> Problem:
    """The warning about caption files whose encoding had to be guessed."""
    counts = Counter(found.encoding for found in guesses.values())
    several = len(counts) > 1
    read = ", ".join(
        (f"{number} " if several else "") + f"as {_ENCODING_NAMES.get(encoding, encoding)}"
        for encoding, number in counts.most_common()
    )
    path, first = next(iter(guesses.items()))
    start = " ".join(first.text.split())[:40]
    number = len(guesses)
    are = "caption of concept" if number == 1 else "captions of concept"
    return Problem(
        code="caption_encoding_guessed",
        title=f"{number} {are} {name} {'is' if number == 1 else 'are'} not UTF-8 and "
        f"{'was' if number == 1 else 'were'} read {read}, such as {path.name}: "
        f"\u201c{start}\u201d; choose the text encoding if that is wrong.",
        detail="\n".join(
            f"{p.name} ({f.encoding}): {' '.join(f.text.split())[:80]}" for p, f in guesses.items()
        ),
        severity="warning",
        setting=f"concepts.{index}.prompt.encoding",
        file=str(path),
    )


def several_lines(name: str, index: int, pictures: Sequence[Path]) -> Problem:
    """The warning about caption files whose lines are taken as alternatives."""
    number = len(pictures)
    files = "caption file" if number == 1 else "caption files"
    return Problem(
        code="captions_several_lines",
        title=f"{number} {files} of concept {name} {'has' if number == 1 else 'have'} several "
        f"paragraphs, such as that of {pictures[0].name}; each is a caption of its own, "
        "and one of them is drawn each time.",
        hint="Set Several lines to one caption where they belong together.",
        severity="warning",
        setting=f"concepts.{index}.prompt.lines",
        file=str(pictures[0]),
    )


def choices_off(name: str, index: int, pictures: Sequence[Path]) -> Problem:
    """The warning about captions whose choices and wildcards are learned as they stand."""
    one = len(pictures) == 1
    return Problem(
        code="choices_off",
        title=f"{len(pictures)} {'caption' if one else 'captions'} of concept {name} "
        f"{'has' if one else 'have'} choices or wildcards, such as that of {pictures[0].name}, "
        f"and {'is' if one else 'are'} trained as written; switch on Choices and wildcards to "
        "draw from them.",
        severity="warning",
        setting=f"concepts.{index}.caption.choices",
        file=str(pictures[0]),
    )


def lost_texts(name: str, index: int, texts: Sequence[Path]) -> Problem:
    """The warning about text files beside the pictures that no picture has for a caption."""
    shown = ", ".join(path.name for path in texts[:5])
    more = len(texts) - 5
    listed = f"{shown} and {more} more" if more > 0 else shown
    one = len(texts) == 1
    return Problem(
        code="captions_without_picture",
        title=f"{len(texts)} text {'file' if one else 'files'} in the folder of concept {name} "
        f"{'belongs' if one else 'belong'} to no picture: {listed}; "
        f"give {'it' if one else 'them'} the names of the pictures, if they are captions.",
        detail="\n".join(path.name for path in texts),
        severity="warning",
        setting=f"concepts.{index}.prompt.source",
        file=str(texts[0]),
    )


def enlarged(name: str, index: int, side: int, pictures: Sequence[Path], count: int) -> Problem:
    """The warning about a concept's pictures that are enlarged."""
    return Problem(
        code="pictures_upscaled",
        title=f"{_share(pictures, count, name)} {_word(pictures, 'is', 'are')} smaller than the "
        f"resolution of {side} and will be enlarged, which blurs {_word(pictures, 'it', 'them')}.",
        severity="warning",
        hint="Too small pictures can be left out instead.",
        setting=f"concepts.{index}.small",
        file=str(pictures[0]),
    )


def much_cut(name: str, index: int, pictures: Sequence[Path], count: int) -> Problem:
    """The warning about a concept's pictures of which the crop leaves little."""
    it, its = _word(pictures, "it", "them"), _word(pictures, "its", "their")
    return Problem(
        code="pictures_much_cut",
        title=f"{_share(pictures, count, name)} {_word(pictures, 'is', 'are')} so long and thin "
        f"that more than a third of {it} is cut off, such as {pictures[0].name}; cut {it} yourself "
        f"or set {its} focus point.",
        severity="warning",
        setting=f"concepts.{index}.path",
        file=str(pictures[0]),
    )


def left_out(name: str, index: int, side: int, left: Sequence[Path], count: int) -> Problem:
    """The warning about a concept's pictures that are left out for their size."""
    are = _word(left, "is", "are")
    return Problem(
        code="pictures_left_out",
        title=f"{_share(left, count, name)} {are} smaller than the resolution of {side} and {are} "
        "left out there.",
        severity="warning",
        setting=f"concepts.{index}.small",
        file=str(left[0]),
    )


def missing_masks(
    name: str, index: int, concept: Concept, missing: Sequence[Path], count: int
) -> Problem:
    """The warning about a concept's pictures without masks, or without transparency for one."""
    what = "mask" if concept.mask.source == "file" else "transparency"
    done = "measured" if concept.kind == "validation" else "learned"
    them = "they are"
    if len(missing) < count:
        them = _word(missing, "it is", "they are")
        title = f"{_share(missing, count, name)} {_word(missing, 'has', 'have')} no {what}"
    elif what == "mask":
        title = (
            f"Concept {name} is to be {done} by masks, but there are none, such as "
            f"{missing[0].stem}{MASK}.png beside {missing[0].name}"
        )
    else:
        title = f"Concept {name} is to be {done} by transparency, but none of its pictures has any"
    return Problem(
        code="masks_none" if len(missing) == count else "masks_missing",
        title=f"{title}; {them} {done} whole.",
        severity="warning",
        setting=f"concepts.{index}.mask.source",
        file=str(missing[0]),
    )


def empty_folder(name: str, index: int, concept: Concept) -> Problem:
    """The warning about a concept without pictures."""
    hint = "" if concept.include_subfolders else "Pictures in subfolders need With subfolders."
    return Problem(
        code="concept_empty",
        title=f"Concept {name} has no pictures in {concept.path}; choose another folder.",
        severity="warning",
        hint=hint,
        setting=f"concepts.{index}.path",
    )


def all_rejected(name: str, index: int, count: int) -> Problem:
    """The warning about a concept of which every picture is left out by its mark."""
    every = "The only picture" if count == 1 else f"All {count} pictures"
    return Problem(
        code="pictures_all_rejected",
        title=f"{every} of concept {name} {'is' if count == 1 else 'are'} marked as rejected and "
        "left out; take the mark from those to learn, or switch on Rejected pictures too.",
        severity="warning",
        setting=f"concepts.{index}.include_rejected",
    )


def no_folder(name: str, index: int) -> Problem:
    """The error about a concept without a folder."""
    return Problem(
        code="concept_no_folder",
        title=f"Concept {name} has no folder; choose the folder with its pictures.",
        setting=f"concepts.{index}.path",
    )


def nothing_to_learn(others: Collection[object]) -> Problem:
    """The error that no picture is left to learn from. others: pictures with another purpose."""
    if others:
        return Problem(
            code="no_train_pictures",
            title="There are pictures for prior or validation only, none to be learned; look at "
            "the folders of the concepts to train.",
            setting="concepts",
        )
    return Problem(
        code="no_pictures",
        title="There is no usable picture to learn from; look at the folders of the concepts.",
        setting="concepts",
    )


def trained_and_measured(name: str, index: int, pictures: Sequence[Path]) -> Problem:
    """The warning about a validation concept's pictures that are trained on as well."""
    return Problem(
        code="validation_trained",
        title=f"{len(pictures)} validation {_word(pictures, 'picture', 'pictures')} of concept "
        f"{name} {_word(pictures, 'is', 'are')} trained on too, so the loss tells nothing; move "
        f"{_word(pictures, 'it', 'them')} out of the concepts to train.",
        detail=f"Among them {_some(path.name for path in pictures[:4])}.",
        severity="warning",
        setting=f"concepts.{index}.path",
        file=str(pictures[0]),
    )


def same_resolutions(given: int, side: int) -> Problem:
    """The warning about a further resolution that adds nothing."""
    return Problem(
        code="resolution_twice",
        title=f"The further resolution {given} gives pictures of {side} px, as another one does, "
        "and is left out.",
        severity="warning",
        setting="training.more_resolutions",
    )


def _share(pictures: Sequence[Path], count: int, name: str) -> str:
    return f"{len(pictures)} of {count} pictures of concept {name}"


def _word(pictures: Sequence[Path], one: str, many: str) -> str:
    """The word that fits the number of pictures."""
    return one if len(pictures) == 1 else many


def _some(names: Iterable[str]) -> str:
    return ", ".join(names)
