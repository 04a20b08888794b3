-- What kind of answer is behind a verdict of the engine (a category of reply classification); '': none.
ALTER TABLE verdict ADD COLUMN category TEXT NOT NULL DEFAULT '';
