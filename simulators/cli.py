"""`suifang-simulate`: virtual Bluetooth devices, fleets of kiosks and scenarios, from a seed, with a ground-truth file.

    suifang-simulate ble --port 7300 --truth truth.jsonl       for a gateway of your own: RADIO_URL tcp-client:HOST:PORT
    suifang-simulate agent --connect 127.0.0.1:6024            for `suifang-gateway phd`, or any 20601 manager over TCP
    suifang-simulate fleet --kiosks 20 --rate 200 --seconds 10
    suifang-simulate fleet --broker 127.0.0.1:1883 --credentials kiosks.txt
    suifang-simulate scenario everyday --seconds 30            the demo without a desk and a table

Every command ends with one JSON object on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from simulators.agent_kinds import KINDS
from simulators.cohort import cohort
from simulators.scenario import DEFAULT, ScenarioFault, load
from simulators.truth import Ledger

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Seed = Annotated[int, typer.Option(help="The same seed gives the same people, devices and readings.")]
Seconds = Annotated[float | None, typer.Option(min=1, help="Stop after so long; without it at Ctrl-C.")]
Truth = Annotated[Path | None, typer.Option(help="Write the ground truth here, one JSON object a line.")]


@app.command()
def ble(
    *,
    seed: Seed = 1,
    seconds: Seconds = None,
    truth: Truth = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the HCI door; 0: a free one.")] = 0,
    scenario: Annotated[str, typer.Option(help="A shipped scenario's name, or a YAML file.")] = DEFAULT,
) -> None:
    """Virtual cuffs, meters, oximeters, scales (one only advertises) and a glucose sensor that measure, on an air that
    any gateway joins by HCI over TCP."""
    from simulators import broadcast  # noqa: PLC0415 - loads Bumble

    _finish(broadcast.run(seed=seed, seconds=seconds, ledger=Ledger(truth), port=port, scenario_name=scenario))


@app.command()
def agent(
    *,
    connect: Annotated[str, typer.Option(help="HOST:PORT of an 11073-20601 manager.")] = "127.0.0.1:6024",
    device: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; may be repeated. Default: all.")
    ] = None,
    seed: Seed = 1,
    count: Annotated[int, typer.Option(min=0, help="Readings of each device.")] = 3,
    every: Annotated[float, typer.Option(min=0, help="Seconds between two readings of a device.")] = 1.0,
    extended: Annotated[bool, typer.Option("--extended", help="Report the configuration instead of its id.")] = False,
    clock_offset: Annotated[float, typer.Option(help="Seconds that the devices' clocks are ahead.")] = 0.0,
    truth: Truth = None,
) -> None:
    """Virtual 11073-20601 devices of nine kinds that report over TCP."""
    from simulators import agent as agents  # noqa: PLC0415 - as above

    names = device or list(KINDS)
    if unknown := [name for name in names if name not in KINDS]:
        raise typer.BadParameter(f"no device {unknown[0]!r}; there are: {', '.join(KINDS)}")
    host, _, port = connect.rpartition(":")
    if not host or not port.isdecimal():
        raise typer.BadParameter(f"{connect!r} is not HOST:PORT")
    run = agents.run(
        names, host=host.strip("[]"), port=int(port), seed=seed, count=count, every_s=every, ledger=Ledger(truth),
        extended=extended, offset=timedelta(seconds=clock_offset),
    )  # fmt: skip
    _finish(run)


@app.command()
def fleet(
    *,
    kiosks: Annotated[int, typer.Option(min=1, max=2000)] = 10,
    rate: Annotated[float, typer.Option(min=0.1, help="Observations a second, of all kiosks together.")] = 50.0,
    together: Annotated[int, typer.Option(min=1, max=1000, help="Observations a message.")] = 10,
    seconds: Annotated[float, typer.Option(min=1)] = 10.0,
    seed: Seed = 1,
    truth: Truth = None,
    broker: Annotated[str | None, typer.Option(help="HOST:PORT; without it an embedded chain is started.")] = None,
    credentials: Annotated[Path | None, typer.Option(help="For --broker: lines of user:password, one a kiosk.")] = None,
) -> None:
    """Kiosks that push over MQTT, each with its own credential, and keep their readings until the receipt comes."""
    from simulators import crowd  # noqa: PLC0415 - the embedded chain is loaded only where it is used

    if (broker is None) != (credentials is None):
        raise typer.BadParameter("--broker and --credentials stand together")
    order = crowd.Order(kiosks=kiosks, rate=rate, together=together, seconds=seconds, seed=seed)
    _finish(crowd.run(order, ledger=Ledger(truth), broker=broker, credentials=credentials))


@app.command()
def scenario(
    *,
    name: Annotated[str, typer.Argument(help="A shipped scenario's name, or a YAML file.")] = DEFAULT,
    seed: Seed = 1,
    seconds: Annotated[float, typer.Option(min=1)] = 30.0,
    keep: Annotated[Path | None, typer.Option(help="Folder for logs and ground truth.")] = None,
    no_radio: Annotated[bool, typer.Option("--no-radio", help="Push what Bluetooth devices would have sent.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read the scenario and say what it expects.")] = False,
) -> None:
    """Play a scenario on an embedded chain and compare the database with the truth."""
    if check:
        _tell(_expectations(name, seed))
        return
    from simulators import demo  # noqa: PLC0415 - as above

    terminal = demo.Terminal(headless=True, as_json=True)

    async def play() -> tuple[bool, dict[str, Any]]:
        account = await demo.run(
            seconds=seconds, terminal=terminal, seed=seed, scenario_name=name, folder=keep, ble=not no_radio
        )
        return account.right, account.as_json()

    _finish(play())


def _expectations(name: str, seed: int) -> dict[str, Any]:
    try:
        loaded = load(name, cohort(seed, datetime.now(UTC).date()))
    except ScenarioFault as error:
        raise typer.BadParameter(str(error)) from None
    return {
        "scenario": loaded.scenario,
        "injections": len(loaded.injections),
        "alerts": {
            person: [f"{alarm.condition} {alarm.grade}" for alarm in alarms]
            for person, alarms in sorted(loaded.expected().items())
        },
    }


def _finish(work: Coroutine[Any, Any, tuple[bool, dict[str, Any]]]) -> None:
    """Run until done or Ctrl-C; print the one JSON object; exit 1 where it is not all right."""
    try:
        right, found = asyncio.run(work)
    except (ScenarioFault, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(2) from None
    _tell(found)
    raise typer.Exit(0 if right else 1)


def _tell(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The console script."""
    app()
