-- The raw change log: one table for each topic, over the objects that deploy/connect/confluent-s3-parquet.json or
-- aiven-s3-parquet.json write. No crawler: the columns are written here, and the partitions are computed.
-- Partitions are days of commit, never a column of the row. Columns that the objects have and a table has not are ignored.
CREATE DATABASE IF NOT EXISTS lake;

CREATE EXTERNAL TABLE lake.address_log (
  `before` struct<address_id:int,address:string,address2:string,district:string,city_id:int,postal_code:string,phone:string,last_update:string>,
  `after` struct<address_id:int,address:string,address2:string,district:string,city_id:int,postal_code:string,phone:string,last_update:string>,
  `source` struct<ts_ms:bigint,snapshot:string,txId:bigint,lsn:bigint>,
  `op` string,
  `ts_ms` bigint,
  `_partition` int,
  `_offset` bigint
) PARTITIONED BY (`dt` string) STORED AS PARQUET LOCATION 's3://my-lake/log/pagila.public.address/'
TBLPROPERTIES (
  'projection.enabled' = 'true', 'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2024-01-01,NOW', 'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://my-lake/log/pagila.public.address/dt=${dt}/');

CREATE EXTERNAL TABLE lake.city_log (
  `before` struct<city_id:int,city:string,country_id:int,last_update:string>,
  `after` struct<city_id:int,city:string,country_id:int,last_update:string>,
  `source` struct<ts_ms:bigint,snapshot:string,txId:bigint,lsn:bigint>,
  `op` string,
  `ts_ms` bigint,
  `_partition` int,
  `_offset` bigint
) PARTITIONED BY (`dt` string) STORED AS PARQUET LOCATION 's3://my-lake/log/pagila.public.city/'
TBLPROPERTIES (
  'projection.enabled' = 'true', 'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2024-01-01,NOW', 'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://my-lake/log/pagila.public.city/dt=${dt}/');

CREATE EXTERNAL TABLE lake.country_log (
  `before` struct<country_id:int,country:string,last_update:string>,
  `after` struct<country_id:int,country:string,last_update:string>,
  `source` struct<ts_ms:bigint,snapshot:string,txId:bigint,lsn:bigint>,
  `op` string,
  `ts_ms` bigint,
  `_partition` int,
  `_offset` bigint
) PARTITIONED BY (`dt` string) STORED AS PARQUET LOCATION 's3://my-lake/log/pagila.public.country/'
TBLPROPERTIES (
  'projection.enabled' = 'true', 'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2024-01-01,NOW', 'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://my-lake/log/pagila.public.country/dt=${dt}/');

CREATE EXTERNAL TABLE lake.customer_log (
  `before` struct<customer_id:int,store_id:int,first_name:string,last_name:string,email:string,address_id:int,activebool:boolean,create_date:int,last_update:string,active:int>,
  `after` struct<customer_id:int,store_id:int,first_name:string,last_name:string,email:string,address_id:int,activebool:boolean,create_date:int,last_update:string,active:int>,
  `source` struct<ts_ms:bigint,snapshot:string,txId:bigint,lsn:bigint>,
  `op` string,
  `ts_ms` bigint,
  `_partition` int,
  `_offset` bigint
) PARTITIONED BY (`dt` string) STORED AS PARQUET LOCATION 's3://my-lake/log/pagila.public.customer/'
TBLPROPERTIES (
  'projection.enabled' = 'true', 'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2024-01-01,NOW', 'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://my-lake/log/pagila.public.customer/dt=${dt}/');
