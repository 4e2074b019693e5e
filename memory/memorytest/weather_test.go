package memorytest_test

import (
	"fmt"
	"testing"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// presets are the weathers that a user meets, each with a seed.
func presets(seed uint64) map[string]memorytest.Weather {
	return map[string]memorytest.Weather{
		"calm":  {Seed: seed},
		"fair":  memorytest.Fair(seed),
		"bad":   memorytest.Bad(seed),
		"storm": memorytest.Storm(seed),
	}
}

func TestTheSuitePassesInAnyWeather(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		for name, weather := range presets(seed) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				t.Parallel() // most of it waits for an index
				memorytest.Run(t, func(*testing.T) memory.Store {
					return memorytest.NewPatient(weather.Over(new(memory.InMemory)))
				})
			})
		}
	}
}

// The model knows no weather, so that whoever is patient sees none.
func FuzzWeather(f *testing.F) {
	memorytest.Fuzz(f, func(*testing.T) memory.Store {
		storm := memorytest.Storm(1)
		storm.IndexLag = 0 // a program waits for an index by the clock
		return memorytest.NewPatient(storm.Over(new(memory.InMemory)))
	})
}
