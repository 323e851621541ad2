-- Whose readings a device's or a session's are has changed: what the monitor judges again, for both sides.
-- depends: 0001_telemetry

CREATE TABLE telemetry.assignment_change (   -- readings of a period now are, or are no longer, this subject's
  change_id  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT assignment_change_pkey PRIMARY KEY,
  subject_id uuid NOT NULL,
  device_id  int CONSTRAINT assignment_change_device_fkey REFERENCES telemetry.device,
  user_slot  smallint,
  session_no int CONSTRAINT assignment_change_session_fkey REFERENCES telemetry.session,
  period     tstzrange NOT NULL,
  changed_at timestamptz NOT NULL,
  judged_at  timestamptz,
  CONSTRAINT assignment_change_target CHECK ((device_id IS NULL) <> (session_no IS NULL))
);
CREATE INDEX assignment_change_unjudged ON telemetry.assignment_change (change_id) WHERE judged_at IS NULL;
