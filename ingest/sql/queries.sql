-- The queries of ingest, by name. Times that come as microseconds count from 2000-01-01 UTC, PostgreSQL's own epoch.

-- name: applied_migrations
SELECT migration_id FROM telemetry_migration;

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

-- name: delete_observations
DELETE FROM telemetry.observation WHERE identity_at < %s;

-- name: delete_judged_batches
DELETE FROM telemetry.batch WHERE judged_at < %s;

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
SELECT n.ordinal, COALESCE(l.identity_at, o.identity_at)
FROM (
  SELECT ordinal, device_id, kind, record_no, timestamptz '2000-01-01 00:00+00' + us * interval '1 microsecond' AS device_at
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
SELECT device_id, timestamptz '2000-01-01 00:00+00' + stamp * interval '1 microsecond', kind, record_no,
       timestamptz '2000-01-01 00:00+00' + identity * interval '1 microsecond'
FROM unnest(%(devices)s::int[], %(stamps)s::int8[], %(kinds)s::int[], %(records)s::int[], %(identities)s::int8[])
  AS u(device_id, stamp, kind, record_no, identity)
ORDER BY 1, 2, 3, 4;

-- name: add_odd_devices
INSERT INTO telemetry.odd_device (device_id) SELECT DISTINCT unnest(%s::int[]) ORDER BY 1 ON CONFLICT DO NOTHING;

-- name: make_stage
CREATE TEMP TABLE IF NOT EXISTS observation_stage
  (LIKE telemetry.observation, ordinal int GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS;

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
         IS DISTINCT FROM (s.unit, s.absent, s.user_slot, s.v0, s.v1, s.v2, s.v3, s.more) AS other
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
-- at most once in ten seconds a source: not a write for each batch
UPDATE telemetry.source s SET last_seen_at = %(now)s
FROM (SELECT source_id FROM telemetry.source
      WHERE source_id = ANY(%(sources)s) AND last_seen_at < %(now)s - interval '10 seconds'
      ORDER BY source_id FOR UPDATE) n
WHERE s.source_id = n.source_id;

-- name: see_devices
UPDATE telemetry.device d SET last_seen_at = %(now)s
FROM (SELECT device_id FROM telemetry.device
      WHERE device_id = ANY(%(devices)s) AND last_seen_at < %(now)s - interval '1 minute'
      ORDER BY device_id FOR UPDATE) n
WHERE d.device_id = n.device_id;

-- name: keep
INSERT INTO telemetry.quarantine AS q
  (received_at, last_at, times, topic, message_id, item, content, content_sha256, field, reason, detail)
SELECT received_at, received_at, 1, topic, message_id, item, content, encode(sha256(content), 'hex'), field, reason, detail
FROM unnest(%(received_at)s::timestamptz[], %(topic)s::text[], %(message_id)s::text[], %(item)s::int[],
            %(content)s::bytea[], %(field)s::text[], %(reason)s::text[], %(detail)s::text[])
  AS n(received_at, topic, message_id, item, content, field, reason, detail)
ON CONFLICT (topic, content_sha256, reason) DO UPDATE SET times = q.times + 1, last_at = excluded.last_at;

-- name: announce_batch
SELECT pg_notify('suifang_batch', %s::text);

-- name: put_status
INSERT INTO telemetry.source AS s (site, source, first_seen_at, last_seen_at, status, status_at)
VALUES (%(site)s, %(source)s, %(now)s, %(now)s, %(status)s, %(now)s)
ON CONFLICT (site, source) DO UPDATE
SET status = excluded.status, status_at = excluded.status_at, last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at);

-- name: put_batteries
UPDATE telemetry.device d SET battery = n.battery
FROM unnest(%(uids)s::text[], %(batteries)s::smallint[]) AS n(uid, battery)
WHERE d.device_uid = n.uid AND d.battery IS DISTINCT FROM n.battery;

-- name: quarantined
SELECT quarantine_id, received_at, last_at, times, topic, message_id, item, content, field, reason, detail, resolved_at, resolution
FROM telemetry.quarantine
WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY quarantine_id DESC LIMIT %(limit)s;

-- name: quarantined_one
SELECT quarantine_id, received_at, last_at, times, topic, message_id, item, content, field, reason, detail, resolved_at, resolution
FROM telemetry.quarantine WHERE quarantine_id = %s;

-- name: resolve_quarantined
UPDATE telemetry.quarantine SET resolved_at = %s, resolution = %s WHERE quarantine_id = %s AND resolved_at IS NULL;
