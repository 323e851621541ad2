-- The queries of ingest, by name. Times that come as microseconds count from 2000-01-01 UTC, PostgreSQL's own epoch.

-- name: applied_migrations
SELECT migration_id FROM telemetry.migration;

-- name: timescale_offered
-- the extension's files are there and its loader is preloaded (creating it without ends the session)
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
   AND EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%');

-- name: extension_schema
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb';

-- name: hypertable_schema
-- the extension's schema where the observations are a hypertable, no row where they are a plain table
SELECT n.nspname
FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace
JOIN pg_trigger t ON t.tgrelid = 'telemetry.observation'::regclass AND t.tgname = 'ts_insert_blocker'
WHERE e.extname = 'timescaledb';

-- name: put_kind
INSERT INTO telemetry.kind (kind, ref, concept) VALUES (%s, %s, %s)
ON CONFLICT (kind) DO UPDATE SET ref = excluded.ref, concept = excluded.concept
WHERE (kind.ref, kind.concept) IS DISTINCT FROM (excluded.ref, excluded.concept);

-- name: put_kind_value
INSERT INTO telemetry.kind_value (kind, unit, slot, code, ref, reported, canonical, factor, shift)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (kind, unit, slot) DO UPDATE
SET code = excluded.code, ref = excluded.ref, reported = excluded.reported, canonical = excluded.canonical,
    factor = excluded.factor, shift = excluded.shift;

-- name: add_sources
INSERT INTO telemetry.source (site, source, first_seen_at, last_seen_at)
SELECT site, source, %(now)s, %(now)s
FROM unnest(%(sites)s::text[], %(sources)s::text[]) AS n(site, source) ORDER BY site, source
ON CONFLICT DO NOTHING;

-- name: sources
SELECT s.site, s.source, s.source_id
FROM telemetry.source s JOIN unnest(%(sites)s::text[], %(sources)s::text[]) AS n(site, source) USING (site, source);

-- name: add_devices
INSERT INTO telemetry.device (device_uid, first_seen_at, last_seen_at)
SELECT uid, %(now)s, %(now)s FROM unnest(%(uids)s::text[]) AS n(uid) ORDER BY uid
ON CONFLICT DO NOTHING;

-- name: devices
SELECT device_uid, device_id, registered_at IS NOT NULL FROM telemetry.device WHERE device_uid = ANY(%(uids)s);

-- name: add_sessions
INSERT INTO telemetry.session (session_uid) SELECT uid FROM unnest(%(uids)s::text[]) AS n(uid) ORDER BY uid
ON CONFLICT DO NOTHING;

-- name: sessions
SELECT session_uid, session_no FROM telemetry.session WHERE session_uid = ANY(%(uids)s);

-- name: next_batch
SELECT nextval('telemetry.batch_batch_id_seq');

-- name: lock_clocks
-- shared by batches with ordinary clocks, exclusive for those with an odd one; the arrays come sorted
SELECT CASE WHEN odd THEN pg_advisory_xact_lock(%(lock)s, bucket) IS NULL
            ELSE pg_advisory_xact_lock_shared(%(lock)s, bucket) IS NULL END
FROM unnest(%(buckets)s::int[], %(odd)s::bool[]) AS n(bucket, odd);

-- name: odd_devices
SELECT device_id FROM telemetry.odd_device WHERE device_id = ANY(%s);

-- name: known_identities
-- a record of an odd clock: by the ledger, else where an earlier delivery with an ordinary correction put it
-- days and the rest: an interval is multiplied in floating point, which does not hold each microsecond of far years
SELECT n.ordinal, COALESCE(l.identity_at, o.identity_at)
FROM (
  SELECT ordinal, device_id, kind, record_no, timestamptz '2000-01-01 00:00+00'
    + us / 86400000000 * interval '24 hours' + mod(us, 86400000000) * interval '1 microsecond' AS device_at
  FROM unnest(%(ordinals)s::int[], %(devices)s::int[], %(stamps)s::int8[], %(kinds)s::int[], %(records)s::int[])
    AS u(ordinal, device_id, us, kind, record_no)
) n
LEFT JOIN telemetry.odd_identity l USING (device_id, device_at, kind, record_no)
LEFT JOIN LATERAL (
  SELECT p.identity_at FROM telemetry.observation p
  WHERE p.device_id = n.device_id AND p.identity_at = n.device_at AND p.kind = n.kind AND p.record_no = n.record_no
  LIMIT 1
) o ON l.identity_at IS NULL
WHERE l.identity_at IS NOT NULL OR o.identity_at IS NOT NULL;

