"""Languages of the window: Qt translators and the translation of schema strings."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from core.paths import resources_dir

_PREFIX = "limner_"


def schema(text: str) -> str:
    """A title, help text, unit, group or choice of the settings schema, translated."""
    return QCoreApplication.translate("schema", text) if text else ""


def folder() -> Path:
    """Where the compiled translations lie (may not exist)."""
    return resources_dir() / "i18n"


def languages() -> dict[str, str]:
    """Locale name -> the language's own name, of what can be chosen besides English."""
    names = sorted(path.stem.removeprefix(_PREFIX) for path in folder().glob(f"{_PREFIX}*.qm"))
    return {name: QLocale(name).nativeLanguageName().capitalize() for name in names}


def counted(text: str, number: int) -> str:
    """A translated text with `%n` already replaced, in its English plural where it is English.

    `counted(self.tr("%n picture(s)", "", n), n)` gives `1 picture` and `2 pictures`.
    Translations have plural forms of their own and no `(s)`.
    """
    return text.replace("(s)", "" if number == 1 else "s")


class Translators:
    """Keeps the translators alive that are installed into the application."""

    def __init__(self, app: QCoreApplication) -> None:
        self._app = app
        self._installed: list[QTranslator] = []

    def install(self, language: str) -> bool:
        """Use `language` (a locale name; `system` follows the computer, `en` is the source).

        Returns whether translations of Limner's own texts were found for it.
        """
        for translator in self._installed:
            self._app.removeTranslator(translator)
        self._installed.clear()
        locale = QLocale.system() if language == "system" else QLocale(language)
        if language == "en":
            return False
        own = QTranslator()
        found = own.load(locale, "limner", "_", str(folder()), ".qm")
        if found:
            self._add(own)
            # Qt's own texts (standard buttons, file dialogs) only together with ours: a window
            # in two languages at once is worse than one in English.
            qt = QTranslator()
            where = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
            if qt.load(locale, "qtbase", "_", where):
                self._add(qt)
        return found

    def _add(self, translator: QTranslator) -> None:
        self._app.installTranslator(translator)
        self._installed.append(translator)
