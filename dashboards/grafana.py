"""Panels to Grafana's dashboard model (schema version 39), and to plain SQL for checking against a database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dashboards.panels import Panel

DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
COLUMNS = 24


def dashboard(title: str, uid: str, panels: Sequence[Panel], *, never_judged: int) -> dict[str, Any]:
    """The JSON model that Grafana imports; panels flow left to right in 24 columns."""
    drawn: list[dict[str, Any]] = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        drawn.append(
            {
                "id": number,
                "type": panel.draws,
                "title": panel.title,
                "description": panel.note,
                "datasource": DATASOURCE,
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": DATASOURCE,
                        "rawQuery": True,
                        "format": "time_series" if panel.draws == "timeseries" else "table",
                        "rawSql": panel.sql.replace("{never_judged}", str(never_judged)),
                    }
                ],
            }
        )
        x, row_height = x + panel.width, max(row_height, panel.height)
    return {
        "uid": uid,
        "title": title,
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "grafana-postgresql-datasource",
                    "label": "TimescaleDB",
                }
            ]
        },
        "panels": drawn,
    }


def plain_sql(panel: Panel, *, never_judged: int) -> str:
    """The panel's query with Grafana's macros replaced by the last day, as any database client can run it."""
    sql = panel.sql.replace("{never_judged}", str(never_judged))
    return re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 day' AND now()", sql)
