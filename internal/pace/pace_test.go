package pace_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/pace"
)

func Example() {
	p := pace.New(1000, 2500) // requests and vectors a second
	err := p.Wait(context.Background(), 1, 500)
	fmt.Println(err)
	// Output: <nil>
}

func TestTheSlowerOfTheRatesHolds(t *testing.T) {
	for _, tt := range []struct {
		rates   []float64
		amounts []int
		seconds float64
	}{
		{[]float64{10, 1000}, []int{1, 10}, 1},
		{[]float64{10, 100}, []int{1, 50}, 5},
		{[]float64{0, 0}, []int{1, 50}, 0},
		{[]float64{10}, []int{1}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, start := pace.New(tt.rates...), time.Now()
			for range 11 { // of which the first goes at once
				require.NoError(t, p.Wait(t.Context(), tt.amounts...))
			}
			require.InDelta(t, tt.seconds, time.Since(start).Seconds(), 1e-6, "%+v", tt)
		})
	}
}

func TestAPauseHoldsForAllAndIsNotMadeShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := pace.New(10, 10), time.Now()
		p.Pause(3 * time.Second)
		p.Pause(time.Second)
		require.NoError(t, p.Wait(t.Context(), 1, 1))
		require.Equal(t, 3*time.Second, time.Since(start))
		pace.New().Pause(time.Hour)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace.New(1)
		require.NoError(t, p.Wait(t.Context(), 60))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, p.Wait(ctx, 1), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, pace.Sleep(ctx, 0), context.DeadlineExceeded)
	})
}
