-- Reports of TLS name the address that took the connection (RFC 8460 section 4.4, receiving-ip), so counts are kept by it.
ALTER TABLE tls_session RENAME TO tls_session_before;

-- Connections to domains that want to hear of failed TLS (RFC 8460), counted by day (days since 1970, UTC).
CREATE TABLE tls_session (
    day      @INT NOT NULL,
    domain   TEXT NOT NULL,
    kind     TEXT NOT NULL,               -- sts | tlsa | no-policy-found
    host     TEXT NOT NULL,               -- the mail host
    source   TEXT NOT NULL,               -- the address that it was dialled from; '' when not known
    receiver TEXT NOT NULL,               -- the host's address; '' when none was reached
    result   TEXT NOT NULL,               -- the result type of the failure; '' for a success
    policy   TEXT NOT NULL,               -- the policy in force at the last of them, a line each
    reason   TEXT NOT NULL,               -- the last failure in words
    sessions @INT NOT NULL,
    PRIMARY KEY (day, domain, kind, host, source, receiver, result)
) @STRICT;

INSERT INTO tls_session (day, domain, kind, host, source, receiver, result, policy, reason, sessions)
SELECT day, domain, kind, host, source, '', result, policy, reason, sessions FROM tls_session_before;

DROP TABLE tls_session_before;
