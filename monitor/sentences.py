"""The sentence a nurse reads, in Chinese and English: when, where, what number, against what line, what to do.

The pack brings the template; the words for a boundary come from the comparison itself, so that they are always true:
>= 不低于 "at or above", > 超过 "above", <= 不高于 "at or below", < 低于 "below". Numbers are formatted here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from monitor.evaluation_condition import Witness
from monitor.evaluation_finding import Told
from monitor.evaluation_record import Measured, OutOfRange, Record
from monitor.programme_pack import Pack, Text

Language = Literal["zh", "en"]
SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""One zone since 1991, without summer time: a fixed offset needs no zone database."""

BOUNDARY: Final[dict[str, dict[str, str]]] = {
    "zh": {">=": "不低于", ">": "超过", "<=": "不高于", "<": "低于"},
    "en": {">=": "at or above", ">": "above", "<=": "at or below", "<": "below"},
}
UNIT_NAMES: Final[dict[str, str]] = {"mm[Hg]": "mmHg", "/min": "次/分", "Cel": "℃", "[degF]": "℉", "a": "岁", "d": "天"}
UNIT_NAMES_EN: Final[dict[str, str]] = UNIT_NAMES | {"/min": "/min", "Cel": "°C", "[degF]": "°F", "a": "y", "d": "days"}
_SHOWN_DECIMALS: Final[dict[str, int]] = {"mmol/L": 1, "kPa": 1, "Cel": 1, "[degF]": 1}
_CONVERTED: Final[dict[str, dict[str, str]]] = {
    "zh": {"kPa": "÷ 7.500617", "mg/dL": "× 18.0", "[degF]": "换算"},
    "en": {"kPa": "/ 7.500617", "mg/dL": "× 18.0", "[degF]": "converted"},
}
MEALS: Final[dict[str, dict[str, str]]] = {
    "zh": {"fasting": "空腹", "preprandial": "餐前", "postprandial": "餐后", "casual": "随机", "bedtime": "睡前"},
    "en": {
        "fasting": "fasting",
        "preprandial": "before a meal",
        "postprandial": "after a meal",
        "casual": "random",
        "bedtime": "bedtime",
    },
}
_COMPLICATIONS: Final[dict[str, dict[str, str]]] = {
    "zh": {"new": "出现新的并发症", "existing_worse": "原有并发症加重"},
    "en": {"new": "a new complication", "existing_worse": "an existing complication is worse"},
}
_SAID_OTHERWISE: Final = frozenset(
    {"age", "registered", "high_days", "unsatisfactory_before", "diagnosis", "first_attendance_of_year"}
)
"""Facts that the template says in its own words."""

REPEATS: Final = "{repeats}"
"""The placeholder of a template where an episode tells its repeats."""
_MEAN: Final[dict[str, str]] = {"zh": "（{n} 次平均）", "en": " (mean of {n})"}
_LATE: Final[dict[Language, str]] = {
    "zh": "迟到的读数：{measured}测，{received}才收到，已补评，不为过去呼叫。",
    "en": " Late reading: measured {measured}, received {received}; judged, nobody paged for the past.",
}
_REPEAT: Final[dict[Language, str]] = {
    "zh": "读数质量存疑，请重新测量后再判断。",
    "en": " The quality of the reading is doubtful: measure again before deciding.",
}


def number_text(value: Decimal, unit: str, *, against: Decimal | None = None) -> str:
    """The number for people: mmHg, mg/dL and rates without needless digits, mmol/L with at least one.

    against: a limit; digits are added until the rounded number stands on the same side of it as the exact one.
    """
    least = _SHOWN_DECIMALS.get(unit, 0)
    for decimals in range(least, least + 6):
        shown = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
        close = abs(shown - value) < Decimal("0.01")
        same_side = against is None or (
            (shown > against) == (value > against) and (shown < against) == (value < against)
        )
        if close and same_side:
            return f"{shown:f}"
    return f"{value:f}"


