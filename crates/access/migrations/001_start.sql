-- People who sign in. `one_time`: the password was given by the program and must be changed at the next sign-in.
CREATE TABLE account (
    id @ID,
    name @KEY NOT NULL UNIQUE,
    password TEXT NOT NULL,
    one_time @INT NOT NULL,
    created @INT NOT NULL,
    signed_in @INT,
    failures @INT NOT NULL DEFAULT 0,
    locked_until @INT NOT NULL DEFAULT 0
) @STRICT;

-- A browser that is signed in. Only the hash of its cookie is kept.
CREATE TABLE session (
    hash @BLOB PRIMARY KEY,
    account @INT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created @INT NOT NULL,
    seen @INT NOT NULL
) @KEYED;
CREATE INDEX session_account ON session (account);

-- A program that may call the API. Only the hash of its token is kept.
CREATE TABLE api_token (
    id @ID,
    account @INT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    hash @BLOB NOT NULL UNIQUE,
    created @INT NOT NULL,
    used @INT
) @STRICT;
CREATE INDEX api_token_account ON api_token (account);

-- Who did what, when. Names are copied: a deleted account stays readable here.
CREATE TABLE audit (
    id @ID,
    at @INT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) @STRICT;

-- Settings made on the web. A secret one is sealed.
CREATE TABLE setting (
    key @KEY PRIMARY KEY,
    value TEXT,
    sealed @BLOB,
    at @INT NOT NULL,
    CHECK (value IS NULL OR sealed IS NULL)
) @KEYED;
