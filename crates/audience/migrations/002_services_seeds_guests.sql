-- What people subscribe to. Leaving a service is apart from the denylist: the person may still be written to otherwise.
CREATE TABLE service (
  id         @ID,
  name       @KEY NOT NULL UNIQUE,
  created_at @INT NOT NULL
) @STRICT;

-- No foreign keys, as in list_member: whoever deletes a service or a recipient deletes its rows here.
CREATE TABLE subscription (
  service   @INT NOT NULL,
  recipient @INT NOT NULL,
  since     @INT NOT NULL,
  PRIMARY KEY (service, recipient)
) @KEYED;
CREATE INDEX subscription_recipient ON subscription (recipient, service);

-- Addresses of our own that get the real delivery and are in no figure. The columns of `recipient`, so that one reader and
-- one filter serve both; the address need not be unique, because one person may look at several profiles.
CREATE TABLE seed (
  id           @ID,
  email        TEXT NOT NULL,
  email_key    @KEY NOT NULL,
  domain       @KEY NOT NULL,
  first_name   TEXT NOT NULL DEFAULT '',
  last_name    TEXT NOT NULL DEFAULT '',
  language     TEXT NOT NULL DEFAULT '',
  time_zone    TEXT NOT NULL DEFAULT '',
  country      TEXT NOT NULL DEFAULT '',
  city         TEXT NOT NULL DEFAULT '',
  email_format TEXT NOT NULL DEFAULT '',
  attributes   @JSON NOT NULL,
  denylisted   @INT NOT NULL DEFAULT 0,
  created_at   @INT NOT NULL,
  updated_at   @INT NOT NULL
) @STRICT;

CREATE TABLE seed_group (
  id         @ID,
  name       @KEY NOT NULL UNIQUE,
  condition  @JSON,                        -- a filter over seeds; NULL: the members were chosen by hand
  created_at @INT NOT NULL
) @STRICT;

CREATE TABLE seed_member (
  seed_group @INT NOT NULL,
  seed       @INT NOT NULL,
  PRIMARY KEY (seed_group, seed)
) @KEYED;

-- Addresses and domains that are never written to, whoever's they are (spam traps, competitors, people who asked).
CREATE TABLE suppression (
  value    @KEY NOT NULL PRIMARY KEY,      -- an address's key, or a domain in IDNA's ASCII form
  kind     TEXT NOT NULL,                  -- address, domain
  added_at @INT NOT NULL
) @KEYED;
CREATE INDEX suppression_kind ON suppression (kind, value);

-- Rows of an external file that was not imported: they live with their delivery. The id says which delivery's they are,
-- so that one delivery's guests are a range of ids; see guests.rs.
CREATE TABLE guest (
  id           @INT NOT NULL PRIMARY KEY,
  file         @KEY NOT NULL,
  email        TEXT NOT NULL,
  email_key    @KEY NOT NULL,
  domain       @KEY NOT NULL,
  first_name   TEXT NOT NULL DEFAULT '',
  last_name    TEXT NOT NULL DEFAULT '',
  language     TEXT NOT NULL DEFAULT '',
  time_zone    TEXT NOT NULL DEFAULT '',
  country      TEXT NOT NULL DEFAULT '',
  city         TEXT NOT NULL DEFAULT '',
  email_format TEXT NOT NULL DEFAULT '',
  attributes   @JSON NOT NULL,
  denylisted   @INT NOT NULL DEFAULT 0,
  created_at   @INT NOT NULL,
  updated_at   @INT NOT NULL
) @STRICT;
CREATE INDEX guest_key ON guest (email_key, id);
