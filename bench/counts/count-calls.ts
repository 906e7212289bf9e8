import { Client, credentials } from '@grpc/grpc-js';
import { Calls } from '../load/calls.js';
import { medianOf } from '../report/statistics.js';
import type { ServerSetup } from '../servers/messages.js';
import { type ProcessOptions, ServerProcess } from '../servers/server-process.js';
import type { Work } from '../servers/subject.js';
import type { Created } from './counting.js';
import { countFsyncs } from './fsyncs.js';
import { startCountingProxy, type Traffic } from './postgres-traffic.js';

/** What one call creates and sends, as the median of many calls. */
export interface Counts {
  readonly promises: number;
  readonly timers: number;
  readonly controllers: number;
  readonly errors: number;
  readonly statements: number;
  readonly commits: number;
  /** Messages to Postgres. Undefined on SQLite. */
  readonly messages?: number;
  /** Round trips to Postgres. Undefined on SQLite. */
  readonly roundTrips?: number;
  /** Calls of fsync and fdatasync, as the mean of many calls. Undefined if they were not or could not be counted. */
  readonly fsyncs?: number;
}

/** How many calls are counted. */
export interface CountingOptions extends ProcessOptions {
  /** Calls before the counting starts. Default: 30. */
  readonly warmUpCalls?: number;
  /** Calls that are counted, one after another. Default: 40. */
  readonly countedCalls?: number;
  /** Returns the processes whose fsyncs are counted. Default: fsyncs are not counted. */
  readonly writersOf?: (server: ServerProcess) => number[] | Promise<number[]>;
}

const preload = (name: string) => new URL(`${name}.js`, import.meta.url).href;

/** Counts what the calls of some works create in a server process of its own, one call at a time. */
export async function countCalls(
  setup: ServerSetup,
  works: readonly Work[],
  { warmUpCalls = 30, countedCalls = 40, writersOf, node, preloads = [] }: CountingOptions = {},
): Promise<ReadonlyMap<Work, Counts>> {
  const isSqlite = setup.databaseUrl.startsWith('sqlite:');
  const proxy = isSqlite ? undefined : await startCountingProxy(setup.databaseUrl);
  const server = await ServerProcess.start(proxy ? { ...setup, databaseUrl: proxy.url } : setup, {
    preloads: [...preloads, preload('counting'), ...(isSqlite ? [preload('counting-sqlite')] : [])],
    ...(node && { node }),
  });
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const calls = new Calls();
  const total = async () => totalOf((await server.usage()).created, proxy?.traffic);
  const counts = new Map<Work, Counts>();
  try {
    for (const work of works) {
      const call = async (count: number) => {
        const { call: one } = calls.of(work);
        for (let index = 0; index < count; index++) await one(client, index);
      };
      const idle = async () => {
        if (work.startsWith('PlaceOrder')) await relayed(total);
      };
      await call(warmUpCalls);
      await idle();
      const each: Total[] = [];
      for (let counted = 0; counted < countedCalls; counted++) {
        const before = await total();
        await call(1);
        await idle();
        each.push(difference(await total(), before));
      }
      const fsyncs =
        writersOf &&
        (await countFsyncs(await writersOf(server), async () => {
          await call(countedCalls);
          await idle();
        }));
      counts.set(work, {
        ...mediansOf(each),
        ...(fsyncs !== undefined && { fsyncs: fsyncs / countedCalls }),
      });
    }
  } finally {
    client.close();
    await server.stop();
    proxy?.close();
  }
  return counts;
}

type Total = Record<string, number>;

function totalOf(created: Created | undefined, traffic: Traffic | undefined): Total {
  return { ...created, ...traffic };
}

function difference(after: Total, before: Total): Total {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]),
  );
}

/** The median of each counter. What the server does now and then beside the calls does not change a median. */
function mediansOf(each: readonly Total[]): Counts {
  const names = Object.keys(each[0] ?? {});
  const medians = names.map((name) => [name, medianOf(each.map((counts) => counts[name] ?? 0))]);
  return Object.fromEntries(medians) as unknown as Counts;
}

const CHECK_MS = 20;
const MAX_CHECKS = 100;

/** Resolves when the server executes no more statements: the relay has delivered the events of the calls. */
async function relayed(total: () => Promise<Total>): Promise<void> {
  let last = await total();
  for (let check = 0; check < MAX_CHECKS; check++) {
    await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
    const now = await total();
    if (now.statements === last.statements) return;
    last = now;
  }
}
