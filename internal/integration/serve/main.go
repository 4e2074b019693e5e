// Command serve runs servers for local development until it is interrupted: those
// named, or DynamoDB Local.
//
//	go -C internal/integration run ./serve
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	names := []servers.Name{servers.NameDynamoDBLocal}
	if len(os.Args) > 1 {
		names = nil
		for _, arg := range os.Args[1:] {
			names = append(names, servers.Name(arg))
		}
	}
	if err := servers.Serve(ctx, os.Stdout, names...); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		stop()
		os.Exit(1)
	}
}
