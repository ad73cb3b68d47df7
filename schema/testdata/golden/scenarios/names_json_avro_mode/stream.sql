UPDATE "se-x"."da-sh tä" SET "I d" = 5 WHERE "I d" = 1;
DELETE FROM "se-x"."da-sh tä" WHERE "I d" = 5;
