package dynamomemory_test

import (
	"context"
	"fmt"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

func Example() {
	ctx := context.Background()
	client := awsfake.NewDynamoDB().Client() // yours: dynamodb.NewFromConfig(cfg)
	if _, err := dynamomemory.EnsureTable(ctx, client, "talks", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true}); err != nil {
		fmt.Println(err)
		return
	}
	store, err := dynamomemory.New(client, "talks", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	session := memory.Key{Tenant: "acme", App: "support", User: "ada", Session: "s1"}
	for _, text := range []string{"hello", "are you there?"} {
		if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	var m meter.Meter
	window, err := store.Open(meter.With(ctx, &m), session, nil)
	fmt.Println(len(window.Records), "records in", m.Cost().Requests, "request", err)
	// Output: 2 records in 1 request <nil>
}
