import { createHash } from 'node:crypto';
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryConfig } from 'pg';
import {
  claimText,
  completeText,
  findText,
  type HandStore,
  type KeyedRequest,
  RETENTION_MS,
  replayOf,
  type StoredReply,
} from './store.js';
import type { Row, Statement, Write } from './writes.js';

/** Postgres by hand: prepared statements that are sent without waiting for each other's answers. */
export class PostgresHandStore implements HandStore {
  readonly #pool: Pool;

  constructor(connectionString: string) {
    const config: PoolConfig & { pipeline: boolean } = { connectionString, pipeline: true, max: 20 };
    this.#pool = new pg.Pool(config);
  }

  find(key: KeyedRequest): Promise<StoredReply | undefined> {
    return findWith(this.#pool, key);
  }

  execute(key: KeyedRequest, write: Write): Promise<StoredReply> {
    return this.#withClient(async (client) => {
      const expiresAtMs = Date.now() + RETENTION_MS;
      const [, claimed] = await Promise.all([
        client.query('BEGIN'),
        client.query(prepared(claimText, [key.id, key.fingerprint, expiresAtMs])),
      ]);
      if (claimed.rows.length === 0) {
        await client.query('ROLLBACK');
        // With this client: if every client waited for another one, no call would ever end.
        return (await findWith(client, key)) as StoredReply;
      }
      const bytes = await this.#write(client, write);
      await Promise.all([client.query(prepared(completeText, [bytes, key.id])), client.query('COMMIT')]);
      return { bytes, expiresAtMs, isReplay: false };
    });
  }

  async write(write: Write): Promise<Buffer> {
    const [only, ...others] = write.statements;
    if (only && others.length === 0) return write.reply([await this.run(only)]);
    return this.#withClient(async (client) => {
      const [, bytes] = await Promise.all([client.query('BEGIN'), this.#write(client, write)]);
      await client.query('COMMIT');
      return bytes;
    });
  }

  async run({ text, values }: Statement): Promise<readonly Row[]> {
    return (await this.#pool.query(prepared(text, values))).rows;
  }

  async #write(client: PoolClient, { statements, reply }: Write): Promise<Buffer> {
    const results = await Promise.all(
      statements.map(({ text, values }) => client.query(prepared(text, values))),
    );
    return reply(results.map(({ rows }) => rows));
  }

  async #withClient<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    try {
      const result = await use(client);
      client.release();
      return result;
    } catch (error) {
      // The transaction may still be open.
      client.release(true);
      throw error;
    }
  }
}

async function findWith(
  client: Pool | PoolClient,
  { id, fingerprint }: KeyedRequest,
): Promise<StoredReply | undefined> {
  const { rows } = await client.query(prepared(findText, [id]));
  return rows[0] && replayOf(rows[0], fingerprint);
}

const names = new Map<string, string>();

function prepared(text: string, values: readonly (string | number | Buffer)[]): QueryConfig {
  let name = names.get(text);
  if (!name) {
    name = createHash('sha256').update(text).digest('hex').slice(0, 16);
    names.set(text, name);
  }
  return { name, text, values: [...values] };
}
