import type { Database } from 'grpc-replay-guard/database';
import type { Claim, IdempotencyStore } from 'grpc-replay-guard/store';
import type { InventoryClient } from '#src/fulfilment/inventory-client.js';

/**
 * Makes one step of a process fail: the step takes effect, but its result is lost. Every request to the database, to
 * the guard's store and to the inventory is a step. In a transaction, the end of the work is one step and the commit
 * is another.
 */
export class FaultPlan {
  /** Whether the planned fault has happened since `begin`. */
  triggered = false;
  #steps = 0;
  #at = Number.POSITIVE_INFINITY;
  #then: 'crash' | 'continue' = 'crash';

  /**
   * Sets the count of steps to zero.
   * @param at the number of the step that fails; by default no step fails
   * @param then whether every later step fails too, as after a crash of the process
   */
  begin(at = Number.POSITIVE_INFINITY, then: 'crash' | 'continue' = 'crash'): void {
    this.#steps = 0;
    this.#at = at;
    this.#then = then;
    this.triggered = false;
  }

  /** Wraps a database so that its statements and transactions are steps of this plan. */
  database(real: Database): Database {
    return {
      dialect: real.dialect,
      query: (text, params) =>
        // A notification is sent at no fixed point of the work, so it cannot have a step number.
        text.includes('pg_notify') ? real.query(text, params) : this.#step(() => real.query(text, params)),
      execute: (text, params) => this.#step(() => real.execute(text, params)),
      transaction: (work) => this.#step(() => real.transaction(() => this.#step(work))),
      afterCommit: (action) => real.afterCommit(action),
      current: () => this.database(real.current()),
      migrate: (component, steps) => real.migrate(component, steps),
    };
  }

  /** Wraps a store so that the commit of each claim is a step of this plan. */
  store(real: IdempotencyStore): IdempotencyStore {
    return {
      claim: async (request) => {
        const result = await real.claim(request);
        return result.outcome === 'claimed' ? { ...result, claim: this.#claim(result.claim) } : result;
      },
      find: (address) => real.find(address),
      findProducer: (address) => real.findProducer(address),
      purge: (limit, after) => real.purge(limit, after),
      estimateRecords: () => real.estimateRecords(),
      countLive: (scope, atMost) => real.countLive(scope, atMost),
      erase: (scope, limit, after) => real.erase(scope, limit, after),
      ping: () => real.ping(),
    };
  }

  /** Wraps an inventory client so that each call is a step of this plan. */
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

  /** Only the end of a claim is a step. The real `release` also rolls back after a simulated crash. */
  #claim(real: Claim): Claim {
    return {
      takenOver: real.takenOver,
      get expiresAtMs() {
        return real.expiresAtMs;
      },
      lost: real.lost,
      run: (...given) => real.run(...given),
      complete: (reply) => this.#step(() => real.complete(reply)),
      fail: (reply) => this.#step(() => real.fail(reply)),
      release: () => real.release(),
      renew: () => real.renew(),
    };
  }

  async #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#hasCrashed) throw new Error('this process has crashed');
    // The request takes effect even if its result is lost.
    const [result] = await Promise.allSettled([work()]);
    if (++this.#steps === this.#at) this.triggered = true;
    if (this.#hasCrashed || this.#steps === this.#at) throw new Error('the result was lost');
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  }

  get #hasCrashed(): boolean {
    return this.triggered && this.#then === 'crash';
  }
}
