"""Clocks behind a characteristic of the vendor's own: which one a device has, and what is written to set it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from devices.clock import DateTime
from devices.products.ascensia_contour import ASCENSIA_CONTOUR
from devices.products.caresens import CARESENS
from devices.products.known import PRODUCTS, clock_of, find

NOW = datetime(2026, 11, 22, 16, 5, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
CONTOUR = {"00000000-0002-11e2-9e96-0800200c9a66": frozenset({"00001026-0002-11e2-9e96-0800200c9a66"})}
NEW = {"c4dea010-5a9d-11e9-8647-d663bd873d93": frozenset({"c4dea3bc-5a9d-11e9-8647-d663bd873d93"})}
OLD = {"FFF0": frozenset({"FFF1"})}


def test_a_contour_is_set_to_utc_and_told_the_offset() -> None:
    clock = clock_of(CONTOUR)
    assert clock is not None
    assert clock.octets(NOW).hex(" ") == "01 ea 07 0b 16 08 05 09 e0 01"
    west = datetime(2026, 1, 1, 22, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
    assert clock.octets(west) == b"\x01" + DateTime(2026, 1, 2, 1, 30).encode() + (-210).to_bytes(
        2, "little", signed=True
    )
    assert clock.octets(NOW.astimezone(UTC))[-2:] == b"\0\0"


@pytest.mark.parametrize("services", [NEW, OLD])
def test_a_caresens_is_set_to_local_time(services: dict[str, frozenset[str]]) -> None:
    clock = clock_of(services, CARESENS)
    assert clock is not None
    assert clock.octets(NOW).hex(" ") == "c0 03 01 00 ea 07 0b 16 10 05 09"


def test_a_number_of_four_digits_is_a_clock_only_where_the_product_is_known() -> None:
    assert clock_of(OLD) is None
    assert clock_of(OLD, ASCENSIA_CONTOUR) is None
    assert clock_of(NEW) is not None


def test_a_device_without_such_a_characteristic_has_no_such_clock() -> None:
    assert clock_of({}) is None
    assert clock_of({"1808": frozenset({"2A18", "FFF1"})}, CARESENS) is None


def test_a_contour_is_found_by_what_it_says_of_itself() -> None:
    assert find("Ascensia Diabetes Care", "Contour Next One") is ASCENSIA_CONTOUR


def test_numbers_are_written_as_they_are_looked_up() -> None:
    for clock in (clock for product in PRODUCTS for clock in product.clocks):
        for number in (clock.service, clock.characteristic):
            assert number == (number.lower() if len(number) == 36 else number.upper())
            assert len(number) in {4, 36}
