package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/lambdatest"
)

// What the function may have over the one that uses the clients of AWS alone. It links
// all of the store, which has many calls and much that the other one lacks.
const (
	moreBytes       = 1 << 20
	moreAllocations = 40
)

func TestTheProgramIsLittleMoreThanTheClientsOfAWS(t *testing.T) {
	ours, bare := program(t, ".", ""), program(t, "./bare", "")
	ourSize, bareSize := size(t, ours), size(t, bare)
	a := newAccount(t)
	ourAllocations, bareAllocations := initAllocations(t, a, ours), initAllocations(t, a, bare)
	fmt.Printf("lambda: %d KiB, %d more than with the clients alone; %d init allocations, %d more\n",
		ourSize>>10, (ourSize-bareSize)>>10, ourAllocations, ourAllocations-bareAllocations)
	require.LessOrEqual(t, ourSize-bareSize, int64(moreBytes))
	require.LessOrEqual(t, ourAllocations-bareAllocations, moreAllocations)

	whole := size(t, program(t, ".", "awsconfig"))
	require.Greater(t, whole-ourSize, int64(1<<20), "what the package config would add")
}

func size(t *testing.T, program string) int64 {
	t.Helper()
	info, err := os.Stat(program)
	require.NoError(t, err)
	return info.Size()
}

var initLine = regexp.MustCompile(`(?m)^init \S+ @\S+ ms, \S+ ms clock, \d+ bytes, (\d+) allocs`)

// initAllocations counts what packages allocate before main begins.
func initAllocations(t *testing.T, a *account, program string) int {
	t.Helper()
	f := a.start(t, program, "GODEBUG=inittrace=1")
	require.NoError(t, f.Close()) // so that all that it has written is there
	lines := initLine.FindAllStringSubmatch(f.Output(), -1)
	require.Greater(t, len(lines), 50)
	n := 0
	for _, line := range lines {
		allocations, err := strconv.Atoi(line[1])
		require.NoError(t, err)
		n += allocations
	}
	return n
}

// What is made before the first event starts nothing and asks nobody.
func TestConstructionStartsNoGoroutineAndAsksNobody(t *testing.T) {
	asked := errors.New("asked")
	cfg := aws.Config{
		Region:     "us-east-1",
		HTTPClient: doer(func(*http.Request) (*http.Response, error) { t.Error("a request"); return nil, asked }),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			t.Error("credentials were asked for")
			return aws.Credentials{}, asked
		}),
	}
	env := map[string]string{"TABLE": table, "MODEL_ID": "m", "TENANT": "acme"}
	before := runtime.NumGoroutine()
	made, err := newService(cfg, func(name string) string { return env[name] })
	require.NoError(t, err)
	require.Equal(t, before, runtime.NumGoroutine())
	require.NotNil(t, made.Store)
	allocations := testing.AllocsPerRun(10, func() {
		if _, err := newService(cfg, func(name string) string { return env[name] }); err != nil {
			t.Error(err)
		}
	})
	fmt.Printf("lambda: %.0f allocations to make three clients and all that stands on them\n", allocations)
	require.Less(t, allocations, 400.0)
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// At the processor that Lambda gives a function of 128 MB, the first event after INIT
// takes about as long as the next. It is measured, over TLS, and not asserted: other
// work on this machine is in it.
func TestTheFirstEventOfASmallFunction(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	limit, err := newQuota(128.0 / 1769)
	if err != nil {
		t.Skipf("SKIPPED: no processor quota for a process here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, limit.remove()) })
	a := newAccount(t)
	for _, warm := range []bool{true, false} {
		var first, second, ratios []float64
		for n := range 7 {
			env := []string{}
			if !warm {
				env = append(env, "WARM=0")
			}
			f := a.start(t, program(t, ".", ""), env...)
			require.NoError(t, limit.add(f.Process().Pid))
			refill(t)
			one := timed(t, f, fmt.Sprint(warm, n, "a"))
			refill(t)
			two := timed(t, f, fmt.Sprint(warm, n, "b"))
			require.NoError(t, f.Close())
			first, second, ratios = append(first, one), append(second, two), append(ratios, one/two)
		}
		fmt.Printf("lambda: at 7.2%% of a processor, over TLS, warmed %t: first event %.1f ms, second %.1f ms, ratio %.2f (medians of %d)\n",
			warm, median(first), median(second), median(ratios), len(ratios))
	}
}

func timed(t *testing.T, f *lambdatest.Function, session string) float64 {
	t.Helper()
	k := key
	k.Session = session
	begin := time.Now()
	_, err := ask(t, f, session, Request{Key: k, Text: "I love this"})
	require.NoError(t, err)
	return float64(time.Since(begin).Microseconds()) / 1000
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// A quota is a control group whose processes share a part of a processor.
type quota struct{ folder string }

const period = 100 * time.Millisecond

// newQuota needs the right to make control groups, of either version.
func newQuota(share float64) (*quota, error) {
	micros := fmt.Sprint(int(share * float64(period.Microseconds())))
	name := "genaistore-lambda-" + strconv.Itoa(os.Getpid())
	for _, try := range []struct{ root, file, text string }{
		{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", micros},
		{"/sys/fs/cgroup", "cpu.max", micros + " " + fmt.Sprint(period.Microseconds())},
	} {
		q := &quota{filepath.Join(try.root, name)}
		if err := os.Mkdir(q.folder, 0o755); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(q.folder, try.file)); err != nil {
			return nil, errors.Join(err, q.remove())
		}
		if err := os.WriteFile(filepath.Join(q.folder, try.file), []byte(try.text), 0o644); err != nil {
			return nil, errors.Join(err, q.remove())
		}
		return q, nil
	}
	return nil, errors.New("no control groups that can be made")
}

func (q *quota) add(pid int) error {
	return os.WriteFile(filepath.Join(q.folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// refill waits until the processes of a quota have all of their share again.
func refill(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(period + period/5):
	case <-t.Context().Done():
	}
}

func (q *quota) remove() error { return os.Remove(q.folder) }
