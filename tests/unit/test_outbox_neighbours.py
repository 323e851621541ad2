"""What else lies in the outbox's file: remembered configurations, the roster's agents; and files of older gateways."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr
from devices.ieee11073.mder import octets, sequence, text, u16
from devices.ieee11073.objects import Configuration
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import Event
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from gateway.errors import OutboxFull
from gateway.outbox import Outbox
from gateway.outbox_file import VERSION, connect
from gateway.phd_agents import Agents
from gateway.phd_configurations import Configurations
from gateway.roster import Sheet, batteries, known, note, sheets
from gateway.sensors import listed

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SCALE = Configuration(0x4000, standard(0x05DC).objects)
CUFF = Configuration(0x4001, standard(0x02BC).objects)
DEVICE = "eui64:6d792d7363616c65"
ME = b"my-scale"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with Outbox(path, clock=lambda: NOW) as found:
        yield found


def clock() -> datetime:
    return NOW


def rows(path: Path) -> list[tuple[bytes, int]]:
    with closing(connect(path, read_only=True)) as database:
        return database.execute("SELECT system_id, id FROM configuration ORDER BY rowid").fetchall()


def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement).rowcount > 0


# -- files of older gateways


BROUGHT = {1: ("configuration", "sensor"), 2: ("sensor",)}
"""By version: the tables that it does not have yet."""


def as_version(path: Path, version: int) -> None:
    """What a gateway of an older version left: everything but the tables that later ones brought."""
    with Outbox(path, clock=clock) as outbox:
        outbox.put([Observation(device="ble:f0", kind=BLOOD_PRESSURE, values=(1.0,), unit="mm[Hg]", measured_at=NOW)])
    with closing(sqlite3.connect(path)) as database, database:
        for table in BROUGHT[version]:
            database.execute(f"DROP TABLE {table}")
        database.execute(f"PRAGMA user_version={version}")


def shape(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_older_version_is_brought_up_to_date_and_keeps_what_is_in_it(
    path: Path, tmp_path: Path, version: int
) -> None:
    as_version(path, version)
    with Outbox(path, clock=clock) as outbox:
        assert outbox.figures().backlog == 1
        assert outbox.read("PRAGMA user_version") == [(VERSION,)]
    Outbox(tmp_path / "new.sqlite").close()
    assert shape(path) == shape(tmp_path / "new.sqlite")


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_older_version_can_be_looked_at_without_changing_it(path: Path, version: int) -> None:
    as_version(path, version)
    assert sheets(path) == []
    with closing(sqlite3.connect(path)) as database:
        assert listed(database) == []
        assert database.execute("PRAGMA user_version").fetchone() == (version,)


# -- configurations


def test_what_was_remembered_is_known_after_a_restart(path: Path) -> None:
    with Outbox(path) as outbox:
        first = Configurations(outbox, clock)
        first.remembered.keep(ME, SCALE)
        first.remembered.keep(ME, CUFF)
        first.write()
    with Outbox(path) as outbox:
        again = Configurations(outbox, clock).remembered
        assert (again.find(ME, 0x4000), again.find(ME, 0x4001)) == (SCALE, CUFF)
        assert again.find(b"another.", 0x4000) is None


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE configuration SET report = x'4000'",
        "UPDATE configuration SET report = CAST(replace(report, x'06c3', x'06e0') AS BLOB)",  # kilograms to pounds
        "UPDATE configuration SET digest = x'00'",
        "UPDATE configuration SET id = 16385",
        "UPDATE configuration SET system_id = x'0000000000000001'",
        "UPDATE configuration SET form = 2",
    ],
)
def test_a_row_that_is_not_as_it_was_written_is_forgotten_and_nothing_else(path: Path, damage: str) -> None:
    with Outbox(path) as outbox:
        first = Configurations(outbox, clock)
        first.remembered.keep(ME, SCALE)
        first.write()
    changed(path, damage)
    with Outbox(path) as outbox:
        again = Configurations(outbox, clock)
        assert len(again.remembered) == 0
        assert rows(path) == []
        again.remembered.keep(ME, SCALE)
        again.write()
    assert rows(path) == [(ME, 0x4000)]


def test_the_table_holds_no_more_than_is_remembered(path: Path) -> None:
    with Outbox(path) as outbox:
        kept = Configurations(outbox, clock, most=3)
        for number in range(9):
            kept.remembered.keep(b"device-%d" % number, SCALE)
            kept.write()
        assert rows(path) == [(b"device-%d" % number, 0x4000) for number in (6, 7, 8)]
    with Outbox(path) as outbox:
        fewer = Configurations(outbox, clock, most=2)
        assert {device for device, _ in fewer.remembered.each()} == {b"device-7", b"device-8"}
        assert rows(path) == [(b"device-7", 0x4000), (b"device-8", 0x4000)]


def test_a_configuration_that_is_told_again_as_it_was_is_not_written_again(outbox: Outbox, path: Path) -> None:
    kept = Configurations(outbox, clock)
    kept.remembered.keep(ME, SCALE)
    kept.write()
    changed(path, "UPDATE configuration SET learned_at = 'before'")
    kept.remembered.keep(ME, Configuration(0x4000, dict(SCALE.objects)))
    kept.write()
    assert outbox.read("SELECT learned_at FROM configuration") == [("before",)]


def test_on_a_full_disk_it_is_remembered_until_the_restart(outbox: Outbox) -> None:
    kept = Configurations(outbox, clock)
    pages = outbox.read("PRAGMA page_count")[0][0]
    outbox.read(f"PRAGMA max_page_count={pages}")
    for number in range(100):
        kept.remembered.keep(b"device%02d" % number, SCALE)
    with pytest.raises(OutboxFull):
        kept.write()
    assert kept.remembered.find(b"device00", 0x4000) == SCALE


# -- agents in the roster


def test_an_agents_plate_is_kept_until_it_says_otherwise(outbox: Outbox, path: Path) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.came(1, DEVICE, "tcp:10.0.0.7")
    serial = u16(1) + u16(0) + octets(text("S-77"))
    firmware = u16(5) + u16(0) + octets(text("2.1"))
    agents.described(
        1,
        [
            Attribute(Attr.ID_MODEL, octets(text("Maker\0")) + octets(text("Scale 1"))),
            Attribute(Attr.ID_PROD_SPECN, sequence([serial, firmware])),
            Attribute(Attr.VAL_BATT_CHARGE, u16(41)),
            Attribute(Attr.SYS_TYPE_SPEC_LIST, b"\x00"),  # too short: the others are as they are
        ],
    )
    agents.went(1, Event.RX_RLRQ, NOW + timedelta(minutes=5))
    agents.came(2, DEVICE, "tcp:10.0.0.8")
    (sheet,) = sheets(path)
    found = (sheet.manufacturer, sheet.model, sheet.serial, sheet.firmware, sheet.battery)
    assert found == ("Maker", "Scale 1", "S-77", "2.1", 41)
    assert (sheet.address, sheet.outcome) == ("tcp:10.0.0.8", "associated")
    assert batteries(outbox) == {DEVICE: 41}


@pytest.mark.parametrize(
    ("charge", "power", "battery"),
    [(0, 0, None), (0, 0x4000, 0), (0, None, 0), (41, 0, 41), (101, 0x4000, None)],
    ids=["all zeros", "empty", "empty, and no more said", "charged", "nonsense"],
)
def test_a_charge_of_zero_is_believed_of_what_is_fed_by_something(
    outbox: Outbox, charge: int, power: int | None, battery: int | None
) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.came(1, DEVICE, "tcp:10.0.0.7")
    said = [Attribute(Attr.VAL_BATT_CHARGE, u16(charge))]
    agents.described(1, said if power is None else [*said, Attribute(Attr.POWER_STAT, u16(power))])
    assert known(outbox, DEVICE).battery == battery  # type: ignore[union-attr]


def test_a_standard_configuration_says_what_an_agent_is_until_it_says_so_itself(outbox: Outbox) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.came(1, DEVICE, "tcp:10.0.0.7", 0x02BC)
    agents.described(1, [Attribute(Attr.SYS_TYPE_SPEC_LIST, sequence([]))])
    assert known(outbox, DEVICE).services == ("11073-10407",)  # type: ignore[union-attr]
    agents.described(1, [Attribute(Attr.SYS_TYPE_SPEC_LIST, sequence([u16(4111) + u16(1)]))])
    agents.went(1, Event.RX_RLRQ, NOW)
    agents.came(2, DEVICE, "tcp:10.0.0.7", 0x4000)
    assert known(outbox, DEVICE).services == ("11073-10415",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("event", "outcome"),
    [(Event.RX_RLRE, "released"), (Event.TRANSPORT_DOWN, "link-lost"), (Event.RX_ABRT, "aborted"),
     (Event.TIMEOUT, "aborted")],
)  # fmt: skip
def test_the_roster_says_how_an_association_ended_and_when_the_agent_was_heard_last(
    outbox: Outbox, event: Event, outcome: str
) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.came(1, DEVICE, "tcp:10.0.0.7")
    agents.heard({1: NOW + timedelta(hours=1), 2: NOW})
    assert known(outbox, DEVICE).seen_at == NOW + timedelta(hours=1)  # type: ignore[union-attr]
    agents.went(1, event, NOW + timedelta(hours=2))
    sheet = known(outbox, DEVICE)
    assert sheet is not None
    assert (sheet.outcome, sheet.seen_at) == (outcome, NOW + timedelta(hours=2))


def test_an_agent_that_comes_again_before_its_old_connection_is_gone_stays_associated(outbox: Outbox) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.came(1, DEVICE, "tcp:10.0.0.7")
    agents.came(2, DEVICE, "tcp:10.0.0.7")
    agents.went(1, Event.TRANSPORT_DOWN, NOW)
    assert agents.associated == (DEVICE,)
    assert known(outbox, DEVICE).outcome == "associated"  # type: ignore[union-attr]
    agents.went(2, Event.TRANSPORT_DOWN, NOW)
    assert agents.associated == ()


def test_the_roster_is_bounded_and_forgets_who_was_not_heard_for_longest(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.roster.MOST_DEVICES", 3)
    for number in range(9):
        note(outbox, Sheet(device=f"ble:{number}", address="", seen_at=NOW + timedelta(minutes=number)))
    assert [sheet.device for sheet in sheets(path)] == ["ble:8", "ble:7", "ble:6"]


def test_a_full_disk_costs_the_roster_its_news_and_no_association(outbox: Outbox) -> None:
    agents = Agents(outbox, clock, lambda: None)
    pages = outbox.read("PRAGMA page_count")[0][0]
    outbox.read(f"PRAGMA max_page_count={pages}")
    for number in range(200):
        agents.came(number, f"eui64:{number:016x}", "tcp:10.0.0.7")
    assert len(agents.associated) == 200


def test_a_configuration_under_which_a_frame_made_no_sense_is_forgotten_on_disk_too(outbox: Outbox, path: Path) -> None:
    agents = Agents(outbox, clock, lambda: None)
    agents.remembered.keep(ME, SCALE)
    agents.came(1, DEVICE, "tcp:10.0.0.7")
    assert rows(path) == [(ME, 0x4000)]
    agents.mistaken(ME, 0x4000)
    agents.went(1, Event.RX_RLRQ, NOW)
    assert rows(path) == []
