import type {
  AttemptMode,
  DatabaseEngine,
  OpenedSession,
  Session,
  Statement,
} from '#library/database/engine.js';

/** The changes that a bug makes to an engine. */
export interface EnginePatch {
  /** Replaces the text of a statement. */
  readonly rewrite?: (text: string) => string;
  /** Replaces a session. */
  readonly session?: (session: Session, engine: DatabaseEngine) => Session;
}

/** Returns an engine that passes every statement to another engine, with the changes of a bug. */
export function patchedEngine(
  engine: DatabaseEngine,
  { rewrite, session: replace }: EnginePatch,
): DatabaseEngine {
  const changed = (statement: Statement): Statement =>
    rewrite ? { ...statement, text: rewrite(statement.text) } : statement;
  /** The statements of a session are rewritten too. */
  const patched = (session: Session): Session => {
    const rewritten: Session = {
      query: (statement) => session.query(changed(statement)),
      commit: (last) => session.commit(last && changed(last)),
      rollback: () => session.rollback(),
    };
    return replace?.(rewritten, engine) ?? rewritten;
  };
  const methods: Partial<DatabaseEngine> = {
    open: async (first?: Statement): Promise<OpenedSession> => {
      const { session, rows } = await engine.open(first && changed(first));
      return { session: patched(session), rows };
    },
    run: async (statement) => engine.run(changed(statement)),
    attempt: async (first: Statement, instead: Statement, mode: AttemptMode) => {
      const attempt = await engine.attempt(changed(first), changed(instead), mode);
      if (!('rows' in attempt) || !attempt.session) return attempt;
      return { rows: attempt.rows, session: patched(attempt.session) };
    },
    read: async (statement) => engine.read(changed(statement)),
  };
  // The other members are those of the engine. Its methods need the engine as `this`.
  return new Proxy(engine, {
    get: (_engine, name) => {
      if (Object.hasOwn(methods, name)) return methods[name as keyof DatabaseEngine];
      const member: unknown = engine[name as keyof DatabaseEngine];
      return typeof member === 'function' ? member.bind(engine) : member;
    },
  });
}
