/** A Python program that calls the ledger with the Python snippet of clients.md. It encodes its messages by hand. */
export const pythonMain = `
import sys
import grpc
from retrying import new_intent, send_until_known

options = [("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]
channel = grpc.insecure_channel(sys.argv[1], options=options)
append = channel.unary_unary(
    "/test.v1.LedgerService/Append", request_serializer=lambda b: b, response_deserializer=lambda b: b
)


def call(account, intent, in_doubt=False):
    request = bytes([10, len(account)]) + account.encode()
    outcome, _ = send_until_known(append, request, intent, in_doubt)
    print(account, outcome)


lossy = new_intent()
call("lossy", lossy)
call("retry", lossy, in_doubt=True)
call("other", lossy)
for account in ["broke", "login", "doubt", "strict"]:
    call(account, new_intent())
late = {**new_intent(), "first_sent": "2020-01-01T00:00:00Z"}
call("late", late)
call("late", late, in_doubt=True)
# A hop without a guard, which copies the details of other calls.
channel = grpc.insecure_channel(sys.argv[2], options=options)
append = channel.unary_unary(
    "/test.v1.LedgerService/Append", request_serializer=lambda b: b, response_deserializer=lambda b: b
)
for account in ["quota", "mixed", "text"]:
    call(account, new_intent())
`;

/** A Go program that makes the same calls with the Go snippet. */
export const goMain = `package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"example.com/shop/orders"
	"google.golang.org/grpc"
)

type raw struct{}

func (raw) Marshal(v interface{}) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                               { return "proto" }

func main() {
	dial := func(address string) *grpc.ClientConn {
		conn, err := grpc.Dial(address, grpc.WithInsecure(), grpc.WithDisableRetry())
		if err != nil {
			panic(err)
		}
		return conn
	}
	conn := dial(os.Args[1])
	call := func(account string, intent orders.Intent, inDoubt bool) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		request := append([]byte{10, byte(len(account))}, account...)
		var reply []byte
		outcome, _ := orders.SendUntilKnown(ctx, intent, inDoubt, func(ctx context.Context, opts ...grpc.CallOption) error {
			opts = append(opts, grpc.ForceCodec(raw{}))
			return conn.Invoke(ctx, "/test.v1.LedgerService/Append", &request, &reply, opts...)
		})
		fmt.Println(account, outcome)
	}
	lossy := orders.NewIntent()
	call("lossy", lossy, false)
	call("retry", lossy, true)
	call("other", lossy, false)
	for _, account := range []string{"broke", "login", "doubt", "strict"} {
		call(account, orders.NewIntent(), false)
	}
	late := orders.Intent{Key: "late", FirstSent: "2020-01-01T00:00:00Z"}
	call("late", late, false)
	call("late", late, true)
	// A hop without a guard, which copies the details of other calls.
	conn = dial(os.Args[2])
	for _, account := range []string{"quota", "mixed", "text"} {
		call(account, orders.NewIntent(), false)
	}
}
`;

/** The generated Go types that the second Go snippet uses. */
export const goPb = `package pb

import (
	"context"

	"google.golang.org/grpc"
)

type PlaceOrderRequest struct{}

type PlaceOrderResponse struct{}

type OrderServiceClient interface {
	PlaceOrder(ctx context.Context, in *PlaceOrderRequest, opts ...grpc.CallOption) (*PlaceOrderResponse, error)
}
`;

/** A Go function around the second Go snippet. */
export const goUse = (snippet: string) => `package use

import (
	"context"

	"example.com/shop/orders"
	"example.com/shop/pb"
	"google.golang.org/grpc"
)

// Place places an order.
func Place(
	ctx context.Context, client pb.OrderServiceClient, request *pb.PlaceOrderRequest, intent orders.Intent,
) (*pb.PlaceOrderResponse, orders.Outcome, error) {
	${snippet}
	return placed, outcome, err
}
`;
