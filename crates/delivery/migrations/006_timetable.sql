-- What an analysis froze of a delivery's schedule, for Confirm.
CREATE TABLE timetable (
    delivery @INT NOT NULL PRIMARY KEY,
    planned_at @INT NOT NULL,          -- when it was reckoned
    contact_us @INT,                   -- NULL: as soon as possible after Confirm
    starts_at @INT NOT NULL,           -- the earliest due time; the parts' due times count from here
    start_before @INT,                 -- Confirm may not come later
    late @INT NOT NULL                 -- 1: the server was down at the contact date; an operator decides
) @KEYED;

-- Its waves; one when it has none.
CREATE TABLE wave_plan (
    delivery @INT NOT NULL,
    wave @INT NOT NULL,
    starts_at @INT NOT NULL,           -- as of timetable.planned_at where there is no contact date
    ends_at @INT,                      -- predicted
    messages @INT NOT NULL,
    PRIMARY KEY (delivery, wave)
) @KEYED;
CREATE INDEX wave_plan_time ON wave_plan (starts_at);

-- Drafts that are analysed on their date.
CREATE TABLE provisional (
    delivery @INT NOT NULL PRIMARY KEY,
    at @INT NOT NULL
) @KEYED;
CREATE INDEX provisional_at ON provisional (at);

-- The figures at which a brake last held a delivery, or one of its providers: it counts from there on.
CREATE TABLE braked (
    delivery @INT NOT NULL,
    provider TEXT NOT NULL,            -- '' for the whole delivery
    answered @INT NOT NULL,
    hard @INT NOT NULL,
    complaints @INT NOT NULL,
    deferred @INT NOT NULL,
    at @INT NOT NULL,
    PRIMARY KEY (delivery, provider)
) @KEYED;
