-- The site takes mail over TLS only, as it said to this source; 1: it is never spoken to in clear.
ALTER TABLE learned ADD COLUMN secure_only @INT NOT NULL DEFAULT 0;
