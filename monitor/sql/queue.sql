-- name: items
SELECT f.followup_id, f.subject_id, f.kind, f.severity, f.state, f.sentence_zh, f.sentence_en, f.raised_at, f.due_on,
       f.holder_id, u.name AS holder_name, f.claimed_at, f.repeats, f.late, f.attempts,
       p.sex, p.birth_date, p.site, p.simulated, r.programmes, i.key_id, i.name
FROM monitor.followup f
JOIN monitor.patient p USING (subject_id)
JOIN monitor.identity i USING (subject_id)
LEFT JOIN monitor.app_user u ON u.user_id = f.holder_id
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(programme ORDER BY since, programme), '{}') AS programmes
  FROM monitor.register WHERE subject_id = p.subject_id AND until IS NULL
) r
WHERE f.state <> 'closed'
  AND ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[]))
  AND (%(kind)s::text IS NULL OR f.kind = %(kind)s)
  AND (%(holder)s::int IS NULL OR f.holder_id = %(holder)s)
ORDER BY array_position(%(kinds)s::text[], f.kind),
         CASE WHEN f.kind IN ('emergency', 'worsening') THEN NULL ELSE f.due_on END NULLS LAST,
         f.raised_at, f.followup_id

-- name: counts
SELECT f.kind, count(*), count(*) FILTER (WHERE f.holder_id = %(user_id)s)
FROM monitor.followup f JOIN monitor.patient p USING (subject_id)
WHERE f.state <> 'closed' AND ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[]))
GROUP BY f.kind

-- name: item
SELECT f.followup_id, f.subject_id, f.kind, f.severity, f.state, f.sentence_zh, f.sentence_en, f.raised_at, f.due_on,
       f.holder_id, u.name AS holder_name, f.claimed_at, f.repeats, f.late, f.attempts, f.alert_id, f.programme, f.citation,
       p.sex, p.birth_date, p.site, p.simulated, r.programmes, i.key_id, i.name, i.phone, i.contact_name,
       i.contact_phone, n.rule_id, n.measured_at, n.evidence,
       (SELECT max(measured_at) FROM monitor.finding WHERE alert_id = f.alert_id AND withdrawn_at IS NULL)
         AS last_measured_at
FROM monitor.followup f
JOIN monitor.patient p USING (subject_id)
JOIN monitor.identity i USING (subject_id)
LEFT JOIN monitor.app_user u ON u.user_id = f.holder_id
LEFT JOIN monitor.finding n ON n.finding_id = f.finding_id
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(programme ORDER BY since, programme), '{}') AS programmes
  FROM monitor.register WHERE subject_id = p.subject_id AND until IS NULL
) r
WHERE f.followup_id = %(followup_id)s
  AND ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[]))

-- name: events
SELECT e.at, u.name, e.action, e.note, e.key_id
FROM monitor.followup_event e LEFT JOIN monitor.app_user u USING (user_id)
WHERE e.followup_id = %(followup_id)s
ORDER BY e.event_id

-- name: used_readings
SELECT evidence_key FROM monitor.finding WHERE alert_id = %(alert_id)s AND withdrawn_at IS NULL

-- name: why_unjudged
SELECT evidence_key, reason FROM monitor.unjudged
WHERE subject_id = %(subject_id)s AND measured_at BETWEEN %(since)s AND %(until)s

-- name: count_waiting
SELECT count(*) FROM (
  SELECT FROM monitor.waiting w
  WHERE w.measured_at >= %(since)s
    AND NOT EXISTS (SELECT FROM telemetry.assignment a
                    WHERE w.session_uid IS NULL AND a.device_id = w.device_id
                      AND (a.user_slot IS NULL OR a.user_slot = w.user_slot) AND w.measured_at <@ a.valid)
    AND NOT EXISTS (SELECT FROM telemetry.assignment a JOIN telemetry.session s USING (session_no)
                    WHERE s.session_uid = w.session_uid AND w.measured_at <@ a.valid)
  LIMIT %(limit)s
) waiting
