import { randomUUID } from 'node:crypto';
import { Controller, type OnModuleInit } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { Database } from 'grpc-replay-guard/database';
import { InjectDatabase } from 'grpc-replay-guard/nestjs';

@Controller()
export class Payments implements OnModuleInit {
  @InjectDatabase() private readonly database!: Database;

  async onModuleInit() {
    const steps = ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)'];
    await this.database.migrate('payments', steps);
  }

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
