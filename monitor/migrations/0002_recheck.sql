-- A section for what would press if it were certain, but is doubtful or arrived late: it is to be measured again.
-- depends: 0001_monitor

ALTER TABLE monitor.followup DROP CONSTRAINT followup_kind_known;
ALTER TABLE monitor.followup ADD CONSTRAINT followup_kind_known CHECK
  (kind IN ('emergency', 'worsening', 'recheck', 'referral_check', 'two_weeks', 'screening', 'regular', 'technical'));
UPDATE monitor.followup f SET kind = 'recheck'
FROM monitor.finding n
WHERE f.state <> 'closed' AND f.kind = 'two_weeks' AND n.finding_id = f.finding_id
  AND n.found_severity IN ('emergency', 'worsening') AND n.severity = 'due';
