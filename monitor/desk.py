"""What every page of one site's desk needs: the identity keys, the zone in which its days begin, the packs it runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from monitor.identity import Keys
from monitor.programme import NoSuchEdition, load_packs
from monitor.programme_pack import Pack

if TYPE_CHECKING:
    from monitor.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """Built once a process; passed to whatever shows or seals an identity or speaks of a day."""

    keys: Keys
    zone: ZoneInfo
    packs: tuple[Pack, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> Desk:
        """BadKey: a key is not the base64 of 32 octets. PackRefused, NoSuchEdition: see `monitor.programme`."""
        return cls(Keys.from_settings(settings), settings.zone, chosen_packs(settings))

    def pack(self, programme: str) -> Pack | None:
        """The pack of a programme, where this site runs it."""
        return next((pack for pack in self.packs if pack.programme == programme), None)

    def day(self, at: datetime) -> date:
        """The site's calendar day of a moment."""
        return at.astimezone(self.zone).date()


def chosen_packs(settings: Settings) -> tuple[Pack, ...]:
    """The packs of the site's edition and programmes. NoSuchEdition also where a programme has none of that edition."""
    packs = tuple(pack for pack in load_packs(settings.edition) if pack.programme in settings.programmes)
    missing = set(settings.programmes) - {pack.programme for pack in packs}
    if missing:
        raise NoSuchEdition(f"no pack of edition {settings.edition} for {', '.join(sorted(missing))}")
    return packs
