package genkit_test

import (
	"context"
	"fmt"
	"log"

	"github.com/firebase/genkit/go/core/x/session"

	"github.com/genaistore/genaistore/adapters/genkit"
	"github.com/genaistore/genaistore/memory"
)

type cart struct{ Items []string }

// A flow finds its session again, here in this process; with the DynamoDB backend of
// package memory it does so on any machine.
func Example() {
	ctx := context.Background()
	store, err := genkit.New[cart](&memory.InMemory{}, memory.Key{App: "shop", User: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	s, err := session.New(ctx, session.WithStore(store), session.WithID[cart]("s1"))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.UpdateState(ctx, cart{Items: []string{"tea"}}); err != nil {
		log.Fatal(err)
	}

	again, err := session.Load(ctx, store, "s1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.State().Items)
	// Output:
	// [tea]
}
