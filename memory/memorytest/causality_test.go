package memorytest_test

import (
	"testing"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func TestThreeProcessesLoseDoubleAndReorderNothing(t *testing.T) {
	schedules := 10_000
	if testing.Short() || slow {
		schedules = 1_000
	}
	var store memory.InMemory
	memorytest.Causality(t, func(int) memory.Store { return &store }, &memorytest.CausalityOptions{Schedules: schedules})
}
