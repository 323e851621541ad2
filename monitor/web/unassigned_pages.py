"""Readings that belong to nobody yet: what was measured, where, and why nobody was found. Read only.

They carry no name; the look is audited all the same, since a value and a time may tell who it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from devices.observation import Fact
from ingest.observations import StoredObservation, unassigned
from monitor import audit
from monitor.web.queue_pages import frame
from monitor.web.reading_view import ReadingView, stored_view
from monitor.web.texts import Texts
from monitor.web.viewing import SignedIn, render

router = APIRouter()
_SINCE: Final = timedelta(days=30)
FIRST_READINGS: Final = 200
OF_EACH: Final = 20
"""A sensor measures hundreds of times a day, and must hide nobody's cuff."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One reading and why it waits."""

    reading: ReadingView
    why: str


@dataclass(frozen=True, slots=True)
class Source:
    """One device or kiosk and what it measured of nobody, the newest first."""

    label: str
    uid: str
    kiosk: bool
    simulated: bool
    waiting: Sequence[Waiting]
    count: str


@router.get("/unassigned")
async def unassigned_page(looking: SignedIn) -> HTMLResponse:
    """The readings of thirty days that belong to nobody, by device, the one heard last first."""
    viewing, t = looking.viewing, looking.viewing.t
    found = await unassigned(looking.conn, since=viewing.now - _SINCE, limit=FIRST_READINGS, each=OF_EACH)
    await audit.record(
        looking.conn,
        actor=looking.user.login,
        action="view_unassigned",
        subject_id=None,
        purpose="",
        detail={"readings": len(found)},
        now=viewing.now,
    )
    order = {uid: place for place, uid in reversed(list(enumerate(each.device_uid for each in found)))}
    grouped = groupby(sorted(found, key=lambda each: order[each.device_uid]), key=lambda each: each.device_uid)
    sources = []
    for uid, group in grouped:
        readings = list(group)
        label = readings[0].device_label or t("reading.nobody")
        waiting = [Waiting(stored_view(each, viewing), _why(each, t)) for each in readings]
        kiosk = any(each.session_uid for each in readings)
        simulated = bool(readings[0].facts & Fact.SIMULATED)
        # of a kiosk so many of each session are there, and never counted beyond
        count = t("unassigned.newest" if len(waiting) >= OF_EACH and not kiosk else "unassigned.count", n=len(waiting))
        sources.append(Source(label, uid.rpartition(":")[2][-4:], kiosk, simulated, waiting, count))
    return render(
        looking.shared,
        viewing,
        "unassigned.html",
        **await frame(looking, "unassigned", None),
        sources=sources,
        at_most=FIRST_READINGS,
        shown=len(found),
        days=_SINCE.days,
    )


def _why(reading: StoredObservation, t: Texts) -> str:
    if reading.device_label is None:
        return t("unassigned.why_unknown_device")
    if reading.session_uid:
        return t("unassigned.why_session")
    if reading.user_slot is not None:
        return t("unassigned.why_slot", slot=reading.user_slot)
    return t("unassigned.why_device")
