import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import BetterSqlite3 from 'better-sqlite3';
import pg from 'pg';
import { type DataSource, dataAt, type Engine, freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { createAuthority } from '../helpers/identities/certificates.js';
import {
  AUDIENCE,
  bearer,
  ISSUER,
  type KeyServer,
  keySet,
  newSigningKey,
  serveKeys,
} from '../helpers/identities/tokens.js';
import { type PostgresProxy, startProxy } from '../helpers/proxies/postgres-proxy.js';
import { connectTo } from '../helpers/servers/server.js';
import type { Caller } from './calls.js';
import { BUSINESS, type GuardedValues } from './guarded-values.js';
import type { Sink } from './sinks.js';

/** The database of a shop, and what the database writes besides its tables. */
export interface ShopData extends DataSource {
  readonly folder: string;
  /** The proxy between the shop and Postgres. Undefined on SQLite. */
  readonly proxy: PostgresProxy | undefined;
  /** Changes the schema. */
  alter(statements: string): Promise<void>;
  /** Returns what the database has written besides its tables: the log and the notifications of Postgres. */
  sinks(): Sink[];
}

/** Creates the database of a shop. On Postgres the shop signs in with the secret password, through a proxy. */
export async function shopData(t: Cleanup, engine: Engine, { operator }: GuardedValues): Promise<ShopData> {
  const folder = await freshFolder(t);
  if (engine === 'sqlite') {
    const data = dataAt(t, engine, `sqlite:${join(folder, 'shop.db')}`);
    const alter = async (statements: string) => {
      const connection = new BetterSqlite3(join(folder, 'shop.db'));
      connection.exec(statements).close();
    };
    return { ...data, folder, proxy: undefined, alter, sinks: () => [] };
  }
  const cluster = await startCluster();
  t.teardown(() => cluster.stop());
  const administrator = new pg.Client({ connectionString: cluster.url });
  await administrator.connect();
  const { databasePassword } = operator;
  await administrator.query(`CREATE ROLE shop LOGIN PASSWORD ${pg.escapeLiteral(databasePassword)}`);
  await administrator.query('CREATE DATABASE shop OWNER shop');
  await administrator.end();
  const own = new URL(cluster.url);
  const url = Object.assign(own, { username: 'shop', password: databasePassword, pathname: 'shop' }).href;
  const proxy = await startProxy(t, url);
  const listener = new pg.Client({ connectionString: url });
  await listener.connect();
  const notifications: string[] = [];
  listener.on('notification', ({ payload = '' }) => notifications.push(payload)).on('error', () => {});
  await listener.query('LISTEN replay_guard_outbox');
  t.teardown(() => listener.end());
  const alter = async (statements: string) => void (await listener.query(statements));
  const sinks = () => [
    ...notifications.map((content) => ({ name: 'notification', content })),
    // Postgres quotes the rows that violate a constraint.
    { name: 'log of Postgres', content: cluster.log, allowed: BUSINESS },
  ];
  return { ...dataAt(t, engine, url), folder, proxy, alter, sinks };
}

/** How a shop knows its callers: the settings, and two callers. */
export interface Identity {
  readonly settings: Record<string, string>;
  /** Connects a caller with the secret identity, and another one. */
  connect(address: string): Promise<{ caller: Caller; other: Caller }>;
  /** The token of the secret caller, and the server of the issuer's keys. Undefined with certificates. */
  readonly tokens:
    | { readonly token: string; readonly keys: KeyServer; readonly good: KeyServer['answer'] }
    | undefined;
}

/** Callers with tokens. The issuer serves its keys at a secret URL. */
export async function tokenIdentity(t: Cleanup, { operator, caller }: GuardedValues): Promise<Identity> {
  const key = await newSigningKey('k1');
  const good = keySet(key);
  const keys = await serveKeys(t, good);
  const { authorization } = await bearer(key, { sub: caller.identity, email: caller.claim });
  return {
    settings: {
      CALLER_IDENTITY: 'jwt',
      JWT_JWKS: `${keys.url}?key=${operator.jwksQuery}`,
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: AUDIENCE,
    },
    async connect(address) {
      const options = {
        'grpc.primary_user_agent': caller.userAgent,
        'grpc.default_authority': caller.authority,
      };
      return {
        caller: { connection: connectTo(t, address, undefined, options), metadata: { authorization } },
        other: { connection: connectTo(t, address), metadata: await bearer(key, { sub: 'other' }) },
      };
    },
    tokens: { token: authorization.slice('Bearer '.length), keys, good },
  };
}

/** Callers with certificates. */
export async function certificateIdentity(
  t: Cleanup,
  { caller }: GuardedValues,
  folder: string,
): Promise<Identity> {
  const authority = await createAuthority(folder, 'authority');
  const server = await authority.issue('server', 'localhost');
  const own = await authority.issue(caller.commonName, `${caller.identity}.example`);
  const others = await authority.issue('other', 'other.example');
  return {
    settings: {
      CALLER_IDENTITY: 'mtls',
      TLS_CERT: server.certPath,
      TLS_KEY: server.keyPath,
      TLS_CLIENT_CA: authority.certPath,
    },
    async connect(address) {
      const byName = address.replace('127.0.0.1', 'localhost');
      const [caller, other] = [own, others].map(({ key, cert }) => {
        const connection = connectTo(t, byName, credentials.createSsl(authority.cert, key, cert));
        return { connection, metadata: {} };
      }) as [Caller, Caller];
      return { caller, other };
    },
    tokens: undefined,
  };
}
