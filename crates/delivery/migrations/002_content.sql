-- The other sources of a content, templates, and who edited last.
ALTER TABLE delivery ADD COLUMN mjml TEXT;
ALTER TABLE delivery ADD COLUMN amp TEXT;
ALTER TABLE delivery ADD COLUMN is_template @INT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN edited_by TEXT NOT NULL DEFAULT '';
-- Until when mirror pages and images live: from Confirm, by parameters.resource_validity.
ALTER TABLE delivery ADD COLUMN resources_until @INT;

CREATE INDEX delivery_template ON delivery (is_template, label);

-- Who has an editor of a draft open now; rows older than half a minute say nothing.
CREATE TABLE presence (
    delivery @INT NOT NULL,
    tab @KEY NOT NULL,                 -- made up by the page, one a browser tab
    editor TEXT NOT NULL,
    part TEXT NOT NULL,
    since @INT NOT NULL,
    seen_at @INT NOT NULL,
    PRIMARY KEY (delivery, tab)
) @KEYED;

-- Starting templates that were put in once; one that was deleted does not come back.
CREATE TABLE starter (
    name @KEY NOT NULL PRIMARY KEY,    -- slug/language
    loaded_at @INT NOT NULL
) @KEYED;
