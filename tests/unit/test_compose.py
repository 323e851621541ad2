"""docker-compose.yml says what the programs understand, and fences the broker as the tests' broker is fenced."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from gateway.settings import Settings as Gateway
from ingest.settings import Settings as Ingest
from monitor.settings import Settings as Monitor
from simulators.embedded.broker import FENCES, SETTINGS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("suifang:")]
ROOMS: dict[str, type[BaseSettings]] = {
    "SUIFANG_GATEWAY_": Gateway,
    "SUIFANG_INGEST_": Ingest,
    "SUIFANG_MONITOR_": Monitor,
}


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_the_room_knows(name: str) -> None:
    for key in SERVICES[name]["environment"]:
        prefix = next(prefix for prefix in ROOMS if key.startswith(prefix))
        assert key.removeprefix(prefix).lower() in ROOMS[prefix].model_fields, key


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_installed_by_the_wheel(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = re.findall(r"suifang-\w+", " ".join(SERVICES[name]["command"]))
    assert words
    assert set(words) <= set(project["scripts"])


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_asked_to_drain(name: str) -> None:
    assert SERVICES[name]["stop_signal"] == "SIGINT"
    assert "STOPSIGNAL SIGINT" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_broker_has_the_fences_and_settings_of_the_tests_broker() -> None:
    configs = COMPOSE["configs"]
    assert configs["fences"]["content"] == FENCES
    lines = set(configs["mosquitto"]["content"].splitlines())
    assert {f"{key} {value}" for key, value in SETTINGS.items()} <= lines


def test_nothing_listens_beyond_this_host_and_no_image_floats() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert re.search(r":\d+\.\d+", service["image"]), name


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    secrets = set(re.findall(r"\$\{(\w*(?:PASSWORD|KEY))", text))
    assert {"DATABASE_PASSWORD", "INGEST_PASSWORD", "IDENTITY_KEY", "BLIND_INDEX_KEY"} <= secrets
    assert all(f"{name}:?}}" in text or f"{name}:-}}" in text for name in secrets)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in secrets)
