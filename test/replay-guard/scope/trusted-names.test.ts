import { constants } from 'node:http2';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type ScopeSource, scopeFromMetadata } from 'grpc-replay-guard';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { sendRawCall } from '../../helpers/calls/raw-call.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { poll } from '../../helpers/waiting/poll.js';

function isAccepted(name: string): boolean {
  try {
    return typeof scopeFromMetadata(name) === 'function';
  } catch {
    return false;
  }
}

/** All names that the running version of Node knows, and some that belong to nobody. */
const names = Object.entries(constants)
  .filter(([constant]) => constant.startsWith('HTTP2_HEADER_'))
  .map(([, name]) => String(name))
  .concat('x-user', 'x-forwarded-user', 'x-user-bin');

test('two entries give no scope, for every name that scopeFromMetadata accepts', async (t) => {
  const accepted = names.filter(isAccepted);
  t.true(accepted.length > 3 && accepted.length < names.length);
  const scopes = new Map<string, unknown>();
  const identify: ScopeSource = (call) => {
    const [name = ''] = call.metadata.get('x-name').map(String);
    scopes.set(name, scopeFromMetadata(name)(call));
    return undefined;
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope: identify } });
  const entries = (name: string) =>
    ['victim', 'attacker'].map((value): [string, string] => [
      name,
      name.endsWith('-bin') ? Buffer.from(value).toString('base64') : value,
    ]);
  await Promise.all(
    accepted.map((name) =>
      sendRawCall(t, ledger.server.address, ledger.definition.Append.path, [
        ...[['idempotency-key', 'k'] as const, ['x-name', name] as const, ...entries(name)],
      ]),
    ),
  );
  await poll('every call asked for its scope', () => scopes.size === accepted.length);
  t.deepEqual(
    [...scopes.values()].filter((scope) => scope !== undefined),
    [],
  );
});

const refused: Record<string, RegExp> = {
  authorization: /can have one entry only/,
  From: /can have one entry only/,
  'USER-AGENT': /can have one entry only/,
  host: /can have one entry only/,
  'if-match': /can have one entry only/,
  'x-content-type-options': /can have one entry only/,
  cookie: /meaning of its own/,
  'set-cookie': /meaning of its own/,
  te: /meaning of its own/,
  connection: /meaning of its own/,
  ':authority': /not the name of a metadata entry/,
  'x user': /not the name of a metadata entry/,
  'x-user ': /not the name of a metadata entry/,
  'x-\u00fcser': /not the name of a metadata entry/,
  '': /not the name of a metadata entry/,
  'grpc-user': /reserved for gRPC/,
  'grpc-user-bin': /reserved for gRPC/,
  'idempotency-key': /reserved for the guard/,
  'Idempotency-Producer': /reserved for the guard/,
};

for (const [name, reason] of Object.entries(refused)) {
  test(`scopeFromMetadata refuses the name ${JSON.stringify(name)}`, (t) => {
    const error = t.throws(() => scopeFromMetadata(name), { instanceOf: TypeError, message: reason });
    t.true(error?.message.includes(`metadata ${name} `));
  });
}

test('scopeFromMetadata reads a name in upper case', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('X-User') } });
  t.like(await ledger.append('k', {}, { metadata: { 'x-user': 'ada' } }), {
    code: status.OK,
    replayed: false,
  });
  t.like(await ledger.append('k', {}, { metadata: { 'x-user': 'ada' } }), {
    code: status.OK,
    replayed: true,
  });
  t.like(await ledger.append('k', {}, { metadata: { 'x-user': 'bob' } }), {
    code: status.OK,
    replayed: false,
  });
  assertRefused(t, await ledger.append('k'), status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
});
