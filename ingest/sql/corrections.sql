-- Corrections of stored observations: the row says what holds, `telemetry.correction` what it was before and why.

-- name: lock_record
-- an advisory lock, since rows of compressed chunks cannot be locked
SELECT pg_advisory_xact_lock(hashtextextended(%s, 5));

-- name: record
SELECT o.kind, o.unit, o.facts, o.absent, ARRAY[o.v0, o.v1, o.v2, o.v3] || o.more
FROM telemetry.observation o
WHERE o.device_id = %(device_id)s AND o.identity_at = %(identity_at)s AND o.kind = %(kind)s AND o.record_no = %(record_no)s;

-- name: correct_record
UPDATE telemetry.observation o
SET facts = %(is_facts)s, absent = %(is_absent)s, v0 = %(v0)s, v1 = %(v1)s, v2 = %(v2)s, v3 = %(v3)s, more = %(more)s
WHERE o.device_id = %(device_id)s AND o.identity_at = %(identity_at)s AND o.kind = %(kind)s AND o.record_no = %(record_no)s;

-- name: add_correction
INSERT INTO telemetry.correction (device_id, identity_at, kind, record_no, status, reason, corrected_by, corrected_at,
  was_facts, was_absent, was_values, is_facts, is_absent, is_values)
VALUES (%(device_id)s, %(identity_at)s, %(kind)s, %(record_no)s, %(status)s, %(reason)s, %(by)s, %(now)s,
  %(was_facts)s, %(was_absent)s, %(was_values)s, %(is_facts)s, %(is_absent)s, %(is_values)s)
RETURNING correction_id;

-- name: announce_correction
SELECT pg_notify('suifang_correction', %s::text);

-- name: history
SELECT correction_id, device_id, identity_at, kind, record_no, status, reason, corrected_by, corrected_at,
       was_facts, was_absent, was_values, is_facts, is_absent, is_values
FROM telemetry.correction
WHERE device_id = %(device_id)s AND identity_at = %(identity_at)s AND kind = %(kind)s AND record_no = %(record_no)s
ORDER BY correction_id;

-- name: claim_correction
-- in whatever order two judges take those of one record: each compares what was with what holds now
SELECT correction_id, device_id, identity_at, kind, record_no, status, reason, corrected_by, corrected_at,
       was_facts, was_absent, was_values, is_facts, is_absent, is_values
FROM telemetry.correction c
WHERE judged_at IS NULL ORDER BY correction_id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: mark_correction_judged
UPDATE telemetry.correction SET judged_at = %(now)s WHERE correction_id = %(correction_id)s;

-- name: found_record
-- one observation with the subject it belongs to now, if any
SELECT COALESCE(ad.subject_id, ase.subject_id), d.device_uid, d.label, o.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, s.session_uid, o.batch_id
FROM telemetry.observation o
JOIN telemetry.device d ON d.device_id = o.device_id
LEFT JOIN telemetry.session s ON s.session_no = o.session_no
LEFT JOIN telemetry.assignment ad ON ad.device_id = o.device_id AND o.session_no IS NULL
  AND (ad.user_slot IS NULL OR ad.user_slot = o.user_slot) AND o.measured_at <@ ad.valid
LEFT JOIN telemetry.assignment ase ON ase.session_no = o.session_no AND o.measured_at <@ ase.valid
WHERE o.device_id = %(device_id)s AND o.identity_at = %(identity_at)s AND o.kind = %(kind)s AND o.record_no = %(record_no)s;

-- name: readings_of_device
SELECT NULL::uuid, d.device_uid, d.label, o.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, s.session_uid, o.batch_id
FROM telemetry.device d
JOIN telemetry.observation o ON o.device_id = d.device_id
LEFT JOIN telemetry.session s ON s.session_no = o.session_no
WHERE d.device_uid = %(uid)s AND o.identity_at >= %(first)s AND o.measured_at >= %(since)s
ORDER BY o.measured_at DESC, o.kind, o.record_no LIMIT %(limit)s;

-- name: identity_of_stamp
-- where a record of this device is kept: by the ledger of odd clocks, else under its own stamp
SELECT d.device_id, COALESCE(l.identity_at, %(stamp)s)
FROM telemetry.device d
LEFT JOIN telemetry.odd_identity l
  ON l.device_id = d.device_id AND l.device_at = %(stamp)s AND l.kind = %(kind)s AND l.record_no = %(record_no)s
WHERE d.device_uid = %(uid)s;
