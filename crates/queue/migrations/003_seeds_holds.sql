-- Lanes of a run that nothing is claimed of until an operator resumes: what a brake holds back.
CREATE TABLE hold (
  delivery @INT NOT NULL,
  lane TEXT NOT NULL,
  reason TEXT NOT NULL,           -- in words, for pages
  at @INT NOT NULL,
  PRIMARY KEY (delivery, lane)
) @KEYED;

-- What came back after messages were accepted: counted by delivery and receiving site, for brakes and reports.
CREATE TABLE returned (
  delivery @INT NOT NULL,
  site TEXT NOT NULL,
  hard @INT NOT NULL,             -- addresses that do not exist, or never will again
  soft @INT NOT NULL,
  complaints @INT NOT NULL,
  PRIMARY KEY (delivery, site)
) @KEYED;
