-- Where mail leaves from, what holds toward each site, what was learned there, and what is held back.

-- An address to send from. A source that no node has leaves its messages pending.
CREATE TABLE source (
    name       @KEY NOT NULL PRIMARY KEY,
    address    TEXT,                   -- IPv4 or IPv6 to bind; none: what the system chooses
    ehlo       TEXT NOT NULL,          -- name said in EHLO; empty: the setting mta.ehlo
    weight     @INT NOT NULL,
    includes   TEXT NOT NULL,          -- JSON list of masks of address domains; empty: all
    excludes   TEXT NOT NULL,          -- JSON list of masks, taken away after that
    pools      TEXT NOT NULL,          -- JSON list of names that deliveries choose by
    proxy      TEXT,                   -- host:port that speaks PROXY v2
    enabled    @INT NOT NULL,          -- 0 | 1
    node       TEXT,                   -- the only node that has it; none: all
    changed_at @INT NOT NULL           -- microseconds UTC
) @KEYED;

-- How a new source is made known to a provider: so many messages on each day.
CREATE TABLE warm_up (
    source    @KEY NOT NULL,
    provider  @KEY NOT NULL,           -- a site's name
    start_day @INT NOT NULL,           -- days since 1970-01-01 UTC
    days      TEXT NOT NULL,           -- JSON list: allowance of each day
    overflow  TEXT NOT NULL,           -- warm | wait
    PRIMARY KEY (source, provider)
) @KEYED;

-- What people changed about the rules of a site.
CREATE TABLE rule_override (
    name       @KEY NOT NULL PRIMARY KEY,  -- provider, site, `default`, `unknown`, or SITE@SOURCE
    rules      TEXT NOT NULL,          -- JSON: only what differs
    changed_by TEXT NOT NULL,
    changed_at @INT NOT NULL           -- microseconds UTC
) @KEYED;

-- Who changed what of all these, and what was there before. Its newest id tells other nodes to read again.
CREATE TABLE rule_change (
    id      @ID,
    at      @INT NOT NULL,             -- microseconds UTC
    who     TEXT NOT NULL,
    kind    TEXT NOT NULL,             -- override | source | warm_up | verdict
    name    TEXT NOT NULL,
    was     TEXT,                      -- JSON; none: new
    becomes TEXT                       -- JSON; none: removed
) @STRICT;

-- What a site was found to take from a source.
CREATE TABLE learned (
    source      @KEY NOT NULL,
    site        @KEY NOT NULL,
    connections @REAL NOT NULL,        -- at once
    rate        @REAL NOT NULL,        -- messages a second; 0: no limit was met
    at          @INT NOT NULL,         -- microseconds UTC
    PRIMARY KEY (source, site)
) @KEYED;

-- What was taken on each day, for warm-up plans and limits by the day.
CREATE TABLE volume (
    source   @KEY NOT NULL,
    site     @KEY NOT NULL,
    day      @INT NOT NULL,            -- days since 1970-01-01 UTC
    messages @INT NOT NULL,
    bytes    @INT NOT NULL,
    PRIMARY KEY (source, site, day)
) @KEYED;

-- Identities that are held back at a provider, by the engine or by a person.
CREATE TABLE verdict (
    identity @KEY NOT NULL,            -- source:NAME, domain:D, url:HOST, delivery:N, site:NAME
    provider @KEY NOT NULL,            -- a site's name; empty: everywhere
    action   TEXT NOT NULL,            -- suspend | slow | drain
    factor   @INT NOT NULL,            -- slow: per cent of the rate; else 0
    until_at @INT,                     -- microseconds UTC; none: until it is lifted
    reason   TEXT NOT NULL,
    rule     TEXT NOT NULL,            -- of reply classification; empty: none
    set_by   TEXT NOT NULL,            -- a person; empty: the engine
    at       @INT NOT NULL,            -- microseconds UTC
    PRIMARY KEY (identity, provider)
) @KEYED;
