import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { ScopeSource } from 'grpc-replay-guard';
import { callByHttp2, connectHttp2 } from '../../helpers/calls/http2-call.js';
import { sendRawCalls } from '../../helpers/calls/raw-call.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { poll } from '../../helpers/waiting/poll.js';

const CONNECTIONS = 5;
const CALLS = 60;

/** The numbers of the calls of one connection. */
const callsOf = (connection: number) => Array.from({ length: CALLS }, (_, i) => `${connection}-${i}`);

test('interleaved calls of many connections each have the hidden entries of their own', async (t) => {
  const seen = new Map<string, unknown>();
  const scope: ScopeSource = ({ metadata }) => {
    seen.set(String(metadata.get('x-call')), metadata.get('authorization'));
    return undefined;
  };
  const [first, second] = [
    await openLedger(t, 'memory', { guard: { scope } }),
    await openLedger(t, 'memory', { guard: { scope } }),
  ];
  const expected = new Map<string, unknown>();
  const headersOf = (call: string, index: number) => {
    // Calls in turn have no token, one token and two tokens.
    const tokens = [[], [`${call} a`], [`${call} a`, `${call} b`]][index % 3] ?? [];
    expected.set(call, tokens);
    const entries = tokens.map((token): [string, string] => ['authorization', token]);
    return [['idempotency-key', 'k'] as const, ['x-call', call] as const, ...entries];
  };
  const path = first.definition.Append.path;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, connection) => {
      const { address } = (connection % 2 ? first : second).server;
      return sendRawCalls(t, address, path, callsOf(connection).map(headersOf));
    }),
  );
  await poll('every call asked for its scope', () => seen.size === CONNECTIONS * CALLS);
  for (const [call, tokens] of expected) t.deepEqual(seen.get(call), tokens, call);
});

test('of interleaved calls, exactly those with a malformed entry are refused', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const reasons = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, connection) => {
      const session = connectHttp2(t, `http://${ledger.server.address}`);
      return callsOf(connection).map(async (call, index) => {
        const key = index % 2 ? `${call}\u00e9` : call;
        const reply = await callByHttp2(session, ledger.definition.Append.path, { 'idempotency-key': key });
        const isRight = index % 2 ? reply.reason === 'IDEMPOTENCY_KEY_INVALID' : reply.code === status.OK;
        return isRight ? [] : [call, reply];
      });
    }).flat(),
  );
  t.deepEqual(reasons.flat(), []);
  t.is(ledger.entered, (CONNECTIONS * CALLS) / 2);
});
