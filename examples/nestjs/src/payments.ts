import { randomUUID } from 'node:crypto';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { Database } from 'grpc-replay-guard/database';

/** The injection token of the database. */
export const DATABASE = Symbol('database');

@Controller()
export class Payments {
  @Inject(DATABASE) private readonly database!: Database;

  @GrpcMethod()
  async charge({ account, amount }: { account: string; amount: number }) {
    const paymentId = randomUUID();
    await this.database.query('INSERT INTO payments VALUES ($1, $2, $3)', [paymentId, account, amount]);
    return { paymentId };
  }

  @GrpcMethod()
  async getAccount({ account }: { account: string }) {
    const rows = await this.database.query('SELECT id FROM payments WHERE account = $1', [account]);
    return { paymentIds: rows.map(({ id }) => id) };
  }
}
