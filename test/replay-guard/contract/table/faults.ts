import { type CallInput, operationIdOf, recordAddressOf, recordKey } from './call-input.js';
import type { Step } from './row.js';
import type { RowRun } from './row-run.js';

/** The store becomes unreachable. */
export const storeDown: Step = async ({ servers }) => {
  servers.store.isDown = true;
};

/** The store commits, but the result of the commit is lost. */
export const commitRepliesLost: Step = async ({ servers }) => {
  servers.store.losesCommits = true;
};

/** The store commits, the result is lost, and look-ups do not find the record yet. */
export const commitsInDoubt: Step = async ({ servers }) => {
  servers.store.losesCommits = true;
  servers.store.hidesRecords = true;
};

/** All faults of the store end. */
export const storeUp: Step = async ({ servers }) => servers.store.works();

/** Returns a damaged copy of a stored reply. */
export type Damage = (reply: Buffer) => Buffer;

/** Flips one bit near the end. */
export const bitFlipped: Damage = (reply) => {
  const damaged = Buffer.from(reply);
  damaged.writeUInt8(damaged.readUInt8(damaged.length - 5) ^ 1, damaged.length - 5);
  return damaged;
};
/** Sets the version byte to an unknown version. */
export const ofNewerVersion: Damage = (reply) => Buffer.concat([Buffer.of(2), reply.subarray(1)]);
/** Removes the last byte. */
export const cutShort: Damage = (reply) => reply.subarray(0, -1);
/** Removes all bytes. */
export const emptied: Damage = () => Buffer.alloc(0);

/** Damages the stored reply of the row's key. In the memory store the length cannot change. */
export const damageReply =
  (damage: Damage): Step =>
  async (run) => {
    const reply = await replyOf(run, {});
    await setReply(run, {}, damage(Buffer.from(reply)));
  };

/** Exchanges the stored replies of two records. */
export const swapReplies =
  (one: CallInput, other: CallInput): Step =>
  async (run) => {
    const [first, second] = [Buffer.from(await replyOf(run, one)), await replyOf(run, other)];
    await setReply(run, one, second);
    await setReply(run, other, first);
  };

/** Erases the scope of the row's caller. @param count the expected number of erased records */
export const eraseScope =
  (count: number): Step =>
  async ({ t, servers, caller }) => {
    t.is((await servers.first.guard.eraseScope(caller)).erased, count);
  };

/** Damages the stored window of the row's series. In the memory store the length cannot change. */
export const damageWindow =
  (damage: Damage): Step =>
  async (run) => {
    const series = await run.servers.first.store.findProducer(recordAddressOf(ofSeries, run));
    if (!series) throw new Error('no series is stored');
    const update = 'UPDATE replay_guard_producers SET replies = $1 WHERE id = $2';
    const params = [
      damage(Buffer.from(series.replies)),
      recordKey(recordAddressOf(ofSeries, run).id),
    ] as const;
    if (run.engine.storeName === 'memory') params[0].copy(series.replies);
    else await run.servers.first.database.query(update, params);
  };

const ofSeries: CallInput = { sequence: { sequence: 0 } };

async function replyOf(run: RowRun, sent: CallInput): Promise<Buffer> {
  const found = await run.find(sent);
  if (!found || !('outcome' in found) || found.outcome !== 'completed') throw new Error('no reply is stored');
  return found.reply;
}

async function setReply(run: RowRun, sent: CallInput, reply: Buffer): Promise<void> {
  const update = 'UPDATE replay_guard_records SET reply = $1 WHERE id = $2';
  if (run.engine.storeName === 'memory') (await replyOf(run, sent)).set(reply);
  else await run.servers.first.database.query(update, [reply, recordKey(operationIdOf(sent, run))]);
}
