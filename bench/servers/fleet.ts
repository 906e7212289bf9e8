import type { Databases } from './databases.js';
import type { ServerSetup } from './messages.js';
import type { NodeBinary } from './node-binary.js';
import { startRedis } from './redis.js';
import { ServerProcess } from './server-process.js';
import { nameOf, type Subject } from './subject.js';

/** A server that runs, and how it was set up. */
export interface Member {
  readonly subject: Subject;
  /** The version of the server's Node. */
  readonly node: string;
  /** The processes of the server, all on one database. */
  readonly servers: readonly ServerProcess[];
}

/** Something that cannot run on this machine. */
export interface NotRun {
  readonly name: string;
  readonly reason: string;
}

/** Some servers of the benchmark. Each has its own processes and its own database. */
export interface Fleet {
  readonly members: readonly Member[];
  readonly notRun: readonly NotRun[];
  stop(): Promise<void>;
}

/** A server to be started. */
export interface Wanted {
  readonly subject: Subject;
  readonly node: NodeBinary;
  /** The number of processes. Default: 1. */
  readonly processes?: number;
}

/** Starts every wanted server that can run on this machine. */
export async function startFleet(databases: Databases, wanted: readonly Wanted[]): Promise<Fleet> {
  const redis = wanted.some(({ subject }) => needsRedis(subject)) ? await startRedis() : undefined;
  const members: Member[] = [];
  const notRun: NotRun[] = [];
  const stop = async () => {
    const servers = members.flatMap((member) => member.servers);
    await Promise.all([...servers.map((server) => server.stop()), redis?.stop()]);
  };
  try {
    for (const { subject, node, processes = 1 } of wanted) {
      const reason = obstacle(subject, node, redis !== undefined);
      if (reason) {
        notRun.push({ name: nameOf(subject), reason });
        continue;
      }
      const setup: ServerSetup = {
        kind: subject.kind,
        databaseUrl: await databases.create(subject.engine),
        ...(redis && { redisUrl: redis.url }),
      };
      const servers: ServerProcess[] = [];
      members.push({ subject, node: node.version, servers });
      while (servers.length < processes) servers.push(await ServerProcess.start(setup, node.options));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { members, notRun, stop };
}

function needsRedis({ kind }: Subject): boolean {
  return kind === 'nodeIdempotency';
}

function obstacle(subject: Subject, { noSqlite }: NodeBinary, hasRedis: boolean): string | undefined {
  if (needsRedis(subject) && !hasRedis) return 'no redis-server';
  return subject.engine === 'sqlite' ? noSqlite : undefined;
}
