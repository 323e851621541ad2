"""What a process of ingest remembers and lets go: names, who was seen, messages that are another process's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection

from ingest.batch import place_of
from ingest.directory import MOST_NAMES, Directory
from simulators.embedded.broker import Broker
from tests.fix_ingest import IngestProcess, Source, message, pressure


async def test_names_beyond_the_most_are_forgotten_and_asked_anew(telemetry: AsyncConnection) -> None:
    directory, now = Directory(), datetime.now(UTC)
    directory.sessions |= {f"s-{number}": number for number in range(MOST_NAMES + 1)}
    await directory.learn(telemetry, sources=[("north", "gw")], devices=["ble:a"], sessions=["s-7"], now=now)
    assert (len(directory.sources), len(directory.devices), len(directory.sessions)) == (1, 1, 1)


def test_a_device_is_said_to_be_seen_at_most_each_half_minute() -> None:
    directory, now = Directory(), datetime(2026, 1, 1, tzinfo=UTC)
    assert directory.unseen(["ble:a", "ble:b"], now) == ["ble:a", "ble:b"]
    directory.saw(["ble:a"], now)
    assert directory.unseen(["ble:a", "ble:b"], now + timedelta(seconds=29)) == ["ble:b"]
    assert directory.unseen(["ble:a", "ble:b"], now + timedelta(seconds=30)) == ["ble:a", "ble:b"]


def test_messages_of_another_process_do_not_stay_in_hand(
    broker: Broker, migrated_database_url: str, source: Source
) -> None:
    names = [f"ble:cuff-{number}" for number in range(100)]
    others = [name for name in names if place_of(name, 2, 2)[0] == 1][:10]
    own = next(name for name in names if place_of(name, 2, 2)[0] == 0)
    with IngestProcess(broker, migrated_database_url, parts="2", part="0", receive_maximum="3") as process:
        for name in others:
            source.send(message(pressure(1, device=name), message_id="another's"))
        source.send(message(pressure(1, device=own), message_id="own"))
        assert source.receipt().message_id == "own"
        assert process.stop() == 0
