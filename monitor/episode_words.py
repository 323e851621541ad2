"""The sentence of an episode: its first reading, what came after, the line they reached, and the latest calm reading.

A function of the set of readings: the first of the gravest speaks, the latest repeat stands beside it, and where a
third one was graver than both it is named too, so that a milder repeat hides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from monitor.evaluation_finding import Told
from monitor.sentences import Language, when_text

_LONGEST_FIRST: Final = (
    ("days", timedelta(days=1)),
    ("hours", timedelta(hours=1)),
    ("minutes", timedelta(minutes=1)),
)
_AFTER: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "at_once": "，随即复测 {shown}",
        "minutes": "，{n} 分钟后复测 {shown}",
        "hours": "，{n} 小时后复测 {shown}",
        "days": "，{n} 天后复测 {shown}",
        "many": "（共 {n} 组）",
        "many_worst": "（共 {n} 组，最重 {worst}）",
        "latest": "最近一次 {when} 测得 {shown}。",
        "latest_below": "最近一次 {when} 测得 {shown}，未到这条线。",
    },
    "en": {
        "at_once": ", {shown} again at once",
        "minutes": ", {shown} {n} min later",
        "hours": ", {shown} {n} h later",
        "days": ", {shown} {n} d later",
        "many": " ({n} in all)",
        "many_worst": " ({n} in all, worst {worst})",
        "latest": " Latest {when}: {shown}.",
        "latest_below": " Latest {when}: {shown}, not at that line.",
    },
}


class Said(NamedTuple):
    """One reading (or session) of an episode as the sentence needs it. excess: how far beyond its line, as a ratio."""

    measured_at: datetime
    shown: str
    excess: float


class Latest(NamedTuple):
    """A later reading that asks for nothing. below: it does not meet the line of the episode."""

    measured_at: datetime
    shown: str
    below: bool


def episode_sentence(told: Told, said: Sequence[Said], latest: Latest | None, language: Language) -> str:
    """The sentence of `said` (by time, at least one), whose first reading was told as `told`."""
    return told.head + repeats_text(said, language) + told.tail + latest_text(latest, language) + told.note


def repeats_text(said: Sequence[Said], language: Language) -> str:
    """What is said after the first reading; empty when it is the only one."""
    if len(said) < 2:
        return ""
    first, last, words = said[0], said[-1], _AFTER[language]
    span = last.measured_at - first.measured_at
    word, n = next(((word, span // unit) for word, unit in _LONGEST_FIRST if span >= unit), ("at_once", 0))
    text = words[word].format(n=n, shown=last.shown)
    if len(said) == 2:
        return text
    worst = max(said, key=lambda one: one.excess)
    hidden = worst.excess > max(first.excess, last.excess) and worst.shown not in {first.shown, last.shown}
    return text + words["many_worst" if hidden else "many"].format(n=len(said), worst=worst.shown)


def latest_text(latest: Latest | None, language: Language) -> str:
    """The latest value where it is not one of the episode's own."""
    if latest is None:
        return ""
    when = when_text(latest.measured_at.date(), latest.measured_at)
    return _AFTER[language]["latest_below" if latest.below else "latest"].format(when=when, shown=latest.shown)
