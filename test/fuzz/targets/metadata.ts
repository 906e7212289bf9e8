import {
  logVerbosity,
  ServerInterceptingCall,
  type ServerInterceptor,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import fc from 'fast-check';
import { scopeFromMetadata } from 'grpc-replay-guard';
import { isKey, REASONS } from 'grpc-replay-guard/protocol';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { mutateText, mutations } from '../inputs/mutations.js';
import { RawConnection, type RawEntries } from '../inputs/raw-headers.js';
import { expectedOf } from '../references/reference-operation.js';
import { must, type Target } from '../target.js';

/** The entries of one call. */
interface MetadataInput {
  readonly method: 'Append' | 'Touch';
  readonly entries: RawEntries;
}

const SCOPE = 'x-user';
const keys = ['k1', 'k2', 'A-Z.a~0:/+=@-', 'x'.repeat(255)];
const numbers = ['0', '1', '2', '9223372036854775807'];
const times = ['2100-01-01T00:00:00Z', '2020-01-01T00:00:00Z', '2026-11-30T08:30:00.5+02:00'];
const hostile = [
  ...[
    '',
    ' ',
    'a b',
    'a,b',
    ' k1',
    'k1 ',
    'k\t1',
    '\tk1',
    'k1\0',
    'k\x001',
    'k\r\n1',
    'k\n1',
    '\x7f',
    'k\x80',
    '\xff',
  ],
  ...[
    'k\xc3\xa9',
    'x'.repeat(256),
    'x'.repeat(9_000),
    '-1',
    '+1',
    '01',
    '1.0',
    '1e3',
    '9223372036854775808',
    '٣',
  ],
  ...['2026-02-30T00:00:00Z', '2026-01-01', 'now', '1769848200000', '__proto__', '%00', '"k1"'],
];
const latin = fc.array(fc.nat(255), { maxLength: 12 }).map((codes) => String.fromCharCode(...codes));
const textLike = (valid: readonly string[]) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...valid) },
    { weight: 2, arbitrary: fc.constantFrom(...hostile).map((text) => text.replace(/[^\0-\xff]/g, 'x')) },
    { weight: 1, arbitrary: latin },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom(...valid), mutations).map(([text, by]) => mutateText(text, by)),
    },
  );
const entry = (name: string, valid: readonly string[]) =>
  textLike(valid).map((value) => [name, value.slice(0, 9_000)] as const);
/** Mostly one entry of a name, sometimes none or several. */
const several = (name: string, valid: readonly string[], usual: number) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.array(entry(name, valid), { minLength: usual, maxLength: usual }) },
    { weight: 1, arbitrary: fc.array(entry(name, valid), { maxLength: 3 }) },
  );
const others = fc.oneof(
  { weight: 6, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.constantFrom(
        ...['1S', '0n', '99999999H', 'x', '-1S', ''].map((value) => ['grpc-timeout', value] as const),
        ...['identity', 'gzip', 'x'].map((value) => ['grpc-encoding', value] as const),
        ...[['content-type', 'text/plain'] as const, ['te', 'x'] as const, ['x-bin', '*'] as const],
        ...[
          ['authorization', 'Bearer x'] as const,
          ['authorization', 'y'] as const,
          ['X-Upper', 'x'] as const,
        ],
        ...[
          ['x y', 'z'] as const,
          ['', 'x'] as const,
          [':path', '/x'] as const,
          ['x', 'y'.repeat(70_000)] as const,
        ],
      ),
      { minLength: 1, maxLength: 3 },
    ),
  },
);
const named = fc.oneof(
  fc.tuple(several('idempotency-key', [...keys, '"k1"'], 1)),
  fc.tuple(
    several('idempotency-producer', keys, 1),
    several('idempotency-sequence', numbers, 1),
    several('idempotency-epoch', numbers, 0),
  ),
  fc.tuple(several('idempotency-key', keys, 0), several('idempotency-sequence', numbers, 0)),
);

/** The metadata of calls, as frames of HTTP/2 on a real connection. */
export const metadataTarget: Target<MetadataInput> = {
  title: 'metadata of calls over HTTP/2',
  inputs: fc.record({
    method: fc.constantFrom('Append', 'Touch'),
    entries: fc
      .tuple(named, several(SCOPE, ['ada', 'bob'], 1), several('idempotency-first-sent', times, 0), others)
      .chain(([names, scope, sent, more]) => {
        const given: (readonly [string, string])[] = [...names.flat(), ...scope, ...sent];
        return fc
          .shuffledSubarray(given, { minLength: given.length })
          .map(
            (shuffled) =>
              [['content-type', 'application/grpc'], ['te', 'trailers'], ...shuffled, ...more] as const,
          );
      }),
  }),
  quickRuns: 400,
  requires: ['executed', 'KEY_INVALID', 'KEY_MISSING', 'SCOPE_MISSING', 'refused by HTTP/2 or gRPC'],
  planted: 'a malformed key counts as no key',
  async open(t, { planted, count }) {
    // grpc-js logs every value that it does not take.
    setLogVerbosity(logVerbosity.NONE);
    const ledger = await openLedger(t, 'memory', {
      guard: { scope: scopeFromMetadata(SCOPE) },
      before: planted ? [dropsMalformedKeys] : [],
    });
    const { address } = ledger.server;
    let connection = new RawConnection(address);
    t.teardown(() => connection.close());
    return {
      async check({ method, entries }) {
        if (connection.isClosed) connection = new RawConnection(address);
        const before = ledger.entered;
        const { code, reason } = await connection.call(
          `/test.v1.LedgerService/${method}`,
          Buffer.alloc(0),
          entries,
        );
        const executed = ledger.entered - before;
        const expected = expectedOf(entries, method === 'Touch', SCOPE);
        const short = reason?.replace('IDEMPOTENCY_', '');
        must(executed <= 1, 'one call executes twice');
        must('mayExecute' in expected || executed === 0, 'a call that must be refused executes');
        // Other entries may be refused by HTTP/2 or gRPC before the guard sees the call.
        const isPlain = entries.slice(2).every(([name]) => /^(idempotency-[a-z-]+|x-user)$/.test(name));
        if (!isPlain && (code === undefined || (code !== status.OK && reason === undefined)))
          return count('refused by HTTP/2 or gRPC');
        must(code !== undefined, 'the call has no status');
        count(executed ? 'executed' : (short ?? `status ${code}`));
        if ('reasons' in expected) {
          must(
            short !== undefined && expected.reasons.includes(short),
            `${code} ${short} instead of ${expected.reasons}`,
          );
        } else {
          must(
            code === status.OK || (reason !== undefined && known.has(reason)),
            `a good call ends with ${code} ${short}`,
          );
          must(
            !['KEY_INVALID', 'KEY_MISSING', 'SCOPE_MISSING'].includes(short ?? ''),
            `a good call ends with ${short}`,
          );
        }
      },
    };
  },
};

const known = new Set<string>(Object.values(REASONS));

/** The planted bug, in front of the guard. */
const dropsMalformedKeys: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata: (metadata, forward) => {
          if (!isKey(metadata.get('idempotency-key')[0])) metadata.remove('idempotency-key');
          forward(metadata);
        },
      }),
  });
