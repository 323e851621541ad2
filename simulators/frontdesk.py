"""The front desk of the simulated station: opens residents' records, hands out devices, reads the card at the kiosk.

What a nurse or an administrator does by hand at a real station is done here through the same doors
(`monitor.patients`, `monitor.visits`, `ingest.assignments`), never by writing tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from devices.clock import IDENTITY_ZONE
from ingest import assignments
from monitor import patients, visits
from monitor.identity import Keys
from simulators.cohort import SITES, OwnedDevice, Person, kiosk_cuff

_BY = "simulator"
_SEX = {"male": 1, "female": 2}  # GB/T 2261.1


async def open_records(
    conn: AsyncConnection[TupleRow], people: Sequence[Person], *, keys: Keys, now: datetime
) -> dict[str, UUID]:
    """A record for each person, marked as simulated; the person's key to the subject's id."""
    subjects = {}
    for number, person in enumerate(people, 1):
        enrolled = now.date() - timedelta(days=900 + 40 * number)
        new = patients.NewPatient(
            name=person.name,
            sex=_SEX[person.sex],
            birth_date=person.birth_date,
            site=SITES[person.site],
            id_number=person.id_number,
            phone=person.phone,
            allergies="、".join(person.allergies) or None,
            record_code=f"99990000300{number:06d}",
            family_doctor="模拟家庭医生团队",
            consented_on=date(now.year - 1, 3, 2),
            registers=tuple(patients.Registered(programme=name, since=enrolled) for name in person.registers),
            simulated=True,
        )
        subjects[person.key] = await patients.add(conn, new, keys=keys, by=_BY, now=now)
    return subjects


async def keep_visits(
    conn: AsyncConnection[TupleRow],
    people: Sequence[Person],
    subjects: dict[str, UUID],
    *,
    edition: str,
    now: datetime,
) -> None:
    """Import the visits that lie behind, oldest first; each at ten in the morning, UTC+8, of its day."""
    for person in people:
        for visit in sorted(person.visits, key=lambda each: -each.days_ago):
            day = now.astimezone(IDENTITY_ZONE).date() - timedelta(days=visit.days_ago)
            observed = {
                "sbp": visit.systolic,
                "dbp": visit.diastolic,
                "glucose": visit.fasting_glucose,
                "glucose_context": "fasting" if visit.fasting_glucose is not None else None,
                "adverse_reaction": False,
                "reaction_hard_to_control": False,
                "complication": "none",
            }
            await visits.record_visit(
                conn,
                visits.NewVisit(
                    subject_id=subjects[person.key],
                    programme=visit.programme,
                    edition=edition,
                    visited_at=datetime(day.year, day.month, day.day, 10, tzinfo=IDENTITY_ZONE),
                    mode=1 if visit.face_to_face else 3,
                    classification=visit.classification,
                    observed={name: value for name, value in observed.items() if value is not None},
                    next_on=day + timedelta(days=visit.next_in_days),
                ),
                user=None,
                now=now,
            )


async def hand_out_devices(
    conn: AsyncConnection[TupleRow],
    people: Sequence[Person],
    subjects: dict[str, UUID],
    *,
    since: datetime,
    now: datetime,
) -> None:
    """Register what the residents own and assign it to them from `since` on."""
    for person in people:
        for device in person.devices:
            if device.route != "kiosk":
                await _register(conn, device, now)
                await assignments.assign_device(conn, device.uid, subjects[person.key], since=since, by=_BY, now=now)


async def set_up_kiosks(conn: AsyncConnection[TupleRow], seed: int, *, now: datetime) -> None:
    """Register the cuff of each site's kiosk: it is nobody's, sessions say whose a reading is."""
    for site in SITES:
        await _register(conn, kiosk_cuff(seed, site), now)


async def read_cards(
    conn: AsyncConnection[TupleRow], sessions: Iterable[tuple[str, UUID, datetime]], *, now: datetime
) -> None:
    """Whose kiosk sessions these are: session, subject, moment of the measurement."""
    for session_uid, subject_id, at in sessions:
        since, until = at - timedelta(minutes=1), at + timedelta(minutes=10)
        await assignments.assign_session(conn, session_uid, subject_id, since=since, until=until, by=_BY, now=now)


async def _register(conn: AsyncConnection[TupleRow], device: OwnedDevice, now: datetime) -> None:
    await assignments.register_device(
        conn,
        device.uid,
        concept=device.concept,
        label=device.label,
        manufacturer=device.manufacturer,
        model=device.model,
        serial=device.serial,
        now=now,
    )
