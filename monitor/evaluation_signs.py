"""Names of emergency signs as people write them, against the pack's list; form symptom codes with their severity."""

from __future__ import annotations

from typing import Final, NamedTuple

from monitor.evaluation_record import Record
from monitor.programme_pack import Pack


class Signs(NamedTuple):
    """listed: ids of the pack's list.  unlisted: names nobody knows.  ask: words and codes to ask severity of."""

    listed: frozenset[str]
    unlisted: tuple[str, ...]
    ask: tuple[str, ...]


_NONE: Final = Signs(frozenset(), (), ())


def reported_signs(pack: Pack, record: Record) -> Signs:
    """What was reported as an emergency sign, and what only looks like one.

    A form symptom code becomes its sign with severity "severe" only; without a severity the nurse is asked
    (everyday codes and the emergency list overlap in the edition).
    """
    if not record.signs and not record.symptoms:
        return _NONE
    known = {_plain(name): sign.id for sign in pack.signs for name in (sign.id, sign.zh, sign.en, *sign.aliases)}
    everyday = {_plain(name) for name in pack.ask_about}
    listed: set[str] = set()
    unlisted: list[str] = []
    ask: list[str] = []
    for name in sorted(record.signs):
        plain = _plain(name)
        found = known.get(plain) or known.get(plain.removesuffix("s")) or known.get(f"{plain}s")
        if found:
            listed.add(found)
        elif plain in everyday:
            ask.append(name)
        else:
            unlisted.append(name)
    for sign in pack.signs:
        if set(sign.symptom_codes) & set(record.symptoms):
            if record.symptom_severity == "severe":
                listed.add(sign.id)
            elif record.symptom_severity is None:
                ask.append(sign.id)
    return Signs(frozenset(listed), tuple(unlisted), tuple(ask))


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").replace("_", " ").replace("/", " ").split())
