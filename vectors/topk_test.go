package vectors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopKKeepsTheFirstInOrderOfDistanceAndKey(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n, k := r.IntN(60), 1+r.IntN(20)
		all := make([]hit, n)
		scanners := make([]scanner, 1+r.IntN(3))
		for i := range scanners {
			scanners[i].top.k = k
		}
		for i := range all {
			// Few distances, so that ties are many.
			all[i] = hit{distance: float64(r.IntN(6)), key: fmt.Sprintf("%02d", r.IntN(1000)), row: uint32(i)}
			scanners[r.IntN(len(scanners))].top.push(all[i])
		}
		got := sorted(scanners, k)
		slices.SortStableFunc(all, hit.compare)
		require.Len(t, got, min(n, k))
		for i, h := range got {
			require.Zero(t, h.compare(all[i]))
		}
	}
}

func TestWorstIsInfiniteUntilTopKIsFull(t *testing.T) {
	top := topK{k: 2}
	require.True(t, math.IsInf(top.worst(), 1))
	top.push(hit{distance: 5})
	require.True(t, math.IsInf(top.worst(), 1))
	top.push(hit{distance: 3})
	require.InDelta(t, 5, top.worst(), 0)
	top.push(hit{distance: 4})
	require.InDelta(t, 4, top.worst(), 0)
}
