import Sqlite from 'better-sqlite3';
import pg from 'pg';
import { operationIdentifier } from '#library/replay-guard/operation/operation-id.js';
import { storedAddress } from '#library/store/sql/address.js';
import type { Effect, LoadMethod, LoadOperation, Tables } from '../judge/history.js';

/** How long after its expiry a record may still be there, in milliseconds: the pruner runs twice a second. */
const PRUNER_MS = 5_000;

const paths: Readonly<Record<LoadMethod, string>> = {
  append: '/test.v1.LedgerService/Append',
  transfer: '/test.v1.LedgerService/Transfer',
  close: '/test.v1.LedgerService/Close',
};
const identify = operationIdentifier();

/** Returns the address of an operation's record as it is stored: the digest of the scope, and the id in hexadecimal. */
function addressOf({ scope, method, name }: LoadOperation): string {
  const guardName =
    'key' in name
      ? { key: name.key }
      : { producer: name.producer, epoch: 0n, sequence: BigInt(name.sequence) };
  const { id, series } = identify(scope, paths[method], guardName).current;
  const [digest, stored] = storedAddress({ scope, id: series?.id ?? id });
  return `${digest} ${stored.toString('hex')}`;
}

type Select = (text: string) => Promise<Record<string, unknown>[]>;

/** Reads what the database holds after a round, with a connection of its own. */
export async function readTables(url: string): Promise<Tables> {
  if (url.startsWith('sqlite:')) {
    const file = new Sqlite(url.slice('sqlite:'.length), { readonly: true, timeout: 5_000 });
    try {
      const select: Select = async (text) => file.prepare(text).all() as Record<string, unknown>[];
      return await read(select, 'lower(hex(id))', "CAST(unixepoch('subsec') * 1000 AS INTEGER)");
    } finally {
      file.close();
    }
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const select: Select = async (text) => (await client.query(text)).rows;
    return await read(
      select,
      "replace(id::text, '-', '')",
      '(extract(epoch from clock_timestamp()) * 1000)::bigint',
    );
  } finally {
    await client.end();
  }
}

async function read(select: Select, id: string, now: string): Promise<Tables> {
  const address = `CAST(scope AS TEXT) || ' ' || ${id} AS address`;
  // The window of a series is a record of its last results, also while the next one runs.
  const records = await select(
    `SELECT ${address} FROM replay_guard_records WHERE state >= 1 UNION ALL SELECT ${address} FROM replay_guard_producers`,
  );
  const addresses = new Set(records.map(({ address }) => address));
  const [clock] = await select(`SELECT ${now} AS now`);
  const leftovers = await select(
    `SELECT count(*) AS n FROM replay_guard_records WHERE expires_at < ${now} - ${PRUNER_MS}`,
  );
  const effects = await select(
    'SELECT execution, attempt, caller AS scope, method, account, item FROM effects',
  );
  const stock = await select('SELECT item, on_hand, reserved FROM stock');
  const events = await select('SELECT aggregate FROM replay_guard_outbox');
  return {
    effects: effects as unknown as Effect[],
    stock: stock.map(({ item, on_hand, reserved }) => ({
      item: String(item),
      onHand: Number(on_hand),
      reserved: Number(reserved),
    })),
    events: events.map(({ aggregate }) => String(aggregate)),
    retains: (operation) => addresses.has(addressOf(operation)),
    nowMs: Number(clock?.now),
    leftovers: Number(leftovers[0]?.n),
  };
}
