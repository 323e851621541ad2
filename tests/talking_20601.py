"""A 20601 manager by script: what is said to it, what it says, and what it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aarq, Information
from devices.ieee11073.codes import Noti
from devices.ieee11073.data_apdu import (
    EventReport,
)
from devices.ieee11073.events import (
    ConfigObject,
    ConfigReport,
    read_config_reply,
    write_config,
)
from devices.ieee11073.manager import Manager
from devices.ieee11073.outputs import Answered, Keep, Odd, Output, Send
from devices.ieee11073.scan_report import SHAPES, FixedObs, agent_report, write_scan
from devices.ieee11073.specializations import standard
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
SYSTEM = bytes.fromhex("1122334455667788")
MINE = bytes.fromhex("0200000000000001")
QUIET = Terms(MINE, interviews=False)


def about(config: int = 0x05DC, **changes: Any) -> Information:
    return msgspec.structs.replace(Information.of_agent(SYSTEM, config), **changes)


class Talk:
    """A manager and what it said; `say` answers with the APDUs that it sent."""

    def __init__(self, terms: Terms = QUIET) -> None:
        self.manager = Manager(terms)
        self.now = 0.0
        self.kept: list[Observation] = []
        self.odd: list[Odd] = []
        self.answered: list[Answered] = []
        self.manager.connected(0.0)

    def say(self, *apdus: Any) -> list[Any]:
        stream = b"".join(one if isinstance(one, bytes) else apdu.encode(one) for one in apdus)
        return self.heard(self.manager.receive(stream, self.now, NOW + timedelta(seconds=self.now)))

    def wait(self, seconds: float) -> list[Any]:
        self.now += seconds
        return self.heard(self.manager.tick(self.now))

    def heard(self, outputs: list[Output]) -> list[Any]:
        sent = []
        for output in outputs:
            match output:
                case Send():
                    sent.append(apdu.decode(output.octets))
                case Keep():
                    self.kept.extend(output.observations)
                    if output.octets:
                        sent.append(apdu.decode(output.octets))
                case Odd():
                    self.odd.append(output)
                case Answered():
                    self.answered.append(output)
                case _:
                    pass
        return sent


def associated(config: int = 0x05DC, terms: Terms = QUIET, **changes: Any) -> Talk:
    talk = Talk(terms)
    talk.opening = talk.say(Aarq.of(about(config, **changes)))  # type: ignore[attr-defined]
    return talk


def configured(*objects: ConfigObject, terms: Terms = QUIET, **changes: Any) -> tuple[Talk, list[Any]]:
    """Associated under an extended configuration; and what the manager sent after accepting it."""
    talk = associated(0x4000, terms, **changes)
    sent = talk.say(EventReport(7, 0, Noti.CONFIG, write_config(ConfigReport(0x4000, objects))))
    assert read_config_reply(sent[0].info).result == 0
    return talk, sent[1:]


def weight(at: datetime = WALL, value: str = "ff0002dc") -> FixedObs:
    return FixedObs(1, bytes.fromhex(value) + write_absolute(at))


def report(*obs: Any, invoke_id: int = 1, kind: Noti = Noti.SCAN_REPORT_FIXED, handle: int = 0,
           confirmed: bool = True) -> EventReport:  # fmt: skip
    return EventReport(invoke_id, handle, kind, write_scan(SHAPES[kind], agent_report(0, *obs)), confirmed=confirmed)


SCALE = standard(0x05DC).report.objects[0]
