"""`suifang-dashboards`: render the dashboards, check their SQL against a database, push them to a Grafana."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import psycopg
import typer
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException

from dashboards.grafana import dashboard, plain_sql
from dashboards.panels import OPERATOR
from devices.observation import NEVER_JUDGED

app = typer.Typer(no_args_is_help=True, help="Grafana dashboards as code.", pretty_exceptions_enable=False)


def _operator() -> dict[str, object]:
    return dashboard("Suifang: the chain", "suifang-chain", OPERATOR, never_judged=int(NEVER_JUDGED))


@app.command()
def render() -> None:
    """Print the dashboard's JSON, for provisioning by file."""
    json.dump(_operator(), sys.stdout, indent=1)
    sys.stdout.write("\n")


@app.command()
def check(database_url: Annotated[str, typer.Argument(envvar="DATABASE_URL", help="postgresql://…")]) -> None:
    """Run each panel's query against a database; exit 1 and name the panel where one fails."""
    failed = False
    with psycopg.connect(database_url, autocommit=True) as connection:
        for panel in OPERATOR:
            try:
                connection.execute(plain_sql(panel, never_judged=int(NEVER_JUDGED)))
            except psycopg.Error as error:
                failed = True
                typer.echo(f"failed  {panel.title}: {str(error).splitlines()[0]}")
            else:
                typer.echo(f"ok      {panel.title}")
    if failed:
        raise typer.Exit(1)


@app.command()
def push(
    grafana_url: Annotated[str, typer.Argument(envvar="GRAFANA_URL")],
    token: Annotated[str, typer.Option(envvar="GRAFANA_TOKEN", help="service account token", prompt=True)],
) -> None:
    """Create or replace the dashboard through Grafana's API."""
    grafana = GrafanaApi.from_url(url=grafana_url, credential=token)
    try:
        answer = grafana.dashboard.update_dashboard({"dashboard": _operator(), "overwrite": True})
    except (GrafanaException, OSError) as error:
        typer.echo(f"{grafana_url}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"pushed: {answer.get('url', '')}")


def main() -> None:
    """The console script."""
    app()
