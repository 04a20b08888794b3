-- What an account may do: import 1, prepare 2, approve 4, start 8, administer 16. Accounts from before could do all.
ALTER TABLE account ADD COLUMN rights @INT NOT NULL DEFAULT 0;
UPDATE account SET rights = 31;
-- Where notices and links go; empty: nowhere.
ALTER TABLE account ADD COLUMN email TEXT NOT NULL DEFAULT '';
-- Of the pages: a language tag and an IANA zone; empty: those of the browser.
ALTER TABLE account ADD COLUMN language TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
-- The sealed secret of the second factor, and the last time step whose code was used, so that none is used twice.
ALTER TABLE account ADD COLUMN totp @BLOB;
ALTER TABLE account ADD COLUMN totp_step @INT NOT NULL DEFAULT 0;

-- From where a session was begun, so that its owner knows it again.
ALTER TABLE session ADD COLUMN peer TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN agent TEXT NOT NULL DEFAULT '';

-- Codes that stand in for the second factor, each once. Only hashes are kept.
CREATE TABLE recovery_code (
    account @INT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    hash @BLOB NOT NULL,
    PRIMARY KEY (account, hash)
) @KEYED;

-- A link by which a person chooses a password: an invitation, or a reset. Only the hash of its secret is kept.
CREATE TABLE password_link (
    hash @BLOB PRIMARY KEY,
    account @INT NOT NULL UNIQUE REFERENCES account (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    created @INT NOT NULL,
    expires @INT NOT NULL
) @KEYED;

-- The password was right; the code of the second factor is still to come.
CREATE TABLE pending_sign_in (
    hash @BLOB PRIMARY KEY,
    account @INT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created @INT NOT NULL
) @KEYED;
CREATE INDEX pending_sign_in_account ON pending_sign_in (account);

-- For the purge.
CREATE INDEX audit_at ON audit (at);
