// Runs queries with stock DuckDB, without any code of ours, and prints one JSON array of rows per
// query; every value as text, so that no integer passes through a JavaScript number.
//
// usage: node query.js FILE.duckdb SQL...
const { DuckDBInstance } = require("@duckdb/node-api");

async function main([file, ...queries]) {
  const instance = await DuckDBInstance.create(file, { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  for (const sql of queries) {
    const reader = await connection.runAndReadAll(sql);
    const rows = reader.getRows().map((row) => row.map((value) => (value === null ? null : String(value))));
    console.log(JSON.stringify(rows));
  }
  connection.closeSync();
  instance.closeSync();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
