"""Every word the desk shows, by key and language: `locales/zh.yaml`, `locales/en.yaml`.

Chinese is the first language. A key that a file lacks is a programming error and raises `UnknownText`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

LANGUAGES: Final = ("zh", "en")
"""The languages a nurse may choose, the first is what she gets without choosing."""


class UnknownText(LookupError):
    """A text was asked for that no locale file has."""


class Texts:
    """The texts of one language. Call it with a key and the values of its `{blanks}`."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    @property
    def tag(self) -> str:
        """The BCP 47 tag for the `lang` attribute."""
        return "zh-CN" if self.language == "zh" else "en"

    @property
    def chinese(self) -> bool:
        """Whether the nurse reads Chinese."""
        return self.language == "zh"

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key`. UnknownText: neither language file has it. KeyError: a blank has no value."""
        try:
            text = self._texts[key]
        except KeyError:
            raise UnknownText(f"{key} ({self.language})") from None
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether there is a text for `key`: some words exist only for some enum values."""
        return key in self._texts

    def below(self, prefix: str) -> dict[str, str]:
        """All texts whose key starts with `prefix.`, by the rest of the key: what the page's script needs."""
        start = f"{prefix}."
        return {key.removeprefix(start): text for key, text in self._texts.items() if key.startswith(start)}

    @property
    def names(self) -> frozenset[str]:
        """All keys, for the check that the languages are equal."""
        return frozenset(self._texts)


@cache
def texts(language: str) -> Texts:
    """The texts of a language of `LANGUAGES`; any other word means the first."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    source = files("monitor.web").joinpath("locales", f"{chosen}.yaml").read_text(encoding="utf-8")
    return Texts(chosen, dict(_flat(yaml.safe_load(source), "")))


def _flat(tree: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            found += _flat(value, path)
        else:
            found.append((path, str(value)))
    return found
