"""Each code, unit and LOINC of the table of kinds against the published lists, written down here a second time.

Sources: ISO/IEEE 11073-10101 partitions 2 (SCADA) and 4 (dimensions) as open managers publish them, 11073-20601 decimal
prefixes, the mapping tables of HL7's Personal Health Device guide, LOINC long names.
"""

from __future__ import annotations

import pytest

from devices.fhir.coding import VITALS, loinc_of
from devices.nomenclature import GLUCOSE_KINDS, KINDS, Kind
from devices.units import BY_UCUM, UNITS

SCADA = {
    "MDC_ECG_HEART_RATE": 16770,
    "MDC_PULS_OXIM_PULS_RATE": 18458,
    "MDC_PULS_RATE_NON_INV": 18474,
    "MDC_PRESS_BLD_NONINV": 18948,
    "MDC_PRESS_BLD_NONINV_SYS": 18949,
    "MDC_PRESS_BLD_NONINV_DIA": 18950,
    "MDC_PRESS_BLD_NONINV_MEAN": 18951,
    "MDC_TEMP_BODY": 19292,
    "MDC_PULS_OXIM_SAT_O2": 19384,
    "MDC_BLD_PERF_INDEX": 19416,
    "MDC_FLOW_AWAY_EXP_FORCED_PEAK": 21512,
    "MDC_FLOW_AWAY_EXP_FORCED_PEAK_PB": 21513,
    "MDC_VOL_AWAY_EXP_FORCED_1S": 21514,
    "MDC_VOL_AWAY_EXP_FORCED_6S": 21515,
    "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD": 29112,
    "MDC_CONC_GLU_CAPILLARY_PLASMA": 29116,
    "MDC_CONC_GLU_VENOUS_WHOLEBLOOD": 29120,
    "MDC_CONC_GLU_VENOUS_PLASMA": 29124,
    "MDC_CONC_GLU_ARTERIAL_WHOLEBLOOD": 29128,
    "MDC_CONC_GLU_ARTERIAL_PLASMA": 29132,
    "MDC_CONC_GLU_CONTROL": 29136,
    "MDC_CONC_GLU_ISF": 29140,
    "MDC_CONC_GLU_UNDETERMINED_WHOLEBLOOD": 29292,
    "MDC_CONC_GLU_UNDETERMINED_PLASMA": 29296,
    "MDC_MASS_BODY_ACTUAL": 57664,
    "MDC_LEN_BODY_ACTUAL": 57668,
    "MDC_BODY_FAT": 57676,
    "MDC_RATIO_MASS_BODY_LEN_SQ": 57680,
    "MDC_MASS_BODY_FAT_FREE": 57684,
    "MDC_MASS_BODY_SOFT_LEAN": 57688,
    "MDC_BODY_WATER": 57692,
}
KILO, CENTI, MILLI = 3, 17, 18
DIMENSIONS = {
    "1": 512,
    "%": 544,
    "m": 1280,
    "cm": 1280 + CENTI,
    "[in_i]": 1376,
    "kg": 1728 + KILO,
    "[lb_av]": 1760,
    "kg/m2": 1952,
    "mg/dL": 2112 + MILLI,
    "L": 1600,
    "/min": 2720,
    "L/min": 3072,
    "kPa": 3840 + KILO,
    "mm[Hg]": 3872,
    "kJ": 3968 + KILO,
    "Ohm": 4288,
    "[degF]": 4416,
    "mmol/L": 4704 + MILLI,
    "Cel": 6048,
}
MEASURED = {
    "8480-6": "Systolic blood pressure",
    "8462-4": "Diastolic blood pressure",
    "8478-0": "Mean blood pressure",
    "8867-4": "Heart rate",
    "2708-6": "Oxygen saturation in Arterial blood",
    "61006-3": "Perfusion index Tissue by Pulse oximetry",
    "29463-7": "Body weight",
    "39156-5": "Body mass index (BMI) [Ratio]",
    "8302-2": "Body height",
    "8310-5": "Body temperature",
    "41982-0": "Percentage of body fat Measured",
    "19935-6": "Maximum expiratory gas flow Respiratory system airway by Peak flow meter",
    "20150-9": "FEV1",
}
GLUCOSE = {
    "14743-9": "Glucose [Moles/volume] in Capillary blood by Glucometer",
    "41653-7": "Glucose [Mass/volume] in Capillary blood by Glucometer",
    "15074-8": "Glucose [Moles/volume] in Blood",
    "2339-0": "Glucose [Mass/volume] in Blood",
    "14749-6": "Glucose [Moles/volume] in Serum or Plasma",
    "2345-7": "Glucose [Mass/volume] in Serum or Plasma",
    "105272-9": "Glucose [Moles/volume] in Interstitial fluid",
    "99504-3": "Glucose [Mass/volume] in Interstitial fluid",
}
SLOTS = [
    (kind, index, unit) for kind in KINDS for unit in kind.units for index in range(len(kind.slots))
]  # fmt: skip


def test_each_reference_has_its_term_in_the_partition_of_measurements() -> None:
    named = {kind.ref: kind.code for kind in KINDS} | {
        slot.ref: slot.code for kind in KINDS for slot in kind.slots if slot.code
    }
    assert named == {ref: 2 << 16 | term for ref, term in SCADA.items()}


def test_each_unit_has_its_term_among_the_dimensions() -> None:
    assert {unit.ucum: unit.term for unit in UNITS} == DIMENSIONS
    assert all(unit.canonical in BY_UCUM for unit in UNITS)


@pytest.mark.parametrize(("kind", "index", "unit"), SLOTS)
def test_a_loinc_code_measures_what_its_unit_measures(kind: Kind, index: int, unit: str) -> None:
    slot, ucum = kind.slots[index], kind.units[unit][index]
    loinc = loinc_of(slot, ucum)
    if not loinc:
        # without a code of LOINC, or in a unit that the vital sign's profile does not allow
        assert not slot.loinc or ucum == "kPa"
    elif kind.code in GLUCOSE_KINDS:
        assert ("Moles/volume" in GLUCOSE[loinc]) == (ucum == "mmol/L")
        sample = GLUCOSE[loinc].partition(" in ")[2]
        words = {"CAPILLARY": "Capillary", "VENOUS_PLASMA": "Plasma", "VENOUS_WHOLE": "Blood", "ISF": "Interstitial",
                 "UNDETERMINED_PLASMA": "Plasma", "UNDETERMINED_WHOLE": "Blood"}  # fmt: skip
        assert any(part in slot.ref and word in sample for part, word in words.items())
    else:
        assert loinc in MEASURED
        assert loinc not in VITALS or {"m": "cm"}.get(ucum, ucum) in VITALS[loinc].units
