// Runs SQL on DuckDB: a JSON array of statements on standard input, and on standard output, for each, its rows
// as objects. Stops at the first that fails, with its text.
import { DuckDBInstance } from '@duckdb/node-api';
import { readFileSync } from 'node:fs';

const connection = await (await DuckDBInstance.create(':memory:')).connect();
const results = [];
for (const sql of JSON.parse(readFileSync(0, 'utf8'))) {
  try {
    results.push((await connection.runAndReadAll(sql)).getRowObjectsJson());
  } catch (error) {
    console.error(`${error.message}\nin: ${sql.slice(0, 2000)}`);
    process.exit(1);
  }
}
console.log(JSON.stringify(results));
