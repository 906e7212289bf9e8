import {
  loadPackageDefinition,
  makeGenericClientConstructor,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { service as health } from 'grpc-health-check';
import { createReplayGuard, type GuardMode, type ReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { Connection } from '../../helpers/calls/call.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { startServer } from '../../helpers/servers/server.js';

const ledger = loadLedger();

function guardOf(t: ExecutionContext, mode: GuardMode = 'ENFORCE'): ReplayGuard {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), mode });
  t.teardown(() => guard.close());
  return guard;
}

/** Collects the registration warnings of the process. Node emits a warning in a later turn of the event loop. */
function collectWarnings(t: ExecutionContext) {
  const warnings: string[] = [];
  const listen = ({ code, message }: Error & { code?: string }) => {
    if (code?.startsWith('REPLAY_GUARD_')) warnings.push(`${code}: ${message}`);
  };
  process.on('warning', listen);
  t.teardown(() => process.off('warning', listen));
  return warnings;
}

interface Setup {
  readonly interceptors?: ServerInterceptor[];
  readonly definition: ServiceDefinition;
}

/** Serves the ledger, which counts its executions, and a health service. */
async function serve(t: ExecutionContext, { interceptors = [], definition }: Setup) {
  const served = { executions: 0, client: undefined as unknown as Connection };
  const answer = (_call: unknown, callback: (error: null, reply: object) => void) => {
    served.executions++;
    callback(null, { entryId: 'e', status: 'SERVING' });
  };
  const handlers = new Proxy({}, { get: () => answer }) as UntypedServiceImplementation;
  const services = [
    [definition, handlers],
    [health as ServiceDefinition, handlers],
  ] as const;
  served.client = (await startServer(t, { interceptors, services })).connect();
  return served;
}

const append = (client: Connection, key: string) => client.call(ledger.Append, { account: 'a' }, { key });
const check = (client: Connection) => client.call(health.Check as never, {} as never);

test.serial('a protected service on a server without the interceptor causes one warning', async (t) => {
  const warnings = collectWarnings(t);
  const guard = guardOf(t);
  const { client } = await serve(t, { definition: guard.protect(ledger) });
  for (const key of ['a', 'b']) t.is((await append(client, key)).code, status.OK);
  t.is(warnings.length, 1);
  t.regex(
    warnings[0] ?? '',
    /^REPLAY_GUARD_NOT_INTERCEPTED: test\.v1\.LedgerService .*interceptors: \[guard\.interceptor\]/,
  );
});

test.serial('a server without the interceptor causes a warning beside a server with it', async (t) => {
  const warnings = collectWarnings(t);
  const guard = guardOf(t);
  const definition = guard.protect(ledger);
  const complete = await serve(t, { interceptors: [guard.interceptor], definition });
  const incomplete = await serve(t, { definition });
  t.is((await append(complete.client, 'a')).code, status.OK);
  t.deepEqual(warnings, []);
  for (const key of ['b', 'c']) t.is((await append(incomplete.client, key)).code, status.OK);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /^REPLAY_GUARD_NOT_INTERCEPTED: /);
});

test.serial('a definition that is protected twice, or copied after protect, causes no warning', async (t) => {
  const warnings = collectWarnings(t);
  const guard = guardOf(t);
  const protectedTwice = guard.protect(guard.protect(ledger));
  const copied = Object.fromEntries(
    Object.entries(guard.protect(ledger)).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: (bytes: Buffer) => method.requestDeserialize(bytes) },
    ]),
  );
  for (const definition of [protectedTwice, copied]) {
    const served = await serve(t, { interceptors: [guard.interceptor], definition });
    const key = `k-${definition === copied}`;
    for (const _attempt of [1, 2]) t.is((await append(served.client, key)).code, status.OK);
    t.is(served.executions, 1);
  }
  t.deepEqual(warnings, []);
});

test.serial('a service without protect behind the interceptor causes one warning', async (t) => {
  const warnings = collectWarnings(t);
  const { client } = await serve(t, { interceptors: [guardOf(t).interceptor], definition: ledger });
  await check(client);
  t.deepEqual(warnings, []);
  for (const key of ['a', 'b']) t.is((await append(client, key)).code, status.OK);
  t.is(warnings.length, 1);
  t.regex(
    warnings[0] ?? '',
    /^REPLAY_GUARD_NOT_PROTECTED: .*test\.v1\.LedgerService.*guard\.protect\(definition\)/,
  );
});

