UPDATE kname SET k = 'two' WHERE k = 'one';
UPDATE kdate SET k = '2025-01-01' WHERE v = 2;
UPDATE ktext SET k = 'plain' WHERE v = 1;
UPDATE ktext SET k = E'tab\tq"' WHERE v = 1;
UPDATE kdec SET k = 0.00000001 WHERE v = 1;
UPDATE kdec SET k = 12 WHERE v = 2;
UPDATE kdec SET k = 1 WHERE v = 3;
UPDATE kvar SET k = -2.25 WHERE v = 1;
UPDATE kmix SET c = 'NaN', i = '{3,NULL}', b = '\x';
