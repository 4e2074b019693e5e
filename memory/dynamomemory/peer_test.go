//go:build unix && !race

package dynamomemory

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// What a Store may use over the same calls written by hand. The target for the
// processor's time is 1.10: on a machine that does something else the median moves by
// a tenth and more, so that less cannot be asserted.
const (
	mostAllocs = 1.25
	mostCPU    = 1.35
)

// A tape is a transport that answers each operation as a fake answered it last, so
// that the work of the fake is no part of what is measured.
type tape struct {
	fake   *awsfake.DynamoDB
	frozen bool
	kept   map[string]answer
}

type answer struct {
	header http.Header
	body   []byte
}

func (t *tape) Do(r *http.Request) (*http.Response, error) {
	operation := awsfake.Operation(r)
	if !t.frozen {
		response, err := t.fake.Do(r)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		t.kept[operation] = answer{response.Header, data}
	} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	a, ok := t.kept[operation]
	if !ok {
		return nil, fmt.Errorf("%s is not on the tape", operation)
	}
	header := a.header.Clone()
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
		ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

// byHand is what a program would write that wants one table, one tenant and nothing
// but appends and windows: the same items, the same two calls, no checks.
type byHand struct {
	client *dynamodb.Client
	table  string
	clock  hlc.Clock

	writers, readers sync.Pool
}

func (h *byHand) append(ctx context.Context, pk string, entry memory.Entry) error {
	id, err := h.clock.Next(time.Now())
	if err != nil {
		return err
	}
	var e encoder
	e.body(body{Entry: entry})
	small, err := h.compress(e)
	if err != nil {
		return err
	}
	_, err = h.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &h.table,
		Item: item{
			"pk": str(pk), "sk": str("E#" + id.String()), "v": num(schemaVersion), "c": str(deflateName), "b": bin(small),
			"exp": num(id.Time().Add(DefaultRetention).Unix()),
		},
		ConditionExpression:    new("attribute_not_exists(pk)"),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	return err
}

func (h *byHand) compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, ok := h.writers.Get().(*flate.Writer)
	if !ok {
		w, _ = flate.NewWriter(nil, flate.BestSpeed)
	}
	defer h.writers.Put(w)
	w.Reset(&out)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (h *byHand) open(ctx context.Context, pk string, last int) (*head, []memory.Record, error) {
	out, err := h.client.Query(ctx, &dynamodb.QueryInput{
		TableName: &h.table, KeyConditionExpression: new("pk = :pk AND sk BETWEEN :low AND :high"),
		ExpressionAttributeValues: item{":pk": str(pk), ":low": str("E#"), ":high": str("HS")},
		ScanIndexForward:          new(false), ConsistentRead: new(true), Limit: new(int32(last + 4)),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return nil, nil, err
	}
	var top *head
	records := make([]memory.Record, 0, last)
	for _, it := range out.Items {
		id, ok := strings.CutPrefix(getString(it, "sk"), "E#")
		if !ok {
			if getString(it, "sk") == "H" {
				top = decodeHead(it)
			}
			continue
		}
		if len(records) == last {
			break
		}
		r, err := h.decode(id, it)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, r)
	}
	slices.Reverse(records)
	return top, records, nil
}

func (h *byHand) decode(id string, it item) (memory.Record, error) {
	raw, err := h.decompress(getBytes(it, "b"))
	if err != nil {
		return memory.Record{}, err
	}
	b, err := decodeBody(raw)
	if err != nil {
		return memory.Record{}, err
	}
	return memory.Record{ID: memory.RecordID(id), Time: timeOf(id), Entry: b.Entry}, nil
}

func (h *byHand) decompress(data []byte) ([]byte, error) {
	in := bytes.NewReader(data)
	r, ok := h.readers.Get().(io.ReadCloser)
	if !ok {
		r = flate.NewReader(in)
	} else if err := r.(flate.Resetter).Reset(in, nil); err != nil { //nolint:forcetypeassert // every flate reader is one
		return nil, err
	}
	defer h.readers.Put(r)
	return io.ReadAll(r)
}

// A pair is one operation done by a Store and by hand.
type pair struct {
	name         string
	store, plain func() error
}

// pairs are set up on a session of 40 records of 0.9 KB, in a store that has seen it.
func pairs(tb testing.TB) []pair {
	tb.Helper()
	ctx := tb.Context()
	transport := &tape{fake: awsfake.NewDynamoDB(), kept: map[string]answer{}}
	client := transport.fake.Client(func(o *dynamodb.Options) { o.HTTPClient = transport })
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: new("memory"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: new("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: new("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: new("pk"), KeyType: types.KeyTypeHash}, {AttributeName: new("sk"), KeyType: types.KeyTypeRange},
		},
	})
	require.NoError(tb, err)
	store, err := New(client, "memory", nil)
	require.NoError(tb, err)
	hand := &byHand{client: client, table: "memory"}
	key := memory.Key{Tenant: "acme", App: "help", User: "ada", Session: "s1"}
	pk := at(key).pk
	said := memory.Entry{Messages: []memory.Message{memory.Text("user", prose(930))}}
	for i := range 40 { // half of them each: a reader of one reads what the other wrote
		if i%2 == 0 {
			_, err = store.Append(ctx, key, said, nil)
		} else {
			err = hand.append(ctx, pk, said)
		}
		require.NoError(tb, err)
	}
	window, err := store.Open(ctx, key, nil)
	require.NoError(tb, err)
	top, records, err := hand.open(ctx, pk, memory.DefaultLast)
	require.NoError(tb, err)
	require.Len(tb, records, memory.DefaultLast)
	require.Equal(tb, window.Records, records)
	require.Equal(tb, window.Head, top.memory())
	transport.frozen = true
	return []pair{
		{
			"Append",
			func() error { _, err := store.Append(ctx, key, said, nil); return err },
			func() error { return hand.append(ctx, pk, said) },
		},
		{
			"Open",
			func() error { _, err := store.Open(ctx, key, nil); return err },
			func() error { _, _, err := hand.open(ctx, pk, memory.DefaultLast); return err },
		},
	}
}

