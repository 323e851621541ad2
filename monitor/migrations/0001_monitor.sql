-- The monitor's schema: residents behind pseudonyms, their identities sealed, alerts, follow-ups, staff, audit.
-- depends:

CREATE SCHEMA monitor;

CREATE TABLE monitor.patient (               -- pseudonymous: nothing here names or reaches a person
  subject_id    uuid NOT NULL CONSTRAINT patient_pkey PRIMARY KEY,
  sex           smallint NOT NULL CONSTRAINT patient_sex_code CHECK (sex IN (0, 1, 2, 9)),   -- GB/T 2261.1
  birth_date    date NOT NULL,
  site          text NOT NULL CONSTRAINT patient_site_given CHECK (site <> ''),
  record_code   text CONSTRAINT patient_record_code_once UNIQUE
                CONSTRAINT patient_record_code_form CHECK (record_code ~ '^[0-9]{17}$'),
  family_doctor text NOT NULL DEFAULT '',    -- the team of the contract
  consented_on  date,                        -- to device monitoring
  pregnant      boolean DEFAULT false,       -- NULL: unknown
  lactating     boolean DEFAULT false,
  simulated     boolean NOT NULL DEFAULT false,
  state         text NOT NULL DEFAULT 'active' CONSTRAINT patient_state_known CHECK (state IN ('active', 'moved', 'deceased')),
  state_since   date,
  added_at      timestamptz NOT NULL
);

CREATE TABLE monitor.register (              -- on whose programme register a patient stands, and since when
  subject_id uuid NOT NULL CONSTRAINT register_patient_fkey REFERENCES monitor.patient ON DELETE CASCADE,
  programme  text NOT NULL,
  since      date NOT NULL,
  until      date,
  CONSTRAINT register_pkey PRIMARY KEY (subject_id, programme, since),
  CONSTRAINT register_period CHECK (until IS NULL OR until >= since)
);
CREATE UNIQUE INDEX register_once ON monitor.register (subject_id, programme) WHERE until IS NULL;

CREATE TABLE monitor.identity (              -- each field sealed by AES-256-GCM: 12 octets of nonce, then the ciphertext
  subject_id      uuid NOT NULL CONSTRAINT identity_pkey PRIMARY KEY
                  CONSTRAINT identity_patient_fkey REFERENCES monitor.patient ON DELETE CASCADE,
  key_id          text NOT NULL,
  name            bytea NOT NULL,
  id_number       bytea,                     -- a newborn may lack it
  phone           bytea,
  contact_name    bytea,
  contact_phone   bytea,
  allergies       bytea,
  id_number_index bytea CONSTRAINT identity_id_number_once UNIQUE,   -- HMAC-SHA256, for search without decryption
  phone_index     bytea,
  changed_at      timestamptz NOT NULL
);
CREATE INDEX identity_phone ON monitor.identity (phone_index) WHERE phone_index IS NOT NULL;

