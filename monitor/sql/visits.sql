-- name: add
INSERT INTO monitor.visit
  (subject_id, programme, edition, visited_at, mode, classification, observed, next_on, recorded_by, recorded_at)
VALUES (%(subject_id)s, %(programme)s, %(edition)s, %(visited_at)s, %(mode)s, %(classification)s, %(observed)s,
        %(next_on)s, %(recorded_by)s, %(now)s)
ON CONFLICT ON CONSTRAINT visit_once DO NOTHING
RETURNING visit_id

-- name: of_subjects
SELECT v.visit_id, v.subject_id, v.programme, v.edition, v.visited_at, v.mode, v.classification, v.observed, v.next_on,
       u.name AS recorded_by, v.recorded_at
FROM monitor.visit v LEFT JOIN monitor.app_user u ON u.user_id = v.recorded_by
WHERE v.subject_id = ANY (%(subject_ids)s::uuid[])
ORDER BY v.visited_at DESC, v.visit_id DESC
