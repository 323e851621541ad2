-- The queries of the roll-ups, by name. zone: where hours and days begin; left_out: facts of readings that do not count.

-- name: take_turn
-- one process at a time rolls up or lets go; until the transaction ends
SELECT pg_try_advisory_xact_lock(%(lock)s);

-- name: wait_turn
SELECT pg_advisory_xact_lock(%(lock)s);

-- name: is_due
SELECT EXISTS (SELECT FROM telemetry.batch WHERE rolled_at IS NULL)
    OR EXISTS (SELECT FROM telemetry.assignment_change WHERE rolled_at IS NULL)
    OR EXISTS (SELECT FROM telemetry.rollup_due)
    OR NOT EXISTS (SELECT FROM telemetry.rollup_rule WHERE zone = %(zone)s AND left_out = %(left_out)s);

-- name: rule
SELECT zone, left_out FROM telemetry.rollup_rule;

-- name: put_rule
INSERT INTO telemetry.rollup_rule (zone, left_out) VALUES (%(zone)s, %(left_out)s)
ON CONFLICT (one) DO UPDATE SET zone = excluded.zone, left_out = excluded.left_out;

-- name: forget_due
DELETE FROM telemetry.rollup_due;

-- name: everything_due
INSERT INTO telemetry.rollup_due (device_id, first_at, last_at)
SELECT device_id, '-infinity', 'infinity' FROM telemetry.device;

-- name: forget_days
-- midnight is elsewhere now; days whose readings are gone stay as they are
DELETE FROM telemetry.rollup_day d
WHERE NOT EXISTS (SELECT FROM telemetry.let_go g WHERE g.what = 'observation' AND g.kind IN (0, d.kind)
                  AND d.bucket_at < g.before_at + interval '1 day');

-- name: due_batches
-- the oldest, some %(rows)s readings of them
SELECT batch_id FROM (
  SELECT batch_id, sum(stored) OVER (ORDER BY batch_id) - stored AS earlier
  FROM (SELECT batch_id, stored FROM telemetry.batch WHERE rolled_at IS NULL ORDER BY batch_id LIMIT %(most)s) b
) b WHERE earlier < %(rows)s;

-- name: due_changes
SELECT change_id FROM telemetry.assignment_change WHERE rolled_at IS NULL ORDER BY change_id LIMIT %(most)s;

-- name: due_spans
SELECT due_id FROM telemetry.rollup_due ORDER BY due_id LIMIT %(most)s;

-- name: make_dirty
CREATE TEMP TABLE IF NOT EXISTS rollup_dirty
  (device_id int, kind int, bucket_at timestamptz, PRIMARY KEY (device_id, kind, bucket_at)) ON COMMIT DELETE ROWS;

-- name: make_fresh
-- a table and not a part of one statement: what the planner must know of it, ANALYZE tells
CREATE TEMP TABLE IF NOT EXISTS rollup_fresh (
  device_id int, bucket_at timestamptz, kind int, slot smallint, subject_id uuid, simulated boolean, number int, low float8,
  high float8, total numeric, PRIMARY KEY (device_id, bucket_at, kind, slot, subject_id, simulated)
) ON COMMIT DELETE ROWS;

-- name: empty_fresh
TRUNCATE rollup_fresh;

-- name: analyze_fresh
ANALYZE rollup_fresh;

-- name: dirty_of_batches
INSERT INTO rollup_dirty (device_id, kind, bucket_at)
SELECT DISTINCT o.device_id, o.kind, date_trunc('hour', o.measured_at, %(zone)s)
FROM telemetry.touch t
CROSS JOIN LATERAL (
  SELECT p.device_id, p.kind, p.measured_at FROM telemetry.observation p
  WHERE p.device_id = t.device_id AND p.identity_at BETWEEN t.first_at AND t.last_at AND p.batch_id = t.batch_id
) o
WHERE t.batch_id = ANY(%(batches)s)
ON CONFLICT DO NOTHING;

