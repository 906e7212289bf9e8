import type { Outbox as EventOutbox } from 'grpc-replay-guard/outbox';

/** Where the services write down what happened, in the transaction in which it happens. */
export type Outbox = Pick<EventOutbox, 'append'>;
