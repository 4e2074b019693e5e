package memorytest_test

import (
	"testing"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func TestFollow(t *testing.T) {
	memorytest.Run(t, func(*testing.T) memory.Store { return memorytest.Follow(&memory.InMemory{}) })
}
