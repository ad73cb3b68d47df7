CREATE TABLE t (id int PRIMARY KEY, a numeric(5,2) DEFAULT 1.005, b numeric(5,2) NOT NULL DEFAULT 1.5, c numeric(5,2) DEFAULT '1.500', d numeric DEFAULT 1.50, r real DEFAULT 0.1, r2 real NOT NULL DEFAULT 16777217, r3 real DEFAULT 1e-10, r4 real DEFAULT 3.4e38, e numeric(5,2) DEFAULT 1e0, f float8 DEFAULT 0.1);
INSERT INTO t VALUES (1);
