"""The gateway's own state, retained on its `status` topic."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Final

import msgspec

from gateway.outbox import Figures

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class State(enum.StrEnum):
    """What the gateway is doing."""

    ONLINE = "online"
    OUTBOX_FULL = "outbox-full"
    """Nothing new is taken from devices until something has been received."""
    OFFLINE = "offline"
    """Stopped, or (as the last will) lost."""


class Clock(msgspec.Struct, frozen=True):
    """The gateway's clock. synchronised: None where the system does not say."""

    at: datetime
    synchronised: bool | None


class Charge(msgspec.Struct, frozen=True):
    """A device's battery, as the message contract wants it in a status. battery: %."""

    device: str
    battery: int


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """backlog: observations without a receipt.  refused, oddities: kept for the operator.  radio: is there one?
    listening: where 20601 agents are accepted.  agents: those that are associated.  devices: with a battery.
    waveforms: those that agents have sent since the start; they are not kept."""

    state: State
    version: str
    clock: Clock | None = None
    backlog: int = 0
    in_flight: int = 0
    oldest_at: datetime | None = None
    oldest_age_s: float | None = None
    octets: int = 0
    most_octets: int = 0
    refused: int = 0
    oddities: int = 0
    radio: bool | None = None
    listening: str | None = None
    agents: tuple[str, ...] = ()
    waveforms: int = 0
    devices: tuple[Charge, ...] = ()


def program_version() -> str:
    """Of the installed distribution."""
    try:
        return version("suifang")
    except PackageNotFoundError:
        return "unknown"


def clock_synchronised() -> bool | None:
    """Does the kernel say that something disciplines its clock? adjtimex(2): TIME_ERROR (5) says no."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = ctypes.create_string_buffer(512)  # struct timex, zeroed: modes 0 only reads
    state = int(adjtimex(timex))
    return None if state < 0 else state != 5


def status(
    figures: Figures,
    now: datetime,
    *,
    radio: bool | None = None,
    listening: str | None = None,
    agents: tuple[str, ...] = (),
    waveforms: int = 0,
    batteries: Mapping[str, int] = _NONE,
    running: bool = True,
) -> Status:
    """The state as it is at `now`."""
    state = State.OUTBOX_FULL if figures.full else State.ONLINE
    return Status(
        state=state if running else State.OFFLINE,
        version=program_version(),
        clock=Clock(now, clock_synchronised()),
        backlog=figures.backlog,
        in_flight=figures.in_flight,
        oldest_at=figures.oldest_at,
        oldest_age_s=None if figures.oldest_at is None else round((now - figures.oldest_at).total_seconds(), 3),
        octets=figures.octets,
        most_octets=figures.most_octets,
        refused=figures.refused,
        oddities=figures.oddities,
        radio=radio,
        listening=listening,
        agents=agents,
        waveforms=waveforms,
        devices=tuple(Charge(device, battery) for device, battery in sorted(batteries.items())),
    )


def last_will() -> bytes:
    """What the broker says of a gateway that has gone without a word."""
    return msgspec.json.encode(Status(state=State.OFFLINE, version=program_version()))


Report = Callable[[bool], Status]
"""Makes the status; the argument: is the gateway running on?"""
