CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE DOMAIN price AS numeric(8,2);
CREATE TABLE p (id bigserial PRIMARY KEY, s serial, i2 smallint, i4 int, nn numeric, n5 numeric(5), n52 numeric(5,2), v varchar, v5 varchar(5), c char, c3 char(3), t text, b1 bit, b4 bit(4), vb varbit, vb9 varbit(9), bo bool, d date, tm time, tm0 time(0), tm1 time(1), tz timetz(3), ts timestamp, tsz timestamptz(2), iv interval, r real, dp double precision, by bytea, u uuid, j json, jb jsonb, x xml, mo money, ip inet, ch "char", na name, o oid, pt point, ai int[], an numeric(6,2)[], av varchar(7)[], dm posint, pr price, rg int4range);
CREATE TABLE q (id int PRIMARY KEY, v varchar(3), t text);
