package eino_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudwego/eino/compose"

	"github.com/genaistore/genaistore/adapters/eino"
	"github.com/genaistore/genaistore/memory"
)

// A run waits for a human between two steps, here in this process; with the DynamoDB
// backend of package memory any machine may go on with it.
func Example() {
	ctx := context.Background()
	checkPoints, err := eino.NewCheckPoints(&memory.InMemory{}, memory.Key{App: "shop", User: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	chain := compose.NewChain[string, string]()
	chain.AppendLambda(compose.InvokableLambda(func(_ context.Context, order string) (string, error) { return "paid " + order, nil }), compose.WithNodeKey("pay"))
	chain.AppendLambda(compose.InvokableLambda(func(_ context.Context, order string) (string, error) { return "shipped " + order, nil }), compose.WithNodeKey("ship"))
	run, err := chain.Compile(ctx, compose.WithCheckPointStore(checkPoints), compose.WithInterruptBeforeNodes([]string{"ship"}))
	if err != nil {
		log.Fatal(err)
	}

	_, err = run.Invoke(ctx, "tea", compose.WithCheckPointID("order-1"))
	_, waiting := compose.ExtractInterruptInfo(err)
	fmt.Println("waiting:", waiting)
	out, err := run.Invoke(ctx, "", compose.WithCheckPointID("order-1"))
	fmt.Println(out, err)
	// Output:
	// waiting: true
	// shipped paid tea <nil>
}
