INSERT INTO u (id) VALUES ('key3');
UPDATE u SET id = 'key4' WHERE id = 'key1';
DELETE FROM u WHERE id = 'key2';