test.serial(
  'a server with the interceptor twice guards each call once, and causes one warning',
  async (t) => {
    const warnings = collectWarnings(t);
    const guard = guardOf(t);
    const other: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call);
    const interceptors = [guard.interceptor, other, guard.interceptor];
    const served = await serve(t, { interceptors, definition: guard.protect(ledger) });
    for (const key of ['a', 'b', 'b']) t.is((await append(served.client, key)).code, status.OK);
    t.is(served.executions, 2);
    t.is(warnings.length, 1);
    t.regex(
      warnings[0] ?? '',
      /^REPLAY_GUARD_INTERCEPTED_TWICE: .*test\.v1\.LedgerService.*remove the others/,
    );
  },
);

test.serial('a server that ignores the result of protect refuses the calls before the handler', async (t) => {
  const warnings = collectWarnings(t);
  const guard = guardOf(t);
  guard.protect(ledger);
  const served = await serve(t, { interceptors: [guard.interceptor], definition: ledger });
  for (const key of ['a', 'b']) {
    const refused = await append(served.client, key);
    t.is(refused.code, status.INTERNAL);
    t.regex(refused.details, /without its replay guard; the call had no effect/);
  }
  t.is(served.executions, 0);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /^REPLAY_GUARD_NOT_REGISTERED: .*test\.v1\.LedgerService/);
});

test.serial(
  'in mode OBSERVE a server that ignores the result of protect executes the calls and warns',
  async (t) => {
    const warnings = collectWarnings(t);
    const guard = guardOf(t, 'OBSERVE');
    guard.protect(ledger);
    const { client } = await serve(t, { interceptors: [guard.interceptor], definition: ledger });
    t.like(await append(client, 'a'), { code: status.OK, message: { entryId: 'e' } });
    t.is(warnings.length, 1);
  },
);

test.serial(
  'a complete server, also with health, with the mode OFF or with two guards, causes no warning',
  async (t) => {
    const warnings = collectWarnings(t);
    const [outer, inner, off] = [guardOf(t), guardOf(t), guardOf(t, 'OFF')];
    const twice = outer.protect(inner.protect(ledger));
    const servers = [
      await serve(t, { interceptors: [outer.interceptor], definition: outer.protect(ledger) }),
      await serve(t, { interceptors: [inner.interceptor, outer.interceptor], definition: twice }),
      await serve(t, { definition: off.protect(ledger) }),
    ];
    for (const { client } of servers) {
      await check(client);
      t.is((await client.call(ledger.Read, {})).code, status.OK);
      t.is((await append(client, 'a')).code, status.OK);
    }
    t.deepEqual(warnings, []);
  },
);

const account = { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos: [] };
const loaded = {
  'test.v1.Account': account,
  'test.v1.LedgerService': ledger,
} as unknown as PackageDefinition;
const wrong: readonly (readonly [string, unknown, RegExp])[] = [
  [
    'a client constructor',
    makeGenericClientConstructor(ledger, 'test.v1.LedgerService'),
    /pass LedgerService\.service$/,
  ],
  [
    'a package object',
    loadPackageDefinition(loaded),
    /pass one of its services: .*test\.v1\.LedgerService\.service/,
  ],
  ['a package definition', loaded, /pass one of its services: .*\['test\.v1\.LedgerService'\]/],
  ['a module', { LedgerService: ledger, other: 1 }, /pass one of its services: LedgerService$/],
  ['handlers', { Append() {} }, /handlers to addService/],
  ['one method', ledger.Append, /pass the definition of the service$/],
  ['a promise', Promise.resolve(ledger), /await it first$/],
  ['undefined', undefined, /^protect: undefined is not a service definition/],
  ['a path', 'a.proto', /^protect: a string is not/],
  ['a service descriptor', { typeName: 'p.S', methods: [], method: {} }, /codecs of each method/],
];

for (const [what, given, message] of wrong) {
  test(`protect refuses ${what} and names what to pass`, (t) => {
    t.throws(() => guardOf(t).protect(given as ServiceDefinition), { instanceOf: TypeError, message });
  });
}

test('policies, modes and a policy that are maps or lists are refused', (t) => {
  const make = (options: object) =>
    createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  const policy = { waitMs: 0 };
  for (const policies of [new Map([['/a.B/C', policy]]), [policy], null])
    t.throws(() => make({ policies }), { instanceOf: TypeError, message: /^policies must be an object/ });
  for (const given of [new Map([['waitMs', 0]]), undefined, null, 'OFF'])
    t.throws(() => make({ policies: { '/a.B/C': given } }), {
      message: /^policy of \/a\.B\/C must be an obj/,
    });
  const methods = new Map([['/a.B/C', 'OFF']]) as never;
  t.throws(() => guardOf(t).setModes({ methods }), { message: /^modes of the methods must be an object/ });
});
