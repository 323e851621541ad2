-- Findings keep what an episode's sentence needs, and can be withdrawn when their reading was somebody else's.
-- depends: 0002_recheck

ALTER TABLE monitor.finding
  ADD COLUMN kind         text,                              -- the section of the queue it asks for
  ADD COLUMN shown        text NOT NULL DEFAULT '',          -- its number as said: 186/112
  ADD COLUMN excess       float8 NOT NULL DEFAULT 0,         -- how far beyond its line, as a ratio
  ADD COLUMN session_at   timestamptz,                       -- when the session began whose mean was judged
  ADD COLUMN withdrawn_at timestamptz;                       -- its reading turned out to be somebody else's
UPDATE monitor.finding
SET kind = CASE WHEN found_severity IN ('emergency', 'worsening') AND severity = 'due' THEN 'recheck'
                ELSE evidence ->> 'queue' END;
ALTER TABLE monitor.finding ALTER COLUMN kind SET NOT NULL;
ALTER TABLE monitor.finding ADD CONSTRAINT finding_kind_known CHECK
  (kind IN ('emergency', 'worsening', 'recheck', 'referral_check', 'two_weeks', 'screening', 'regular', 'technical'));

-- one rule met by one reading counts once, and once more when the reading comes back to whom it was taken from
ALTER TABLE monitor.finding DROP CONSTRAINT finding_once;
CREATE UNIQUE INDEX finding_once ON monitor.finding (subject_id, rule_id, evidence_key) WHERE withdrawn_at IS NULL;
