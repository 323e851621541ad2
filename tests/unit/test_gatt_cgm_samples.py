"""What a continuous glucose sensor measures, and where, is as its feature says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.catalogue import observe
from devices.clock import Moment
from devices.gatt.cgm import CgmFeature, CgmMeasurement, CgmRecord
from devices.gatt.record import DeviceFacts
from devices.medfloat import sfloat
from devices.nomenclature import GLUCOSE_CONTROL, GLUCOSE_INTERSTITIAL
from devices.observation import Context, Site

NOW = Moment(datetime(2026, 3, 5, 14, 0, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")
ONE = CgmMeasurement(records=(CgmRecord(concentration=sfloat(104), time_offset=15),))


@pytest.mark.parametrize(
    ("said", "kind", "site"),
    [
        (None, GLUCOSE_INTERSTITIAL, Site.SUBCUTANEOUS),
        ((9, 5), GLUCOSE_INTERSTITIAL, Site.SUBCUTANEOUS),
        ((9, 15), GLUCOSE_INTERSTITIAL, None),
        ((0, 0), GLUCOSE_INTERSTITIAL, None),
        # no blood under the skin, whatever kind the sensor is calibrated to show
        ((2, 5), GLUCOSE_INTERSTITIAL, Site.SUBCUTANEOUS),
        ((3, 15), 160192, None),
        ((1, 1), 160184, Site.FINGER),
        ((10, 15), GLUCOSE_CONTROL, None),
        ((10, 5), GLUCOSE_CONTROL, Site.SUBCUTANEOUS),
        ((9, 4), GLUCOSE_CONTROL, None),
    ],
)
def test_kind_and_site_are_those_of_the_feature(said: tuple[int, int] | None, kind: int, site: Site | None) -> None:
    feature = None if said is None else CgmFeature(features=0, type=said[0], sample_location=said[1])
    (seen,) = observe(ONE, SOURCE, NOW, feature=feature)
    assert (seen.kind, seen.context) == (kind, None if site is None else Context(site=site))
    # nobody's blood is never judged as somebody's
    assert ("control-solution" in seen.facts) is (kind == GLUCOSE_CONTROL)
