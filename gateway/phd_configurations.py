"""Configurations that 20601 agents have told, on the gateway's disk: a restart does not make them tell them again.

What is remembered is a convenience, so nothing here is believed that does not look whole: a damaged row is forgotten,
and its agent is asked. Written after the agent has been answered; one that was not written is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from devices.errors import DeviceError
from devices.ieee11073.codes import ConfigResult
from devices.ieee11073.events import read_config, write_config
from devices.ieee11073.judgement import judge_configuration
from devices.ieee11073.objects import Configuration
from devices.ieee11073.remembered import Remembered
from gateway.outbox import Outbox

_log = structlog.get_logger()
MOST: Final = 1000
_FORM: Final = 1
"""`report` is a ConfigReport in MDER, as the agent sent it (20601, annex A.11)."""
_WRITE: Final = (
    "INSERT OR REPLACE INTO configuration (system_id, id, form, report, digest, learned_at)"
    " VALUES (:system_id, :id, :form, :report, :digest, :learned_at)"
)
_FORGET: Final = "DELETE FROM configuration WHERE system_id = :system_id AND id = :id"
_READ: Final = "SELECT system_id, id, form, report, digest FROM configuration ORDER BY learned_at, rowid"


class Configurations:
    """What is remembered, and the table that it is written to. OutboxBroken.

    most: of the configurations; the table never has more, but for those not yet written.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], datetime], most: int = MOST) -> None:
        self._outbox = outbox
        self._clock = clock
        self._altered: dict[tuple[bytes, int], Configuration | None] = {}
        self.remembered = Remembered(most, self._note)
        self._load()
        # what did not fit, or was damaged, is in `_altered` now
        self.write()

    def write(self) -> None:
        """Bring the table up to date. OutboxFull: the rest of it is not tried again, and asked after a restart."""
        altered, self._altered = self._altered, {}
        for (system_id, identity), configuration in altered.items():
            key = {"system_id": system_id, "id": identity}
            if configuration is None:
                self._outbox.write(_FORGET, key)
                continue
            report = write_config(configuration.report)
            more = {
                "form": _FORM,
                "report": report,
                "digest": _digest(system_id, identity, report),
                "learned_at": self._clock().isoformat(),
            }
            self._outbox.write(_WRITE, {**key, **more})

    def _note(self, system_id: bytes, identity: int, configuration: Configuration | None) -> None:
        self._altered[system_id, identity] = configuration

    def _load(self) -> None:
        for system_id, identity, form, report, digest in self._outbox.read(_READ):
            configuration = _read(system_id, identity, form, report, digest)
            if configuration is None:
                _log.warning("remembered configuration is damaged", device=f"eui64:{system_id.hex()}", id=identity)
                self._altered[system_id, identity] = None
                continue
            self.remembered.keep(system_id, configuration)
            self._altered.pop((system_id, identity), None)  # it is on the disk


def _read(system_id: bytes, identity: int, form: int, report: bytes, digest: bytes) -> Configuration | None:
    if form != _FORM or digest != _digest(system_id, identity, report):
        return None
    try:
        result, configuration = judge_configuration(read_config(report))
    except DeviceError:
        return None
    if result is not ConfigResult.ACCEPTED or configuration is None or configuration.id != identity:
        return None
    return configuration


def _digest(system_id: bytes, identity: int, report: bytes) -> bytes:
    return hashlib.sha256(b"%b %04x %b" % (system_id, identity, report)).digest()
