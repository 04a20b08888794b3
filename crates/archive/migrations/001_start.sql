-- What was archived, by delivery. A count of its own: copies are in no figure of a delivery.
CREATE TABLE archived (
  delivery @INT PRIMARY KEY,
  copies @INT NOT NULL,
  octets @INT NOT NULL,
  last_at @INT NOT NULL           -- when the latest copy was taken (UTC microseconds)
) @STRICT;

-- Batches of the folder: the chain of their manifests. Number 0 is the chain's root, a random value of this database,
-- so that the folder of another database is never taken for ours. The latest row always stays.
CREATE TABLE archive_batch (
  number @INT PRIMARY KEY,
  made_at @INT NOT NULL,
  copies @INT NOT NULL,
  manifest TEXT NOT NULL          -- SHA-256 of the manifest file, hexadecimal
) @STRICT;
