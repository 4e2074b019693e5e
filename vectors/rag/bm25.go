package rag

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// A Document is one text that a [BM25] index can find.
type Document struct {
	ID    string // required, valid UTF-8
	Title string // its words weigh more than those of the text
	Text  string
}

// A Hit is one result of a search, the better the greater its Score. Scores
// compare within one result only.
type Hit struct {
	ID    string
	Score float64
}

// better orders hits: the greater score first, then the smaller id, so that
// equal input gives equal output.
func better(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
}

// BM25Options adjusts an index. A nil *BM25Options means the zero value, and a
// zero field its default. A negative field means zero, which turns off what it
// weighs.
type BM25Options struct {
	// K1 is how much a repeated word adds: 1.2 by default, 0 is nothing.
	K1 float64
	// B is how much a long document is held against it: 0.75 by default, at
	// most 1.
	B float64
	// TitleWeight is how often each word of the title counts, in addition to
	// where the text repeats it: 2 by default.
	TitleWeight float64
	// PrefixWeight is what two words count that share only their first four
	// letters, such as "Thai" and "Thailand": 0.5 by default, where 1 is a full
	// match.
	PrefixWeight float64
}

// WithDefaults returns what an index acts on. It accepts a nil receiver.
func (o *BM25Options) WithDefaults() BM25Options {
	var opts BM25Options
	if o != nil {
		opts = *o
	}
	or := func(value, standard float64) float64 { return max(0, cmp.Or(value, standard)) }
	return BM25Options{
		K1:           or(opts.K1, 1.2),
		B:            or(opts.B, 0.75),
		TitleWeight:  or(opts.TitleWeight, 2),
		PrefixWeight: or(opts.PrefixWeight, 0.5),
	}
}

// A BM25 index finds documents by their words, which embeddings are bad at:
// names, numbers, rare terms. It is an inverted index in memory with Okapi BM25
// scores, made for English: words are stemmed and the commonest left out. It is
// not saved; rebuild it from the stored text, at about 20 MB a second.
//
// It is safe for concurrent use. Searches run side by side.
type BM25 struct {
	opts BM25Options

	mu    sync.RWMutex
	slots map[string]uint32 // id to its place in docs
	docs  []indexed
	free  []uint32             // places of removed documents
	terms map[string][]posting // by doc
	words float64              // of all documents
}

// indexed is a document in the index; the zero value is a free place.
type indexed struct {
	id    string
	words float64  // its length
	terms []string // what lists it
}

// A posting is one document that has a term.
type posting struct {
	doc   uint32
	count float32
}

func (p posting) compare(doc uint32) int { return cmp.Compare(p.doc, doc) }

// NewBM25 returns an empty index. It returns an error that matches
// [ErrInvalid] for an option that is not finite, or a B over 1.
func NewBM25(opts *BM25Options) (*BM25, error) {
	o := opts.WithDefaults()
	for _, v := range []float64{o.K1, o.B, o.TitleWeight, o.PrefixWeight} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("bm25: %w: option %v is not finite", ErrInvalid, v)
		}
	}
	if o.B > 1 {
		return nil, fmt.Errorf("bm25: %w: B is %v, want at most 1", ErrInvalid, o.B)
	}
	return &BM25{opts: o, slots: map[string]uint32{}, terms: map[string][]posting{}}, nil
}

// Add puts documents into the index. One whose id is there already replaces it,
// also within docs. A document with an empty id or with text that is not UTF-8
// gives an error that matches [ErrInvalid], and then none of docs is added.
func (x *BM25) Add(docs ...Document) error {
	for i, doc := range docs {
		switch {
		case doc.ID == "":
			return fmt.Errorf("bm25: document %d: %w: no id", i, ErrInvalid)
		case !utf8.ValidString(doc.ID), !utf8.ValidString(doc.Title), !utf8.ValidString(doc.Text):
			return fmt.Errorf("bm25: document %d: %w: %q is not valid UTF-8", i, ErrInvalid, doc.ID)
		}
	}
	for _, doc := range docs {
		counts := map[string]float32{}
		words := x.count(counts, doc.Text, 1)
		if x.opts.TitleWeight > 0 {
			words += x.count(counts, doc.Title, x.opts.TitleWeight)
		}
		x.insert(doc.ID, words, counts)
	}
	return nil
}

