-- A table that is kept up to date instead of written anew: Iceberg, with deletes applied. Run the MERGE on a schedule, as
-- often as you like: running it twice changes nothing.
CREATE TABLE lake.address_current (
  address_id int, address string, address2 string, district string, city_id int, postal_code string, phone string,
  last_update string, log_offset bigint
) LOCATION 's3://my-lake/refined/address_current/' TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet');

-- One row for each key is a must: MERGE refuses two for one. On the tables of log.sql add to the inner WHERE
-- AND dt >= date_format(current_date - INTERVAL '2' DAY, '%Y-%m-%d') once the first run is through.
MERGE INTO lake.address_current AS t
USING (
  SELECT * FROM (
    SELECT COALESCE(after.address_id, before.address_id) AS address_id, after.address AS address,
           after.address2 AS address2, after.district AS district, after.city_id AS city_id,
           after.postal_code AS postal_code, after.phone AS phone, after.last_update AS last_update, op,
           "_offset" AS log_offset,
           ROW_NUMBER() OVER (PARTITION BY COALESCE(after.address_id, before.address_id) ORDER BY "_offset" DESC) AS age
    FROM lake.address_log WHERE op IN ('r', 'c', 'u', 'd')
  ) AS latest WHERE age = 1
) AS s
ON t.address_id = s.address_id
WHEN MATCHED AND s.op = 'd' THEN DELETE
WHEN MATCHED AND s.log_offset > t.log_offset THEN UPDATE SET address = s.address, address2 = s.address2,
  district = s.district, city_id = s.city_id, postal_code = s.postal_code, phone = s.phone,
  last_update = s.last_update, log_offset = s.log_offset
WHEN NOT MATCHED AND s.op <> 'd' THEN INSERT (address_id, address, address2, district, city_id, postal_code, phone,
  last_update, log_offset) VALUES (s.address_id, s.address, s.address2, s.district, s.city_id, s.postal_code, s.phone,
  s.last_update, s.log_offset);
