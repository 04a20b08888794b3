-- What recipients did, folded in from the segment files. Append-only; the delivery is message >> 28.
CREATE TABLE event (
  id @ID,
  message @INT NOT NULL,
  kind @INT NOT NULL,             -- tracking::EventKind
  link @INT,                      -- number in the snapshot's link table
  at @INT NOT NULL,
  machine @INT NOT NULL,          -- 1: a scanner or a prefetch, not a person
  agent TEXT NOT NULL,            -- the client's own words, cut
  client TEXT NOT NULL            -- keyed hash of the client's address; the address itself only where a setting says so
) @STRICT;
CREATE INDEX event_message ON event (message, kind);

-- How far each segment file is folded in. Changed in the transaction that folds.
CREATE TABLE event_segment (
  segment @KEY PRIMARY KEY,       -- the file's name: time and node
  folded @INT NOT NULL,           -- octets of the file that are in the table `event`
  at @INT NOT NULL
) @KEYED;

-- From Confirm on: what the links of a delivery lead to, and how long.
CREATE TABLE resource (
  delivery @INT PRIMARY KEY,
  snapshot TEXT NOT NULL,
  until @INT NOT NULL             -- end of the resource validity
) @STRICT;
