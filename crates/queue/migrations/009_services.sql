-- A target may take the subscribers of several services: whoever leaves one of them stays in it while another keeps him. Numbers
-- of services stand in one column, a blank between them.
ALTER TABLE scope ADD COLUMN services TEXT;      -- the services whose subscribers the target takes; absent: others too
UPDATE scope SET services = CAST(service AS TEXT) WHERE service IS NOT NULL;
ALTER TABLE scope DROP COLUMN service;
ALTER TABLE run ADD COLUMN services TEXT;        -- the same, of the analysis that was confirmed
UPDATE run SET services = CAST(service AS TEXT) WHERE service IS NOT NULL;
ALTER TABLE run DROP COLUMN service;
ALTER TABLE suppress ADD COLUMN still TEXT;      -- of who left a service: those that he subscribed to then
