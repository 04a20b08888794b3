-- The frozen content of analysed deliveries, named by its hash. One blob per analysis, immutable.
CREATE TABLE snapshot (
  hash TEXT PRIMARY KEY,
  bytes @BLOB NOT NULL
) @STRICT;

-- One row per confirmed delivery. Everything that stop, pause and expiry change is here, so that they are O(1).
CREATE TABLE run (
  delivery @INT PRIMARY KEY,
  control @INT NOT NULL,          -- queue::Control
  epoch @INT NOT NULL,            -- raised by each change of control
  priority @INT NOT NULL,         -- 0 very low .. 4 very high
  pool TEXT NOT NULL,
  start_at @INT NOT NULL,
  valid_until @INT NOT NULL,
  retries @INT NOT NULL,          -- count of retries that follow each retry_period
  retry_period @INT NOT NULL,
  retry_later @INT NOT NULL,      -- the wait after those
  test_smtp @INT NOT NULL,
  bcc @INT NOT NULL,
  signing TEXT NOT NULL,          -- signing keys in force at confirm, as the wiring writes them
  analysed_at @INT NOT NULL,      -- suppressions at or after this moment are checked at the gate
  service @INT,
  messages @INT NOT NULL,         -- how many messages the delivery has
  started_at @INT NOT NULL,
  ended_at @INT
) @STRICT;
CREATE INDEX run_control ON run (control);

-- Messages are claimed in parts. `due` counts from run.start_at, so that confirm touches no part.
CREATE TABLE part (
  first_id @INT PRIMARY KEY,
  last_id @INT NOT NULL,
  delivery @INT NOT NULL,
  snapshot TEXT NOT NULL,
  wave @INT NOT NULL,
  lane TEXT NOT NULL,
  due @INT NOT NULL,
  messages @INT NOT NULL,
  state @INT NOT NULL,            -- 0 ready, 1 claimed, 2 done
  node @INT,
  stamp @INT,                     -- set when first claimed, then kept: the same bytes for good
  signing TEXT
) @STRICT;
CREATE INDEX part_ready ON part (delivery, lane, due, first_id) WHERE state = 0;
CREATE INDEX part_claimed ON part (node, delivery) WHERE state = 1;

-- Immutable. On PostgreSQL a plain table; id ranges per delivery allow range partitions later without a new key.
CREATE TABLE message (
  id @INT PRIMARY KEY,            -- delivery << 28 | n
  recipient @INT NOT NULL,
  domain TEXT NOT NULL,           -- ASCII, lower case
  flags @INT NOT NULL,
  address TEXT NOT NULL,
  slots @BLOB NOT NULL
) @STRICT;

CREATE TABLE contact (
  recipient @INT NOT NULL,
  message @INT NOT NULL,
  PRIMARY KEY (recipient, message)
) @KEYED;

CREATE TABLE excluded (
  delivery @INT NOT NULL,
  recipient @INT NOT NULL,
  address TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (delivery, recipient)
) @KEYED;

-- Insert-only: a message has an outcome or has not.
CREATE TABLE outcome (
  id @INT PRIMARY KEY,
  state @INT NOT NULL,            -- 1 sent, 2 failed, 3 cancelled
  attempts @INT NOT NULL,
  first_try @INT,
  last_try @INT,
  site TEXT,
  source TEXT,
  reason TEXT,
  reply TEXT,
  digest @BLOB
) @STRICT;
CREATE INDEX outcome_other ON outcome (id) WHERE state <> 1;

-- The only rows that change: messages that wait for another try.
CREATE TABLE retry (
  id @INT PRIMARY KEY,
  delivery @INT NOT NULL,
  wave @INT NOT NULL,
  lane TEXT NOT NULL,
  due @INT NOT NULL,
  attempts @INT NOT NULL,         -- 0: parked because its path was slow or closed
  first_try @INT,
  last_try @INT,
  site TEXT NOT NULL,             -- where the tally counts it
  source TEXT,                    -- wanted again until sticky_until
  sticky_until @INT,
  reason TEXT,
  reply TEXT,
  unknown @INT NOT NULL,          -- 1: the answer after the final dot was lost
  node @INT
) @STRICT;
CREATE INDEX retry_due ON retry (delivery, lane, due) WHERE node IS NULL;
CREATE INDEX retry_taken ON retry (node) WHERE node IS NOT NULL;
--@postgres
-- Rows change in place (HOT) and are swept early: this table is small and never at rest.
ALTER TABLE retry SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
-- Insert-only tables whose statistics age fast while a delivery runs.
ALTER TABLE outcome SET (autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE message SET (autovacuum_analyze_scale_factor = 0.05);
--@end

-- Changed in the transaction that settles. A row per node: no lock between nodes.
CREATE TABLE tally (
  delivery @INT NOT NULL,
  wave @INT NOT NULL,
  site TEXT NOT NULL,
  node @INT NOT NULL,
  planned @INT NOT NULL,
  sent @INT NOT NULL,
  failed @INT NOT NULL,
  cancelled @INT NOT NULL,
  deferred @INT NOT NULL,
  unknown @INT NOT NULL,
  PRIMARY KEY (delivery, wave, site, node)
) @KEYED;

-- Append-only: who must get nothing that is still pending.
CREATE TABLE suppress (
  seq @ID,
  address_key TEXT NOT NULL,
  service @INT,                   -- absent: every service
  reason TEXT NOT NULL,
  at @INT NOT NULL
) @STRICT;
CREATE INDEX suppress_at ON suppress (at);
