-- name: only_one
SELECT pg_try_advisory_xact_lock(1595736067)

-- name: registered
SELECT p.subject_id FROM monitor.patient p
WHERE p.subject_id > %(after)s AND p.state = 'active'
  AND EXISTS (SELECT FROM monitor.register r WHERE r.subject_id = p.subject_id AND r.until IS NULL)
ORDER BY p.subject_id LIMIT %(limit)s

-- name: open_programmes
SELECT DISTINCT subject_id, programme FROM monitor.followup
WHERE subject_id = ANY (%(subject_ids)s::uuid[]) AND state <> 'closed' AND programme IS NOT NULL
