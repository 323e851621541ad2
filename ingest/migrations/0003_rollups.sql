-- Roll-ups by hour and by day that stay right whenever a reading comes; what of them is due; what retention let go of.
-- depends: 0002_assignment_changes

ALTER TABLE telemetry.batch ADD COLUMN rolled_at timestamptz;
ALTER TABLE telemetry.assignment_change ADD COLUMN rolled_at timestamptz;
-- what is stored already is rolled up from the readings themselves, by the first run
UPDATE telemetry.batch SET rolled_at = stored_at;
UPDATE telemetry.assignment_change SET rolled_at = changed_at;
CREATE INDEX batch_unrolled ON telemetry.batch (batch_id) WHERE rolled_at IS NULL;
CREATE INDEX assignment_change_unrolled ON telemetry.assignment_change (change_id) WHERE rolled_at IS NULL;

CREATE TABLE telemetry.rollup_hour (         -- what one device measured of one subject in one hour, a value of a kind
  bucket_at  timestamptz NOT NULL,           -- the hour's first moment
  low        float8   NOT NULL,              -- canonical unit, as high and total
  high       float8   NOT NULL,
  device_id  int      NOT NULL,
  kind       int      NOT NULL,
  number     int      NOT NULL,
  slot       smallint NOT NULL,              -- with the kind: the code
  simulated  boolean  NOT NULL,              -- never mixed with what people measured
  subject_id uuid     NOT NULL,
  total      numeric  NOT NULL,              -- exact, so that no order of arrival can be seen in it
  CONSTRAINT rollup_hour_pkey PRIMARY KEY (device_id, bucket_at, kind, slot, subject_id, simulated),
  CONSTRAINT rollup_hour_number CHECK (number > 0)
);

CREATE TABLE telemetry.rollup_day (          -- the same of one day of the site's calendar: bucket_at is its midnight
  bucket_at  timestamptz NOT NULL,
  low        float8   NOT NULL,
  high       float8   NOT NULL,
  device_id  int      NOT NULL,
  kind       int      NOT NULL,
  number     int      NOT NULL,
  slot       smallint NOT NULL,
  simulated  boolean  NOT NULL,
  subject_id uuid     NOT NULL,
  total      numeric  NOT NULL,
  CONSTRAINT rollup_day_pkey PRIMARY KEY (device_id, bucket_at, kind, slot, subject_id, simulated),
  CONSTRAINT rollup_day_number CHECK (number > 0)
);

CREATE TABLE telemetry.rollup_due (          -- readings that changed after they were stored, beside new batches and reassignments
  due_id    bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollup_due_pkey PRIMARY KEY,
  device_id int NOT NULL,
  first_at  timestamptz NOT NULL,            -- of identity_at
  last_at   timestamptz NOT NULL
);

CREATE TABLE telemetry.rollup_rule (         -- how the roll-ups were made: another rule makes them anew
  one      boolean CONSTRAINT rollup_rule_pkey PRIMARY KEY DEFAULT true CONSTRAINT rollup_rule_one CHECK (one),
  zone     text   NOT NULL,                  -- where hours and days begin
  left_out bigint NOT NULL                   -- facts of readings that do not count
);

CREATE TABLE telemetry.let_go (              -- up to where retention removed what: that time is not rolled up or reconciled again
  what       text NOT NULL CONSTRAINT let_go_what CHECK (
    what IN ('observation', 'rollup_hour', 'batch', 'quarantine')
  ),
  kind       int NOT NULL,                   -- 0: every kind
  before_at  timestamptz NOT NULL,           -- of identity_at, bucket_at, judged_at, resolved_at
  applied_at timestamptz NOT NULL,
  CONSTRAINT let_go_pkey PRIMARY KEY (what, kind)
);

CREATE FUNCTION telemetry.observation_changed() RETURNS trigger LANGUAGE plpgsql AS $changed$
BEGIN
  INSERT INTO telemetry.rollup_due (device_id, first_at, last_at) VALUES (NEW.device_id, NEW.identity_at, NEW.identity_at);
  RETURN NULL;
END
$changed$;
-- a correction changes a stored reading; new ones are known by their batch, so inserting pays nothing for this
CREATE TRIGGER observation_changed AFTER UPDATE ON telemetry.observation
  FOR EACH ROW EXECUTE FUNCTION telemetry.observation_changed();

CREATE VIEW telemetry.subject_hour AS
SELECT r.subject_id, k.code, k.ref, r.bucket_at, r.simulated, sum(r.number)::bigint AS number, min(r.low) AS low,
       max(r.high) AS high, (sum(r.total) / sum(r.number))::float8 AS mean, k.unit
FROM telemetry.rollup_hour r
JOIN (SELECT DISTINCT kind, slot, code, ref, canonical AS unit FROM telemetry.kind_value) k USING (kind, slot)
GROUP BY r.subject_id, k.code, k.ref, r.bucket_at, r.simulated, k.unit;

CREATE VIEW telemetry.subject_day AS
SELECT r.subject_id, k.code, k.ref, r.bucket_at, r.simulated, sum(r.number)::bigint AS number, min(r.low) AS low,
       max(r.high) AS high, (sum(r.total) / sum(r.number))::float8 AS mean, k.unit
FROM telemetry.rollup_day r
JOIN (SELECT DISTINCT kind, slot, code, ref, canonical AS unit FROM telemetry.kind_value) k USING (kind, slot)
GROUP BY r.subject_id, k.code, k.ref, r.bucket_at, r.simulated, k.unit;
