"""`suifang-demo`: the whole chain on embedded defaults with simulated residents and devices, and where to look.

Real TimescaleDB, real broker, real processes, simulated people. At the end the database is compared with the ground
truth; the last line of `--json` is that comparison, and the exit code is 0 only when nothing was lost, doubled,
misplaced, missed or falsely raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from simulators import summary, witness
from simulators.chain import Chain, chain
from simulators.cohort import cohort
from simulators.embedded.errors import EmbeddedError
from simulators.process import NotReady
from simulators.scenario import DEFAULT, Scenario, ScenarioFault, load
from simulators.stage import ZONE, Stage
from simulators.summary import Account, DeviceLine, Snapshot
from simulators.truth import Ledger, milliseconds
from simulators.witness import Counts

_SETTLES_WITHIN_S: Final = 45
_HISTORY_WITHIN_S: Final = 120
_ROUTES: Final = {"ble": "蓝牙", "push": "家庭网关", "kiosk": "健康小屋"}

Say = Callable[[str], None]


class Terminal:
    """Where the run is told. live: a table that is redrawn; else plain lines. With JSON, words go to stderr."""

    def __init__(self, *, headless: bool, as_json: bool) -> None:
        self.console = Console(stderr=as_json)
        self.live = not headless and self.console.is_terminal
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the seconds since the beginning."""
        self.console.print(
            f"[{time.monotonic() - self._began:5.1f} s] {text}", highlight=False, markup=False, soft_wrap=True
        )


async def run(
    *, seconds: float | None, terminal: Terminal, seed: int, scenario_name: str, folder: Path | None, ble: bool = True
) -> Account:
    """One run of the demo. Errors: `ScenarioFault`, `EmbeddedError`, `NotReady`."""
    began = time.monotonic()
    people = cohort(seed, datetime.now(ZONE).date())
    scenario = load(scenario_name, people)
    async with chain(
        people=people, seed=seed, ble=ble, folder=folder, say=terminal.say, history_days=scenario.history_days
    ) as running:
        ledger = Ledger(running.folder / "truth.jsonl")
        async with Stage(running, scenario, seed=seed, ledger=ledger) as stage:
            now = datetime.now(UTC)
            count = await stage.import_history(now)
            terminal.say(f"importing {count} readings of {scenario.history_days} days through the broker")
            if not await stage.history_stored(_HISTORY_WITHIN_S):
                raise NotReady(f"the history is not stored: {running.processes['ingest'].tail()}")
            await _judged(running, _HISTORY_WITHIN_S)
            _greet(terminal, running)
            live_since = datetime.now(UTC)
            async with _watched(terminal, running, stage):
                with contextlib.suppress(asyncio.CancelledError):
                    await _play_until(stage, seconds)
            terminal.say("waiting until everything sent is stored and judged")
            settled = await stage.settle(_SETTLES_WITHIN_S)
            account = await _account(running, stage, scenario, settled=settled, live_since=live_since)
        ledger.close()
    account = _with_seconds(account, time.monotonic() - began)
    for complaint in account.complaints():
        terminal.say(f"WRONG: {complaint}")
    return account


