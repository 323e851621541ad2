-- The telemetry schema: readings belong to devices; an assignment joins them to a pseudonymous subject at read time.
-- depends:

CREATE SCHEMA telemetry;

CREATE TABLE telemetry.source (              -- who pushes: a gateway, a kiosk, a vendor; one broker credential each
  source_id    int GENERATED ALWAYS AS IDENTITY CONSTRAINT source_pkey PRIMARY KEY,
  site         text NOT NULL,
  source       text NOT NULL,
  first_seen_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  status       jsonb,
  CONSTRAINT source_key UNIQUE (site, source)
);

CREATE TABLE telemetry.device (
  device_id     int GENERATED ALWAYS AS IDENTITY CONSTRAINT device_pkey PRIMARY KEY,
  device_uid    text NOT NULL CONSTRAINT device_uid_key UNIQUE,
  registered_at timestamptz,                 -- NULL: heard of, but nobody registered it
  concept       text,
  manufacturer  text,
  model         text,
  serial        text,
  label         text,
  battery       smallint,
  first_seen_at timestamptz NOT NULL,
  last_seen_at  timestamptz NOT NULL
);

CREATE TABLE telemetry.session (             -- a kiosk session: one person between card in and card out
  session_no  int GENERATED ALWAYS AS IDENTITY CONSTRAINT session_pkey PRIMARY KEY,
  session_uid text NOT NULL CONSTRAINT session_uid_key UNIQUE
);

CREATE TABLE telemetry.kind (
  kind    int CONSTRAINT kind_pkey PRIMARY KEY,
  ref     text NOT NULL,
  concept text NOT NULL
);

CREATE TABLE telemetry.kind_value (          -- meaning of each value of a kind, by position from 0
  kind      int NOT NULL CONSTRAINT kind_value_kind_fkey REFERENCES telemetry.kind,
  slot      smallint NOT NULL,
  unit      smallint NOT NULL,               -- 11073 term of the reported unit of the first value
  code      int NOT NULL,
  ref       text NOT NULL,
  canonical text NOT NULL,                   -- UCUM
  factor    float8 NOT NULL,
  shift     float8 NOT NULL,
  CONSTRAINT kind_value_pkey PRIMARY KEY (kind, unit, slot)
);

CREATE TABLE telemetry.observation (         -- one row a device record, its values together, as reported
  identity_at timestamptz NOT NULL,          -- the device's own clock: partition and identity
  measured_at timestamptz NOT NULL,          -- corrected; the first delivery wins
  facts       bigint   NOT NULL,             -- devices.observation.Fact
  device_id   int      NOT NULL,
  kind        int      NOT NULL,
  record_no   int      NOT NULL,
  batch_id    int      NOT NULL,
  session_no  int,
  absent      int      NOT NULL,             -- devices.observation.Absent, four bits a slot (first eight)
  unit        smallint NOT NULL,
  user_slot   smallint,
  context     int,                           -- devices.observation.Context.packed
  v0 float8, v1 float8, v2 float8, v3 float8,
  more float8[],                             -- values from the fifth on (body composition)
  CONSTRAINT observation_identity_near CHECK (measured_at - identity_at BETWEEN interval '-1 day' AND interval '1 day')
);
CREATE UNIQUE INDEX observation_key ON telemetry.observation (device_id, identity_at, kind, record_no);

CREATE TABLE telemetry.odd_identity (        -- device clocks more than a day off: the first delivery decides the partition
  device_id   int NOT NULL,
  device_at   timestamptz NOT NULL,
  kind        int NOT NULL,
  record_no   int NOT NULL,
  identity_at timestamptz NOT NULL,
  CONSTRAINT odd_identity_pkey PRIMARY KEY (device_id, device_at, kind, record_no)
);

CREATE TABLE telemetry.batch (               -- one transaction of ingest: the unit that the monitor claims
  batch_id   int GENERATED ALWAYS AS IDENTITY CONSTRAINT batch_pkey PRIMARY KEY,
  stored_at  timestamptz NOT NULL,
  messages   int NOT NULL,
  stored     int NOT NULL,
  duplicate  int NOT NULL,
  refused    int NOT NULL,
  judged_at  timestamptz
);
CREATE INDEX batch_unjudged ON telemetry.batch (batch_id) WHERE judged_at IS NULL;

