package otel_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/genaistore/genaistore/adapters/otel"
	"github.com/genaistore/genaistore/memory"
)

func Example() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter()
	observer, err := otel.New(&otel.Options{Traces: trace.NewTracerProvider(trace.WithSyncer(spans))})
	if err != nil {
		log.Fatal(err)
	}
	store := observer.Memory(&memory.InMemory{})

	key := memory.Key{App: "travel", User: "ada", Session: "s1"}
	if _, err := store.Append(ctx, key, memory.Entry{Messages: []memory.Message{memory.Text("user", "hello")}}, nil); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Open(ctx, key, nil); err != nil {
		log.Fatal(err)
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name)
	}
	// Output:
	// memory.Append
	// memory.Open
}
