"""Many kiosks at once: on a broker of somebody's own, or on an embedded chain that is then compared with the truth."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from simulators import witness
from simulators.chain import chain
from simulators.embedded.broker import Credentials
from simulators.fleet import Kiosk, cuff_readings
from simulators.truth import Ledger, made, milliseconds

_SETTLES_WITHIN_S = 60
_SITE = "dongyuan"


class Order(NamedTuple):
    """How many kiosks, observations a second of all together, observations a message, seconds, seed."""

    kiosks: int
    rate: float
    together: int
    seconds: float
    seed: int


async def run(
    order: Order, *, ledger: Ledger, broker: str | None, credentials: Path | None
) -> tuple[bool, dict[str, Any]]:
    """All right when every message has its receipt and, on an embedded chain, the database equals the truth."""
    if broker is not None and credentials is not None:
        host, _, port = broker.rpartition(":")
        lines = await asyncio.to_thread(credentials.read_text, "utf-8")
        pairs = [line.split(":", 1) for line in lines.splitlines() if line.strip()]
        signed = [Credentials(host, int(port), user, password) for user, password in pairs][: order.kiosks]
        return await _push(order, signed, ledger)
    names = [f"kiosk-{number}" for number in range(1, order.kiosks + 1)]
    async with chain(ble=False, monitor=False, web=False, seed=order.seed, sources=names) as running:
        right, found = await _push(order, [running.broker.credentials(name) for name in names], ledger)
        async with running.connection() as conn:
            seen = await witness.look(conn, {})
        verdict = witness.judge(ledger.entries, {}, seen)
        found |= {"stored_rows": verdict.stored, "lost": verdict.lost, "duplicates": verdict.duplicates}
        found |= {"database": running.database, "broker": running.broker_version}
    return right and verdict.right, found


async def _push(order: Order, signed: list[Credentials], ledger: Ledger) -> tuple[bool, dict[str, Any]]:
    spans: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        kiosks = [
            await stack.enter_async_context(
                Kiosk(each, site=_SITE, most=order.together, on_receipt=lambda _receipt, span: spans.append(span))
            )
            for each in signed
        ]
        began = time.monotonic()
        pushed = 0
        while time.monotonic() - began < order.seconds:
            due = int((time.monotonic() - began) * order.rate)
            if due < pushed + order.together:
                await asyncio.sleep(0.005)
                continue
            turn = pushed // order.together
            kiosk = kiosks[turn % len(kiosks)]
            now = datetime.now(UTC)
            readings = cuff_readings(
                f"eui64:0253460000{turn % len(kiosks):06x}",
                count=order.together,
                since=now - timedelta(seconds=order.together),
                seed=order.seed,
                first_record=pushed,
            )
            for reading in readings:
                ledger.write(made(reading, at=now, person=None, route="kiosk"))
            kiosk.push(readings)
            pushed += len(readings)
        elapsed = time.monotonic() - began
        settled = [await kiosk.settled(_SETTLES_WITHIN_S) for kiosk in kiosks]
        tallies = [kiosk.tally for kiosk in kiosks]
    ledger.close()
    return all(settled), {
        "kiosks": len(kiosks),
        "pushed": pushed,
        "stored": sum(tally.stored for tally in tallies),
        "redelivered": sum(tally.duplicate for tally in tallies),
        "refused": sum(tally.refused for tally in tallies),
        "republished": sum(tally.republished for tally in tallies),
        "rate": round(pushed / elapsed, 1),
        "push_to_receipt_ms": milliseconds(spans),
        "seed": order.seed,
    }