// count adds the terms of text and returns its weighted number of words.
func (x *BM25) count(counts map[string]float32, text string, weight float64) float64 {
	words := 0.0
	for term := range terms(text) {
		if isPrefix(term) {
			if x.opts.PrefixWeight == 0 {
				continue
			}
		} else {
			words += weight
		}
		counts[term] += float32(weight)
	}
	return words
}

func (x *BM25) insert(id string, words float64, counts map[string]float32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	var slot uint32
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
	} else {
		slot = uint32(len(x.docs))
		x.docs = append(x.docs, indexed{})
	}
	doc := indexed{id: id, words: words, terms: make([]string, 0, len(counts))}
	for term, count := range counts {
		list := x.terms[term]
		at, _ := slices.BinarySearchFunc(list, slot, posting.compare)
		x.terms[term] = slices.Insert(list, at, posting{slot, count})
		doc.terms = append(doc.terms, term)
	}
	x.docs[slot] = doc
	x.slots[id] = slot
	x.words += words
}

// Remove takes documents out of the index. Absent ids are ignored.
func (x *BM25) Remove(ids ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		x.remove(id)
	}
}

func (x *BM25) remove(id string) {
	slot, ok := x.slots[id]
	if !ok {
		return
	}
	for _, term := range x.docs[slot].terms {
		list := x.terms[term]
		if len(list) == 1 {
			delete(x.terms, term)
			continue
		}
		at, _ := slices.BinarySearchFunc(list, slot, posting.compare)
		x.terms[term] = slices.Delete(list, at, at+1)
	}
	x.words -= x.docs[slot].words
	x.docs[slot] = indexed{}
	x.free = append(x.free, slot)
	delete(x.slots, id)
	if len(x.slots) == 0 {
		x.words = 0 // sheds what rounding left
	}
}

// Len returns the number of documents.
func (x *BM25) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.slots)
}

// Search returns at most k documents that share a word with the query, the best
// first; documents of equal score come in the order of their ids. A query
// without a word that the index knows finds nothing.
func (x *BM25) Search(query string, k int) []Hit {
	if k <= 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.slots) == 0 {
		return nil
	}
	scores := make([]float64, len(x.docs))
	mean := max(x.words/float64(len(x.slots)), 1)
	asked := map[string]bool{}
	for term := range terms(query) {
		if asked[term] {
			continue
		}
		asked[term] = true
		weight := 1.0
		if isPrefix(term) {
			weight = x.opts.PrefixWeight
		}
		x.score(scores, x.terms[term], weight, mean)
	}
	return x.top(scores, k)
}

// score adds what one term of the query is worth to each document that has it.
func (x *BM25) score(scores []float64, list []posting, weight, mean float64) {
	n, with := float64(len(x.slots)), float64(len(list))
	rarity := weight * math.Log(1+(n-with+0.5)/(with+0.5))
	k1, b := x.opts.K1, x.opts.B
	for _, p := range list {
		count := float64(p.count)
		length := 1 - b + b*x.docs[p.doc].words/mean
		scores[p.doc] += rarity * count * (k1 + 1) / (count + k1*length)
	}
}

// top keeps the k best in order while it looks at each document once.
func (x *BM25) top(scores []float64, k int) []Hit {
	var hits []Hit
	for i, score := range scores {
		if score <= 0 {
			continue
		}
		hit := Hit{x.docs[i].id, score}
		if len(hits) == k {
			if better(hit, hits[k-1]) > 0 {
				continue
			}
			hits = hits[:k-1]
		}
		at, _ := slices.BinarySearchFunc(hits, hit, better)
		hits = slices.Insert(hits, at, hit)
	}
	return hits
}
