package dax_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/daxtest"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dax"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// A site is a table with a cluster in front of it, for Stores.
type site struct {
	fake    *awsfake.DynamoDB
	cluster *daxtest.Cluster
	reads   atomic.Int64 // of the table, whoever made them
	held    atomic.Int64 // nanoseconds that the write of a record takes
	slow    atomic.Int64 // and a transaction
}

func newSite(t *testing.T, options *daxtest.Options) *site {
	t.Helper()
	s := &site{fake: awsfake.NewDynamoDB()}
	_, err := dynamomemory.EnsureTable(t.Context(), s.fake.Client(), "memory", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	s.fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		switch awsfake.Operation(r) {
		case "GetItem", "BatchGetItem", "Query":
			s.reads.Add(1)
		case "TransactWriteItems":
			time.Sleep(time.Duration(s.slow.Load()))
		case "PutItem":
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			if bytes.Contains(body, []byte(`"E#`)) {
				time.Sleep(time.Duration(s.held.Load()))
			}
		}
		return false
	})
	opts := options.WithDefaults()
	opts.InMemory = true
	s.cluster, err = daxtest.Start(context.WithoutCancel(t.Context()), s.fake.Client(), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.cluster.Close()) })
	return s
}

// store returns a Store as another process would have it.
func (s *site) store(t *testing.T) *dynamomemory.Store {
	t.Helper()
	client, err := dax.New(s.fake.Client(), &dax.Options{
		Endpoint: s.cluster.Endpoint(), Region: daxtest.DefaultRegion,
		Credentials: aws.CredentialsProviderFunc(credentials), DialContext: s.cluster.DialContext,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	store, err := dynamomemory.New(s.fake.Client(), "memory", &dynamomemory.Options{Cache: client, Shared: true})
	require.NoError(t, err)
	return store
}

// The suite of package memory, through DAX.
func TestStore(t *testing.T) {
	lost := new(atomic.Int64)
	for name, test := range map[string]struct {
		opts daxtest.Options
		with func(*testing.T, *site)
	}{
		"one node":                       {daxtest.Options{}, nil},
		"three nodes":                    {daxtest.Options{Nodes: 3}, nil},
		"three nodes that follow slowly": {daxtest.Options{Nodes: 3, Replication: 20 * time.Millisecond}, nil},
		"every fifth call is lost": {daxtest.Options{Nodes: 3, Replication: 20 * time.Millisecond, Fault: func(c daxtest.Call) daxtest.Fault {
			if c.Method != "Endpoints" && lost.Add(1)%5 == 0 {
				return daxtest.Fault{End: daxtest.Closed}
			}
			return daxtest.Fault{}
		}}, nil},
		"a node is gone":   {daxtest.Options{Nodes: 3}, func(t *testing.T, s *site) { require.NoError(t, s.cluster.StopNode(2)) }},
		"no node is there": {daxtest.Options{}, func(t *testing.T, s *site) { require.NoError(t, s.cluster.StopNode(0)) }},
	} {
		t.Run(name, func(t *testing.T) {
			if raced && name != "every fifth call is lost" {
				t.Skip("one of the six is enough for the race detector, which makes the suite ten times as slow")
			}
			s := newSite(t, &test.opts)
			if test.with != nil {
				test.with(t, s)
			}
			store := memorytest.Follow(s.store(t))
			memorytest.Run(t, func(*testing.T) memory.Store { return store })
			t.Logf("%+v", s.cluster.Stats())
		})
	}
}

var session = memory.Key{App: "travel", User: "ada", Session: "s1"}

func text(s string) memory.Entry {
	return memory.Entry{Messages: []memory.Message{memory.Text("user", s)}}
}

// Three nodes that follow after 150 ms, and a thousand loads with a bookmark, at once
// and 400 ms later, by another process than the one that writes.
func TestNoLoadIsStale(t *testing.T) {
	for wait, most := range map[time.Duration]float64{0: 1.5, 400 * time.Millisecond: 0} {
		t.Run(fmt.Sprint(wait), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(func() { time.Sleep(time.Minute) })
				s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond, ItemTTL: 24 * time.Hour})
				writer, reader := s.store(t), s.store(t)
				var reads, stale int64
				const loads = 1000
				for i := range loads {
					r, err := writer.Append(t.Context(), session, text(fmt.Sprint(i)), nil)
					require.NoError(t, err)
					time.Sleep(wait)
					before := s.reads.Load()
					w, err := reader.Open(t.Context(), session, &memory.WindowOptions{Last: 10, AtLeast: r.Bookmark})
					require.NoError(t, err)
					if i > 10 { // then the window is full
						reads += s.reads.Load() - before
					}
					first := max(0, i-9)
					if len(w.Records) != i-first+1 {
						stale++
					}
					for j, r := range w.Records {
						if r.Messages[0].Parts[0].Text != fmt.Sprint(first+j) {
							stale++
						}
					}
					time.Sleep(time.Second)
				}
				perLoad := float64(reads) / loads
				t.Logf("%d loads %s after the append: %d stale, %.2f reads of DynamoDB a load", loads, wait, stale, perLoad)
				require.Zero(t, stale)
				require.LessOrEqual(t, perLoad, most)
			})
		})
	}
}

func TestAWarmWindowReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, nil)
		store := s.store(t)
		var r memory.Receipt
		var err error
		for i := range 30 {
			r, err = store.Append(t.Context(), session, text(fmt.Sprint(i)), nil)
			require.NoError(t, err)
		}
		opts := &memory.WindowOptions{AtLeast: r.Bookmark}
		want, err := store.Open(t.Context(), session, nil)
		require.NoError(t, err)
		for range 2 {
			before := s.reads.Load()
			got, err := store.Open(t.Context(), session, opts)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Zero(t, s.reads.Load()-before)
		}
	})
}

func TestACacheNeedsACipher(t *testing.T) {
	table := dynamodb.New(dynamodb.Options{})
	_, err := dynamomemory.New(table, "memory", &dynamomemory.Options{Cache: table})
	require.ErrorIs(t, err, memory.ErrInvalid)
	cipher, err := dynamomemory.NewLocalCipher(make([]byte, 32))
	require.NoError(t, err)
	_, err = dynamomemory.New(table, "memory", &dynamomemory.Options{Cache: table, Cipher: cipher})
	require.NoError(t, err)
	_, err = dynamomemory.New(table, "memory", &dynamomemory.Options{Cache: table, Shared: true})
	require.NoError(t, err)
}

// What is redacted is gone from windows of the cache too, for who has seen the
// redaction; and from those of all others as soon as the nodes have followed.
func TestARedactionReachesTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond})
		writer, reader := s.store(t), s.store(t)
		secret, err := writer.Append(t.Context(), session, text("secret"), nil)
		require.NoError(t, err)
		last, err := writer.Append(t.Context(), session, text("public"), nil)
		require.NoError(t, err)
		open := func(b memory.Bookmark) string {
			w, err := reader.Open(t.Context(), session, &memory.WindowOptions{AtLeast: b})
			require.NoError(t, err)
			return fmt.Sprint(w.Records)
		}
		for range 10 { // all nodes have it
			require.Contains(t, open(last.Bookmark), "secret")
			time.Sleep(time.Second)
		}
		redacted, err := writer.Update(t.Context(), session, memory.Redact{Record: secret.Record.ID})
		require.NoError(t, err)
		for range 10 {
			require.NotContains(t, open(redacted), "secret")
		}
		time.Sleep(time.Second)
		for range 10 {
			require.NotContains(t, open(last.Bookmark), "secret", "with an older bookmark")
		}
		again, err := writer.Append(t.Context(), session, text("more"), nil)
		require.NoError(t, err)
		for range 10 {
			require.NotContains(t, open(again.Bookmark), "secret")
			time.Sleep(time.Second)
		}
	})
}

func TestADeletedSessionIsGoneFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond})
		writer, reader := s.store(t), s.store(t)
		r, err := writer.Append(t.Context(), session, text("secret"), nil)
		require.NoError(t, err)
		for range 10 {
			_, err := reader.Open(t.Context(), session, &memory.WindowOptions{AtLeast: r.Bookmark})
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.NoError(t, writer.Delete(t.Context(), session))
		time.Sleep(time.Second)
		for range 10 {
			_, err := reader.Open(t.Context(), session, &memory.WindowOptions{AtLeast: r.Bookmark})
			require.ErrorIs(t, err, memory.ErrNotFound)
		}
	})
}

// Writers of one session in several processes, each with a cache of its own to learn
// from: nobody who follows its bookmarks misses a record.
func TestManyWritersThroughTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 30 * time.Millisecond})
		const writers, each = 5, 8
		var wg sync.WaitGroup
		for w := range writers {
			store := memorytest.Follow(s.store(t))
			// Bound: 5 writers.
			wg.Go(func() {
				written := map[string]bool{}
				for i := range each {
					name := fmt.Sprint(w, "-", i)
					_, err := store.Append(t.Context(), session, text(name), &memory.AppendOptions{RequestID: name})
					require.NoError(t, err)
					written[name] = true
					time.Sleep(time.Duration(w*7+i*13) * time.Millisecond)
					got, err := store.Open(t.Context(), session, &memory.WindowOptions{Last: 45})
					require.NoError(t, err)
					there := map[string]bool{}
					for _, r := range got.Records {
						there[r.Messages[0].Parts[0].Text] = true
					}
					for name := range written {
						require.True(t, there[name], "%s is missing", name)
					}
					written = there // what was seen must be seen again
				}
			})
		}
		wg.Wait()
		n := 0
		for _, err := range s.store(t).Records(t.Context(), session, nil) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, writers*each, n)
	})
}

// A node may have the tail of an Append that came after a redaction, and not yet what
// the redaction has left.
func TestARedactionIsSeenThroughLaterAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond})
		writer, reader := s.store(t), s.store(t)
		for i := range 60 {
			key := memory.Key{User: "ada", Session: fmt.Sprint(i)}
			secret, err := writer.Append(t.Context(), key, text("secret"), nil)
			require.NoError(t, err)
			for range 8 { // all nodes have it
				_, err := reader.Open(t.Context(), key, &memory.WindowOptions{AtLeast: secret.Bookmark})
				require.NoError(t, err)
				time.Sleep(200 * time.Millisecond)
			}
			_, err = writer.Update(t.Context(), key, memory.Redact{Record: secret.Record.ID})
			require.NoError(t, err)
			last, err := writer.Append(t.Context(), key, text("public"), nil)
			require.NoError(t, err)
			for range 4 {
				w, err := reader.Open(t.Context(), key, &memory.WindowOptions{AtLeast: last.Bookmark})
				require.NoError(t, err)
				require.NotContains(t, fmt.Sprint(w.Records), "secret", "session %d", i)
			}
		}
	})
}

// A record is on its way while another process changes the session and a third one
// makes the tail warm again.
func TestARecordOnItsWayIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, nil)
		a, b, c := s.store(t), s.store(t), s.store(t)
		for _, store := range []memory.Store{a, b, c} {
			_, err := store.Append(t.Context(), session, text("first"), nil)
			require.NoError(t, err)
		}
		s.held.Store(int64(500 * time.Millisecond))
		var slow memory.Receipt
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			slow, err = b.Append(t.Context(), session, text("slow"), nil)
			require.NoError(t, err)
		})
		time.Sleep(100 * time.Millisecond)
		s.held.Store(0)
		_, err := c.Update(t.Context(), session, memory.SetTitle{Title: "changed"})
		require.NoError(t, err)
		var last memory.Receipt
		for range 3 {
			last, err = a.Append(t.Context(), session, text("quick"), nil)
			require.NoError(t, err)
		}
		wg.Wait()
		for range 3 {
			w, err := a.Open(t.Context(), session, &memory.WindowOptions{AtLeast: max(slow.Bookmark, last.Bookmark)})
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(w.Records), "slow")
			require.Len(t, w.Records, 7)
		}
	})
}

