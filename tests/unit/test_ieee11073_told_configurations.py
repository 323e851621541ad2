"""Kinds of devices without a published standard configuration: what they report under the one that they tell.

Sources: ISO/IEEE 11073-10406, -10420, -10421, -10425; 11073-10101 (terms). The octets are typed by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.gatt.record import DeviceFacts
from devices.ieee11073.attribute import Mapped
from devices.ieee11073.codes import Attr
from devices.ieee11073.fixed_reports import FixedReports
from devices.ieee11073.observing import observe
from devices.ieee11073.specializations import Row, configured
from devices.ieee11073.stamping import Heard
from devices.nomenclature import BODY_COMPOSITION, GLUCOSE_INTERSTITIAL, HEART_RATE, PEAK_FLOW

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STAMP = "2026112216000000"
STAMPED = (Mapped(Attr.NU_VAL_OBS_BASIC, 2), Mapped(Attr.TIME_STAMP_ABS, 8))


@pytest.mark.parametrize(
    ("numerics", "kind", "unit", "values"),
    [
        pytest.param([(16770, 2720, "0048")], HEART_RATE, "/min", (72.0,), id="10406-basic-ecg"),
        pytest.param([(57676, 544, "f0eb")], BODY_COMPOSITION, "%", (23.5,), id="10420-body-composition"),
        pytest.param([(21512, 3072, "01a4")], PEAK_FLOW, "L/min", (420.0,), id="10421-peak-flow-alone"),
        pytest.param(
            [(21512, 3072, "01a4"), (21513, 3072, "01f4"), (21514, 1600, "e141"), (21515, 1600, "e192")],
            PEAK_FLOW,
            "L/min",
            (420.0, 500.0, 3.21, 4.02),
            id="10421-peak-flow",
        ),
        pytest.param([(29140, 2130, "0068")], GLUCOSE_INTERSTITIAL, "mg/dL", (104.0,), id="10425-cgm"),
    ],
)
def test_a_report_under_a_configuration_that_the_agent_tells_is_one_observation(
    numerics: list[tuple[int, int, str]], kind: int, unit: str, values: tuple[float, ...]
) -> None:
    rows = [Row(handle, term, 0xF040, dimension, STAMPED) for handle, (term, dimension, _) in enumerate(numerics, 1)]
    body = "".join(f"{handle:04x} 000a {word} {STAMP} " for handle, (_, _, word) in enumerate(numerics, 1))
    report = bytes.fromhex(f"f000 0000 {len(rows):04x} {14 * len(rows):04x} {body}")
    (found,) = observe(
        FixedReports(configured(0x4000, tuple(rows))).read(report), DeviceFacts("eui64:0102030405060708"), Heard.at(NOW)
    )
    assert (found.kind, found.unit, found.device_at) == (kind, unit, datetime(2026, 11, 22, 16, 0))
    # what was not said stands for nothing at the end
    assert (found.values[: len(values)], set(found.values[len(values) :]) - {None}) == (values, set())
