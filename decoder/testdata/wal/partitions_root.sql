-- A partitioned table, published as its root; a row that moves; a leaf of another layout.
CREATE TABLE p (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE p2 (v text, gone int, at date NOT NULL, id int NOT NULL);
ALTER TABLE p2 DROP gone;
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE PUBLICATION tributary FOR ALL TABLES WITH (publish_via_partition_root = true);
-- stream
INSERT INTO p VALUES (1, '2024-05-01', 'a'), (2, '2025-05-01', 'b');
UPDATE p SET v = 'B' WHERE id = 2;
UPDATE p SET at = '2025-06-01' WHERE id = 1;
DELETE FROM p WHERE id = 1;
TRUNCATE p;
