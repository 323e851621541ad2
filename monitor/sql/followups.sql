-- name: lock
SELECT f.followup_id, f.subject_id, f.kind, f.severity, f.state, f.alert_id, f.programme, f.holder_id, f.acknowledged_at,
       f.citation, f.attempts
FROM monitor.followup f
WHERE f.followup_id = %(followup_id)s
  AND EXISTS (SELECT FROM monitor.patient p WHERE p.subject_id = f.subject_id
              AND ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[])))
FOR UPDATE OF f

-- name: subject_of
SELECT subject_id FROM monitor.followup WHERE followup_id = %(followup_id)s

-- name: user_name
SELECT name FROM monitor.app_user WHERE user_id = %(user_id)s

-- name: claim
UPDATE monitor.followup
SET state = 'in_progress', holder_id = %(user_id)s, claimed_at = %(now)s,
    acknowledged_by = coalesce(acknowledged_by, %(user_id)s), acknowledged_at = coalesce(acknowledged_at, %(now)s)
WHERE followup_id = %(followup_id)s

-- name: acknowledge
UPDATE monitor.followup SET state = 'acknowledged', acknowledged_by = %(user_id)s, acknowledged_at = %(now)s
WHERE followup_id = %(followup_id)s

-- name: return
UPDATE monitor.followup
SET state = 'open', holder_id = NULL, claimed_at = NULL, acknowledged_by = NULL, acknowledged_at = NULL,
    attempts = attempts + %(attempts)s
WHERE followup_id = %(followup_id)s

-- name: close
UPDATE monitor.followup
SET state = 'closed', holder_id = NULL, claimed_at = NULL, outcome = %(outcome)s, closed_by = %(user_id)s,
    closed_at = %(now)s
WHERE followup_id = %(followup_id)s

-- name: close_episode
UPDATE monitor.alert a SET closed_at = %(now)s, handled_at = %(handled_at)s
WHERE a.alert_id = %(alert_id)s AND a.closed_at IS NULL
  AND NOT EXISTS (SELECT FROM monitor.followup f WHERE f.alert_id = a.alert_id AND f.state <> 'closed')

-- name: others_open
SELECT followup_id, alert_id, kind, severity FROM monitor.followup
WHERE subject_id = %(subject_id)s AND state <> 'closed' AND followup_id <> %(followup_id)s
ORDER BY followup_id
FOR UPDATE

-- name: answered_by_visit
SELECT followup_id, subject_id, alert_id, kind, severity FROM monitor.followup
WHERE subject_id = %(subject_id)s AND programme = %(programme)s AND kind IN ('recheck', 'two_weeks', 'regular')
  AND state <> 'closed' AND raised_at <= %(visited_at)s
ORDER BY followup_id
FOR UPDATE

-- name: set_state
UPDATE monitor.patient SET state = %(state)s, state_since = %(since)s WHERE subject_id = %(subject_id)s

-- name: open
INSERT INTO monitor.followup
  (subject_id, kind, severity, alert_id, finding_id, follows, origin, programme, sentence_zh, sentence_en, citation, late,
   raised_at, due_on)
VALUES (%(subject_id)s, %(kind)s, %(severity)s, %(alert_id)s, %(finding_id)s, %(follows)s, %(origin)s, %(programme)s,
        %(sentence_zh)s, %(sentence_en)s, %(citation)s, %(late)s, %(raised_at)s, %(due_on)s)
ON CONFLICT (origin) DO NOTHING
RETURNING followup_id

-- name: add_event
INSERT INTO monitor.followup_event (followup_id, at, user_id, action)
VALUES (%(followup_id)s, %(now)s, %(user_id)s, %(action)s)
RETURNING event_id

-- name: seal_note
UPDATE monitor.followup_event SET note = %(note)s, key_id = %(key_id)s WHERE event_id = %(event_id)s

-- name: notify
SELECT pg_notify('suifang_queue', %(payload)s)