def unit_text(unit: str, language: Language) -> str:
    """The unit's everyday name, the UCUM code where there is none."""
    return (UNIT_NAMES if language == "zh" else UNIT_NAMES_EN).get(unit, unit)


def when_text(on: date, at: datetime | None) -> str:
    """Local day, and the minute where it is known."""
    return on.isoformat() if at is None else at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def witness_text(pack: Pack, witness: Witness, language: Language, *, shown: Collection[str] = ()) -> str:
    """One reason as a phrase, e.g. 体温 39.1 ℃，超过 39.0 ℃. Empty for what is no reason (a meal context).

    shown: facts whose numbers stand in the sentence already; of these only the line is said: 收缩压不低于 180 mmHg.
    """
    if witness.fact == "signs":
        sign = next(sign for sign in pack.signs if sign.id == witness.value)
        return sign.zh if language == "zh" else sign.en
    if witness.fact == "complication":
        return _COMPLICATIONS[language].get(witness.value, "")
    name = pack.facts[witness.fact].zh if language == "zh" else pack.facts[witness.fact].en
    if witness.measured is None:
        return "" if witness.value else name
    if witness.measured.beyond is not None:
        return _beyond_text(witness.measured.beyond, language)
    line = line_text(witness, language)
    if witness.fact in shown:
        return f"{name}{line}" if language == "zh" else f"{name} {line}"
    assert witness.measured.number is not None
    unit = unit_text(witness.measured.unit, language)
    value = number_text(witness.measured.number, witness.measured.unit, against=witness.limit)
    return f"{name} {value} {unit}{'，' if language == 'zh' else ', '}{line}"


def line_text(witness: Witness, language: Language) -> str:
    """The boundary of a comparison in words: 不低于 180 mmHg; a converted limit names the printed one too."""
    return f"{BOUNDARY[language][witness.op]} {_limit_text(witness, language)}"


def _limit_text(witness: Witness, language: Language, *, plain: bool = False) -> str:
    """180 mmHg, or 180 alone (plain); a converted limit names the printed one too."""
    assert witness.measured is not None
    assert witness.limit is not None
    assert witness.printed is not None
    reported, printed = witness.measured.unit, witness.printed
    unit = unit_text(reported, language)
    if printed.unit == reported:
        number = number_text(witness.limit, reported)
        return number if plain else f"{number} {unit}"
    limit = number_text(witness.limit, reported, against=witness.measured.number)
    origin = f"{number_text(printed.value, printed.unit)} {unit_text(printed.unit, language)}"
    how = f"{origin} {_CONVERTED[language].get(reported, '')}"
    return f"{limit} {unit}" + (f"（{how}）" if language == "zh" else f" ({how})")


def _beyond_text(beyond: OutOfRange, language: Language) -> str:
    if language == "zh":
        side = "高于" if beyond is OutOfRange.HI else "低于"
        return f"血糖仪显示“{beyond}”，{side}可测范围，按危急处理"
    side = "above" if beyond is OutOfRange.HI else "below"
    return f'the meter showed "{beyond}", {side} its range, handled as an emergency'


def measured_text(record: Record, language: Language, facts: Collection[str]) -> tuple[str, frozenset[str]]:
    """The numbers of a record among `facts` as a nurse would say them, and the facts said.

    血压 150/95 mmHg, 血糖 7.8 mmol/L（空腹）; a session's mean says of how many.
    """
    parts: list[str] = []
    said: set[str] = set()
    glucose = record.quantities.get("glucose")
    if "glucose" in facts and glucose and glucose.number is not None:
        parts.append(_glucose_text(glucose, record.choices.get("glucose_context"), language))
        said.add("glucose")
    sbp, dbp = record.quantities.get("sbp"), record.quantities.get("dbp")
    if {"sbp", "dbp"} & set(facts) and sbp and dbp and sbp.number is not None and dbp.number is not None:
        pair = f"{number_text(sbp.number, sbp.unit)}/{number_text(dbp.number, dbp.unit)}"
        mean = "" if record.averaged == 1 else _MEAN[language].format(n=record.averaged)
        parts.append(f"{'血压' if language == 'zh' else 'BP'} {pair} {unit_text(sbp.unit, language)}{mean}")
        said |= {"sbp", "dbp"}
    return ("、" if language == "zh" else ", ").join(parts), frozenset(said)


