import { parseArgs } from 'node:util';
import { type EngineName, type PartName, partNames } from './components.js';

/** The commands of the program. */
export const commands = ['migrate', 'plans', 'doctor'] as const;
/** One of `commands`. */
export type Command = (typeof commands)[number];

/** The command and its options, from the arguments and the environment. */
export interface Asked {
  readonly command: Command;
  readonly engine: EngineName;
  /** `sqlite:PATH` or `postgres://...`. Absent for plans of all steps. */
  readonly url?: string;
  readonly schema?: string;
  readonly parts: readonly PartName[];
  /** The role in the grants of a plan, or the role whose privileges are checked. */
  readonly role?: string;
  readonly isPooled: boolean;
  /** Whether the claims of earlier versions are refused, too. */
  readonly hasFence: boolean;
  readonly asJson: boolean;
}

/** The arguments are wrong. The message is for the user, and quotes no address of a database. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The arguments ask for help. */
export class HelpRequest extends UsageError {
  override name = 'HelpRequest';
}

/** How to use the program. */
export const usage = `grpc-replay-guard COMMAND [options]

  migrate   apply the missing migration steps
  plans     print the SQL of the missing steps, and the grants of a server; change nothing
  doctor    print the state of the database; exit code 1 if something is wrong

  --database-url URL   sqlite:PATH or postgres://...; default: DATABASE_URL
  --engine ENGINE      plans only: sqlite or postgres; prints all steps, without a database
  --schema NAME        the schema of the tables (Postgres)
  --part PART          guard, outbox or consumer; may be repeated; default: all
  --role NAME          the role of the servers: for the grants, and for doctor (Postgres)
  --pooler             the database is behind a pooler in transaction mode (Postgres)
  --fence              migrate and plans only: also refuse the claims of servers of earlier versions
  --json               print JSON`;

/**
 * Reads the arguments, and DATABASE_URL from the environment.
 * @throws UsageError when they are wrong
 * @throws HelpRequest when they ask for help
 */
export function readArguments(args: readonly string[], env: NodeJS.ProcessEnv): Asked {
  const { values, positionals } = parse(args);
  const command = commands.find((name) => name === positionals[0]);
  if (values.help) throw new HelpRequest(usage);
  if (!command || positionals.length > 1) throw new UsageError(usage);
  const parts = (values.part ?? partNames).map((name) => {
    const part = partNames.find((each) => each === name);
    if (!part) throw new UsageError(`--part must be one of ${partNames.join(', ')}`);
    return part;
  });
  const common = {
    command,
    parts,
    isPooled: values.pooler ?? false,
    hasFence: values.fence ?? false,
    asJson: values.json ?? false,
    ...(values.schema !== undefined && { schema: values.schema }),
    ...(values.role !== undefined && { role: values.role }),
  };
  if (command === 'migrate' && values.role !== undefined) refuse('--role is for plans and doctor');
  if (command === 'doctor' && values.fence) refuse('--fence is for migrate and plans');
  if (values.fence && !parts.includes('guard')) refuse('--fence needs the part guard');
  const asked = { ...common, ...databaseOf(command, values, env) };
  for (const name of ['schema', 'role', 'pooler'] as const) {
    if (asked.engine === 'sqlite' && values[name] !== undefined) refuse(`--${name} is for Postgres`);
  }
  return asked;
}

/** Returns the engine, and the address unless the plans of all steps are asked for. */
function databaseOf(
  command: Command,
  values: { readonly engine?: string | undefined; readonly 'database-url'?: string | undefined },
  env: NodeJS.ProcessEnv,
): Pick<Asked, 'engine' | 'url'> {
  const { engine, 'database-url': given } = values;
  if (engine !== undefined) {
    if (command !== 'plans') refuse('--engine is for plans');
    if (given !== undefined)
      refuse('--engine prints all steps, without a database: leave --database-url out');
    if (engine === 'sqlite' || engine === 'postgres') return { engine };
    refuse('--engine must be sqlite or postgres');
  }
  const url = given ?? env.DATABASE_URL;
  if (!url) refuse('name the database by --database-url or DATABASE_URL');
  if (/^postgres(ql)?:\/\//i.test(url)) return { engine: 'postgres', url };
  if (/^sqlite:(?!:memory:)./.test(url)) return { engine: 'sqlite', url };
  refuse('the address of the database must be sqlite:PATH or postgres://...');
}

function refuse(reason: string): never {
  throw new UsageError(reason);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        'database-url': { type: 'string' },
        engine: { type: 'string' },
        schema: { type: 'string' },
        part: { type: 'string', multiple: true },
        role: { type: 'string' },
        pooler: { type: 'boolean' },
        fence: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    // The message of Node is not used, because it may quote an argument, and an argument may be an address.
    const code = error instanceof Error && 'code' in error ? error.code : '';
    throw new UsageError(
      code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' ? `an option is unknown\n\n${usage}` : usage,
    );
  }
}
