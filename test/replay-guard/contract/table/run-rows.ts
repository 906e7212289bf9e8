import type { ExecutionContext, TestFn } from 'ava';
import { captureUnhandledErrors } from '../../../helpers/servers/unhandled-errors.js';
import { poll } from '../../../helpers/waiting/poll.js';
import { type Given, type Servers, Site } from './engine-servers.js';
import { writes } from './handlers.js';
import { Scrape } from './metrics-scrape.js';
import { everywhere, type Method, type Place, type Row, type Setup } from './row.js';
import { Stage } from './row-run.js';

const plain: Setup = {};

/**
 * Declares a test for every row at every place, for each of its methods and ways to give its policy.
 * @param tables rows by what they are about
 */
export function play(test: TestFn, tables: Readonly<Record<string, readonly Row[]>>): void {
  const guardOnly = captureUnhandledErrors(test);
  const ends: (() => void | Promise<void>)[] = [];
  const cleanup = { teardown: (end: () => void | Promise<void>) => void ends.push(end) };
  test.after.always(async () => {
    for (const end of ends.reverse()) await end();
  });
  const sites = new Map<Place, Promise<Site>>();
  const siteAt = (place: Place) => {
    const site = sites.get(place) ?? Site.open(cleanup, place);
    sites.set(place, site);
    return site;
  };
  for (const place of everywhere) {
    for (const [about, rows] of Object.entries(tables)) {
      for (const row of rows.filter(({ places }) => !places || places.includes(place))) {
        for (const [title, method, given] of variantsOf(row)) {
          const play = async (t: ExecutionContext) => {
            await playRow(t, await siteAt(place), row, method, given);
            t.deepEqual(guardOnly.takeUnhandled(), [], 'a server of its own would still be up');
          };
          test.serial(`${place}: ${about}: ${row.line}${title}`, play);
        }
      }
    }
  }
}

function variantsOf({ methods = ['Append'], setup }: Row): (readonly [string, Method, Given])[] {
  const ways = waysToGive(setup);
  return methods.flatMap((method) => {
    const title = methods.length > 1 ? ` (${method})` : '';
    return ways.map((given) => [ways.length > 1 ? `${title} ${given}` : title, method, given] as const);
  });
}

function waysToGive(setup: Setup = plain): readonly Given[] {
  if (setup.declared === undefined) return ['in code'];
  return setup.policy ? ['in code', 'in .proto'] : ['in .proto'];
}

async function playRow(t: ExecutionContext, site: Site, row: Row, method: Method, given: Given) {
  const servers = await site.servers(row.setup ?? plain, given);
  const stage = new Stage(t, site, servers, { handler: writes, ...row }, method);
  await setOut(site, servers, stage);
  try {
    for (const step of row.steps) await step(stage);
  } finally {
    stage.openGates();
  }
  await assertCounted(t, servers, row, [stage.key, stage.caller, stage.account]);
  t.is(stage.executions, row.leaves.executions, 'executions');
  await stage.settles(row.leaves.records);
  if (site.place !== 'memory') t.is(await stage.effects(), row.leaves.effects, 'effects');
}

/** Whatever the row before has left, also one that failed. */
async function setOut(site: Site, servers: Servers, stage: Stage): Promise<void> {
  site.clock.now = Date.now();
  site.playing = stage;
  servers.store.works();
  servers.first.guard.setModes({});
  servers.scraped = new Scrape(await servers.metrics.metrics());
}

/** A call is counted when its answer is on its way already, so its client may be here first. */
async function assertCounted(t: ExecutionContext, servers: Servers, row: Row, secrets: readonly string[]) {
  const sumOf = (counts: object) => Object.values(counts).reduce((sum, count) => sum + count, 0);
  const before = servers.scraped;
  let scrape = new Scrape('');
  await poll('the calls are counted', async () => {
    scrape = new Scrape(await servers.metrics.metrics());
    return sumOf(scrape.since(before)) >= sumOf(row.counts);
  });
  t.deepEqual(scrape.since(before), row.counts);
  scrape.assertSound(t, secrets);
}
