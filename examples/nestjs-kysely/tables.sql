CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE captures (id uuid PRIMARY KEY, payment text NOT NULL, account text NOT NULL REFERENCES accounts, amount bigint NOT NULL);
GRANT SELECT, INSERT, UPDATE ON accounts, captures TO payments_app;
