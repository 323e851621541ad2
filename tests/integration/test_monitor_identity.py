"""The identity door, the audit trail and the accounts, on the real tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from monitor import access, audit, patients
from monitor.access import LogInReason
from monitor.audit import Broken, Fault
from monitor.errors import DuplicateIdentity, LoginTaken, NotAllowed, UnknownResident, WeakPassword
from monitor.followups import Outcome
from monitor.identity import Keys
from tests.fix_monitor import NOW, PASSWORD, Stage, cuff

MINUTE = timedelta(minutes=1)
_TABLES = (
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
    " WHERE schemaname IN ('monitor', 'telemetry') ORDER BY 1"
)


async def test_no_table_holds_a_name_or_a_number_in_clear(stage: Stage) -> None:
    await stage.resident("陈秀兰")
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    await stage.close(item.followup_id, nurse, Outcome.REACHED_ADVISED, "陈秀兰的女儿接的电话，13912345678")
    dumped = {}
    for (table,) in await stage.rows(_TABLES):
        dumped[table] = "\n".join(row for (row,) in await stage.rows(f"SELECT to_jsonb(t)::text FROM {table} t"))
    assert "emergency" in dumped["monitor.finding"]
    found = await stage.rows("SELECT octet_length(note) FROM monitor.followup_event WHERE note IS NOT NULL")
    assert len(found) == 1
    secrets = ["陈秀兰", "陈大明", "女儿", "青霉素", "138000", "139000", "13912345678", "1101051955"]
    for table, text in dumped.items():
        for secret in secrets:
            assert secret not in text, (table, secret)
            assert secret.encode().hex() not in text, (table, secret)


async def test_a_resident_is_found_by_number_without_decryption(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()
    async with stage.conn.transaction():
        who = await patients.reveal(stage.conn, subject_id, user=nurse, purpose="电话随访", desk=stage.desk, now=NOW)
        assert who.phone is not None
        assert who.id_number is not None
        for number in (who.phone, f"+86 {who.phone}", who.id_number):
            found = await patients.find(stage.conn, number=number, viewer=nurse, desk=stage.desk, now=NOW)
            assert found == [subject_id]
        assert await patients.find(stage.conn, number="1", viewer=nurse, desk=stage.desk, now=NOW) == []


async def test_a_reveal_is_audited_with_its_purpose_and_without_the_name(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()
    async with stage.conn.transaction():
        who = await patients.reveal(stage.conn, subject_id, user=nurse, purpose="电话随访", desk=stage.desk, now=NOW)
    assert who.name == "陈秀兰"
    entry = (await audit.entries(stage.conn, subject_id=subject_id))[0]
    assert (entry.actor, entry.action, entry.purpose) == ("wang", "reveal", "电话随访")
    assert "陈秀兰" not in repr(who)


async def test_the_header_is_masked_until_the_viewer_holds_an_item(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    async with stage.conn.transaction():
        head = await patients.header(stage.conn, subject_id, viewer=nurse, desk=stage.desk, now=NOW)
    assert (head.name_shown, head.revealed, head.age, head.allergies) == ("陈*兰", False, 71, "青霉素")
    assert head.phone_shown is not None
    assert "****" in head.phone_shown
    assert head.resident.record_code is not None
    assert len(head.resident.record_code) == 8
    await stage.claim(item.followup_id, nurse)
    async with stage.conn.transaction():
        head = await patients.header(stage.conn, subject_id, viewer=nurse, desk=stage.desk, now=NOW)
    assert (head.name_shown, head.revealed) == ("陈秀兰", True)
    assert head.phone_shown is not None
    assert "*" not in head.phone_shown


async def test_whoever_holds_nothing_cannot_reach_and_whoever_is_elsewhere_cannot_look(stage: Stage) -> None:
    subject_id = await stage.resident(site="nanqiao")
    here, there = await stage.nurse(), await stage.nurse("zhang", "张敏", sites=("dongyuan",))
    with pytest.raises(NotAllowed):
        await patients.reach(stage.conn, subject_id, viewer=here, desk=stage.desk)
    for viewer, who in ((there, subject_id), (here, uuid4())):
        with pytest.raises(UnknownResident):
            await patients.header(stage.conn, who, viewer=viewer, desk=stage.desk, now=NOW)


async def test_the_same_identity_number_is_one_person(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()
    async with stage.conn.transaction():
        who = await patients.reveal(stage.conn, subject_id, user=nurse, purpose="t", desk=stage.desk, now=NOW)
        twin = patients.NewPatient(
            name="另一个", sex=1, birth_date=NOW.date(), site="dongyuan", id_number=who.id_number
        )
        with pytest.raises(DuplicateIdentity):
            await patients.add(stage.conn, twin, keys=stage.desk.keys, by="t", now=NOW)


async def test_rotation_seals_everybody_with_the_new_key(stage: Stage) -> None:
    subject_id = await stage.resident()
    await stage.resident("周明", device=None)
    old, fresh = stage.desk.keys, Keys.generate()
    both = replace(old, current="k2", ring=old.ring | {"k2": fresh.ring["k1"]})
    async with stage.conn.transaction():
        assert await patients.rotate(stage.conn, keys=both, now=NOW) == 2
        assert await patients.rotate(stage.conn, keys=both, now=NOW) == 0
    only_new = replace(both, ring={"k2": both.ring["k2"]})
    nurse = await stage.nurse()
    async with stage.conn.transaction():
        who = await patients.reveal(
            stage.conn, subject_id, user=nurse, purpose="t", desk=replace(stage.desk, keys=only_new), now=NOW
        )
    assert (who.name, who.allergies) == ("陈秀兰", "青霉素")


async def _some_trail(stage: Stage) -> None:
    subject_id = await stage.resident()
    for number in range(4):
        async with stage.conn.transaction():
            await audit.record(
                stage.conn, actor="wang", action="look", subject_id=subject_id, detail={"n": number}, now=NOW
            )


async def test_a_whole_audit_trail_verifies(stage: Stage) -> None:
    assert await audit.verify(stage.conn) is None
    await _some_trail(stage)
    assert await audit.verify(stage.conn) is None
    assert await stage.rows("SELECT count(*), max(seq) FROM monitor.audit") == [(5, 5)]


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE monitor.audit SET actor = 'somebody' WHERE seq = 3", Broken(seq=3, fault=Fault.CHANGED)),
        ("UPDATE monitor.audit SET at = at + interval '1 second' WHERE seq = 2", Broken(seq=2, fault=Fault.CHANGED)),
        ("UPDATE monitor.audit SET detail = '{\"n\": 7}' WHERE seq = 4", Broken(seq=4, fault=Fault.CHANGED)),
        ("DELETE FROM monitor.audit WHERE seq = 2", Broken(seq=2, fault=Fault.MISSING)),
        ("DELETE FROM monitor.audit WHERE seq = 5", Broken(seq=5, fault=Fault.MISSING)),
        ("UPDATE monitor.audit SET hash = sha256(hash) WHERE seq = 3", Broken(seq=3, fault=Fault.UNLINKED)),
        (
            "INSERT INTO monitor.audit (at, actor, action, purpose, detail, content)"
            " VALUES (now(), 'x', 'x', '', '{}', '')",
            Broken(seq=6, fault=Fault.UNSEALED),
        ),
    ],
)
async def test_tampering_with_the_audit_trail_shows(stage: Stage, tampering: str, broken: Broken) -> None:
    await _some_trail(stage)
    await stage.conn.execute("SET session_replication_role = replica")  # what only a superuser can: no triggers
    await stage.conn.execute(tampering.encode())
    await stage.conn.execute("SET session_replication_role = origin")
    assert await audit.verify(stage.conn) == broken


@pytest.mark.parametrize(
    "statement",
    ["UPDATE monitor.audit SET actor = 'x'", "DELETE FROM monitor.audit", "TRUNCATE monitor.audit"],
)
async def test_the_audit_trail_is_append_only(stage: Stage, statement: str) -> None:
    await _some_trail(stage)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await stage.conn.execute(statement.encode())
    assert await audit.verify(stage.conn) is None


async def test_five_wrong_passwords_lock_the_account_for_fifteen_minutes(stage: Stage) -> None:
    await stage.nurse()

    async def attempt(password: str, minutes: float) -> LogInReason:
        async with stage.conn.transaction():
            answer = await access.log_in(stage.conn, "wang", password, now=NOW + minutes * MINUTE)
        return answer.reason

    wrong = [await attempt("wrong", number) for number in range(5)]
    assert wrong == [LogInReason.WRONG] * 4 + [LogInReason.LOCKED]
    assert await attempt(PASSWORD, 18.9) is LogInReason.LOCKED
    assert await attempt(PASSWORD, 19.1) is LogInReason.WELCOME


async def test_a_success_forgets_earlier_failures(stage: Stage) -> None:
    await stage.nurse()
    for password in ["wrong"] * 4 + [PASSWORD] + ["wrong"] * 4 + [PASSWORD]:
        async with stage.conn.transaction():
            answer = await access.log_in(stage.conn, "wang", password, now=NOW)
    assert answer.reason is LogInReason.WELCOME


async def test_an_unknown_login_is_answered_like_a_wrong_password(stage: Stage) -> None:
    answer = await access.log_in(stage.conn, "nobody", "x", now=NOW)
    assert (answer.reason, answer.token) == (LogInReason.WRONG, None)


async def test_a_session_ends_when_idle_when_old_and_when_logged_out(stage: Stage) -> None:
    user = await stage.nurse()

    async def token(at: timedelta = timedelta()) -> str:
        answer = await access.log_in(stage.conn, "wang", PASSWORD, now=NOW + at)
        assert answer.token is not None
        return answer.token

    async def holder(secret: str, at: timedelta, *, touch: bool = True) -> access.User | None:
        return await access.session(stage.conn, secret, idle_minutes=30, now=NOW + at, touch=touch)

    first = await token()
    assert await holder(first, 29 * MINUTE) == user
    assert await holder(first, 58 * MINUTE, touch=False) == user
    assert await holder(first, 60 * MINUTE) is None
    second = await token()
    for quarters in range(1, 100):
        if await holder(second, quarters * 15 * MINUTE) is None:
            break
    assert quarters * 15 * MINUTE == access.SESSION_AT_MOST
    third = await token()
    await access.log_out(stage.conn, third, now=NOW)
    assert await holder(third, MINUTE) is None
    assert await holder("made up", MINUTE) is None
    ((stored,),) = await stage.rows("SELECT string_agg(encode(token_sha256, 'escape'), '') FROM monitor.login_session")
    assert second not in stored


async def test_a_short_password_and_a_taken_login_are_refused(stage: Stage) -> None:
    await stage.nurse()
    with pytest.raises(LoginTaken):
        await stage.nurse()
    with pytest.raises(WeakPassword):
        await access.add_user(
            stage.conn,
            login="li",
            name="李",
            role=access.Role.NURSE,
            sites=["*"],
            password="short",
            by="t",
            now=NOW,
        )
