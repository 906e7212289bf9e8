/**
 * The maximum time between one lease from now and the end of a lease, in milliseconds. In normal operation clocks are
 * set back by less.
 */
export const MAX_LEASE_AHEAD_MS = 5_000;

/**
 * Whether the lease of an execution has run out. A lease ends at most one lease after its claim or renewal. If the
 * lease ends clearly later, the store's clock was set back after the claim. The lease then counts as run out. Otherwise
 * a crashed execution would keep its key until the clock has caught up. After a takeover the fence refuses the commit
 * of an execution that still runs.
 * @param leaseLeftMs the time until the end of the lease by the store's clock, in milliseconds
 * @param leaseMs the length of a lease, in milliseconds
 */
export function hasRunOut(leaseLeftMs: number, leaseMs: number): boolean {
  return leaseLeftMs <= 0 || leaseLeftMs > leaseMs + MAX_LEASE_AHEAD_MS;
}
