CREATE EXTENSION hstore;
CREATE TABLE t (id serial PRIMARY KEY, a text DEFAULT 'd"q', n numeric(6,2) NOT NULL DEFAULT 12.34, f real DEFAULT 1.5, g double precision DEFAULT 1e10, b bool DEFAULT true, bt bit(4) DEFAULT B'1010', ts timestamp DEFAULT '2020-01-01', h hstore, txt text, "odd na.me" int);
INSERT INTO t (id, h, f, g, txt) VALUES (1, 'a=>1,b=>NULL', 'NaN', '-Infinity', E'q"\\/<>&\u0001\u007fé😀\t');
INSERT INTO t (id, a, n, f, g, b) VALUES (2, NULL, 1, 1e-5, 12345678, NULL);
INSERT INTO t (id, f, g) VALUES (3, 3.4028235e38, 5e-324), (4, 0.001, 1e7), (5, 16777216, 12345678.9), (6, 1.4e-45, 2e-3);
