-- A/B tests, from the analysis on: one row for each delivery that has one.
CREATE TABLE ab_test (
    delivery @INT NOT NULL PRIMARY KEY,
    winner_by TEXT NOT NULL,           -- opens, clicks, manual
    after_us @INT NOT NULL,            -- from the start of sending to the choice
    state TEXT NOT NULL,               -- ab::AbState
    winner @INT,                       -- the variant, from 0
    chosen_by TEXT NOT NULL DEFAULT '', -- '' for the program itself
    chosen_at @INT,
    why TEXT NOT NULL DEFAULT '',
    cleaned @INT NOT NULL DEFAULT 0    -- 1: nothing is kept any more of what the rest would have said
) @KEYED;

-- Its variants, with the figures that the choice was made by.
CREATE TABLE ab_variant (
    delivery @INT NOT NULL,
    variant @INT NOT NULL,             -- from 0, the delivery's own content
    snapshot TEXT NOT NULL,
    subject TEXT NOT NULL,             -- as written
    messages @INT NOT NULL,            -- of its sample
    sent @INT,
    opened @INT,
    clicked @INT,
    PRIMARY KEY (delivery, variant)
) @KEYED;
