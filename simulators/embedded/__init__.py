"""The servers a developer's machine lacks, run privately: TimescaleDB, Mosquitto and a browser to look with.

Nothing is installed and no system service is touched. The servers come from Debian's own packages, unpacked into a
cache folder (`tree`), and each run has its own data folder, port and passwords (`timescaledb`, `broker`).
Everything here needs the standard library alone, so that it works before anything else is installed.
"""
