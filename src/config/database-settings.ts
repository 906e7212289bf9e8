import { readHosts } from 'grpc-replay-guard/postgres';
import { z } from 'zod';
import { refuse } from './settings.js';

/** The location of the database: a SQLite file or a Postgres server. */
export type DatabaseLocation =
  | { readonly engine: 'sqlite'; readonly path: string }
  | {
      readonly engine: 'postgres';
      readonly connectionString: string;
      /** Set if the connections lead through a pooler in transaction mode. */
      readonly pooler?: 'transaction' | undefined;
      /** The connection string for LISTEN. Undefined if events of other servers are found by polling only. */
      readonly listenString: string | undefined;
    };

type Url =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgres'; readonly connectionString: string };

const notEncoded = 'the password must be percent-encoded: %2F for /, %3F for ?, %23 for #, %25 for %';

/** `sqlite:PATH` or `postgres://...`. Error messages omit the value because it may contain a password. */
const databaseUrl = z.string().transform((text, context): Url => {
  if (/^postgres(ql)?:\/\//.test(text)) {
    const reason = hasEncodedPassword(text) ? refusalOf(text) : notEncoded;
    return reason === undefined ? { engine: 'postgres', connectionString: text } : refuse(context, reason);
  }
  const path = /^sqlite:(?!:memory:)(.+)$/.exec(text)?.[1];
  if (path) return { engine: 'sqlite', path };
  return refuse(
    context,
    'must be sqlite:PATH with the path of a file, or postgres://USER:PASSWORD@HOST/DATABASE',
  );
});

/**
 * Returns whether the password of a URL is percent-encoded. A password with a slash, a question mark or a hash ends early,
 * and its rest becomes the path. Its text would then be sent to another host, or be logged as the name of the database.
 */
function hasEncodedPassword(url: string): boolean {
  const [, user = '', rest = ''] = /^\w+:\/\/([^/?#]*@)?([\s\S]*)$/.exec(url) ?? [];
  if (rest.includes('@')) return false;
  try {
    decodeURIComponent(user);
    return true;
  } catch {
    return false;
  }
}

/** Returns why the hosts or the parameters of a connection string cannot be used. */
function refusalOf(connectionString: string): string | undefined {
  try {
    const { urls } = readHosts(connectionString);
    return urls.every((url) => URL.canParse(url)) ? undefined : 'a host has a wrong form';
  } catch (error) {
    return (error as Error).message;
  }
}

/** The settings of the database. */
export const databaseSettings = {
  DATABASE_URL: databaseUrl.prefault('sqlite:data/shop.db'),
  DATABASE_POOLER: z.enum(['none', 'transaction'], { error: 'must be none or transaction' }).prefault('none'),
  DATABASE_LISTEN_URL: databaseUrl.optional(),
};

type DatabaseSettings = z.output<z.ZodObject<typeof databaseSettings>>;

/** Yields each setting of the database that does not suit DATABASE_URL, with the reason. */
export function* databaseConflicts(s: DatabaseSettings): Generator<[keyof DatabaseSettings, string]> {
  if (s.DATABASE_LISTEN_URL?.engine === 'sqlite') yield ['DATABASE_LISTEN_URL', 'must be postgres://...'];
  if (s.DATABASE_URL.engine === 'postgres') return;
  if (s.DATABASE_POOLER !== 'none')
    yield ['DATABASE_POOLER', 'allowed only when DATABASE_URL is postgres://...'];
  if (s.DATABASE_LISTEN_URL)
    yield ['DATABASE_LISTEN_URL', 'allowed only when DATABASE_URL is postgres://...'];
}

/** Makes the location of the database from settings that have no conflicts. */
export function toDatabaseLocation(s: DatabaseSettings): DatabaseLocation {
  const { DATABASE_URL: url, DATABASE_LISTEN_URL: direct, DATABASE_POOLER: pooler } = s;
  if (url.engine === 'sqlite') return url;
  const isPooled = pooler === 'transaction';
  // LISTEN needs a session of its own, which such a pooler does not give.
  const own = isPooled ? undefined : url.connectionString;
  return {
    ...url,
    ...(isPooled && { pooler }),
    listenString: direct?.engine === 'postgres' ? direct.connectionString : own,
  };
}
