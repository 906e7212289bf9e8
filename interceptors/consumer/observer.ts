/** The values of `DeliveryOutcome`. */
export const deliveryOutcomes = ['processed', 'duplicate', 'in_progress', 'failed'] as const;

/**
 * The outcome of one delivery of a message.
 *
 * | outcome | meaning | |---|---| | `processed` | the work was called and has committed | | `duplicate` | an earlier
 * delivery was processed, so the work was not called | | `in_progress` | another delivery is being processed, so the
 * broker must deliver the message again later | | `failed` | the work threw, the database was unavailable, the commit is
 * in doubt, or the message is invalid |
 */
export type DeliveryOutcome = (typeof deliveryOutcomes)[number];

/**
 * Receives the events of a consumer. The methods must return quickly. An error of a method has no effect on deliveries.
 * The first error of each method becomes a process warning with the code `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface ConsumerObserver {
  /** @param consumer the `consumer` of the message name; its id and scope are never passed */
  deliveryEnded(consumer: string, outcome: DeliveryOutcome): void;
  /** @param count how many records one batch of the pruner deleted */
  messagesPurged(count: number): void;
  /** A run of the pruner failed. The next run starts again. */
  purgeFailed(error: unknown): void;
}

/** The names of all methods of the observer. */
export const consumerObserverMethods: { readonly [Name in keyof ConsumerObserver]: true } = {
  deliveryEnded: true,
  messagesPurged: true,
  purgeFailed: true,
};
