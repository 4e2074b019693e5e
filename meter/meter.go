// Package meter makes the cost of storage operations visible: every operation
// under a context made by [With] adds what it asked of AWS to one [Meter].
//
//	var m meter.Meter
//	window, err := store.Open(meter.With(ctx, &m), key, nil)
//	fmt.Println(m.Cost().ReadUnits)
//
// The in-memory stores ask nothing of anyone and add nothing.
package meter

import (
	"context"
	"sync"
)

// A Cost is what operations asked of AWS. Retries of the AWS client are not in
// it: it counts what the operations needed, as the service reports it.
type Cost struct {
	Requests      int64   // API calls
	ReadUnits     float64 // DynamoDB read capacity units, as ConsumedCapacity reports them
	WriteUnits    float64 // DynamoDB write capacity units
	BytesSent     int64   // of request bodies
	BytesReceived int64   // of response bodies
}

// A Meter adds up costs. Its zero value is ready, and it is safe for concurrent
// use. It must not be copied after first use.
type Meter struct {
	mu   sync.Mutex
	cost Cost
}

// A link is one meter of a context and those outside it.
type link struct {
	meter *Meter
	outer *link
}

type contextKey struct{}

// With returns a context under which every operation adds to m. Where ctx has
// meters already, those keep counting too; m itself never counts twice.
func With(ctx context.Context, m *Meter) context.Context {
	outer, _ := ctx.Value(contextKey{}).(*link)
	for l := outer; l != nil; l = l.outer {
		if l.meter == m {
			return ctx
		}
	}
	return context.WithValue(ctx, contextKey{}, &link{m, outer})
}

// Add adds c to the meters of ctx, if there are any. Backends call it once for
// each request.
func Add(ctx context.Context, c Cost) {
	l, _ := ctx.Value(contextKey{}).(*link)
	for ; l != nil; l = l.outer {
		l.meter.add(c)
	}
}

// Cost returns what was added so far.
func (m *Meter) Cost() Cost {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cost
}

func (m *Meter) add(c Cost) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cost.Requests += c.Requests
	m.cost.ReadUnits += c.ReadUnits
	m.cost.WriteUnits += c.WriteUnits
	m.cost.BytesSent += c.BytesSent
	m.cost.BytesReceived += c.BytesReceived
}
