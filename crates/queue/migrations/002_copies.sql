-- Copies that the archive owes: a row is written in the transaction that settles a message as sent, when its run wants
-- copies, and deleted when the archive has the copy.
CREATE TABLE bcc (
  id @INT PRIMARY KEY,            -- the message
  sent_at @INT NOT NULL,          -- when it was sent (UTC microseconds)
  due @INT NOT NULL,              -- next try
  tries @INT NOT NULL,
  held @INT NOT NULL,             -- 1: nothing is tried until an operator has looked at the error
  error TEXT
) @STRICT;
CREATE INDEX bcc_due ON bcc (held, due, id);
--@postgres
-- A small table that is filled and emptied all the time, as retry is.
ALTER TABLE bcc SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
--@end
