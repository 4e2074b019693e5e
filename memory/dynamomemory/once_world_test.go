package dynamomemory_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var (
	idPattern    = regexp.MustCompile(`\b[0-7][0-9a-v]{25}\b`)
	noncePattern = regexp.MustCompile(`"n":\{"S":"([A-Z2-7]{16})"\}`)
	bodyPattern  = regexp.MustCompile(`"b":\{"B":"[^"]*"\}`)
	timePattern  = regexp.MustCompile(`"N":"[0-9]{9,}"`)
)

// A scope bounds what the model looks at.
type scope struct {
	callers int
	ticks   int // how often the time passes after which an id is old
	reads   int // of the reader
	silence int // requests without an answer whose caller goes on
	deaths  int
	new     bool // the session is not there yet
	opens   bool // the last caller reads the session, and a new record in it, before it appends
	mutant  func(w *world, p *caller, real dynamomemory.Client) dynamomemory.Client
}

// A world is one table, the callers, and a reader.
type world struct {
	t       *testing.T
	scope   scope
	fake    *awsfake.DynamoDB
	client  dynamomemory.Client
	restore func()
	made    time.Time

	mu       sync.Mutex
	callers  []*caller
	running  sync.WaitGroup
	flying   []*request // sent, and not carried out yet
	minter   map[string]*caller
	reader   *dynamomemory.Store
	others   *dynamomemory.Store // who appends without a request id
	closer   *dynamomemory.Store // who asks again in the end
	ticked   []time.Time
	reads    int
	silence  int
	deaths   int
	held     *memory.Window
	passed   string // the last record that the reader has
	late     bool   // a caller was so slow that its own new record is below that
	schedule []string
	problem  error
}

func newWorld(t *testing.T, s scope) *world {
	t.Helper()
	w := &world{t: t, scope: s}
	w.build()
	return w
}

const requestID = "once"

// build makes the table and the stores, which know the session if there is one.
func (w *world) build() {
	w.fake = awsfake.NewDynamoDB()
	client := w.fake.Client(func(o *dynamodb.Options) { o.HTTPClient, o.Retryer = w, aws.NopRetryer{} })
	createTable(w.t, client, false)
	w.client, w.made = client, time.Now()
	w.reader, w.others, w.closer = w.store(client), w.store(client), w.store(client)
	w.callers = nil
	for i := range w.scope.callers {
		p := &caller{number: i, alias: map[string]string{}}
		p.store = w.store(client)
		if w.scope.mutant != nil {
			p.store = w.store(w.scope.mutant(w, p, client))
		}
		w.callers = append(w.callers, p)
	}
	if !w.scope.new {
		must := &memory.AppendOptions{MustExist: true}
		require.NoError(w.t, appendTo(w.others, "s", entry("first"), nil))
		stores := []*dynamomemory.Store{w.closer}
		for _, p := range w.callers {
			stores = append(stores, p.store)
		}
		for _, store := range stores {
			time.Sleep(time.Millisecond) // so that all worlds have the same order of ids
			require.NoError(w.t, appendTo(store, "s", entry("known"), must))
		}
	}
	w.restore = w.fake.Snapshot()
}

func (w *world) store(client dynamomemory.Client) *dynamomemory.Store {
	store, err := dynamomemory.New(client, tableName, &dynamomemory.Options{NoLSI: true})
	require.NoError(w.t, err)
	return store
}

// begin puts everything back.
func (w *world) begin() {
	if w.scope.new || time.Since(w.made) > 3*time.Minute { // a store forgets after five
		w.build()
	}
	w.restore()
	for i, p := range w.callers {
		*p = caller{number: i, store: p.store, alias: map[string]string{}}
		if w.scope.mutant != nil {
			p.store = w.callers[i].store
		}
	}
	w.flying, w.minter, w.ticked, w.schedule = nil, map[string]*caller{}, nil, nil
	w.reads, w.silence, w.deaths, w.held, w.passed, w.late = 0, 0, 0, nil, "", false
}

// end lets what still runs come to its end.
func (w *world) end() {
	for _, p := range w.callers {
		if p.status == running && p.parked != nil {
			w.dies(p)
		}
	}
	w.running.Wait()
}

func (w *world) fail(format string, args ...any) {
	if w.problem == nil {
		w.problem = fmt.Errorf(format+"\n  after %s", append(args, strings.Join(w.schedule, ", "))...)
	}
}

func (w *world) start(p *caller) {
	p.status = running
	ctx := context.WithValue(context.Background(), callerKey{}, p)
	if w.scope.opens && p.number == len(w.callers)-1 {
		err := appendTo(w.others, "s", entry("another"), nil)
		time.Sleep(time.Millisecond)
		window, openErr := p.store.Open(context.Background(), key("s"), nil)
		if err = cmp.Or(err, openErr); err != nil {
			w.fail("open: %v", err)
			return
		}
		p.told = string(window.Records[len(window.Records)-1].ID)
	}
	w.running.Go(func() {
		p.receipt, p.err = p.store.Append(ctx, key("s"), entry(fmt.Sprint("caller ", p.number)), &memory.AppendOptions{RequestID: requestID})
		w.mu.Lock()
		defer w.mu.Unlock()
		p.ended = true
	})
}

