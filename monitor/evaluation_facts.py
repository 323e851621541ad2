"""The facts a condition may look at, from one record and the person."""

from __future__ import annotations

from decimal import Decimal

from monitor.evaluation_condition import Fact, decide
from monitor.evaluation_record import Measured, Record, Resident, impossible_facts
from monitor.evaluation_signs import reported_signs
from monitor.programme_condition import CHOICES, FLAGS, Condition
from monitor.programme_pack import Pack


def facts_of(pack: Pack, resident: Resident, record: Record) -> dict[str, Fact]:
    """Facts by name; impossible numbers are left out, a flag nobody mentioned is "no", a flag given as None unknown."""
    impossible = impossible_facts(record.quantities)
    age = resident.age_on(record.on)
    signs = reported_signs(pack, record)
    facts: dict[str, Fact] = {name: m for name, m in record.quantities.items() if name not in impossible}
    facts["age"] = None if age is None else Measured(Decimal(age), "a")
    facts |= {name: record.choices.get(name) for name in CHOICES}
    facts["diagnosis"] = record.choices.get("diagnosis") or ""  # no diagnosis is known to be none, not unknown
    facts |= {name: record.flags.get(name, False) for name in FLAGS}
    facts["pregnant"] = _either(record.flags.get("pregnant"), resident.pregnant)
    facts["lactating"] = _either(record.flags.get("lactating"), resident.lactating)
    facts["registered"] = pack.eligibility.register_name in resident.registers
    facts["high_risk"] = pack.schedule.high_risk_register in resident.registers
    facts["unlisted_sign"] = bool(signs.unlisted)
    facts["signs"] = signs.listed
    return facts


def holds(pack: Pack, resident: Resident, record: Record, condition: Condition) -> bool | None:
    """Three-valued truth of a condition on one record alone."""
    return decide(condition, facts_of(pack, resident, record), pack).truth


def _either(said: bool | None, known: bool | None) -> bool | None:
    if said or known:
        return True
    return known if said is None else said
