-- Which suppressions a run's analysis did not see is told by their numbers, not by times: a request's clock is read before
-- its transaction commits, and clocks jump.
ALTER TABLE run ADD COLUMN seen @INT NOT NULL DEFAULT 0;   -- later suppressions are checked at the gate
UPDATE run SET seen = coalesce((SELECT max(s.seq) FROM suppress s WHERE s.at < run.analysed_at), 0);
ALTER TABLE run DROP COLUMN analysed_at;
DROP INDEX suppress_at;

-- Whom suppressions that come after an analysis concern, from the begin of the analysis on.
CREATE TABLE scope (
  delivery @INT PRIMARY KEY,
  seen @INT NOT NULL,             -- the last suppression there was before the target was taken
  service @INT                    -- the only service whose subscribers the target takes; absent: no or several services
) @STRICT;
