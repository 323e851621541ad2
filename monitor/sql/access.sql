-- name: add_user
INSERT INTO monitor.app_user (login, name, role, sites, password_hash, added_at)
VALUES (%(login)s, %(name)s, %(role)s, %(sites)s, %(password_hash)s, %(now)s)
RETURNING user_id

-- name: user_for_log_in
SELECT user_id, name, role, sites, password_hash, failures, locked_until
FROM monitor.app_user WHERE login = %(login)s AND disabled_at IS NULL
FOR UPDATE

-- name: count_failure
UPDATE monitor.app_user SET failures = %(failures)s, locked_until = %(locked_until)s WHERE user_id = %(user_id)s

-- name: forget_failures
UPDATE monitor.app_user SET failures = 0, locked_until = NULL WHERE user_id = %(user_id)s

-- name: open_session
INSERT INTO monitor.login_session (token_sha256, user_id, opened_at, seen_at, ends_at)
VALUES (%(token)s, %(user_id)s, %(now)s, %(now)s, %(ends_at)s)

-- name: touch_session
UPDATE monitor.login_session s SET seen_at = greatest(s.seen_at, %(now)s)
FROM monitor.app_user u
WHERE s.token_sha256 = %(token)s AND u.user_id = s.user_id AND u.disabled_at IS NULL
  AND s.ends_at > %(now)s AND s.seen_at > %(idle_since)s
RETURNING u.user_id, u.login, u.name, u.role, u.sites

-- name: session
SELECT u.user_id, u.login, u.name, u.role, u.sites
FROM monitor.login_session s JOIN monitor.app_user u USING (user_id)
WHERE s.token_sha256 = %(token)s AND u.disabled_at IS NULL
  AND s.ends_at > %(now)s AND s.seen_at > %(idle_since)s

-- name: close_session
DELETE FROM monitor.login_session s USING monitor.app_user u
WHERE s.token_sha256 = %(token)s AND u.user_id = s.user_id
RETURNING u.login
