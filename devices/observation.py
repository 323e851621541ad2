"""`Observation`: what one device record said, with the facts about its quality and its clock.

Values stay in the unit the device reported, in the slot order of their kind (`devices.nomenclature`). A value that is
not a number is `None` with a reason in `absent`; it never meets a threshold (ISO/IEEE 11073-20601 special values).
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta


class Fact(enum.IntFlag):
    """Facts about one observation, stored as the bits of one bigint: append, never renumber.

    Sources: 11073-20601 MeasurementStatus, Bluetooth BLS/GLS/PLXS status tables, HL7 PHD IG (time of measurement),
    FHIR R4 ObservationStatus (amended, entered-in-error).
    """

    INVALID = 1 << 0
    QUESTIONABLE = 1 << 1
    NOT_AVAILABLE = 1 << 2
    CALIBRATION_ONGOING = 1 << 3
    TEST_DATA = 1 << 4
    DEMO_DATA = 1 << 5
    VALIDATED = 1 << 6
    EARLY_ESTIMATE = 1 << 7
    MANUALLY_ENTERED = 1 << 8
    FROM_STORAGE = 1 << 9
    SIMULATED = 1 << 10
    CONTROL_SOLUTION = 1 << 11
    BODY_MOVEMENT = 1 << 12
    CUFF_TOO_LOOSE = 1 << 13
    IRREGULAR_PULSE = 1 << 14
    PULSE_ABOVE_RANGE = 1 << 15
    PULSE_BELOW_RANGE = 1 << 16
    IMPROPER_POSITION = 1 << 17
    RESULT_TOO_HIGH = 1 << 18
    RESULT_TOO_LOW = 1 << 19
    SAMPLE_INSUFFICIENT = 1 << 20
    STRIP_ERROR = 1 << 21
    SENSOR_TEMPERATURE = 1 << 22
    DEVICE_MALFUNCTION = 1 << 23
    BATTERY_LOW = 1 << 24
    READ_INTERRUPTED = 1 << 25
    LOW_PERFUSION = 1 << 26
    POOR_SIGNAL = 1 << 27
    SENSOR_DISPLACED = 1 << 28
    SENSOR_DISCONNECTED = 1 << 29
    PULSE_QUESTIONABLE = 1 << 30
    IMPLAUSIBLE = 1 << 31
    NO_DEVICE_CLOCK = 1 << 32
    CLOCK_CORRECTED = 1 << 33
    CLOCK_NOT_SET = 1 << 34
    LOST_TIMELINE = 1 << 35
    TIME_FAULT = 1 << 36
    UNREGISTERED_DEVICE = 1 << 37
    TRAILING_BYTES = 1 << 38
    AMENDED = 1 << 39
    ENTERED_IN_ERROR = 1 << 40
    PROVISIONAL = 1 << 41
    """Read by a layout that no captured frame of a real device has confirmed yet."""


NEVER_JUDGED: Final = (
    Fact.INVALID
    | Fact.NOT_AVAILABLE
    | Fact.CALIBRATION_ONGOING
    | Fact.TEST_DATA
    | Fact.DEMO_DATA
    | Fact.EARLY_ESTIMATE
    | Fact.CONTROL_SOLUTION
    | Fact.DEVICE_MALFUNCTION
    | Fact.SAMPLE_INSUFFICIENT
    | Fact.STRIP_ERROR
    | Fact.READ_INTERRUPTED
    | Fact.SENSOR_TEMPERATURE
    | Fact.SENSOR_DISCONNECTED
    | Fact.IMPLAUSIBLE
    | Fact.LOST_TIMELINE
    | Fact.ENTERED_IN_ERROR
)
"""Stored and shown, never judged by a rule (house law 6)."""

QUESTIONABLE_FACTS: Final = (
    Fact.QUESTIONABLE
    | Fact.BODY_MOVEMENT
    | Fact.CUFF_TOO_LOOSE
    | Fact.IMPROPER_POSITION
    | Fact.LOW_PERFUSION
    | Fact.POOR_SIGNAL
    | Fact.SENSOR_DISPLACED
    | Fact.PULSE_QUESTIONABLE
    | Fact.PROVISIONAL
)
"""Judged, but never escalates alone: the finding asks for a repeat."""

FACT_NAMES: Final[dict[str, Fact]] = {str(fact.name).lower().replace("_", "-"): fact for fact in Fact}


def fact_names(facts: int) -> tuple[str, ...]:
    """The wire names of a set of facts, lowest bit first."""
    return tuple(name for name, fact in FACT_NAMES.items() if facts & fact)


class Absent(enum.IntEnum):
    """Why a slot holds no number (11073-20601 special values; Bluetooth 0xFFFF). Stored in four bits a slot."""

    PRESENT = 0
    NOT_A_NUMBER = 1
    NOT_AT_THIS_RESOLUTION = 2
    POSITIVE_INFINITY = 3
    NEGATIVE_INFINITY = 4
    RESERVED = 5
    UNSUCCESSFUL = 6
    NOT_SENT = 7


ABSENT_NAMES: Final[dict[str, Absent]] = {str(a.name).lower().replace("_", "-"): a for a in Absent if a}


class Meal(enum.StrEnum):
    """Meal context (GLS 2A34, 11073-10417)."""

    PREPRANDIAL = "preprandial"
    POSTPRANDIAL = "postprandial"
    FASTING = "fasting"
    CASUAL = "casual"
    BEDTIME = "bedtime"


class Site(enum.StrEnum):
    """Where on the body (GLS sample location, HTS temperature type, arm of a cuff): append, the order is stored."""

    FINGER = "finger"
    ALTERNATE_SITE = "alternate-site"
    EARLOBE = "earlobe"
    SUBCUTANEOUS = "subcutaneous"
    ARMPIT = "armpit"
    BODY = "body"
    EAR = "ear"
    GASTROINTESTINAL = "gastrointestinal"
    MOUTH = "mouth"
    RECTUM = "rectum"
    TOE = "toe"
    TYMPANUM = "tympanum"
    LEFT_UPPER_ARM = "left-upper-arm"
    RIGHT_UPPER_ARM = "right-upper-arm"
    LEFT_WRIST = "left-wrist"
    RIGHT_WRIST = "right-wrist"


class Posture(enum.StrEnum):
    """How the person was: append, the order is stored."""

    SITTING = "sitting"
    STANDING = "standing"
    LYING = "lying"
    RECLINING = "reclining"


_MEALS: Final = tuple(Meal)
_SITES: Final = tuple(Site)
_POSTURES: Final = tuple(Posture)

# `$` alone would let a line break pass at the end
DeviceUid = Annotated[str, Meta(min_length=3, max_length=64, pattern=r"^[a-z0-9]+:[A-Za-z0-9_.:\-]+$(?!\n)")]
"""A device's own identity: scheme, colon, name."""
SessionUid = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$(?!\n)")]
"""A kiosk session's name."""


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is known about the circumstances; each member is optional."""

    meal: Meal | None = None
    site: Site | None = None
    posture: Posture | None = None

    def packed(self) -> int:
        """As stored: meal in bits 0-3, site in bits 4-11, posture in bits 12-15; each 1-based, 0 is unknown."""
        return (
            (_MEALS.index(self.meal) + 1 if self.meal else 0)
            | (_SITES.index(self.site) + 1 if self.site else 0) << 4
            | (_POSTURES.index(self.posture) + 1 if self.posture else 0) << 12
        )

    @classmethod
    def unpacked(cls, packed: int | None) -> Context | None:
        """The reverse of `packed`; None for nothing known."""
        if not packed:
            return None
        meal, site, posture = packed & 0xF, packed >> 4 & 0xFF, packed >> 12 & 0xF
        return cls(
            meal=_MEALS[meal - 1] if meal else None,
            site=_SITES[site - 1] if site else None,
            posture=_POSTURES[posture - 1] if posture else None,
        )


class Observation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One device record.

    device: the device's own identity: `eui64:` + 16 hex digits (11073 system id), `ble:` + address, `vendor:` + serial.
    kind: 32-bit MDC code, `devices.nomenclature.BY_CODE`.  values: in slot order, in the units `unit` implies.
    unit: UCUM unit of the first value.  measured_at: aware; device time corrected to the gateway's timeline.
    device_at: the device's own stamp; without offset where the device knows no zone. None: the device has no clock.
    record_no: the device's record number, 0 where it has none; with device, kind and device_at the identity.
    slot: the device's user number.  session: a kiosk session.  absent: slot index -> reason.
    """

    device: DeviceUid
    kind: int
    values: tuple[float | None, ...]
    unit: str
    measured_at: Annotated[datetime, Meta(tz=True)]
    device_at: datetime | None = None
    record_no: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    slot: Annotated[int, Meta(ge=0, le=255)] | None = None
    session: SessionUid | None = None
    absent: dict[int, str] = {}
    facts: tuple[str, ...] = ()
    context: Context | None = None

    def fact_bits(self) -> int:
        """The facts as one integer. KeyError: a name outside `FACT_NAMES`."""
        bits = 0
        for name in self.facts:
            bits |= FACT_NAMES[name]
        return bits
