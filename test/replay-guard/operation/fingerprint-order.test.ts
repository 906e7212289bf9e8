import { type ServiceDefinition, type sendUnaryData, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { protoFolders } from '../../helpers/codegens/index.js';
import { startServer } from '../../helpers/servers/server.js';

const loaded = loadSync('test/shapes/v1/everything.proto', { includeDirs: protoFolders });
const service = loaded['test.shapes.v1.EverythingService'] as ServiceDefinition;
const DO = '/test.shapes.v1.EverythingService/Do';
/** A field number without its value. The fingerprint of these bytes cannot be computed. */
const malformed = Buffer.from([8]);

/**
 * Serves a method whose decoder accepts all bytes, so that only the fingerprint fails. Returns a function that sends
 * malformed bytes.
 */
async function serve(t: ExecutionContext, options: Partial<ReplayGuardOptions>) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  const Do = {
    ...(service.Do as object),
    requestDeserialize: (wire: Buffer) => ({ length: wire.length }),
    responseSerialize: () => Buffer.alloc(0),
  };
  const definition = { Do } as unknown as ServiceDefinition;
  const { connect } = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [
      [guard.protect(definition), { Do: (_call: unknown, done: sendUnaryData<object>) => done(null, {}) }],
    ],
  });
  const client = connect();
  return (key?: string) => client.callBytes(service.Do as never, malformed, key === undefined ? {} : { key });
}

test('a caller without identity is refused before the fingerprint is computed', async (t) => {
  const send = await serve(t, { scope: () => undefined });
  t.is((await send('key')).code, status.UNAUTHENTICATED);
  const sendLater = await serve(t, { scope: async () => undefined });
  t.is((await sendLater('key')).code, status.UNAUTHENTICATED);
  const known = await serve(t, {});
  t.is((await known('key')).code, status.INTERNAL, 'the fingerprint of the request cannot be computed');
});

test('the fingerprint is not computed for a call that runs unguarded or that is refused for its key', async (t) => {
  const optional = await serve(t, { policies: { [DO]: { key: 'OPTIONAL' } } });
  t.is((await optional()).code, status.OK);
  const off = await serve(t, { mode: 'OFF' });
  t.is((await off('key')).code, status.OK);
  const required = await serve(t, {});
  t.is((await required()).code, status.INVALID_ARGUMENT);
  t.is((await required('a key')).code, status.INVALID_ARGUMENT);
});
