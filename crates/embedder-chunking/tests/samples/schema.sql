-- Who may sign in.
CREATE TABLE IF NOT EXISTS app.users (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE UNIQUE INDEX users_by_name ON app.users (lower(name));

CREATE OR REPLACE FUNCTION app.greet(who TEXT) RETURNS TEXT AS $$
BEGIN
    RETURN 'hello ' || who;
END;
$$ LANGUAGE plpgsql;

CREATE VIEW app.recent AS
    SELECT * FROM app.users ORDER BY id DESC LIMIT 10;
