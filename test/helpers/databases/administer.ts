import pg from 'pg';

/** Runs one statement on a new connection. Several statements are possible without values. Resolves to the rows. */
export async function administer(
  url: string,
  sql: string,
  values?: readonly unknown[],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql, values && [...values])).rows;
  } finally {
    await client.end();
  }
}
