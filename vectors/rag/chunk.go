package rag

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Chunk is a piece of a document that is embedded and found as one.
type Chunk struct {
	// ID is the document, the first 16 digits of Hash and a counter for equal
	// chunks of one document, joined by "#". It depends on what the chunk says, not on
	// where it stands, so that splitting a changed document gives most chunks
	// the ids that they had, and only the new ones need to be embedded.
	ID       string
	Document string
	// Section is the title and the headings that the chunk stands under, joined
	// by " > "; empty if there are none.
	Section string
	// Text is the bytes Start to End of the document, without space at either
	// end.
	Text       string
	Start, End int
	// Hash is the SHA-256 of Section and Text in hexadecimal digits.
	Hash string
}

// Content returns the text under its section, which is what to embed and index:
// a passage that does not name what it is about is found by its title.
func (c Chunk) Content() string {
	if c.Section == "" {
		return c.Text
	}
	return c.Section + "\n" + c.Text
}

// ChunkOptions adjusts how a document is split. A nil *ChunkOptions means the
// zero value.
type ChunkOptions struct {
	// Size is the most characters that the Text of a chunk has, 1000 by
	// default. English has about 4 to a model token and 6 to a word.
	Size int
	// Overlap is how many characters a chunk may repeat from the end of the one
	// before, so that what stands at a cut is whole in one of them: a tenth of
	// Size by default, at most half of it, negative for none. It begins at a
	// sentence, else at a word.
	Overlap int
	// Title is the first part of every Section.
	Title string
}

// WithDefaults returns what splitting acts on. It accepts a nil receiver.
func (o *ChunkOptions) WithDefaults() ChunkOptions {
	var opts ChunkOptions
	if o != nil {
		opts = *o
	}
	opts.Size = cmp.Or(opts.Size, 1000)
	opts.Overlap = max(0, cmp.Or(opts.Overlap, opts.Size/10))
	return opts
}

func (o ChunkOptions) validate(document, text string) error {
	switch {
	case document == "":
		return fmt.Errorf("split: %w: the document has no id", ErrInvalid)
	case !utf8.ValidString(document), !utf8.ValidString(text), !utf8.ValidString(o.Title):
		return fmt.Errorf("split %q: %w: id, title or text is not valid UTF-8", document, ErrInvalid)
	case o.Size < 1:
		return fmt.Errorf("split %q: %w: size is %d, want at least 1", document, ErrInvalid, o.Size)
	case o.Overlap > o.Size/2:
		return fmt.Errorf("split %q: %w: overlap is %d, want at most half of the size %d", document, ErrInvalid, o.Overlap, o.Size)
	}
	return nil
}

// Paragraphs splits a text at blank lines, where that would leave chunks of
// less than half the size at sentence ends, then at line ends, then at spaces,
// and only then inside a word. All of the text but the space around chunks is in at
// least one of them; a text of nothing but space has none. It returns an error
// that matches [ErrInvalid] for an empty document id, text that is not UTF-8,
// or options out of range.
func Paragraphs(document, text string, opts *ChunkOptions) ([]Chunk, error) {
	o := opts.WithDefaults()
	if err := o.validate(document, text); err != nil {
		return nil, err
	}
	s := splitter{document: document, text: text, opts: o, seen: map[string]int{}}
	s.section(o.Title, 0, len(text))
	return s.chunks, nil
}

// A splitter collects the chunks of one document.
type splitter struct {
	document, text string
	opts           ChunkOptions
	chunks         []Chunk
	seen           map[string]int // how often each hash was seen
}

// section splits the bytes from start to end, all of one section.
func (s *splitter) section(name string, start, end int) {
	for start < end {
		part := s.text[start:end]
		cut, rest := s.cut(part)
		s.emit(name, start, start+cut)
		if !rest {
			return
		}
		start += cut - overlap(part[:cut], s.opts.Overlap)
	}
}

// emit adds the chunk from start to end, less the space around it.
func (s *splitter) emit(section string, start, end int) {
	text := s.text[start:end]
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return
	}
	start += strings.Index(text, trimmed)
	sum := sha256.Sum256([]byte(section + "\x00" + trimmed))
	hash := hex.EncodeToString(sum[:])
	n := s.seen[hash]
	s.seen[hash]++
	s.chunks = append(s.chunks, Chunk{
		ID:       s.document + "#" + hash[:16] + "#" + strconv.Itoa(n),
		Document: s.document,
		Section:  section,
		Text:     trimmed,
		Start:    start,
		End:      start + len(trimmed),
		Hash:     hash,
	})
}

// cut returns how many bytes of text the next chunk takes, and whether anything
// is left.
func (s *splitter) cut(text string) (n int, rest bool) {
	limit := advance(text, s.opts.Size)
	if limit == len(text) {
		return limit, false
	}
	least := advance(text, s.opts.Size/2)
	for _, boundary := range []func(string, int) bool{paragraphEnd, sentenceEnd, lineEnd, wordEnd, letterEnd} {
		for at := limit; at > least; at-- {
			if boundary(text, at) {
				return at, true
			}
		}
	}
	return limit, true
}

// overlap returns how many bytes at the end of text the next chunk repeats.
func overlap(text string, most int) int {
	least := len(text)
	for range most {
		_, size := utf8.DecodeLastRuneInString(text[:least])
		least -= size
	}
	for _, boundary := range []func(string, int) bool{sentenceEnd, wordEnd} {
		for at := max(least, 1); at < len(text); at++ {
			if boundary(text, at) {
				return len(text) - at
			}
		}
	}
	return 0
}

// advance returns the bytes that the first n characters of text have.
func advance(text string, n int) int {
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	return len(text)
}
