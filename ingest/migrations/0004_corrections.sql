-- What was stored can be found to be wrong: its history is kept. And what an operator must look at has a row.
-- depends: 0002_assignment_changes

CREATE TABLE telemetry.correction (          -- append only: who said that a stored reading was wrong, why, and what it was
  correction_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT correction_pkey PRIMARY KEY,
  device_id     int NOT NULL CONSTRAINT correction_device_fkey REFERENCES telemetry.device,
  identity_at   timestamptz NOT NULL,
  kind          int NOT NULL,
  record_no     int NOT NULL,
  status        text NOT NULL CONSTRAINT correction_status CHECK (status IN ('amended', 'entered-in-error', 'reinstated')),
  reason        text NOT NULL CONSTRAINT correction_reason_given CHECK (btrim(reason) <> ''),
  corrected_by  text NOT NULL CONSTRAINT correction_by_given CHECK (btrim(corrected_by) <> ''),
  corrected_at  timestamptz NOT NULL,
  was_facts     bigint NOT NULL,
  was_absent    bigint NOT NULL,
  was_values    float8[] NOT NULL,           -- all slots, as reported
  is_facts      bigint NOT NULL,
  is_absent     bigint NOT NULL,
  is_values     float8[] NOT NULL,
  judged_at     timestamptz
);
CREATE INDEX correction_record ON telemetry.correction (device_id, identity_at, kind, record_no);
CREATE INDEX correction_unjudged ON telemetry.correction (correction_id) WHERE judged_at IS NULL;

CREATE FUNCTION telemetry.correction_refuse() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
  RAISE EXCEPTION 'the history of corrections is append only' USING ERRCODE = 'insufficient_privilege';
END
$refuse$;
CREATE TRIGGER correction_append_only BEFORE DELETE OR TRUNCATE ON telemetry.correction
  FOR EACH STATEMENT EXECUTE FUNCTION telemetry.correction_refuse();
CREATE TRIGGER correction_unchanged BEFORE UPDATE ON telemetry.correction
  FOR EACH ROW WHEN (to_jsonb(OLD) - 'judged_at' IS DISTINCT FROM to_jsonb(NEW) - 'judged_at')
  EXECUTE FUNCTION telemetry.correction_refuse();

CREATE TABLE telemetry.technical_alert (     -- what an operator must look at; one open row a cause
  alert_id    bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT technical_alert_pkey PRIMARY KEY,
  cause       text NOT NULL CONSTRAINT technical_alert_cause CHECK (cause IN ('quarantine-growth')),
  raised_at   timestamptz NOT NULL,
  last_at     timestamptz NOT NULL,          -- when it was last seen to be so
  resolved_at timestamptz,
  number      int NOT NULL,                  -- new refusals in the window, the most that were seen
  minutes     int NOT NULL,                  -- the window
  topic       text NOT NULL,                 -- where most of them came from
  reason      text NOT NULL                  -- why most of those were refused
);
CREATE UNIQUE INDEX technical_alert_open ON telemetry.technical_alert (cause) WHERE resolved_at IS NULL;
CREATE INDEX quarantine_received ON telemetry.quarantine (received_at);

-- bit 40: devices.observation.Fact.ENTERED_IN_ERROR
CREATE OR REPLACE VIEW telemetry.reading AS
SELECT o.measured_at, o.identity_at, o.device_id, o.kind, o.record_no, k.slot, k.code, k.ref,
       round((v.value * k.factor + k.shift)::numeric, 6)::float8 AS value, k.canonical AS unit,
       v.value AS reported_value, k.reported AS reported_unit, o.facts, o.context, o.user_slot, o.session_no, o.batch_id
FROM telemetry.observation o
CROSS JOIN LATERAL (
  SELECT 0 AS slot, o.v0 AS value UNION ALL SELECT 1, o.v1 UNION ALL SELECT 2, o.v2 UNION ALL SELECT 3, o.v3
  UNION ALL SELECT 3 + m.ordinality::int, m.value FROM unnest(o.more) WITH ORDINALITY AS m(value, ordinality)
) v
JOIN telemetry.kind_value k ON k.kind = o.kind AND k.unit = o.unit AND k.slot = v.slot
WHERE v.value IS NOT NULL AND o.facts & (1::bigint << 40) = 0;

CREATE OR REPLACE VIEW telemetry.subject_observation AS
SELECT a.subject_id, o.*
FROM telemetry.observation o
JOIN telemetry.assignment a ON a.device_id = o.device_id AND o.session_no IS NULL
  AND (a.user_slot IS NULL OR a.user_slot = o.user_slot) AND o.measured_at <@ a.valid
WHERE o.facts & (1::bigint << 40) = 0
UNION ALL
SELECT a.subject_id, o.*
FROM telemetry.observation o
JOIN telemetry.session_touch t ON t.session_no = o.session_no AND t.device_id = o.device_id
JOIN telemetry.assignment a ON a.session_no = o.session_no AND o.measured_at <@ a.valid
WHERE o.facts & (1::bigint << 40) = 0;
