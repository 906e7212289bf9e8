import test from 'ava';
import { type Counts, countCalls } from '../../bench/counts/count-calls.js';
import { countTransaction } from '../../bench/counts/count-transaction.js';
import { type Kind, nameOf, type Work } from '../../bench/servers/subject.js';
import { type Engine, freshData } from '../helpers/databases/engines.js';

type Bounds = Partial<Counts>;

/**
 * What one call may create and send at most: the counts of the day when the row was written. Lower a bound when the code
 * gets better. gRPC itself makes 4 promises for each call. PlaceOrder includes the relay, and its parts run at the same
 * time, so its counts vary by about one in a hundred and its bounds allow for that.
 */
const bounds: readonly [Engine, Kind, Partial<Record<Work, Bounds>>][] = [
  [
    'sqlite',
    'guarded',
    {
      'ReceiveStock, new key': bound(21, 1, 0, 0, { statements: 6, commits: 1 }),
      'ReceiveStock, hot replay': bound(4, 0, 0, 0, { statements: 1, commits: 0 }),
      'PlaceOrder, new key': bound(272, 12, 2, 3, { statements: 45, commits: 8 }),
    },
  ],
  [
    'sqlite',
    'unguardedAlone',
    { 'ReceiveStock, new key': bound(11, 1, 0, 0, { statements: 3, commits: 1 }) },
  ],
  [
    'postgres',
    'guarded',
    {
      // BEGIN, COMMIT and SET are prepared, so each is two messages: Bind and Execute. The pool makes two timers. On a
      // busy machine the timers that deadlines share add some.
      'ReceiveStock, new key': bound(30, 6, 0, 0, { statements: 7, commits: 1, messages: 17, roundTrips: 3 }),
      'ReceiveStock, hot replay': bound(12, 4, 0, 0, {
        ...{ statements: 5, commits: 0, messages: 12, roundTrips: 2 },
      }),
      'PlaceOrder, new key': bound(330, 45, 2, 3, {
        ...{ statements: 44, commits: 9, messages: 114, roundTrips: 26 },
      }),
    },
  ],
];

/** Enough for a median that work beside the calls does not change. */
const CALLS = 21;

for (const [engine, kind, boundsOfWorks] of bounds) {
  test(`${nameOf({ engine, kind })}: a call creates and sends no more than its bounds`, async (t) => {
    const { url } = await freshData(t, engine);
    const works = Object.keys(boundsOfWorks) as Work[];
    const counted = await countCalls({ kind, databaseUrl: url }, works, { countedCalls: CALLS });
    for (const work of works) t.deepEqual(excess(counted.get(work), boundsOfWorks[work]), {}, work);
  });
}

test('sqlite: an unguarded transaction of one statement makes no more promises than its bound', async (t) => {
  const promises = await countTransaction((await freshData(t, 'sqlite')).url);
  t.true(promises <= 7, `${promises} promises`);
});

function bound(
  promises: number,
  timers: number,
  controllers: number,
  errors: number,
  others: Bounds,
): Bounds {
  return { promises, timers, controllers, errors, ...others };
}

/** The counters that are above their bounds, each with its count and its bound. */
function excess(counts: Counts | undefined, atMost: Bounds = {}): Record<string, string> {
  const names = Object.keys(atMost) as (keyof Counts)[];
  const above = names.filter((name) => !((counts?.[name] ?? Number.NaN) <= (atMost[name] ?? 0)));
  return Object.fromEntries(above.map((name) => [name, `${counts?.[name]} > ${atMost[name]}`]));
}
