-- name: add_patient
INSERT INTO monitor.patient
  (subject_id, sex, birth_date, site, record_code, family_doctor, consented_on, pregnant, lactating,
   simulated, added_at)
VALUES (%(subject_id)s, %(sex)s, %(birth_date)s, %(site)s, %(record_code)s, %(family_doctor)s, %(consented_on)s,
        %(pregnant)s, %(lactating)s, %(simulated)s, %(now)s)

-- name: add_identity
INSERT INTO monitor.identity
  (subject_id, key_id, name, id_number, phone, contact_name, contact_phone, allergies, id_number_index, phone_index,
   changed_at)
VALUES (%(subject_id)s, %(key_id)s, %(name)s, %(id_number)s, %(phone)s, %(contact_name)s, %(contact_phone)s,
        %(allergies)s, %(id_number_index)s, %(phone_index)s, %(now)s)

-- name: enrol
INSERT INTO monitor.register (subject_id, programme, since) VALUES (%(subject_id)s, %(programme)s, %(since)s)
ON CONFLICT (subject_id, programme) WHERE until IS NULL DO NOTHING

-- name: residents
SELECT p.subject_id, p.sex, p.birth_date, p.site, p.record_code, p.family_doctor, p.consented_on, p.pregnant, p.lactating,
       p.simulated, p.state,
       r.programmes, r.programmes_since
FROM monitor.patient p
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(programme ORDER BY since, programme), '{}') AS programmes,
         coalesce(array_agg(since ORDER BY since, programme), '{}') AS programmes_since
  FROM monitor.register WHERE subject_id = p.subject_id AND until IS NULL
) r
WHERE p.subject_id = ANY (%(subject_ids)s::uuid[])

-- name: identity
SELECT p.subject_id, p.sex, p.birth_date, p.site, p.record_code, p.family_doctor, p.consented_on, p.pregnant, p.lactating,
       p.simulated, p.state,
       r.programmes, r.programmes_since,
       i.key_id, i.name, i.id_number, i.phone, i.contact_name, i.contact_phone, i.allergies,
       EXISTS (SELECT FROM monitor.followup f
               WHERE f.subject_id = p.subject_id AND f.state <> 'closed' AND f.holder_id = %(user_id)s) AS held
FROM monitor.patient p
JOIN monitor.identity i USING (subject_id)
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(programme ORDER BY since, programme), '{}') AS programmes,
         coalesce(array_agg(since ORDER BY since, programme), '{}') AS programmes_since
  FROM monitor.register WHERE subject_id = p.subject_id AND until IS NULL
) r
WHERE p.subject_id = %(subject_id)s

-- name: find
SELECT p.subject_id
FROM monitor.patient p JOIN monitor.identity i USING (subject_id)
WHERE (i.id_number_index = %(id_number)s OR i.phone_index = %(phone)s OR p.record_code = %(record_code)s)
  AND ('*' = ANY (%(sites)s::text[]) OR p.site = ANY (%(sites)s::text[]))
ORDER BY p.added_at

-- name: sealed_with_other_keys
SELECT subject_id, key_id, name, id_number, phone, contact_name, contact_phone, allergies
FROM monitor.identity WHERE key_id <> %(key_id)s
ORDER BY subject_id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: reseal
UPDATE monitor.identity
SET key_id = %(key_id)s, name = %(name)s, id_number = %(id_number)s, phone = %(phone)s,
    contact_name = %(contact_name)s, contact_phone = %(contact_phone)s, allergies = %(allergies)s,
    id_number_index = %(id_number_index)s, phone_index = %(phone_index)s, changed_at = %(now)s
WHERE subject_id = %(subject_id)s
