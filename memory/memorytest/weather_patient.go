package memorytest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Patient is a Store that repeats the calls of its caller until the weather lets
// them through, as the contract says that one may. Through it a store in any
// [Weather] passes [Run]. It repeats after ErrThrottled, of which ErrBehind is one,
// and after a timeout that is not the caller's own; every other error is the
// caller's, and that of the hundredth attempt. It takes it that a call which failed so
// may have been done.
//
//   - An Append without a RequestID gets one, which nobody sees. One that finds its
//     own first work says so: Replayed is false for the first caller who is told of a
//     record after an attempt that failed, and true for all others.
//   - An Update that is repeated may find its own first work
//     and report ErrConflict (after [memory.Create], [memory.Fork], [memory.Expect],
//     a [memory.SetGist] before one that reaches further, a [memory.Edit] before a
//     [memory.Redact]) or ErrNotFound (after a [memory.Rewind] that removed what an
//     earlier change names, a [memory.Keep] that ended the session), and it counts
//     twice in Head.Version. So a Patient reads back first: the head tells whether the
//     Update was done.
//   - A list that breaks off is read again, and yielded once all of it is read.
//
// Reading back needs to know who else writes: an Update waits for the other writes
// of this Patient, and takes for its own what another process does to the same
// session between the attempts. It is for tests; a program that shares sessions with
// others uses request ids, and decides again where ErrConflict or ErrNotFound say so.
type Patient struct {
	store memory.Store
	gate  *gate

	mu   sync.Mutex
	told map[memory.RecordID]bool // that a caller has stored it
}

var _ memory.Store = (*Patient)(nil)

// NewPatient returns a patient caller of store. It is safe for concurrent use.
func NewPatient(store memory.Store) *Patient {
	return &Patient{store: store, gate: newGate(), told: map[memory.RecordID]bool{}}
}

const (
	maxAttempts = 100
	// Waits double from the first to the last of these.
	minWait, maxWait = 50 * time.Microsecond, 20 * time.Millisecond
	// ownRequest begins the request ids that a Patient makes.
	ownRequest = "\u2060patient-"
)

// repeat calls until the outcome is certain or no longer worth another attempt.
func repeat(ctx context.Context, attempt func(again bool) error) error {
	pause := minWait
	for n := 1; ; n++ {
		err := attempt(n > 1)
		if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if err == nil || ctx.Err() != nil || n == maxAttempts || !errors.Is(err, memory.ErrThrottled) && !isTimeout(err) {
			return err
		}
		if err := wait(ctx, time.Duration(mathrand.Int64N(int64(pause)))); err != nil {
			return err
		}
		pause = min(2*pause, maxWait)
	}
}

// Append implements [memory.Store].
func (p *Patient) Append(ctx context.Context, key memory.Key, entry memory.Entry, options *memory.AppendOptions) (memory.Receipt, error) {
	opts := options.WithDefaults()
	if opts.RequestID == "" {
		opts.RequestID = ownRequest + rand.Text()
	}
	pass := p.gate.share
	if opts.IfVersion > 0 {
		pass = p.gate.close
	}
	leave, err := pass(ctx)
	if err != nil {
		return p.store.Append(ctx, key, entry, &opts) // the store says what it says of a context that has ended
	}
	defer leave()
	var receipt memory.Receipt
	err = repeat(ctx, func(again bool) (err error) {
		receipt, err = p.store.Append(ctx, key, entry, &opts)
		if err == nil {
			receipt.Replayed = receipt.Replayed && !again || !p.tellFirst(receipt.Record.ID)
		}
		return err
	})
	disown(&receipt.Record)
	return receipt, err
}

// tellFirst says whether nobody has been told so far that they stored a record.
func (p *Patient) tellFirst(id memory.RecordID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.told[id]
	p.told[id] = true
	return first
}

// disown takes a request id away that the caller has not given.
func disown(r *memory.Record) {
	if strings.HasPrefix(r.RequestID, ownRequest) {
		r.RequestID = ""
	}
}

