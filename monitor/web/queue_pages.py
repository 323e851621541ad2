"""The queue: the page, its rows as a fragment for live refreshing, and what every other page shows of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from monitor import queue as work
from monitor.queue import Item
from monitor.severity import KIND_ORDER, ItemKind, Severity
from monitor.web import wording
from monitor.web.item_view import pane_values
from monitor.web.queue_rows import GHOST, MARKS, Row, row_of, sections_of
from monitor.web.technical_view import technical_lines
from monitor.web.texts import Texts
from monitor.web.viewing import Looking, SignedIn, render, see_other

router = APIRouter()
FIRST_ROWS: Final = 30
Shown = Annotated[list[str] | None, Query()]
DUE_KINDS: Final = frozenset({ItemKind.RECHECK.value, ItemKind.REFERRAL_CHECK.value, ItemKind.TWO_WEEKS.value})
_CHIPS: Final = (
    ("all", None, None),
    ("emergency", Severity.EMERGENCY, {ItemKind.EMERGENCY.value}),
    ("worsening", Severity.WORSENING, {ItemKind.WORSENING.value}),
    ("due", Severity.DUE, DUE_KINDS),
    ("screening", None, {ItemKind.SCREENING.value}),
    ("regular", None, {ItemKind.REGULAR.value}),
    ("technical", None, {ItemKind.TECHNICAL.value}),
)
KEYS: Final = (
    (("J", "K", "↓", "↑"), "move"),
    (("Enter",), "open"),
    (("Esc",), "back"),
    (("C",), "claim_again"),
    (("N",), "next"),
    (("T",), "call"),
    (("A",), "acknowledge"),
    (("E",), "close_item"),
    (("1", "…", "9", "0"), "digits"),
    (("R",), "newer"),
    (("F",), "filter"),
    (("/",), "find"),
    (("G", "Q"), "go_queue"),
    (("G", "R"), "go_residents"),
    (("G", "U"), "go_unassigned"),
    (("F2",), "take"),
    (("?",), "all_keys"),
)
SHOWN_KEYS: Final = (
    (("J", "K"), "move"),
    (("Enter",), "open"),
    (("C",), "claim"),
    (("N",), "next"),
    (("T",), "call_short"),
    (("E",), "close_short"),
    (("F",), "filter"),
)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter of the queue: a link with its count."""

    name: str
    href: str
    word: str
    n: int
    css: str
    icon: str
    current: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """The oldest unclaimed emergency, as other pages show it."""

    id: int
    name: str
    simulated: bool
    sentence: str
    since: str
    wait: str


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the queue is shown. `kind`: a section, `due` for the dated ones, empty for all."""

    kind: str
    mine: bool

    @property
    def active(self) -> bool:
        """Whether anything is left out."""
        return bool(self.kind) or self.mine

    def keeps(self, item: Item) -> bool:
        """Whether an item passes."""
        return not self.kind or item.kind == self.kind or (self.kind == "due" and item.kind in DUE_KINDS)

    @property
    def query(self) -> str:
        """As the address carries it."""
        values = {"kind": self.kind} if self.kind else {}
        values |= {"mine": "1"} if self.mine else {}
        return f"?{urlencode(values)}" if values else ""


@router.get("/")
async def front() -> Response:
    """The desk begins at the queue."""
    return see_other("/queue")


@router.get("/queue")
async def queue_page(looking: SignedIn, kind: str = "", mine: str = "", item: int = 0) -> HTMLResponse:
    """The queue with the pane of one item: the one asked for, else the first."""
    chosen = _filter(kind, mine)
    values = await _rows(looking, chosen, item)
    viewing = looking.viewing
    detail = {}
    if values["selected"]:
        detail = await pane_values(looking, values["selected"]) or {}
    t, counts = viewing.t, values["counts"]
    page = await frame(looking, "mine" if chosen.mine else "queue", values["unclaimed"], strip=False)
    return render(
        looking.shared,
        viewing,
        "queue.html",
        **({"detail": None, "alone": False} | detail | page | values),
        chips=_chips(counts, chosen, t),
        has_rows=bool(values["shown"]),
        filtered=chosen.active,
        newer=0,
        shown_keys=[(names, t(f"keys.{key}")) for names, key in SHOWN_KEYS],
        printed_at=wording.moment(viewing.now, viewing.now, viewing.zone, t),
    )


@router.get("/queue/items")
async def queue_items(
    looking: SignedIn, kind: str = "", mine: str = "", item: int = 0, shown: Shown = None
) -> HTMLResponse:
    """The whole list again, in its order; what was not among the `shown` is marked as new."""
    chosen = _filter(kind, mine)
    values = await _rows(looking, chosen, item)
    known = set(_marks(shown or [])) if shown else None
    around = _around(values, chosen, looking.viewing.t, has_rows=bool(values["shown"]))
    return render(looking.shared, looking.viewing, "_list.html", **(values | around), known=known, newer=0)


@router.get("/queue/changes")
async def queue_changes(looking: SignedIn, kind: str = "", mine: str = "", shown: Shown = None) -> HTMLResponse:
    """What differs from the rows a page says it shows (`5:mark`): each changed row in its place, new emergencies on top
    of theirs, the number of other new rows, and every count. What left the list stays as it ended."""
    chosen, marks = _filter(kind, mine), _marks(shown or [])
    values = await _rows(looking, chosen, 0)
    every: dict[int, Row] = values["every"]
    arrived = [row for section in values["sections"] for row in section.rows if row.id not in marks]
    sudden = [row for row in arrived if row.kind == ItemKind.EMERGENCY]
    changed = [every[key] for key, mark in marks.items() if key in every and every[key].mark != mark]
    vanished = []
    for key in [key for key, mark in marks.items() if key not in every and mark != GHOST]:
        left = await work.item(
            looking.conn, key, viewer=looking.user, desk=looking.shared.desk, now=looking.viewing.now
        )
        row = row_of(left, looking.viewing) if left else None
        if row is None:
            vanished.append(key)
        elif row.mark != marks[key]:
            changed.append(row)
    around = _around(values, chosen, looking.viewing.t, has_rows=bool(marks or sudden))
    return render(
        looking.shared,
        looking.viewing,
        "_changes.html",
        **(values | around),
        rows_changed=changed,
        vanished=vanished,
        sudden=sudden,
        newer=len(arrived) - len(sudden),
    )


@router.get("/strip")
async def emergency_strip(looking: SignedIn, about: UUID | None = None, shown: str = "") -> Response:
    """The strip of pages that are not the queue, and the counts; 204 when that would be what is `shown`.

    about: whose page it is, their own emergency stands on it already.
    """
    values = await frame(looking, "", None, except_subject=about)
    if shown == values["strip_mark"]:
        return Response(status_code=204)
    return render(looking.shared, looking.viewing, "_stripped.html", **values, said="")


async def frame(
    looking: Looking, here: str, unclaimed: int | None, *, strip: bool = True, except_subject: UUID | None = None
) -> dict[str, Any]:
    """What every page shows around its own content: count and strip of unclaimed emergencies, keys, script words.

    `except_subject`: a resident whose own page needs no strip about them.
    """
    viewing, t = looking.viewing, looking.viewing.t
    shown: list[Item] = []
    unassigned = 0
    if strip or unclaimed is None:
        found = await work.queue(
            looking.conn,
            viewer=looking.user,
            desk=looking.shared.desk,
            now=viewing.now,
            kind=ItemKind.EMERGENCY.value,
        )
        waiting = [item for item in found.items if item.holder_id is None]
        unclaimed, unassigned = len(waiting), found.counts["unassigned"]
        shown = [item for item in waiting if item.state == "open" and item.subject_id != except_subject]
    first = row_of(shown[0], viewing) if shown else None
    technical = await technical_lines(looking.conn, viewing)
    return {
        "technical": technical,
        "here": here,
        "unclaimed": unclaimed,
        "words": json.dumps(t.below("js"), ensure_ascii=False),
        "keys": [(names, t(f"keys.{key}")) for names, key in KEYS],
        "unassigned": unassigned,
        "strip_mark": f"{first.shown if first else ''}-{len(shown)}-{unclaimed}-{unassigned}-{len(technical)}",
        "strip": first and Strip(first.id, first.name, first.simulated, first.plain, first.since, first.wait),
        "strip_more": max(0, len(shown) - 1),
        "strip_source": f"/strip?about={except_subject}" if except_subject else "/strip",
    }


def _filter(kind: str, mine: str) -> Filter:
    return Filter(kind if kind in {*KIND_ORDER, "due"} else "", mine == "1")


async def _rows(looking: Looking, chosen: Filter, wanted: int) -> dict[str, Any]:
    viewing = looking.viewing
    found = await work.queue(
        looking.conn, viewer=looking.user, desk=looking.shared.desk, now=viewing.now, mine=chosen.mine
    )
    rows: Sequence[Row] = [row_of(item, viewing) for item in found.items if chosen.keeps(item)]
    sections = sections_of(rows, found.counts, viewing.t, at_most=None if chosen.active else FIRST_ROWS)
    shown = [row.id for section in sections for row in section.rows]
    unclaimed = sum(1 for i in found.items if i.kind == ItemKind.EMERGENCY and i.holder_id is None)
    if chosen.mine:
        everything = await frame(looking, "", None)
        unclaimed = everything["unclaimed"]
    return {
        "sections": sections,
        "every": {row.id: row for row in rows},
        "query": chosen.query,
        "unassigned": found.counts["unassigned"],
        "technical": await technical_lines(looking.conn, viewing),
        "counts": found.counts | {"due": sum(found.counts.get(kind, 0) for kind in DUE_KINDS)},
        "unclaimed": unclaimed,
        "shown": len(shown),
        "selected": wanted if wanted in shown else (shown[0] if shown else 0),
    }


def _around(values: dict[str, Any], chosen: Filter, t: Texts, *, has_rows: bool) -> dict[str, Any]:
    """What stands around the rows and follows them."""
    return {
        "chips": _chips(values["counts"], chosen, t),
        "filtered": chosen.active,
        "has_rows": has_rows,
        "oob": "true",
    }


def _marks(shown: Sequence[str]) -> dict[int, str]:
    pairs = [entry.partition(":") for entry in shown]
    return {int(key): mark for key, _, mark in pairs if key.isascii() and key.isdecimal() and len(key) < 19}


def _chips(counts: dict[str, int], chosen: Filter, t: Texts) -> list[Chip]:
    found = []
    for name, severity, kinds in _CHIPS:
        n = counts["all"] if kinds is None else sum(counts.get(kind, 0) for kind in kinds)
        if name in {"screening", "technical"} and not n and chosen.kind != name:
            continue
        css, icon = MARKS[severity] if severity else ("", "")
        word = t("queue.all") if kinds is None else t(f"kind.{name}.word")
        current = not chosen.active if kinds is None else chosen.kind == name
        found.append(Chip(name, "/queue" if kinds is None else f"/queue?kind={name}", word, n, css, icon, current))
    found.append(Chip("mine", "/queue?mine=1", t("queue.mine"), counts["mine"], "", "", chosen.mine))
    return found
