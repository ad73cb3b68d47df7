-- Replica identities full, index and nothing, a composite key, a table without key, a change of identity.
CREATE TABLE f (id int PRIMARY KEY, v text, n int);
ALTER TABLE f REPLICA IDENTITY FULL;
CREATE TABLE i (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text);
ALTER TABLE i REPLICA IDENTITY USING INDEX i_code_key;
CREATE TABLE n (id int PRIMARY KEY, v text);
CREATE TABLE c (v text, b int, a text, PRIMARY KEY (a, b));
CREATE TABLE k (v text);
-- stream
INSERT INTO f VALUES (1, 'one', NULL);
UPDATE f SET v = NULL, n = 7;
DELETE FROM f;
INSERT INTO i VALUES (1, 'a', 'x');
UPDATE i SET v = 'y';
UPDATE i SET id = 2;
UPDATE i SET code = 'b';
DELETE FROM i;
INSERT INTO c VALUES ('x', 1, 'one');
UPDATE c SET v = 'y';
UPDATE c SET b = 2;
DELETE FROM c;
INSERT INTO k VALUES ('no key');
INSERT INTO n VALUES (1, 'before');
UPDATE n SET id = 2;
ALTER TABLE n REPLICA IDENTITY FULL;
UPDATE n SET id = 3;
DELETE FROM n;
