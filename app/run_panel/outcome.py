"""What to tell about a run that ended or is in trouble, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QGuiApplication

from app.run_panel.notice import Action, Kind
from app.run_panel.parts import reveal
from app.run_panel.session import Session
from core.runs.folder import RunFolder
from core.worker import protocol


@dataclass(frozen=True)
class Offers:
    """What the panel can do; resume and accept are None while something runs.

    accept: resume with a changed model or optimizer, as the run refused to by itself.
    """

    resume: Callable[[], object] | None
    accept: Callable[[], object] | None
    kill: Callable[[], object]
    wait: Callable[[], object]
    log: Callable[[], object]
    setting: Callable[[str], object]


@dataclass(frozen=True)
class Outcome:
    """The card's content; key tells one trouble from the next."""

    kind: Kind
    title: str
    detail: str = ""
    lines: list[str] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    key: object = None


def tr(text: str) -> str:
    """Translated by Qt."""
    return QCoreApplication.translate("outcome", text)


def outcome(session: Session, offers: Offers) -> Outcome | None:
    """What the card says about a session; None while all is well."""
    if session.alive:
        return _trouble(session, offers)
    if session.refused:
        return _refused(session, offers)
    if session.death:
        return Outcome(
            "error",
            session.death,
            _kept(session),
            session.last_lines,
            [*_resume(session, offers), _log(offers)],
            ("died", session.death),
        )
    done = session.view.done
    if done is None:
        return None
    if done.status == "failed":
        return _failed(session, offers)
    if done.status == "stopped":
        title = tr("Stopped at step {0}.")
        if session.signed_out:
            title = tr("Stopped at step {0}, because the computer was shut down or you signed out.")
        title = title.format(done.step)
        actions = [*_resume(session, offers), *_lora_actions(session, done)]
        return Outcome("info", title, _lora_words(session, done), [], actions, ("stopped",))
    title = tr("Finished. The LoRA is ready.")
    actions = _lora_actions(session, done)
    return Outcome("good", title, _lora_words(session, done), [], actions, ("finished",))


def _trouble(session: Session, offers: Offers) -> Outcome | None:
    end = Action(tr("End it now"), offers.kill, "x")
    wait = Action(tr("Keep waiting"), offers.wait)
    if session.overdue:
        return Outcome(
            "warning",
            tr("The training has not stopped yet."),
            tr("It may still be saving. Ending it now loses this checkpoint. {0}").format(
                _kept(session)
            ),
            [],
            [wait, end],
            ("overdue",),
        )
    if session.silent_for:
        return Outcome(
            "warning",
            tr("The training process has given no sign of life for {0} seconds.").format(
                round(session.silent_for)
            ),
            tr("It may be waiting for a slow disk, or hang. {0}").format(_kept(session)),
            [],
            [wait, end],
            ("silent", session.silent_for),
        )
    return None


def _refused(session: Session, offers: Offers) -> Outcome:
    first, *rest = session.refused
    detail = "\n".join([first.detail, first.hint, *(p.sentence() for p in rest)]).strip()
    actions = [_setting(first.setting, offers)] if first.setting else []
    return Outcome("error", first.title, detail, [], actions, ("refused", first.title))


def _failed(session: Session, offers: Offers) -> Outcome:
    problems = [p for p in session.view.problems if isinstance(p, protocol.ProblemEvent)]
    if not problems:
        title = tr("The training failed; its log says why.")
        actions = [*_resume(session, offers), _log(offers)]
        return Outcome("error", title, _kept(session), [], actions, ("failed",))
    changed = [p for p in problems if p.code in protocol.NEEDS_CONSENT]
    if changed:
        return _changed(changed, offers)
    first = problems[-1]
    detail = " ".join(part for part in (first.detail, first.hint) if part)
    actions = [_setting(first.setting, offers)] if first.setting else []
    actions += [*_resume(session, offers), _log(offers)]
    return Outcome("error", first.title, detail, [], actions, ("failed", first.title))


def _changed(problems: list[protocol.ProblemEvent], offers: Offers) -> Outcome:
    """A resume that waits for somebody to say that the change is meant."""
    first, *rest = problems
    detail = "\n".join([first.hint, *(f"{p.title} {p.hint}" for p in rest)])
    actions = []
    if offers.accept is not None:
        actions.append(Action(tr("Accept the change and go on"), offers.accept, "play"))
    actions += [_setting(first.setting, offers), _log(offers)]
    return Outcome("error", first.title, detail, [], actions, ("changed", first.title))


def _kept(session: Session) -> str:
    step = session.view.last_checkpoint()
    if step is None:
        return tr("There is no checkpoint yet.")
    return tr("The last checkpoint is step {0}.").format(step)


def _resume(session: Session, offers: Offers) -> list[Action]:
    step = session.view.last_checkpoint()
    if step is None or offers.resume is None:
        return []
    return [Action(tr("Resume from step {0}").format(step), offers.resume, "play")]


def _log(offers: Offers) -> Action:
    return Action(tr("Show log"), offers.log, "scroll-text")


def _setting(path: str, offers: Offers) -> Action:
    return Action(tr("Go to setting"), lambda: offers.setting(path), "sliders-horizontal")


def lora_path(session: Session, done: protocol.Done) -> Path | None:
    """Where the run's LoRA lies: where the user wanted it, else in the run's folder."""
    if done.output:
        return Path(done.output)
    if done.path and session.folder is not None:
        return RunFolder(session.folder).path / done.path
    return None


def _lora_words(session: Session, done: protocol.Done) -> str:
    path = lora_path(session, done)
    return str(path) if path else tr("No LoRA was written.")


def _lora_actions(session: Session, done: protocol.Done) -> list[Action]:
    path = lora_path(session, done)
    if path is None:
        return []
    copy = QGuiApplication.clipboard
    return [
        Action(tr("Show in folder"), lambda: reveal(path), "folder-open"),
        Action(tr("Copy path"), lambda: copy().setText(str(path)), "copy"),
    ]
