-- Hard state. Columns are what is asked for; `body` is the rest of the row as JSON.
-- Times are milliseconds since 1970 UTC; fingerprints are the 64 bits as a signed integer.
-- Tables that a storm fills have a rowid that counts up and a narrow unique index on the key: rows are appended, so a commit
-- of many alerts touches few pages.

CREATE TABLE alert (
    id          INTEGER PRIMARY KEY,
    fingerprint INTEGER NOT NULL UNIQUE,
    -- Memory has let it go; kept for the incidents it belongs to.
    dropped     INTEGER NOT NULL,
    -- NULL while it fires.
    ended_at    INTEGER,
    body        TEXT    NOT NULL
) STRICT;

CREATE INDEX alert_ended_at ON alert (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE incident (
    id          INTEGER PRIMARY KEY,
    status      TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    opened_at   INTEGER NOT NULL,
    resolved_at INTEGER,
    body        TEXT    NOT NULL
) STRICT;
CREATE INDEX incident_status ON incident (status, id);
CREATE INDEX incident_resolved_at ON incident (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE member (
    id          INTEGER PRIMARY KEY,
    incident    INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    attached_at INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    runner_up   TEXT    NOT NULL,
    detached    INTEGER NOT NULL,
    -- NULL while the alert's place is here.
    left_at     INTEGER,
    UNIQUE (fingerprint, incident)
) STRICT;
CREATE INDEX member_incident ON member (incident);

CREATE TABLE timeline (
    seq      INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    actor    TEXT,
    reason   TEXT    NOT NULL
) STRICT;
CREATE INDEX timeline_incident ON timeline (incident, seq);

CREATE TABLE silence (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- The outbox.
CREATE TABLE notification (
    id           INTEGER PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    incident     INTEGER,
    created_at   INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    sent_at      INTEGER,
    error        TEXT,
    external_ref TEXT,
    body         TEXT    NOT NULL
) STRICT;
CREATE INDEX notification_incident ON notification (incident) WHERE incident IS NOT NULL;
CREATE INDEX notification_pending ON notification (id) WHERE state = 'pending';
CREATE INDEX notification_announced_at ON notification (created_at) WHERE incident IS NULL;

CREATE TABLE nflog (
    group_key   TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,
    integration INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (group_key, receiver, integration)
) STRICT;

CREATE TABLE rule_alert (
    id          INTEGER PRIMARY KEY,
    rule        TEXT    NOT NULL,
    fingerprint INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    UNIQUE (rule, fingerprint)
) STRICT;

-- The highest numbers ever given, for when the rows that carried them are gone.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counter (name, value) VALUES ('incident', 0), ('timeline', 0);
