-- Whose a delivery is: may confirm it, and is told of it. Deliveries from before are those of whoever edited them last.
ALTER TABLE delivery ADD COLUMN owner TEXT NOT NULL DEFAULT '';
UPDATE delivery SET owner = edited_by;
-- '' or 'notice': a mail of the program to somebody who works here, in no list and outside every indicator.
ALTER TABLE delivery ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
-- Whoever asked for the last analysis may start deliveries, so it may start by itself where it says so.
ALTER TABLE delivery ADD COLUMN starts_itself @INT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN confirmed_by TEXT NOT NULL DEFAULT '';

-- Every change of a delivery's state: who, when, why. Not emptied by a new analysis, unlike the journal.
CREATE TABLE life_change (
    delivery @INT NOT NULL,
    seq @INT NOT NULL,
    at @INT NOT NULL,
    who TEXT NOT NULL,                 -- '' for the program itself
    event TEXT NOT NULL,               -- states::Event
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (delivery, seq)
) @KEYED;

-- What approvers were asked for: the snapshot of one analysis. An edit or a new analysis deletes it.
CREATE TABLE approval_request (
    delivery @INT NOT NULL PRIMARY KEY,
    snapshot TEXT NOT NULL,
    asked_at @INT NOT NULL,
    remind_at @INT NOT NULL,
    due_at @INT NOT NULL,
    reminded_at @INT,
    overdue_at @INT                    -- when the owner was told that the time is over
) @KEYED;
CREATE INDEX approval_request_due ON approval_request (due_at);

-- What approvers said. One that does not count any more (taken back, edited since) keeps its row, with the reason.
CREATE TABLE approval (
    id @ID,
    delivery @INT NOT NULL,
    snapshot TEXT NOT NULL,
    account TEXT NOT NULL,
    decision TEXT NOT NULL,            -- approved, rejected
    comment TEXT NOT NULL,
    at @INT NOT NULL,
    withdrawn_at @INT,
    withdrawn_why TEXT NOT NULL DEFAULT ''
) @STRICT;
CREATE INDEX approval_delivery ON approval (delivery, id);

-- What the people who work here are told of, on the page and some of it by mail.
CREATE TABLE notice (
    id @ID,
    account @KEY NOT NULL,
    delivery @INT,
    kind TEXT NOT NULL,                -- notices::NoticeKind
    message TEXT NOT NULL,
    at @INT NOT NULL,
    read_at @INT
) @STRICT;
CREATE INDEX notice_account ON notice (account, id);

-- Who reads a proof, by message, and what they said of it.
CREATE TABLE proof_reader (
    message @INT NOT NULL PRIMARY KEY,
    proof @INT NOT NULL,
    address TEXT NOT NULL,
    profile TEXT NOT NULL,             -- whose profile personalises it
    format TEXT NOT NULL,              -- alternative, text, html …
    decision TEXT,                     -- accepted, rejected
    comment TEXT NOT NULL DEFAULT '',
    decided_at @INT
) @KEYED;
CREATE INDEX proof_reader_proof ON proof_reader (proof, message);
