"""Real-time sample arrays: the samples of a waveform (an oximeter's pleth, an ECG) from octets to values.

Source: ISO/IEEE 11073-20601, annex A.3 (SaSpec, ScaleRangeSpec8/16/32), clause 6.3.5 (RT-SA).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from devices.errors import BadValue
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.mder import Reader
from devices.ieee11073.objects import Metric
from devices.medfloat import decode_float

_SPECIFICATION: Final = struct.Struct(">HBBH")
_SCALES: Final = {Attr.SCALE_SPECN_I8: "B", Attr.SCALE_SPECN_I16: "H", Attr.SCALE_SPECN_I32: "I"}


class Waveform(NamedTuple):
    """How an array is built. size: samples in it.  bits: of a sample.  significant: of these, the lowest.
    slope, offset: value = sample * slope + offset, in the object's unit."""

    size: int
    bits: int
    significant: int
    slope: float
    offset: float


def waveform_of(metric: Metric) -> Waveform:
    """From the object's Sa-Specification and its scale. BadValue: one is missing or makes no sense. Truncated."""
    attributes = {one.id: one.value for one in metric.attributes}
    if metric.object_class != ObjectClass.METRIC_SA_RT or Attr.SA_SPECN not in attributes:
        raise BadValue("no sample array, or one without a specification", field="sa-specn")
    reader = Reader(attributes[Attr.SA_SPECN])
    size, bits, significant, _ = reader.fields(_SPECIFICATION, "sa-specn")
    reader.finish("sa-specn")
    if bits not in {8, 16, 32} or not 0 < significant <= bits:
        raise BadValue(f"{significant} of {bits} bits", field="sa-specn")
    for attribute, letter in _SCALES.items():
        if attribute in attributes:
            slope, offset = _scale(attributes[attribute], struct.Struct(f">II{letter}{letter}"))
            return Waveform(size, bits, significant, slope, offset)
    raise BadValue("no scale", field="scale-specn")


def _scale(raw: bytes, layout: struct.Struct) -> tuple[float, float]:
    reader = Reader(raw)
    *words, low, high = reader.fields(layout, "scale-specn")
    reader.finish("scale-specn")
    lowest, highest = (decode_float(word).value for word in words)
    if lowest is None or highest is None or low == high:
        raise BadValue("a scale between no two numbers", field="scale-specn")
    slope = (highest - lowest) / (high - low)
    return slope, lowest - low * slope


def samples(waveform: Waveform, data: bytes) -> tuple[float, ...]:
    """The values of one Simple-Sa-Observed-Value. BadValue: not as many octets as the specification says."""
    octets = waveform.bits // 8
    if len(data) != waveform.size * octets:
        raise BadValue(f"{waveform.size} samples of {octets} octets in {len(data)}", field="simp-sa-obs-val")
    mask = (1 << waveform.significant) - 1
    letter = {8: "B", 16: "H", 32: "I"}[waveform.bits]
    raw = struct.unpack(f">{waveform.size}{letter}", data)
    return tuple((sample & mask) * waveform.slope + waveform.offset for sample in raw)
