"""The operator's guide names every setting with its default, as the services have them."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from gateway.settings import Settings as GatewaySettings
from ingest.settings import Settings as IngestSettings
from monitor.settings import Settings as MonitorSettings

GUIDE = (Path(__file__).parents[2] / "docs/guide.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(SUIFANG_[A-Z]+_)([A-Z0-9_]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def shown(field: FieldInfo) -> str:
    """A default as an operator would write it."""
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value in ("", frozenset(), {}):
        return "not set"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | tuple):
        return f"`{json.dumps(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


@pytest.mark.parametrize("settings", [GatewaySettings, IngestSettings, MonitorSettings])
def test_the_guide_names_every_setting_with_its_default(settings: type[BaseSettings]) -> None:
    prefix = settings.model_config["env_prefix"]
    rows = {name: default for found, name, default, _ in ROW.findall(GUIDE) if found == prefix}
    assert rows == {name.upper(): shown(field) for name, field in settings.model_fields.items()}
