import { Verbatim } from './verbatim.js';

type ResponseSerialize = (response: never) => Buffer;

/** Bytes that only a protected definition makes of their `Verbatim`. A message type would add a field number. */
const probe = Buffer.from('grpc-replay-guard');

/** How servers have registered one protected method: with the guard's interceptor, and with the protected definition. */
export class Registration {
  /** Whether a call of the method has reached the interceptor of the guard. */
  isIntercepted = false;
  readonly #known = new WeakMap<ResponseSerialize, boolean>();
  readonly #onUnintercepted: () => void;

  /** @param onUnintercepted called for a request of the method if no request has reached the interceptor so far */
  constructor(onUnintercepted: () => void) {
    this.#onUnintercepted = onUnintercepted;
  }

  /** Must be called for each decoded request. grpc-js creates the interceptors of a call before that. */
  requestDecoded(): void {
    if (!this.isIntercepted) this.#onUnintercepted();
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
  REPLAY_GUARD_NOT_REGISTERED: (service: string) =>
    `the server has ${service} without the definition that guard.protect returned, so its calls cannot be guarded: ` +
    'add the service by server.addService(guard.protect(definition), handlers)',
};

/** The process warnings about servers on which the guard has no effect. One warning for each service and code. */
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
