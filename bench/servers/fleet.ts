import { spawnSync } from 'node:child_process';
import type { Databases } from './databases.js';
import type { ServerSetup } from './messages.js';
import { startRedis } from './redis.js';
import { type ProcessOptions, ServerProcess } from './server-process.js';
import { nameOf, type Subject, subjects } from './subject.js';

/** A server that runs, and how it was set up. */
export interface Member {
  readonly subject: Subject;
  readonly server: ServerProcess;
}

/** A server that cannot run on this machine. */
export interface NotRun {
  readonly name: string;
  readonly reason: string;
}

/** The Node binary that the servers run in. */
export interface NodeBinary {
  readonly path: string;
  readonly version: string;
  readonly options: ProcessOptions;
  /** Why SQLite cannot be used in this Node, if so. */
  readonly noSqlite?: string;
}

/** All servers of the benchmark, each in a process of its own. */
export interface Fleet {
  readonly members: readonly Member[];
  readonly notRun: readonly NotRun[];
  stop(): Promise<void>;
}

/**
 * Examines a Node binary.
 * @param betterSqlite3 the folder of a better-sqlite3 for this binary; default: the project's own
 * @throws Error when the binary does not run
 */
export function nodeAt(path: string, betterSqlite3?: string): NodeBinary {
  const { stdout, error } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  if (error) throw new Error(`${path} does not run: ${error.message}`);
  const version = stdout.trim();
  if (betterSqlite3) process.env.BENCH_BETTER_SQLITE3 = betterSqlite3;
  const script = `new (require(${JSON.stringify(betterSqlite3 ?? 'better-sqlite3')}))(':memory:')`;
  const loads = spawnSync(path, ['-e', script], { stdio: 'ignore' }).status === 0;
  const preload = new URL('other-sqlite.js', import.meta.url).href;
  return {
    path,
    version,
    options: { node: path, ...(betterSqlite3 && { preloads: [preload] }) },
    ...(!loads && { noSqlite: `better-sqlite3 does not load in Node ${version}` }),
  };
}

/** Starts every server that can run on this machine, each on a database of its own. */
export async function startFleet(databases: Databases, node: NodeBinary): Promise<Fleet> {
  const redis = await startRedis();
  const members: Member[] = [];
  const notRun: NotRun[] = [];
  const stop = async () => {
    await Promise.all(members.map(({ server }) => server.stop()));
    await redis?.stop();
  };
  try {
    const start = async (subject: Subject) => {
      const setup: ServerSetup = {
        kind: subject.kind,
        databaseUrl: await databases.create(subject.engine),
        ...(redis && { redisUrl: redis.url }),
      };
      members.push({ subject, server: await ServerProcess.start(setup, node.options) });
    };
    const reasons = subjects.map((subject) => obstacle(subject, node, redis !== undefined));
    subjects.forEach((subject, index) => {
      const reason = reasons[index];
      if (reason) notRun.push({ name: nameOf(subject), reason });
    });
    await Promise.all(subjects.filter((_, index) => !reasons[index]).map(start));
    members.sort((a, b) => subjects.indexOf(a.subject) - subjects.indexOf(b.subject));
  } catch (error) {
    await stop();
    throw error;
  }
  return { members, notRun, stop };
}

function obstacle(
  { engine, kind }: Subject,
  { noSqlite }: NodeBinary,
  hasRedis: boolean,
): string | undefined {
  if (kind === 'nodeIdempotency' && !hasRedis) return 'no redis-server';
  return engine === 'sqlite' ? noSqlite : undefined;
}
