// Package glove embeds English text without a network, a model server or a
// download: for examples, tests, local runs and small corpora.
//
// A vector has two parts. The first 100 elements are the meaning: the sum of
// the GloVe vectors of the words, each weighted by a/(a+p) where p is how often
// English uses it (smooth inverse frequency; Arora, Liang and Ma, 2017), from a
// table of the 30,000 most frequent words with 8 bits an element. The other 412
// are a signature of the words themselves: each adds to the element that its
// first six letters hash to. The signature makes names, numbers and words that
// the table does not know count, and gives every text with a letter or digit a
// direction. The whole has length 1, so either metric ranks alike.
//
// It is no neural model: it knows neither word order nor negation, and what it
// knows of other languages than English is their spelling. Passages of 500 to
// 1,500 characters suit it best, each beginning with the title of what it is
// from; longer ones blur. Fused with the BM25 index of package rag it finds more than
// either alone.
//
// The table adds 3.4 MB to a program that imports this package and about 2 MB
// of memory once it is used.
package glove

import (
	"context"
	_ "embed" // for the table
	"fmt"
	"math"
	"sync"

	"github.com/genaistore/genaistore/vectors/embed"
)

// data is derived from GloVe, which its authors dedicated to the public domain.
//
//go:embed glove30k.bin
var data string

// signature is the number of elements that words hash to.
const signature = 412

// typicalNorm is the length of most GloVe vectors: a word counts as much in the
// signature as in the meaning.
const typicalNorm = 6

// An Embedder embeds with the built-in table. Build one with [New]. It is safe
// for concurrent use.
type Embedder struct {
	table   func() (*table, error)
	scratch sync.Pool // of *[]token
}

// New returns an Embedder. The table is parsed when the first text is embedded,
// which takes a few milliseconds; embedders do not share it, so keep one.
func New() *Embedder { return build(data) }

func build(data string) *Embedder {
	return &Embedder{table: sync.OnceValues(func() (*table, error) { return parse(data) })}
}

var _ embed.Embedder = (*Embedder)(nil)

// Model returns the identity of the vectors: 512 elements. Its ID changes with
// every change of the table or of the way that words are weighted.
func (*Embedder) Model() embed.Model {
	return embed.Model{ID: "glove30k-sif-hash412:1", Dimension: meaning + signature}
}

// Documents implements [embed.Embedder].
func (e *Embedder) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	t, err := e.table()
	if err != nil {
		return nil, fmt.Errorf("embed documents: %w", err)
	}
	dimension := e.Model().Dimension
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		vectors[i] = make([]float32, dimension)
		if err := e.embed(ctx, t, vectors[i], text); err != nil {
			return nil, fmt.Errorf("embed document %d: %w", i, err)
		}
	}
	return vectors, nil
}

// Query implements [embed.Embedder]. A query is embedded as a document is.
func (e *Embedder) Query(ctx context.Context, text string) ([]float32, error) {
	t, err := e.table()
	if err != nil {
		return nil, fmt.Errorf("embed query: %w", err)
	}
	vector := make([]float32, e.Model().Dimension)
	if err := e.embed(ctx, t, vector, text); err != nil {
		return nil, fmt.Errorf("embed query: %w", err)
	}
	return vector, nil
}

// embed writes the vector of text to v, which is all zero.
func (e *Embedder) embed(ctx context.Context, t *table, v []float32, text string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := embed.CheckText(text); err != nil {
		return err
	}
	tokens, ok := e.scratch.Get().(*[]token)
	if !ok {
		tokens = new([]token)
	}
	defer e.release(tokens)
	var err error
	if *tokens, err = t.tokenize(ctx, (*tokens)[:0], text); err != nil {
		return err
	}
	t.sum(v, *tokens)
	normalize(v)
	return nil
}

// release keeps what a text of usual size needs, not what the largest did.
func (e *Embedder) release(tokens *[]token) {
	const usual = 1 << 14
	if cap(*tokens) <= usual {
		e.scratch.Put(tokens)
	}
}

// sum adds up the words, which are sorted. One that occurs n times counts as
// much as the root of n, since a repetition tells less than the first mention.
func (t *table) sum(v []float32, tokens []token) {
	for len(tokens) > 0 {
		n := 1
		for n < len(tokens) && tokens[n].hash == tokens[0].hash {
			n++
		}
		factor := float32(math.Sqrt(float64(n)))
		weight := float32(1)
		if known := tokens[0].known; known > 0 {
			w := t.words[known-1]
			t.add(v, w, factor)
			weight = w.weight
		}
		slot := spread(tokens[0].stem)
		change := factor * weight * typicalNorm
		if slot>>63 == 1 {
			change = -change
		}
		v[meaning+slot%signature] += change
		tokens = tokens[n:]
	}
}

func normalize(v []float32) {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if squares == 0 {
		// Words may cancel each other out where they share an element.
		v[meaning] = 1
		return
	}
	length := float32(1 / math.Sqrt(squares))
	for i := range v {
		v[i] *= length
	}
}
