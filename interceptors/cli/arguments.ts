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
  readonly asJson: boolean;
}

/** The arguments are wrong, or ask for help. The message is for the user, and quotes no address of a database. */
export class UsageError extends Error {
  override name = 'UsageError';
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
  --pooler             the database is behind a pooler in transaction mode
  --json               print JSON`;

/**
 * Reads the arguments, and DATABASE_URL from the environment.
 * @throws UsageError when they are wrong, or ask for help
 */
export function readArguments(args: readonly string[], env: NodeJS.ProcessEnv): Asked {
  const { values, positionals } = parse(args);
  const command = commands.find((name) => name === positionals[0]);
  if (values.help || !command || positionals.length > 1) throw new UsageError(usage);
  const parts = (values.part ?? partNames).map((name) => {
    const part = partNames.find((each) => each === name);
    if (!part) throw new UsageError(`--part must be one of ${partNames.join(', ')}`);
    return part;
  });
  const common = {
    command,
    parts,
    isPooled: values.pooler ?? false,
    asJson: values.json ?? false,
    ...(values.schema !== undefined && { schema: values.schema }),
    ...(values.role !== undefined && { role: values.role }),
  };
  if (values.engine !== undefined) {
    if (command !== 'plans') throw new UsageError('--engine is for plans only');
    if (values.engine !== 'sqlite' && values.engine !== 'postgres') {
      throw new UsageError('--engine must be sqlite or postgres');
    }
    return { ...common, engine: values.engine };
  }
  const url = values['database-url'] ?? env.DATABASE_URL;
  if (!url) throw new UsageError('name the database by --database-url or DATABASE_URL');
  if (/^postgres(ql)?:\/\//.test(url)) return { ...common, engine: 'postgres', url };
  if (/^sqlite:./.test(url)) return { ...common, engine: 'sqlite', url };
  throw new UsageError('the address of the database must be sqlite:PATH or postgres://...');
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