-- name: dirty_of_changes
-- what is stored of the period, and what was rolled up of it
WITH change AS MATERIALIZED (
  SELECT c.device_id, c.user_slot, c.session_no, c.period, COALESCE(lower(c.period), '-infinity') AS since,
         COALESCE(upper(c.period), 'infinity') AS until
  FROM telemetry.assignment_change c WHERE c.change_id = ANY(%(changes)s)
), told AS MATERIALIZED (
  SELECT device_id, user_slot, session_no, period, since, until, since - interval '1 day' AS first_at,
         until + interval '1 day' AS last_at
  FROM change WHERE device_id IS NOT NULL
  UNION ALL
  SELECT t.device_id, NULL, t.session_no, c.period, c.since, c.until, t.first_at, t.last_at
  FROM change c JOIN telemetry.session_touch t ON t.session_no = c.session_no
)
INSERT INTO rollup_dirty (device_id, kind, bucket_at)
SELECT DISTINCT o.device_id, o.kind, date_trunc('hour', o.measured_at, %(zone)s)
FROM told c
CROSS JOIN LATERAL (
  SELECT p.device_id, p.kind, p.measured_at FROM telemetry.observation p
  WHERE p.device_id = c.device_id AND p.identity_at BETWEEN c.first_at AND c.last_at
    AND p.session_no IS NOT DISTINCT FROM c.session_no AND (c.user_slot IS NULL OR p.user_slot = c.user_slot)
    AND p.measured_at <@ c.period
) o
UNION
SELECT h.device_id, h.kind, h.bucket_at FROM told c
JOIN telemetry.rollup_hour h ON h.device_id = c.device_id AND h.bucket_at > c.since - interval '1 hour' AND h.bucket_at < c.until
  AND h.bucket_at BETWEEN c.first_at - interval '2 days' AND c.last_at + interval '2 days'
ON CONFLICT DO NOTHING;

-- name: dirty_of_spans
INSERT INTO rollup_dirty (device_id, kind, bucket_at)
SELECT DISTINCT o.device_id, o.kind, date_trunc('hour', o.measured_at, %(zone)s)
FROM telemetry.rollup_due d
CROSS JOIN LATERAL (
  SELECT p.device_id, p.kind, p.measured_at FROM telemetry.observation p
  WHERE p.device_id = d.device_id AND p.identity_at BETWEEN d.first_at AND d.last_at
) o
WHERE d.due_id = ANY(%(spans)s)
UNION
SELECT h.device_id, h.kind, h.bucket_at FROM telemetry.rollup_due d
JOIN telemetry.rollup_hour h ON h.device_id = d.device_id AND h.bucket_at BETWEEN d.first_at AND d.last_at
WHERE d.due_id = ANY(%(spans)s)
ON CONFLICT DO NOTHING;

-- name: hours_let_go
SELECT before_at FROM telemetry.let_go WHERE what = 'rollup_hour' AND kind = 0;

-- name: dirty_whole_days
-- days whose hours retention removed are made from readings again, all their hours
INSERT INTO rollup_dirty (device_id, kind, bucket_at)
SELECT DISTINCT o.device_id, o.kind, date_trunc('hour', o.measured_at, %(zone)s)
FROM (
  SELECT DISTINCT device_id, kind, date_trunc('day', bucket_at, %(zone)s) AS day_at FROM rollup_dirty
  WHERE date_trunc('day', bucket_at, %(zone)s) < %(before)s
) d
CROSS JOIN LATERAL (
  SELECT p.device_id, p.kind, p.measured_at FROM telemetry.observation p
  WHERE p.device_id = d.device_id AND p.kind = d.kind AND p.identity_at >= d.day_at - interval '1 day'
    AND p.identity_at < d.day_at + interval '3 days' AND date_trunc('day', p.measured_at, %(zone)s) = d.day_at
) o
ON CONFLICT DO NOTHING;

-- name: leave_frozen
-- of these hours some readings may be gone already: what was made of them stays
DELETE FROM rollup_dirty d USING telemetry.let_go g
WHERE g.what = 'observation' AND g.kind IN (0, d.kind) AND d.bucket_at < g.before_at + interval '1 day';

-- name: analyze_dirty
ANALYZE rollup_dirty;

