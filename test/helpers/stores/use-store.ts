import type { ExecutionContext } from 'ava';
import type { OpenStore } from 'grpc-replay-guard/store';
import { claimed, completed, digest, inProgress, reply, request } from '../../contracts/store/requests.js';

/** The part of a request that names a sequence of one series. */
export const series = (sequence: bigint) => ({ series: { id: digest('series'), epoch: 0n, sequence } });

/** Claims, replays, takes over, releases and refuses keys and a series, on two servers. */
export async function useStore(t: ExecutionContext, { store }: OpenStore, { store: other }: OpenStore) {
  const bytes = Buffer.from([0, 92, 39, 255]);
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const operation = request({ atomicity });
    const claim = claimed(t, await store.claim(operation));
    inProgress(t, await other.claim(operation));
    await claim.complete(bytes);
    for (const server of [store, other]) {
      const found = completed(t, await server.claim({ ...operation, fingerprint: digest('reused') }));
      t.deepEqual(found.reply, bytes);
      t.deepEqual(found.fingerprint, operation.fingerprint);
    }
    const failed = request({ atomicity });
    await claimed(t, await store.claim(failed)).fail(reply('failed'));
    t.deepEqual(completed(t, await other.claim(failed)).reply, reply('failed'));
    const released = request({ atomicity });
    await claimed(t, await store.claim(released)).release();
    const again = claimed(t, await store.claim(released));
    t.false(again.takenOver);
    await again.complete(reply('again'));
    for (const sequence of [0n, 1n]) {
      const position = request({ atomicity, scope: atomicity, ...series(sequence) });
      await claimed(t, await store.claim(position)).complete(reply(`reply ${sequence}`));
      t.deepEqual(completed(t, await other.claim(position)).reply, reply(`reply ${sequence}`));
    }
    t.is((await store.claim(request({ atomicity, scope: atomicity, ...series(5n) }))).outcome, 'gap');
  }
  const orphan = request({ leaseMs: 0 });
  await store.claim(orphan);
  const inherited = claimed(t, await other.claim(orphan));
  t.true(inherited.takenOver);
  await inherited.complete(reply('inherited'));
}
