-- Who takes which partition: advisory locks of class 1398098246, object 0 for being there, object n + 1 for partition n.
-- A lock ends with its session, so with its process.

-- name: notice_silence
-- a process behind a cut cable loses its locks after half a minute, not after the system's two hours
SELECT set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false);

-- name: be_there
SELECT pg_advisory_lock_shared(1398098246, 0);

-- name: count_there
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 1398098246 AND objid = 0 AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: leave
SELECT pg_advisory_unlock_all();

-- name: claim
SELECT pg_try_advisory_lock(1398098246, %(partition)s + 1);

-- name: release
SELECT pg_advisory_unlock(1398098246, %(partition)s + 1);
