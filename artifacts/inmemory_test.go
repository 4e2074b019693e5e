package artifacts_test

import (
	"testing"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/artifactstest"
)

func newInMemory(*testing.T) artifacts.Store { return &artifacts.InMemory{} }

func TestInMemory(t *testing.T) { artifactstest.Run(t, newInMemory) }

func FuzzInMemory(f *testing.F) { artifactstest.Fuzz(f, newInMemory) }

func BenchmarkInMemory(b *testing.B) {
	artifactstest.Bench(b, func(*testing.B) artifacts.Store { return &artifacts.InMemory{} })
}
