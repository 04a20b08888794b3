-- How connections to receivers were secured. Named by number in outcomes, so that an outcome grows by one integer.
CREATE TABLE secured (
  id @ID,
  protocol @KEY NOT NULL,         -- TLSv1.3
  cipher @KEY NOT NULL,
  certificate @KEY NOT NULL,      -- SHA-256 of the receiver's certificate, hex
  proof @INT NOT NULL,            -- queue::TlsProof
  UNIQUE (protocol, cipher, certificate, proof)
) @STRICT;
ALTER TABLE outcome ADD COLUMN tls @INT;   -- absent: in clear, or before this column

-- What a delivery sent in which hour. Changed in the transaction that settles. A row per node: no lock between nodes.
CREATE TABLE hourly (
  delivery @INT NOT NULL,
  hour @INT NOT NULL,             -- its start, UTC microseconds
  node @INT NOT NULL,
  messages @INT NOT NULL,
  octets @INT NOT NULL,
  PRIMARY KEY (delivery, hour, node)
) @KEYED;
