/** The component that the table belongs to in the database's list of schemas. */
export const COMPONENT = 'grpc-replay-guard/consumer';

/** The table of processed messages, step by step; a step that was released is never changed. */
export const schema: readonly string[] = [
  `CREATE TABLE replay_guard_messages (
    expires_at BIGINT NOT NULL,
    id BYTEA NOT NULL PRIMARY KEY
  )`,
  'CREATE INDEX replay_guard_messages_expiry ON replay_guard_messages (expires_at)',
];
