-- Events and evidence are data: JSON in a column of their own. Rows of before keep their sentences and have NULL here.
ALTER TABLE timeline ADD COLUMN data TEXT;
ALTER TABLE member ADD COLUMN evidence TEXT;
-- When the last commit was decided; 0: by a version that did not say.
INSERT INTO counter (name, value) VALUES ('moment', 0);