// Open implements [memory.Store].
func (p *Patient) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	var w memory.Window
	err := repeat(ctx, func(bool) (err error) {
		w, err = p.store.Open(ctx, key, opts)
		return err
	})
	for i := range w.Records {
		disown(&w.Records[i])
	}
	return w, err
}

// Records implements [memory.Store].
func (p *Patient) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	list := whole(ctx, p.store.Records(ctx, key, opts), func(err error) error { return wrap("records", key, err) })
	return func(yield func(memory.Record, error) bool) {
		for r, err := range list {
			disown(&r)
			if !yield(r, err) {
				return
			}
		}
	}
}

// Find implements [memory.Store].
func (p *Patient) Find(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	key := memory.Key{Tenant: q.Tenant, App: q.App, User: q.User}
	return whole(ctx, p.store.Find(ctx, q), func(err error) error { return wrap("find", key, err) })
}

// whole yields list once it has been read to its end: two halves of different
// readings would show what never was.
func whole[T any](ctx context.Context, list iter.Seq2[T, error], named func(error) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var items []T
		err := repeat(ctx, func(bool) error {
			items = nil
			for item, err := range list {
				if err != nil {
					return err
				}
				items = append(items, item)
			}
			return nil
		})
		var none T
		if err != nil {
			yield(none, err)
			return
		}
		for _, item := range items {
			if ctx.Err() != nil {
				yield(none, named(ctx.Err()))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// Update implements [memory.Store].
func (p *Patient) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	leave, err := p.gate.close(ctx)
	if err != nil || memory.ValidateChanges(key, changes) != nil {
		if err == nil {
			leave()
		}
		return p.store.Update(ctx, key, changes...)
	}
	defer leave()
	before, err := p.head(ctx, key)
	if err != nil {
		return "", err
	}
	var b memory.Bookmark
	err = repeat(ctx, func(again bool) (err error) {
		if again {
			after, err := p.head(ctx, key)
			if err != nil {
				return err
			}
			if after.differs(before) {
				b = after.bookmark
				return nil
			}
		}
		b, err = p.store.Update(ctx, key, changes...)
		return err
	})
	return b, err
}

// What an Update leaves a trace in.
type trace struct {
	created  time.Time // zero if there is no session
	version  int64
	bookmark memory.Bookmark // of the user's state, where there is no session
}

func (t trace) differs(o trace) bool { return !t.created.Equal(o.created) || t.version != o.version }

func (p *Patient) head(ctx context.Context, key memory.Key) (trace, error) {
	opts := &memory.WindowOptions{Last: -1, Scopes: memory.NoState}
	w, err := p.Open(ctx, key, opts)
	if errors.Is(err, memory.ErrNotFound) {
		w, err = p.Open(ctx, key.Owner(), opts)
	}
	return trace{w.Head.Created, w.Head.Version, w.Bookmark}, err
}

// Delete implements [memory.Store].
func (p *Patient) Delete(ctx context.Context, key memory.Key) error {
	leave, err := p.gate.close(ctx)
	if err != nil {
		return p.store.Delete(ctx, key)
	}
	defer leave()
	return repeat(ctx, func(bool) error { return p.store.Delete(ctx, key) })
}

// A gate lets many pass together or one alone. It waits on channels, so that time
// goes on under testing/synctest, and no longer than a context.
type gate struct{ turn, places chan struct{} }

const places = 64

func newGate() *gate { return &gate{make(chan struct{}, 1), make(chan struct{}, places)} }

func (g *gate) share(ctx context.Context) (leave func(), err error) { return g.take(ctx, 1) }

func (g *gate) close(ctx context.Context) (leave func(), err error) { return g.take(ctx, places) }

// take takes n places. Whoever takes some has the turn until it has all, so that no
// two wait for each other.
func (g *gate) take(ctx context.Context, n int) (leave func(), err error) {
	if err := enter(ctx, g.turn); err != nil {
		return nil, err
	}
	defer func() { <-g.turn }()
	taken := 0
	leave = func() {
		for range taken {
			<-g.places
		}
	}
	for ; taken < n; taken++ {
		if err := enter(ctx, g.places); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another write: %w", ctx.Err())
	}
}
