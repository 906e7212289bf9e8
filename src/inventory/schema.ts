/** The migration steps of the inventory's tables. A released step must not change. */
export const inventorySchema: readonly string[] = [
  `CREATE TABLE inventory_items (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    unit_price_minor BIGINT NOT NULL CHECK (unit_price_minor >= 0),
    currency TEXT NOT NULL,
    on_hand BIGINT NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    CHECK (reserved <= on_hand)
  )`,
  `CREATE TABLE inventory_reservations (
    reservation_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('HELD', 'CONFIRMED', 'RELEASED', 'EXPIRED')),
    expires_at BIGINT NOT NULL
  )`,
  `CREATE TABLE inventory_reservation_lines (
    reservation_id TEXT NOT NULL REFERENCES inventory_reservations (reservation_id),
    sku TEXT NOT NULL REFERENCES inventory_items (sku),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    unit_price_minor BIGINT NOT NULL,
    PRIMARY KEY (reservation_id, sku)
  )`,
  // The index covers only holds, so it stays small when there are many ended reservations.
  `CREATE INDEX inventory_holds_by_expiry ON inventory_reservations (expires_at) WHERE state = 'HELD'`,
];
