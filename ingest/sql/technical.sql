-- What an operator must look at.

-- name: growth
-- new rows of the quarantine; the same bad thing sent again counts up its row and is no growth
WITH new AS MATERIALIZED (
  SELECT topic, reason FROM telemetry.quarantine WHERE received_at > %(since)s AND received_at <= %(now)s
), worst AS (
  SELECT topic, count(*) AS number FROM new GROUP BY topic ORDER BY 2 DESC, 1 LIMIT 1
)
SELECT (SELECT count(*) FROM new), w.topic, n.reason
FROM worst w JOIN new n USING (topic)
GROUP BY w.topic, n.reason ORDER BY count(*) DESC, n.reason LIMIT 1;

-- name: raise_alert
INSERT INTO telemetry.technical_alert AS a (cause, raised_at, last_at, number, minutes, topic, reason)
VALUES (%(cause)s, %(now)s, %(now)s, %(number)s, %(minutes)s, %(topic)s, %(reason)s)
ON CONFLICT (cause) WHERE resolved_at IS NULL DO UPDATE
SET last_at = excluded.last_at, number = greatest(a.number, excluded.number), minutes = excluded.minutes,
    topic = excluded.topic, reason = excluded.reason
RETURNING raised_at = last_at AND xmax = 0;

-- name: resolve_alert
UPDATE telemetry.technical_alert SET resolved_at = %(now)s WHERE cause = %(cause)s AND resolved_at IS NULL;

-- name: announce_technical
SELECT pg_notify('suifang_technical', '');

-- name: open_alerts
SELECT cause, raised_at, last_at, number, minutes, topic, reason
FROM telemetry.technical_alert WHERE resolved_at IS NULL ORDER BY alert_id;

-- name: standing
SELECT (SELECT count(*) FROM telemetry.quarantine WHERE resolved_at IS NULL),
       (SELECT count(*) FROM telemetry.batch WHERE judged_at IS NULL),
       (SELECT min(stored_at) FROM telemetry.batch WHERE judged_at IS NULL),
       (SELECT count(*) FROM telemetry.correction WHERE judged_at IS NULL),
       (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database());

-- name: sources_heard
SELECT site, source, last_seen_at FROM telemetry.source ORDER BY last_seen_at, site, source;

-- name: quarantined_by_reason
SELECT reason, count(*), min(received_at), max(last_at)
FROM telemetry.quarantine WHERE resolved_at IS NULL GROUP BY reason ORDER BY 2 DESC, 1;
