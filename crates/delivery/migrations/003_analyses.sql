-- Analyses that ended, for the time that each step took and to compare two of them. The newest of each delivery are
-- kept; a draft or template has none.
CREATE TABLE analysis (
    id @ID,
    delivery @INT NOT NULL,
    revision @INT NOT NULL,
    at @INT NOT NULL,
    took_ms @INT NOT NULL,
    state TEXT NOT NULL,               -- ready, failed, or draft when it was stopped
    snapshot TEXT,
    to_deliver @INT NOT NULL,
    excluded @JSON NOT NULL,           -- object of reason -> count
    steps @JSON NOT NULL,              -- list of types::StepTaken
    definition @JSON NOT NULL,
    sources @JSON NOT NULL,            -- html, text, mjml, amp
    members @BLOB                      -- who gets a message: bits by recipient id, zstd; NULL: ids too large
) @STRICT;
CREATE INDEX analysis_delivery ON analysis (delivery, id);

-- Analyses that the server's stop interrupted begin again by themselves, so often.
ALTER TABLE delivery ADD COLUMN analysis_restarts @INT NOT NULL DEFAULT 0;
