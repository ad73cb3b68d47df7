UPDATE k SET a = '1969-12-31', c = '2024-03-01 00:00:00';
UPDATE k SET a = '1970-01-01', b = '00:00', c = '1970-01-01 00:00:01';
SELECT pg_logical_emit_message(true, 'audit', '\x00ff'::bytea);
SELECT pg_logical_emit_message(false, 'beside', 'text');
