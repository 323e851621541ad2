"""Broker to hypertable. Owns the telemetry schema and publishes its read side."""
