"""A message on its way into the database: taken apart, timed and checked, with nothing asked of the database yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from devices import decoding, message
from devices.clock import FUTURE_WITHIN
from devices.errors import MalformedMessage
from devices.meaning import meaning_error, short, time_error, value_notices
from devices.message import Reason, Remark, Topic
from devices.observation import Fact, Observation
from ingest import columns
from ingest.columns import Rows
from ingest.quarantine import Refusal
from ingest.rows import SHAPES, Row, microseconds, row_of, surely_possible
from ingest.series_columns import plain_series

_IMPLAUSIBLE: Final = int(Fact.IMPLAUSIBLE)
_LONGEST_TOPIC: Final = 200
"""More than any topic of the contract has; MQTT allows 65535 octets, an index of PostgreSQL 2704."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a measured time may be from its reception before the reading waits in quarantine."""

    future: timedelta = FUTURE_WITHIN
    ancient: timedelta = timedelta(days=1096)


@dataclass(slots=True)
class Intake:
    """One message: rows to store, and what was refused. `topic` is None where even the topic cannot be understood."""

    topic_text: str
    topic: Topic | None
    received_at: datetime
    payload: bytes
    payload_sha256: str
    message_id: str
    sent: int
    affinity: str = ""
    """What decides the writer: the first device, of what can be stored and what cannot. It follows from the message
    alone: two processes that receive it at different times must agree which of them stores it."""
    rows: Rows = columns.NONE
    refused: list[Remark] = field(default_factory=list)
    notices: list[Remark] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)

    def keep(self, rows: Rows) -> None:
        """Have these rows, and know their names."""
        self.rows = rows
        self.devices = set(rows.devices)
        self.sessions = {uid for uid in rows.sessions or () if uid is not None}

    def content(self, item: int) -> bytes:
        """The JSON of one accepted observation: read once more, since hardly any is asked for and none is held."""
        if item not in self.contents:
            for index, observation in decoding.decode(self.payload).observations:
                self.contents[index] = message.encode_observation(observation)
        return self.contents[item]

    def refusals(self) -> list[Refusal]:
        """As the quarantine keeps them."""
        return [
            Refusal(
                self.received_at,
                self.topic_text,
                self.message_id,
                remark.index,
                self.contents.get(remark.index, self.payload),
                remark.field,
                remark.reason,
                remark.detail,
            )
            for remark in self.refused
        ]


def take(topic_text: str, payload: bytes, received_at: datetime, limits: Limits) -> Intake:
    """Never raises for what a stranger sent: what cannot be read becomes a refusal of the message itself (item -1),
    which counts as one observation sent and one refused."""
    digest = message.digest(payload)
    topic_text = topic_text[:_LONGEST_TOPIC]
    topic: Topic | None = None
    try:
        topic = message.parse_topic(topic_text)
        whole = decoding.decode_whole(payload)
        decoded = decoding.decode(payload) if whole is None else None
    except MalformedMessage as error:
        reason = Reason.TOO_LARGE if len(payload) > message.MOST_BYTES else Reason.MALFORMED
        if topic is None:
            topic_text = short(topic_text)
        intake = Intake(topic_text, topic, received_at, payload, digest, digest, 1, affinity=topic_text)
        intake.refused.append(Remark(-1, error.field, reason, error.detail))
        return intake
    if decoded is not None:
        sent = len(decoded.observations) + len(decoded.refused)
        affinity = decoded.observations[0][1].device if decoded.observations else topic_text
        intake = Intake(topic_text, topic, received_at, payload, digest, decoded.message_id, sent, affinity)
        intake.refused.extend(decoded.refused)
        intake.contents.update(decoded.contents)
        intake.keep(columns.of_rows(_rows(intake, decoded.observations, limits)))
        return intake
    assert whole is not None
    size = len(whole.observations) + sum(map(len, whole.series))
    affinity = whole.observations[0].device if whole.observations else whole.series[0].device
    intake = Intake(topic_text, topic, received_at, payload, digest, whole.message_id, size, affinity)
    within = microseconds(received_at - limits.ancient), microseconds(received_at + limits.future)
    parts, others = columns.plain(whole.observations, *within)
    left = [(index, whole.observations[index]) for index in others]
    index = len(whole.observations)
    for series in whole.series:
        if (remark := decoding.uneven_series(index, series)) is not None:
            intake.sent -= len(series) - 1
            intake.refused.append(remark)
            intake.contents[index] = message.encode_series(series)
            index += 1
            continue
        rows, positions = plain_series(series, index, *within)
        parts.append(rows)
        left.extend((index + position, series.observation(position)) for position in positions)
        index += len(series)
    if left:
        parts.append(columns.of_rows(_rows(intake, _meant(intake, left), limits)))
    intake.keep(columns.joined(parts))
    return intake


def _meant(intake: Intake, observations: Sequence[tuple[int, Observation]]) -> Iterator[tuple[int, Observation]]:
    """Those that say something; the others are refused."""
    for index, observation in observations:
        if (remark := meaning_error(index, observation)) is None:
            yield index, observation
        else:
            intake.refused.append(remark)
            intake.contents[index] = message.encode_observation(observation)


def _rows(intake: Intake, observations: Iterable[tuple[int, Observation]], limits: Limits) -> list[Row]:
    """One by one, whatever they are; those at an impossible time are refused."""
    earliest, latest = intake.received_at - limits.ancient, intake.received_at + limits.future
    rows: list[Row] = []
    for index, observation in observations:
        if earliest <= observation.measured_at <= latest:
            rows.append(_row(index, observation, intake.notices))
            continue
        remark = time_error(index, observation, intake.received_at, future=limits.future, ancient=limits.ancient)
        assert remark is not None
        intake.refused.append(remark)
        intake.contents[index] = message.encode_observation(observation)
    return rows


def _row(index: int, observation: Observation, notices: list[Remark]) -> Row:
    shape = SHAPES[observation.kind, observation.unit]
    facts = 0
    if not surely_possible(shape, observation.values) and (found := value_notices(index, observation)):
        notices.extend(found)
        facts = _IMPLAUSIBLE
    return row_of(index, observation, shape, facts)
