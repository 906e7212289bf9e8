// The gateway of the tests: HTTP and JSON in front of the ledger, with the options of docs/guide/gateways.md.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"example.com/gateway/gateway"
	"example.com/gateway/ledger"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Takes the address of the server, and the address at which the gateway listens.
func main() {
	login := func(r *http.Request) string { return r.Header.Get("Test-Login") }
	mux := runtime.NewServeMux(gateway.Options(login)...)
	plaintext := grpc.WithTransportCredentials(insecure.NewCredentials())
	server, err := grpc.NewClient("passthrough:///"+os.Args[1], plaintext, grpc.WithNoProxy())
	if err == nil {
		err = ledger.RegisterLedgerServiceHandler(context.Background(), mux, server)
	}
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[2], mux))
}