-- name: count_hours
-- every dirty hour from its readings; the identity time is within a day of the measured time (a check says so)
-- hours of a device less than two days apart are read together: each scan reads a day before and after as it is
WITH begun AS (
  SELECT device_id, bucket_at,
         bucket_at - lag(bucket_at) OVER (PARTITION BY device_id ORDER BY bucket_at) > interval '2 days' AS is_first
  FROM rollup_dirty
), numbered AS (
  SELECT device_id, bucket_at, count(*) FILTER (WHERE is_first) OVER (PARTITION BY device_id ORDER BY bucket_at) AS span
  FROM begun
), span AS MATERIALIZED (
  SELECT device_id, min(bucket_at) AS first_at, max(bucket_at) AS last_at FROM numbered GROUP BY device_id, span
), read AS MATERIALIZED (
  SELECT o.*, date_trunc('hour', o.measured_at, %(zone)s) AS bucket_at
  FROM span s
  CROSS JOIN LATERAL (
    SELECT p.device_id, p.kind, p.unit, p.facts, p.measured_at, p.user_slot, p.session_no, p.v0, p.v1, p.v2, p.v3, p.more
    FROM telemetry.observation p
    WHERE p.device_id = s.device_id AND p.identity_at >= s.first_at - interval '1 day'
      AND p.identity_at < s.last_at + interval '1 day 2 hours' AND p.measured_at >= s.first_at
      AND p.measured_at < s.last_at + interval '2 hours' AND p.facts & %(left_out)s = 0
  ) o
), counted AS (
  SELECT o.device_id, o.bucket_at, o.kind, k.slot, (o.facts & %(simulated)s) <> 0 AS simulated,
         COALESCE(ad.subject_id, ase.subject_id) AS subject_id, round((v.value * k.factor + k.shift)::numeric, 6) AS value
  FROM read o
  JOIN rollup_dirty d ON d.device_id = o.device_id AND d.kind = o.kind AND d.bucket_at = o.bucket_at
  JOIN telemetry.kind_value k ON k.kind = o.kind AND k.unit = o.unit
  CROSS JOIN LATERAL (
    SELECT CASE k.slot WHEN 0 THEN o.v0 WHEN 1 THEN o.v1 WHEN 2 THEN o.v2 WHEN 3 THEN o.v3 ELSE o.more[k.slot - 3] END AS value
  ) v
  LEFT JOIN telemetry.assignment ad ON ad.device_id = o.device_id AND o.session_no IS NULL
    AND (ad.user_slot IS NULL OR ad.user_slot = o.user_slot) AND o.measured_at <@ ad.valid
  LEFT JOIN telemetry.assignment ase ON ase.session_no = o.session_no AND o.measured_at <@ ase.valid
  WHERE v.value IS NOT NULL AND (ad.subject_id IS NOT NULL OR ase.subject_id IS NOT NULL)
)
INSERT INTO rollup_fresh (device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total)
SELECT device_id, bucket_at, kind, slot, subject_id, simulated, count(*), min(value)::float8, max(value)::float8, sum(value)
FROM counted GROUP BY device_id, bucket_at, kind, slot, subject_id, simulated;

-- name: drop_gone_hours
DELETE FROM telemetry.rollup_hour h USING rollup_dirty d
WHERE h.device_id = d.device_id AND h.bucket_at = d.bucket_at AND h.kind = d.kind
  AND NOT EXISTS (SELECT FROM rollup_fresh f WHERE f.device_id = h.device_id AND f.bucket_at = h.bucket_at AND f.kind = h.kind
                  AND f.slot = h.slot AND f.subject_id = h.subject_id AND f.simulated = h.simulated);

-- name: put_hours
INSERT INTO telemetry.rollup_hour AS h (device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total)
SELECT device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total FROM rollup_fresh
ON CONFLICT ON CONSTRAINT rollup_hour_pkey DO UPDATE
SET number = excluded.number, low = excluded.low, high = excluded.high, total = excluded.total
WHERE (h.number, h.low, h.high, h.total) IS DISTINCT FROM (excluded.number, excluded.low, excluded.high, excluded.total);

-- name: make_day
CREATE TEMP TABLE IF NOT EXISTS rollup_dirty_day
  (device_id int, kind int, bucket_at timestamptz, next_at timestamptz, PRIMARY KEY (device_id, kind, bucket_at))
ON COMMIT DELETE ROWS;

-- name: dirty_days
-- the days of the dirty hours, unless some of their hours are gone and cannot be made again
INSERT INTO rollup_dirty_day (device_id, kind, bucket_at, next_at)
SELECT d.device_id, d.kind, d.bucket_at, (d.bucket_at AT TIME ZONE %(zone)s + interval '1 day') AT TIME ZONE %(zone)s
FROM (SELECT DISTINCT device_id, kind, date_trunc('day', bucket_at, %(zone)s) AS bucket_at FROM rollup_dirty) d
WHERE NOT EXISTS (SELECT FROM telemetry.let_go h JOIN telemetry.let_go o ON o.what = 'observation' AND o.kind IN (0, d.kind)
                  WHERE h.what = 'rollup_hour' AND h.kind = 0 AND d.bucket_at < h.before_at
                    AND d.bucket_at < o.before_at + interval '1 day');

-- name: analyze_days
ANALYZE rollup_dirty_day;

