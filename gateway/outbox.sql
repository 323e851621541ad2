-- The gateway's disk: what has been heard and not yet received for good. SQLite, WAL, synchronous=FULL.
-- Times are ISO 8601 in UTC.

-- A message that was or will be sent: its observations, their order and its id never change, so that a repeat is the
-- same octets. A row goes when its receipt has come.
CREATE TABLE message (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  TEXT NOT NULL UNIQUE,
    made_at     TEXT NOT NULL
) STRICT;

-- One observation as it will be sent (JSON of devices.observation.Observation). message: NULL until it is grouped.
CREATE TABLE observation (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    body      BLOB NOT NULL,
    put_at    TEXT NOT NULL,
    message   INTEGER REFERENCES message (id)
) STRICT;

CREATE INDEX observation_message ON observation (message, id);

-- What the receiver refused, for the operator: it has been received, so it is not sent again.
CREATE TABLE refusal (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  TEXT NOT NULL,
    position    INTEGER NOT NULL,
    field       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    body        BLOB NOT NULL,
    refused_at  TEXT NOT NULL
) STRICT;

-- How far a device's numbered records have been kept here. stamp: of that record, to notice that numbers began again.
CREATE TABLE mark (
    device    TEXT NOT NULL,
    service   TEXT NOT NULL,
    sequence  INTEGER NOT NULL,
    stamp     TEXT NOT NULL,
    PRIMARY KEY (device, service)
) STRICT;

-- Frames that could not be read, as they came.
CREATE TABLE oddity (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    device          TEXT NOT NULL,
    characteristic  TEXT NOT NULL,
    frame           BLOB NOT NULL,
    field           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    heard_at        TEXT NOT NULL
) STRICT;

-- Configurations that 20601 agents have told, so that an agent that comes again need not tell its own again.
-- form: how `report` is written.  digest: SHA-256 of the row's other parts; a row that it does not fit is not believed.
CREATE TABLE configuration (
    system_id   BLOB NOT NULL,
    id          INTEGER NOT NULL,
    form        INTEGER NOT NULL,
    report      BLOB NOT NULL,
    digest      BLOB NOT NULL,
    learned_at  TEXT NOT NULL,
    PRIMARY KEY (system_id, id)
) STRICT;

-- Sessions of continuous glucose sensors. began_at, run_time (hours): NULL where the sensor did not say.
CREATE TABLE sensor (
    device    TEXT PRIMARY KEY,
    began_at  TEXT,
    run_time  INTEGER,
    stopped   INTEGER NOT NULL,
    read_at   TEXT NOT NULL
) STRICT;

-- What is known of each device that was ever heard.
CREATE TABLE device (
    device          TEXT PRIMARY KEY,
    address         TEXT NOT NULL,
    name            TEXT NOT NULL,
    manufacturer    TEXT NOT NULL,
    model           TEXT NOT NULL,
    serial          TEXT NOT NULL,
    firmware        TEXT NOT NULL,
    services        TEXT NOT NULL,
    battery         INTEGER,
    clock_offset_s  REAL,
    seen_at         TEXT NOT NULL,
    outcome         TEXT NOT NULL
) STRICT;
