-- Facts of the last analysis of each delivery: what new control rules are tried on.
CREATE TABLE analysis_facts (
    delivery @INT NOT NULL PRIMARY KEY,
    at @INT NOT NULL,
    facts @JSON NOT NULL               -- typology::Facts
) @STRICT;

CREATE INDEX analysis_facts_at ON analysis_facts (at);

-- How to mend what a finding names.
ALTER TABLE journal ADD COLUMN hint TEXT;
