/** The migration steps of the table of orders. A released step must not change. */
export const orderSchema: readonly string[] = [
  `CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    lines TEXT NOT NULL,
    total_minor BIGINT NOT NULL CHECK (total_minor >= 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('PLACED', 'CANCELLED')),
    reservation_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    labels TEXT NOT NULL,
    cancel_reason TEXT
  )`,
  'CREATE INDEX orders_by_customer ON orders (customer_id, created_at, order_id)',
];
