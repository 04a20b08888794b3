-- What came back after messages were sent: one row a message and kind, so that being told twice counts once.
CREATE TABLE feedback_event (
  message @INT NOT NULL,
  kind @KEY NOT NULL,             -- hard, soft, complaint
  recipient @INT NOT NULL,
  reason TEXT NOT NULL,           -- a word for the cause
  said TEXT NOT NULL,             -- the reporter's own words, shortened
  at @INT NOT NULL,               -- when it happened, as the reporter says
  received_at @INT NOT NULL,
  PRIMARY KEY (message, kind)
) @KEYED;
