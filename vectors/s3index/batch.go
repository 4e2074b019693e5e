package s3index

import (
	"fmt"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// batchVectors is the most vectors of a request to put or delete.
const batchVectors = 500

// A batch is the vectors of one request, encoded as they come.
type batch struct {
	text   []byte // the body, but for its end
	head   int    // bytes before the first record
	keys   []string
	ends   []int // of the records in text; each begins after the comma that follows the one before
	counts []int // how many vectors of the sequence each record stands for; 0 if a later one replaced it
	skip   []any // the values of PutOptions.SkipEqual
	at     map[string]int
	whole  []byte // the body of all records, once it was sent
	number number
}

const batchEnd = "]}"

// sampled is how many records a batch has before it takes room for all.
const sampled = 10

// newBatch returns a batch for a body of about size bytes, in room that another no
// longer needs, if it is enough.
func (x *Index) newBatch(size int, room []byte) *batch {
	text := room[:0]
	if cap(text) < size {
		text = make([]byte, 0, size)
	}
	text = append(text, `{"indexName":`...)
	text = vectors.AppendValue(text, x.name)
	text = append(text, `,"vectorBucketName":`...)
	text = vectors.AppendValue(text, x.bucket)
	text = append(text, `,"vectors":[`...)
	b := &batch{text: text, head: len(text), at: make(map[string]int, batchVectors), number: appendFloat}
	if x.opts.NineDigits {
		b.number = appendNine
	}
	return b
}

// add encodes v, which is normal, and reports whether it fits within most bytes.
func (b *batch) add(v vectors.Vector, most int) bool {
	before := len(b.text)
	if len(b.keys) == sampled { // enough to know what all of them will take
		all := before / sampled * batchVectors
		b.text = slices.Grow(b.text, min(all+all/20, most)-before)
	}
	if len(b.keys) > 0 {
		b.text = append(b.text, ',')
	}
	b.text = appendRecord(b.text, v, b.number)
	if len(b.text)+len(batchEnd) > most {
		b.text = b.text[:before]
		return false
	}
	count := 1
	if old, ok := b.at[v.Key]; ok {
		count += b.counts[old]
		b.counts[old] = 0
	}
	b.at[v.Key] = len(b.keys)
	b.keys = append(b.keys, v.Key)
	b.ends = append(b.ends, len(b.text))
	b.counts = append(b.counts, count)
	return true
}

// live returns the records that are to be sent.
func (b *batch) live() []int {
	which := make([]int, 0, len(b.keys))
	for i, n := range b.counts {
		if n > 0 {
			which = append(which, i)
		}
	}
	return which
}

func (b *batch) record(i int) []byte {
	start := b.head
	if i > 0 {
		start = b.ends[i-1] + len(",")
	}
	return b.text[start:b.ends[i]]
}

// body returns a request of these records. That of all of them is the text
// itself, which has room for its end.
func (b *batch) body(which []int) []byte {
	if len(which) == len(b.keys) {
		if b.whole == nil {
			b.whole = append(b.text, batchEnd...)
		}
		return b.whole
	}
	size := b.head + len(which) + len(batchEnd)
	for _, i := range which {
		size += len(b.record(i))
	}
	body := append(make([]byte, 0, size), b.text[:b.head]...)
	for n, i := range which {
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, b.record(i)...)
	}
	return append(body, batchEnd...)
}

// release returns the room of a batch that is settled, which keeps nothing of it.
func (b *batch) release() []byte {
	room := b.text
	b.text, b.whole = nil, nil
	return room
}

// meets reports whether the two have a key in common.
func (b *batch) meets(other *batch) bool {
	for _, key := range b.keys {
		if _, ok := other.at[key]; ok {
			return true
		}
	}
	return false
}

func tooLarge(most int) error {
	return fmt.Errorf("%w: the vector alone makes a request of more than %d bytes", vectors.ErrInvalid, most)
}
