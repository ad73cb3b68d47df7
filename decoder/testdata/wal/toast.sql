-- Values stored out of line: unchanged under identity default and full, and as part of the key.
CREATE TABLE d (id int PRIMARY KEY, v int, long text);
ALTER TABLE d ALTER long SET STORAGE EXTERNAL;
CREATE TABLE f (id int PRIMARY KEY, v int, long text);
ALTER TABLE f ALTER long SET STORAGE EXTERNAL;
ALTER TABLE f REPLICA IDENTITY FULL;
CREATE TABLE k (long text PRIMARY KEY, v int, more text);
ALTER TABLE k ALTER long SET STORAGE EXTERNAL;
ALTER TABLE k ALTER more SET STORAGE EXTERNAL;
-- stream
INSERT INTO d VALUES (1, 1, repeat('d', 2100));
UPDATE d SET v = 2;
UPDATE d SET id = 2;
UPDATE d SET long = 'short';
INSERT INTO f VALUES (1, 1, repeat('f', 2100));
UPDATE f SET v = 2;
UPDATE f SET long = NULL;
INSERT INTO k VALUES (repeat('k', 2100), 1, repeat('m', 2100));
UPDATE k SET v = 2;
UPDATE k SET long = repeat('K', 2050);
DELETE FROM k;
