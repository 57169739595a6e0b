-- A storm's rows are appended everywhere. A unique index on the fingerprint, which is a hash, would touch a page of its own for
-- each new alert; the writer knows the number of each fingerprint instead (`numbers.rs`), and members name the number.

CREATE TABLE alert_by_number (
    id          INTEGER PRIMARY KEY,
    -- Unique: the writer sees to it.
    fingerprint INTEGER NOT NULL,
    -- Memory has let it go; kept for the incidents it belongs to.
    dropped     INTEGER NOT NULL,
    -- NULL while it fires.
    ended_at    INTEGER,
    body        TEXT    NOT NULL
) STRICT;
INSERT INTO alert_by_number SELECT id, fingerprint, dropped, ended_at, body FROM alert ORDER BY id;

CREATE TABLE member_by_number (
    id          INTEGER PRIMARY KEY,
    incident    INTEGER NOT NULL,
    -- The number of its alert, whose row may not be there.
    alert       INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    attached_at INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    runner_up   TEXT    NOT NULL,
    detached    INTEGER NOT NULL,
    -- NULL while the alert's place is here.
    left_at     INTEGER
) STRICT;
-- Members without a row of their alert get numbers below the others.
INSERT INTO member_by_number
    SELECT member.id, member.incident, coalesce(alert.id, -(SELECT min(m.id) FROM member m WHERE m.fingerprint = member.fingerprint)),
        member.fingerprint, member.attached_at, member.reason, member.runner_up, member.detached, member.left_at
    FROM member LEFT JOIN alert ON alert.fingerprint = member.fingerprint ORDER BY member.id;

DROP TABLE member;
DROP TABLE alert;
ALTER TABLE alert_by_number RENAME TO alert;
ALTER TABLE member_by_number RENAME TO member;

CREATE INDEX alert_ended_at ON alert (ended_at) WHERE ended_at IS NOT NULL;
-- Narrow: read at each start to know the numbers.
CREATE INDEX alert_number ON alert (id, fingerprint);
-- With the fingerprint, so that the numbers are known without a look at the rows.
CREATE UNIQUE INDEX member_alert ON member (alert, incident, fingerprint);
CREATE INDEX member_incident ON member (incident);
