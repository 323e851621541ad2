"""Real-time sample arrays: the samples of a waveform (an oximeter's pleth, an ECG) from octets to `Waveform`.

Source: ISO/IEEE 11073-20601, annex A.3 (SaSpec, ScaleRangeSpec8/16/32), clause 6.3.5 (RT-SA); how samples are scaled
and when they are signed: HL7 Personal Health Device implementation guide, RTSA observation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from devices.errors import BadValue
from devices.gatt.record import DeviceFacts, facts_of
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.mder import Reader
from devices.ieee11073.objects import Configuration, Measured, Metric, Reported
from devices.ieee11073.observing import MOST_SLOT, STATUS
from devices.ieee11073.stamping import Heard, place, stamp_in
from devices.medfloat import decode_float
from devices.observation import Fact, fact_names
from devices.units import BY_TERM
from devices.waveform import Waveform

_SPECIFICATION: Final = struct.Struct(">HBBH")
_SCALES: Final = {Attr.SCALE_SPECN_I8: "B", Attr.SCALE_SPECN_I16: "H", Attr.SCALE_SPECN_I32: "I"}
_LETTERS: Final = {8: "B", 16: "H", 32: "I"}
SIGNED: Final = 255
"""As significant bits: all of them count, in two's complement."""
_A_MILLISECOND: Final = 8
"""Sample-Period counts eighths of it."""
_VOLTS: Final = {4274: "mV", 4275: "uV"}


class Sampling(NamedTuple):
    """How an array is built. size: samples in it.  bits: of a sample.  significant: of these, the lowest, or `SIGNED`.
    factor, origin: value = sample * factor + origin, in the object's unit.  low, high: the ends of the scale."""

    size: int
    bits: int
    significant: int
    factor: float
    origin: float
    low: float
    high: float


def sampling_of(metric: Metric) -> Sampling:
    """From the object's Sa-Specification and its scale. BadValue: one is missing or makes no sense. Truncated."""
    attributes = {one.id: one.value for one in metric.attributes}
    if metric.object_class != ObjectClass.METRIC_SA_RT or Attr.SA_SPECN not in attributes:
        raise BadValue("no sample array, or one without a specification", field="sa-specn")
    reader = Reader(attributes[Attr.SA_SPECN])
    size, bits, significant, _ = reader.fields(_SPECIFICATION, "sa-specn")
    reader.finish("sa-specn")
    if not size or bits not in _LETTERS or not (0 < significant <= bits or significant == SIGNED):
        raise BadValue(f"{size} samples of {significant} of {bits} bits", field="sa-specn")
    for attribute, letter in _SCALES.items():
        if attribute in attributes:
            # scaled ends are signed where the samples are
            ends = letter.lower() if significant == SIGNED else letter
            return Sampling(size, bits, significant, *_scale(attributes[attribute], struct.Struct(f">II{ends}{ends}")))
    raise BadValue("no scale", field="scale-specn")


def _scale(raw: bytes, layout: struct.Struct) -> tuple[float, float, float, float]:
    reader = Reader(raw)
    *words, low, high = reader.fields(layout, "scale-specn")
    reader.finish("scale-specn")
    lowest, highest = (decode_float(word).value for word in words)
    if lowest is None or highest is None or low == high:
        raise BadValue("a scale between no two numbers", field="scale-specn")
    factor = (highest - lowest) / (high - low)
    return factor, lowest - low * factor, low, high


def samples(sampling: Sampling, data: bytes) -> tuple[int, ...]:
    """The samples of one Simple-Sa-Observed-Value, as sent. BadValue: not as many octets as the specification says."""
    octets = sampling.bits // 8
    if len(data) != sampling.size * octets:
        raise BadValue(f"{sampling.size} samples of {octets} octets in {len(data)}", field="simp-sa-obs-val")
    letter = _LETTERS[sampling.bits]
    if sampling.significant == SIGNED:
        return struct.unpack(f">{sampling.size}{letter.lower()}", data)
    mask = (1 << sampling.significant) - 1
    return tuple(sample & mask for sample in struct.unpack(f">{sampling.size}{letter}", data))


def has_samples(configuration: Configuration) -> bool:
    """Does the device report waveforms at all?"""
    return any(one.object_class == ObjectClass.METRIC_SA_RT for one in configuration.metrics)


def waveforms_of(reported: Iterable[Reported], source: DeviceFacts, heard: Heard) -> tuple[Waveform, ...]:
    """The waveforms in a report, person by person, numbered where one object sent several with one stamp.

    BadValue, Truncated: an array is not as its object says, or has no pace or no unit that is known.
    """
    found: list[Waveform] = []
    numbers: dict[Any, int] = {}
    for one in reported:
        person = one.person
        slot, session = person, source.session
        if person is not None and person > MOST_SLOT:
            slot, session = None, f"person-{person}"
        for measured in one.measured:
            if measured.metric.object_class == ObjectClass.METRIC_SA_RT and Attr.SIMP_SA_OBS_VAL in measured.values:
                shared = _of(measured, source, heard)
                key = (person, shared["kind"], shared["device_at"])
                numbers[key] = number = numbers.get(key, -1) + 1
                found.append(Waveform(slot=slot, session=session, record_no=number, **shared))
    return tuple(found)


def _of(measured: Measured, source: DeviceFacts, heard: Heard) -> dict[str, Any]:
    metric, values = measured.metric, measured.values
    sampling = sampling_of(metric)
    term = values.get(Attr.UNIT_CODE, metric.unit or 0)
    unit = BY_TERM[term].ucum if term in BY_TERM else _VOLTS.get(term)
    if unit is None:
        raise BadValue(f"{term} is no unit that is known here", field="unit-code")
    time = place(stamp_in(values), heard)
    facts = facts_of(values.get(Attr.MSMT_STAT, 0), STATUS) | time.facts | source.facts.value
    if measured.trailing:
        facts |= Fact.TRAILING_BYTES.value
    return {
        "device": source.device,
        "kind": metric.type.partition << 16 | (metric.ids[0] if metric.ids else metric.type.code),
        "unit": unit,
        "period": _period(metric),
        "samples": samples(sampling, values[Attr.SIMP_SA_OBS_VAL]),
        "origin": sampling.origin,
        "factor": sampling.factor,
        "low": sampling.low,
        "high": sampling.high,
        "measured_at": time.measured_at,
        "device_at": time.device_at,
        "facts": fact_names(facts),
    }


def _period(metric: Metric) -> float:
    """Milliseconds."""
    period = int.from_bytes(next((one.value for one in metric.attributes if one.id == Attr.TIME_PD_SAMP), b""))
    if not period:
        raise BadValue("no time between two samples", field="time-pd-samp")
    return period / _A_MILLISECOND
