package vectors

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of Amazon S3 Vectors
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-vectors-limitations.html).
const (
	MaxDimension         = 4096
	MaxKey               = 1024 // characters, of any UTF-8
	MaxTopK              = 10_000
	MaxMetadataKeys      = 50
	MaxMetadataBytes     = 40 << 10 // of all metadata of a vector, as compact JSON
	MaxFilterableBytes   = 2048     // of its filterable metadata, as compact JSON
	MaxNonFilterable     = 10       // names of an index
	MaxNonFilterableName = 63       // characters
)

// WithDefaults returns s with [Cosine] where no metric is given.
func (s Schema) WithDefaults() Schema {
	s.Metric = cmp.Or(s.Metric, Cosine)
	return s
}

// Validate reports an error that matches [ErrInvalid] unless an index can be
// made for s. A dimension of 0 is for the caller to judge.
func (s Schema) Validate() error {
	s = s.WithDefaults()
	if s.Dimension < 0 || s.Dimension > MaxDimension {
		return fmt.Errorf("%w: dimension %d: from 1 to %d", ErrInvalid, s.Dimension, MaxDimension)
	}
	if s.Metric != Cosine && s.Metric != Euclidean {
		return fmt.Errorf("%w: metric %q: %q or %q", ErrInvalid, s.Metric, Cosine, Euclidean)
	}
	if len(s.NonFilterable) > MaxNonFilterable {
		return fmt.Errorf("%w: %d non-filterable keys: at most %d", ErrInvalid, len(s.NonFilterable), MaxNonFilterable)
	}
	for i, name := range s.NonFilterable {
		if n := utf8.RuneCountInString(name); n < 1 || n > MaxNonFilterableName || !utf8.ValidString(name) {
			return fmt.Errorf("%w: non-filterable key %.80q: from 1 to %d characters of UTF-8", ErrInvalid, name, MaxNonFilterableName)
		}
		if slices.Contains(s.NonFilterable[:i], name) {
			return fmt.Errorf("%w: non-filterable key %q is given twice", ErrInvalid, name)
		}
	}
	return s.validateTags()
}

func (s Schema) validateTags() error {
	if len(s.Tags) > 50 {
		return fmt.Errorf("%w: %d tags: at most 50", ErrInvalid, len(s.Tags))
	}
	for k, v := range s.Tags {
		if n := utf8.RuneCountInString(k); n < 1 || n > 128 || utf8.RuneCountInString(v) > 256 ||
			!utf8.ValidString(k+v) || strings.ContainsFunc(k+v, notInTag) || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return fmt.Errorf("%w: tag %.140q: a key of 1 to 128 characters, not of aws:, a value of at most 256, of letters, digits, spaces and _.:/=+-@", ErrInvalid, k)
		}
	}
	return nil
}

func notInTag(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
}

// ValidateKey reports an error that matches [ErrInvalid] unless key may name a
// vector of the index.
func (s Schema) ValidateKey(key string) error {
	most := MaxKey - s.Reserved.KeyCharacters
	if n := utf8.RuneCountInString(key); n < 1 || n > most || !utf8.ValidString(key) {
		return fmt.Errorf("%w: key %.80q: from 1 to %d characters of UTF-8, not %d", ErrInvalid, key, most, n)
	}
	return nil
}

// ValidateData reports an error that matches [ErrInvalid] unless data is a
// vector of the index: of its dimension, finite, and under [Cosine] not zero.
func (s Schema) ValidateData(data []float32) error {
	if s.Dimension == 0 && (len(data) < 1 || len(data) > MaxDimension) {
		return fmt.Errorf("%w: vector must have length 1 to %d, but has length %d", ErrInvalid, MaxDimension, len(data))
	}
	if s.Dimension != 0 && len(data) != s.Dimension {
		return fmt.Errorf("%w: vector must have length %d, but has length %d", ErrInvalid, s.Dimension, len(data))
	}
	var norm float32
	for i, x := range data {
		if x-x != 0 {
			return fmt.Errorf("%w: vector has %v at %d: numbers are finite", ErrInvalid, x, i)
		}
		norm += x * x
	}
	if norm == 0 && s.Metric != Euclidean {
		return fmt.Errorf("%w: vector is zero, which has no direction for the cosine metric", ErrInvalid)
	}
	return nil
}

