package memory_test

import (
	"testing"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func TestInMemory(t *testing.T) {
	memorytest.Run(t, func(*testing.T) memory.Store { return new(memory.InMemory) })
}

// A backend that many tests share, such as a table, has to pass too.
func TestInMemoryShared(t *testing.T) {
	var store memory.InMemory
	memorytest.Run(t, func(*testing.T) memory.Store { return &store })
}

func FuzzInMemory(f *testing.F) {
	memorytest.Fuzz(f, func(*testing.T) memory.Store { return new(memory.InMemory) })
}

func BenchmarkInMemory(b *testing.B) {
	memorytest.Bench(b, func(*testing.B) memory.Store { return new(memory.InMemory) })
}
