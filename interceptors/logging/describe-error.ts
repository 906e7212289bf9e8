/** The parts of an error that quote no values. */
export interface DescribedError {
  /** The name of the error, such as `TypeError`, or the type of a thrown value that is not an error. */
  readonly type: string;
  /** The code: of the library, of Node, of SQLite, of gRPC, or the SQLSTATE. */
  readonly code?: string | number;
  /** The message, if its text is known to quote no values. Otherwise a fixed text. */
  readonly message: string;
  /** The names that Postgres reports with the code: the constraint, the table, the column and similar parts. */
  readonly names?: Readonly<Record<string, string>>;
  /** The frames of the stack, without the message. */
  readonly stack?: string;
  /** The description of the cause. Absent after 5 causes. */
  readonly cause?: DescribedError;
}

const WITHHELD = 'withheld: the message may quote what a caller sent';
const MAX_CAUSES = 5;
/** The results of `describeError`. */
const descriptions = new WeakSet<object>();

/**
 * Describes an error for a log, without values. The message of an error may quote what a caller sent. For example, a
 * database names the wrong value, and JavaScript quotes a text that it cannot parse. So a message is kept only if it is
 * known to quote nothing: messages of the library, of failed connections and files, and of the database about its own
 * state. Up to 5 causes are described. Other fields of the error are left out: the `detail` of Postgres is the row. A
 * description is returned unchanged.
 */
export function describeError(error: unknown): DescribedError {
  if (typeof error === 'object' && error !== null && descriptions.has(error)) return error as DescribedError;
  const description = describe(error, MAX_CAUSES);
  descriptions.add(description);
  return description;
}

/** The description has no prototype. Otherwise the serializer of pino would log the name of its class as the type. */
function describe(error: unknown, causes: number): DescribedError {
  return Object.assign(Object.create(null), partsOf(error, causes));
}

function partsOf(error: unknown, causes: number): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: WITHHELD };
  const code = codeOf(error);
  const names = namesIn(error, code);
  const stack = framesOf(error);
  return {
    type: /^[\w$]{1,64}$/.test(String(error.name)) ? error.name : 'Error',
    ...(code !== undefined && { code }),
    message: harmlessMessage(error, code) ?? WITHHELD,
    ...(names && { names }),
    ...(stack && { stack }),
    ...(error.cause !== undefined && causes > 0 && { cause: describe(error.cause, causes - 1) }),
  };
}

/** Returns a description as text, for a process warning. */
export function outlineOf(error: unknown): string {
  const lines: string[] = [];
  for (let part: DescribedError | undefined = describeError(error); part; part = part.cause) {
    const code = part.code === undefined ? '' : ` (${part.code})`;
    lines.push(`${lines.length > 0 ? 'cause: ' : ''}${part.type}: ${part.message}${code}`);
    if (part.stack) lines.push(part.stack);
  }
  return lines.join('\n');
}

function codeOf(error: Error): string | number | undefined {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number') return code;
  return typeof code === 'string' && /^[A-Z0-9_]{2,64}$/.test(code) ? code : undefined;
}

/**
 * Messages of Node, grpc-js, jose and this library that quote nothing. Their errors have no code, or a code of many
 * messages.
 */
const harmlessTexts = [
  /^fetch failed$/,
  /^(The|This) operation was aborted( due to timeout)?$/,
  /^Connection terminated( unexpectedly| due to connection timeout)?$/,
  /^Expected 200 OK from the JSON Web Key Set HTTP response$/,
  /^the receiver answered \d{3}$/,
  /^not delivered within \d+ ms$/,
  /^a webhook sends JSON, but the payload of this event is binary$/,
  /^the stored payload is not valid JSON$/,
  /^no attempt recorded a result$/,
  /^the keys of the token issuer cannot be fetched$/,
  /^the database did not answer within \d+ ms$/,
  /^the client has disconnected$/,
  // The server of a call may add any text to these messages, so only the known part is kept.
  /^14 UNAVAILABLE: (Connection dropped|Name resolution failed|No connection established\.)/,
];

