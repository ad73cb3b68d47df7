INSERT INTO "1 dash-tab_le" VALUES (2, 'x', 1, 2, 3, 4);
