import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  InterceptingCall,
  type Interceptor,
  type Metadata,
  type MetadataValue,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';

/** Authenticates the calls that this process makes to its own internal listener. */
export interface InternalCalls {
  /** Adds the secret of this process to a call. Only clients of the internal listener may use this interceptor. */
  readonly outbound: Interceptor;
  /** Refuses every call without the secret. It must be the first interceptor of the internal listener. */
  readonly inbound: ServerInterceptor;
  /** Returns whether metadata has the secret of this process, so that this process has made the call. */
  isOwn(metadata: Metadata): boolean;
  /** The `authorization` value of a call that this process makes without a caller. No other process knows it. */
  readonly selfToken: string;
}

const SECRET_ENTRY = 'shop-own-call';

/** Makes the interceptors for internal calls, with secrets that are new for each process and stay in its memory. */
export function createInternalCalls(): InternalCalls {
  const secret = newSecret();
  const isOwn = (metadata: Metadata) => isSecret(metadata.get(SECRET_ENTRY), secret);
  return {
    isOwn,
    selfToken: newSecret(),
    outbound: (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          metadata.set(SECRET_ENTRY, secret);
          next(metadata, listener);
        },
      }),
    inbound: (_method, call) =>
      new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, forward) => {
              if (isOwn(metadata)) forward(metadata);
              else call.sendStatus({ code: status.UNAUTHENTICATED, details: REFUSAL });
            },
          }),
      }),
  };
}

const REFUSAL = 'this listener accepts only calls from its own process';

const newSecret = () => randomBytes(32).toString('base64url');

/** Returns whether `values` is the secret alone. The comparison takes the same time for every wrong value. */
export function isSecret([sent = '', ...others]: readonly MetadataValue[], secret: string): boolean {
  const [given, expected] = [Buffer.from(String(sent)), Buffer.from(secret)];
  return others.length === 0 && given.length === expected.length && timingSafeEqual(given, expected);
}
