-- Which rules a delivery must pass. `default` and `bulk` are shipped: they can be given rules, not renamed or deleted.
CREATE TABLE typology (
    id @ID,
    name @KEY NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    base TEXT NOT NULL,                -- the shipped control rules that it starts from: default or bulk
    weight @INT NOT NULL DEFAULT 5,    -- of its deliveries, in pressure rules
    shipped @INT NOT NULL DEFAULT 0,
    created_at @INT NOT NULL,
    updated_at @INT NOT NULL
) @STRICT;
INSERT INTO typology (name, description, base, shipped, created_at, updated_at) VALUES
    ('default', 'What receivers demand of bulk senders is a warning.', 'default', 1, 0, 0),
    ('bulk', 'What Gmail, Yahoo and Microsoft reject is an error, when the target holds 5,000 or more of that provider''s addresses.',
     'bulk', 1, 0, 0);

-- A rule that was made here; shipped control rules are code.
CREATE TABLE typology_rule (
    id @ID,
    name @KEY NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL,                -- control, filtering, pressure or capacity
    rank @INT NOT NULL,                -- lower is applied first
    active @INT NOT NULL,
    scope TEXT NOT NULL DEFAULT '',    -- expression over a delivery's facts; '': every delivery
    from_at @INT,                      -- in force for contact dates from here …
    until_at @INT,                     -- … and before this
    definition @JSON NOT NULL,         -- typologies::RuleDefinition
    created_at @INT NOT NULL,
    updated_at @INT NOT NULL
) @STRICT;

CREATE TABLE typology_member (
    typology @INT NOT NULL,
    rule @INT NOT NULL,
    PRIMARY KEY (typology, rule)
) @KEYED;
CREATE INDEX typology_member_rule ON typology_member (rule, typology);

-- The work table again: `copy` counts the messages of one recipient, `rule` names the rule behind the reason.
DROP TABLE target;
CREATE TABLE target (
    delivery @INT NOT NULL,
    domain @KEY NOT NULL,
    recipient @INT NOT NULL,
    copy @INT NOT NULL DEFAULT 0,
    reason TEXT,
    rule @INT,
    PRIMARY KEY (delivery, domain, recipient, copy)
) @KEYED;
--@postgres
ALTER TABLE target SET UNLOGGED;
--@end

-- Who was left out by the last analysis, counted by cause.
CREATE TABLE exclusion_count (
    delivery @INT NOT NULL,
    reason TEXT NOT NULL,
    rule TEXT NOT NULL,                -- name of the rule by then; '': the reason is no rule's
    recipients @INT NOT NULL,
    PRIMARY KEY (delivery, reason, rule)
) @KEYED;

-- What deliveries take of a capacity rule's lines. Counts for others from Confirm on.
CREATE TABLE capacity_use (
    rule @INT NOT NULL,
    line @INT NOT NULL,                -- start of the line (µs)
    delivery @INT NOT NULL,
    messages @INT NOT NULL,
    confirmed @INT NOT NULL DEFAULT 0,
    PRIMARY KEY (rule, line, delivery)
) @KEYED;
CREATE INDEX capacity_use_delivery ON capacity_use (delivery);

-- Work tables of a pressure rule that counts by household: messages so far, and members of the target.
CREATE TABLE household (
    delivery @INT NOT NULL,
    rule @INT NOT NULL,
    household @KEY NOT NULL,
    weight @INT NOT NULL,
    PRIMARY KEY (delivery, rule, household)
) @KEYED;
CREATE TABLE household_member (
    delivery @INT NOT NULL,
    rule @INT NOT NULL,
    household @KEY NOT NULL,
    recipient @INT NOT NULL,
    copy @INT NOT NULL,
    domain @KEY NOT NULL,
    PRIMARY KEY (delivery, rule, household, recipient, copy)
) @KEYED;
--@postgres
ALTER TABLE household SET UNLOGGED;
ALTER TABLE household_member SET UNLOGGED;
--@end

-- External files of targets that were read: into guests, or into a list of their own.
CREATE TABLE target_file (
    delivery @INT NOT NULL,
    file @KEY NOT NULL,
    hash TEXT NOT NULL,                -- of the bytes that were read
    list @INT,                         -- the list that they were imported into; NULL: they are guests
    rejected @INT NOT NULL,            -- rows that were not taken
    PRIMARY KEY (delivery, file)
) @KEYED;
