package artifacts

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Publish implements [Store]. It reads as many files at a time as there are
// processors.
func (m *InMemory) Publish(ctx context.Context, name Name, files fs.FS, options *PublishOptions) (Publication, error) {
	if err := cmp.Or(ctx.Err(), name.Validate(), options.Validate()); err != nil {
		return Publication{}, fmt.Errorf("publish %s: %w", name, err)
	}
	opts := options.WithDefaults().clone()
	opts.ID = cmp.Or(opts.ID, newID())
	if p, err := m.published(name, opts); err != nil || p.Again {
		return p, err
	}
	one, shown, err := readPart(ctx, files, opts)
	if err != nil {
		return Publication{}, fmt.Errorf("publish %s: %w", name, err)
	}
	p, err := m.arrive(ctx, name, one)
	if err != nil || p.Again {
		return p, err
	}
	shown.done(p)
	return p, nil
}

// published returns the publication with the same ID, if there is one, and
// reports what forbids another.
func (m *InMemory) published(name Name, opts PublishOptions) (Publication, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a := cmp.Or(m.names[name], &artifact{})
	p, err := a.again(opts)
	if err != nil {
		return p, fmt.Errorf("publish %s: %w", name, err)
	}
	return p, nil
}

func (a *artifact) again(opts PublishOptions) (Publication, error) {
	if v, seq, err := a.log.Published(opts.ID); err == nil {
		return Publication{Version: v, Record: a.records[seq-1].clone(), Again: true}, nil
	}
	if p := a.pending[opts.ID]; p != nil && p.ranks != opts.Ranks {
		return Publication{}, fmt.Errorf("%w: other parts of %.80q are of %d ranks, not %d", ErrConflict, opts.ID, p.ranks, opts.Ranks)
	}
	if next := a.log.Next(); opts.IfNext != 0 && opts.IfNext != next {
		return Publication{}, fmt.Errorf("%w: the next version is %d, not %d", ErrConflict, next, opts.IfNext)
	}
	return Publication{}, nil
}

// arrive adds a part that was read, and publishes the version if it was the last.
func (m *InMemory) arrive(ctx context.Context, name Name, one part) (Publication, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := cmp.Or(m.names[name], &artifact{})
	p, err := a.again(one.opts)
	if err = cmp.Or(ctx.Err(), err); err == nil && !p.Again {
		p, err = a.arrive(name, one, m.record(one.opts.ID, nil))
	}
	if err != nil {
		return Publication{}, fmt.Errorf("publish %s: %w", name, err)
	}
	if m.names == nil {
		m.names = map[Name]*artifact{}
	}
	m.names[name] = a
	return p, nil
}

func (a *artifact) arrive(name Name, one part, r Record) (Publication, error) {
	waiting := cmp.Or(a.pending[one.opts.ID], &pending{ranks: one.opts.Ranks})
	parts := maps.Clone(waiting.parts)
	if parts == nil {
		parts = map[int]part{}
	}
	parts[one.opts.Rank] = one
	if missing := missing(parts, waiting.ranks); len(missing) > 0 {
		sent, reused := a.admit(one.files)
		a.release(waiting.parts[one.opts.Rank].files)
		if a.pending == nil {
			a.pending = map[string]*pending{}
		}
		a.pending[one.opts.ID] = &pending{ranks: waiting.ranks, parts: parts}
		return Publication{Pending: missing, Sent: sent, Reused: reused}, nil
	}
	t, err := join(parts, r.Time)
	if err != nil {
		return Publication{}, err
	}
	opts := parts[0].opts
	v := Version{
		ID: ID{Name: name}, Digest: ContentDigest(infos(t.files)), Owner: opts.Owner, Kind: opts.Kind, Files: len(t.files),
		Lineage: opts.Lineage, Tags: opts.Tags, Metrics: opts.Metrics, Durable: true, Ready: true,
	}
	for _, f := range t.files {
		v.Bytes += f.Size
	}
	r.Changes, r.Content = opts.With, v.Digest
	r, d, err := a.log.plan(r, &v)
	if err != nil {
		return Publication{}, err
	}
	sent, reused := a.admit(one.files)
	a.admit(t.files)
	a.release(one.files)
	for _, p := range waiting.parts {
		a.release(p.files)
	}
	delete(a.pending, one.opts.ID)
	if a.trees == nil {
		a.trees = map[int64]tree{}
	}
	a.trees[r.Publish] = t
	a.published = append(a.published, v)
	a.commit(r, d)
	now, _, err := a.log.Published(r.ID)
	return Publication{Version: now, Record: r.clone(), Sent: sent, Reused: reused}, err
}

func missing(parts map[int]part, ranks int) []int {
	if len(parts) == ranks {
		return nil
	}
	out := make([]int, 0, ranks-len(parts))
	for rank := range ranks {
		if _, came := parts[rank]; !came {
			out = append(out, rank)
		}
	}
	return out
}

// newID returns an ID that nobody else has.
func newID() string { return rand.Text() }

// inParallel calls do for 0 to n-1 and returns the first error.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		if each.Err() != nil {
			break
		}
		g.Go(func() error { return do(each, i) })
	}
	return cmp.Or(g.Wait(), ctx.Err())
}

// A progress reports how far a Publish is. Its lock only keeps reports apart.
type progress struct {
	mu     sync.Mutex
	now    Progress
	report func(Progress)
}

func newProgress(report func(Progress), files []FileInfo) *progress {
	p := &progress{report: report, now: Progress{Files: int64(len(files))}}
	for _, f := range files {
		p.now.Bytes += max(f.Size, 0)
	}
	return p
}

func (p *progress) tell(change func(*Progress)) {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
	p.report(p.now)
}

// hashed counts n bytes of a file that said its size, or that it has none.
func (p *progress) hashed(n, size int64) {
	p.tell(func(now *Progress) {
		now.BytesHashed += n
		if size < 0 {
			now.Bytes += n
		}
	})
}

func (p *progress) file() { p.tell(func(now *Progress) { now.FilesDone++ }) }

func (p *progress) done(pub Publication) {
	p.tell(func(now *Progress) { now.Bytes, now.BytesSent, now.BytesReused = now.BytesHashed, pub.Sent, pub.Reused })
}