async def _play_until(stage: Stage, seconds: float | None) -> None:
    """Play; Ctrl-C and SIGTERM end the play, not the run: what was sent is still settled and compared."""
    play = asyncio.create_task(stage.play(seconds))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, play.cancel)
    try:
        await play
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _judged(running: Chain, timeout_s: float) -> bool:
    """Wait until the monitor has judged every batch; whether that came true in time."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        async with running.connection() as conn:
            if not await witness.unjudged(conn):
                return True
        await asyncio.sleep(0.1)
    return False


async def _account(running: Chain, stage: Stage, scenario: Scenario, *, settled: bool, live_since: datetime) -> Account:
    async with running.connection() as conn:
        seen = await witness.look(conn, running.subjects)
        counts = await witness.counts(conn)
    entries = stage.ledger.entries
    spans = witness.spans(entries, seen, since=live_since)
    spans["push_to_receipt"] = stage.receipt_spans
    return Account(
        verdict=witness.judge(entries, scenario.expected(stage.ledger.injections), seen),
        redelivered=counts.redelivered,
        republished=stage.republished,
        latency_ms={stage_name: milliseconds(found) for stage_name, found in spans.items()},
        seconds=0.0,
        seed=running.seed,
        scenario=scenario.scenario,
        database=running.database,
        broker=running.broker_version,
        radio="Bumble" if running.peripherals else "none",
        settled=settled,
    )


def _with_seconds(account: Account, seconds: float) -> Account:
    return Account(**{**{name: getattr(account, name) for name in account.__struct_fields__}, "seconds": seconds})


def _greet(terminal: Terminal, running: Chain) -> None:
    if not terminal.live:
        terminal.say(f"the desk is at {running.web_url}")
        terminal.say(f"log in as {running.login} with the password {running.password}")
        terminal.say(f"logs and ground truth are in {running.folder}")


def _head(running: Chain) -> Panel:
    text = Text.assemble(
        ("随访 Suifang ", "bold"),
        ("模拟数据 simulated residents  ", "magenta"),
        f"\n待办 desk   {running.web_url}",
        f"\n登录 log in {running.login}   密码 password {running.password}",
        (f"\n{running.database} · {running.broker_version} · {running.folder}   Ctrl-C 结束", "bright_black"),
    )
    return Panel(text)


@contextlib.asynccontextmanager
async def _watched(terminal: Terminal, running: Chain, stage: Stage) -> AsyncIterator[None]:
    task = asyncio.create_task(_draw(terminal, running, stage) if terminal.live else _list(terminal, running, stage))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _draw(terminal: Terminal, running: Chain, stage: Stage) -> None:
    head = _head(running)
    with Live(console=terminal.console, auto_refresh=False) as live:
        while True:
            live.update(summary.drawn(await _snapshot(running, stage), head=head, zone=ZONE), refresh=True)
            await asyncio.sleep(0.5)


async def _list(terminal: Terminal, running: Chain, stage: Stage) -> None:
    stage.on_event = lambda text: terminal.say(f"  {text}")
    while True:
        await asyncio.sleep(5)
        terminal.say(summary.plain(await _snapshot(running, stage)))


async def _snapshot(running: Chain, stage: Stage) -> Snapshot:
    async with running.connection() as conn:
        counts: Counts = await witness.counts(conn)
    now = datetime.now(UTC)
    began = stage.began_at or now
    seconds = (now - began).total_seconds()
    lines = []
    for person in running.people:
        for device in person.devices:
            last = stage.ledger.last.get((device.uid, person.key))
            lines.append(
                DeviceLine(
                    person=person.key,
                    label=device.label,
                    route=_ROUTES[device.route],
                    at=last.made_at if last else None,
                    shown=summary.spoken(last.kind, last.values, last.facts) if last else "",
                )
            )
    expected = stage.scenario.expected(stage.ledger.injections)
    return Snapshot(
        at=now,
        seconds=seconds,
        sent=len(stage.ledger.entries),
        waiting=stage.waiting,
        expected_alerts=sum(map(len, expected.values())),
        counts=counts,
        devices=lines,
        happened=tuple(stage.happened),
    )


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    *,
    seconds: Annotated[float | None, typer.Option(min=1, help="Play for so long; without it until Ctrl-C.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Plain lines in place of the live table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same residents, devices and habits.")] = 1,
    scenario: Annotated[str, typer.Option(help="A shipped scenario's name, or a YAML file.")] = DEFAULT,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder of logs and ground truth.")] = False,
) -> None:
    """The whole chain with simulated residents and devices; prints where to look."""
    terminal = Terminal(headless=headless, as_json=as_json)
    folder = Path(tempfile.mkdtemp(prefix="suifang-demo-")) if keep else None
    try:
        account = asyncio.run(run(seconds=seconds, terminal=terminal, seed=seed, scenario_name=scenario, folder=folder))
    except (EmbeddedError, NotReady, ScenarioFault) as error:
        terminal.say(f"the demo cannot run: {error}")
        raise typer.Exit(2) from None
    if as_json:
        sys.stdout.write(json.dumps(account.as_json(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        terminal.console.print_json(data=account.as_json())
    raise typer.Exit(0 if account.right else 1)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
