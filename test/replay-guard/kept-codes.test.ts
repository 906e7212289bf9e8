import { status } from '@grpc/grpc-js';
import test from 'ava';
import { emptiedData } from '../helpers/emptied-data.js';
import { engines } from '../helpers/engines.js';
import { type LedgerSetup, methods, onBoth, openLedger, writeEffect } from '../helpers/guarded-ledger.js';

const emptied = emptiedData(test);
const failures = Object.values(status).filter(
  (code) => typeof code === 'number' && code !== status.OK,
) as status[];
const kept = [status.NOT_FOUND, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE];

/** Writes, then fails with the code that the account names. */
const failing: NonNullable<LedgerSetup['handlers']> = (database) =>
  onBoth(async (account, callback) => {
    await writeEffect(database, account);
    callback({ code: Number(account), details: `failed with ${account}` });
  });

for (const engine of engines) {
  for (const method of methods) {
    test.serial(`${engine}, ${method}: of all failures only the definite ones are kept`, async (t) => {
      t.is(failures.length, 16);
      const ledger = await openLedger(t, await emptied(t, engine), { handlers: failing });
      for (const code of failures) {
        const ask = () => ledger.ask(method, `key-${code}`, String(code));
        const before = ledger.entered;
        const details = `failed with ${code}`;
        t.like(await ask(), { code, details, replayed: false }, status[code]);
        t.like(await ask(), { code, details, replayed: kept.includes(code) }, status[code]);
        t.is(ledger.entered - before, kept.includes(code) ? 1 : 2, status[code]);
      }
      t.deepEqual(await ledger.effects(), [], 'no failure leaves writes');
      t.is(ledger.outcomes.count('released'), 24);
      t.is(ledger.outcomes.count('executed'), 4);
      t.is(ledger.outcomes.count('replayed'), 4);
    });
  }

  test.serial(`${engine}: the policy says which failures are kept`, async (t) => {
    const ledger = await openLedger(t, await emptied(t, engine), {
      handlers: failing,
      guard: {
        policies: { '/test.v1.LedgerService/Append': { replayedCodes: [status.PERMISSION_DENIED] } },
      },
    });
    for (const [method, code, replayed] of [
      ['append', status.PERMISSION_DENIED, true],
      ['append', status.NOT_FOUND, false],
      ['transfer', status.PERMISSION_DENIED, false],
      ['transfer', status.NOT_FOUND, true],
    ] as const) {
      await ledger.ask(method, `key-${code}`, String(code));
      t.like(await ledger.ask(method, `key-${code}`, String(code)), { code, replayed });
    }
  });
}
