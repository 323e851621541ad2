"""What a device says of its certification (0x2A2A), and which resolutions a scale for body composition has."""

from __future__ import annotations

import pytest

from devices.errors import BadValue, DeviceError, Truncated
from devices.gatt.body_composition import BodyCompositionFeature
from devices.gatt.regulatory import Certification, RegulatoryCertification

LIST = "0002 0014 0201000a 0105 0002 0004 8007 800f 02020002 8000"


def test_a_list_of_certifications_names_the_guideline_and_the_devices() -> None:
    found = RegulatoryCertification.decode(bytes.fromhex(LIST))
    assert found.certifications == (
        Certification(2, 1, bytes.fromhex("0105000200048007800f")),
        Certification(2, 2, bytes.fromhex("8000")),
    )
    assert (found.continua_version, found.continua_devices, found.regulated) == ("1.5", (0x8007, 0x800F), False)
    assert found.encode() == bytes.fromhex(LIST)


def test_a_list_may_be_empty_or_of_others() -> None:
    empty = RegulatoryCertification.decode(bytes(4))
    assert (empty.certifications, empty.continua_version, empty.continua_devices, empty.regulated) == (
        (),
        None,
        (),
        None,
    )
    other = RegulatoryCertification.decode(bytes.fromhex("0001 0006 01010002 abcd"))
    assert (other.certifications, other.continua_version) == ((Certification(1, 1, b"\xab\xcd"),), None)


def test_the_placeholder_of_radio_kits_is_one_certification_without_a_list() -> None:
    octets = b"\xfe\x00experimental"
    found = RegulatoryCertification.decode(octets)
    assert (found.bare, found.certifications) == (True, (Certification(0xFE, 0, b"experimental"),))
    assert found.encode() == octets


@pytest.mark.parametrize(
    ("octets", "error", "field"),
    [
        ("", Truncated, "count"),
        ("0002", Truncated, "length"),
        ("00020014 0201", Truncated, "certifications"),
        ("00010004 02010002", Truncated, "certifications"),
        ("00010005 01010002 ab", Truncated, "certifications"),
        ("00010007 01010002 abcdef", BadValue, "length"),
        ("fe01", Truncated, "length"),
    ],
)
def test_a_list_that_does_not_add_up_is_refused(octets: str, error: type[DeviceError], field: str) -> None:
    with pytest.raises(error) as caught:
        RegulatoryCertification.decode(bytes.fromhex(octets))
    assert caught.value.field == field


def test_what_follows_a_list_is_left_over() -> None:
    assert RegulatoryCertification.decode(bytes.fromhex(LIST + "aa")).trailing == b"\xaa"


@pytest.mark.parametrize(
    ("features", "mass", "height"),
    [
        (0x00000, (None, None), (None, None)),
        (0x00800, (0.5, 1.0), (None, None)),
        (0x03800, (0.005, 0.01), (None, None)),
        (0x04000, (None, None), (None, None)),
        (0x08000, (None, None), (0.01, 1.0)),
        (0x1B7FF, (0.01, 0.02), (0.001, 0.1)),
        (0x20000, (None, None), (None, None)),
    ],
)
def test_the_resolutions_of_a_composition_are_looked_up(
    features: int, mass: tuple[float | None, ...], height: tuple[float | None, ...]
) -> None:
    found = BodyCompositionFeature(features=features)
    assert (found.mass_resolution, found.height_resolution) == (mass, height)
