import type { Row } from 'grpc-replay-guard/database';
import type {
  Attempt,
  AttemptMode,
  DatabaseEngine,
  OpenedSession,
  Peeked,
  Session,
  Statement,
} from '#library/database/engine.js';

/** What a bug changes in an engine. */
export interface EnginePatch {
  /** Replaces the text of a statement. */
  readonly rewrite?: (text: string) => string;
  /** Replaces a session. */
  readonly session?: (session: Session, engine: DatabaseEngine) => Session;
}

/** Passes every statement to another engine, with the changes of a bug. */
export class PatchedEngine implements DatabaseEngine {
  readonly #engine: DatabaseEngine;
  readonly #patch: EnginePatch;
  readonly peek?: (statement: Statement) => Peeked | undefined;

  constructor(engine: DatabaseEngine, patch: EnginePatch) {
    this.#engine = engine;
    this.#patch = patch;
    if (engine.peek) this.peek = (statement) => engine.peek?.(this.#changed(statement));
  }

  get name() {
    return this.#engine.name;
  }

  get now() {
    return this.#engine.now;
  }

  get hasSeparateReader() {
    return this.#engine.hasSeparateReader;
  }

  get time() {
    return this.#engine.time;
  }

  get unitLimitMs() {
    return this.#engine.unitLimitMs;
  }

  async open(first?: Statement): Promise<OpenedSession> {
    const { session, rows } = await this.#engine.open(first && this.#changed(first));
    return { session: this.#patched(session), rows };
  }

  async openMigration(): Promise<OpenedSession> {
    return this.#engine.openMigration();
  }

  async run(statement: Statement): Promise<Row[]> {
    return this.#engine.run(this.#changed(statement));
  }

  async attempt(first: Statement, instead: Statement, mode: AttemptMode): Promise<Attempt> {
    const attempt = await this.#engine.attempt(this.#changed(first), this.#changed(instead), mode);
    if (!('rows' in attempt) || !attempt.session) return attempt;
    return { rows: attempt.rows, session: this.#patched(attempt.session) };
  }

  mayOnlyRead(text: string): boolean {
    return this.#engine.mayOnlyRead(text);
  }

  async read(statement: Statement): Promise<Row[] | undefined> {
    return this.#engine.read(this.#changed(statement));
  }

  #changed(statement: Statement): Statement {
    const { rewrite } = this.#patch;
    return rewrite ? { ...statement, text: rewrite(statement.text) } : statement;
  }

  /** The statements of a session are rewritten too. */
  #patched(session: Session): Session {
    const rewritten: Session = {
      query: (statement) => session.query(this.#changed(statement)),
      commit: (last) => session.commit(last && this.#changed(last)),
      rollback: () => session.rollback(),
    };
    return this.#patch.session?.(rewritten, this.#engine) ?? rewritten;
  }
}
