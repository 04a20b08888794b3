-- Sending domains and their DKIM keys.

-- A domain that senders may use. The name is stored as IDNA ASCII, lower-cased.
CREATE TABLE domain (
    id         @ID,
    domain     TEXT NOT NULL UNIQUE,
    selector   TEXT NOT NULL,          -- of the RSA key in use: the one that people are shown first
    created_at @INT NOT NULL           -- microseconds UTC
) @STRICT;

-- Keys are never deleted while a message signed with them may have to be composed again: a domain that is
-- removed leaves its keys behind as retired.
CREATE TABLE dkim_key (
    id         @ID,
    domain     TEXT NOT NULL,          -- the d= tag; no foreign key, see above
    selector   TEXT NOT NULL,          -- the s= tag
    algorithm  TEXT NOT NULL,          -- rsa | ed25519
    private    @BLOB NOT NULL,         -- PKCS#8, sealed under the master key
    public     TEXT NOT NULL,          -- the TXT value that is published
    state      TEXT NOT NULL,          -- active | retired
    created_at @INT NOT NULL,          -- microseconds UTC
    UNIQUE (domain, selector)
) @STRICT;

CREATE INDEX dkim_key_active ON dkim_key (domain, id) WHERE state = 'active';
