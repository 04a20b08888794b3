-- Which claim holds a part, or a message of the retry set: a look from before it was given back must not give it back again.
ALTER TABLE part ADD COLUMN claim @INT;
ALTER TABLE retry ADD COLUMN claim @INT;
