"""The monitor's two processes: the judge (`run`) and the desk (`web`). Each drains on SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
import uvicorn

from monitor.database import open_pool, require_migrated
from monitor.desk import Desk
from monitor.evaluator import run_evaluator
from monitor.judging import LiveRules
from monitor.judging_subject import Bench
from monitor.schedule import run_schedule
from monitor.settings import Settings

_LAST_REQUESTS_SECONDS: Final = 5
"""For requests at work; live feeds end at once."""

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The clock of the real service."""
    return datetime.now(UTC)


def bench_from(settings: Settings) -> Bench:
    """What judging needs. PackRefused, NoSuchEdition, BadKey: see `Desk.from_settings`."""
    return Bench(
        desk=Desk.from_settings(settings),
        rules=LiveRules(late_after=timedelta(hours=settings.page_within_hours)),
        history=timedelta(days=settings.history_days),
    )


async def run(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> None:
    """Judge batches and keep the schedule until a signal. NotMigrated, DatabaseUnavailable: at start."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    url = settings.database_url.get_secret_value()
    bench = bench_from(settings)
    await require_migrated(url)
    log.info("judging", edition=settings.edition, programmes=[pack.programme for pack in bench.desk.packs])
    async with asyncio.TaskGroup() as group:
        group.create_task(run_evaluator(url, bench, clock=clock, stop=stop, poll_seconds=settings.poll_seconds))
        group.create_task(
            run_schedule(
                url,
                desk=bench.desk,
                pace=timedelta(days=settings.regular_visit_days),
                hour=settings.schedule_hour,
                clock=clock,
                stop=stop,
            )
        )
    log.info("stopped")


async def serve(settings: Settings) -> None:
    """The desk over HTTP until a signal; open requests end first. NotMigrated, DatabaseUnavailable: at start."""
    from monitor.web.app import Server, create_app  # noqa: PLC0415 - the judge needs no web

    url = settings.database_url.get_secret_value()
    await require_migrated(url)
    pool = await open_pool(url, min_size=2, max_size=10)
    try:
        app = create_app(settings, pool)
        # no access log: addresses of pages name residents' pseudonyms, and the audit trail has every look
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_SECONDS,
        )
        await Server(config).serve()
    finally:
        await pool.close()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
