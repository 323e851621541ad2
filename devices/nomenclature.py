"""The kinds of observation: their 11073-10101 codes, the values each carries and in which units.

A *kind* is what one device record says at once: a cuff's systolic, diastolic, mean and pulse together. It is
identified by the 32-bit MDC code of the set, or of its leading value where the nomenclature has no set.
The order of a kind's slots is part of the message contract and of the stored rows: append, never reorder.
Sources: ISO/IEEE 11073-10101, HL7 PHD implementation guide (code tables), LOINC.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from devices.units import BY_UCUM


class Slot(NamedTuple):
    """One value of a kind. `low`..`high` (canonical unit, inclusive) is what an instrument can measure in a living
    person at all; outside it is a data error (impossible), never a clinical limit."""

    code: int
    ref: str
    low: float
    high: float
    loinc: str = ""


class Kind(NamedTuple):
    """One kind of observation. `units` maps the unit of the first value to the units of all values."""

    code: int
    ref: str
    concept: str
    slots: tuple[Slot, ...]
    units: dict[str, tuple[str, ...]]


_SYS = Slot(150021, "MDC_PRESS_BLD_NONINV_SYS", 30, 300, "8480-6")
_DIA = Slot(150022, "MDC_PRESS_BLD_NONINV_DIA", 15, 250, "8462-4")
_MEAN = Slot(150023, "MDC_PRESS_BLD_NONINV_MEAN", 0, 280, "8478-0")
_CUFF_PULSE = Slot(149546, "MDC_PULS_RATE_NON_INV", 20, 300, "8867-4")
_SPO2 = Slot(150456, "MDC_PULS_OXIM_SAT_O2", 1, 100, "2708-6")
_OXIM_PULSE = Slot(149530, "MDC_PULS_OXIM_PULS_RATE", 15, 350, "8867-4")
_PERFUSION = Slot(150488, "MDC_BLD_PERF_INDEX", 0, 100, "61006-3")
_MASS = Slot(188736, "MDC_MASS_BODY_ACTUAL", 0.2, 500, "29463-7")
_BMI = Slot(188752, "MDC_RATIO_MASS_BODY_LEN_SQ", 2, 200, "39156-5")
_HEIGHT = Slot(188740, "MDC_LEN_BODY_ACTUAL", 20, 280, "8302-2")
_TEMP = Slot(150364, "MDC_TEMP_BODY", 25, 46, "8310-5")
_HEART_RATE = Slot(147842, "MDC_ECG_HEART_RATE", 15, 350, "8867-4")


def _glucose(code: int, ref: str, loinc: str, concept: str = "glucose") -> Kind:
    slot = Slot(code, ref, 0.3, 60, loinc)
    return Kind(code, ref, concept, (slot,), {"mmol/L": ("mmol/L",), "mg/dL": ("mg/dL",)})


BLOOD_PRESSURE: Final = 150020
PULSE_OXIMETRY: Final = 150456
BODY_MASS: Final = 188736
BODY_TEMPERATURE: Final = 150364
HEART_RATE: Final = 147842
BODY_COMPOSITION: Final = 188748
GLUCOSE_CONTROL: Final = 160208
GLUCOSE_INTERSTITIAL: Final = 160212
PEAK_FLOW: Final = 152584

KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        BLOOD_PRESSURE,
        "MDC_PRESS_BLD_NONINV",
        "blood_pressure",
        (_SYS, _DIA, _MEAN, _CUFF_PULSE),
        {"mm[Hg]": ("mm[Hg]", "mm[Hg]", "mm[Hg]", "/min"), "kPa": ("kPa", "kPa", "kPa", "/min")},
    ),
    Kind(
        PULSE_OXIMETRY,
        "MDC_PULS_OXIM_SAT_O2",
        "oxygen_saturation",
        (_SPO2, _OXIM_PULSE, _PERFUSION),
        {"%": ("%", "/min", "%")},
    ),
    Kind(
        BODY_MASS,
        "MDC_MASS_BODY_ACTUAL",
        "body_weight",
        (_MASS, _BMI, _HEIGHT),
        {"kg": ("kg", "kg/m2", "m"), "[lb_av]": ("[lb_av]", "kg/m2", "[in_i]")},
    ),
    Kind(BODY_TEMPERATURE, "MDC_TEMP_BODY", "body_temperature", (_TEMP,), {"Cel": ("Cel",), "[degF]": ("[degF]",)}),
    Kind(HEART_RATE, "MDC_ECG_HEART_RATE", "heart_rate", (_HEART_RATE,), {"/min": ("/min",)}),
    Kind(
        BODY_COMPOSITION,
        "MDC_BODY_FAT",
        "body_composition",
        (
            Slot(188748, "MDC_BODY_FAT", 1, 90, "41982-0"),
            Slot(188736, "MDC_MASS_BODY_ACTUAL", 0.2, 500, "29463-7"),
            Slot(188740, "MDC_LEN_BODY_ACTUAL", 20, 280, "8302-2"),
            Slot(188756, "MDC_MASS_BODY_FAT_FREE", 0.1, 400),
            Slot(188760, "MDC_MASS_BODY_SOFT_LEAN", 0.1, 400),
            Slot(188764, "MDC_BODY_WATER", 0.1, 400),
            Slot(0, "SUIFANG_MUSCLE_PERCENTAGE", 1, 95),
            Slot(0, "SUIFANG_MUSCLE_MASS", 0.1, 300),
            Slot(0, "SUIFANG_BASAL_METABOLISM", 100, 60000),
            Slot(0, "SUIFANG_IMPEDANCE", 1, 6000),
        ),
        {
            "%": ("%", "kg", "m", "kg", "kg", "kg", "%", "kg", "kJ", "Ohm"),
        },
    ),
    _glucose(160184, "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD", "14743-9"),
    _glucose(160188, "MDC_CONC_GLU_CAPILLARY_PLASMA", "14743-9"),
    _glucose(160192, "MDC_CONC_GLU_VENOUS_WHOLEBLOOD", "15074-8"),
    _glucose(160196, "MDC_CONC_GLU_VENOUS_PLASMA", "14749-6"),
    _glucose(160200, "MDC_CONC_GLU_ARTERIAL_WHOLEBLOOD", ""),
    _glucose(160204, "MDC_CONC_GLU_ARTERIAL_PLASMA", ""),
    _glucose(160364, "MDC_CONC_GLU_UNDETERMINED_WHOLEBLOOD", "15074-8"),
    _glucose(160368, "MDC_CONC_GLU_UNDETERMINED_PLASMA", "14749-6"),
    # no blood, and minutes behind it: no rule of the programmes is about it (docs/decisions/0015)
    _glucose(GLUCOSE_INTERSTITIAL, "MDC_CONC_GLU_ISF", "105272-9", concept="glucose_interstitial"),
    _glucose(GLUCOSE_CONTROL, "MDC_CONC_GLU_CONTROL", "", concept="glucose_control"),
    Kind(
        PEAK_FLOW,
        "MDC_FLOW_AWAY_EXP_FORCED_PEAK",
        "peak_flow",
        (
            Slot(152584, "MDC_FLOW_AWAY_EXP_FORCED_PEAK", 5, 1200, "19935-6"),
            Slot(152585, "MDC_FLOW_AWAY_EXP_FORCED_PEAK_PB", 5, 1200),
            Slot(152586, "MDC_VOL_AWAY_EXP_FORCED_1S", 0.01, 15, "20150-9"),
            Slot(152587, "MDC_VOL_AWAY_EXP_FORCED_6S", 0.01, 15),
        ),
        {"L/min": ("L/min", "L/min", "L", "L")},
    ),
)
BY_CODE: Final[dict[int, Kind]] = {kind.code: kind for kind in KINDS}
GLUCOSE_KINDS: Final[frozenset[int]] = frozenset(
    kind.code for kind in KINDS if kind.concept in {"glucose", "glucose_interstitial"}
)
"""Of a person, in blood or under the skin."""

assert all(unit in BY_UCUM for kind in KINDS for row in kind.units.values() for unit in row)
assert all(len(row) == len(kind.slots) for kind in KINDS for row in kind.units.values())
