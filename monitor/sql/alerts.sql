-- name: lock_subjects
SELECT subject_id FROM monitor.patient WHERE subject_id = ANY (%(subject_ids)s::uuid[])
ORDER BY subject_id
FOR NO KEY UPDATE

-- name: known
SELECT n.alert_id, n.reason, f.followup_id
FROM monitor.finding n
LEFT JOIN monitor.followup f ON f.alert_id = n.alert_id AND f.state <> 'closed'
WHERE n.subject_id = %(subject_id)s AND n.rule_id = %(rule_id)s AND n.evidence_key = %(evidence_key)s

-- name: known_since
SELECT rule_id, evidence_key FROM monitor.finding WHERE subject_id = %(subject_id)s AND measured_at >= %(since)s

-- name: lock_open_followup
SELECT f.followup_id FROM monitor.followup f JOIN monitor.alert a USING (alert_id)
WHERE a.subject_id = %(subject_id)s AND a.condition = %(condition)s AND a.closed_at IS NULL AND f.state <> 'closed'
FOR UPDATE OF f

-- name: open_alert
SELECT alert_id, severity FROM monitor.alert
WHERE subject_id = %(subject_id)s AND condition = %(condition)s AND closed_at IS NULL
FOR UPDATE

-- name: open_followup_of
SELECT f.followup_id, f.state, n.measured_at AS explained_by
FROM monitor.followup f LEFT JOIN monitor.finding n USING (finding_id)
WHERE f.alert_id = %(alert_id)s AND f.state <> 'closed'
FOR UPDATE OF f

-- name: handled_alert
SELECT alert_id, severity FROM monitor.alert
WHERE subject_id = %(subject_id)s AND condition = %(condition)s AND handled_at >= %(measured_at)s
ORDER BY handled_at LIMIT 1

-- name: new_alert
INSERT INTO monitor.alert (subject_id, condition, severity, opened_at, late)
VALUES (%(subject_id)s, %(condition)s, %(severity)s, %(now)s, %(late)s)
RETURNING alert_id

-- name: add_finding
INSERT INTO monitor.finding
  (alert_id, subject_id, rule_id, evidence_key, reason, found_severity, severity, late, measured_at, raised_at, evidence)
VALUES (%(alert_id)s, %(subject_id)s, %(rule_id)s, %(evidence_key)s, %(reason)s, %(found_severity)s, %(severity)s,
        %(late)s, %(measured_at)s, %(now)s, %(evidence)s)
RETURNING finding_id

-- name: worsen
UPDATE monitor.alert SET severity = %(severity)s, late = late AND %(late)s WHERE alert_id = %(alert_id)s

-- name: recount
UPDATE monitor.alert a
SET repeats = (SELECT count(DISTINCT n.evidence_key) - 1 FROM monitor.finding n
               WHERE n.alert_id = a.alert_id AND n.severity = a.severity)
WHERE a.alert_id = %(alert_id)s
RETURNING a.repeats

-- name: explain
UPDATE monitor.followup
SET kind = %(kind)s, severity = %(severity)s, finding_id = %(finding_id)s, programme = %(programme)s,
    sentence_zh = %(sentence_zh)s, sentence_en = %(sentence_en)s, citation = %(citation)s, late = %(late)s,
    due_on = %(due_on)s
WHERE followup_id = %(followup_id)s

-- name: reopen
UPDATE monitor.followup SET state = 'open', acknowledged_by = NULL, acknowledged_at = NULL
WHERE followup_id = %(followup_id)s AND state = 'acknowledged'

-- name: set_repeats
UPDATE monitor.followup SET repeats = %(repeats)s WHERE followup_id = %(followup_id)s

-- name: note_unjudged
INSERT INTO monitor.unjudged (subject_id, evidence_key, reason, batch_id, measured_at, noted_at)
VALUES (%(subject_id)s, %(evidence_key)s, %(reason)s, %(batch_id)s, %(measured_at)s, %(now)s)
ON CONFLICT (subject_id, evidence_key) DO NOTHING

-- name: note_waiting
INSERT INTO monitor.waiting (evidence_key, device_id, user_slot, session_uid, measured_at, noted_at)
VALUES (%(evidence_key)s, %(device_id)s, %(user_slot)s, %(session_uid)s, %(measured_at)s, %(now)s)
ON CONFLICT ON CONSTRAINT waiting_pkey DO NOTHING
