import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  InterceptingCall,
  type Interceptor,
  type MetadataValue,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';

/** Tells the calls that this process makes to its own listener from those of anybody else on the machine. */
export interface OwnCalls {
  /** For clients of our own listener, and for no other: it sends the secret. */
  readonly outbound: Interceptor;
  /** For our own listener, nearest to the wire: refuses every call that is not our own. */
  readonly inbound: ServerInterceptor;
  /** What such a call says of its caller where that is this process itself: nobody else can say it. */
  readonly name: string;
}

const ENTRY = 'shop-own-call';

/** With a secret that is new for every process and never leaves it. */
export function createOwnCalls(): OwnCalls {
  const secret = newSecret();
  return {
    name: newSecret(),
    outbound: (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          metadata.set(ENTRY, secret);
          next(metadata, listener);
        },
      }),
    inbound: (_method, call) =>
      new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, forward) => {
              if (isOnly(metadata.get(ENTRY), secret)) forward(metadata);
              else call.sendStatus({ code: status.UNAUTHENTICATED, details: 'this listener is not for you' });
            },
          }),
      }),
  };
}

const newSecret = () => randomBytes(32).toString('base64url');

/** Whether one value came, and is the secret; takes as long for every wrong one. */
export function isOnly([sent = '', ...others]: readonly MetadataValue[], secret: string): boolean {
  const [given, wanted] = [Buffer.from(String(sent)), Buffer.from(secret)];
  return others.length === 0 && given.length === wanted.length && timingSafeEqual(given, wanted);
}
