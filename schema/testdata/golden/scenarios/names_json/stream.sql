INSERT INTO "se-x"."da-sh tä" VALUES (2, 'x', 1, 2.50, '(0,1)');
UPDATE "se-x"."da-sh tä" SET "I d" = 5 WHERE "I d" = 1;
SELECT pg_logical_emit_message(true, 'p"x', '\x00ff41'::bytea);
DELETE FROM "se-x"."da-sh tä" WHERE "I d" = 2;
