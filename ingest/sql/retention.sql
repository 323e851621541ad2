-- The queries of retention, by name: what may go, and letting it go a bounded piece at a time.

-- name: pending
-- the earliest identity time of what is not judged, and of what is not rolled up; NULL: there is none
SELECT CASE WHEN unjudged < '1900-01-01 00:00+00' THEN '1900-01-01 00:00+00' ELSE unjudged END,
       CASE WHEN unrolled < '1900-01-01 00:00+00' THEN '1900-01-01 00:00+00' ELSE unrolled END
FROM (
  SELECT least(
    (SELECT min(t.first_at) FROM telemetry.batch b JOIN telemetry.touch t ON t.batch_id = b.batch_id WHERE b.judged_at IS NULL),
    (SELECT min(COALESCE(lower(period), '-infinity')) - interval '1 day' FROM telemetry.assignment_change WHERE judged_at IS NULL),
    (SELECT min(identity_at) FROM telemetry.correction WHERE judged_at IS NULL)
  ) AS unjudged, least(
    (SELECT min(t.first_at) FROM telemetry.batch b JOIN telemetry.touch t ON t.batch_id = b.batch_id WHERE b.rolled_at IS NULL),
    (SELECT min(COALESCE(lower(period), '-infinity')) - interval '1 day' FROM telemetry.assignment_change WHERE rolled_at IS NULL),
    (SELECT min(first_at) FROM telemetry.rollup_due),
    (SELECT timestamptz '-infinity' WHERE NOT EXISTS (SELECT FROM telemetry.rollup_rule))
  ) AS unrolled
) p;

-- name: is_ahead
SELECT %(now)s > clock_timestamp() + interval '1 day';

-- name: hold_writers
-- a late reading that is being stored meanwhile must not be lost unjudged; a few milliseconds
LOCK TABLE telemetry.observation IN SHARE ROW EXCLUSIVE MODE;

-- name: old_chunks
SELECT chunk_schema || '.' || chunk_name, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'observation' AND range_end <= %(before)s ORDER BY range_end;

-- name: put_let_go
INSERT INTO telemetry.let_go AS g (what, kind, before_at, applied_at)
SELECT %(what)s, kind, %(before)s, %(now)s FROM unnest(%(kinds)s::int[]) AS n(kind)
ON CONFLICT (what, kind) DO UPDATE SET before_at = excluded.before_at, applied_at = excluded.applied_at
WHERE g.before_at < excluded.before_at;

-- name: all_devices
SELECT device_id FROM telemetry.device ORDER BY device_id;

-- name: count_observations
SELECT count(*) FROM telemetry.observation WHERE identity_at < %(before)s AND kind = ANY(%(kinds)s);

-- name: delete_observations
-- a piece, of some devices, by the key; a batch that came meanwhile and is not judged stays
WITH old AS MATERIALIZED (
  SELECT o.* FROM unnest(%(devices)s::int[]) AS d(device_id)
  CROSS JOIN LATERAL (
    SELECT p.device_id, p.identity_at, p.kind, p.record_no FROM telemetry.observation p
    WHERE p.device_id = d.device_id AND p.identity_at < %(before)s AND p.kind = ANY(%(kinds)s)
      AND NOT EXISTS (SELECT FROM telemetry.batch b
                      WHERE b.batch_id = p.batch_id AND (b.judged_at IS NULL OR b.rolled_at IS NULL))
    LIMIT %(most)s
  ) o
  LIMIT %(most)s
)
DELETE FROM telemetry.observation o USING old
WHERE o.identity_at < %(before)s AND o.device_id = old.device_id AND o.identity_at = old.identity_at AND o.kind = old.kind
  AND o.record_no = old.record_no;

-- name: delete_odd_identities
-- not of a reading that came late meanwhile, and stays: its repeats are known by this row
DELETE FROM telemetry.odd_identity i WHERE identity_at < %(before)s AND kind = ANY(%(kinds)s)
  AND NOT EXISTS (SELECT FROM telemetry.observation o WHERE o.device_id = i.device_id AND o.identity_at = i.identity_at
                  AND o.kind = i.kind AND o.record_no = i.record_no);

-- name: local_midnight
-- hours go by whole days of the calendar they were made for
SELECT date_trunc('day', %(before)s::timestamptz, zone) FROM telemetry.rollup_rule;

-- name: count_hours
SELECT count(*) FROM telemetry.rollup_hour WHERE bucket_at < %(before)s;

-- name: delete_hours
DELETE FROM telemetry.rollup_hour h USING (
  SELECT o.* FROM unnest(%(devices)s::int[]) AS d(device_id)
  CROSS JOIN LATERAL (
    SELECT p.device_id, p.bucket_at, p.kind, p.slot, p.subject_id, p.simulated FROM telemetry.rollup_hour p
    WHERE p.device_id = d.device_id AND p.bucket_at < %(before)s LIMIT %(most)s
  ) o
  LIMIT %(most)s
) old
WHERE h.device_id = old.device_id AND h.bucket_at = old.bucket_at AND h.kind = old.kind AND h.slot = old.slot
  AND h.subject_id = old.subject_id AND h.simulated = old.simulated;

-- name: count_days
SELECT count(*) FROM telemetry.rollup_day WHERE bucket_at < %(before)s;

-- name: delete_days
DELETE FROM telemetry.rollup_day h USING (
  SELECT o.* FROM unnest(%(devices)s::int[]) AS d(device_id)
  CROSS JOIN LATERAL (
    SELECT p.device_id, p.bucket_at, p.kind, p.slot, p.subject_id, p.simulated FROM telemetry.rollup_day p
    WHERE p.device_id = d.device_id AND p.bucket_at < %(before)s LIMIT %(most)s
  ) o
  LIMIT %(most)s
) old
WHERE h.device_id = old.device_id AND h.bucket_at = old.bucket_at AND h.kind = old.kind AND h.slot = old.slot
  AND h.subject_id = old.subject_id AND h.simulated = old.simulated;

-- name: count_batches
SELECT count(*) FROM telemetry.batch WHERE judged_at < %(before)s AND rolled_at < %(before)s;

-- name: delete_batches
-- with their touches, which are not asked for again once a batch is judged and rolled up
DELETE FROM telemetry.batch WHERE batch_id IN (
  SELECT batch_id FROM telemetry.batch WHERE judged_at < %(before)s AND rolled_at < %(before)s ORDER BY batch_id LIMIT %(most)s
);

-- name: count_changes
SELECT count(*) FROM telemetry.assignment_change WHERE judged_at < %(before)s AND rolled_at < %(before)s;

-- name: delete_changes
DELETE FROM telemetry.assignment_change WHERE change_id IN (
  SELECT change_id FROM telemetry.assignment_change WHERE judged_at < %(before)s AND rolled_at < %(before)s
  ORDER BY change_id LIMIT %(most)s
);

-- name: count_quarantine
SELECT count(*) FROM telemetry.quarantine WHERE resolved_at < %(before)s;

-- name: delete_quarantine
DELETE FROM telemetry.quarantine WHERE quarantine_id IN (
  SELECT quarantine_id FROM telemetry.quarantine WHERE resolved_at < %(before)s ORDER BY quarantine_id LIMIT %(most)s
);
