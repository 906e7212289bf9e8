/** What became of one delivery of a message. */
export type DeliveryOutcome =
  | 'processed'
  /** Processed before, so the work was not called. */
  | 'duplicate'
  /** Told to come later, because another delivery is being processed. */
  | 'in_progress'
  /** Everything else: the work threw, the database could not be used, the commit is in doubt. */
  | 'failed';

/** Is told what a consumer does. Implementations must be quick and must not throw. */
export interface ConsumerObserver {
  /** @param consumer the name in the code, never the id or the scope of a message */
  deliveryEnded(consumer: string, outcome: DeliveryOutcome): void;
  messagesPurged(count: number): void;
  /** A round of purging failed; the next one begins anew. */
  purgeFailed(error: unknown): void;
}

/** Every method of the observer. */
export const observerMethods: { readonly [Name in keyof ConsumerObserver]: true } = {
  deliveryEnded: true,
  messagesPurged: true,
  purgeFailed: true,
};
