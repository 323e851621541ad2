-- The books against what is there.

-- name: unbatched
-- the account against what the batches say they stored; not the days of batches that retention let go
SELECT s.site, s.source, a.day, a.stored, COALESCE(b.stored, 0)
FROM telemetry.account a
JOIN telemetry.source s ON s.source_id = a.source_id
LEFT JOIN (SELECT source_id, day, sum(stored) AS stored FROM telemetry.batch_source GROUP BY source_id, day) b
  ON b.source_id = a.source_id AND b.day = a.day
WHERE (%(since)s::date IS NULL OR a.day >= %(since)s) AND a.stored <> COALESCE(b.stored, 0)
  AND a.day > (SELECT COALESCE(max(before_at)::date, '-infinity') FROM telemetry.let_go WHERE what = 'batch')
ORDER BY a.day, s.site, s.source;

-- name: batches_short
-- batches whose touches or rows do not add up to what they say they stored, with the source and day of most of it; not
-- those from before what retention let go, of any kind
SELECT b.batch_id, b.stored, t.touched, n.found, w.site, w.source, w.day
FROM telemetry.batch b
CROSS JOIN LATERAL (
  SELECT COALESCE(sum(t.stored), 0)::int AS touched, COALESCE(min(t.first_at), 'infinity') AS first_at
  FROM telemetry.touch t WHERE t.batch_id = b.batch_id
) t
CROSS JOIN LATERAL (
  SELECT count(*) AS found FROM telemetry.touch t
  JOIN telemetry.observation o ON o.device_id = t.device_id AND o.identity_at BETWEEN t.first_at AND t.last_at
  WHERE t.batch_id = b.batch_id AND o.batch_id = b.batch_id
) n
LEFT JOIN LATERAL (
  SELECT s.site, s.source, c.day FROM telemetry.batch_source c JOIN telemetry.source s ON s.source_id = c.source_id
  WHERE c.batch_id = b.batch_id ORDER BY c.stored DESC, s.site, s.source LIMIT 1
) w ON true
WHERE (%(since)s::date IS NULL OR b.stored_at >= %(since)s) 
  AND t.first_at >= (SELECT COALESCE(max(before_at), '-infinity') FROM telemetry.let_go WHERE what = 'observation')
  AND (t.touched <> b.stored OR n.found <> b.stored)
ORDER BY b.batch_id;

-- name: unquarantined
-- over all days: a row of the quarantine counts how often the same thing came, and a replayed one left the refused.
-- Where retention let resolved ones go, it cannot be told any more
SELECT s.site, s.source, a.refused, COALESCE(q.kept, 0)
FROM (SELECT source_id, sum(refused)::bigint AS refused FROM telemetry.account GROUP BY source_id) a
JOIN telemetry.source s ON s.source_id = a.source_id
LEFT JOIN (
  SELECT topic, sum(times - CASE WHEN resolution LIKE 'replayed:%%' THEN 1 ELSE 0 END)::bigint AS kept
  FROM telemetry.quarantine GROUP BY topic
) q ON q.topic = 'suifang/v1/' || s.site || '/' || s.source || '/observations'
WHERE a.refused <> COALESCE(q.kept, 0) AND NOT EXISTS (SELECT FROM telemetry.let_go WHERE what = 'quarantine')
ORDER BY s.site, s.source;

-- name: unjudged_since
SELECT s.site, s.source, bs.day, sum(bs.stored)::bigint, min(b.batch_id)
FROM telemetry.batch b
JOIN telemetry.batch_source bs ON bs.batch_id = b.batch_id
JOIN telemetry.source s ON s.source_id = bs.source_id
WHERE b.judged_at IS NULL AND b.stored_at < %(before)s AND (%(since)s::date IS NULL OR bs.day >= %(since)s)
GROUP BY s.site, s.source, bs.day ORDER BY bs.day, s.site, s.source;
