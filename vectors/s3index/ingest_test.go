package s3index_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// A stub takes puts as an index of the service does, after a latency, and keeps
// nothing of them but how many there were. It refuses more than 1,000 requests or
// 2,500 vectors of any second, and more than 500 vectors or 20 MiB of a request.
type stub struct {
	next    *awsfake.Vectors
	latency time.Duration
	every   int // vectors between two looks at the heap

	mu      sync.Mutex
	taken   []taking // in the last second
	total   int
	refused []string
	heaps   []uint64
}

type taking struct {
	at      time.Time
	vectors int
}

func (s *stub) Do(r *http.Request) (*http.Response, error) {
	if awsfake.Operation(r) != "PutVectors" {
		return s.next.Do(r)
	}
	size, n, err := measured(r.Body)
	if err != nil {
		return nil, err
	}
	time.Sleep(s.latency)
	status, code := s.take(size, n)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {code}},
		Body: io.NopCloser(bytes.NewReader([]byte("{}"))), Request: r,
	}, nil
}

// measured returns the bytes and vectors of a body, which it does not keep.
func measured(body io.Reader) (size, n int, err error) {
	mark := []byte(`"data":`)
	buffer, kept := make([]byte, 64<<10), 0
	for {
		read, err := body.Read(buffer[kept:])
		size += read
		chunk := buffer[:kept+read]
		n += bytes.Count(chunk, mark)
		if errors.Is(err, io.EOF) {
			return size, n, nil
		}
		if err != nil {
			return 0, 0, err
		}
		// What may be the beginning of a mark is shorter than one.
		kept = copy(buffer, chunk[max(0, len(chunk)-len(mark)+1):])
	}
}

func (s *stub) take(size, n int) (status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.taken = slices.DeleteFunc(s.taken, func(t taking) bool { return now.Sub(t.at) >= time.Second })
	second := n
	for _, t := range s.taken {
		second += t.vectors
	}
	status, code = http.StatusOK, ""
	switch {
	case size > 20<<20, n < 1, n > 500:
		status, code = http.StatusBadRequest, "ValidationException"
	case second > 2500, len(s.taken) >= 1000:
		status, code = http.StatusTooManyRequests, "TooManyRequestsException"
	}
	if status != http.StatusOK {
		s.refused = append(s.refused, fmt.Sprintf("%s: %d vectors, %d bytes, %d of a second in %d requests", code, n, size, second, len(s.taken)+1))
		return status, code
	}
	s.taken = append(s.taken, taking{now, n})
	if before := s.total / s.every; (s.total+n)/s.every > before {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.heaps = append(s.heaps, m.HeapAlloc)
	}
	s.total += n
	return status, code
}

// raceEnabled reports whether this was built with -race.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func TestAMillionVectorsAreLoadedAtTheRateOfTheService(t *testing.T) {
	n, dimension := 1_000_000, 768
	if testing.Short() || testing.CoverMode() != "" || raceEnabled() {
		n, dimension = 200_000, 8
		t.Logf("%d vectors of %d: a million of 768 take minutes with instrumentation, and -short has none; go test without either loads them", n, dimension)
	}
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		create(t, fake, vectors.Schema{Dimension: dimension})
		s := &stub{next: fake, latency: 300 * time.Millisecond, every: n / 200}
		x := open(t, fake.Client(clientOf(s)), &s3index.Options{NineDigits: true})
		data := make([]float32, dimension)
		for i := range data {
			data[i] = float32(math.Sin(float64(i + 1)))
		}
		debug.FreeOSMemory() // what other tests left
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		report, err := x.Put(t.Context(), func(yield func(vectors.Vector, error) bool) {
			for i := range n {
				data[i%dimension] = float32(i+1) / float32(n)
				if !yield(vectors.Vector{Key: strconv.Itoa(i), Data: data}, nil) {
					return
				}
			}
		}, nil)
		require.NoError(t, err)
		require.Equal(t, n, report.Done)
		require.Equal(t, n, s.total)
		require.Empty(t, s.refused)
		took := time.Since(start)
		rate, most := float64(n)/took.Seconds(), slices.Max(s.heaps)
		t.Logf("%d vectors of %d in %v of the service's time, %.0f a second, %d requests, a heap of %d to %d MiB, %d before", n, dimension, took, rate, report.Requests, slices.Min(s.heaps)>>20, most>>20, before.HeapAlloc>>20)
		require.InDelta(t, 2500, rate, 125, "within 5 %% of what an index takes")
		require.Less(t, most, uint64(64<<20))
		early, late := slices.Max(s.heaps[:len(s.heaps)/2]), slices.Max(s.heaps[len(s.heaps)/2:])
		require.Less(t, late, early+early/2, "memory is flat")
	})
}
