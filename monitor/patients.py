"""Residents: pseudonymous facts for the rules, and the one door to their identities.

Nobody reads `monitor.identity` but this module. A reveal is audited with its purpose; everything else that leaves here
is masked, unless the viewer holds an open work item of this person (then the claim is the purpose).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow, dict_row

from ingest.named_sql import load
from monitor import audit, evaluation_record
from monitor.access import EVERY_SITE, User, require_clinical
from monitor.desk import Desk
from monitor.errors import DuplicateIdentity, NotAllowed, UnknownResident
from monitor.identity import Keys, masked_id_number, masked_name, masked_phone

__all__ = [
    "Identity",
    "NewPatient",
    "Registered",
    "Resident",
    "ResidentHeader",
    "add",
    "enrol",
    "find",
    "header",
    "masked_name",
    "resident",
    "residents",
    "reveal",
    "rotate",
    "rule_resident",
]

_SQL: Final = load("monitor", "sql/patients.sql")
_FIELDS: Final = ("name", "id_number", "phone", "contact_name", "contact_phone", "allergies")


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """Standing on a programme's register."""

    programme: str
    since: date


class NewPatient(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a record takes. `sex`: GB/T 2261.1 code 0, 1, 2 or 9. `record_code`: all 17 digits."""

    name: str
    sex: int
    birth_date: date
    site: str
    id_number: str | None = None
    phone: str | None = None
    contact_name: str | None = None
    contact_phone: str | None = None
    allergies: str | None = None
    record_code: str | None = None
    family_doctor: str = ""
    consented_on: date | None = None
    registers: tuple[Registered, ...] = ()
    pregnant: bool | None = False
    lactating: bool | None = False
    simulated: bool = False


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """What rules and lists may know: nothing that names or reaches a person. `record_code`: the last 8 digits."""

    subject_id: UUID
    sex: int
    birth_date: date
    registers: tuple[Registered, ...]
    site: str
    record_code: str | None
    family_doctor: str
    consented_on: date | None
    pregnant: bool | None
    lactating: bool | None
    simulated: bool
    state: str

    def age_on(self, day: date) -> int:
        """Completed years."""
        return age_on(self.birth_date, day)

    @property
    def programmes(self) -> tuple[str, ...]:
        """The registers' names, in the order of enrolment."""
        return tuple(register.programme for register in self.registers)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A person. Never logged, never sent anywhere but to the page of somebody who may see it."""

    name: str
    phone: str | None
    id_number: str | None
    contact_name: str | None
    contact_phone: str | None
    allergies: str | None

    def __repr__(self) -> str:
        return "Identity(…)"


class ResidentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The head of every page about a person. `revealed`: the viewer holds an open item, name and phone are full."""

    resident: Resident
    age: int
    name_shown: str
    phone_shown: str | None
    id_number_shown: str | None
    allergies: str | None
    revealed: bool

    def __repr__(self) -> str:
        return f"ResidentHeader({self.resident.subject_id})"


async def add(conn: AsyncConnection[TupleRow], new: NewPatient, *, keys: Keys, by: str, now: datetime) -> UUID:
    """Open a record; the new pseudonymous subject id. DuplicateIdentity: the ID number or record code exists."""
    subject_id = uuid4()
    try:
        async with conn.transaction():
            await conn.execute(
                _SQL["add_patient"],
                {
                    "subject_id": subject_id,
                    "sex": new.sex,
                    "birth_date": new.birth_date,
                    "site": new.site,
                    "record_code": new.record_code,
                    "family_doctor": new.family_doctor,
                    "consented_on": new.consented_on,
                    "pregnant": new.pregnant,
                    "lactating": new.lactating,
                    "simulated": new.simulated,
                    "now": now,
                },
            )
            await conn.execute(_SQL["add_identity"], _sealed(subject_id, new, keys) | {"now": now})
            for register in new.registers:
                await enrol(conn, subject_id, register.programme, since=register.since)
    except errors.UniqueViolation as error:
        raise DuplicateIdentity from error
    await audit.record(conn, actor=by, action="add_resident", subject_id=subject_id, now=now)
    return subject_id


async def enrol(conn: AsyncConnection[TupleRow], subject_id: UUID, programme: str, *, since: date) -> None:
    """Put somebody on a programme's register; nothing happens when they stand on it."""
    await conn.execute(_SQL["enrol"], {"subject_id": subject_id, "programme": programme, "since": since})


async def residents(conn: AsyncConnection[TupleRow], subject_ids: Iterable[UUID]) -> dict[UUID, Resident]:
    """Those of the subjects that are known, in one query."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["residents"], {"subject_ids": list(subject_ids)})
        return {row["subject_id"]: resident_from(row) for row in await cursor.fetchall()}


async def resident(conn: AsyncConnection[TupleRow], subject_id: UUID) -> Resident | None:
    """One resident, or None."""
    return (await residents(conn, [subject_id])).get(subject_id)


async def reveal(
    conn: AsyncConnection[TupleRow], subject_id: UUID, *, user: User, purpose: str, desk: Desk, now: datetime
) -> Identity:
    """Open an identity; the look and its purpose are audited. UnknownResident also when outside the user's sites."""
    row = await _identity_row(conn, subject_id, user)
    await audit.record(conn, actor=user.login, action="reveal", subject_id=subject_id, purpose=purpose, now=now)
    return _opened(row, desk.keys)


async def header(
    conn: AsyncConnection[TupleRow], subject_id: UUID, *, viewer: User, desk: Desk, now: datetime
) -> ResidentHeader:
    """The page header; audited as a look at the record. Raises UnknownResident, NotAllowed."""
    row = await _identity_row(conn, subject_id, viewer)
    who = _opened(row, desk.keys)
    person = resident_from(row)
    held = bool(row["held"])
    await audit.record(
        conn,
        actor=viewer.login,
        action="view_resident",
        subject_id=subject_id,
        purpose="claimed" if held else "",
        now=now,
    )
    phone = who.phone and (who.phone if held else masked_phone(who.phone))
    return ResidentHeader(
        resident=person,
        age=person.age_on(desk.day(now)),
        name_shown=who.name if held else masked_name(who.name),
        phone_shown=phone,
        id_number_shown=who.id_number and masked_id_number(who.id_number),
        allergies=who.allergies,
        revealed=held,
    )


async def find(conn: AsyncConnection[TupleRow], *, number: str, viewer: User, desk: Desk, now: datetime) -> list[UUID]:
    """Residents of the viewer's sites with exactly this ID number, phone or record code; audited without the number."""
    require_clinical(viewer)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _SQL["find"],
            {
                "id_number": desk.keys.index("id_number", number),
                "phone": desk.keys.index("phone", number),
                "record_code": number.strip(),
                "sites": list(viewer.sites),
            },
        )
        found = [row["subject_id"] for row in await cursor.fetchall()]
    await audit.record(conn, actor=viewer.login, action="find_resident", detail={"found": len(found)}, now=now)
    return found


