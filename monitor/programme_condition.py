"""Conditions as declared in a pack, and the facts they may look at: values only."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

QUANTITIES: Final[dict[str, str]] = {
    "sbp": "mm[Hg]",
    "dbp": "mm[Hg]",
    "glucose": "mmol/L",
    "heart_rate": "/min",
    "body_temperature": "Cel",
    "age": "a",
}
"""The numbers a condition may look at, with the canonical (UCUM) unit of each."""

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "glucose_context": ("fasting", "preprandial", "postprandial", "casual", "bedtime"),
    "complication": ("none", "existing_stable", "existing_worse", "new"),
    "diagnosis": ("confirmed_primary", "suspected_secondary", "excluded"),
}
FLAGS: Final[frozenset[str]] = frozenset(
    {
        "registered",
        "high_risk",
        "pregnant",
        "lactating",
        "adverse_reaction",
        "reaction_hard_to_control",
        "other_disease_cannot_handle",
        "sustained_tachycardia",
        "referred_to_confirm",
        "first_attendance_of_year",
        "unlisted_sign",
    }
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Compare(_Part):
    """A number against a limit of the pack."""

    fact: str
    op: Literal[">=", ">", "<=", "<"]
    limit: str


class OneOf(_Part):
    """A choice is one of these."""

    fact: str
    values: tuple[str, ...] = Field(alias="in", min_length=1)


class Flag(_Part):
    """A yes-or-no fact is yes."""

    flag: str


class SignsListed(_Part):
    """At least one item of the pack's emergency list was reported."""

    signs: Literal["listed"]


class AllOf(_Part):
    all: tuple[Condition, ...] = Field(min_length=1)


class AnyOf(_Part):
    any: tuple[Condition, ...] = Field(min_length=1)


class NotThat(_Part):
    negated: Condition = Field(alias="not")


def _kind_of_condition(value: Any) -> str | None:
    has = value.__contains__ if isinstance(value, dict) else lambda name: hasattr(value, name)
    for tag in ("all", "any", "flag", "signs"):
        if has(tag):
            return tag
    if has("not") or has("negated"):
        return "not"
    if has("in") or has("values"):
        return "in"
    return "fact" if has("fact") else None


Condition = Annotated[
    Annotated[AllOf, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[NotThat, Tag("not")]
    | Annotated[Flag, Tag("flag")]
    | Annotated[SignsListed, Tag("signs")]
    | Annotated[OneOf, Tag("in")]
    | Annotated[Compare, Tag("fact")],
    Discriminator(_kind_of_condition),
]
