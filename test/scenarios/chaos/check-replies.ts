import type { ExecutionContext } from 'ava';
import type { BadLine, Delivery } from './faulty-network.js';
import type { Buyers, Wish } from './order-clients.js';

/** What a repeat of a finished operation may be answered besides its reply: the call was over, or has to be made again. */
const TRANSIENT = new Set([1, 4, 14]);

/**
 * What clients and the line between saw, judged by the invariants of replies: every order is known in the end, all
 * replies of a key are the same bytes, one of them at most is not a replay, and after the first no call executes.
 */
export function checkHistory(t: ExecutionContext, { wishes, history }: Buyers, line: BadLine): void {
  const refused = history.filter(({ what }) => what === 'refused');
  t.deepEqual(refused, [], 'no order was refused');
  const deeds = grouped(history, ({ wish }) => wish.intent.key);
  const deliveries = grouped(line.deliveries, ({ key }) => key);
  for (const wish of wishes) {
    const { key } = wish.intent;
    const seen = (deeds.get(key) ?? []).flatMap((deed) => (deed.what === 'ok' ? [deed] : []));
    const [first] = seen;
    if (!first) {
      t.fail(`${wish.customerId}: no reply ever came`);
      continue;
    }
    const passed = deliveries.get(key) ?? [];
    checkReplies(t, wish, first.bytes, [...seen.map(({ bytes }) => bytes), ...messages(passed)]);
    checkExecutions(t, wish, passed);
    t.true(seen.at(-1)?.replayed, `${wish.customerId}: asked again, the server repeats itself`);
  }
}

function checkReplies(
  t: ExecutionContext,
  { customerId }: Wish,
  first: Buffer,
  all: readonly Buffer[],
): void {
  if (all.some((bytes) => !bytes.equals(first))) t.fail(`${customerId}: two different replies`);
}

function checkExecutions(t: ExecutionContext, { customerId }: Wish, deliveries: readonly Delivery[]): void {
  const successes = deliveries.flatMap(({ answer }) => (answer?.code === 0 ? [answer] : []));
  const executed = successes.filter(({ replayed }) => !replayed);
  if (executed.length > 1) t.fail(`${customerId}: executed ${executed.length} times`);
  const firstAt = Math.min(...successes.map(({ at }) => at));
  const later = deliveries.filter(({ began }) => began > firstAt);
  const wrong = later.filter(({ answer }) => answer && !answer.replayed && !TRANSIENT.has(answer.code));
  if (wrong.length > 0) t.fail(`${customerId}: no replay after the first reply`);
}

/** Without the five bytes that stand before a message on the wire. */
function messages(deliveries: readonly Delivery[]): Buffer[] {
  return deliveries.flatMap(({ answer }) => (answer?.code === 0 ? [answer.message.subarray(5)] : []));
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one)) ?? [];
    groups.set(keyOf(one), group);
    group.push(one);
  }
  return groups;
}
