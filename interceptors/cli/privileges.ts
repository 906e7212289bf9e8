import { type Component, objectsOf, privilegesOn } from './components.js';
import type { Findings } from './findings.js';
import type { ReadDatabase } from './opened.js';

/** A schema of the tables, and the role that uses them. */
export interface Access {
  readonly schema: string;
  readonly role: string;
}

/** Returns a name as an identifier of SQL. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Returns the statement that gives a role the right to use a schema. */
export function grantUsage({ schema, role }: Access): string {
  return `GRANT USAGE ON SCHEMA ${identifier(schema)} TO ${identifier(role)}`;
}

/** Returns the statement that gives a role privileges on a table. */
export function grantOn(table: string, privileges: readonly string[], { schema, role }: Access): string {
  const name = `${identifier(schema)}.${identifier(table)}`;
  return `GRANT ${privileges.join(', ')} ON TABLE ${name} TO ${identifier(role)}`;
}

const heldTables = `SELECT relname AS name, privilege
  FROM pg_catalog.pg_class CROSS JOIN unnest(CAST($1 AS TEXT[])) AS each (privilege)
  WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2)
    AND relname = ANY (CAST($3 AS TEXT[])) AND NOT has_table_privilege($4, pg_class.oid, privilege)`;

/** Finds the privileges that a role lacks to serve calls. Reads only what every role may read. */
export async function checkPrivileges(
  { query }: Pick<ReadDatabase, 'query'>,
  components: readonly Component[],
  access: Access,
  { problems, mending, notes }: Findings,
): Promise<void> {
  const { schema, role } = access;
  const [found] = await query<{ may_log_in: boolean }>(
    'SELECT rolcanlogin AS may_log_in FROM pg_catalog.pg_roles WHERE rolname = $1',
    [role],
  );
  if (!found) {
    problems.push(`there is no role ${role}`);
    return;
  }
  if (!found.may_log_in) notes.push(`the role ${role} may not log in: servers connect as its members`);
  const [on] = await query<{ name: string; may_connect: boolean; may_use: boolean | null }>(
    `SELECT current_database() AS name, has_database_privilege($1, current_database(), 'CONNECT') AS may_connect,
       (SELECT has_schema_privilege($1, oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = $2) AS may_use`,
    [role, schema],
  );
  if (on?.may_connect === false) {
    problems.push(`the role ${role} may not connect to the database ${on.name}`);
    mending.push(`GRANT CONNECT ON DATABASE ${identifier(on.name)} TO ${identifier(role)}`);
  }
  if (on?.may_use === false) {
    problems.push(`the role ${role} lacks USAGE on the schema ${schema}`);
    mending.push(grantUsage(access));
  }
  const tables = components.flatMap(({ part }) => objectsOf(part, 'postgres').tables);
  const lacking = await query(heldTables, [`{${allPrivileges}}`, schema, `{${tables.join()}}`, role]);
  for (const table of tables) {
    const privileges = privilegesOn(table).filter((privilege) =>
      lacking.some((row) => row.name === table && row.privilege === privilege),
    );
    if (privileges.length === 0) continue;
    problems.push(`the role ${role} lacks ${privileges.join(', ')} on ${table}`);
    mending.push(grantOn(table, privileges, access));
  }
}

const allPrivileges = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].join();
