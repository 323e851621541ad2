"""What both sides of an association have in common: a state, a table, a stream, a question under way, a time limit."""

from __future__ import annotations

from devices.errors import DeviceError
from devices.ieee11073 import apdu, refusals
from devices.ieee11073.asking import Asking
from devices.ieee11073.association import Abrt, Rlre, Rlrq
from devices.ieee11073.codes import AbortReason, ReleaseReason
from devices.ieee11073.outputs import Output, Send
from devices.ieee11073.states import Do, Event, Row, State, Table, Timeouts


class Machine:
    """One association. state: where it stands."""

    def __init__(self, table: Table, timeouts: Timeouts) -> None:
        self.state = State.DISCONNECTED
        self._table = table
        self._timeouts = timeouts
        self._frames = apdu.Frames()
        self._asking = Asking(timeouts)
        self._by: float | None = None

    @property
    def unfinished(self) -> int | None:
        """The number, from 0 on, of the APDU that has begun and is not whole. None: none has begun."""
        return self._frames.whole if self._frames.partial else None

    def disconnected(self, now: float) -> list[Output]:
        """The transport is gone, and with it the association."""
        return self._happened(Event.TRANSPORT_DOWN, now)

    def release(self, now: float, reason: ReleaseReason = ReleaseReason.NORMAL) -> list[Output]:
        """End the association in good order."""
        found: list[Output] = []
        self._enter(Event.REQ_RELEASE, now, found, release=reason)
        return found

    def abort(self, now: float, reason: AbortReason = AbortReason.UNDEFINED) -> list[Output]:
        """End the association at once."""
        found: list[Output] = []
        self._enter(Event.REQ_ABORT, now, found, reason=reason)
        return found

    def _happened(self, event: Event, now: float) -> list[Output]:
        found: list[Output] = []
        self._enter(event, now, found)
        return found

    def _enter(
        self,
        event: Event,
        now: float,
        found: list[Output],
        *,
        reason: AbortReason = AbortReason.UNDEFINED,
        release: ReleaseReason = ReleaseReason.NORMAL,
    ) -> Row | None:
        """The row of the table for this event: into its next state, and what it says of the association itself.

        None: the table has no row, so the event cannot happen here and nothing follows from it.
        """
        row = self._table.get((self.state, event))
        if row is None:
            return None
        if row.next is not self.state:
            self._leaving(found)
        match row.do:
            case Do.ABORT:
                found.append(Send(apdu.encode(Abrt(reason))))
            case Do.SEND_RLRQ:
                found.append(Send(apdu.encode(Rlrq(release))))
            case Do.SEND_RLRE:
                found.append(Send(apdu.encode(Rlre())))
            case _:
                self._also(row.do, now, found)
        if row.next is not self.state:
            self._moved(row.next, event, now, found)
        return row

    def _leaving(self, found: list[Output]) -> None:
        """Before a state is left: what is still owed in it."""

    def _also(self, do: Do, now: float, found: list[Output]) -> None:
        """What only one of the two sides sends."""

    def _moved(self, state: State, event: Event, now: float, found: list[Output]) -> None:
        """Into another state: timers, queues, news."""
        raise AssertionError(f"{type(self).__name__} does not know how to be {state}")

    def _unreadable(self, frame: bytes, error: DeviceError, now: float, found: list[Output]) -> None:
        found.append(refusals.odd(frame, error))
        invoke_id = apdu.invoke_id_of(frame)
        if invoke_id is None:
            self._enter(Event.RX_GARBAGE, now, found)
        elif apdu.is_answer(frame):
            # nobody waits for an answer to an answer
            self._enter(Event.RX_RESULT if self._asking.expects(invoke_id) else Event.RX_STRAY_RESULT, now, found)
        else:
            found.extend(refusals.of_frame(invoke_id, error, self._enter(Event.RX_UNREADABLE, now, found)))
