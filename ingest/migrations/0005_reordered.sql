-- Which chunks stand in the order of their key, and how large they were then.
-- depends: 0004_corrections

CREATE TABLE telemetry.reordered (           -- chunks that were put in the order of observation_key
  chunk        text NOT NULL CONSTRAINT reordered_pkey PRIMARY KEY,  -- schema.table
  octets       bigint NOT NULL,              -- of its heap, right afterwards: what came late stands behind them
  reordered_at timestamptz NOT NULL
);
