//go:build !race

package glove

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The race detector empties pools at random, so this holds without it only.
func TestEmbeddingAllocatesOnlyTheResult(t *testing.T) {
	e := New()
	text := strings.Repeat("Cotton, gold and rice are exported. ", 20)
	_, err := e.Query(t.Context(), text)
	require.NoError(t, err)
	allocs := testing.AllocsPerRun(100, func() { _, _ = e.Query(t.Context(), text) })
	require.LessOrEqual(t, allocs, 2.0) // one is the pool's when the collector emptied it
}
