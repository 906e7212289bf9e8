import pg from 'pg';
import { sqlTexts } from '../inputs/sql-texts.js';
import { must, type Target } from '../target.js';
import { allows, allowsAfterTrim } from './statements.js';

/** SQL texts of handlers on Postgres. Postgres itself decides what a text controls. */
export const postgresStatementsTarget: Target<string> = {
  title: 'SQL texts of handlers on Postgres',
  inputs: sqlTexts,
  requires: ['refused', 'executed', 'not SQL'],
  planted: 'comments in front of a statement are not skipped, on Postgres',
  lacks: ({ postgresUrl }) => (postgresUrl === undefined ? 'a Postgres' : undefined),
  async open(t, { planted, count, postgresUrl }) {
    const client = new pg.Client({ connectionString: postgresUrl });
    client.on('error', () => {});
    await client.connect();
    t.teardown(() => client.end());
    await client.query('CREATE TEMPORARY TABLE notes (id BIGINT)');
    const isAllowed = planted ? allowsAfterTrim : (text: string) => allows(text, 'postgres');
    const before = await settingsOf(client);
    return {
      async check(text) {
        if (!isAllowed(text)) return count('refused');
        await client.query('BEGIN');
        await client.query('SAVEPOINT probe');
        count((await succeeds(client, text)) ? 'executed' : 'not SQL');
        const isOpen = await succeeds(client, 'ROLLBACK TO SAVEPOINT probe');
        if (isOpen) {
          // The effects that outlive a commit are the ones that other calls would see.
          await succeeds(client, text);
          if (!(await succeeds(client, 'RELEASE SAVEPOINT probe')))
            await client.query('ROLLBACK TO SAVEPOINT probe');
          await client.query('COMMIT');
        } else await client.query('ROLLBACK');
        const after = await settingsOf(client);
        await client.query('DEALLOCATE ALL');
        if (after !== before) await client.query('RESET ALL');
        must(isOpen, 'an allowed statement ended the transaction or its savepoint');
        must(after === before, `an allowed statement changed the connection: ${after}`);
      },
    };
  },
};

/** Sends one statement as the library does: by the extended protocol, which takes one statement only. */
async function succeeds(client: pg.Client, text: string): Promise<boolean> {
  const query = { text, queryMode: 'extended' };
  return client.query(query).then(
    () => true,
    () => false,
  );
}

/** The settings of the session that differ from the defaults, and who the session is. */
async function settingsOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query(
    `SELECT current_user, session_user, string_agg(name || '=' || setting, ' ' ORDER BY name) AS changed
     FROM pg_settings WHERE source = 'session'`,
  );
  return JSON.stringify(rows);
}
