"""Ingest end to end beside bare COPY of the same rows, in the same minutes on the same machine.

End to end: a source publishes messages of 100 observations (cuff records of four values) at QoS 1 through a real
Mosquitto; `suifang-ingest run` commits, publishes receipts, acknowledges; the clock stops when the last receipt is in
the source's hands. Messages are encoded beforehand.
Bare COPY: psycopg's binary COPY of rows packed beforehand, 5000 rows a commit, one connection, into
- a table with one row a value and no index (the limit the ratio is taken of),
- the same hypertable as ingest's, compound rows with the one unique index.
The order is copy, ingest, copy again; the bare figure is the better of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from devices.observation import Observation
from ingest import database
from ingest.rows import COLUMNS
from simulators.embedded.broker import Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from tests.benchmarks.readings import (
    NARROW_COLUMNS,
    NARROW_TABLE,
    PER_MESSAGE,
    VALUES,
    compound_streams,
    copy_rows,
    narrow_streams,
    observations,
    payloads_of,
    rows_of,
)
from tests.benchmarks.service import IN_FLIGHT, SOURCES, Service, Sources

NAME: Final = "ingest"
FORMS: Final = ("observations", "series")
GOAL: Final = 0.6


def end_to_end(url: str, payloads: Sequence[bytes], settings: dict[str, str]) -> tuple[float, float]:
    """Seconds from the first publication to the last receipt; seconds of processor that ingest took between them."""
    with Broker() as broker, Service(broker, url, settings) as service:
        sources = Sources(broker)
        before = service.processor_seconds()
        seconds = sources.send(iter(payloads))
        busy = service.processor_seconds() - before
        stored = sources.stored
        sources.close()
    assert stored == len(payloads) * PER_MESSAGE, f"{stored} stored"
    return seconds, busy


def run(messages: int = 2000, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """One JSON object. Rates are per second of wall time."""
    now = datetime.now(UTC)
    made = observations(messages * PER_MESSAGE, now.replace(microsecond=0) - timedelta(days=3))
    payloads = {form: payloads_of(made, form, now) for form in FORMS}
    rows = rows_of(payloads["series"], now)
    narrow, compound = narrow_streams(rows, [one.values for one in made]), compound_streams(rows)
    count, values = len(made), len(made) * VALUES
    bare: list[float] = []
    forms: dict[str, dict[str, float]] = {}
    with database_server() as server:
        url = create_database(server.url, "bench_ingest")
        prepare(url, made)
        bare.append(copy_rows(url, "narrow", NARROW_COLUMNS, narrow))
        for form in FORMS:
            seconds, busy = end_to_end(url, payloads[form], settings or {})
            forms[form] = {
                "values_per_s": round(values / seconds),
                "ingest_cpu_us_per_observation": round(busy / count * 1e6, 1),
                "octets_an_observation": round(sum(map(len, payloads[form])) / count),
            }
            empty(url)
            bare.append(copy_rows(url, "narrow", NARROW_COLUMNS, narrow))
        indexed = values / copy_rows(url, "telemetry.observation", ", ".join(COLUMNS), compound)
        kind = server.name
    limit = values / min(bare)
    return {
        "benchmark": NAME,
        "shape": f"{messages} messages of {PER_MESSAGE} observations of {VALUES} values, QoS 1, "
        f"{len(SOURCES)} sources with {IN_FLIGHT} in flight each",
        "server": kind,
        "forms": forms,
        "copy_row_a_value_no_index_values_per_s": [round(values / s) for s in bare],
        "copy_compound_same_table_values_per_s": round(indexed),
        "limit": "bare COPY, one row a value, no index, one connection (the best of its runs)",
        "ratio_to_limit": {form: round(found["values_per_s"] / limit, 3) for form, found in forms.items()},
        "ratio_to_compound_copy": {form: round(found["values_per_s"] / indexed, 3) for form, found in forms.items()},
        "goal": GOAL,
        "goal_met": max(found["values_per_s"] for found in forms.values()) >= GOAL * limit,
    }


def prepare(url: str, made: Sequence[Observation]) -> None:
    """The schema, a table for the limit, and the devices as a deployment has them: registered."""
    database.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(NARROW_TABLE)
        conn.execute(
            "INSERT INTO telemetry.device (device_uid, registered_at, first_seen_at, last_seen_at)"
            " SELECT uid, now(), now(), now() FROM unnest(%s::text[]) AS n(uid)",
            (sorted({one.device for one in made}),),
        )


def empty(url: str) -> None:
    """As before the first reading."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("TRUNCATE telemetry.observation, narrow")