def _glucose_text(glucose: Measured, context: str | None, language: Language) -> str:
    assert glucose.number is not None
    value = f"{number_text(glucose.number, glucose.unit)} {unit_text(glucose.unit, language)}"
    if language == "zh":
        return f"血糖 {value}（{MEALS['zh'].get(context or '', '餐别未知')}）"
    return f"glucose {value} ({MEALS['en'].get(context or '', 'meal unknown')})"


def short_text(record: Record, facts: Collection[str]) -> str:
    """The number of a record alone: 186/112, 3.1, HI; that of the first of `facts` where it is neither."""
    sbp, dbp = record.quantities.get("sbp"), record.quantities.get("dbp")
    if {"sbp", "dbp"} & set(facts) and sbp and dbp and sbp.number is not None and dbp.number is not None:
        return f"{number_text(sbp.number, sbp.unit)}/{number_text(dbp.number, dbp.unit)}"
    for name, measured in record.quantities.items():
        if name in facts and measured.beyond is not None:
            return str(measured.beyond)
        if name in facts and measured.number is not None:
            return number_text(measured.number, measured.unit)
    return ""


def lines_text(pack: Pack, lines: Sequence[Sequence[Witness]], language: Language, *, shown: Collection[str]) -> str:
    """The lines reached by what stands in the sentence, in brackets: （收缩压 180 或舒张压 110）.

    A line of alternatives "at or above" is said by its numbers, since the sentence says "at the line"; any other line
    says its own boundary: （血糖不高于 3.9 mmol/L）.
    """
    said = [_alternatives(pack, line, language) for line in lines if any(half.fact in shown for half in line)]
    if not said:
        return ""
    return f"（{'；'.join(said)}）" if language == "zh" else f" ({'; '.join(said)})"


def _alternatives(pack: Pack, line: Sequence[Witness], language: Language) -> str:
    plain = len(line) > 1 and all(half.op == ">=" for half in line)
    halves = []
    for half in line:
        name = pack.facts[half.fact].zh if language == "zh" else pack.facts[half.fact].en
        boundary = _limit_text(half, language, plain=True) if plain else line_text(half, language)
        halves.append(f"{name} {boundary}" if plain or language == "en" else f"{name}{boundary}")
    return (" 或" if language == "zh" else " or ").join(halves)


def fill(template: Text, values: Mapping[Language, Mapping[str, str]]) -> tuple[Told, Told]:
    """(Chinese, English) sentence of a template, in parts where it has a place for repeats.

    values: by language and placeholder.
    """
    return _filled(template.zh, values["zh"]), _filled(template.en, values["en"])


def _filled(template: str, values: Mapping[str, str]) -> Told:
    head, _, tail = template.partition(REPEATS)
    return Told(head.format_map(values), tail.format_map(values))


def evidence_text(pack: Pack, witnesses: Sequence[Witness], language: Language, *, shown: Collection[str] = ()) -> str:
    """The reasons joined; `shown`: facts whose numbers stand before them in the sentence already."""
    said = [witness_text(pack, w, language, shown=shown) for w in witnesses if w.fact not in _SAID_OTHERWISE]
    return ("、" if language == "zh" else "; ").join(dict.fromkeys(phrase for phrase in said if phrase))


def late_note(measured_at: datetime, now: datetime, language: Language) -> str:
    """What is added to the sentence of a reading that arrived long after it was measured."""
    return _LATE[language].format(
        measured=when_text(measured_at.date(), measured_at), received=when_text(now.date(), now.astimezone(UTC))
    )


def repeat_note(language: Language) -> str:
    """What is added to the sentence of a reading whose quality is doubtful."""
    return _REPEAT[language]
