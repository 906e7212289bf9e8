import type { Step } from './row.js';
import { recordKey, type Sent, type Stage } from './row-run.js';

/** Nothing reaches the store. */
export const storeGoes: Step = async ({ servers }) => {
  servers.store.isDown = true;
};

/** Commits reach the store, and their answers are lost. */
export const answersGetLost: Step = async ({ servers }) => {
  servers.store.losesCommits = true;
};

/** Commits reach the store, their answers are lost, and so far nobody can see what they did. */
export const commitsAreInDoubt: Step = async ({ servers }) => {
  servers.store.losesCommits = true;
  servers.store.hidesRecords = true;
};

export const storeComes: Step = async ({ servers }) => servers.store.works();

/** What somebody does to a stored reply. */
export type Damage = (reply: Buffer) => Buffer;

export const bitFlipped: Damage = (reply) => {
  const damaged = Buffer.from(reply);
  damaged.writeUInt8(damaged.readUInt8(damaged.length - 5) ^ 1, damaged.length - 5);
  return damaged;
};
export const ofNewerVersion: Damage = (reply) => Buffer.concat([Buffer.of(2), reply.subarray(1)]);
export const cutShort: Damage = (reply) => reply.subarray(0, -1);
export const emptied: Damage = () => Buffer.alloc(0);

/** Damages the stored reply of the row's call. In memory its length stays. */
export const damages =
  (damage: Damage): Step =>
  async (stage) => {
    const reply = await replyOf(stage, {});
    await setReply(stage, {}, damage(Buffer.from(reply)));
  };

/** Puts each of two stored replies into the other's record. */
export const swaps =
  (one: Sent, other: Sent): Step =>
  async (stage) => {
    const [first, second] = [Buffer.from(await replyOf(stage, one)), await replyOf(stage, other)];
    await setReply(stage, one, second);
    await setReply(stage, other, first);
  };

/** Erases what is stored of the row's caller: so many records. */
export const erases =
  (count: number): Step =>
  async ({ t, servers, caller }) => {
    t.is(await servers.first.guard.eraseScope(caller), count);
  };

/** Damages what is kept of the row's series. In memory its length stays. */
export const damagesWindow =
  (damage: Damage): Step =>
  async (stage) => {
    const series = await stage.servers.first.store.findProducer(stage.recordIdOf(ofSeries));
    if (!series) throw new Error('no series is stored');
    const update = 'UPDATE replay_guard_producers SET replies = $1 WHERE id = $2';
    const params = [damage(Buffer.from(series.replies)), recordKey(stage.recordIdOf(ofSeries))] as const;
    if (stage.site.place === 'memory') params[0].copy(series.replies);
    else await stage.servers.first.database.query(update, params);
  };

const ofSeries: Sent = { sequence: { sequence: 0 } };

async function replyOf(stage: Stage, sent: Sent): Promise<Buffer> {
  const found = await stage.find(sent);
  if (!found || !('outcome' in found) || found.outcome !== 'completed') throw new Error('no reply is stored');
  return found.reply;
}

async function setReply(stage: Stage, sent: Sent, reply: Buffer): Promise<void> {
  const update = 'UPDATE replay_guard_records SET reply = $1 WHERE id = $2';
  if (stage.site.place === 'memory') (await replyOf(stage, sent)).set(reply);
  else await stage.servers.first.database.query(update, [reply, recordKey(stage.idOf(sent))]);
}
