import pg from 'pg';

/** A connection of an operator to Postgres. It connects again after a failure. */
export class Admin {
  readonly #url: string;
  #client: pg.Client | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Runs SQL. @throws Error when Postgres cannot be reached, or refuses the SQL */
  async query(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]> {
    const client = await this.#connected();
    try {
      return (await client.query(text, values && [...values])).rows;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      // A refusal of the SQL leaves the connection in order.
      if (typeof code !== 'string' || !/^(2|4|55)/.test(code)) await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    const client = new pg.Client({ connectionString: this.#url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    this.#client = client;
    return client;
  }
}
