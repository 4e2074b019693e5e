package dynamomemory_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// discard takes an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// loses makes each request take up to most, and loses every nth on its way to the fake
// and every nth answer on its way back.
func loses(fake *awsfake.DynamoDB, seed uint64, most time.Duration, nth int) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		mu.Lock()
		took := time.Duration(random.Int64N(int64(most)))
		request, answer := random.IntN(nth) == 0, random.IntN(nth) == 0
		mu.Unlock()
		time.Sleep(took)
		if request || answer {
			if !request {
				next.ServeHTTP(discard{http.Header{}}, r)
			}
			awsfake.Lose(w)
			return true
		}
		return false
	})
}

// Three processes with a Store each share a table, and nothing else. Half of them have
// a client that asks three times, for the others each request that is lost is the end
// of the call: it fails in the middle, done or not, as where a process dies.
func TestThreeProcessesOverOneTable(t *testing.T) {
	t.Parallel()
	schedules := 1000
	if testing.Short() || slow {
		schedules = 100
	}
	if s := os.Getenv(schedulesVariable); s != "" {
		var err error
		schedules, err = strconv.Atoi(s)
		require.NoError(t, err, schedulesVariable)
	}
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		loses(fake, 1, 40*time.Millisecond, 8)
		opened := 0
		another := func(int) memory.Store {
			opened++
			store, err := dynamomemory.New(fake.Client(func(o *dynamodb.Options) {
				if opened%2 == 0 {
					o.Retryer = aws.NopRetryer{}
				}
			}), tableName, nil)
			require.NoError(t, err)
			return store
		}
		memorytest.Causality(t, another, &memorytest.CausalityOptions{
			Schedules: schedules, Clocks: memorytest.Synchronised, Overlap: 10 * time.Second,
			Weather: func(seed uint64) memorytest.Weather {
				w := memorytest.Storm(seed)
				w.Skew = 0 // they have the clock of this machine
				return w
			},
		})
	})
}