/** The known causes that grpc-js adds to the message of a failed connection. */
const lastErrors =
  /connect E[A-Z]{3,20} [\da-f.:]{2,44}[\da-f]|self-signed certificate( in certificate chain)?|certificate has expired|unable to (verify the first|get local issuer) certificate/;

/** SQLSTATE classes and codes of errors about connections, rights, resources and time-outs, and of missing tables. */
const harmlessStates = /^(08|25|28|3D|40|53|55|57|58)...$|^42P01$|^42501$/;

/**
 * Codes of errors whose messages quote nothing. Some errors of this library are thrown by the application, with a message of
 * its own: their codes are left out. So are the codes of SQLite for errors of triggers and functions of the application.
 */
const harmlessCodes = new RegExp(
  [
    '^REPLAY_GUARD_(?!UNDELIVERABLE|SUBSCRIPTION_ENDED|RETRY_LATER|SCOPE_UNAVAILABLE)',
    '^ERR_JWKS_',
    '^SQLITE_(BUSY|LOCKED|FULL|IOERR|CANTOPEN|CORRUPT|NOTADB|PERM|PROTOCOL|READONLY|NOMEM)',
    '^SQLITE_CONSTRAINT_(CHECK|FOREIGNKEY|NOTNULL|PRIMARYKEY|UNIQUE)$',
  ].join('|'),
);

/** Returns the message of an error, or a part of it, if it quotes nothing. */
function harmlessMessage(error: Error, code: string | number | undefined): string | undefined {
  const system = systemMessage(error);
  if (system) return system;
  const message = String(error.message);
  if (typeof code === 'string') {
    if (harmlessCodes.test(code)) return message;
    // A function of the application can raise any code, with a message of its own.
    const isRaised = 'routine' in error && error.routine === 'exec_stmt_raise';
    if ('severity' in error && harmlessStates.test(code) && !isRaised) return message;
  }
  const [known] = harmlessTexts.flatMap((text) => text.exec(message)?.[0] ?? []);
  const [lastError] = lastErrors.exec(message) ?? [];
  return known && lastError ? `${known} ${lastError}` : known;
}

/** Returns a new message for an error of the operating system, without paths and host names. */
function systemMessage(error: Error): string | undefined {
  const { syscall, code, address, port } = error as NodeJS.ErrnoException & {
    readonly address?: unknown;
    readonly port?: unknown;
  };
  if (!/^\w{1,32}$/.test(String(syscall)) || !/^E[A-Z0-9_]{1,31}$/.test(String(code))) return undefined;
  const target = /^[\da-f.:]{3,45}$/.test(String(address)) ? ` ${address}:${Number(port)}` : '';
  return `${syscall} ${code}${target}`;
}

const nameFields = ['severity', 'schema', 'table', 'column', 'dataType', 'constraint', 'routine'] as const;

/** Returns the names of parts of the schema that an error of Postgres has. */
function namesIn(error: Error, code: string | number | undefined): Record<string, string> | undefined {
  if (!('severity' in error) || typeof code !== 'string') return undefined;
  const fields = error as Partial<Record<(typeof nameFields)[number], unknown>>;
  const names: Record<string, string> = {};
  for (const field of nameFields) {
    const name = fields[field];
    if (typeof name === 'string') names[field] = name;
  }
  return names;
}

/**
 * Returns the frames of the stack. V8 writes the message before them. If the message was changed later, it cannot be cut
 * off, and the stack is left out.
 */
function framesOf({ stack, message }: Error): string {
  if (typeof stack !== 'string' || typeof message !== 'string') return '';
  const start = message ? stack.indexOf(message) : stack.indexOf('\n');
  const end = start + message.length;
  const wasChanged = start < 0 || stack[end] !== '\n' || (!message && stack.slice(0, start).includes(':'));
  const lines = wasChanged ? [] : stack.slice(end).split('\n');
  return lines.filter((line) => /^ {4}at .{1,500}$/.test(line)).join('\n');
}
