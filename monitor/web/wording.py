"""How moments, waits and numbers are said: "今晨 07:42", "8 分 12 秒", "超期 2 天".

Everything is a function of the moment and of `now`; a `Texts` supplies the words. Numbers follow the rule of the
desk: bold is what was measured, a limit is not.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from markupsafe import Markup, escape

from monitor.web.texts import Texts

_MORNING: Final = 9
_EVENING: Final = 18
_DAY: Final = re.compile(r"(?:\d{4}-)?\d\d-\d\d(?: \d\d:\d\d)?")
_UNITS: Final = r"mmHg|mmol/L|mg/dL|kPa|kg|%|℃|°C|次/分|/min"
_MARKED: Final = re.compile(
    rf"{_DAY.pattern}|\d{{2,3}}/\d{{2,3}}|\d+(?:\.\d+)?(?= ?(?:{_UNITS}))|“(?:HI|LO)”|\"(?:HI|LO)\""
)
_A_LIMIT_FOLLOWS: Final = re.compile(
    r"(?:线|低于|高于|超过|达到|line|below|above|over|under|least|than|most|≥|≤|<|>)[ （(]*$", re.IGNORECASE
)

_FULL_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_FULL_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


def moment(at: datetime, now: datetime, zone: tzinfo, t: Texts) -> str:
    """When something was: 今晨 07:42, 今天 10:05, 昨晚 19:05, 昨天 08:00, 11-12 07:10, 2025-11-12 07:10."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    clock = local.strftime("%H:%M")
    if local.date() == today:
        return t("when.this_morning" if local.hour < _MORNING else "when.today", clock=clock)
    if local.date() == today - timedelta(days=1):
        return t("when.last_night" if local.hour >= _EVENING else "when.yesterday", clock=clock)
    return f"{short_day(local.date(), today)} {clock}"


def start(at: datetime, now: datetime, zone: tzinfo) -> str:
    """When something began, short: 07:42 today, 11-12 before."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    return local.strftime("%H:%M") if local.date() == today else short_day(local.date(), today)


def day(at: datetime, now: datetime, zone: tzinfo, t: Texts) -> str:
    """The day alone: 今天, 昨天, 11-12, 2025-11-12."""
    local, today = at.astimezone(zone).date(), now.astimezone(zone).date()
    if local == today:
        return t("when.day_today")
    return t("when.day_yesterday") if local == today - timedelta(days=1) else short_day(local, today)


def short_day(when: date, today: date) -> str:
    """11-12 within half a year or this calendar year, 2025-11-12 otherwise."""
    near = when.year == today.year or abs((when - today).days) < 180
    return when.strftime("%m-%d") if near else when.isoformat()


def wait(span: timedelta, t: Texts, *, seconds: bool = False) -> str:
    """How long something waits: 8 分 12 秒 (`seconds`, under an hour), 11 分, 2 小时 05 分, 3 天."""
    total = max(0, int(span.total_seconds()))
    minutes, rest = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return t("wait.days", d=hours // 24)
    if hours:
        return t("wait.hours", h=hours, m=f"{minute:02d}")
    if seconds:
        return t("wait.seconds", m=minutes, s=f"{rest:02d}") if minutes else t("wait.only_seconds", s=rest)
    return t("wait.minutes", m=minutes) if minutes else t("wait.just_now")


def due(on: date, today: date, t: Texts) -> str:
    """超期 2 天, 今天到期, 还有 3 天."""
    left = (on - today).days
    if left < 0:
        return t("wait.overdue", d=-left)
    return t("wait.due_in", d=left) if left else t("wait.due_today")


def number(value: float, places: int = 1) -> str:
    """A value as a nurse writes it: no digits after the point that say nothing (120, 67.5)."""
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def emphasise(sentence: str, css: str = "") -> Markup:
    """The sentence with what was measured in bold; a number after a word like 不低于 is a limit and stays plain.

    Dates are kept on one line.
    """
    parts: list[Markup] = []
    end = 0
    bold = Markup('<b class="num {}">{}</b>')
    whole = Markup('<span class="nowrap">{}</span>')
    for found in _MARKED.finditer(sentence):
        parts.append(escape(sentence[end : found.start()]))
        if _DAY.fullmatch(found[0]):
            parts.append(whole.format(found[0]))
        elif _A_LIMIT_FOLLOWS.search(sentence[: found.start()]):
            parts.append(escape(found[0]))
        else:
            parts.append(bold.format(css, found[0]))
        end = found.end()
    parts.append(escape(sentence[end:]))
    return Markup("").join(parts)


def nearer(sentence: str, now: datetime, zone: tzinfo, t: Texts) -> str:
    """The sentence with its dates said as a nurse says them: 2026-11-22 07:42 becomes 今晨 07:42, 2026-12-04 12-04."""
    today = now.astimezone(zone).date()

    def said(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0]).replace(tzinfo=zone)
        words = moment(at, now, zone, t)
        follows = sentence[found.end() : found.end() + 1]
        return f"{words} " if t.chinese and follows and "\u4e00" <= follows <= "\u9fff" else words

    text = _FULL_MOMENT.sub(said, sentence)
    text = _FULL_DAY.sub(lambda found: short_day(date.fromisoformat(found[0]), today), text)
    return text[:1].upper() + text[1:]
