-- name: lock_subjects
SELECT subject_id FROM monitor.patient WHERE subject_id = ANY (%(subject_ids)s::uuid[])
ORDER BY subject_id
FOR NO KEY UPDATE

-- name: known
SELECT n.alert_id, n.reason, f.followup_id
FROM monitor.finding n
LEFT JOIN monitor.followup f ON f.alert_id = n.alert_id AND f.state <> 'closed'
WHERE n.subject_id = %(subject_id)s AND n.rule_id = %(rule_id)s AND n.evidence_key = %(evidence_key)s
  AND n.withdrawn_at IS NULL

-- name: known_since
SELECT rule_id, evidence_key, evidence #>> '{told_zh,head}' FROM monitor.finding
WHERE subject_id = %(subject_id)s AND measured_at >= %(since)s AND withdrawn_at IS NULL

-- name: lock_open_followup
SELECT f.followup_id FROM monitor.followup f JOIN monitor.alert a USING (alert_id)
WHERE a.subject_id = %(subject_id)s AND a.condition = %(condition)s AND a.closed_at IS NULL AND f.state <> 'closed'
FOR UPDATE OF f

-- name: open_alert
SELECT alert_id, severity FROM monitor.alert
WHERE subject_id = %(subject_id)s AND condition = %(condition)s AND closed_at IS NULL
FOR UPDATE

-- name: open_followup_of
SELECT followup_id FROM monitor.followup WHERE alert_id = %(alert_id)s AND state <> 'closed'
FOR UPDATE

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
  (alert_id, subject_id, rule_id, evidence_key, reason, found_severity, severity, kind, late, measured_at, raised_at,
   shown, excess, session_at, evidence)
VALUES (%(alert_id)s, %(subject_id)s, %(rule_id)s, %(evidence_key)s, %(reason)s, %(found_severity)s, %(severity)s,
        %(kind)s, %(late)s, %(measured_at)s, %(now)s, %(shown)s, %(excess)s, %(session_at)s, %(evidence)s)
RETURNING finding_id

-- name: worsen
UPDATE monitor.alert SET severity = %(severity)s, late = late AND %(late)s WHERE alert_id = %(alert_id)s

-- name: recount
WITH counted AS (
  UPDATE monitor.alert a
  SET repeats = (SELECT greatest(count(DISTINCT n.evidence_key) - 1, 0) FROM monitor.finding n
                 WHERE n.alert_id = a.alert_id AND n.severity = a.severity AND n.withdrawn_at IS NULL)
  WHERE a.alert_id = %(alert_id)s
  RETURNING a.alert_id, a.repeats
)
UPDATE monitor.followup f SET repeats = c.repeats FROM counted c
WHERE f.alert_id = c.alert_id AND f.state <> 'closed' AND f.repeats <> c.repeats

-- name: explain
UPDATE monitor.followup
SET kind = %(kind)s, severity = %(severity)s, finding_id = %(finding_id)s, programme = %(programme)s,
    sentence_zh = %(sentence_zh)s, sentence_en = %(sentence_en)s, citation = %(citation)s, late = %(late)s,
    due_on = %(due_on)s
WHERE followup_id = %(followup_id)s

-- name: reopen
UPDATE monitor.followup SET state = 'open', acknowledged_by = NULL, acknowledged_at = NULL
WHERE followup_id = %(followup_id)s AND state = 'acknowledged'

-- name: with_episodes
SELECT DISTINCT subject_id FROM monitor.alert WHERE subject_id = ANY (%(subject_ids)s::uuid[]) AND closed_at IS NULL

-- name: episodes_of
-- the items first, as everybody who closes one does; the resident is locked
SELECT a.alert_id, a.subject_id, a.severity AS alert_severity, f.followup_id, f.finding_id, f.kind, f.severity, f.state,
       f.attempts, f.sentence_zh, f.sentence_en, f.late, f.due_on
