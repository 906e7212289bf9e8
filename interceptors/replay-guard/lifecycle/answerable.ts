import type { FoundRecord, NotClaimed } from '../../store/store.js';
import { refusals } from '../refusal/refusal.js';

/** What may still be answered with the reply of an execution. */
export type Answerable = Extract<FoundRecord, { outcome: 'completed' | 'in-progress' }>;

/**
 * What was found where a key, or a place in a series, was not claimed.
 * @throws Refusal where that says all
 */
export function answerable(result: NotClaimed): Answerable {
  switch (result.outcome) {
    case 'expired':
      throw refusals.keyExpired();
    case 'erased':
      throw refusals.replyErased();
    case 'gap':
      throw refusals.sequenceGap(result.expected);
    case 'fenced':
      throw refusals.producerFenced(result.epoch);
    case 'outdated':
      throw refusals.sequenceOutdated();
    case 'unreadable':
      throw refusals.replyUnreadable();
    default:
      return result;
  }
}
