"""The edge: radio and 11073 manager, a disk outbox, MQTT upwards."""