// Normal returns what an index with this schema stores for v: metadata in the
// types of [Metadata], never nil, sharing nothing with v. An error matches
// [ErrInvalid] and says which rule v breaks and what would be right.
func (s Schema) Normal(v Vector) (Vector, error) {
	if err := s.ValidateKey(v.Key); err != nil {
		return Vector{}, err
	}
	if err := s.ValidateData(v.Data); err != nil {
		return Vector{}, err
	}
	m, err := s.normalMetadata(v.Metadata)
	if err != nil {
		return Vector{}, err
	}
	return Vector{Key: v.Key, Data: slices.Clone(v.Data), Metadata: m}, nil
}

// Checked is [Schema.Normal] for who writes the vector out and keeps nothing of
// it: what it returns shares with v all that is normal already.
func (s Schema) Checked(v Vector) (Vector, error) {
	if err := s.ValidateKey(v.Key); err != nil {
		return Vector{}, err
	}
	if err := s.ValidateData(v.Data); err != nil {
		return Vector{}, err
	}
	if len(v.Metadata) > MaxMetadataKeys-s.Reserved.MetadataKeys || !isNormal(v.Metadata) {
		m, err := s.normalMetadata(v.Metadata)
		return Vector{Key: v.Key, Data: v.Data, Metadata: m}, err
	}
	return v, s.checkSizes(v.Metadata)
}

// isNormal reports whether m is what normalMetadata would return for it.
func isNormal(m Metadata) bool {
	for k, v := range m {
		if list, ok := v.([]any); k == "" || !utf8.ValidString(k) || (ok && slices.ContainsFunc(list, func(v any) bool { return !isNormalScalar(v) })) || !ok && !isNormalScalar(v) {
			return false
		}
	}
	return true
}

func isNormalScalar(v any) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v)
	case float64:
		return finite(v)
	case bool:
		return true
	}
	return false
}

func (s Schema) normalMetadata(in Metadata) (Metadata, error) {
	if most := MaxMetadataKeys - s.Reserved.MetadataKeys; len(in) > most {
		return nil, fmt.Errorf("%w: metadata object must have at most %d keys, not %d", ErrInvalid, most, len(in))
	}
	out := make(Metadata, len(in))
	for k, v := range in {
		if k == "" || !utf8.ValidString(k) {
			return nil, fmt.Errorf("%w: metadata key %.80q: UTF-8, not empty", ErrInvalid, k)
		}
		value, err := normalValue(v)
		if err != nil {
			return nil, fmt.Errorf("metadata %q: %w", k, err)
		}
		out[k] = value
	}
	return out, s.checkSizes(out)
}

func (s Schema) checkSizes(m Metadata) error {
	mostFilterable, mostOfAll := MaxFilterableBytes-s.Reserved.MetadataBytes, MaxMetadataBytes-s.Reserved.MetadataBytes
	var few [2 * MaxFilterableBytes]byte
	total := len(m.AppendJSON(few[:0]))
	if total <= mostFilterable {
		return nil
	}
	filterable := maps.Clone(m)
	maps.DeleteFunc(filterable, func(k string, _ any) bool { return slices.Contains(s.NonFilterable, k) })
	part := len(filterable.AppendJSON(few[:0]))
	switch {
	case part > mostFilterable:
		return fmt.Errorf("%w: filterable metadata must have at most %d bytes, not %d; largest keys: %v; text belongs under a non-filterable key of the index",
			ErrInvalid, mostFilterable, part, filterable.largest(3))
	case total > mostOfAll:
		return fmt.Errorf("%w: metadata must have at most %d bytes, not %d; largest keys: %v", ErrInvalid, mostOfAll, total, m.largest(3))
	}
	return nil
}

// Size returns the bytes of m as compact JSON in UTF-8, escaping only what JSON
// must, which is how the limits count it. AWS does not say how it counts.
func (m Metadata) Size() (int, error) {
	if len(m) == 0 {
		return len("{}"), nil
	}
	var size counter
	enc := json.NewEncoder(&size)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any(m)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return int(size) - len("\n"), nil
}

// A counter is a writer that keeps only how much was written.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (m Metadata) largest(n int) []string {
	size := func(k string) int { part, _ := Metadata{k: m[k]}.Size(); return part }
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(size(b)-size(a), cmp.Compare(a, b)) })
	return keys[:min(n, len(keys))]
}

// Clone returns a deep copy of m.
func (m Metadata) Clone() Metadata {
	out := maps.Clone(m)
	for k, v := range out {
		if list, ok := v.([]any); ok {
			out[k] = slices.Clone(list)
		}
	}
	return out
}

