"""Stored blood pressures and health observations: asked for, put together from their segments, and kept once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bumble import att, core
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from devices.catalogue import decode
from devices.clock import IDENTITY_ZONE
from devices.gatt.blood_pressure import BloodPressureFeature, Feature
from devices.gatt.blood_pressure_enhanced import EnhancedBloodPressureMeasurement as Enhanced
from devices.gatt.blood_pressure_record import segments_of
from devices.gatt.elapsed_time import ElapsedTime
from devices.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode, response
from devices.gatt.segmentation import Header
from devices.medfloat import sfloat
from devices.nomenclature import BLOOD_PRESSURE
from gateway.outbox import Outbox
from gateway.roster import sheets
from simulators.peripheral import INDICATE, NOTIFY, READ, WRITE, Kept, Measurement, Peripheral
from simulators.peripheral_indicating import BloodPressureCuff
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, kept_in
from tests.health_bodies import body, number, stamp

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MMHG, TEMPERATURE, CELSIUS, WEIGHT = 3872, 2 << 16 | 19292, 6048, 2 << 16 | 57664


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


def cut(whole: bytes, room: int = 19, counter: int = 0) -> list[bytes]:
    """A value as the segments of the health sensor service."""
    cuts = [whole[at : at + room] for at in range(0, len(whole), room)]
    return [bytes([Header(n == 0, n == len(cuts) - 1, (counter + n) % 64).octet]) + one for n, one in enumerate(cuts)]


class Memory(Peripheral):
    """Gives its records out by number, each as the frames it was given. anew: the numbers begin again.

    Records are frames of `records`; a measurement is not how this device is filled.
    """

    service = 0x1810
    record_uuid = "2B36"
    wide = 2

    def __init__(self, air: Air, **settings: Any) -> None:
        super().__init__(air, address="F0:00:00:00:00:06", serial="MEM-1", **settings)
        self.records: dict[int, list[bytes]] = {}
        self.requests: list[RecordAccess] = []
        self.asked = asyncio.Event()
        self.stops_after: int | None = None

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        raise AssertionError("filled by frames")

    def characteristics(self) -> list[Characteristic[Any]]:
        control = CharacteristicValue[bytes](write=self._on_request)
        self._sending = {
            self.record_uuid: self.notifying(int(self.record_uuid, 16), NOTIFY),
            "2A52": self.notifying(0x2A52, INDICATE | WRITE, value=control),
        }
        return list(self._sending.values())

    async def come(self) -> None:
        """One connection, until this side has hung up."""
        self.asked.clear()
        before = self.connections
        await self._advertise()
        while self.connections == before or self._connection is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _on_request(self, connection: Connection, value: bytes) -> None:
        self.requests.append(RecordAccess.decode(value))
        self.asked.set()
        self.work(self._answer(connection, self.requests[-1]))

    async def _answer(self, connection: Connection, request: RecordAccess) -> None:
        least = 0
        if request.operator == Operator.GREATER_OR_EQUAL:
            assert len(request.operand) == 1 + self.wide
            least = int.from_bytes(request.operand[1:], "little")
        chosen = [frames for number, frames in sorted(self.records.items()) if number >= least]
        for sent, frame in enumerate(frame for frames in chosen for frame in frames):
            if sent == self.stops_after:
                self.stops_after = None
                await self.hang_up(connection, after_s=0)
                return
            await self.bumble.notify_subscriber(connection, self._sending[self.record_uuid], frame)
        code = ResponseCode.SUCCESS if chosen else ResponseCode.NO_RECORDS_FOUND
        answer = response(OpCode.REPORT_STORED_RECORDS, code).encode()
        await self.bumble.indicate_subscriber(connection, self._sending["2A52"], answer)
        if chosen or least == 0:
            await self.hang_up(connection)

    @property
    def asked_from(self) -> list[int | None]:
        """The number each request begins with; None: all."""
        return [int(one.bounds[0]) if one.bounds else None for one in self.requests]  # type: ignore[arg-type]


class Sealing(Memory):
    """Says by its feature whether its records have a CRC."""

    seals = True

    def characteristics(self) -> list[Characteristic[Any]]:
        octets = BloodPressureFeature(features=Feature.E2E_CRC if self.seals else 0).encode()
        return [*super().characteristics(), Characteristic[Any]("2A49", READ, Characteristic.READABLE, octets)]


class Sensor(Memory):
    """A health sensor: it sends what it measures once it is told to, each observation in segments.

    shows: what its own clock shows, by the octets.
    """

    service = 0x1840
    record_uuid = "2BDD"
    wide = 4

    def __init__(
        self,
        air: Air,
        live: Iterable[list[bytes]] = (),
        shows: Callable[[], ElapsedTime] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(air, **settings)
        self.shows = shows
        self.live = list(live)
        self.commands: list[bytes] = []

    def characteristics(self) -> list[Characteristic[Any]]:
        found = super().characteristics()
        self._sending["2B8B"] = self.notifying(0x2B8B, INDICATE)
        command = CharacteristicValue[bytes](write=self._on_command)
        self._sending["2BF4"] = self.notifying(0x2BF4, INDICATE | WRITE, value=command)
        return [*found, self._sending["2B8B"], self._sending["2BF4"]]

    def _plate(self) -> list[Service]:
        found = super()._plate()
        if (shows := self.shows) is not None:
            value = CharacteristicValue[bytes](read=lambda _connection: shows().octets)
            clock = Characteristic[Any]("2BF2", READ, Characteristic.READABLE, value)
            found.append(Service(core.UUID.from_16_bits(0x183F), [clock]))
        return found

    def _on_command(self, connection: Connection, value: bytes) -> None:
        self.commands.append(value)
        self.work(self._tell(connection))

    async def _tell(self, connection: Connection) -> None:
        await self.bumble.indicate_subscriber(connection, self._sending["2BF4"], b"\x80")
        for frames in self.live:
            for frame in frames:
                await self.bumble.indicate_subscriber(connection, self._sending["2B8B"], frame)
        self.live = []


def pressure(systolic: int, minutes_ago: int) -> Enhanced:
    return Enhanced(
        systolic=sfloat(systolic),
        diastolic=sfloat(80),
        mean_arterial_pressure=sfloat(95),
        time_stamp=int((NOW - timedelta(minutes=minutes_ago) - EPOCH).total_seconds()),
        pulse_rate=sfloat(64),
        user_id=1,
    )


def recorded(number: int, systolic: int, *, crc: bool = True) -> list[bytes]:
    value = pressure(systolic, minutes_ago=600 - number)
    return [part.encode() for part in segments_of(number, value, most=16, counter=number % 64, crc=crc)]


def counted(at: datetime) -> ElapsedTime:
    """A counter that began three days ago, in tenths of a second, and has not begun anew since."""
    return ElapsedTime(0x25, (at - NOW + timedelta(days=3)) // timedelta(milliseconds=100), 0, 0)


def counted_temperature(value: float, minutes_ago: int) -> bytes:
    time = counted(NOW - timedelta(minutes=minutes_ago))
    return body(1, number(value, CELSIUS), type=TEMPERATURE, time=time, status=0, supplemental=(1, 2, 3, 4)).octets


def temperature(value: float, minutes_ago: int = 0) -> bytes:
    at = NOW - timedelta(minutes=minutes_ago)
    return body(1, number(value, CELSIUS), type=TEMPERATURE, time=stamp(at), status=0, supplemental=(1, 2, 3, 4)).octets


def oddities(path: Path) -> list[tuple[str, str, str]]:
    database = sqlite3.connect(path / "outbox.sqlite")
    try:
        return database.execute("SELECT characteristic, field, reason FROM oddity ORDER BY id").fetchall()
    finally:
        database.close()


async def until_odd(path: Path, count: int) -> None:
    """What a session leaves unfinished is odd once the edge has ended it, which is after the peer has hung up."""
    while len(oddities(path)) < count:  # noqa: ASYNC110  the edge tells nobody
        await asyncio.sleep(0.02)


def systolics(outbox: Outbox) -> list[float | None]:
    return [one.values[0] for one in kept_in(outbox)]


# -- blood pressures


async def test_stored_blood_pressures_are_put_together_and_kept_at_their_own_time(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n, crc=n % 2 == 0) for n in range(1, 4)}
        assert {len(frames) for frames in cuff.records.values()} == {2}
        await within(cuff.come())
        assert cuff.asked_from == [None]
        found = running.kept
        assert [(one.kind, one.values, one.slot) for one in found] == [
            (BLOOD_PRESSURE, (120.0 + n, 80.0, 95.0, 64.0), 1) for n in range(1, 4)
        ]
        assert [one.measured_at for one in found] == [NOW - timedelta(minutes=600 - n) for n in range(1, 4)]


async def test_the_next_connection_asks_for_what_is_new(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        await within(cuff.come())
        cuff.records[3] = recorded(3, 133)
        await within(cuff.come())
        assert cuff.asked_from == [None, 2]
        assert systolics(running.outbox) == [121.0, 122.0, 133.0]


async def test_a_link_that_drops_amid_a_record_keeps_those_before_it_and_asks_for_the_rest(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2, 3)}
        cuff.stops_after = len(cuff.records[1]) + 1
        await within(cuff.come())
        await within(cuff.come())
        assert cuff.asked_from == [None, 1]
        assert systolics(running.outbox) == [121.0, 122.0, 123.0]
        assert oddities(tmp_path) == [("2B36", "header", "BadValue")]


async def test_numbers_that_began_anew_are_all_fetched(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        await within(cuff.come())
        cuff.records = {n: recorded(n, 150 + n) for n in (1, 2, 3)}
        await within(cuff.come())
        assert cuff.asked_from == [None, 2, None]
        assert systolics(running.outbox)[-3:] == [151.0, 152.0, 153.0]
        cuff.records = {1: recorded(1, 161)}
        await within(cuff.come())
        assert cuff.asked_from[3:] == [3, None]
        assert systolics(running.outbox)[-1] == 161.0


async def test_a_record_with_a_missing_segment_is_odd_once_and_asked_for_again(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n, crc=False) for n in (1, 2, 3)}
        whole = cuff.records[2]
        assert len(whole) == 2
        cuff.records[2] = whole[1:]
        await within(cuff.come())
        assert systolics(running.outbox) == [121.0, 123.0]
        assert oddities(tmp_path) == [("2B36", "header", "BadValue")]
        cuff.records[2] = whole
        await within(cuff.come())
        assert cuff.asked_from == [None, 1]
        assert systolics(running.outbox)[2:] == [122.0, 123.0]


async def test_a_record_whose_crc_is_wrong_is_odd_and_the_next_is_kept(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        cuff.records[1][-1] = cuff.records[1][-1][:-1] + bytes([cuff.records[1][-1][-1] ^ 1])
        await within(cuff.come())
        assert systolics(running.outbox) == [122.0]
        assert oddities(tmp_path) == [("2B36", "e2e_crc", "BadValue")]


async def test_a_record_without_the_crc_that_the_feature_announces_is_odd(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Sealing(air) as cuff:
        cuff.records = {1: recorded(1, 121, crc=False), 2: recorded(2, 122)}
        await within(cuff.come())
        assert systolics(running.outbox) == [122.0]
        assert oddities(tmp_path) == [("2B36", "e2e_crc", "BadValue")]


async def test_two_octets_more_are_no_crc_where_the_feature_announces_none(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sealing(air) as cuff:
        cuff.seals = False
        await cuff.stop()
        await cuff.start()
        cuff.records = {1: recorded(1, 121)}
        await within(cuff.come())
        (found,) = running.kept
        assert (found.values[0], found.facts) == (121.0, ("trailing-bytes",))


async def test_a_cuff_with_an_empty_memory_has_nothing_new(air: Air, edge: OpenEdge, tmp_path: Path) -> None:
    async with edge() as running, Memory(air) as cuff:
        await within(cuff.come())
        assert running.kept == []
        assert [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] == ["nothing-new"]


# -- health observations


async def test_live_observations_in_segments_are_kept_provisionally(air: Air, edge: OpenEdge) -> None:
    live = [cut(temperature(36.0 + n, minutes_ago=3 - n), counter=60) for n in range(3)]
    assert all(len(frames) > 1 for frames in live)
    async with edge() as running, Sensor(air, live) as sensor:
        await within(sensor.come())
        assert sensor.commands == [b"\x01"]
        assert [one.values[0] for one in running.kept] == [36.0, 37.0, 38.0]
        assert {one.facts for one in running.kept} == {("provisional",)}
        assert [one.measured_at for one in running.kept] == [NOW - timedelta(minutes=3 - n) for n in range(3)]


async def test_stored_observations_are_kept_by_their_number(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sensor(air) as sensor:
        numbers = (70_000, 70_001)
        sensor.records = {n: cut(n.to_bytes(4, "little") + temperature(n - 69_964.0, n - 69_990)) for n in numbers}
        await within(sensor.come())
        await within(sensor.come())
        assert sensor.asked_from == [None, 70_001]
        assert [one.values[0] for one in running.kept] == [36.0, 37.0]
        assert [one.device_at for one in running.kept[:2]] == [NOW - timedelta(minutes=n) for n in (10, 11)]


async def test_an_observation_that_has_no_place_is_kept_as_odd_with_its_reason(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    unknown = body(1, number(5.0, MMHG), type=4 << 16 | 1, time=stamp(NOW), supplemental=(1, 2, 3)).octets
    short = temperature(36.5)[:-1]
    async with edge() as running, Sensor(air, [cut(unknown), cut(short), cut(temperature(36.6))]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]
        assert oddities(tmp_path) == [("2B8B", "type", "NoKind"), ("2B8B", "value", "Truncated")]


async def test_segments_without_an_end_are_one_oddity_and_bounded(
    air: Air, edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.segments.MOST", 8)
    endless = [bytes([Header(n == 0, False, n).octet]) for n in range(30)]
    async with edge() as running, Sensor(air, [endless, cut(temperature(36.6)), endless[:2]]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]
        await within(until_odd(tmp_path, 2))
        assert oddities(tmp_path) == [("2B8B", "header", "BadValue")] * 2


async def test_what_an_oddity_keeps_of_a_value_in_segments_can_be_decoded_again(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    unknown = body(1, number(5.0, MMHG), type=4 << 16 | 1, time=stamp(NOW), supplemental=(1, 2, 3)).octets
    async with edge(), Sensor(air, [cut(unknown)]) as sensor:
        await within(sensor.come())
        database = sqlite3.connect(tmp_path / "outbox.sqlite")
        ((frame,),) = database.execute("SELECT frame FROM oddity").fetchall()
        database.close()
        assert decode("2B8B", frame).segment == unknown  # type: ignore[attr-defined]


# -- beside others


class Unwilling(Sensor):
    """It refuses its memory, and measures afterwards."""

    def _plate(self) -> list[Service]:
        found = super()._plate()
        if (shows := self.shows) is not None:
            value = CharacteristicValue[bytes](read=lambda _connection: shows().octets)
            clock = Characteristic[Any]("2BF2", READ, Characteristic.READABLE, value)
            found.append(Service(core.UUID.from_16_bits(0x183F), [clock]))
        return found

    def _on_command(self, connection: Connection, value: bytes) -> None:
        self.commands.append(value)

    def _on_request(self, connection: Connection, value: bytes) -> None:
        self.work(self._measure(connection))
        raise att.ATT_Error(att.ErrorCode(0x80))

    async def _measure(self, connection: Connection) -> None:
        await self._tell(connection)
        await self.hang_up(connection)


async def test_a_sensor_that_refuses_its_memory_is_listened_to_all_the_same(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Unwilling(air, [cut(temperature(36.6))]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]


class EnhancedCuff(BloodPressureCuff):
    """It has the plain measurement and the enhanced one, and sends what is switched on."""

    def characteristics(self) -> list[Characteristic[Any]]:
        self.plain = self.notifying(0x2A35, INDICATE)
        self.measurement = 0x2B34  # type: ignore[misc]
        return [self.plain, *super().characteristics()]

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        return pressure(int(measurement.values[0] or 0), minutes_ago=5).encode()


async def test_of_a_plain_and_an_enhanced_measurement_the_enhanced_one_is_heard(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, EnhancedCuff(air, address="F0:00:00:00:00:07", serial="BP-7") as cuff:
        switched = []
        cuff.plain.on(Characteristic.EVENT_SUBSCRIPTION, lambda *_: switched.append("2A35"))
        await within(
            cuff.measure(Measurement(kind=BLOOD_PRESSURE, values=(128, 80, 95, 64), unit="mm[Hg]", taken_at=NOW))
        )
        assert [one.values for one in running.kept] == [(128.0, 80.0, 95.0, 64.0)]
        assert switched == []


async def test_stamps_that_count_are_placed_by_what_the_counter_shows_now(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sensor(air, shows=lambda: counted(datetime.now(UTC))) as sensor:
        sensor.records = {n: cut(n.to_bytes(4, "little") + counted_temperature(36.0 + n, 600 - n)) for n in (1, 2)}
        await within(sensor.come())
        await within(sensor.come())
        found = running.kept
        assert [one.values[0] for one in found] == [37.0, 38.0]
        for one, minutes_ago in zip(found, (599, 598), strict=True):
            assert abs(one.measured_at - NOW + timedelta(minutes=minutes_ago)) < timedelta(seconds=2)
            assert (one.device_at, one.facts) == (None, ("clock-corrected", "provisional"))


async def test_stamps_that_count_have_lost_their_timeline_where_the_counter_is_not_shown(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, Sensor(air) as sensor:
        sensor.records = {1: cut((1).to_bytes(4, "little") + counted_temperature(36.0, 600))}
        await within(sensor.come())
        assert [one.facts for one in running.kept] == [("lost-timeline", "provisional")]


async def test_local_time_of_a_sensor_whose_clock_is_off_is_corrected(air: Air, edge: OpenEdge) -> None:
    def shown(at: datetime) -> ElapsedTime:
        wall = at.astimezone(IDENTITY_ZONE) - timedelta(hours=2)
        return stamp(wall, flags=0x20, source=0)

    measured = NOW - timedelta(minutes=30)
    octets = body(
        1, number(36.6, CELSIUS), type=TEMPERATURE, time=shown(measured), status=0, supplemental=(1, 2, 3, 4)
    ).octets
    async with edge() as running, Sensor(air, shows=lambda: shown(datetime.now(UTC)), has_clock=False) as sensor:
        sensor.records = {1: cut((1).to_bytes(4, "little") + octets)}
        await within(sensor.come())
        (found,) = running.kept
        assert found.facts == ("clock-corrected", "provisional")
        assert abs(found.measured_at - measured) < timedelta(seconds=2)
