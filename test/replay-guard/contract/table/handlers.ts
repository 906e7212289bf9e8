import { randomUUID } from 'node:crypto';
import {
  type Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { LedgerHandlers } from '../../../helpers/servers/guarded-ledger.js';
import type { Barrier } from '../../../helpers/waiting/barrier.js';

/** What a handler says at its end; by default OK, with one message that no other execution sends. */
export interface Said {
  /** The ids in the messages; a unary method sends the first, and where there is none no message. */
  readonly ids?: readonly string[];
  readonly initial?: Metadata;
  readonly trailing?: Metadata;
  /** As handlers give it to grpc-js. */
  readonly error?: object;
}

/** One execution of any method's handler, as a row's script sees it. */
export interface Handling {
  /** 1 for the row's first. */
  readonly execution: number;
  /** Where the test holds this execution. */
  readonly gate: Barrier;
  /** Writes the one row that counts as the execution's effect. */
  write(): Promise<void>;
  /** Sends messages of a stream before its end. */
  send(...ids: string[]): void;
  say(said?: Said): void;
}

/** What the handler does. */
export type Script = (handling: Handling) => unknown;

/** Whoever plays a row, told the account in the request. */
export type Director = (account: string, says: Pick<Handling, 'say' | 'send'>) => unknown;

type Call = ServerUnaryCall<{ account?: string; from?: string }, object>;

/** One handler for every method of the ledger, which does what the director says. */
export function handlersBy(direct: Director): LedgerHandlers {
  const unary = (response: (id: string) => object) => (call: Call, callback: sendUnaryData<object>) => {
    const say = ({ ids = [randomUUID()], initial, trailing, error }: Said = {}) => {
      if (initial) call.sendMetadata(initial);
      if (error) callback(error, null, trailing);
      else callback(null, ids[0] === undefined ? undefined : response(ids[0]), trailing);
    };
    return direct(call.request.account ?? call.request.from ?? '', { say, send: () => {} });
  };
  const streaming = (call: ServerWritableStream<{ account?: string }, object>) => {
    const send = (...ids: string[]) => {
      // Left out, a field makes an empty message; an empty text that is set is written.
      for (const id of ids) call.write(id === '' ? {} : { entryId: id });
    };
    const say = ({ ids = [randomUUID()], initial, trailing, error }: Said = {}) => {
      if (initial) call.sendMetadata(initial);
      send(...ids);
      if (error) call.emit('error', Object.assign(error, trailing && { metadata: trailing }));
      else call.end(trailing);
    };
    return direct(call.request.account ?? '', { say, send });
  };
  const handlers = {
    Append: unary((entryId) => ({ entryId })),
    Transfer: unary((transferId) => ({ transferId })),
    Touch: unary(() => ({})),
    Read: unary(() => ({})),
    Close: unary(() => ({ closed: true })),
    Settle: streaming,
    Sweep: streaming,
  };
  return handlers as unknown as LedgerHandlers;
}

/** Writes and answers. */
export const writes: Script = async ({ write, say }) => {
  await write();
  say();
};

/** Writes, and answers when the test lets it. */
export const writesAndWaits: Script = async ({ write, say, gate }) => {
  await write();
  await gate.pass();
  say();
};

/** Writes and ends with a code of gRPC. */
export const endsWith =
  (code: status, said: Said = {}): Script =>
  async ({ write, say }) => {
    await write();
    say(code === status.OK ? said : { ...said, error: { code, details: `ended with ${status[code]}` } });
  };
