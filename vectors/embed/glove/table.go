package glove

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/genaistore/genaistore/vectors/embed"
)

// meaning is the number of elements that a word of the table has.
const meaning = 100

// smoothing is the a of the weight a/(a+p) that a word of probability p gets:
// less than the usual 1e-3, since questions are made of frequent words.
const smoothing = 3e-4

// A table maps words to their vectors, which stay in the data that it was
// parsed from.
//
// The data is a sequence of words, the most frequent first: one byte with the
// length of the word, the word in UTF-8, a little-endian float32 scale, and
// 100 int8 that give the vector when multiplied by the scale.
type table struct {
	data  string
	index map[string]uint32 // position in words
	words []word
}

type word struct {
	offset uint32  // of the int8 elements in data
	scale  float32 // of the elements, times weight
	weight float32 // by smooth inverse frequency
}

// parse checks the whole of data, so that nothing later can go out of bounds.
func parse(data string) (*table, error) {
	const tail = 4 + meaning
	if uint64(len(data)) > math.MaxUint32 {
		return nil, fmt.Errorf("word table: %w: %d bytes", embed.ErrCorrupt, len(data))
	}
	t := &table{data: data}
	const typical = 112
	t.index = make(map[string]uint32, len(data)/typical)
	t.words = make([]word, 0, len(data)/typical)
	for at := 0; at < len(data); {
		n := int(data[at])
		end := at + 1 + n + tail
		if n == 0 || end > len(data) {
			return nil, fmt.Errorf("word table: %w: word of %d bytes at offset %d of %d", embed.ErrCorrupt, n, at, len(data))
		}
		text := data[at+1 : at+1+n]
		if _, twice := t.index[text]; twice || !utf8.ValidString(text) {
			return nil, fmt.Errorf("word table: %w: word %q at offset %d is not UTF-8 or there twice", embed.ErrCorrupt, text, at)
		}
		scale := math.Float32frombits(binary.LittleEndian.Uint32([]byte(data[at+1+n : at+1+n+4])))
		// The bound keeps every sum of embedded words finite.
		if !(scale > 0 && scale < 1e6) {
			return nil, fmt.Errorf("word table: %w: scale %v of word %q at offset %d", embed.ErrCorrupt, scale, text, at)
		}
		rank := len(t.words) + 1
		weight := smoothing / (smoothing + 0.1/float32(rank)) // Zipf's law gives the probability
		t.index[text] = uint32(rank - 1)
		t.words = append(t.words, word{offset: uint32(end - meaning), scale: scale * weight, weight: weight})
		at = end
	}
	if len(t.words) == 0 {
		return nil, fmt.Errorf("word table: %w: no words", embed.ErrCorrupt)
	}
	return t, nil
}

// add adds factor times the weighted vector of a word to sum.
func (t *table) add(sum []float32, w word, factor float32) {
	factor *= w.scale
	row := t.data[w.offset:][:meaning]
	sum = sum[:meaning]
	for i := range sum {
		sum[i] += factor * float32(int8(row[i]))
	}
}
