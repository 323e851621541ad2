"""Meters whose clock is a characteristic of the maker's own: set after connecting, where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from bumble import att, core
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from devices.clock import IDENTITY_ZONE, DateTime
from gateway.status import clock_synchronised
from simulators.embedded.broker import Broker
from simulators.peripheral import NOTIFY, READ, WRITE, Make, Measurement
from simulators.peripheral_glucose import GlucoseMeter
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, StartGateway

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
CONTOUR = ("00000000-0002-11e2-9e96-0800200c9a66", "00001026-0002-11e2-9e96-0800200c9a66")
CARESENS = ("FFF0", "FFF1")
OFF = timedelta(hours=-7)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


class MeterWithAClockOfItsOwn(GlucoseMeter):
    """It takes a time only once that notifies, and before it is asked for records.

    shown: it has the standard clock, too.
    """

    def __init__(self, air: Air, numbers: tuple[str, str], make: Make, *, shown: bool = False, **settings: Any) -> None:
        super().__init__(air, address="F0:00:00:00:00:09", serial="GL-9", make=make, clock_offset=OFF, **settings)
        self.told: list[bytes] = []
        self.refuses = False
        self._numbers = numbers
        self._shown = shown

    def _plate(self) -> list[Service]:
        service, characteristic = self._numbers
        control = CharacteristicValue[bytes](write=self._on_time)
        self._own = Characteristic[Any](
            core.UUID(characteristic), NOTIFY | WRITE | READ, Characteristic.Permissions.WRITEABLE, control
        )
        plate = super()._plate() if self._shown else super()._plate()[:-1]
        return [*plate, Service(core.UUID(service), [self._own])]

    def _on_time(self, connection: Connection, value: bytes) -> None:
        chosen = self.bumble.gatt_server.subscribers.get(connection, {})
        if self.refuses or not (chosen.get(self._own.handle) or b"\0")[0]:
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED)
        assert not self.requests
        self.told.append(value)
        if self._numbers == CONTOUR:
            minutes = int.from_bytes(value[8:10], "little", signed=True)
            wall = DateTime.decode(value[1:8]).naive()
            assert wall is not None
            now = wall.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
        else:
            wall = DateTime.decode(value[4:11]).naive()
            assert wall is not None
            now = wall.replace(tzinfo=IDENTITY_ZONE)
        self.clock_offset = now.replace(tzinfo=None) - self._clock().astimezone(IDENTITY_ZONE).replace(tzinfo=None)


def contour(air: Air, **settings: Any) -> MeterWithAClockOfItsOwn:
    return MeterWithAClockOfItsOwn(air, CONTOUR, Make(manufacturer="Ascensia", model="Contour Next One"), **settings)


def caresens(air: Air, **settings: Any) -> MeterWithAClockOfItsOwn:
    return MeterWithAClockOfItsOwn(air, CARESENS, Make(manufacturer="i-SENS", model="CareSens Dual"), **settings)


def glucose(at: datetime) -> Measurement:
    return Measurement(kind=160188, values=(6.1,), unit="mmol/L", taken_at=at)


@pytest.mark.parametrize("make", [contour, caresens])
async def test_a_meter_is_set_before_its_records_are_asked_for_and_stamps_rightly_afterwards(
    air: Air, edge: OpenEdge, make: Any
) -> None:
    async with edge(sets_clocks=True) as running, make(air) as meter:
        await within(meter.measure(glucose(NOW - timedelta(hours=1))))
        assert len(meter.told) == 1
        assert abs(meter.clock_offset) < timedelta(seconds=3)
        meter.requests.clear()
        await within(meter.measure(glucose(NOW)))
        found = running.kept[-1]
        assert abs(found.measured_at - NOW) < timedelta(seconds=3)
        # what was stamped by the clock as it was is believed, as ever
        assert abs(running.kept[0].measured_at - (NOW - timedelta(hours=1) + OFF)) < timedelta(seconds=3)


@pytest.mark.parametrize("make", [contour, caresens])
async def test_no_clock_is_set_unless_that_is_wanted(air: Air, edge: OpenEdge, make: Any) -> None:
    async with edge() as running, make(air) as meter:
        await within(meter.measure(glucose(NOW)))
        assert (meter.told, meter.clock_offset) == ([], OFF)
        assert len(running.kept) == 1


async def test_no_clock_is_set_by_a_gateway_whose_own_may_be_wrong(air: Air, edge: OpenEdge) -> None:
    async with edge(sets_clocks=True, clock_kept=False) as running, contour(air) as meter:
        await within(meter.measure(glucose(NOW)))
        assert (meter.told, len(running.kept)) == ([], 1)


async def test_a_clock_that_can_be_read_is_corrected_and_not_set(air: Air, edge: OpenEdge) -> None:
    async with edge(sets_clocks=True) as running, contour(air, shown=True) as meter:
        await within(meter.measure(glucose(NOW - timedelta(hours=1))))
        assert meter.told == []
        (found,) = running.kept
        assert found.facts == ("clock-corrected",)


async def test_a_number_of_four_digits_is_not_written_to_where_the_product_is_another(air: Air, edge: OpenEdge) -> None:
    other = MeterWithAClockOfItsOwn(air, CARESENS, Make(manufacturer="SUIFANG SIM", model="SIM"))
    async with edge(sets_clocks=True) as running, other as meter:
        await within(meter.measure(glucose(NOW)))
        assert (meter.told, len(running.kept)) == ([], 1)


async def test_a_meter_that_refuses_to_be_set_is_collected_all_the_same(air: Air, edge: OpenEdge) -> None:
    async with edge(sets_clocks=True) as running, contour(air) as meter:
        meter.refuses = True
        await within(meter.measure(glucose(NOW)))
        assert (meter.told, len(running.kept)) == ([], 1)


async def test_a_gateway_that_is_set_to_says_what_became_of_a_clock(
    air: Air, broker: Broker, gateway: StartGateway
) -> None:
    with gateway(broker, air=air, set_clocks="true") as process:
        async with contour(air) as meter:
            await within(meter.measure(glucose(NOW)))
        said = {line["event"] for line in process.log}
        # by whether something keeps this machine's clock right
        assert ("clock set" if meter.told else "clock not set") in said
        assert len(meter.told) == (clock_synchronised() is not False)
