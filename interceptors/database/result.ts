/** A value as the engine returns it: a value of SQLite, or on Postgres the text of the value. */
export type RawValue = string | number | bigint | Buffer | null;

/** A column of a result. */
export interface Column {
  readonly name: string;
  /**
   * The type. On Postgres the OID of the type. On SQLite the type that the table declares, in capitals, or an empty text
   * for an expression.
   */
  readonly type: number | string;
  /** Converts a value to the form that `rows` has. */
  toValue(value: RawValue): unknown;
  /** Converts a value to the form that the driver of the engine (pg, better-sqlite3) gives to the application. */
  toDriverValue(value: RawValue): unknown;
}

/** The result of `execute`. */
export interface Result<R extends object = Record<string, unknown>> {
  /** The rows, by column name. If two columns have one name, the row has the value of the last one. */
  readonly rows: R[];
  /**
   * The number of rows that an INSERT, UPDATE, DELETE or MERGE has written. 0 for every other statement. Rows that a
   * trigger or a foreign key has written do not count.
   */
  readonly affectedRows: number;
  /** The first word of the executed statement in capitals, for example INSERT. For a query it is SELECT. */
  readonly command: string;
  /** The row id of the row that was inserted last. SQLite only, and only without RETURNING. */
  readonly lastRowId: bigint | undefined;
  /** The columns. Empty if the statement returns no rows. */
  readonly columns: readonly Column[];
  /** The rows as lists of unconverted values, in the order of `columns`. For adapters of query builders. */
  readonly values: readonly (readonly RawValue[])[];
}

/** A result that an engine fills. Conversions run when `rows` is first read. */
export class StatementResult<R extends object> implements Result<R> {
  affectedRows = 0;
  command = '';
  lastRowId: bigint | undefined;
  columns: readonly Column[] = [];
  values: (readonly RawValue[])[] = [];
  #rows: R[] | undefined;

  get rows(): R[] {
    this.#rows ??= this.values.map((values) => {
      const row: Record<string, unknown> = {};
      for (const [index, column] of this.columns.entries())
        row[column.name] = column.toValue(values[index] as RawValue);
      return row as R;
    });
    return this.#rows;
  }

  /** Forgets the values of an attempt, because the statement is sent again. */
  clear(): void {
    this.values = [];
  }
}
