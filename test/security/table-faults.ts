import type { Engine } from '../helpers/databases/engines.js';

/** A fault of a table: every new or changed row fails, and the error quotes the row. */
export interface TableFault {
  readonly table: string;
  /** The statement that makes the fault. */
  readonly fault: string;
  /** The statement that ends the fault. */
  readonly end: string;
}

const TABLES = ['orders', 'inventory_items', 'inventory_reservation_lines', 'replay_guard_records'] as const;

const inSqlite = (table: string, columns: string): TableFault => ({
  table,
  fault: `CREATE TRIGGER refused BEFORE ${table === 'inventory_items' ? 'UPDATE' : 'INSERT'} ON ${table}
    BEGIN SELECT RAISE(ABORT, 'no row like ' || ${columns}); END`,
  end: 'DROP TRIGGER refused',
});

/** The message of the error quotes the row. */
const byTrigger = (table: string, body: string): TableFault => ({
  table,
  fault: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN NEW; END $$;
    CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION refuse()`,
  end: 'DROP FUNCTION refuse() CASCADE',
});

/** The details of the error quote the row. */
const byConstraint = (table: string): TableFault => ({
  table,
  fault: `ALTER TABLE ${table} ADD CONSTRAINT refused CHECK (false) NOT VALID`,
  end: `ALTER TABLE ${table} DROP CONSTRAINT refused`,
});

/** The faults of each engine. */
export const tableFaults: Readonly<Record<Engine, readonly TableFault[]>> = {
  sqlite: [
    inSqlite('orders', 'NEW.customer_id || NEW.labels'),
    inSqlite('inventory_items', 'NEW.sku || NEW.name || NEW.unit_price_minor'),
    inSqlite('inventory_reservation_lines', 'NEW.sku'),
    inSqlite('replay_guard_records', 'hex(NEW.id)'),
  ],
  postgres: [
    ...TABLES.map(byConstraint),
    ...TABLES.map((table) => byTrigger(table, `RAISE EXCEPTION 'no row like %', NEW;`)),
    ...['check_violation', 'query_canceled', 'serialization_failure', 'connection_failure'].map((condition) =>
      byTrigger('orders', `RAISE EXCEPTION 'no row like %', NEW USING ERRCODE = '${condition}';`),
    ),
    byTrigger('orders', 'PERFORM NEW.customer_id::bigint;'),
    byTrigger('inventory_items', 'PERFORM (NEW.sku)::int;'),
  ],
};
