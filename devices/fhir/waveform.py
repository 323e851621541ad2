"""A `Waveform` as PhdRtsaObservation (SampledData), and back.

Source: HL7 Personal Health Device implementation guide 2.0.0, profile PhdRtsaObservation; FHIR R4, SampledData: the
words E (error), U (above) and L (below) stand for samples without a number. The scale is that of the device, as the
guide recommends, so samples are written as they were sent; the limits are of that scale too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from devices.errors import BadValue
from devices.fhir import status
from devices.fhir.base_observation import SESSION_TAG, SLOT_TAG, UNIT_TAG, Sender, base, key_of
from devices.fhir.coding import MDC, UCUM, Resource, code_in, concept
from devices.fhir.coincident import coincident_time_stamp
from devices.fhir.identifier import Record, record_in
from devices.fhir.resource_parts import context_in, device_of, tag_in, time_of, understood
from devices.observation import fact_names
from devices.waveform import Waveform

_REFS: Final = {150452: "MDC_PULS_OXIM_PLETH", 131329: "MDC_ECG_ELEC_POTL_I"}
_WORDS: Final = {"unsuccessful": "E", "positive-infinity": "U", "negative-infinity": "L"}
_REASONS: Final = {word: reason for reason, word in _WORDS.items()}
MOST_SAMPLES: Final = 1_000_000
_NOTHING: Final[dict[str, Any]] = {"period": 1.0, "samples": ()}
"""Withheld, or there were none: no samples, no scale and no pace."""


def is_waveform(resource: Resource) -> bool:
    """Is it an Observation of samples?"""
    profiles = resource.get("meta", {}).get("profile", ())
    return "valueSampledData" in resource or any(str(one).endswith("/PhdRtsaObservation") for one in profiles)


def waveform_resources(waveform: Waveform, sender: Sender) -> list[Resource]:
    """The Observation, and the coincident time stamp where there is one. None for what `status.why_withheld` names.

    KeyError: a fact that is not in our table.
    """
    if status.why_withheld(waveform) is not None:
        return []
    bits = waveform.fact_bits()
    coincident = coincident_time_stamp(waveform, sender)
    ref = _REFS.get(waveform.kind, "")
    found = base(
        waveform,
        sender,
        concept(MDC, str(waveform.kind), display=ref, text=ref),
        profiles=("PhdRtsaObservation",),
        bits=bits,
        coincident=None if coincident is None else key_of(coincident),
    )
    withheld = status.absence(bits)
    if withheld is not None:
        found["dataAbsentReason"] = status.withheld_reason(withheld)
    elif not waveform.samples:
        found["dataAbsentReason"] = status.absent_reason("not-sent")
    else:
        found["valueSampledData"] = _sampled(waveform)
    return [found] if coincident is None else [found, coincident]


def _quantity(value: float, ucum: str) -> Resource:
    return {"value": value, "unit": ucum, "system": UCUM, "code": ucum}


def _sampled(waveform: Waveform) -> Resource:
    words = [
        _WORDS.get(waveform.absent.get(index, ""), "E") if sample is None else _word(sample)
        for index, sample in enumerate(waveform.samples)
    ]
    found: Resource = {
        "origin": _quantity(waveform.origin, waveform.unit),
        "period": waveform.period,
        "factor": waveform.factor,
        "dimensions": 1,
        "data": " ".join(words),
    }
    for name, end in (("lowerLimit", waveform.low), ("upperLimit", waveform.high)):
        if end is not None:
            found[name] = end
    return found


def _word(sample: float) -> str:
    """Without an exponent, and with a point where it is no integer: so it comes back as what it was."""
    word = f"{Decimal(repr(sample)):f}"
    return word if isinstance(sample, int) or "." in word else f"{word}.0"


def waveforms_in(resources: Iterable[Resource], devices: Mapping[str, str] | None = None) -> tuple[Waveform, ...]:
    """The waveforms among the resources, in their order; others are passed by.

    devices: what a reference to a Device stands for, for resources that do not say it.  BadValue: names the element.
    """
    found = []
    for resource in resources:
        try:
            if resource.get("resourceType") == "Observation" and is_waveform(resource):
                found.append(_read(resource, devices or {}))
        except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
            raise BadValue(str(error), field="Observation") from error
    return tuple(found)


def _read(resource: Resource, devices: Mapping[str, str]) -> Waveform:
    understood(resource)
    code = code_in(resource.get("code"), MDC) or ""
    if not (code.isascii() and code.isdecimal()):
        raise BadValue("what is sampled has no code of the nomenclature", field="code")
    record = record_in(resource) or Record(device_of(resource, devices), int(code), None, 0)
    slot = tag_in(resource, SLOT_TAG)
    sampled = resource.get("valueSampledData")
    facts = fact_names(status.facts_in(resource))
    shared: dict[str, Any] = {
        "device": record.device,
        "kind": record.kind,
        "device_at": record.device_at,
        "record_no": record.record_no,
        "slot": None if slot is None else int(slot),
        "session": tag_in(resource, SESSION_TAG),
        "measured_at": time_of(resource),
        "facts": facts,
        "context": context_in([resource]),
    }
    found = Waveform(
        **shared,
        **(_values(sampled) if sampled is not None else {"unit": tag_in(resource, UNIT_TAG) or "1", **_NOTHING}),
    )
    try:
        # as strict as what arrives in JSON
        return msgspec.convert(msgspec.to_builtins(found), Waveform)
    except msgspec.ValidationError as error:
        raise BadValue(str(error), field="Observation") from error


def _values(sampled: Resource) -> dict[str, Any]:
    origin = sampled["origin"] if isinstance(sampled.get("origin"), dict) else {}
    if origin.get("system") != UCUM or not isinstance(origin.get("code"), str):
        raise BadValue("its unit is not of UCUM", field="valueSampledData.origin")
    if sampled.get("dimensions") != 1:
        raise BadValue("more than one number a moment", field="valueSampledData.dimensions")
    words = str(sampled.get("data", "")).split(" ") if sampled.get("data") else []
    if len(words) > MOST_SAMPLES:
        raise BadValue(f"{len(words)} samples", field="valueSampledData.data")
    samples = tuple(None if word in _REASONS else _sample(word) for word in words)
    return {
        "unit": origin["code"],
        "origin": _number(origin.get("value", 0), "valueSampledData.origin"),
        "factor": _number(sampled.get("factor", 1), "valueSampledData.factor"),
        "period": _number(sampled.get("period"), "valueSampledData.period"),
        "low": _limit(sampled, "lowerLimit"),
        "high": _limit(sampled, "upperLimit"),
        "samples": samples,
        "absent": {index: _REASONS[word] for index, word in enumerate(words) if word in _REASONS},
    }


def _limit(sampled: Resource, name: str) -> float | None:
    return None if name not in sampled else _number(sampled[name], f"valueSampledData.{name}")


def _number(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadValue(f"{str(value)[:64]!r} is no number", field=field)
    return float(value)


def _sample(word: str) -> int | float:
    try:
        if word.lstrip("-").isdecimal() and word.isascii() and len(word) < 20:
            return int(word)
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(f"{word[:64]!r} is no sample", field="valueSampledData.data")
    return number
