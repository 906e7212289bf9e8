import type { ExecutionContext } from 'ava';
import type { Delivery, FaultyNetwork } from './faulty-network.js';
import type { OrderClients, WantedOrder } from './order-clients.js';

/** CANCELLED, DEADLINE_EXCEEDED and UNAVAILABLE: a retry of a completed operation may get these instead of a replay. */
const TRANSIENT = new Set([1, 4, 14]);

/**
 * Asserts the invariants of replies. Every order has a reply, and no order is refused. All replies of a key have the
 * same bytes. At most one of them is not a replay. After the first reply of a key, no call with this key executes.
 */
export function checkReplies(
  t: ExecutionContext,
  { wantedOrders, history }: OrderClients,
  network: FaultyNetwork,
): void {
  const refused = history.filter(({ type }) => type === 'refused');
  t.deepEqual(refused, [], 'no order was refused');
  const events = grouped(history, ({ wantedOrder }) => wantedOrder.intent.key);
  const deliveries = grouped(network.deliveries, ({ key }) => key);
  for (const wantedOrder of wantedOrders) {
    const { key } = wantedOrder.intent;
    const received = (events.get(key) ?? []).flatMap((event) => (event.type === 'ok' ? [event] : []));
    const [first] = received;
    if (!first) {
      t.fail(`${wantedOrder.customerId}: no reply`);
      continue;
    }
    const delivered = deliveries.get(key) ?? [];
    checkBytes(t, wantedOrder, first.bytes, [...received.map(({ bytes }) => bytes), ...messages(delivered)]);
    checkExecutions(t, wantedOrder, delivered);
    t.true(received.at(-1)?.replayed, `${wantedOrder.customerId}: the final call replays`);
  }
}

function checkBytes(
  t: ExecutionContext,
  { customerId }: WantedOrder,
  first: Buffer,
  all: readonly Buffer[],
): void {
  if (all.some((bytes) => !bytes.equals(first))) t.fail(`${customerId}: two different replies`);
}

function checkExecutions(
  t: ExecutionContext,
  { customerId }: WantedOrder,
  deliveries: readonly Delivery[],
): void {
  const successes = deliveries.flatMap(({ answer }) => (answer?.code === 0 ? [answer] : []));
  const executed = successes.filter(({ replayed }) => !replayed);
  if (executed.length > 1) t.fail(`${customerId}: executed ${executed.length} times`);
  const firstAt = Math.min(...successes.map(({ at }) => at));
  const later = deliveries.filter(({ began }) => began > firstAt);
  const wrong = later.filter(({ answer }) => answer && !answer.replayed && !TRANSIENT.has(answer.code));
  if (wrong.length > 0) t.fail(`${customerId}: no replay after the first reply`);
}

/** Returns the reply messages without their gRPC frame header of five bytes. */
function messages(deliveries: readonly Delivery[]): Buffer[] {
  return deliveries.flatMap(({ answer }) => (answer?.code === 0 ? [answer.message.subarray(5)] : []));
}

function grouped<T>(all: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of all) {
    const group = groups.get(keyOf(item)) ?? [];
    groups.set(keyOf(item), group);
    group.push(item);
  }
  return groups;
}
