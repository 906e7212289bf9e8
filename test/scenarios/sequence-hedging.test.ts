import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { sequenceSettings } from '../helpers/calls/sequence-settings.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);
const calls = 40;
const pipelined = 5;
/** The codes that are retried: the call had no committed effect, or its outcome is not known yet. */
const transient: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.ABORTED]);

for (const engine of engines) {
  for (const method of methods) {
    test.serial(
      `${engine}: a producer that hedges ${method} over two servers commits each effect once`,
      async (t) => {
        const data = await emptied(t, engine);
        const path = '/test.v1.LedgerService/';
        const policy = { waitMs: 50 };
        let executions = 0;
        const open = () =>
          openLedger(t, data, {
            guard: { policies: { [`${path}Append`]: policy, [`${path}Transfer`]: policy } },
            handlers: (database) =>
              onBoth(async (account, callback) => {
                await writeEffect(database, 'effect', account);
                // Every fourth execution fails and is not stored, so its sequence executes again.
                if (++executions % 4 === 0) callback({ code: status.ABORTED });
                else
                  callback(
                    null,
                    method === 'append' ? { entryId: randomUUID() } : { transferId: randomUUID() },
                  );
              }),
          });
        const servers = [await open(), await open()] as const;
        const resultCounts: Record<string, number> = {};
        const attempt = async (sequence: number, at: number): Promise<Buffer | undefined> => {
          const server = servers[at % 2] as (typeof servers)[0];
          const settings = sequenceSettings('producer', sequence);
          const account = `${sequence}`;
          const reply =
            method === 'append'
              ? await server.append(undefined, { account }, settings)
              : await server.transfer(undefined, { from: account }, settings);
          const reason = reply.statusDetails?.errorInfo?.reason ?? status[reply.code];
          resultCounts[String(reason)] = (resultCounts[String(reason)] ?? 0) + 1;
          if (reply.code === status.OK) return reply.bytes;
          if (transient.has(reply.code) || reason === 'IDEMPOTENCY_SEQUENCE_GAP') return undefined;
          throw new Error(`${sequence}: ${reply.details}`);
        };
        const retryWhileUnavailable = async (sequence: number, at: number) => {
          for (let again = at; ; again++) {
            const bytes = await attempt(sequence, again);
            if (bytes) return bytes;
          }
        };
        const hedge = async (sequence: number) => {
          const [one, two] = await Promise.all([
            retryWhileUnavailable(sequence, sequence),
            retryWhileUnavailable(sequence, sequence + 1),
          ]);
          t.true(one.equals(two), `${sequence}: one reply`);
        };
        await hedge(0);
        const running: Promise<void>[] = [];
        for (let sequence = 1; sequence < calls; sequence++) {
          if (running.length === pipelined) await running.shift();
          running.push(hedge(sequence));
        }
        await Promise.all(running);
        const effects = await servers[0].database.query('SELECT amount FROM effects ORDER BY amount');
        t.deepEqual(
          effects.map(({ amount }) => Number(amount)),
          Array.from({ length: calls }, (_, sequence) => sequence),
        );
        // The run is valid only if these results occurred.
        for (const reason of ['ABORTED', 'IDEMPOTENCY_SEQUENCE_GAP'])
          t.true((resultCounts[reason] ?? 0) > 0, reason);
        t.log(JSON.stringify(resultCounts));
      },
    );
  }
}
