"""Bluetooth LE health services: one file a family of characteristics, octets to meaning and back, no I/O."""
