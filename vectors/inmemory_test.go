package vectors_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

func newInMemory(tb testing.TB, schema vectors.Schema) *vectors.InMemory {
	tb.Helper()
	index, err := vectors.NewInMemory(schema)
	require.NoError(tb, err)
	return index
}

func TestInMemory(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index { return newInMemory(t, schema) })
}

func FuzzInMemory(f *testing.F) {
	vectorstest.Fuzz(f, func(t *testing.T, schema vectors.Schema) vectors.Index { return newInMemory(t, schema) })
}

func BenchmarkInMemory(b *testing.B) {
	vectorstest.Bench(b, func(b *testing.B, schema vectors.Schema) vectors.Index { return newInMemory(b, schema) })
}
