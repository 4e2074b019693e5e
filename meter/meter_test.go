package meter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
)

func Example() {
	backend := func(ctx context.Context) { meter.Add(ctx, meter.Cost{Requests: 1, ReadUnits: 6}) }

	var session, call meter.Meter
	ctx := meter.With(context.Background(), &session)
	backend(ctx)
	backend(meter.With(ctx, &call))

	fmt.Println(call.Cost().ReadUnits, session.Cost().ReadUnits)
	// Output: 6 12
}

func TestWithoutAMeterNothingIsCounted(t *testing.T) {
	meter.Add(t.Context(), meter.Cost{Requests: 1})
}

func TestAMeterGivenTwiceCountsOnce(t *testing.T) {
	var outer, inner meter.Meter
	ctx := meter.With(meter.With(meter.With(t.Context(), &outer), &inner), &outer)
	one := meter.Cost{Requests: 1, ReadUnits: 2, WriteUnits: 3, BytesSent: 4, BytesReceived: 5}
	meter.Add(ctx, one)
	require.Equal(t, one, outer.Cost())
	require.Equal(t, one, inner.Cost())
}

func TestOneMeterServesContextsWithDifferentOuterMeters(t *testing.T) {
	var a, b, shared meter.Meter
	meter.Add(meter.With(meter.With(t.Context(), &a), &shared), meter.Cost{Requests: 1})
	meter.Add(meter.With(meter.With(t.Context(), &b), &shared), meter.Cost{Requests: 10})
	require.EqualValues(t, 1, a.Cost().Requests)
	require.EqualValues(t, 10, b.Cost().Requests)
	require.EqualValues(t, 11, shared.Cost().Requests)
}

func TestManyGoroutinesMayCount(t *testing.T) {
	var m meter.Meter
	ctx := meter.With(t.Context(), &m)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				meter.Add(ctx, meter.Cost{WriteUnits: 0.5})
			}
		})
	}
	wg.Wait()
	require.InDelta(t, 800, m.Cost().WriteUnits, 0)
}
