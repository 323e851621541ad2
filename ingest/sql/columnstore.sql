-- The queries of the columnstore (TimescaleDB Community edition only), by name.

-- name: enabled
SELECT 1 FROM timescaledb_information.hypertables
WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'observation' AND compression_enabled;

-- name: enable
ALTER TABLE telemetry.observation SET (
  timescaledb.compress, timescaledb.compress_segmentby = 'device_id', timescaledb.compress_orderby = 'identity_at, kind, record_no'
);

-- name: chunks_to_compress
-- not in columns yet, or with rows of late readings beside them (bit 8 of the status: partial)
SELECT chunk_schema, chunk_name, is_compressed
FROM timescaledb_information.chunks
WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'observation' AND range_end <= %(before)s
  AND (NOT is_compressed OR _timescaledb_functions.chunk_status(format('%%I.%%I', chunk_schema, chunk_name)::regclass) & 8 <> 0)
ORDER BY range_start;
