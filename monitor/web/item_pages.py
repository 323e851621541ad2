"""One item: its page and pane, and what a nurse does with it. Claims are never optimistic: the server decides."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from monitor import followups
from monitor import queue as work
from monitor.followups import AcknowledgeReason, ClaimReason, CloseReason, GiveBackReason
from monitor.outcomes import Outcome
from monitor.web import wording
from monitor.web.failures import Unseen
from monitor.web.item_view import outcomes, pane_values
from monitor.web.queue_pages import frame
from monitor.web.queue_rows import Row, row_of
from monitor.web.viewing import Looking, SignedIn, here_again, markup, render, see_other

router = APIRouter(prefix="/items/{followup_id}")


@router.get("")
async def item_page(looking: SignedIn, followup_id: int, shown: str = "") -> Response:
    """The page of an item; for HTMX its pane, and 204 when that would be what is `shown`."""
    viewing = looking.viewing
    if not viewing.fetched:
        return await _page(looking, await _pane(looking, followup_id, alone=True))
    if shown and shown == (await _seen(looking, followup_id)).shown:
        return Response(status_code=204)
    pane = render(looking.shared, viewing, "_pane.html", **await _pane(looking, followup_id, alone=viewing.alone))
    if not shown and viewing.at.startswith("/queue"):
        pane.headers["HX-Replace-Url"] = _with_item(viewing.at, followup_id)
    return pane


@router.get("/row")
async def item_row(looking: SignedIn, followup_id: int, shown: str = "") -> Response:
    """The row of an item as it now is, also when it is closed; 204 when that would be what is `shown`."""
    row = await _seen(looking, followup_id)
    if shown == row.shown:
        return Response(status_code=204)
    return HTMLResponse(_markup_of(looking, row, changed=True))


@router.post("/claim")
async def claim(looking: SignedIn, followup_id: int, back: Annotated[str, Form()] = "") -> Response:
    """Take the item; 409 when somebody else has it. `back`: where a plain form wants to be afterwards."""
    t, viewing = looking.viewing.t, looking.viewing
    result = await followups.claim(looking.conn, followup_id, user=looking.user, now=viewing.now)
    if result.reason is ClaimReason.UNKNOWN:
        raise Unseen
    if result.reason is ClaimReason.CLOSED:
        return await _answer(looking, followup_id, t("claim.lost_closed"), 409, lost=True, back=back)
    if result.reason is ClaimReason.HELD_BY_ANOTHER:
        item = await work.item(
            looking.conn, followup_id, viewer=looking.user, desk=looking.shared.desk, now=viewing.now
        )
        ago, who = "", ""
        if item and item.claimed_at:
            since = wording.wait(viewing.now - item.claimed_at, t, seconds=True)
            ago, who = t("wait.ago", wait=since), item.name_shown
        said = t("claim.lost", name=result.holder_name or "", ago=ago, who=who)
        return await _answer(looking, followup_id, said, 409, lost=True, back=back)
    return await _answer(looking, followup_id, t("claim.yours"), back=back)


@router.post("/release")
async def release(looking: SignedIn, followup_id: int) -> Response:
    """Give the item back to the queue."""
    t = looking.viewing.t
    reason = await followups.give_back(looking.conn, followup_id, user=looking.user, now=looking.viewing.now)
    if reason is GiveBackReason.UNKNOWN:
        raise Unseen
    if reason is GiveBackReason.GIVEN_BACK:
        return await _answer(looking, followup_id, t("claim.given_back"))
    return await _answer(looking, followup_id, t("close.not_yours"), 409)


@router.post("/acknowledge")
async def acknowledge(looking: SignedIn, followup_id: int) -> Response:
    """Confirm receipt without claiming."""
    t = looking.viewing.t
    reason = await followups.acknowledge(looking.conn, followup_id, user=looking.user, now=looking.viewing.now)
    if reason is AcknowledgeReason.UNKNOWN:
        raise Unseen
    if reason is AcknowledgeReason.CLOSED:
        return await _answer(looking, followup_id, t("claim.lost_closed"), 409)
    return await _answer(looking, followup_id, t("claim.acknowledged"))


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
        return await _refuse(looking, followup_id, t("close.choose"), chosen=outcome, note=note)
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
        return await _refuse(looking, followup_id, t("close.note_required"), chosen=outcome, note=note)
    if result.reason in {CloseReason.NOT_YOURS, CloseReason.ALREADY_CLOSED}:
        said = t("close.not_yours" if result.reason is CloseReason.NOT_YOURS else "close.already")
        return await _answer(looking, followup_id, said, 409)
    word = t("action.not_reached") if result.reason is CloseReason.RETURNED else t("row.closed")
    chosen = next(c.word for c in outcomes(looking.viewing) if c.value == outcome)
    said = word if result.reason is CloseReason.RETURNED else f"{word}{'：' if t.chinese else ': '}{chosen}"
    return await _answer(looking, followup_id, said, after="/queue")


async def _pane(looking: Looking, followup_id: int, *, alone: bool) -> dict[str, Any]:
    values = await pane_values(looking, followup_id, alone=alone)
    if values is None:
        raise Unseen
    return values


async def _page(looking: Looking, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    around = await frame(looking, "queue", None, except_subject=values["row"].subject_id)
    return render(looking.shared, looking.viewing, "item.html", status, **(values | around))


async def _seen(looking: Looking, followup_id: int) -> Row:
    viewing = looking.viewing
    item = await work.item(looking.conn, followup_id, viewer=looking.user, desk=looking.shared.desk, now=viewing.now)
    if item is None:
        raise Unseen
    return row_of(item, viewing)


def _markup_of(looking: Looking, row: Row, *, changed: bool = False) -> str:
    return markup(looking.shared, looking.viewing, "_row.html", row=row, selected=0, changed=changed)


def _with_item(address: str, followup_id: int) -> str:
    path, _, query = address.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name != "item"]
    return f"{path}?{urlencode([*kept, ('item', followup_id)])}"


async def _answer(
    looking: Looking,
    followup_id: int,
    said: str,
    status: int = 200,
    *,
    lost: bool = False,
    after: str = "",
    back: str = "",
) -> Response:
    """To HTMX: the pane, the row and a toast as they now are. To a plain form: the page to look at next.

    `after`: where a finished item's own page leads; `lost`: somebody else was faster, so the toast offers what to do.
    """
    viewing, shared = looking.viewing, looking.shared
    if not viewing.fetched:
        return see_other(here_again(back) if back else after or f"/items/{followup_id}")
    if viewing.target == "strip":
        toast = render(shared, viewing, "_toast.html", status, said=said)
        toast.headers["HX-Trigger"] = "check"
        return toast
    if viewing.alone and after and status == HTTPStatus.OK:
        return Response(headers={"HX-Redirect": after})
    pane = await _pane(looking, followup_id, alone=viewing.alone)
    return render(
        shared, viewing, "_acted.html", status, **pane, said=said, look=followup_id if lost else 0, selected=0
    )


async def _refuse(looking: Looking, followup_id: int, problem: str, *, chosen: str, note: str) -> Response:
    values = await _pane(looking, followup_id, alone=True) | {"problem": problem, "chosen": chosen, "note": note}
    if not looking.viewing.fetched:
        return await _page(looking, values, 422)
    # only the form comes back: what was ticked beside it stays
    form = render(looking.shared, looking.viewing, "_close.html", 422, **values)
    form.headers["HX-Retarget"], form.headers["HX-Reswap"] = "#close", "outerHTML"
    return form
