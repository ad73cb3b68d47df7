-- Every family of types, with the values that are easy to get wrong.
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'it''s, fine');
CREATE DOMAIN app.small AS numeric(6,2) CHECK (VALUE < 1000);
CREATE TYPE app.point3 AS (x int, y int, "z z" text);
CREATE TYPE app.floats AS RANGE (subtype = float8);
CREATE TABLE t (id bigint PRIMARY KEY, b boolean, i2 smallint, f4 real, f8 double precision, n numeric, n2 numeric(20,5),
 m money, c char(4), vc varchar(10), x bytea, d date, tm time(3), ttz timetz, ts timestamp, tstz timestamptz(2), iv interval,
 u uuid, j json, jb jsonb, xm xml, ip inet, ci cidr, mc macaddr, bi bit(3), vb bit varying, pt point, ia int[], ta text[],
 r int4range, e app.mood, ea app.mood[], dm app.small, cp app.point3, fr app.floats, tv tsvector, o oid, nm name);
-- stream
INSERT INTO t (id) VALUES (1);
INSERT INTO t VALUES (2, true, -32768, 'NaN', 'Infinity', 'NaN', 123456789012345.12345, '-12.34', 'ab', 'vär', '\x00ff5c',
 'infinity', '24:00', '12:00:00+05:30', '-infinity', '4713-01-01 00:00:00+00 BC', '-1 mon 2 days -03:00',
 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{ "a" : 1, "a" : 2 }', '{"b": [1, null]}', '<a>1</a>', '::1/64', '10.0.0.0/8',
 '08:00:2b:01:02:03', '101', '1', '(1.5,-2)', '{1,NULL,-3}', '{"a,b","NULL",NULL,"q\"\\"}', '[1,5)', 'it''s, fine', '{ok,NULL}',
 12.5, '(1,,"a ""b""")', '[0.5,)', 'fat:2 cat', 4294967295, 'a name');
INSERT INTO t (id, d, ts, f8, n, f4) VALUES (9223372036854775807, '5874897-12-31', '294276-12-31 23:59:59.999999', 1e-307, 1e-30, 1.1);
ALTER TYPE app.mood ADD VALUE 'happy';
UPDATE t SET e = 'happy' WHERE id = 1;
DELETE FROM t WHERE id = 2;
