CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TYPE hue AS ENUM ('red', 'green'); CREATE DOMAIN dn AS numeric(8,2); CREATE DOMAIN dv AS varchar(7);
CREATE TABLE p (id int PRIMARY KEY, a int[], v varchar(5)[], n numeric(6,2)[], e hue, ea hue[], h hstore, c citext, u uuid, j jsonb, x xml, i inet, p1 point, p2 point, v1 numeric, v2 numeric, d dn, dv dv, ts timestamp(3), tz timestamptz(2), t time(1), tt timetz, iv interval, b bytea, m money, r int4range, tv tsvector, mac macaddr, q "char", nm name, o oid, bb bit(3), vb varbit(4), dflt varchar(9) NOT NULL DEFAULT 'x', ser serial, da date, f real, g float8);
INSERT INTO p (id, a, v1, p1, d) VALUES (1, '{1}', 1.5, '(1,2)', 1.5);
COMMENT ON COLUMN p.a IS 'note';
