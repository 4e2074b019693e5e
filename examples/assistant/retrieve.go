package main

import (
	"context"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/rag"
)

const (
	depth   = 100 // chunks that each retriever proposes
	sources = 5   // passages that an answer reads
	// Word vectors know no word order, so that what they say counts less.
	meaningWeight = 0.4
)

// A retriever finds passages by meaning, in the vector index, and by words, in a
// BM25 index of the same texts, and joins what they say by score: measured, that finds more than joining by rank.
type retriever struct {
	a        *assistant
	words    *rag.BM25
	passages map[string]passage
}

// retriever reads the texts of the index. An index with nothing in it gets the
// built-in corpus first.
func (a *assistant) retriever(ctx context.Context) (*retriever, error) {
	r, err := a.readIndex(ctx)
	if err != nil || len(r.passages) > 0 {
		return r, err
	}
	corpus, err := readBuiltIn()
	if err != nil {
		return nil, err
	}
	a.warnf("nothing was ingested yet: reading the built-in World Factbook extract, %d passages", len(corpus))
	if _, err := a.ingest(ctx, corpus); err != nil {
		return nil, err
	}
	a.changed = true
	return a.readIndex(ctx)
}

func (a *assistant) readIndex(ctx context.Context) (*retriever, error) {
	words, err := rag.NewBM25(nil)
	if err != nil {
		return nil, err
	}
	r := &retriever{a: a, words: words, passages: map[string]passage{}}
	var docs []rag.Document
	for v, err := range a.stores.Vectors.List(ctx, nil) {
		if err != nil {
			return nil, err
		}
		p := passageOf(v)
		r.passages[p.key] = p
		docs = append(docs, rag.Document{ID: p.key, Title: p.title, Text: p.text})
	}
	return r, words.Add(docs...)
}

func passageOf(v vectors.Vector) passage {
	get := func(key string) string { s, _ := v.Metadata[key].(string); return s }
	return passage{key: v.Key, source: get(metaSource), title: get(metaTitle), text: get(metaText), hash: get(metaHash)}
}

// find returns the passages that fit question best, best first. Of the chunks
// of one section it returns the best.
func (r *retriever) find(ctx context.Context, question string, n int) ([]passage, error) {
	query, err := r.a.embedder.Query(ctx, question)
	if err != nil {
		return nil, err
	}
	var byMeaning []rag.Hit
	for m, err := range r.a.stores.Vectors.Query(ctx, vectors.Query{Vector: query, TopK: depth, Fields: vectors.KeysOnly}) {
		if err != nil {
			return nil, err
		}
		byMeaning = append(byMeaning, rag.Hit{ID: m.Key, Score: 1 - m.Distance})
	}
	byWords := r.words.Search(question, depth)
	best := map[string]passage{}
	ranking, err := rag.Blend([][]rag.Hit{r.sections(byWords, best), r.sections(byMeaning, best)}, &rag.BlendOptions{Weights: []float64{1, meaningWeight}})
	if err != nil {
		return nil, err
	}
	found := make([]passage, 0, n)
	for _, hit := range ranking[:min(n, len(ranking))] {
		found = append(found, best[hit.ID])
	}
	return found, nil
}

// sections turns hits of chunks into hits of the sections that they are from,
// and notes the best chunk of each section that has none yet.
func (r *retriever) sections(hits []rag.Hit, best map[string]passage) []rag.Hit {
	out := make([]rag.Hit, len(hits))
	for i, h := range hits {
		p := r.passages[h.ID]
		section := p.source + "\x00" + p.title
		if _, ok := best[section]; !ok {
			best[section] = p
		}
		out[i] = rag.Hit{ID: section, Score: h.Score}
	}
	return out
}

func ids(hits []rag.Hit) []string {
	out := make([]string, len(hits))
	for i, h := range hits {
		out[i] = h.ID
	}
	return out
}
