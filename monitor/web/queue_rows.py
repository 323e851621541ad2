"""Rows and sections of the queue as the page shows them: what an item looks like and how its wait is said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from markupsafe import Markup

from monitor.queue import Item
from monitor.severity import KIND_ORDER, ItemKind, Severity
from monitor.web import wording
from monitor.web.texts import Texts
from monitor.web.viewing import Viewing

MARKS: Final = {
    Severity.EMERGENCY: ("emg", "emgw"),
    Severity.WORSENING: ("wrn", "wrn"),
    Severity.DUE: ("due", "due"),
    Severity.ROUTINE: ("rou", "rou"),
    Severity.TECHNICAL: ("tec", "tec"),
}
"""Severity -> (class of its colours, icon of its shape)."""
SECTION_MARKS: Final = {
    ItemKind.EMERGENCY: MARKS[Severity.EMERGENCY],
    ItemKind.WORSENING: MARKS[Severity.WORSENING],
    ItemKind.RECHECK: MARKS[Severity.DUE],
    ItemKind.REFERRAL_CHECK: MARKS[Severity.DUE],
    ItemKind.TWO_WEEKS: MARKS[Severity.DUE],
    ItemKind.SCREENING: MARKS[Severity.ROUTINE],
    ItemKind.REGULAR: MARKS[Severity.ROUTINE],
    ItemKind.TECHNICAL: MARKS[Severity.TECHNICAL],
}
_LATE: Final = {"zh": "迟到的读数：", "en": "Late reading:"}
GHOST: Final = "closed"
"""The mark of a closed row: nothing more happens to it."""
_TICKING: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One row, ready to print. `mark` changes whenever something of the row does; `say` is read out on arrival."""

    id: int
    subject_id: UUID
    kind: str
    severity: str
    state: str
    css: str
    icon: str
    word: str
    name: str
    sex_age: str
    simulated: bool
    meta: str
    sentence: Markup
    plain: str
    wait: str
    wait_word: str
    wait_css: str
    wait_note: str
    since: str
    ticks: bool
    holder: str
    face: str
    mine: bool
    hold_note: str
    ghost: bool
    late: bool
    say: str
    mark: str

    @property
    def shown(self) -> str:
        """What an open page says it shows of this item; whatever differs is sent to it."""
        return f"{self.id}:{self.mark}"

    @property
    def css_row(self) -> str:
        """Classes of the `<tr>`: the red ground always means that nobody has claimed it."""
        names = []
        if self.severity == Severity.EMERGENCY and not self.ghost:
            names.append("is-emg")
        if self.holder and not self.ghost:
            names.append("is-held")
        if self.ghost:
            names.append("is-ghost")
        return " ".join(names)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the queue; it exists on the page also when empty, so that an emergency has a place to arrive at."""

    kind: str
    css: str
    icon: str
    word: str
    note: str
    rows: Sequence[Row]
    total: int


def row_of(item: Item, viewing: Viewing) -> Row:
    """The row of an item for this viewer."""
    t, now = viewing.t, viewing.now
    css, icon = MARKS[Severity(item.severity)]
    ghost = item.state == "closed"
    mine = viewing.user is not None and item.holder_id == viewing.user.user_id
    emergency = item.severity == Severity.EMERGENCY
    unclaimed = item.holder_id is None and not ghost
    began = t("row.since", clock=wording.start(item.raised_at, now, viewing.zone))
    waited = now - item.raised_at
    sentence = item.sentence_zh if t.chinese else item.sentence_en
    # what the rules append about lateness is a tag here, so that the row keeps to what was measured
    sentence, _, lateness = sentence.partition(_LATE[t.language])
    plain = wording.nearer(sentence.strip(), now, viewing.zone, t)
    dated = item.due_on is not None and not emergency
    if ghost:
        wait, wait_css, wait_note = t("row.closed"), "", ""
    elif dated and item.due_on is not None:
        today = now.astimezone(viewing.zone).date()
        wait, wait_note = (
            wording.due(item.due_on, today, t),
            t("row.until", day=wording.short_day(item.due_on, today)),
        )
        left = (item.due_on - today).days
        wait_css = "wrn" if left < 0 else "due" if left == 0 else ""
    elif not unclaimed:
        # somebody has it: nobody waits any more
        wait, wait_css, wait_note = began, "", ""
    else:
        ticking = emergency and waited < _TICKING
        wait, wait_css = wording.wait(waited, t, seconds=ticking), "emg" if emergency else ""
        wait_note = began
    if item.repeats and not ghost:
        wait_note = " · ".join(part for part in (wait_note, t("row.repeats", n=item.repeats)) if part)
    holder = (t("row.me") if mine else item.holder_name or "") if item.holder_id is not None else ""
    programmes = [programme_word(name, t) for name in item.programmes]
    shown = (
        item.followup_id, item.state, item.holder_id, item.sentence_zh, item.repeats, item.name_shown, item.severity,
        t.language,
    )  # fmt: skip
    return Row(
        id=item.followup_id,
        subject_id=item.subject_id,
        kind=item.kind,
        severity=item.severity,
        state=item.state,
        css=css,
        icon=icon,
        word=t(f"severity.{item.severity}"),
        name=item.name_shown,
        sex_age=t("sex.age", sex=t(f"sex.{item.sex_code}"), age=item.age),
        simulated=item.simulated,
        meta=" · ".join([*programmes, item.site]),
        sentence=wording.emphasise(plain, f"t-{css}" if emergency else ""),
        plain=plain,
        wait=wait,
        wait_word=t("row.due") if dated else t("row.waiting") if unclaimed else "",
        wait_css=wait_css,
        wait_note=wait_note,
        since=item.raised_at.isoformat() if unclaimed and not dated else "",
        ticks=emergency and unclaimed,
        holder=holder,
        face=(viewing.user.name if mine and viewing.user else item.holder_name or "")[:1],
        mine=mine,
        hold_note=_hold_note(item, viewing, ghost=ghost),
        ghost=ghost,
        late=item.late or bool(lateness),
        say="，".join([plain.rstrip("。."), item.site]) if t.chinese else f"{plain.rstrip('.')}, {item.site}",
        mark=GHOST if ghost else hashlib.sha256(repr(shown).encode()).hexdigest()[:12],
    )


def sections_of(rows: Sequence[Row], counts: dict[str, int], t: Texts, *, at_most: int | None) -> list[Section]:
    """All sections in the domain's order; every class below worsening shows at most `at_most` rows at first."""
    sections = []
    for kind in KIND_ORDER:
        css, icon = SECTION_MARKS[ItemKind(kind)]
        mine = [row for row in rows if row.kind == kind]
        capped = at_most is not None and kind not in {ItemKind.EMERGENCY, ItemKind.WORSENING}
        sections.append(
            Section(
                kind=kind,
                css=css,
                icon=icon,
                word=t(f"kind.{kind}.word"),
                note=t(f"kind.{kind}.note"),
                rows=mine[:at_most] if capped else mine,
                total=counts.get(kind, len(mine)) if at_most is not None else len(mine),
            )
        )
    return sections


def programme_word(name: str, t: Texts) -> str:
    """The programme's name; a programme without a text keeps its own."""
    key = f"programme.{name}"
    return t(key) if t.has(key) else name


def _hold_note(item: Item, viewing: Viewing, *, ghost: bool) -> str:
    t = viewing.t
    if ghost:
        return t("row.closed_by", name=item.holder_name) if item.holder_name else t("row.closed")
    if item.claimed_at is not None and item.holder_id is not None:
        return t("row.claimed_at", clock=wording.start(item.claimed_at, viewing.now, viewing.zone))
    return t("row.acknowledged") if item.state == "acknowledged" else ""
