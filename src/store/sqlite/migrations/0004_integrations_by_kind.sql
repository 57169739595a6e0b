-- An integration is known by its kind and its index within the kind (`slack/0`), not by its position over all kinds. Rows of before
-- know the position alone (`@0`); the restart looks it up in the configuration, which a migration cannot see.

CREATE TABLE nflog_by_kind (
    group_key   TEXT NOT NULL,
    receiver    TEXT NOT NULL,
    integration TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (group_key, receiver, integration)
) STRICT;
INSERT INTO nflog_by_kind SELECT group_key, receiver, '@' || integration, body FROM nflog ORDER BY rowid;
DROP TABLE nflog;
ALTER TABLE nflog_by_kind RENAME TO nflog;
