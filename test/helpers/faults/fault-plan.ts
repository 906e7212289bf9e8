import type { Database } from 'grpc-replay-guard/database';
import type { Claim, IdempotencyStore } from 'grpc-replay-guard/store';
import type { InventoryClient } from '#src/fulfilment/inventory-client.js';

/**
 * What goes wrong for a process, and when: after the n-th of the steps that it takes, before it hears how it went. The
 * steps are all that it asks of its database, its guard's store and the inventory; the end of the work of a
 * transaction is one, and its commit another.
 */
export class FaultPlan {
  /** Whether it has triggered in this life. */
  triggered = false;
  #steps = 0;
  #at = Number.POSITIVE_INFINITY;
  #then: 'crash' | 'continue' = 'crash';

  /** A life begins, in which fate strikes after a step, or never. */
  begin(at = Number.POSITIVE_INFINITY, then: 'crash' | 'continue' = 'crash'): void {
    this.#steps = 0;
    this.#at = at;
    this.#then = then;
    this.triggered = false;
  }

  database(real: Database): Database {
    return {
      dialect: real.dialect,
      query: (text, params) =>
        // Sent beside the work, at no certain step of it.
        text.includes('pg_notify') ? real.query(text, params) : this.#step(() => real.query(text, params)),
      transaction: (work) => this.#step(() => real.transaction(() => this.#step(work))),
      afterCommit: (action) => real.afterCommit(action),
      migrate: (component, steps) => real.migrate(component, steps),
    };
  }

  store(real: IdempotencyStore): IdempotencyStore {
    return {
      claim: async (request) => {
        const result = await real.claim(request);
        return result.outcome === 'claimed' ? { ...result, claim: this.#claim(result.claim) } : result;
      },
      find: (id) => real.find(id),
      findProducer: (id) => real.findProducer(id),
      purge: (limit) => real.purge(limit),
      estimateRecords: () => real.estimateRecords(),
      countLive: (scope, atMost) => real.countLive(scope, atMost),
      erase: (scope, limit) => real.erase(scope, limit),
      ping: () => real.ping(),
    };
  }

  inventory(real: InventoryClient): InventoryClient {
    return {
      currencyOf: (...given) => this.#step(() => real.currencyOf(...given)),
      reserve: (...given) => this.#step(() => real.reserve(...given)),
      getReservation: (...given) => this.#step(() => real.getReservation(...given)),
      confirm: (...given) => this.#step(() => real.confirm(...given)),
      release: (...given) => this.#step(() => real.release(...given)),
      receiveStock: (...given) => this.#step(() => real.receiveStock(...given)),
      close: () => real.close(),
    };
  }

  /** Around the commit; the real release rolls back for the dead. */
  #claim(real: Claim): Claim {
    return {
      takenOver: real.takenOver,
      expiresAtMs: real.expiresAtMs,
      lost: real.lost,
      run: (work) => real.run(work),
      complete: (reply) => this.#step(() => real.complete(reply)),
      fail: (reply) => this.#step(() => real.fail(reply)),
      release: () => real.release(),
      renew: () => real.renew(),
    };
  }

  async #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isDead) throw new Error('this process is dead');
    // What was asked happens, whether or not the answer is heard.
    const [answer] = await Promise.allSettled([work()]);
    if (++this.#steps === this.#at) this.triggered = true;
    if (this.#isDead || this.#steps === this.#at) throw new Error('the answer was lost');
    if (answer.status === 'rejected') throw answer.reason;
    return answer.value;
  }

  get #isDead(): boolean {
    return this.triggered && this.#then === 'crash';
  }
}
