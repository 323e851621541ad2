-- name: append
INSERT INTO monitor.audit (at, actor, action, subject_id, purpose, detail, content)
VALUES (%(at)s, %(actor)s, %(action)s, %(subject_id)s, %(purpose)s, %(detail)s, %(content)s)

-- name: links
SELECT seq, at, actor, action, subject_id, purpose, detail, content, hash
FROM monitor.audit WHERE seq > %(after)s ORDER BY seq LIMIT %(page)s

-- name: head
SELECT seq, hash, EXISTS (SELECT FROM monitor.audit WHERE seq IS NULL) FROM monitor.audit_head

-- name: latest
SELECT seq, at, actor, action, subject_id, purpose, detail
FROM monitor.audit
WHERE %(subject_id)s::uuid IS NULL OR subject_id = %(subject_id)s
ORDER BY entry_id DESC LIMIT %(limit)s