// rest waits until every caller waits at the gate or has ended.
func (w *world) rest() {
	for {
		synctest.Wait()
		if !w.busy() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// busy says whether a caller neither waits nor has ended. The race detector does not
// know that nobody runs after Wait, but who has waited for a time by itself.
func (w *world) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := false
	for _, p := range w.callers {
		if p.status == running && p.ended {
			w.ended(p)
		}
		busy = busy || p.status == running && p.parked == nil
	}
	return busy
}

func (w *world) ended(p *caller) {
	if p.err != nil {
		p.status = gone
		return
	}
	p.status = done
	if real, ok := p.alias[string(p.receipt.Record.ID)]; ok {
		p.receipt.Record.ID = memory.RecordID(real)
	}
	if id := string(p.receipt.Record.ID); !p.receipt.Replayed && id <= p.told {
		w.fail("caller %d: its new record %s does not sort after %s, which its store had returned", p.number, id, p.told)
	}
}

// age is what an id must have to be too old to be used, and a record to be outside of
// what a reader reads again.
const age = 11 * time.Second

func (w *world) tick() {
	time.Sleep(age)
	w.ticked = append(w.ticked, time.Now())
	time.Sleep(time.Millisecond)
	if err := appendTo(w.others, "s", entry("another"), nil); err != nil {
		w.fail("append: %v", err)
	}
}

// read opens a window, and the next time with that one held.
func (w *world) read() {
	w.reads++
	opts := &memory.WindowOptions{Last: 100, Verbatim: true, Scopes: memory.NoState, Held: w.held}
	var proof memory.RecordID
	for _, p := range w.callers {
		if p.status == done && proof == "" {
			opts.AtLeast, proof = p.receipt.Bookmark, p.receipt.Record.ID
		}
	}
	window, err := w.reader.Open(context.Background(), key("s"), opts)
	if err != nil {
		w.fail("open: %v", err)
		return
	}
	var got []string
	for _, r := range window.Records {
		got = append(got, string(r.ID))
	}
	if _, want, _ := w.records(); !w.late && !slices.Equal(want, got) {
		w.fail("a window has the records %q, there are %q", got, want)
	}
	if proof != "" && !w.late && !slices.Contains(got, string(proof)) {
		w.fail("a window with AtLeast lacks %s", proof)
	}
	w.held, w.passed = &window, max(w.passed, got[len(got)-1])
}

func gap(later, earlier string) time.Duration {
	a, errA := hlc.Parse(later)
	b, errB := hlc.Parse(earlier)
	if errA != nil || errB != nil {
		return 0
	}
	return a.Time().Sub(b.Time())
}

const overlap = 10 * time.Second

// appeared is told of each record that is put. Below what the reader has passed none
// may appear, but for that of a caller that was slow since it made the id, or since
// it found that the id could still be used.
func (w *world) appeared(r *request, id string) {
	if w.passed == "" || gap(w.passed, id) < overlap {
		return
	}
	if w.minter[id] != r.from && r.judged != "" && gap(r.judged, id) >= overlap {
		w.fail("caller %d puts a record under %s, below %s, which the reader had passed before it looked", r.from.number, id, r.judged)
	}
	w.late = true
}

// items returns what is in the table, of which only strings can be looked at.
func (w *world) items() (all []map[string]struct{ S string }) {
	items, err := w.fake.Items(tableName)
	if err != nil {
		w.fail("items: %v", err)
	}
	for _, data := range items {
		var it map[string]struct{ S string }
		if err := json.Unmarshal(data, &it); err != nil {
			w.fail("items: %v", err)
		}
		all = append(all, it)
	}
	return all
}

// records returns the records that are there: of the request id, by their nonce, and all.
func (w *world) records() (once, all []string, nonce string) {
	for _, it := range w.items() {
		id, record := strings.CutPrefix(it["sk"].S, "E#")
		if !record || it["k"].S != "" {
			continue
		}
		all = append(all, id)
		if it["n"].S != "" {
			once, nonce = append(once, id), it["n"].S
		}
	}
	slices.Sort(all)
	return once, all, nonce
}

// check is what must be true at all times.
func (w *world) check() {
	there, _, nonce := w.records()
	if len(there) > 1 {
		w.fail("the request has %d records: %q", len(there), there)
		return
	}
	for _, p := range w.callers {
		if p.status != done {
			continue
		}
		if len(there) == 0 || string(p.receipt.Record.ID) != there[0] {
			w.fail("caller %d has the receipt of %s, there is %q", p.number, p.receipt.Record.ID, there)
			return
		}
		if p.receipt.Replayed == (p.nonce == nonce) {
			w.fail("caller %d has a receipt that says replayed %t, and the record is that of %s", p.number, p.receipt.Replayed, w.author(nonce))
		}
		if said := p.receipt.Record.Messages[0].Parts[0].Text; said != w.author(nonce) {
			w.fail("caller %d has a receipt of what %s has said, and the record is that of %s", p.number, said, w.author(nonce))
		}
	}
}

func (w *world) author(nonce string) string {
	for _, p := range w.callers {
		if p.nonce == nonce {
			return fmt.Sprint("caller ", p.number)
		}
	}
	return "nobody"
}

// settle is how all ends: somebody asks again, what is still under way arrives, and
// somebody asks once more.
func (w *world) settle() {
	var first memory.RecordID
	for range 2 {
		r, err := w.closer.Append(context.Background(), key("s"), entry("in the end"), &memory.AppendOptions{RequestID: requestID})
		if err != nil {
			w.fail("in the end: %v", err)
			return
		}
		there, _, _ := w.records()
		if first == "" {
			first = r.Record.ID
		}
		if len(there) != 1 || there[0] != string(r.Record.ID) || r.Record.ID != first {
			w.fail("in the end there is %q, and the receipts are of %s and %s", there, first, r.Record.ID)
			return
		}
		for len(w.flying) > 0 {
			w.lands(0)
		}
	}
}

func timeOf(id string) time.Time {
	parsed, err := hlc.Parse(id)
	if err != nil {
		return time.Time{}
	}
	return parsed.Time()
}
