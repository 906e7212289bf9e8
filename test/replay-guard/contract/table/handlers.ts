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

/** The response of a handler. Default: OK with one message, whose id is unique to the execution. */
export interface HandlerResponse {
  /** The ids of the messages. A unary method sends the first id, or no message if the list is empty. */
  readonly ids?: readonly string[];
  readonly initial?: Metadata;
  readonly trailing?: Metadata;
  /** The error that the handler passes to grpc-js. */
  readonly error?: object;
}

/** The argument of a row's script: the means of one execution of a handler. */
export interface ScriptContext {
  /** The number of the execution in this row, from 1. */
  readonly execution: number;
  /** The gate at which the test holds this execution. */
  readonly gate: Barrier;
  /** Writes the one row that counts as the effect of the execution. */
  write(): Promise<void>;
  /** Sends messages of a stream before the response. */
  send(...ids: string[]): void;
  /** Ends the call with this response. */
  respond(response?: HandlerResponse): void;
}

/** The part of a script's context that depends on the type of the call. */
export type Responder = Pick<ScriptContext, 'respond' | 'send'>;

/** The behaviour of a handler. */
export type Script = (context: ScriptContext) => unknown;

/** Runs the script of the current row for a request with this account. */
export type ScriptRunner = (account: string, responder: Responder) => unknown;

type Call = ServerUnaryCall<{ account?: string; from?: string }, object>;

/** Returns handlers for every method of the ledger that run the script of the current row. */
export function scriptedHandlers(runScript: ScriptRunner): LedgerHandlers {
  const unary = (response: (id: string) => object) => (call: Call, callback: sendUnaryData<object>) => {
    const respond = ({ ids = [randomUUID()], initial, trailing, error }: HandlerResponse = {}) => {
      if (initial) call.sendMetadata(initial);
      if (error) callback(error, null, trailing);
      else callback(null, ids[0] === undefined ? undefined : response(ids[0]), trailing);
    };
    return runScript(call.request.account ?? call.request.from ?? '', { respond, send: () => {} });
  };
  const streaming = (call: ServerWritableStream<{ account?: string }, object>) => {
    const send = (...ids: string[]) => {
      // A message without fields is empty. A field that is set to an empty text is written.
      for (const id of ids) call.write(id === '' ? {} : { entryId: id });
    };
    const respond = ({ ids = [randomUUID()], initial, trailing, error }: HandlerResponse = {}) => {
      if (initial) call.sendMetadata(initial);
      send(...ids);
      if (error) call.emit('error', Object.assign(error, trailing && { metadata: trailing }));
      else call.end(trailing);
    };
    return runScript(call.request.account ?? '', { respond, send });
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

/** Writes and responds. */
export const writes: Script = async ({ write, respond }) => {
  await write();
  respond();
};

/** Writes, waits at the gate, then responds. */
export const writesAndWaits: Script = async ({ write, respond, gate }) => {
  await write();
  await gate.pass();
  respond();
};

/** Writes and responds with a status code. */
export const endsWith =
  (code: status, response: HandlerResponse = {}): Script =>
  async ({ write, respond }) => {
    await write();
    respond(
      code === status.OK ? response : { ...response, error: { code, details: `ended with ${status[code]}` } },
    );
  };
