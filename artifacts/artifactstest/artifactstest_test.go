package artifactstest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

func TestTheModelAndTheReferenceStoreAgreeOnManyPrograms(t *testing.T) {
	random := rand.NewChaCha8([32]byte{'a'})
	start, n := time.Now(), 500
	for range n {
		program := make([]byte, 3*50)
		_, _ = random.Read(program)
		run(newFixture(t, &artifacts.InMemory{}), program)
		if t.Failed() {
			t.Fatalf("program %q", program)
		}
	}
	t.Logf("%.0f programs of 50 steps a second", float64(n)/time.Since(start).Seconds())
}
