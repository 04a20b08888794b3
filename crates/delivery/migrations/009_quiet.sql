-- The parts of deliveries with quiet hours, by the zone of their recipients: what must wait for the morning when sending has
-- not come to it in the evening. From the analysis until the run is over.
CREATE TABLE quiet_part (
    delivery @INT NOT NULL,
    zone TEXT NOT NULL,                -- IANA name
    first_id @INT NOT NULL,            -- of the part
    PRIMARY KEY (delivery, zone, first_id)
) @KEYED;

-- What an analysis counted for its pressure rules, to find out later whether it would count the same again.
CREATE TABLE arbitrated (
    delivery @INT NOT NULL PRIMARY KEY,
    counted TEXT NOT NULL,             -- fingerprint of the planned messages that counted
    looked_at @INT NOT NULL            -- when it was last compared
) @KEYED;
