import type { Outbox as EventOutbox } from 'grpc-replay-guard/outbox';

/** The part of the outbox that services use: they append events in the transaction of their changes. */
export type Outbox = Pick<EventOutbox, 'append'>;