-- name: add_odd_identities
INSERT INTO telemetry.odd_identity (device_id, device_at, kind, record_no, identity_at)
SELECT device_id, timestamptz '2000-01-01 00:00+00'
         + stamp / 86400000000 * interval '24 hours' + mod(stamp, 86400000000) * interval '1 microsecond', kind, record_no,
       timestamptz '2000-01-01 00:00+00' + identity * interval '1 microsecond'
FROM unnest(%(devices)s::int[], %(stamps)s::int8[], %(kinds)s::int[], %(records)s::int[], %(identities)s::int8[])
  AS u(device_id, stamp, kind, record_no, identity)
ORDER BY 1, 2, 3, 4;

-- name: add_odd_devices
INSERT INTO telemetry.odd_device (device_id) SELECT DISTINCT unnest(%s::int[]) ORDER BY 1 ON CONFLICT DO NOTHING;

-- name: make_stage
CREATE TEMP TABLE IF NOT EXISTS observation_stage
  (LIKE telemetry.observation, ordinal bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS;

-- name: stage_begin
SELECT min(ordinal), min(identity_at), max(identity_at) FROM observation_stage;

-- name: stage_into_observation
WITH added AS (
  INSERT INTO telemetry.observation (identity_at, measured_at, facts, batch_id, absent, device_id, kind, record_no, unit,
    user_slot, session_no, context, v0, v1, v2, v3, more)
  SELECT identity_at, measured_at, facts, batch_id, absent, device_id, kind, record_no, unit,
    user_slot, session_no, context, v0, v1, v2, v3, more
  FROM observation_stage ORDER BY device_id, identity_at, kind, record_no, ordinal
  ON CONFLICT DO NOTHING
  RETURNING device_id, identity_at, kind, record_no
)
SELECT s.ordinal FROM observation_stage s LEFT JOIN added a USING (device_id, identity_at, kind, record_no)
WHERE a.device_id IS NULL;

-- name: stage_compare
-- the rows that were there already: is it the same reading again, or another one under the same key?
SELECT s.ordinal, o.other
FROM observation_stage s
CROSS JOIN LATERAL (
  SELECT (p.unit, p.absent, p.user_slot, p.v0, p.v1, p.v2, p.v3, p.more)
         IS DISTINCT FROM (s.unit, s.absent, s.user_slot, s.v0, s.v1, s.v2, s.v3, s.more)
         -- what an amended reading once was is no other reading
         AND NOT (p.facts & (1::bigint << 39) <> 0 AND (p.unit, p.user_slot) IS NOT DISTINCT FROM (s.unit, s.user_slot)
                  AND EXISTS (SELECT FROM telemetry.correction c
                              WHERE c.device_id = p.device_id AND c.identity_at = p.identity_at AND c.kind = p.kind
                                AND c.record_no = p.record_no AND c.was_absent = s.absent
                                AND c.was_values = ARRAY[s.v0, s.v1, s.v2, s.v3] || s.more))
         -- a source's word that a stored reading is wrong must not pass for a repeat
         OR s.facts & ~p.facts & (3::bigint << 39) <> 0 AS other
  FROM telemetry.observation p
  WHERE p.device_id = s.device_id AND p.identity_at = s.identity_at AND p.kind = s.kind AND p.record_no = s.record_no
    AND p.identity_at BETWEEN %(first)s AND %(last)s
  LIMIT 1
) o
WHERE s.ordinal = ANY(%(ordinals)s);

-- name: add_batch
INSERT INTO telemetry.batch (batch_id, stored_at, messages, stored, duplicate, refused)
VALUES (%(batch_id)s, %(now)s, %(messages)s, %(stored)s, %(duplicate)s, %(refused)s);

-- name: add_touches
INSERT INTO telemetry.touch (batch_id, device_id, first_at, last_at, stored)
SELECT %(batch_id)s, * FROM unnest(%(devices)s::int[], %(first)s::timestamptz[], %(last)s::timestamptz[], %(stored)s::int[]);

-- name: add_session_touches
INSERT INTO telemetry.session_touch AS t (session_no, device_id, first_at, last_at)
SELECT * FROM unnest(%(sessions)s::int[], %(devices)s::int[], %(first)s::timestamptz[], %(last)s::timestamptz[])
ORDER BY 1, 2
ON CONFLICT (session_no, device_id) DO UPDATE
SET first_at = least(t.first_at, excluded.first_at), last_at = greatest(t.last_at, excluded.last_at);

-- name: add_batch_sources
INSERT INTO telemetry.batch_source (batch_id, source_id, day, stored)
SELECT %(batch_id)s, * FROM unnest(%(sources)s::int[], %(days)s::date[], %(stored)s::int[]);

-- name: add_accounts
INSERT INTO telemetry.account AS a (source_id, day, messages, sent, stored, duplicate, refused)
SELECT * FROM unnest(%(sources)s::int[], %(days)s::date[], %(messages)s::int[], %(sent)s::int[], %(stored)s::int[],
                     %(duplicate)s::int[], %(refused)s::int[])
ORDER BY 1, 2
ON CONFLICT (source_id, day) DO UPDATE
SET messages = a.messages + excluded.messages, sent = a.sent + excluded.sent, stored = a.stored + excluded.stored,
    duplicate = a.duplicate + excluded.duplicate, refused = a.refused + excluded.refused;

-- name: see_sources
-- at most once in ten seconds a source: not a write for each batch; what a clock far ahead once wrote must not stay
UPDATE telemetry.source s SET last_seen_at = %(now)s
FROM (SELECT source_id FROM telemetry.source
      WHERE source_id = ANY(%(sources)s)
        AND last_seen_at NOT BETWEEN %(now)s - interval '10 seconds' AND %(now)s + interval '1 hour'
      ORDER BY source_id FOR NO KEY UPDATE) n
WHERE s.source_id = n.source_id;

-- name: see_devices
UPDATE telemetry.device d SET last_seen_at = %(now)s
FROM (SELECT device_id FROM telemetry.device
      WHERE device_id = ANY(%(devices)s)
        AND last_seen_at NOT BETWEEN %(now)s - interval '1 minute' AND %(now)s + interval '1 hour'
      ORDER BY device_id FOR NO KEY UPDATE) n
WHERE d.device_id = n.device_id;

-- name: keep
INSERT INTO telemetry.quarantine AS q
  (received_at, last_at, times, topic, message_id, item, content, content_sha256, field, reason, detail)
SELECT received_at, received_at, times, topic, message_id, item, content, encode(sha256(content), 'hex'), field, reason, detail
FROM unnest(%(received_at)s::timestamptz[], %(topic)s::text[], %(message_id)s::text[], %(item)s::int[],
            %(content)s::bytea[], %(field)s::text[], %(reason)s::text[], %(detail)s::text[], %(times)s::int[])
  AS n(received_at, topic, message_id, item, content, field, reason, detail, times)
ON CONFLICT (topic, content_sha256, reason) DO UPDATE SET times = q.times + excluded.times, last_at = excluded.last_at;

-- name: announce_batch
SELECT pg_notify('suifang_batch', %s::text);

-- name: put_status
INSERT INTO telemetry.source AS s (site, source, first_seen_at, last_seen_at, status, status_at)
VALUES (%(site)s, %(source)s, %(now)s, %(now)s, %(status)s, %(now)s)
ON CONFLICT (site, source) DO UPDATE
SET status = excluded.status, status_at = excluded.status_at,
    last_seen_at = CASE WHEN s.last_seen_at BETWEEN excluded.last_seen_at AND excluded.last_seen_at + interval '1 hour'
                        THEN s.last_seen_at ELSE excluded.last_seen_at END;

-- name: put_batteries
UPDATE telemetry.device d SET battery = n.battery
FROM unnest(%(uids)s::text[], %(batteries)s::smallint[]) AS n(uid, battery)
WHERE d.device_uid = n.uid AND d.battery IS DISTINCT FROM n.battery;

-- name: quarantined
SELECT quarantine_id, received_at, last_at, times, topic, message_id, item, content, field, reason, detail, resolved_at, resolution
FROM telemetry.quarantine
WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY quarantine_id DESC LIMIT %(limit)s;

-- name: quarantined_outlines
-- without the contents: each may be a mebibyte
SELECT quarantine_id, received_at, last_at, times, topic, message_id, item, field, reason, detail, resolved_at, resolution,
       octet_length(content)
FROM telemetry.quarantine
WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY quarantine_id DESC LIMIT %(limit)s;

-- name: quarantined_numbers
SELECT quarantine_id FROM telemetry.quarantine
WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY quarantine_id LIMIT %(limit)s;

-- name: quarantined_one
SELECT quarantine_id, received_at, last_at, times, topic, message_id, item, content, field, reason, detail, resolved_at, resolution
FROM telemetry.quarantine WHERE quarantine_id = %s;

-- name: resolve_quarantined
UPDATE telemetry.quarantine SET resolved_at = %s, resolution = %s WHERE quarantine_id = %s AND resolved_at IS NULL;

-- name: claim_batch
SELECT batch_id, stored_at FROM telemetry.batch WHERE judged_at IS NULL
ORDER BY batch_id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: touches
SELECT t.device_id, t.first_at, t.last_at, t.stored FROM telemetry.touch t WHERE t.batch_id = %s ORDER BY t.device_id;

-- name: mark_judged
UPDATE telemetry.batch SET judged_at = %(now)s WHERE batch_id = %(batch_id)s AND judged_at IS NULL;

-- name: batch_observations
-- the rows one batch added, each with the subject of its time, if any
SELECT COALESCE(ad.subject_id, ase.subject_id) AS subject_id, d.device_uid, d.label, o.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, s.session_uid, o.batch_id
FROM telemetry.observation o
JOIN telemetry.device d ON d.device_id = o.device_id
LEFT JOIN telemetry.session s ON s.session_no = o.session_no
LEFT JOIN telemetry.assignment ad ON ad.device_id = o.device_id AND o.session_no IS NULL
  AND (ad.user_slot IS NULL OR ad.user_slot = o.user_slot) AND o.measured_at <@ ad.valid
LEFT JOIN telemetry.assignment ase ON ase.session_no = o.session_no AND o.measured_at <@ ase.valid
WHERE o.device_id = ANY(%(devices)s) AND o.identity_at BETWEEN %(first)s AND %(last)s AND o.batch_id = %(batch_id)s
ORDER BY o.device_id, o.measured_at, o.kind, o.record_no;

-- name: window
-- first what speaks for the subject and when, a handful of rows; then its readings by the key, device by device. The
-- identity time is within a day of the measured time (a check says so).
WITH spoken AS MATERIALIZED (
  SELECT a.subject_id, d.device_id, d.device_uid, d.label, a.user_slot, NULL::int AS session_no, NULL::text AS session_uid,
         a.valid, lower(a.valid) - interval '1 day' AS first_at, upper(a.valid) + interval '1 day' AS last_at
  FROM telemetry.assignment a JOIN telemetry.device d ON d.device_id = a.device_id
  WHERE a.subject_id = %(subject_id)s
  UNION ALL
  SELECT a.subject_id, d.device_id, d.device_uid, d.label, NULL, s.session_no, s.session_uid, a.valid, t.first_at, t.last_at
  FROM telemetry.assignment a
  JOIN telemetry.session s ON s.session_no = a.session_no
  JOIN telemetry.session_touch t ON t.session_no = a.session_no
  JOIN telemetry.device d ON d.device_id = t.device_id
  WHERE a.subject_id = %(subject_id)s AND t.last_at >= %(first)s AND t.first_at <= %(last)s
)
SELECT p.subject_id, p.device_uid, p.label, p.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, p.session_uid, o.batch_id
FROM spoken p
CROSS JOIN LATERAL (
  SELECT * FROM telemetry.observation o
  WHERE o.device_id = p.device_id AND o.identity_at BETWEEN %(first)s AND %(last)s
    AND o.identity_at >= COALESCE(p.first_at, '-infinity') AND o.identity_at <= COALESCE(p.last_at, 'infinity')
    AND o.measured_at BETWEEN %(since)s AND %(until)s AND o.measured_at <@ p.valid
    AND o.session_no IS NOT DISTINCT FROM p.session_no AND (p.user_slot IS NULL OR o.user_slot = p.user_slot)
    AND (%(kinds)s::int[] IS NULL OR o.kind = ANY(%(kinds)s))
) o
ORDER BY o.measured_at, p.device_id, o.kind, o.record_no;

-- name: latest
WITH spoken AS MATERIALIZED (
  SELECT a.subject_id, d.device_id, d.device_uid, d.label, a.user_slot, NULL::int AS session_no, NULL::text AS session_uid,
         a.valid, lower(a.valid) - interval '1 day' AS first_at, upper(a.valid) + interval '1 day' AS last_at
  FROM telemetry.assignment a JOIN telemetry.device d ON d.device_id = a.device_id
  WHERE a.subject_id = %(subject_id)s
  UNION ALL
  SELECT a.subject_id, d.device_id, d.device_uid, d.label, NULL, s.session_no, s.session_uid, a.valid, t.first_at, t.last_at
  FROM telemetry.assignment a
  JOIN telemetry.session s ON s.session_no = a.session_no
  JOIN telemetry.session_touch t ON t.session_no = a.session_no
  JOIN telemetry.device d ON d.device_id = t.device_id
  WHERE a.subject_id = %(subject_id)s AND t.last_at >= %(first)s AND t.first_at <= %(last)s
)
SELECT DISTINCT ON (k.concept) p.subject_id, p.device_uid, p.label, p.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, p.session_uid, o.batch_id
FROM spoken p
CROSS JOIN LATERAL (
  -- the newest of each kind of this device and span: hundreds of readings become a few before anything is sorted
  SELECT DISTINCT ON (o.kind) * FROM telemetry.observation o
  WHERE o.device_id = p.device_id AND o.identity_at BETWEEN %(first)s AND %(last)s AND o.kind = ANY(%(kinds)s)
    AND o.identity_at >= COALESCE(p.first_at, '-infinity') AND o.identity_at <= COALESCE(p.last_at, 'infinity')
    AND o.measured_at >= %(since)s AND o.measured_at < %(before)s AND o.measured_at <@ p.valid
    AND o.session_no IS NOT DISTINCT FROM p.session_no AND (p.user_slot IS NULL OR o.user_slot = p.user_slot)
    AND o.facts & (1::bigint << 40) = 0
  ORDER BY o.kind, o.measured_at DESC, o.record_no
) o
JOIN telemetry.kind k ON k.kind = o.kind
ORDER BY k.concept, o.measured_at DESC, p.device_id, o.kind, o.record_no;

-- name: latest_moments
SELECT subject_id, max(measured_at) FROM telemetry.subject_observation
WHERE subject_id = ANY (%(subject_ids)s::uuid[]) GROUP BY subject_id;

-- name: unassigned
-- a device that is one subject's the whole time has none; of each other device and session the newest are looked up
WITH spoken AS MATERIALIZED (
  SELECT d.device_id, d.device_uid, d.label, NULL::int AS session_no, NULL::text AS session_uid,
         timestamptz '-infinity' AS first_at, timestamptz 'infinity' AS last_at
  FROM telemetry.device d
  WHERE NOT EXISTS (SELECT FROM telemetry.assignment a WHERE a.device_id = d.device_id AND a.user_slot IS NULL
                    AND a.valid @> tstzrange(%(since)s, NULL))
  UNION ALL
  SELECT d.device_id, d.device_uid, d.label, s.session_no, s.session_uid, t.first_at, t.last_at
  FROM telemetry.session_touch t
  JOIN telemetry.session s ON s.session_no = t.session_no
  JOIN telemetry.device d ON d.device_id = t.device_id
  WHERE t.last_at >= %(first)s
    AND NOT EXISTS (SELECT FROM telemetry.assignment a WHERE a.session_no = t.session_no
                    AND a.valid @> tstzrange(t.first_at - interval '1 day', t.last_at + interval '1 day', '[]'))
)
SELECT NULL::uuid, p.device_uid, p.label, p.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, p.session_uid, o.batch_id
FROM spoken p
CROSS JOIN LATERAL (
  SELECT * FROM telemetry.observation o
  WHERE o.device_id = p.device_id AND o.identity_at >= %(first)s AND o.measured_at >= %(since)s
    AND o.identity_at BETWEEN p.first_at AND p.last_at AND o.session_no IS NOT DISTINCT FROM p.session_no
    AND NOT EXISTS (SELECT FROM telemetry.assignment a WHERE p.session_no IS NULL AND a.device_id = o.device_id
                    AND (a.user_slot IS NULL OR a.user_slot = o.user_slot) AND o.measured_at <@ a.valid)
    AND NOT EXISTS (SELECT FROM telemetry.assignment a WHERE a.session_no = p.session_no AND o.measured_at <@ a.valid)
  ORDER BY o.identity_at DESC LIMIT %(each)s
) o
ORDER BY o.identity_at DESC, p.device_id, o.kind, o.record_no LIMIT %(limit)s;

-- name: devices_of
SELECT DISTINCT d.device_uid, d.label, d.concept, d.last_seen_at, d.battery, a.user_slot
FROM telemetry.assignment a JOIN telemetry.device d ON d.device_id = a.device_id
WHERE a.subject_id = %(subject_id)s AND a.valid @> %(now)s::timestamptz
ORDER BY d.device_uid, a.user_slot;

-- name: register_device
INSERT INTO telemetry.device AS d
  (device_uid, registered_at, concept, manufacturer, model, serial, label, first_seen_at, last_seen_at)
VALUES (%(uid)s, %(now)s, %(concept)s, %(manufacturer)s, %(model)s, %(serial)s, %(label)s, %(now)s, %(now)s)
ON CONFLICT (device_uid) DO UPDATE
SET registered_at = COALESCE(d.registered_at, excluded.registered_at), concept = COALESCE(excluded.concept, d.concept),
    manufacturer = COALESCE(excluded.manufacturer, d.manufacturer), model = COALESCE(excluded.model, d.model),
    serial = COALESCE(excluded.serial, d.serial), label = COALESCE(excluded.label, d.label)
RETURNING device_id;

-- name: list_devices
SELECT device_uid, registered_at, concept, label, manufacturer, model, serial, battery, first_seen_at, last_seen_at
FROM telemetry.device WHERE registered_at IS NULL OR NOT %(only_unregistered)s
ORDER BY last_seen_at DESC, device_uid LIMIT %(limit)s;

-- name: device_id
SELECT device_id FROM telemetry.device WHERE device_uid = %s;

-- name: session_no
INSERT INTO telemetry.session AS s (session_uid) VALUES (%s)
ON CONFLICT (session_uid) DO UPDATE SET session_uid = s.session_uid RETURNING session_no;

-- name: assign
WITH made AS (
  INSERT INTO telemetry.assignment (subject_id, device_id, user_slot, session_no, valid, assigned_at, assigned_by)
  VALUES (%(subject_id)s, %(device_id)s, %(user_slot)s, %(session_no)s, tstzrange(%(since)s, %(until)s, '[)'), %(now)s,
          %(by)s)
  RETURNING *
), changed AS (
  INSERT INTO telemetry.assignment_change (subject_id, device_id, user_slot, session_no, period, changed_at)
  SELECT subject_id, device_id, user_slot, session_no, valid, %(now)s FROM made
)
SELECT assignment_id FROM made;

-- name: end_assignment
WITH before AS (
  SELECT assignment_id, valid FROM telemetry.assignment
  WHERE assignment_id = %(assignment_id)s AND lower(valid) < %(until)s AND (upper(valid) IS NULL OR upper(valid) > %(until)s)
  FOR UPDATE
), ended AS (
  UPDATE telemetry.assignment a
  SET valid = tstzrange(lower(b.valid), %(until)s, '[)'), assigned_at = %(now)s, assigned_by = %(by)s
  FROM before b WHERE a.assignment_id = b.assignment_id
  RETURNING a.subject_id, a.device_id, a.user_slot, a.session_no, tstzrange(%(until)s, upper(b.valid), '[)') AS period
)
INSERT INTO telemetry.assignment_change (subject_id, device_id, user_slot, session_no, period, changed_at)
SELECT subject_id, device_id, user_slot, session_no, period, %(now)s FROM ended;

-- name: revoke_assignment
WITH gone AS (DELETE FROM telemetry.assignment WHERE assignment_id = %(assignment_id)s RETURNING *)
INSERT INTO telemetry.assignment_change (subject_id, device_id, user_slot, session_no, period, changed_at)
SELECT subject_id, device_id, user_slot, session_no, valid, COALESCE(%(now)s, now()) FROM gone;

-- name: announce_assignment
SELECT pg_notify('suifang_assignment', '');

-- name: claim_change
SELECT change_id, subject_id, device_id, user_slot, session_no, period FROM telemetry.assignment_change
WHERE judged_at IS NULL ORDER BY change_id LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: mark_change_judged
UPDATE telemetry.assignment_change SET judged_at = %(now)s WHERE change_id = %(change_id)s;

-- name: changed_device_observations
-- a device's readings in a period, each with the subject it belongs to now, if any
SELECT ad.subject_id, d.device_uid, d.label, o.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, s.session_uid, o.batch_id
FROM telemetry.observation o
JOIN telemetry.device d ON d.device_id = o.device_id
LEFT JOIN telemetry.session s ON s.session_no = o.session_no
LEFT JOIN telemetry.assignment ad ON ad.device_id = o.device_id
  AND (ad.user_slot IS NULL OR ad.user_slot = o.user_slot) AND o.measured_at <@ ad.valid
WHERE o.device_id = %(device_id)s AND o.session_no IS NULL
  AND (%(user_slot)s::smallint IS NULL OR o.user_slot = %(user_slot)s) AND o.measured_at <@ %(period)s::tstzrange
  AND o.identity_at BETWEEN COALESCE(lower(%(period)s::tstzrange) - interval '1 day', '-infinity')
                        AND COALESCE(upper(%(period)s::tstzrange) + interval '1 day', 'infinity')
ORDER BY o.measured_at, o.kind, o.record_no;

-- name: changed_session_observations
SELECT ase.subject_id, d.device_uid, d.label, o.device_id, o.kind, o.v0, o.v1, o.v2, o.v3, o.more,
       o.unit, o.measured_at, o.identity_at, o.record_no, o.facts, o.absent, o.context, o.user_slot, s.session_uid, o.batch_id
FROM telemetry.session_touch t
JOIN telemetry.observation o ON o.device_id = t.device_id AND o.session_no = t.session_no
  AND o.identity_at BETWEEN t.first_at AND t.last_at
JOIN telemetry.device d ON d.device_id = o.device_id
JOIN telemetry.session s ON s.session_no = o.session_no
LEFT JOIN telemetry.assignment ase ON ase.session_no = o.session_no AND o.measured_at <@ ase.valid
WHERE t.session_no = %(session_no)s AND o.measured_at <@ %(period)s::tstzrange
ORDER BY o.measured_at, o.device_id, o.kind, o.record_no;

-- name: assignments_of
SELECT a.assignment_id, a.subject_id, d.device_uid, a.user_slot, s.session_uid, lower(a.valid), upper(a.valid),
       a.assigned_at, a.assigned_by
FROM telemetry.assignment a
LEFT JOIN telemetry.device d ON d.device_id = a.device_id
LEFT JOIN telemetry.session s ON s.session_no = a.session_no
WHERE a.subject_id = %s ORDER BY a.assignment_id;

-- name: reconcile
-- judged: what was stored less what waits in batches that are not judged yet
SELECT s.site, s.source, a.day, a.messages, a.sent, a.stored, a.duplicate, a.refused,
       a.stored - COALESCE(w.waiting, 0) AS judged
FROM telemetry.account a
JOIN telemetry.source s ON s.source_id = a.source_id
LEFT JOIN (
  SELECT bs.source_id, bs.day, sum(bs.stored) AS waiting
  FROM telemetry.batch_source bs JOIN telemetry.batch b ON b.batch_id = bs.batch_id
  WHERE b.judged_at IS NULL GROUP BY bs.source_id, bs.day
) w ON w.source_id = a.source_id AND w.day = a.day
WHERE %(since)s::date IS NULL OR a.day >= %(since)s
ORDER BY a.day, s.site, s.source;

-- name: move_account
-- a replayed row was counted as one observation, refused, on the day of its reception; a whole message may be several
UPDATE telemetry.account a
SET sent = a.sent - 1 + %(stored)s + %(duplicate)s + %(refused)s, stored = a.stored + %(stored)s,
    duplicate = a.duplicate + %(duplicate)s, refused = a.refused - 1 + %(refused)s
FROM telemetry.source s
WHERE s.source_id = a.source_id AND s.site = %(site)s AND s.source = %(source)s AND a.day = %(day)s AND a.refused > 0;
