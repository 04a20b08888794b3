-- What recipients' domains say about TLS, and what we tell them about it.

-- MTA-STS policies (RFC 8461), each as it was fetched last. A policy that has not expired holds also while the domain
-- shows none, because hiding it is what an attack would do.
CREATE TABLE sts_policy (
    domain     TEXT NOT NULL PRIMARY KEY, -- the recipients' domain, IDNA ASCII
    id         TEXT NOT NULL,             -- of the DNS record for which it was fetched
    mode       TEXT NOT NULL,             -- enforce | testing | none; '' while none was ever had
    text       TEXT NOT NULL,             -- the policy
    fetched_at @INT NOT NULL,             -- microseconds UTC; 0: never
    expires_at @INT NOT NULL,             -- microseconds UTC
    tried_at   @INT NOT NULL,             -- the last try to fetch it, microseconds UTC
    error      TEXT NOT NULL              -- of that try; '' when it worked
) @STRICT;

-- Connections to domains that want to hear of failed TLS (RFC 8460), counted by day (days since 1970, UTC).
CREATE TABLE tls_session (
    day      @INT NOT NULL,
    domain   TEXT NOT NULL,
    kind     TEXT NOT NULL,               -- sts | tlsa | no-policy-found
    host     TEXT NOT NULL,               -- the mail host
    source   TEXT NOT NULL,               -- the address that it was dialled from; '' when not known
    result   TEXT NOT NULL,               -- the result type of the failure; '' for a success
    policy   TEXT NOT NULL,               -- the policy in force at the last of them, a line each
    reason   TEXT NOT NULL,               -- the last failure in words
    sessions @INT NOT NULL,
    PRIMARY KEY (day, domain, kind, host, source, result)
) @STRICT;

-- The reports: one for each day and domain. The row is made by the node that sends it.
CREATE TABLE tls_report (
    day        @INT NOT NULL,
    domain     TEXT NOT NULL,
    address    TEXT NOT NULL,             -- where it went, a line each
    state      TEXT NOT NULL,             -- sending | sent | failed | unwanted
    successful @INT NOT NULL,             -- sessions
    failed     @INT NOT NULL,
    tries      @INT NOT NULL,
    tried_at   @INT NOT NULL,             -- microseconds UTC
    error      TEXT NOT NULL,
    PRIMARY KEY (day, domain)
) @STRICT;
