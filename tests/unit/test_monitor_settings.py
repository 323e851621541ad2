"""The monitor's settings of time are bounded: one that no calendar holds would end it hours after its start."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from monitor.settings import PREFIX, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "0" * 64
    for name, text in {
        "DATABASE_URL": "postgresql:///suifang",
        "IDENTITY_KEY": secret,
        "BLIND_INDEX_KEY": secret,
        "EDITION": "2011",
    }.items():
        monkeypatch.setenv(PREFIX + name, text)


TIMES = ("PAGE_WITHIN_HOURS", "HISTORY_DAYS", "POLL_SECONDS", "REGULAR_VISIT_DAYS", "SESSION_IDLE_MINUTES")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("text", ["0", "-1", "1000000000", "inf", "nan"])
def test_a_time_beyond_reason_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(PREFIX + name, text)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({})
    assert [problem["loc"] for problem in caught.value.errors()] == [(name.lower(),)]


def test_as_it_is_shipped_it_is_within_reason() -> None:
    assert isinstance(Settings.model_validate({}).database_url, SecretStr)
