"""One item: its page and pane, and what a nurse does with it. Claims are never optimistic: the server decides."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from monitor import followups
from monitor import queue as work
from monitor.followups import AcknowledgeReason, ClaimReason, CloseReason, GiveBackReason
from monitor.outcomes import Outcome
from monitor.web import wording
from monitor.web.failures import Unseen
from monitor.web.item_view import outcomes, pane_values
from monitor.web.queue_pages import frame
from monitor.web.queue_rows import row_of
from monitor.web.viewing import Looking, SignedIn, markup, render, see_other

router = APIRouter(prefix="/items/{followup_id}")


@router.get("")
async def item_page(looking: SignedIn, followup_id: int, request: Request) -> HTMLResponse:
    """The page of an item; with `X-Partial` its pane."""
    asked = request.headers.get("x-partial", "")
    values = await _pane(looking, followup_id, alone=asked in {"", "alone"})
    if asked:
        return render(looking.shared, looking.viewing, "_pane.html", **values)
    return await _page(looking, values)


@router.get("/row")
async def item_row(looking: SignedIn, followup_id: int) -> HTMLResponse:
    """The row of an item as it now is, also when it is closed."""
    return HTMLResponse(await _row(looking, followup_id))


@router.post("/claim")
async def claim(looking: SignedIn, followup_id: int) -> Response:
    """Take the item; 409 when somebody else has it."""
    t, viewing = looking.viewing.t, looking.viewing
    result = await followups.claim(looking.conn, followup_id, user=looking.user, now=viewing.now)
    if result.reason is ClaimReason.UNKNOWN:
        raise Unseen
    if result.reason is ClaimReason.CLOSED:
        return await _answer(looking, followup_id, result.reason, t("claim.lost_closed"), 409)
    if result.reason is ClaimReason.HELD_BY_ANOTHER:
        item = await work.item(
            looking.conn, followup_id, viewer=looking.user, desk=looking.shared.desk, now=viewing.now
        )
        ago, who = "", ""
        if item and item.claimed_at:
            since = wording.wait(viewing.now - item.claimed_at, t, seconds=True)
            ago, who = t("wait.ago", wait=since), item.name_shown
        said = t("claim.lost", name=result.holder_name or "", ago=ago, who=who)
        return await _answer(looking, followup_id, result.reason, said, 409)
    return await _answer(looking, followup_id, result.reason, t("claim.yours"))


@router.post("/release")
async def release(looking: SignedIn, followup_id: int) -> Response:
    """Give the item back to the queue."""
    t = looking.viewing.t
    reason = await followups.give_back(looking.conn, followup_id, user=looking.user, now=looking.viewing.now)
    if reason is GiveBackReason.UNKNOWN:
        raise Unseen
    if reason is GiveBackReason.GIVEN_BACK:
        return await _answer(looking, followup_id, reason, t("claim.given_back"))
    return await _answer(looking, followup_id, reason, t("close.not_yours"), 409)


@router.post("/acknowledge")
async def acknowledge(looking: SignedIn, followup_id: int) -> Response:
    """Confirm receipt without claiming."""
    t = looking.viewing.t
    reason = await followups.acknowledge(looking.conn, followup_id, user=looking.user, now=looking.viewing.now)
    if reason is AcknowledgeReason.UNKNOWN:
        raise Unseen
    if reason is AcknowledgeReason.CLOSED:
        return await _answer(looking, followup_id, reason, t("claim.lost_closed"), 409)
    return await _answer(looking, followup_id, reason, t("claim.acknowledged"))


@router.post("/close")
async def close(
    looking: SignedIn,
    followup_id: int,
    outcome: Annotated[str, Form()] = "",
    note: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """End the item with an outcome; a refusal keeps what was typed."""
    t = looking.viewing.t
    if outcome not in {known.value for known in Outcome}:
        return await _refuse(looking, followup_id, "misformed", problem=t("close.choose"), chosen=outcome, note=note)
    result = await followups.close(
        looking.conn,
        followup_id,
        user=looking.user,
        outcome=Outcome(outcome),
        note=note,
        desk=looking.shared.desk,
        now=looking.viewing.now,
    )
    if result.reason is CloseReason.UNKNOWN:
        raise Unseen
    if result.reason is CloseReason.NOTE_REQUIRED:
        return await _refuse(
            looking, followup_id, result.reason, problem=t("close.note_required"), chosen=outcome, note=note
        )
    if result.reason in {CloseReason.NOT_YOURS, CloseReason.ALREADY_CLOSED}:
        said = t("close.not_yours" if result.reason is CloseReason.NOT_YOURS else "close.already")
        return await _answer(looking, followup_id, result.reason, said, 409)
    word = t("action.not_reached") if result.reason is CloseReason.RETURNED else t("row.closed")
    chosen = next(c.word for c in outcomes(looking.viewing) if c.value == outcome)
    said = word if result.reason is CloseReason.RETURNED else f"{word}{'：' if t.chinese else ': '}{chosen}"
    return await _answer(looking, followup_id, result.reason, said, after="/queue")


async def _pane(looking: Looking, followup_id: int, *, alone: bool) -> dict[str, Any]:
    values = await pane_values(looking, followup_id, alone=alone)
    if values is None:
        raise Unseen
    return values


async def _page(looking: Looking, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    around = await frame(looking, "queue", None, except_subject=values["row"].subject_id)
    return render(looking.shared, looking.viewing, "item.html", status, **(values | around))


async def _row(looking: Looking, followup_id: int) -> str:
    viewing = looking.viewing
    item = await work.item(looking.conn, followup_id, viewer=looking.user, desk=looking.shared.desk, now=viewing.now)
    if item is None:
        raise Unseen
    return markup(looking.shared, viewing, "_row.html", row=row_of(item, viewing), selected=0)


async def _answer(
    looking: Looking, followup_id: int, outcome: str, said: str, status: int = 200, *, after: str = ""
) -> Response:
    """To the script: the row and the pane as they now are. To a plain form: the page to look at next."""
    viewing = looking.viewing
    if not viewing.fetched:
        return see_other(after or f"/items/{followup_id}")
    pane = markup(looking.shared, viewing, "_pane.html", **await _pane(looking, followup_id, alone=viewing.alone))
    row = await _row(looking, followup_id)
    body = {"outcome": str(outcome), "id": followup_id, "toast": said, "row": row, "pane": pane}
    return JSONResponse(body, status_code=status)


async def _refuse(
    looking: Looking, followup_id: int, outcome: str, problem: str, *, chosen: str, note: str
) -> Response:
    if looking.viewing.fetched:
        return JSONResponse({"outcome": str(outcome), "id": followup_id, "problem": problem}, status_code=422)
    values = await _pane(looking, followup_id, alone=True) | {"problem": problem, "chosen": chosen, "note": note}
    return await _page(looking, values, 422)