FROM monitor.alert a JOIN monitor.followup f ON f.alert_id = a.alert_id AND f.state <> 'closed'
WHERE a.subject_id = %(subject_id)s AND a.closed_at IS NULL AND a.condition = ANY (%(conditions)s::text[])
ORDER BY f.followup_id
FOR UPDATE OF f

-- name: gravest
SELECT finding_id, evidence_key, measured_at, raised_at, session_at, shown, excess
FROM (
  SELECT *, rank() OVER (ORDER BY array_position(%(severities)s::text[], severity), array_position(%(kinds)s::text[], kind))
            AS gravity
  FROM monitor.finding WHERE alert_id = %(alert_id)s AND withdrawn_at IS NULL
) n
WHERE gravity = 1
ORDER BY measured_at, evidence_key, rule_id

-- name: evidence
SELECT evidence FROM monitor.finding WHERE finding_id = %(finding_id)s

-- name: restate
UPDATE monitor.finding
SET shown = %(shown)s, excess = %(excess)s, session_at = %(session_at)s, evidence = %(evidence)s
WHERE subject_id = %(subject_id)s AND rule_id = %(rule_id)s AND evidence_key = %(evidence_key)s AND withdrawn_at IS NULL

-- name: stated
SELECT evidence FROM monitor.finding
WHERE subject_id = %(subject_id)s AND rule_id = %(rule_id)s AND evidence_key = %(evidence_key)s AND withdrawn_at IS NULL

-- name: weigh_alert
UPDATE monitor.alert SET severity = %(severity)s WHERE alert_id = %(alert_id)s

-- name: withdraw
UPDATE monitor.finding n SET withdrawn_at = %(now)s
FROM monitor.alert a
WHERE a.alert_id = n.alert_id AND n.subject_id = %(subject_id)s AND n.withdrawn_at IS NULL
  AND (n.evidence_key = ANY (%(keys)s::text[])
       OR EXISTS (SELECT FROM unnest(%(rules)s::text[], %(of)s::text[]) AS m(rule_id, evidence_key)
                  WHERE m.rule_id = n.rule_id AND m.evidence_key = n.evidence_key))
RETURNING n.alert_id, a.condition

-- name: items_of_alerts
SELECT DISTINCT ON (alert_id) followup_id FROM monitor.followup
WHERE alert_id = ANY (%(alert_ids)s::bigint[])
ORDER BY alert_id, followup_id DESC

-- name: void_item
UPDATE monitor.followup
SET kind = %(kind)s, severity = %(severity)s, finding_id = NULL, sentence_zh = %(sentence_zh)s,
    sentence_en = %(sentence_en)s, due_on = NULL, repeats = 0
WHERE followup_id = %(followup_id)s

-- name: close_void_item
UPDATE monitor.followup SET state = 'closed', outcome = %(outcome)s, closed_at = %(now)s
WHERE followup_id = %(followup_id)s

-- name: close_void_alert
UPDATE monitor.alert SET closed_at = %(now)s WHERE alert_id = %(alert_id)s

-- name: note_unjudged
INSERT INTO monitor.unjudged (subject_id, evidence_key, reason, batch_id, measured_at, noted_at)
VALUES (%(subject_id)s, %(evidence_key)s, %(reason)s, %(batch_id)s, %(measured_at)s, %(now)s)
ON CONFLICT (subject_id, evidence_key) DO NOTHING

-- name: note_waiting
INSERT INTO monitor.waiting (evidence_key, device_id, user_slot, session_uid, measured_at, noted_at)
VALUES (%(evidence_key)s, %(device_id)s, %(user_slot)s, %(session_uid)s, %(measured_at)s, %(now)s)
ON CONFLICT ON CONSTRAINT waiting_pkey DO NOTHING

-- name: forget_waiting
DELETE FROM monitor.waiting WHERE evidence_key = ANY (%(keys)s::text[])

-- name: forget_unjudged
DELETE FROM monitor.unjudged WHERE subject_id = %(subject_id)s AND evidence_key = ANY (%(keys)s::text[])
