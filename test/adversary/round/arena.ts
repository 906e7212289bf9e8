import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPgBouncer } from '../../helpers/databases/pgbouncer.js';
import { type Cluster, type ClusterOptions, startCluster } from '../../helpers/databases/postgres-cluster.js';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { EventCounts } from '../../scenarios/chaos/event-counts.js';
import { Admin } from '../database/admin.js';
import type { Engine } from '../engines.js';
import type { Arena, Fault } from '../faults/fault.js';
import type { Machine } from '../machine.js';
import { ServerSlot } from '../server/server-slot.js';
import type { AdversaryServerSettings } from '../server/settings.js';
import type { CleanUps } from './clean-up.js';

/** The servers and the database of a round. */
export interface RoundPlan {
  readonly engine: Engine;
  readonly fault: Fault;
  readonly machine: Machine;
  readonly random: Random;
  /** The URL of the superuser on a Postgres whose databases the round may create. Not used by faults with their own. */
  readonly postgresUrl?: string;
  /** How long an operation may stay without a result after the last fault, in milliseconds. Default: the lease and 30 s. */
  readonly recoveryMs?: number;
  /** The settings of the servers that differ from those of the fault. */
  readonly servers?: Partial<AdversaryServerSettings>;
}

/** An arena, the URL that reads the tables, and the journals of the servers. */
export interface OpenArena {
  readonly arena: Arena;
  /** Returns the URL of the database without the proxy. It changes with a failover. */
  url(): string;
  readonly journals: readonly string[];
}

/** The lease of every claim, in milliseconds. */
export const LEASE_MS = 1_000;
const SERVERS = 2;

/** Creates a database and starts the servers on it. */
export async function openArena(plan: RoundPlan, cleanUps: CleanUps): Promise<OpenArena> {
  const { engine, fault, random } = plan;
  const folder = await ownFolder(cleanUps);
  const disk = fault.diskMb ? mountDisk(folder, fault.diskMb, cleanUps) : folder;
  const clock = clockOf(plan, folder);
  const file = join(disk, 'adversary.db');
  const cluster = engine === 'postgres' ? await clusterOf(plan, disk, clock.database, cleanUps) : undefined;
  const url = engine === 'sqlite' ? `sqlite:${file}` : await createDatabase(plan, cluster, cleanUps);
  const proxy = fault.viaProxy ? await startProxy(cleanUps, url) : undefined;
  const pooler = fault.viaPooler ? await startPgBouncer(proxy?.url ?? url) : undefined;
  if (pooler) cleanUps.teardown(pooler.stop);
  const admin = new Admin(url);
  cleanUps.teardown(() => admin.close());
  const journals = Array.from({ length: SERVERS }, (_, index) => join(folder, `server-${index}.jsonl`));
  const ports = await freePorts(SERVERS);
  const servers = ports.map((port, index) => {
    const settings: AdversaryServerSettings = {
      ...(pooler && { pooler: 'transaction' as const }),
      ...{ url: pooler?.url ?? proxy?.url ?? url, port, journal: String(journals[index]) },
      ...{ leaseMs: LEASE_MS, waitMs: 500, shortRetentionMs: 3_000, maxConnections: 8, handlerMs: 40 },
      ...fault.servers,
      ...plan.servers,
    };
    return new ServerSlot(settings, clock.servers);
  });
  cleanUps.teardown(async () => {
    for (const server of servers) await server.close();
  });
  await Promise.all(servers.map((server) => server.serving()));
  // A fault reads only the parts that its engine and its options give it.
  const arena = {
    ...{
      engine,
      servers,
      leaseMs: LEASE_MS,
      random,
      events: new EventCounts(),
      admin,
      cluster,
      proxy,
      pooler,
    },
    ...{ file, folder: disk, clockFile: join(folder, 'clock'), url, cleanUps },
  } as Arena;
  return { arena, url: () => arena.url, journals };
}

async function ownFolder(cleanUps: CleanUps): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-adversary-'));
  cleanUps.teardown(() => rm(folder, { recursive: true, force: true }));
  // Postgres runs as another user, and must reach its folder.
  execFileSync('chmod', ['755', folder]);
  return folder;
}

function mountDisk(folder: string, megabytes: number, cleanUps: CleanUps): string {
  const disk = join(folder, 'disk');
  execFileSync('mkdir', [disk]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', disk]);
  cleanUps.teardown(() => {
    execFileSync('umount', ['-l', disk]);
  });
  return disk;
}

/** Returns the environment in which libfaketime reads the clock file, for the processes whose clock the fault moves. */
function clockOf({ fault, machine }: RoundPlan, folder: string) {
  const path = join(folder, 'clock');
  writeFileSync(path, '+0\n', { mode: 0o644 });
  const faked = {
    LD_PRELOAD: machine.faketime ?? '',
    FAKETIME_TIMESTAMP_FILE: path,
    FAKETIME_NO_CACHE: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
  return {
    servers: fault.movesClockOf === 'servers' ? faked : {},
    database: fault.movesClockOf === 'database' ? faked : {},
  };
}

async function clusterOf(
  { fault, machine }: RoundPlan,
  disk: string,
  environment: Readonly<Record<string, string>>,
  cleanUps: CleanUps,
): Promise<Cluster | undefined> {
  const hasOwn = fault.cluster || fault.diskMb || fault.movesClockOf === 'database';
  if (!hasOwn) return undefined;
  const options: ClusterOptions = {
    ...fault.cluster,
    environment,
    ...(fault.diskMb && { parent: disk }),
    ...(fault.needsDebian && machine.debianPostgres && { binaries: machine.debianPostgres }),
  };
  const cluster = await startCluster(options);
  cleanUps.teardown(cluster.stop);
  return cluster;
}

async function createDatabase(
  plan: RoundPlan,
  own: Cluster | undefined,
  cleanUps: CleanUps,
): Promise<string> {
  const server = own?.url ?? plan.postgresUrl;
  if (server === undefined) throw new Error('the round needs a Postgres');
  const name = `adversary_${randomUUID().replaceAll('-', '')}`;
  const admin = new Admin(server);
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.close();
  if (!own) {
    cleanUps.teardown(async () => {
      await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await admin.close();
    });
  }
  return Object.assign(new URL(server), { pathname: name }).href;
}

/**
 * The first port for servers, and their number. They lie below the ports that the system gives to clients: a client that
 * connects again and again to such a port may get it as its own, and keep it from the server.
 */
const FIRST_PORT = 20_000;
const PORTS = 10_000;

/** Returns ports that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
