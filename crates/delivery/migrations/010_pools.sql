-- The pool of sources of a typology's deliveries; '': it names none.
ALTER TABLE typology ADD COLUMN pool TEXT NOT NULL DEFAULT '';

-- The pool that the last analysis found: the delivery's own choice, else its typology's. Confirm takes it.
ALTER TABLE delivery ADD COLUMN pool TEXT NOT NULL DEFAULT 'default';
UPDATE delivery SET pool = coalesce(definition -> 'parameters' ->> 'pool', 'default');
