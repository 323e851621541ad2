-- A number that no instrument measures has no canonical value: its conversion would overflow, and with it every question
-- to this view.
-- depends: 0005_reordered

CREATE OR REPLACE VIEW telemetry.reading AS
SELECT o.measured_at, o.identity_at, o.device_id, o.kind, o.record_no, k.slot, k.code, k.ref,
       CASE WHEN v.value = 0 OR abs(v.value) BETWEEN 1e-100 AND 1e100
            THEN round((v.value * k.factor + k.shift)::numeric, 6)::float8 END AS value, k.canonical AS unit,
       v.value AS reported_value, k.reported AS reported_unit, o.facts, o.context, o.user_slot, o.session_no, o.batch_id
FROM telemetry.observation o
CROSS JOIN LATERAL (
  SELECT 0 AS slot, o.v0 AS value UNION ALL SELECT 1, o.v1 UNION ALL SELECT 2, o.v2 UNION ALL SELECT 3, o.v3
  UNION ALL SELECT 3 + m.ordinality::int, m.value FROM unnest(o.more) WITH ORDINALITY AS m(value, ordinality)
) v
JOIN telemetry.kind_value k ON k.kind = o.kind AND k.unit = o.unit AND k.slot = v.slot
WHERE v.value IS NOT NULL AND o.facts & (1::bigint << 40) = 0;
