import { once } from 'node:events';
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type GuardMode, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { type Codegen, codegens, image } from '../../helpers/codegens/index.js';
import { field, nested } from '../../helpers/messages/append-wire.js';
import { startServer } from '../../helpers/servers/server.js';

const TRACK = '/test.codegen.v1.ParcelService/Track';
const decode = ({ methods }: Codegen, wire: Buffer) =>
  (methods.Track as unknown as MethodDefinition<unknown, object>).requestDeserialize(wire);
const bytes = (...parts: Uint8Array[]) => Buffer.concat(parts);

/** Encodings of a SendRequest that decoders may read differently, with an unknown field in front of the others. */
const requests: Record<string, Buffer> = {
  'a message in two parts': bytes(
    field(999, 'string', 'unknown'),
    nested(1, field(1, 'string', 'request')),
    field(2, 'string', 'ann'),
    nested(1, field(2, 'string', 'trace')),
  ),
  'two members of a oneof': bytes(field(14, 'string', 'voucher'), field(12, 'string', 'card')),
  'a field twice, before a lower field': bytes(
    field(999, 'string', 'unknown'),
    field(15, 'string', 'old'),
    field(15, 'string', 'new'),
    field(2, 'string', 'ann'),
  ),
};

type Kind = Pick<MethodDefinition<unknown, unknown>, 'requestStream' | 'responseStream'>;
const kinds: Record<string, Kind> = {
  'a unary call': { requestStream: false, responseStream: false },
  'a server stream': { requestStream: false, responseStream: true },
  'a client stream': { requestStream: true, responseStream: false },
  'a bidirectional stream': { requestStream: true, responseStream: true },
};

interface AnyCall {
  readonly request: object;
  on(event: 'data', listener: (request: object) => void): void;
  on(event: 'end', listener: () => void): void;
  end(): void;
}

/** Serves Track, and returns a function that sends a request and resolves to the message that the handler received. */
async function serve(
  t: ExecutionContext,
  codegen: Codegen,
  kind: Kind,
  options: Partial<ReplayGuardOptions>,
) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  const received: object[] = [];
  const Track = (call: AnyCall, callback?: (error: null, response: object) => void) => {
    const answer = () => (kind.responseStream ? call.end() : callback?.(null, codegen.response()));
    if (!kind.requestStream) {
      received.push(call.request);
      return answer();
    }
    call.on('data', (request) => received.push(request));
    call.on('end', answer);
  };
  const definition = { Track: { ...codegen.methods.Track, ...kind } as MethodDefinition<unknown, unknown> };
  const { address } = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(definition), { Track }]],
  });
  const client = new Client(address, credentials.createInsecure());
  t.teardown(() => client.close());
  return async (wire: Buffer, key?: string) => {
    received.length = 0;
    const metadata = new Metadata();
    if (key !== undefined) metadata.set('idempotency-key', key);
    // On the wire, a call of every kind is a stream of requests and a stream of responses.
    const call = client.makeBidiStreamRequest(
      ...[TRACK, (ready: Buffer) => ready, (ready: Buffer) => ready, metadata],
    );
    call.on('error', () => {});
    call.resume();
    call.end(wire);
    const [{ code }] = await once(call, 'status');
    return { code, received: received[0] as object };
  };
}

for (const codegen of codegens) {
  for (const mode of ['OFF', 'OBSERVE'] satisfies GuardMode[]) {
    test(`${codegen.name}: in mode ${mode}, handlers get the requests that they get without a guard`, async (t) => {
      for (const [name, kind] of Object.entries(kinds)) {
        // The guard cannot guard a stream of requests.
        if (kind.requestStream && mode !== 'OFF') continue;
        const send = await serve(t, codegen, kind, { mode, descriptors: image });
        for (const [title, wire] of Object.entries(requests)) {
          const { code, received } = await send(wire, title.replaceAll(/\W+/g, '-'));
          t.is(code, status.OK);
          t.deepEqual(received, decode(codegen, wire), `${name}: ${title}`);
        }
      }
    });
  }

  test(`${codegen.name}: in mode ENFORCE, a call without a key gets its request as without a guard`, async (t) => {
    const policies = { [TRACK]: { key: 'OPTIONAL' as const } };
    const send = await serve(t, codegen, kinds['a unary call'] as Kind, { policies, descriptors: image });
    for (const [title, wire] of Object.entries(requests)) {
      const { received } = await send(wire);
      t.deepEqual(received, decode(codegen, wire), title);
    }
  });

  test(`${codegen.name}: in mode ENFORCE, a request that decoders read differently is read as protobuf defines`, async (t) => {
    const { Track } = codegen.methods;
    const send = await serve(t, codegen, kinds['a unary call'] as Kind, { descriptors: image });
    const usual = bytes(
      field(999, 'string', 'unknown'),
      field(15, 'string', 'new'),
      field(2, 'string', 'ann'),
    );
    t.deepEqual(
      (await send(usual, 'usual')).received,
      decode(codegen, usual),
      'another order, unknown fields',
    );
    const merged = bytes(
      nested(1, bytes(field(1, 'string', 'request'), field(2, 'string', 'trace'))),
      field(2, 'string', 'ann'),
    );
    const { received } = await send(requests['a message in two parts'] as Buffer, 'split');
    t.deepEqual(Buffer.from(Track.requestSerialize(received)).subarray(0, merged.length), merged);
    const { received: oneof } = await send(requests['two members of a oneof'] as Buffer, 'oneof');
    t.deepEqual(oneof, decode(codegen, Buffer.from(field(12, 'string', 'card'))));
  });
}

for (const [name, kind] of Object.entries(kinds).slice(0, 2))
  test(`${name} with two requests is answered as without a guard`, async (t) => {
    const [codegen] = codegens as [Codegen];
    const answers = [];
    for (const mode of ['OFF', 'OBSERVE', 'ENFORCE', undefined] satisfies (GuardMode | undefined)[]) {
      const definition = {
        Track: { ...codegen.methods.Track, ...kind } as MethodDefinition<unknown, unknown>,
      };
      const guard = createReplayGuard({
        store: new MemoryStore(),
        scope: singleTenant(),
        mode: mode ?? 'OFF',
      });
      t.teardown(() => guard.close());
      const { address } = await startServer(t, {
        interceptors: mode ? [guard.interceptor] : [],
        services: [[mode ? guard.protect(definition) : definition, { Track: () => t.fail() }]],
      });
      const client = new Client(address, credentials.createInsecure());
      t.teardown(() => client.close());
      const metadata = new Metadata();
      metadata.set('idempotency-key', 'key');
      const call = client.makeBidiStreamRequest(
        ...[TRACK, (ready: Buffer) => ready, (ready: Buffer) => ready, metadata],
      );
      // `once` would reject at the error of the call.
      const ended = new Promise<StatusObject>((resolve) => call.on('status', resolve));
      call.on('error', () => {});
      call.resume();
      call.write(Buffer.alloc(0));
      call.end(Buffer.alloc(0));
      const { code, details } = await ended;
      answers.push({ code, details });
    }
    const [, , , unguarded] = answers;
    t.is(unguarded?.code, status.UNIMPLEMENTED);
    for (const answer of answers) t.deepEqual(answer, unguarded);
  });
