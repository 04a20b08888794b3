-- Keys that replace each other with an overlap: pending (made, waiting to be seen in DNS), active, retiring (signs no more,
-- but messages that carry its signature are on their way), retired. And domains that sign beside another one.

-- Microseconds UTC; none: not yet.
ALTER TABLE dkim_key ADD COLUMN activated_at @INT;
ALTER TABLE dkim_key ADD COLUMN replaced_at @INT;
UPDATE dkim_key SET activated_at = created_at WHERE state = 'active';
UPDATE dkim_key SET activated_at = created_at, replaced_at = created_at WHERE state = 'retired';

CREATE INDEX dkim_key_moving ON dkim_key (domain, id) WHERE state IN ('pending', 'retiring');

-- Another sending domain whose keys sign too; none: only its own.
ALTER TABLE domain ADD COLUMN also TEXT;