-- name: count_days
INSERT INTO rollup_fresh (device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total)
SELECT h.device_id, d.bucket_at, h.kind, h.slot, h.subject_id, h.simulated, sum(h.number), min(h.low), max(h.high), sum(h.total)
FROM rollup_dirty_day d
JOIN telemetry.rollup_hour h ON h.device_id = d.device_id AND h.kind = d.kind AND h.bucket_at >= d.bucket_at
  AND h.bucket_at < d.next_at
GROUP BY h.device_id, d.bucket_at, h.kind, h.slot, h.subject_id, h.simulated;

-- name: drop_gone_days
DELETE FROM telemetry.rollup_day h USING rollup_dirty_day d
WHERE h.device_id = d.device_id AND h.bucket_at = d.bucket_at AND h.kind = d.kind
  AND NOT EXISTS (SELECT FROM rollup_fresh f WHERE f.device_id = h.device_id AND f.bucket_at = h.bucket_at AND f.kind = h.kind
                  AND f.slot = h.slot AND f.subject_id = h.subject_id AND f.simulated = h.simulated);

-- name: put_days
INSERT INTO telemetry.rollup_day AS h (device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total)
SELECT device_id, bucket_at, kind, slot, subject_id, simulated, number, low, high, total FROM rollup_fresh
ON CONFLICT ON CONSTRAINT rollup_day_pkey DO UPDATE
SET number = excluded.number, low = excluded.low, high = excluded.high, total = excluded.total
WHERE (h.number, h.low, h.high, h.total) IS DISTINCT FROM (excluded.number, excluded.low, excluded.high, excluded.total);

-- name: count_dirty
SELECT count(*) FROM rollup_dirty;

-- name: mark_batches
UPDATE telemetry.batch SET rolled_at = %(now)s WHERE batch_id = ANY(%(batches)s);

-- name: mark_changes
UPDATE telemetry.assignment_change SET rolled_at = %(now)s WHERE change_id = ANY(%(changes)s);

-- name: drop_spans
DELETE FROM telemetry.rollup_due WHERE due_id = ANY(%(spans)s);

-- name: hour_series
WITH spoken AS MATERIALIZED (
  SELECT device_id FROM telemetry.assignment WHERE subject_id = %(subject_id)s AND device_id IS NOT NULL
  UNION
  SELECT t.device_id FROM telemetry.assignment a JOIN telemetry.session_touch t ON t.session_no = a.session_no
  WHERE a.subject_id = %(subject_id)s
)
SELECT r.bucket_at, r.kind, r.slot, sum(r.number)::bigint, min(r.low), max(r.high), sum(r.total)::float8,
       (sum(r.total) / sum(r.number))::float8
FROM spoken p
JOIN telemetry.rollup_hour r ON r.device_id = p.device_id AND r.bucket_at >= %(since)s AND r.bucket_at < %(until)s
WHERE r.subject_id = %(subject_id)s AND r.simulated = %(simulated)s AND (%(kinds)s::int[] IS NULL OR r.kind = ANY(%(kinds)s))
GROUP BY r.bucket_at, r.kind, r.slot ORDER BY r.bucket_at, r.kind, r.slot;

-- name: day_series
WITH spoken AS MATERIALIZED (
  SELECT device_id FROM telemetry.assignment WHERE subject_id = %(subject_id)s AND device_id IS NOT NULL
  UNION
  SELECT t.device_id FROM telemetry.assignment a JOIN telemetry.session_touch t ON t.session_no = a.session_no
  WHERE a.subject_id = %(subject_id)s
)
SELECT r.bucket_at, r.kind, r.slot, sum(r.number)::bigint, min(r.low), max(r.high), sum(r.total)::float8,
       (sum(r.total) / sum(r.number))::float8
FROM spoken p
JOIN telemetry.rollup_day r ON r.device_id = p.device_id AND r.bucket_at >= %(since)s AND r.bucket_at < %(until)s
WHERE r.subject_id = %(subject_id)s AND r.simulated = %(simulated)s AND (%(kinds)s::int[] IS NULL OR r.kind = ANY(%(kinds)s))
GROUP BY r.bucket_at, r.kind, r.slot ORDER BY r.bucket_at, r.kind, r.slot;

-- name: waiting
SELECT (SELECT count(*) FROM telemetry.batch WHERE rolled_at IS NULL),
       (SELECT min(stored_at) FROM telemetry.batch WHERE rolled_at IS NULL),
       (SELECT count(*) FROM telemetry.assignment_change WHERE rolled_at IS NULL),
       (SELECT count(*) FROM telemetry.rollup_due);
