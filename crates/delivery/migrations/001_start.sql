-- A delivery: what the author wrote (definition, html, body), where it stands, and what the last
-- analysis froze. A proof is a row of its own with `parent` and `proof_no`.
CREATE TABLE delivery (
    id @ID,
    parent @INT,                       -- the delivery that this is a proof of
    proof_no @INT NOT NULL DEFAULT 0,
    label TEXT NOT NULL,
    code TEXT NOT NULL,
    state TEXT NOT NULL,
    definition @JSON NOT NULL,         -- definition::Definition
    html TEXT,
    body_text TEXT,
    origin TEXT,                       -- the folder that it is pushed from
    revision @INT NOT NULL DEFAULT 1,  -- counts edits
    analysed_revision @INT,            -- the revision that the snapshot was made of
    content_hash TEXT NOT NULL DEFAULT '',
    proof_hash TEXT,                   -- content_hash at the last proof
    snapshot TEXT,
    target @INT NOT NULL DEFAULT 0,
    to_deliver @INT NOT NULL DEFAULT 0,
    predicted_end @INT,
    archived @INT NOT NULL DEFAULT 0,
    created_at @INT NOT NULL,
    updated_at @INT NOT NULL,
    analysed_at @INT,
    confirmed_at @INT,
    finished_at @INT
) @STRICT;

CREATE INDEX delivery_list ON delivery (archived, id);
CREATE INDEX delivery_parent ON delivery (parent, proof_no);
CREATE INDEX delivery_origin ON delivery (origin);

-- The journal of an analysis and of what happened after: findings (with a rule) and plain lines.
CREATE TABLE journal (
    delivery @INT NOT NULL,
    seq @INT NOT NULL,
    at @INT NOT NULL,
    level TEXT NOT NULL,               -- info, warning, error
    rule TEXT NOT NULL,                -- '' for a plain line
    message TEXT NOT NULL,
    part TEXT,
    line @INT,
    col @INT,
    PRIMARY KEY (delivery, seq)
) @KEYED;

-- Work table of one analysis: who is in the target, and why somebody is left out (reason NULL: to send).
CREATE TABLE target (
    delivery @INT NOT NULL,
    recipient @INT NOT NULL,
    domain @KEY NOT NULL,
    reason TEXT,
    PRIMARY KEY (delivery, domain, recipient)
) @KEYED;
--@postgres
ALTER TABLE target SET UNLOGGED;
--@end

-- Messages by provider, and when they should be out: what Confirm and the page state.
CREATE TABLE provider_plan (
    delivery @INT NOT NULL,
    provider TEXT NOT NULL,
    messages @INT NOT NULL,
    predicted_end @INT,
    PRIMARY KEY (delivery, provider)
) @KEYED;
