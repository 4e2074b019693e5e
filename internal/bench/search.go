package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"github.com/philippgille/chromem-go"

	"github.com/genaistore/genaistore/vectors"
)

const topK = 10

// A corpus is the same random unit vectors in all stores, one in a hundred of
// which a filter selects.
type corpus struct {
	flat    []float32
	index   vectors.InMemory
	plain   vectors.InMemory // without codes
	mapped  *vectors.Mapped
	peer    *chromem.Collection
	queries [][]float32
	asked   int // queries asked by same
}

// search returns the variants of an exact search for ten neighbours, after it
// has checked that all find the same.
func search(ctx context.Context, n, dimension int) ([]variant, error) {
	c, err := newCorpus(ctx, n, dimension)
	if err != nil {
		return nil, err
	}
	hundredth := vectors.Equal("hundredth", "7")
	for range c.queries {
		if err := errors.Join(c.same(ctx, nil, vectors.Filter{}), c.same(ctx, map[string]string{"hundredth": "7"}, hundredth)); err != nil {
			return nil, err
		}
	}
	ask := func(index vectors.Index, f vectors.Filter) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.ask(ctx, index, f); return err }
	}
	askPeer := func(where map[string]string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.askPeer(ctx, where); return err }
	}
	const chromemAll, chromemFiltered, read = "chromem-go v0.7.0 QueryEmbedding", "chromem-go, filter of 1 %", "read of the same memory"
	half := vectors.And(vectors.Equal("even", true), vectors.Less("n", float64(n)/10))
	aim := aims()
	return []variant{
		{name: chromemAll, run: askPeer(nil)},
		{name: read, run: func(context.Context) error { return c.read() }},
		{name: "vectors.InMemory without codes", peers: []peer{{chromemAll, aim.scan}, {read, aim.bandwidth}}, run: ask(&c.plain, vectors.Filter{})},
		{name: "vectors.InMemory", peers: []peer{{chromemAll, aim.codes}}, run: ask(&c.index, vectors.Filter{})},
		{name: "vectors.Mapped, a snapshot in a file", peers: []peer{{chromemAll, 0}}, run: ask(c.mapped, vectors.Filter{})},
		{name: chromemFiltered, run: askPeer(map[string]string{"hundredth": "7"})},
		{name: "vectors.InMemory, filter of 1 %", peers: []peer{{chromemFiltered, 100}}, run: ask(&c.index, hundredth)},
		{name: "vectors.InMemory, filter of half and a range", peers: []peer{{chromemFiltered, 0}}, run: ask(&c.index, half)},
	}, nil
}

// An aim is how many times as fast as chromem-go a scan is to be, and a search that
// reads codes first, and what share of the speed of memory a scan is to have.
type aim struct{ scan, codes, bandwidth float64 }

// aims returns those of this build. Without the experiment it is the processor that
// both wait for, and codes have no aim of their own.
func aims() aim {
	if experiment() == "on" {
		return aim{8, 20, 0.9}
	}
	return aim{4.5, 4.5, 0}
}

func newCorpus(ctx context.Context, n, dimension int) (*corpus, error) {
	r := rand.New(rand.NewPCG(1, 2))
	c := &corpus{flat: make([]float32, 0, n*dimension)}
	for range n {
		c.flat = append(c.flat, unit(r, dimension)...)
	}
	for range 8 {
		c.queries = append(c.queries, unit(r, dimension))
	}
	var err error
	noEmbedding := func(context.Context, string) ([]float32, error) { return nil, errors.ErrUnsupported }
	if c.peer, err = chromem.NewDB().CreateCollection("bench", nil, noEmbedding); err != nil {
		return nil, err
	}
	sequence := func(yield func(vectors.Vector, error) bool) {
		for i := range n {
			data, hundredth := c.flat[i*dimension:(i+1)*dimension:(i+1)*dimension], strconv.Itoa(i%100)
			doc := chromem.Document{ID: key(i), Embedding: data, Content: "x", Metadata: map[string]string{"hundredth": hundredth}}
			err := c.peer.AddDocument(ctx, doc)
			if !yield(vectors.Vector{Key: key(i), Data: data, Metadata: vectors.Metadata{"hundredth": hundredth, "even": i%2 == 0, "n": i}}, err) {
				return
			}
		}
	}
	c.plain.NoCodes = true
	if _, err := c.index.Put(ctx, sequence, nil); err != nil {
		return nil, err
	}
	if _, err := c.plain.Put(ctx, c.index.List(ctx, &vectors.ListOptions{Fields: vectors.Everything}), nil); err != nil {
		return nil, err
	}
	if c.mapped, err = mapped(ctx, &c.index); err != nil {
		return nil, err
	}
	runtime.GC()
	return c, nil
}

// mapped returns a snapshot of index whose file is gone once the process is.
func mapped(ctx context.Context, index *vectors.InMemory) (*vectors.Mapped, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "index")
	if err := index.SnapshotFile(ctx, name); err != nil {
		return nil, err
	}
	return vectors.OpenSnapshot(ctx, name)
}

func key(i int) string { return fmt.Sprintf("k%06d", i) }

func unit(r *rand.Rand, dimension int) []float32 {
	v := make([]float32, dimension)
	var squares float64
	for i := range v {
		x := r.NormFloat64()
		v[i] = float32(x)
		squares += x * x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(squares))
	}
	return v
}

func (c *corpus) query() []float32 { return c.queries[c.asked%len(c.queries)] }

func (c *corpus) ask(ctx context.Context, index vectors.Index, f vectors.Filter) ([]vectors.Match, error) {
	var found []vectors.Match
	for m, err := range index.Query(ctx, vectors.Query{Vector: c.query(), TopK: topK, Filter: f}) {
		if err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return found, nil
}

func (c *corpus) askPeer(ctx context.Context, where map[string]string) ([]chromem.Result, error) {
	return c.peer.QueryEmbedding(ctx, c.query(), topK, where, nil)
}

// same checks that all find the same vectors at the same distance.
func (c *corpus) same(ctx context.Context, where map[string]string, f vectors.Filter) error {
	c.asked++
	want, err := c.askPeer(ctx, where)
	if err != nil {
		return err
	}
	for _, index := range []vectors.Index{&c.index, &c.plain, c.mapped} {
		got, err := c.ask(ctx, index, f)
		if err != nil {
			return err
		}
		if len(got) != topK || len(want) != topK {
			return fmt.Errorf("%d and %d results, want %d", len(got), len(want), topK)
		}
		for i, m := range got {
			if similarity := 1 - m.Distance; m.Key != want[i].ID || math.Abs(similarity-float64(want[i].Similarity)) > 1e-5 {
				return fmt.Errorf("result %d is %s at %v, of the peer %s at %v", i, m.Key, similarity, want[i].ID, want[i].Similarity)
			}
		}
	}
	return nil
}

// read adds up a word of every cache line, on all processors: what a search
// cannot be faster than while it reads every vector.
func (c *corpus) read() error {
	var group sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	sums := make([]float32, workers*16)
	// Bound: one for each processor.
	for w := range workers {
		group.Go(func() { sums[w*16] = sum(c.flat[w*len(c.flat)/workers : (w+1)*len(c.flat)/workers]) })
	}
	group.Wait()
	for _, s := range sums {
		if math.IsNaN(float64(s)) {
			return errors.New("not a number")
		}
	}
	return nil
}

func sum(x []float32) float32 {
	var s0, s1, s2, s3 float32
	for ; len(x) >= 64; x = x[64:] {
		s0 += x[0]
		s1 += x[16]
		s2 += x[32]
		s3 += x[48]
	}
	return s0 + s1 + s2 + s3
}
