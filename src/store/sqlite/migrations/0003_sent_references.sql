-- A start asks for the messages that destinations gave a name, which are few among many.
CREATE INDEX notification_external_ref ON notification (id) WHERE external_ref IS NOT NULL;
