-- What a message of an A/B test would say in the other variants, until one of them has won: the row of `message` has the
-- first variant's. Applied to the messages, or not, and deleted after the choice.
CREATE TABLE variant_slots (
  message @INT NOT NULL,
  variant @INT NOT NULL,          -- from 1; 0 is the message's own row
  flags @INT NOT NULL,
  slots @BLOB NOT NULL,
  PRIMARY KEY (message, variant)
) @KEYED;
