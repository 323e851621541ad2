-- The queries of putting chunks in the order of their key, by name.

-- name: closed_chunks
-- newest first; what stands in columns (TimescaleDB Community edition) has an order of its own
SELECT chunk_schema, chunk_name FROM timescaledb_information.chunks
WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'observation' AND range_end <= %(before)s AND NOT is_compressed
ORDER BY range_end DESC;

-- name: take_turn
SELECT pg_try_advisory_xact_lock(%(lock)s);

-- name: standing
-- octets now, octets when it was put in order (NULL: never), its index of the key; no row: the chunk is gone
SELECT pg_relation_size(c.oid), r.octets, (
  SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND ARRAY['device_id', 'identity_at', 'kind', 'record_no'] = (
    SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
  )
  LIMIT 1
)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN telemetry.reordered r ON r.chunk = n.nspname || '.' || c.relname
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: put_reordered
INSERT INTO telemetry.reordered (chunk, octets, reordered_at)
VALUES (%(chunk)s, pg_relation_size(format('%%I.%%I', %(schema)s::text, %(name)s::text)::regclass), clock_timestamp())
ON CONFLICT (chunk) DO UPDATE SET octets = excluded.octets, reordered_at = excluded.reordered_at
RETURNING octets;

-- name: forget_dropped
DELETE FROM telemetry.reordered r WHERE NOT EXISTS (
  SELECT FROM timescaledb_information.chunks c WHERE c.chunk_schema || '.' || c.chunk_name = r.chunk
);