async def rotate(conn: AsyncConnection[TupleRow], *, keys: Keys, now: datetime, limit: int = 500) -> int:
    """Seal identities of retired keys anew with the current one; how many. Call until 0."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["sealed_with_other_keys"], {"key_id": keys.current, "limit": limit})
        rows = await cursor.fetchall()
        for row in rows:
            await cursor.execute(_SQL["reseal"], _sealed(row["subject_id"], _opened(row, keys), keys) | {"now": now})
    return len(rows)


def age_on(birth_date: date, day: date) -> int:
    """Completed years on a day."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


async def reach(conn: AsyncConnection[TupleRow], subject_id: UUID, *, viewer: User, desk: Desk) -> Identity:
    """Name and numbers for somebody who holds an open item of this person. Raises UnknownResident, NotAllowed."""
    row = await _identity_row(conn, subject_id, viewer)
    if not row["held"]:
        raise NotAllowed("only whoever holds an open item of this person sees how to reach them")
    return _opened(row, desk.keys)


def rule_resident(resident: Resident) -> evaluation_record.Resident:
    """What the rules may know of a resident."""
    return evaluation_record.Resident(
        birth_date=resident.birth_date,
        sex=resident.sex,
        registers=frozenset(resident.programmes),
        pregnant=resident.pregnant,
        lactating=resident.lactating,
    )


def open_name(row: Mapping[str, Any], keys: Keys) -> str:
    """The name in a row that selects `subject_id`, `key_id` and `name`: for lists that show it masked."""
    return keys.unseal(row["subject_id"], "name", row["key_id"], row["name"])


def resident_from(row: Mapping[str, Any]) -> Resident:
    """A row of the query `residents` as a value."""
    code = row["record_code"]
    return Resident(
        subject_id=row["subject_id"],
        sex=row["sex"],
        birth_date=row["birth_date"],
        registers=tuple(
            Registered(programme=name, since=since)
            for name, since in zip(row["programmes"], row["programmes_since"], strict=True)
        ),
        site=row["site"],
        record_code=code[-8:] if code else None,
        family_doctor=row["family_doctor"],
        consented_on=row["consented_on"],
        pregnant=row["pregnant"],
        lactating=row["lactating"],
        simulated=row["simulated"],
        state=row["state"],
    )


async def _identity_row(conn: AsyncConnection[TupleRow], subject_id: UUID, viewer: User) -> dict[str, Any]:
    require_clinical(viewer)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["identity"], {"subject_id": subject_id, "user_id": viewer.user_id})
        row = await cursor.fetchone()
    if row is None or (EVERY_SITE not in viewer.sites and row["site"] not in viewer.sites):
        raise UnknownResident
    return row


def _sealed(subject_id: UUID, who: NewPatient | Identity, keys: Keys) -> dict[str, Any]:
    values: dict[str, str | None] = {field: getattr(who, field) for field in _FIELDS}
    sealed = {field: text and keys.seal(subject_id, field, text) for field, text in values.items()}
    return {
        **{field: blob or None for field, blob in sealed.items()},
        "subject_id": subject_id,
        "key_id": keys.current,
        "id_number_index": keys.index("id_number", values["id_number"]) if values["id_number"] else None,
        "phone_index": keys.index("phone", values["phone"]) if values["phone"] else None,
    }


def _opened(row: Mapping[str, Any], keys: Keys) -> Identity:
    owner, key_id = row["subject_id"], row["key_id"]
    optional = {field: keys.unseal(owner, field, key_id, row[field]) if row[field] else None for field in _FIELDS[1:]}
    return Identity(name=open_name(row, keys), **optional)