CREATE TABLE monitor.app_user (
  user_id       int GENERATED ALWAYS AS IDENTITY CONSTRAINT app_user_pkey PRIMARY KEY,
  login         text NOT NULL CONSTRAINT app_user_login_once UNIQUE
                CONSTRAINT app_user_login_form CHECK (login ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
  name          text NOT NULL,
  role          text NOT NULL CONSTRAINT app_user_role_known CHECK
                (role IN ('nurse', 'doctor', 'health_manager', 'assistant', 'manager', 'administrator', 'auditor')),
  sites         text[] NOT NULL,             -- '*': every site
  password_hash text NOT NULL,               -- argon2id
  failures      smallint NOT NULL DEFAULT 0,
  locked_until  timestamptz,
  disabled_at   timestamptz,
  added_at      timestamptz NOT NULL
);

CREATE TABLE monitor.login_session (
  token_sha256 bytea NOT NULL CONSTRAINT login_session_pkey PRIMARY KEY,
  user_id      int NOT NULL CONSTRAINT login_session_user_fkey REFERENCES monitor.app_user ON DELETE CASCADE,
  opened_at    timestamptz NOT NULL,
  seen_at      timestamptz NOT NULL,
  ends_at      timestamptz NOT NULL
);
CREATE INDEX login_session_user ON monitor.login_session (user_id);

CREATE TABLE monitor.visit (                 -- a follow-up service that took place
  visit_id       bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT visit_pkey PRIMARY KEY,
  subject_id     uuid NOT NULL CONSTRAINT visit_patient_fkey REFERENCES monitor.patient,
  programme      text NOT NULL,
  edition        text NOT NULL,
  visited_at     timestamptz NOT NULL,
  mode           smallint NOT NULL CONSTRAINT visit_mode_code CHECK (mode IN (1, 2, 3)),      -- clinic, home, telephone
  classification smallint CONSTRAINT visit_classification_code CHECK (classification BETWEEN 1 AND 4),
  observed       jsonb NOT NULL DEFAULT '{}',   -- sbp, dbp, fasting_glucose, symptoms … in the form's own units
  next_on        date,
  recorded_by    int CONSTRAINT visit_user_fkey REFERENCES monitor.app_user,
  recorded_at    timestamptz NOT NULL,
  CONSTRAINT visit_once UNIQUE (subject_id, programme, visited_at)
);

CREATE TABLE monitor.alert (                 -- an episode: one patient, one condition, until it is dealt with
  alert_id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT alert_pkey PRIMARY KEY,
  subject_id        uuid NOT NULL CONSTRAINT alert_patient_fkey REFERENCES monitor.patient,
  condition         text NOT NULL,
  severity          text NOT NULL CONSTRAINT alert_severity_known CHECK
                    (severity IN ('emergency', 'worsening', 'due', 'routine', 'technical')),
  opened_at         timestamptz NOT NULL,
  repeats           int NOT NULL DEFAULT 0,
  late              boolean NOT NULL,
  closed_at         timestamptz,
  handled_at        timestamptz,             -- somebody reached the patient: what was measured before is dealt with
  CONSTRAINT alert_handled_when_closed CHECK (handled_at IS NULL OR closed_at IS NOT NULL)
);
CREATE UNIQUE INDEX alert_open_once ON monitor.alert (subject_id, condition) WHERE closed_at IS NULL;
CREATE INDEX alert_subject ON monitor.alert (subject_id, condition, opened_at);

CREATE TABLE monitor.finding (               -- why an alert stands: one rule met by one reading (or visit). No names
  finding_id   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT finding_pkey PRIMARY KEY,
  alert_id     bigint NOT NULL CONSTRAINT finding_alert_fkey REFERENCES monitor.alert,
  subject_id   uuid NOT NULL CONSTRAINT finding_patient_fkey REFERENCES monitor.patient,
  rule_id      text NOT NULL,
  evidence_key text NOT NULL,                -- which reading or visit: the same one never raises the same rule twice
  reason       text NOT NULL CONSTRAINT finding_reason_known CHECK (reason IN ('new', 'worsened', 'repeated', 'silenced')),
  found_severity text NOT NULL,              -- what the rule says
  severity     text NOT NULL,                -- what it counts for: lowered when late
  late         boolean NOT NULL,
  measured_at  timestamptz NOT NULL,
  raised_at    timestamptz NOT NULL,
  evidence     jsonb NOT NULL,               -- pack, edition, citation, thresholds, readings used and not used, sentences
  CONSTRAINT finding_once UNIQUE (subject_id, rule_id, evidence_key)
);
CREATE INDEX finding_alert ON monitor.finding (alert_id);

CREATE TABLE monitor.followup (              -- the work item of the queue
  followup_id  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT followup_pkey PRIMARY KEY,
  subject_id   uuid NOT NULL CONSTRAINT followup_patient_fkey REFERENCES monitor.patient,
  kind         text NOT NULL CONSTRAINT followup_kind_known CHECK
               (kind IN ('emergency', 'worsening', 'referral_check', 'two_weeks', 'screening', 'regular', 'technical')),
  severity     text NOT NULL CONSTRAINT followup_severity_known CHECK
               (severity IN ('emergency', 'worsening', 'due', 'routine', 'technical')),
  state        text NOT NULL DEFAULT 'open' CONSTRAINT followup_state_known CHECK
               (state IN ('open', 'acknowledged', 'in_progress', 'closed')),
  alert_id     bigint CONSTRAINT followup_alert_fkey REFERENCES monitor.alert,
  finding_id   bigint CONSTRAINT followup_finding_fkey REFERENCES monitor.finding,   -- the one that explains it
  follows      bigint CONSTRAINT followup_follows_fkey REFERENCES monitor.followup,  -- the item whose outcome opened this one
  origin       text CONSTRAINT followup_origin_once UNIQUE,                          -- what the schedule opened it for
  programme    text,
  sentence_zh  text NOT NULL,
  sentence_en  text NOT NULL,
  citation     jsonb NOT NULL,               -- document, clause, edition
  late         boolean NOT NULL DEFAULT false,
  repeats      int NOT NULL DEFAULT 0,
  attempts     int NOT NULL DEFAULT 0,       -- calls that reached nobody
  raised_at    timestamptz NOT NULL,
  due_on       date,
  acknowledged_by int CONSTRAINT followup_acknowledged_by_fkey REFERENCES monitor.app_user,
  acknowledged_at timestamptz,
  holder_id    int CONSTRAINT followup_holder_fkey REFERENCES monitor.app_user,
  claimed_at   timestamptz,
  outcome      text,
  closed_by    int CONSTRAINT followup_closed_by_fkey REFERENCES monitor.app_user,
  closed_at    timestamptz,
  CONSTRAINT followup_held_in_progress CHECK ((state = 'in_progress') = (holder_id IS NOT NULL)),
  CONSTRAINT followup_claimed_with_holder CHECK ((holder_id IS NULL) = (claimed_at IS NULL)),
  CONSTRAINT followup_closed_with_outcome CHECK ((state = 'closed') = (closed_at IS NOT NULL AND outcome IS NOT NULL))
);
CREATE INDEX followup_waiting ON monitor.followup (kind, raised_at) WHERE state <> 'closed';
CREATE INDEX followup_subject ON monitor.followup (subject_id) WHERE state <> 'closed';
CREATE UNIQUE INDEX followup_alert_once ON monitor.followup (alert_id) WHERE state <> 'closed';

CREATE TABLE monitor.followup_event (        -- what happened to a work item, in order
  event_id    bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT followup_event_pkey PRIMARY KEY,
  followup_id bigint NOT NULL CONSTRAINT followup_event_followup_fkey REFERENCES monitor.followup,
  at          timestamptz NOT NULL,
  user_id     int CONSTRAINT followup_event_user_fkey REFERENCES monitor.app_user,   -- NULL: the monitor itself
  action      text NOT NULL,
  note        bytea,                         -- sealed: nurses write names
  key_id      text,
  CONSTRAINT followup_event_sealed CHECK ((note IS NULL) = (key_id IS NULL))
);
CREATE INDEX followup_event_followup ON monitor.followup_event (followup_id, event_id);

CREATE TABLE monitor.unjudged (              -- readings of known subjects that no rule may see, and why
  subject_id   uuid NOT NULL,
  evidence_key text NOT NULL,
  reason       text NOT NULL,
  batch_id     bigint NOT NULL,
  measured_at  timestamptz NOT NULL,
  noted_at     timestamptz NOT NULL,
  CONSTRAINT unjudged_pkey PRIMARY KEY (subject_id, evidence_key)
);

CREATE TABLE monitor.waiting (               -- readings that belonged to nobody when their batch was judged
  evidence_key text NOT NULL CONSTRAINT waiting_pkey PRIMARY KEY,
  device_id    int NOT NULL,                 -- telemetry's
  user_slot    smallint,
  session_uid  text,
  measured_at  timestamptz NOT NULL,
  noted_at     timestamptz NOT NULL
);
CREATE INDEX waiting_measured ON monitor.waiting (measured_at);

CREATE TABLE monitor.audit (                 -- append only; each row sealed to the one before it at commit
  entry_id   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_pkey PRIMARY KEY,
  at         timestamptz NOT NULL,
  actor      text NOT NULL,
  action     text NOT NULL,
  subject_id uuid,
  purpose    text NOT NULL,
  detail     jsonb NOT NULL,
  content    bytea NOT NULL,                 -- SHA-256 of the columns above, computed by the monitor
  seq        bigint CONSTRAINT audit_seq_once UNIQUE,
  hash       bytea                           -- SHA-256(previous hash, seq, content)
);
CREATE INDEX audit_subject ON monitor.audit (subject_id, at);

CREATE TABLE monitor.audit_head (            -- the last link: a cut tail shows
  only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_head_pkey PRIMARY KEY CONSTRAINT audit_head_one CHECK (only_row),
  seq      bigint NOT NULL,
  hash     bytea NOT NULL
);
INSERT INTO monitor.audit_head (seq, hash) VALUES (0, '\x');

-- Chained at commit (deferred), so that the chain's one lock is the last a transaction takes and nobody waits in a ring.
CREATE FUNCTION monitor.audit_chain() RETURNS trigger LANGUAGE plpgsql AS $chain$
DECLARE
  head monitor.audit_head;
  link bytea;
BEGIN
  SELECT * INTO STRICT head FROM monitor.audit_head FOR UPDATE;
  link := sha256(head.hash || int8send(head.seq + 1) || NEW.content);
  UPDATE monitor.audit SET seq = head.seq + 1, hash = link WHERE entry_id = NEW.entry_id;
  UPDATE monitor.audit_head SET seq = head.seq + 1, hash = link;
  RETURN NULL;
END
$chain$;
CREATE CONSTRAINT TRIGGER audit_chained AFTER INSERT ON monitor.audit
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION monitor.audit_chain();

CREATE FUNCTION monitor.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
  RAISE EXCEPTION 'the audit trail is append only' USING ERRCODE = 'insufficient_privilege';
END
$refuse$;
CREATE TRIGGER audit_append_only BEFORE DELETE OR TRUNCATE ON monitor.audit
  FOR EACH STATEMENT EXECUTE FUNCTION monitor.audit_refuse();
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON monitor.audit
  FOR EACH ROW WHEN (OLD.seq IS NOT NULL OR NEW.content <> OLD.content) EXECUTE FUNCTION monitor.audit_refuse();
