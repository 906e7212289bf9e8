import { Verbatim } from './verbatim.js';

type ResponseSerialize = (response: never) => Buffer;
type RequestDeserialize = (bytes: Buffer) => unknown;

/** Bytes that only a protected definition makes of their `Verbatim`. A message type would add a field number. */
const probe = Buffer.from('grpc-replay-guard');

/** How servers have registered one protected method: with the guard's interceptor, and with the protected definition. */
export class Registration {
  /** The decoders of servers, each with whether a call of its server has reached the interceptor of the guard. */
  readonly #decoders = new WeakMap<RequestDeserialize, { isIntercepted: boolean }>();
  /** Whether a call has reached the interceptor with a decoder that another wrapper has made. */
  #isIntercepted = false;
  readonly #known = new WeakMap<ResponseSerialize, boolean>();
  readonly #onUnintercepted: () => void;

  /** @param onUnintercepted called for a request of a server whose calls do not reach the interceptor */
  constructor(onUnintercepted: () => void) {
    this.#onUnintercepted = onUnintercepted;
  }

  /**
   * Returns a decoder for one server. grpc-js creates the interceptors of a call before it decodes the request.
   * @param decode the decoder of the definition. A decoder that this method returned stays with its server
   * @param onRequest called for each request
   */
  decoder(
    decode: RequestDeserialize,
    onRequest: (message: object, bytes: Buffer) => void,
  ): RequestDeserialize {
    const server = this.#decoders.get(decode) ?? { isIntercepted: false };
    const decodeForServer = (bytes: Buffer) => {
      if (!server.isIntercepted && !this.#isIntercepted) this.#onUnintercepted();
      const message = decode(bytes) as object;
      onRequest(message, bytes);
      return message;
    };
    this.#decoders.set(decodeForServer, server);
    return decodeForServer;
  }

  /**
   * Must be called for each call that reaches the interceptor.
   * @param decoder the request decoder of the server
   */
  callIntercepted(decoder: RequestDeserialize): void {
    const server = this.#decoders.get(decoder);
    if (server) server.isIntercepted = true;
    else this.#isIntercepted = true;
  }

  /**
   * Whether a server sends the stored bytes of replies unchanged. A server that registered the definition without
   * `protect` would send an empty message with the status OK.
   * @param serialize the response encoder of the server
   */
  sendsVerbatim(serialize: ResponseSerialize): boolean {
    const known = this.#known.get(serialize);
    if (known !== undefined) return known;
    const sends = isVerbatim(serialize);
    this.#known.set(serialize, sends);
    return sends;
  }
}

function isVerbatim(serialize: ResponseSerialize): boolean {
  try {
    return probe.equals(serialize(new Verbatim(probe) as never));
  } catch {
    return false;
  }
}

const WARNINGS = {
  REPLAY_GUARD_NOT_INTERCEPTED: (service: string) =>
    `${service} is protected, but its server does not use the interceptor of the guard, so its calls run unguarded: ` +
    'create the server by new Server({ interceptors: [guard.interceptor] })',
  REPLAY_GUARD_NOT_PROTECTED: (service: string) =>
    `the guard protects no service, so the calls of ${service} run unguarded: ` +
    'add the service by server.addService(guard.protect(definition), handlers)',
  REPLAY_GUARD_INTERCEPTED_TWICE: (service: string) =>
    `the server of ${service} has the interceptor of the guard more than once, and only the first one has an effect: ` +
    'remove the others from interceptors',
  REPLAY_GUARD_NOT_REGISTERED: (service: string) =>
    `the server has ${service} without the definition that guard.protect returned, so its calls cannot be guarded: ` +
    'add the service by server.addService(guard.protect(definition), handlers)',
};

/** The process warnings about servers that use the guard in a wrong way. One warning for each service and code. */
export class RegistrationWarnings {
  readonly #emitted = new Set<string>();

  /** @param path the path of a method of the service */
  emit(code: keyof typeof WARNINGS, path: string): void {
    const [, service = ''] = path.split('/');
    if (this.#emitted.has(`${code} ${service}`)) return;
    this.#emitted.add(`${code} ${service}`);
    process.emitWarning(WARNINGS[code](service), { type: 'ReplayGuardWarning', code });
  }
}

/** Whether a method belongs to a service that servers add for operation, such as health or reflection. */
export function isOperational(path: string): boolean {
  return /^\/(grpc|envoy)\./.test(path);
}
