-- Who was told of what receivers hold back: once for a verdict, however long it lasts and however often it is renewed.
CREATE TABLE told (
    identity @KEY NOT NULL,            -- of the verdict (routes)
    provider @KEY NOT NULL,
    rule @KEY NOT NULL,                -- another rule is another reason
    account @KEY NOT NULL,
    delivery @INT NOT NULL,            -- its owner's; 0: told as somebody who administers, of all deliveries together
    seen_at @INT NOT NULL,             -- when it was last seen in force, to the hour (microseconds UTC)
    PRIMARY KEY (identity, provider, rule, account, delivery)
) @KEYED;
