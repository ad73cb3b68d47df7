UPDATE m SET i = 8 WHERE id = 1;
INSERT INTO m (id, tr, h2, tre, d1, d3, h1) VALUES (2, '', '', 'abc😀', NULL, NULL, 'é😀');
DELETE FROM m WHERE id = 1;
