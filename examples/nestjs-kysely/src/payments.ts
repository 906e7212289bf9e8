import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, RpcException } from '@nestjs/microservices';
import { Database } from './database.js';

@Controller()
export class PaymentService {
  @Inject(Database) private readonly database!: Database;

  @GrpcMethod()
  capture({ paymentId, account, amount }: { paymentId: string; account: string; amount: string }) {
    if (!(Number(amount) > 0))
      throw new RpcException({ code: status.INVALID_ARGUMENT, message: 'bad amount' });
    return this.database.transaction().execute(async (transaction) => {
      const { balance } = await transaction
        .insertInto('accounts')
        .values({ id: account, balance: amount })
        .onConflict((found) =>
          found.column('id').doUpdateSet((row) => ({
            balance: row('accounts.balance', '+', row.ref('excluded.balance')),
          })),
        )
        .returning('balance')
        .executeTakeFirstOrThrow();
      const captureId = randomUUID();
      const capture = { id: captureId, payment: paymentId, account, amount };
      await transaction.insertInto('captures').values(capture).execute();
      return { captureId, balance };
    });
  }

  @GrpcMethod()
  async getAccount({ account }: { account: string }) {
    const accounts = this.database.selectFrom('accounts').select('balance').where('id', '=', account);
    const captures = this.database.selectFrom('captures').select('id').where('account', '=', account);
    const { balance } = (await accounts.executeTakeFirst()) ?? { balance: '0' };
    return { balance, captureIds: (await captures.execute()).map(({ id }) => id) };
  }
}
