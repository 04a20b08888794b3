-- The site whose path a waiting message was given back for: due at once when that path goes on before its time. Absent: its
-- due time is its own (a retry of the delivery's plan, or one that the receiver named).
ALTER TABLE retry ADD COLUMN waits TEXT;
CREATE INDEX retry_waits ON retry (waits, due) WHERE waits IS NOT NULL;
