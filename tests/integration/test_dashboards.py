"""The operator's dashboard: each panel runs on the real schema, and a wrong column is found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from dashboards import cli
from dashboards.grafana import COLUMNS, dashboard
from dashboards.panels import OPERATOR


def test_every_panel_runs_on_the_migrated_schema(migrated_database_url: str) -> None:
    result = CliRunner().invoke(cli.app, ["check", migrated_database_url])
    assert result.exit_code == 0, result.output
    assert result.output.count("ok ") == len(OPERATOR)


def test_a_panel_with_a_wrong_column_is_named(migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(OPERATOR[0], sql="SELECT no_such_column FROM telemetry.batch")
    monkeypatch.setattr(cli, "OPERATOR", (broken, *OPERATOR[1:]))
    result = CliRunner().invoke(cli.app, ["check", migrated_database_url])
    assert result.exit_code == 1
    assert f"failed  {broken.title}" in result.output
    assert "no_such_column" in result.output


def test_panels_fit_the_grid_and_carry_their_query() -> None:
    model = dashboard("t", "u", OPERATOR, never_judged=1)
    json.dumps(model)
    places = [panel["gridPos"] for panel in model["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "two panels overlap"
    assert "{never_judged}" not in json.dumps(model)


def test_telemetry_panels_name_no_monitor_table() -> None:
    assert all("monitor." not in panel.sql for panel in OPERATOR)