// prose is text of n bytes that compresses as text does.
func prose(n int) string {
	words := strings.Fields("the order was shipped on Monday and should have arrived by now however our carrier reports a delay at " +
		"the depot in Leeds so please allow two more working days before you ask for a refund or a replacement")
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s %d ", words[i*i%len(words)], i*7919%1000)
	}
	return b.String()[:n]
}

func BenchmarkPeer(b *testing.B) {
	for _, p := range pairs(b) {
		for name, run := range map[string]func() error{"store": p.store, "by hand": p.plain} {
			b.Run(p.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestAnOperationAllocatesLittleMoreThanTheCallByHand(t *testing.T) {
	for _, p := range pairs(t) {
		store, plain := allocs(t, p.store), allocs(t, p.plain)
		t.Logf("%s: %.0f allocations, %.0f by hand: %.3f times", p.name, store, plain, store/plain)
		require.LessOrEqual(t, store, mostAllocs*plain, p.name)
	}
}

func allocs(t *testing.T, run func() error) float64 {
	t.Helper()
	var failed error
	n := testing.AllocsPerRun(200, func() {
		if err := run(); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	return n
}

// The processor's time of this process, not the clock's: others may use the machine.
// The two take turns that are short, so that what disturbs one disturbs the other, and
// the collector's work falls on both by what they allocate.
func TestAnOperationCostsLittleMoreProcessorTimeThanTheCallByHand(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	const rounds, calls = 61, 30
	for _, p := range pairs(t) {
		var ratios []float64
		var store, plain time.Duration
		for range rounds {
			a, b := cpu(t, calls, p.store), cpu(t, 2*calls, p.plain)
			a += cpu(t, calls, p.store)
			store, plain, ratios = store+a, plain+b, append(ratios, a.Seconds()/b.Seconds())
		}
		slices.Sort(ratios)
		t.Logf("%s: %s of processor time, %s by hand: %.3f times, median of %d rounds; %.3f times in all",
			p.name, store/(2*calls*rounds), plain/(2*calls*rounds), ratios[rounds/2], rounds, store.Seconds()/plain.Seconds())
		require.LessOrEqual(t, ratios[rounds/2], mostCPU, p.name)
	}
}

func cpu(t *testing.T, calls int, run func() error) time.Duration {
	t.Helper()
	begin := processorTime(t)
	for range calls {
		require.NoError(t, run())
	}
	return processorTime(t) - begin
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
