"""The words case files use: units, kinds, meal contexts, record types and the spellings accepted for each."""

from __future__ import annotations

from typing import Final

from monitor.evaluation_record import RecordKind

UNITS: Final[dict[str, str]] = {
    "mmhg": "mm[Hg]",
    "mm[hg]": "mm[Hg]",
    "kpa": "kPa",
    "mmol/l": "mmol/L",
    "mg/dl": "mg/dL",
    "/min": "/min",
    "bpm": "/min",
    "次/分": "/min",
    "cel": "Cel",
    "c": "Cel",
    "°c": "Cel",
    "℃": "Cel",
    "f": "[degF]",
    "°f": "[degF]",
    "[degf]": "[degF]",
}
ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "blood_pressure": ("mm[Hg]", "kPa"),
    "glucose": ("mmol/L", "mg/dL"),
    "heart_rate": ("/min",),
    "body_temperature": ("Cel", "[degF]"),
}
PRINTED: Final[dict[str, str]] = {"blood_pressure": "mm[Hg]", "heart_rate": "/min", "body_temperature": "Cel"}
KINDS: Final[dict[str, str]] = {
    "blood_pressure": "blood_pressure",
    "bp": "blood_pressure",
    "glucose": "glucose",
    "blood_glucose": "glucose",
    "fasting_glucose": "glucose",
    "heart_rate": "heart_rate",
    "pulse": "heart_rate",
    "pulse_rate": "heart_rate",
    "body_temperature": "body_temperature",
    "temperature": "body_temperature",
}
CONTEXTS: Final[dict[str, str | None]] = {
    "fasting": "fasting",
    "空腹": "fasting",
    "fasted": "fasting",
    "preprandial": "preprandial",
    "before_meal": "preprandial",
    "postprandial": "postprandial",
    "after_meal": "postprandial",
    "餐后": "postprandial",
    "random": "casual",
    "casual": "casual",
    "随机": "casual",
    "bedtime": "bedtime",
    "unknown": None,
    "": None,
}
RECORDS: Final[dict[str, RecordKind]] = {
    "visit": RecordKind.VISIT,
    "followup": RecordKind.VISIT,
    "reading": RecordKind.READING,
    "measurement": RecordKind.READING,
    "diagnosis": RecordKind.DIAGNOSIS,
    "confirmation": RecordKind.DIAGNOSIS,
    "diagnosis_result": RecordKind.DIAGNOSIS,
    "confirmation_result": RecordKind.DIAGNOSIS,
    "referral_result": RecordKind.DIAGNOSIS,
    "referral": RecordKind.DIAGNOSIS,
    "screening_result": RecordKind.DIAGNOSIS,
    "suspicion": RecordKind.DIAGNOSIS,
    "assessment": RecordKind.DIAGNOSIS,
    "attendance": RecordKind.ATTENDANCE,
    "first_attendance": RecordKind.ATTENDANCE,
    "encounter": RecordKind.ATTENDANCE,
    "clinic_attendance": RecordKind.ATTENDANCE,
    "elderly_check": RecordKind.ELDERLY_CHECK,
    "elderly_service": RecordKind.ELDERLY_CHECK,
    "health_check": RecordKind.HEALTH_CHECK,
}
RESULT_KEYS: Final = ("result", "diagnosis", "outcome", "conclusion", "suspected", "confirmed", "value", "kind")
YES_NO: Final = ("adverse_reaction", "reaction_hard_to_control", "other_disease_cannot_handle",
                  "sustained_tachycardia", "pregnant", "lactating")  # fmt: skip
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "lactating": ("lactating", "breastfeeding", "breast_feeding", "lactation", "nursing"),
    "pregnant": ("pregnant", "pregnancy"),
    "sustained_tachycardia": ("sustained_tachycardia", "tachycardia_sustained", "sustained"),
    "other_disease_cannot_handle": ("other_disease_cannot_handle", "other_disease", "cannot_handle_other_disease"),
    "referred_to_confirm": ("referred_to_confirm", "referred", "referral_needed", "refer_to_confirm", "refer"),
}
