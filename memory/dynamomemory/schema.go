package dynamomemory

import (
	"cmp"
	"fmt"

	"github.com/genaistore/genaistore/internal/fault"
)

// Schema names what a table is made of, so that a table that exists can be used.
// An empty name is its default.
type Schema struct {
	PartitionKey string // string; "pk"
	SortKey      string // string; "sk"
	TTL          string // number, epoch seconds; "exp"

	// IntentIndex is a global secondary index with the keys IntentKey and
	// IntentSort, both strings, that projects all attributes: "byIntent".
	IntentIndex string
	IntentKey   string // "ik"
	IntentSort  string // "ir"

	// SentimentIndex is a local secondary index with the sort key Sentiment, a
	// number, that projects all attributes: "bySentiment". [Options.NoLSI] does
	// without it.
	SentimentIndex string
	Sentiment      string // "sen"
}

// WithDefaults returns s with every name set. It accepts a nil receiver.
func (s *Schema) WithDefaults() Schema {
	var given Schema
	if s != nil {
		given = *s
	}
	return Schema{
		PartitionKey:   cmp.Or(given.PartitionKey, "pk"),
		SortKey:        cmp.Or(given.SortKey, "sk"),
		TTL:            cmp.Or(given.TTL, "exp"),
		IntentIndex:    cmp.Or(given.IntentIndex, "byIntent"),
		IntentKey:      cmp.Or(given.IntentKey, "ik"),
		IntentSort:     cmp.Or(given.IntentSort, "ir"),
		SentimentIndex: cmp.Or(given.SentimentIndex, "bySentiment"),
		Sentiment:      cmp.Or(given.Sentiment, "sen"),
	}
}

// Validate reports an error that matches memory.ErrInvalid where two attributes
// have one name, or one has that of an attribute that this package uses for
// something else. It accepts a nil receiver.
func (s *Schema) Validate() error {
	given := s.WithDefaults()
	taken := map[string]string{}
	for _, name := range ownAttributes() {
		taken[name] = "this package's own"
	}
	for _, a := range []struct{ what, name string }{
		{"partition key", given.PartitionKey},
		{"sort key", given.SortKey},
		{"TTL", given.TTL},
		{"intent key", given.IntentKey},
		{"intent sort key", given.IntentSort},
		{"sentiment", given.Sentiment},
	} {
		if other, ok := taken[a.name]; ok {
			return fmt.Errorf("%w: the %s attribute is called %q, which is %s", fault.Invalid, a.what, a.name, other)
		}
		taken[a.name] = "the " + a.what
	}
	if given.IntentIndex == given.SentimentIndex {
		return fmt.Errorf("%w: both indexes are called %q", fault.Invalid, given.IntentIndex)
	}
	return nil
}
