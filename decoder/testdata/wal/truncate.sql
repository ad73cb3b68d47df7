-- Truncates: of one table, of several, with cascade, and one between rows.
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
CREATE TABLE c (id serial PRIMARY KEY);
-- stream
INSERT INTO c VALUES (1);
TRUNCATE c RESTART IDENTITY;
TRUNCATE a CASCADE;
BEGIN;
INSERT INTO a VALUES (1);
TRUNCATE a, b, c;
INSERT INTO a VALUES (2);
COMMIT;
