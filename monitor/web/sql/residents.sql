-- name: residents
SELECT p.subject_id, p.sex, p.birth_date, p.site, p.record_code, p.simulated, r.programmes, i.key_id, i.name,
       f.open_items, f.severity, f.followup_id
FROM monitor.patient p
JOIN monitor.identity i USING (subject_id)
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(programme ORDER BY since, programme), '{}') AS programmes
  FROM monitor.register WHERE subject_id = p.subject_id AND until IS NULL
) r
CROSS JOIN LATERAL (
  SELECT count(*) AS open_items,
         (array_agg(severity ORDER BY array_position(%(severities)s::text[], severity), raised_at))[1] AS severity,
         (array_agg(followup_id ORDER BY array_position(%(severities)s::text[], severity), raised_at))[1] AS followup_id
  FROM monitor.followup WHERE subject_id = p.subject_id AND state <> 'closed'
) f
WHERE ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[]))
  AND (%(among)s::uuid[] IS NULL OR p.subject_id = ANY (%(among)s::uuid[]))
ORDER BY array_position(%(severities)s::text[], f.severity) NULLS LAST, p.record_code NULLS LAST, p.added_at
LIMIT %(limit)s