CREATE TABLE telemetry.touch (               -- which devices a batch touched, and when: how the monitor finds its rows
  batch_id  int NOT NULL CONSTRAINT touch_batch_fkey REFERENCES telemetry.batch ON DELETE CASCADE,
  device_id int NOT NULL,
  first_at  timestamptz NOT NULL,            -- of identity_at
  last_at   timestamptz NOT NULL,
  stored    int NOT NULL,
  CONSTRAINT touch_pkey PRIMARY KEY (batch_id, device_id)
);

CREATE TABLE telemetry.account (             -- per source and UTC day of reception: sent = stored + duplicate + refused
  source_id int  NOT NULL CONSTRAINT account_source_fkey REFERENCES telemetry.source,
  day       date NOT NULL,
  messages  bigint NOT NULL,
  stored    bigint NOT NULL,
  duplicate bigint NOT NULL,
  refused   bigint NOT NULL,
  CONSTRAINT account_pkey PRIMARY KEY (source_id, day)
);

CREATE TABLE telemetry.quarantine (
  quarantine_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT quarantine_pkey PRIMARY KEY,
  received_at   timestamptz NOT NULL,
  topic         text NOT NULL,
  payload       bytea NOT NULL,              -- the one observation, or the whole payload when it cannot be taken apart
  payload_sha256 text NOT NULL,
  item          int NOT NULL,                -- index in the message, -1: the message itself
  field         text NOT NULL,
  reason        text NOT NULL,
  detail        text NOT NULL,
  resolved_at   timestamptz,
  CONSTRAINT quarantine_key UNIQUE (payload_sha256, item)   -- the same bad thing sent again is one row
);

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE telemetry.assignment (          -- which subject a device's user (or a kiosk session) was, and when
  assignment_id int GENERATED ALWAYS AS IDENTITY CONSTRAINT assignment_pkey PRIMARY KEY,
  subject_id    uuid NOT NULL,
  device_id     int CONSTRAINT assignment_device_fkey REFERENCES telemetry.device,
  user_slot     smallint,                    -- NULL: the device has one user
  session_no    int CONSTRAINT assignment_session_fkey REFERENCES telemetry.session,
  valid         tstzrange NOT NULL,
  assigned_at   timestamptz NOT NULL,
  assigned_by   text NOT NULL,
  CONSTRAINT assignment_target CHECK ((device_id IS NULL) <> (session_no IS NULL)),
  CONSTRAINT assignment_device_once EXCLUDE USING gist
    (device_id WITH =, (COALESCE(user_slot, -1)) WITH =, valid WITH &&) WHERE (device_id IS NOT NULL),
  CONSTRAINT assignment_session_once EXCLUDE USING gist (session_no WITH =, valid WITH &&) WHERE (session_no IS NOT NULL)
);
CREATE INDEX assignment_subject ON telemetry.assignment (subject_id);

-- One row a value in canonical units, for dashboards and analysis.
CREATE VIEW telemetry.reading AS
SELECT o.measured_at, o.identity_at, o.device_id, o.kind, o.record_no, k.slot, k.code, k.ref,
       round((v.value * k.factor + k.shift)::numeric, 6)::float8 AS value, k.canonical AS unit,
       v.value AS reported_value, o.unit AS reported_unit, o.facts, o.context, o.user_slot, o.session_no, o.batch_id
FROM telemetry.observation o
CROSS JOIN LATERAL (
  SELECT 0 AS slot, o.v0 AS value UNION ALL SELECT 1, o.v1 UNION ALL SELECT 2, o.v2 UNION ALL SELECT 3, o.v3
  UNION ALL SELECT 3 + m.ordinality::int, m.value FROM unnest(o.more) WITH ORDINALITY AS m(value, ordinality)
) v
JOIN telemetry.kind_value k ON k.kind = o.kind AND k.unit = o.unit AND k.slot = v.slot
WHERE v.value IS NOT NULL;

-- Each observation with the subject it belongs to by the assignments of its time; unassigned ones have none.
CREATE VIEW telemetry.subject_observation AS
SELECT a.subject_id, o.*
FROM telemetry.observation o
JOIN telemetry.assignment a ON a.device_id = o.device_id AND o.session_no IS NULL
  AND (a.user_slot IS NULL OR a.user_slot = o.user_slot) AND o.measured_at <@ a.valid
UNION ALL
SELECT a.subject_id, o.*
FROM telemetry.observation o
JOIN telemetry.assignment a ON a.session_no = o.session_no AND o.measured_at <@ a.valid;
