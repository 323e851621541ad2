"""What every page of one site's desk needs: the identity keys and the zone in which its days begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from monitor.identity import Keys

if TYPE_CHECKING:
    from monitor.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """Built once a process; passed to whatever shows or seals an identity or speaks of a day."""

    keys: Keys
    zone: ZoneInfo

    @classmethod
    def from_settings(cls, settings: Settings) -> Desk:
        """ValueError: a key is not the base64 of 32 octets."""
        return cls(Keys.from_settings(settings), settings.zone)

    def day(self, at: datetime) -> date:
        """The site's calendar day of a moment."""
        return at.astimezone(self.zone).date()
