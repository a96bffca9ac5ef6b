PRAGMA journal_mode = DELETE;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, grp INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @ROWS@)
INSERT INTO item SELECT i, 'item-' || (i * 7919 % 100003), (i * 31 % 1000) / 8.0, i % 97 FROM n;
CREATE INDEX by_name ON item(name);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT grp, count(*), round(avg(price), 3) FROM item GROUP BY grp ORDER BY 3 DESC, 1 LIMIT 5;
UPDATE item SET price = price * 2 WHERE grp = 13;
DELETE FROM item WHERE id % 10 = 3;
SELECT a.id, b.id FROM item a JOIN item b ON b.name = 'item-' || a.id WHERE a.id < 40 ORDER BY 1;
BEGIN; DELETE FROM item; ROLLBACK;
SELECT name, substr(upper(name), 6), length(name) FROM item WHERE name LIKE 'item-99%'
ORDER BY name LIMIT 5;
PRAGMA integrity_check;