// normalValue returns v in the types of [Metadata].
func normalValue(v any) (any, error) {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return normalScalar(r)
	}
	out := make([]any, r.Len())
	for i := range out {
		element := r.Index(i)
		if element.Kind() == reflect.Interface {
			element = element.Elem()
		}
		var err error
		if out[i], err = normalScalar(element); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func normalScalar(r reflect.Value) (any, error) {
	switch {
	case !r.IsValid():
		return nil, fmt.Errorf("%w: nil: leave it out", ErrInvalid)
	case r.CanInt() && exact(r.Int()):
		return float64(r.Int()), nil
	case r.CanUint() && r.Uint() <= 1<<53:
		return float64(r.Uint()), nil
	case r.CanInt(), r.CanUint():
		return nil, fmt.Errorf("%w: an integer beyond 2^53 is not exact in JSON: use a string", ErrInvalid)
	case r.CanFloat() && !finite(r.Float()):
		return nil, fmt.Errorf("%w: number %v is not finite", ErrInvalid, r.Float())
	case r.CanFloat():
		return r.Float(), nil
	case r.Kind() == reflect.String && !utf8.ValidString(r.String()):
		return nil, fmt.Errorf("%w: strings are UTF-8", ErrInvalid)
	case r.Kind() == reflect.String:
		return r.String(), nil
	case r.Kind() == reflect.Bool:
		return r.Bool(), nil
	}
	return nil, fmt.Errorf("%w: a value of type %s: use string, a number, bool or a list of these", ErrInvalid, r.Type())
}

// Validate reports an error that matches [ErrInvalid] unless f is known.
func (f Fields) Validate() error {
	if f > Everything {
		return fmt.Errorf("%w: fields %d are not known", ErrInvalid, f)
	}
	return nil
}

// WithDefaults returns what an Index acts on.
func (o *PutOptions) WithDefaults() PutOptions { return deref(o) }

// WithDefaults returns what an Index acts on.
func (o *GetOptions) WithDefaults() GetOptions { return deref(o) }

// WithDefaults returns what an Index acts on.
func (o *ListOptions) WithDefaults() ListOptions { return deref(o) }

// WithDefaults returns what an Index acts on.
func (o *DeleteOptions) WithDefaults() DeleteOptions { return deref(o) }

func deref[T any](o *T) (zero T) {
	if o == nil {
		return zero
	}
	return *o
}

// Validate reports an error that matches [ErrInvalid] unless an index with this
// schema can list what o selects.
func (o ListOptions) Validate(s Schema) error {
	return cmp.Or(o.Fields.Validate(), validatePrefix(o.Prefix), o.Filter.Validate(s))
}

func validatePrefix(prefix string) error {
	if !utf8.ValidString(prefix) {
		return fmt.Errorf("%w: prefix %.80q is not UTF-8", ErrInvalid, prefix)
	}
	return nil
}

// WithDefaults returns what an Index acts on.
func (q Query) WithDefaults() Query {
	q.TopK = cmp.Or(q.TopK, DefaultTopK)
	return q
}

// Validate reports an error that matches [ErrInvalid] unless an index with this
// schema can answer q.
func (q Query) Validate(s Schema) error {
	q = q.WithDefaults()
	if q.TopK < 1 || q.TopK > MaxTopK {
		return fmt.Errorf("%w: TopK %d: from 1 to %d", ErrInvalid, q.TopK, MaxTopK)
	}
	return cmp.Or(q.Fields.Validate(), s.ValidateData(q.Vector), q.Filter.Validate(s))
}

// Validate reports an error that matches [ErrInvalid] unless an index with this
// schema can delete what s selects.
func (sel Selection) Validate(s Schema) error {
	byPrefixOrFilter := sel.Prefix != "" || !sel.Filter.IsZero()
	switch {
	case len(sel.Keys) == 0 && !byPrefixOrFilter && !sel.All:
		return fmt.Errorf("%w: the selection is empty; everything is Selection{All: true}", ErrInvalid)
	case len(sel.Keys) > 0 && (byPrefixOrFilter || sel.All), sel.All && byPrefixOrFilter:
		return fmt.Errorf("%w: a selection is by Keys, by Prefix and Filter, or All", ErrInvalid)
	}
	for _, k := range sel.Keys {
		if err := s.ValidateKey(k); err != nil {
			return err
		}
	}
	return cmp.Or(validatePrefix(sel.Prefix), sel.Filter.Validate(s))
}
