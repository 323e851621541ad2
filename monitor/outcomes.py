"""What may come of a work item, in both languages of the desk, and what each outcome entails."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Outcome(enum.StrEnum):
    """How a nurse ends an item."""

    REACHED_CAME_IN = "reached_came_in"
    REACHED_ADVISED = "reached_advised"
    REFERRED = "referred"
    VISIT_DONE = "visit_done"
    NOT_REACHED = "not_reached"
    WRONG_NUMBER = "wrong_number"
    REFUSED = "refused"
    MOVED = "moved"
    DIED = "died"
    FALSE_ALARM = "false_alarm"


class OutcomeRule(NamedTuple):
    """`reached`: the person was spoken to or seen, what was measured before is dealt with. `returns`: the item waits
    again; `returns_pressing`: so it does when it is an emergency or a worsening. `patient_state`: what the person's
    record becomes."""

    zh: str
    en: str
    reached: bool = False
    note_required: bool = False
    returns: bool = False
    returns_pressing: bool = False
    patient_state: str | None = None


OUTCOMES: Final[dict[Outcome, OutcomeRule]] = {
    Outcome.REACHED_CAME_IN: OutcomeRule("已到站复测", "Came in and was re-measured", reached=True),
    Outcome.REACHED_ADVISED: OutcomeRule("已电话指导", "Advised by telephone", reached=True),
    Outcome.REFERRED: OutcomeRule("已转诊", "Referred", reached=True),
    Outcome.VISIT_DONE: OutcomeRule("已完成随访", "Follow-up visit done", reached=True),
    Outcome.NOT_REACHED: OutcomeRule("未接通", "Not reached", returns=True),
    Outcome.WRONG_NUMBER: OutcomeRule("号码有误", "Wrong number", returns_pressing=True),
    Outcome.REFUSED: OutcomeRule("拒绝随访", "Refused", reached=True, note_required=True),
    Outcome.MOVED: OutcomeRule("已迁出", "Moved away", patient_state="moved"),
    Outcome.DIED: OutcomeRule("已死亡", "Died", patient_state="deceased"),
    Outcome.FALSE_ALARM: OutcomeRule("误报（写明原因）", "False alarm (say why)", note_required=True),
}
