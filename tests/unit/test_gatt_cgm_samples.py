"""Where a continuous glucose sensor measures, and whether it is anybody's value, is as its feature says."""

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
        # a sensor is in no vein: published kits say so all the same, and products are built on them
        ((2, 5), GLUCOSE_INTERSTITIAL, Site.SUBCUTANEOUS),
        ((3, 2), GLUCOSE_INTERSTITIAL, Site.ALTERNATE_SITE),
        ((1, 15), GLUCOSE_INTERSTITIAL, None),
        ((10, 15), GLUCOSE_CONTROL, None),
        ((10, 5), GLUCOSE_CONTROL, Site.SUBCUTANEOUS),
        ((9, 4), GLUCOSE_CONTROL, None),
    ],
)
def test_it_is_interstitial_or_control_solution_where_the_feature_says(
    said: tuple[int, int] | None, kind: int, site: Site | None
) -> None:
    feature = None if said is None else CgmFeature(features=0, type=said[0], sample_location=said[1])
    (seen,) = observe(ONE, SOURCE, NOW, feature=feature)
    assert (seen.kind, seen.context) == (kind, None if site is None else Context(site=site))
    # nobody's blood is never judged as somebody's
    assert ("control-solution" in seen.facts) is (kind == GLUCOSE_CONTROL)