// A redaction is on its way while another process appends: nobody who has seen both
// finds the tail warm for what was before.
func TestAnUpdateOnItsWayKeepsTheTailCold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond})
		writer, other, reader := s.store(t), s.store(t), s.store(t)
		for i := range 30 {
			key := memory.Key{User: "ada", Session: fmt.Sprint(i)}
			secret, err := writer.Append(t.Context(), key, text("secret"), nil)
			require.NoError(t, err)
			_, err = other.Append(t.Context(), key, text("public"), nil)
			require.NoError(t, err)
			for range 8 { // all nodes have it
				_, err := reader.Open(t.Context(), key, &memory.WindowOptions{AtLeast: secret.Bookmark})
				require.NoError(t, err)
				time.Sleep(200 * time.Millisecond)
			}
			s.slow.Store(int64(300 * time.Millisecond))
			var redacted memory.Bookmark
			var wg sync.WaitGroup
			wg.Go(func() {
				var err error
				redacted, err = writer.Update(t.Context(), key, memory.Redact{Record: secret.Record.ID})
				require.NoError(t, err)
			})
			time.Sleep(100 * time.Millisecond)
			s.slow.Store(0)
			last, err := other.Append(t.Context(), key, text("more"), nil)
			require.NoError(t, err)
			wg.Wait()
			for range 6 {
				w, err := reader.Open(t.Context(), key, &memory.WindowOptions{AtLeast: max(redacted, last.Bookmark)})
				require.NoError(t, err)
				require.NotContains(t, fmt.Sprint(w.Records), "secret", "session %d", i)
			}
		}
	})
}

// What was edited is not asked of the cache any more: a node may have it as it was.
func TestAWindowReachesBackToTheLastEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, nil)
		store := s.store(t)
		first, err := store.Append(t.Context(), session, text("first"), nil)
		require.NoError(t, err)
		for range 3 {
			_, err = store.Append(t.Context(), session, text("next"), nil)
			require.NoError(t, err)
		}
		_, err = store.Update(t.Context(), session, memory.Edit{Record: first.Record.ID, Messages: []memory.Message{memory.Text("user", "edited")}})
		require.NoError(t, err)
		var last memory.Receipt
		for range 2 {
			last, err = store.Append(t.Context(), session, text("last"), nil)
			require.NoError(t, err)
		}
		reads := func(n int) int64 {
			_, err := store.Open(t.Context(), session, &memory.WindowOptions{Last: n, AtLeast: last.Bookmark})
			require.NoError(t, err)
			before := s.reads.Load()
			w, err := store.Open(t.Context(), session, &memory.WindowOptions{Last: n, AtLeast: last.Bookmark})
			require.NoError(t, err)
			require.Len(t, w.Records, n)
			return s.reads.Load() - before
		}
		require.Zero(t, reads(4))
		require.Positive(t, reads(6))
	})
}

// A process that remembers the tail of a session finds that another has deleted it, and
// makes a new one before it writes.
func TestATailThatWasDeletedIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s := newSite(t, nil)
		store, other := s.store(t), s.store(t)
		_, err := store.Append(t.Context(), session, text("old"), nil)
		require.NoError(t, err)
		require.NoError(t, other.Delete(t.Context(), session))
		r, err := store.Append(t.Context(), session, text("new"), nil)
		require.NoError(t, err)
		out, err := s.fake.Client().GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new("memory"), Key: item{"pk": str("T##S#travel#ada#s1"), "sk": str("TL")}})
		require.NoError(t, err)
		require.NotEmpty(t, out.Item)
		w, err := other.Open(t.Context(), session, &memory.WindowOptions{AtLeast: r.Bookmark})
		require.NoError(t, err)
		require.Len(t, w.Records, 1)
	})
}
