CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'd', n numeric(5,2) DEFAULT 1.5, b int NOT NULL DEFAULT 4, z timestamptz DEFAULT now());
INSERT INTO t VALUES (1, NULL, NULL, 1, NULL);
