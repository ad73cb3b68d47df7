CREATE TYPE hue AS ENUM ('red', 'green');
CREATE TABLE m (id int PRIMARY KEY, u uuid, j json, i int, e hue, c char(5), n name, q "char", arr text[], big1 text, tr text NOT NULL, tre text, big2 text, b bytea, h1 text, h2 text NOT NULL, big3 text, d1 text DEFAULT 'default1', d2 text NOT NULL DEFAULT 'default2', d3 text DEFAULT 'default3', d4 text NOT NULL DEFAULT 'default4');
ALTER TABLE m ALTER big1 SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL, ALTER big3 SET STORAGE EXTERNAL;
INSERT INTO m VALUES (1, '6f1b2b7c-1d0e-4f6e-9f4b-3b0a4c1d2e3f', '{"a": 1}', 7, 'red', 'ab', 'nm', 'q', '{a,b}', repeat('x', 9000), 'abcdef', 'ab😀😀', repeat('y', 9000), '\x0102030405060708', 'plain', 'plain', repeat('z', 9000));
