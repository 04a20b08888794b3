-- One row per person. Text columns are never NULL: an empty text is "not known".
CREATE TABLE recipient (
  id           @ID,
  email        TEXT NOT NULL,              -- as written (outer blanks removed); what the envelope uses
  email_key    @KEY NOT NULL UNIQUE,       -- address::Mailbox::key(): what addresses are compared by
  domain       @KEY NOT NULL,              -- the part of email_key behind '@'
  first_name   TEXT NOT NULL DEFAULT '',
  last_name    TEXT NOT NULL DEFAULT '',
  language     TEXT NOT NULL DEFAULT '',
  time_zone    TEXT NOT NULL DEFAULT '',
  country      TEXT NOT NULL DEFAULT '',
  city         TEXT NOT NULL DEFAULT '',
  email_format TEXT NOT NULL DEFAULT '',   -- text, html, docomo, softbank, au or empty
  attributes   @JSON NOT NULL,             -- object of name -> text
  denylisted   @INT NOT NULL DEFAULT 0,
  created_at   @INT NOT NULL,
  updated_at   @INT NOT NULL
) @STRICT;

-- The attribute names ever seen, for forms: asking a million rows for their keys would be slow.
CREATE TABLE attribute (
  name @KEY NOT NULL PRIMARY KEY
) @KEYED;

CREATE TABLE list (
  id         @ID,
  name       @KEY NOT NULL UNIQUE,
  created_at @INT NOT NULL
) @STRICT;

-- No foreign keys: they would cost two look-ups for each imported row. Whoever deletes a list or a
-- recipient deletes its rows here, in the same transaction.
CREATE TABLE list_member (
  list      @INT NOT NULL,
  recipient @INT NOT NULL,
  PRIMARY KEY (list, recipient)
) @KEYED;
CREATE INDEX list_member_recipient ON list_member (recipient, list);

CREATE TABLE segment (
  id         @ID,
  name       @KEY NOT NULL UNIQUE,
  filter     @JSON NOT NULL,
  created_at @INT NOT NULL,
  updated_at @INT NOT NULL
) @STRICT;

-- Addresses that mail must not go to, whether or not a recipient has them.
CREATE TABLE quarantine (
  email_key @KEY NOT NULL PRIMARY KEY,
  email     TEXT NOT NULL,
  reason    TEXT NOT NULL,
  reply     TEXT NOT NULL,                 -- the receiver's own words, shortened
  since     @INT NOT NULL,
  status    TEXT NOT NULL                  -- quarantined
) @KEYED;

CREATE TABLE import (
  id          @ID,
  list        @INT,                        -- NULL: a dry run, or not known yet
  list_name   TEXT NOT NULL,
  file_name   TEXT NOT NULL,
  state       TEXT NOT NULL,               -- running, finished, cancelled, failed, interrupted
  dry_run     @INT NOT NULL,
  encoding    TEXT NOT NULL,
  mapping     @JSON NOT NULL,              -- object of column -> field, as it was asked for
  rows        @INT NOT NULL DEFAULT 0,
  created     @INT NOT NULL DEFAULT 0,
  updated     @INT NOT NULL DEFAULT 0,
  unchanged   @INT NOT NULL DEFAULT 0,
  rejected    @INT NOT NULL DEFAULT 0,
  started_at  @INT NOT NULL,
  finished_at @INT,
  error       TEXT NOT NULL DEFAULT ''
) @STRICT;

-- The rows an import did not take, by the physical line where they start.
CREATE TABLE import_reject (
  import @INT NOT NULL,
  line   @INT NOT NULL,
  reason TEXT NOT NULL,
  raw    TEXT NOT NULL,
  PRIMARY KEY (import, line)
) @KEYED;
