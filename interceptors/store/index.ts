export { hasRunOut } from './lease.js';
export type { OpenStore } from './open-store.js';
export {
  decideSequence,
  isSequenceRequest,
  type SequenceDecision,
  type SequenceRequest,
} from './producer/sequence-rules.js';
export {
  type KeptReply,
  SEQUENCE_WINDOW_SIZE,
  SequenceWindow,
  UnreadableWindowError,
} from './producer/sequence-window.js';
export type {
  Atomicity,
  Claim,
  ClaimRequest,
  ClaimResult,
  ErasedBatch,
  FirstSent,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
  NotClaimed,
  PurgedBatch,
  RecordAddress,
  SequenceGap,
  SequenceRefusal,
  SeriesPosition,
  StoreMarks,
} from './store.js';
