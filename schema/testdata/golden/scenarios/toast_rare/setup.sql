CREATE EXTENSION citext; CREATE DOMAIN dt AS text; CREATE EXTENSION hstore;
CREATE TABLE big (id int PRIMARY KEY, n int, d dt, ct citext, b bytea, ta text[], na numeric[], num numeric, h hstore);
ALTER TABLE big ALTER d SET STORAGE EXTERNAL, ALTER ct SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL, ALTER ta SET STORAGE EXTERNAL, ALTER na SET STORAGE EXTERNAL, ALTER num SET STORAGE EXTERNAL, ALTER h SET STORAGE EXTERNAL;
INSERT INTO big VALUES (1, 1, repeat('d', 2100), repeat('c', 2100), decode(repeat('ab', 2100), 'hex'), array[repeat('t', 2100)], (SELECT array_agg(g::numeric) FROM generate_series(1, 250) g), repeat('1234567890', 450)::numeric, hstore('k', repeat('h', 2100)));
