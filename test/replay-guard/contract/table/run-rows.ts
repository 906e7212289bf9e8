import type { ExecutionContext, TestFn } from 'ava';
import { captureUnhandledErrors } from '../../../helpers/servers/unhandled-errors.js';
import { poll } from '../../../helpers/waiting/poll.js';
import { EngineServers, type PolicySource, type Servers } from './engine-servers.js';
import { writes } from './handlers.js';
import { Scrape } from './metrics-scrape.js';
import type { Row } from './row.js';
import { RowRun } from './row-run.js';
import { allStores, type Method, type Setup, type StoreName } from './setup.js';

const defaultSetup: Setup = {};

/**
 * Declares a test for every row on every store, for each of its methods and each source of its policy.
 * @param tables the rows by their subject, which becomes a part of the test titles
 */
export function runRows(test: TestFn, tables: Readonly<Record<string, readonly Row[]>>): void {
  const unhandledErrors = captureUnhandledErrors(test);
  const teardowns: (() => void | Promise<void>)[] = [];
  const cleanup = { teardown: (end: () => void | Promise<void>) => void teardowns.push(end) };
  test.after.always(async () => {
    for (const teardown of teardowns.reverse()) await teardown();
  });
  const engines = new Map<StoreName, Promise<EngineServers>>();
  const engineOf = (storeName: StoreName) => {
    const engine = engines.get(storeName) ?? EngineServers.open(cleanup, storeName);
    engines.set(storeName, engine);
    return engine;
  };
  for (const storeName of allStores) {
    for (const [subject, rows] of Object.entries(tables)) {
      for (const row of rows.filter(({ stores }) => !stores || stores.includes(storeName))) {
        for (const [variant, method, source] of variantsOf(row)) {
          const run = async (t: ExecutionContext) => {
            await runRow(t, await engineOf(storeName), row, method, source);
            t.deepEqual(unhandledErrors.takeUnhandled(), [], 'no error would end a server process');
          };
          test.serial(`${storeName}: ${subject}: ${row.title}${variant}`, run);
        }
      }
    }
  }
}

function variantsOf({ methods = ['Append'], setup }: Row): (readonly [string, Method, PolicySource])[] {
  const sources = policySourcesOf(setup);
  return methods.flatMap((method) =>
    sources.map((source) => {
      const parts = [
        ...(methods.length > 1 ? [`method ${method}`] : []),
        ...(sources.length > 1 ? [`policy ${source}`] : []),
      ];
      return [parts.length > 0 ? ` (${parts.join(', ')})` : '', method, source] as const;
    }),
  );
}

function policySourcesOf(setup: Setup = defaultSetup): readonly PolicySource[] {
  if (setup.declared === undefined) return ['in code'];
  return setup.policy ? ['in code', 'in .proto'] : ['in .proto'];
}

async function runRow(
  t: ExecutionContext,
  engine: EngineServers,
  row: Row,
  method: Method,
  source: PolicySource,
) {
  const servers = await engine.servers(row.setup ?? defaultSetup, source);
  const run = new RowRun(t, engine, servers, row.handler ?? writes, method);
  await prepare(engine, servers, run);
  try {
    for (const step of row.steps) await step(run);
  } finally {
    run.openGates();
  }
  await assertCounted(t, servers, row, run);
  t.is(run.executions, row.final.executions, 'executions');
  await run.statesBecome(row.final.records);
  if (engine.storeName !== 'memory') t.is(await run.effects(), row.final.effects, 'effects');
}

/** Resets the clock, the faults and the modes that an earlier row may have changed, even if that row failed. */
async function prepare(engine: EngineServers, servers: Servers, run: RowRun): Promise<void> {
  engine.clock.now = Date.now();
  engine.currentRun = run;
  servers.store.works();
  servers.first.guard.setModes({});
  servers.scrapeBefore = new Scrape(await servers.metrics.metrics());
}

/** Asserts the counts of the row. The server counts a call after it has sent the reply, so the test must wait. */
async function assertCounted(t: ExecutionContext, servers: Servers, row: Row, run: RowRun) {
  const sumOf = (counts: object) => Object.values(counts).reduce((sum, count) => sum + count, 0);
  const before = servers.scrapeBefore;
  let scrape = new Scrape('');
  await poll('the calls are counted', async () => {
    scrape = new Scrape(await servers.metrics.metrics());
    return sumOf(scrape.since(before)) >= sumOf(row.counts);
  });
  t.deepEqual(scrape.since(before), row.counts);
  t.deepEqual(scrape.since(before, 'refusals_total', 'reason'), run.refusals);
  scrape.assertSound(t, [run.key, run.caller, run.account]);
}
