"""A browser to look at pages with."""

from __future__ import annotations
