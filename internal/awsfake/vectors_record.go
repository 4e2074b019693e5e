package awsfake

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/genaistore/genaistore/vectors"
)

type record struct {
	key      string
	data     []float32
	text     json.RawMessage // the metadata as given
	metadata vectors.Metadata
	position string // in lists: a hash of the key
	hash     uint64
}

// vectorMember is a vector as requests and answers have it.
type vectorMember struct {
	Key      string          `json:"key"`
	Data     *vectorData     `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Distance *float32        `json:"distance,omitempty"`
}

type vectorData struct {
	Float32 []float32 `json:"float32"`
}

func (f *Vectors) put(r *http.Request) (any, error) {
	var in struct {
		address
		Vectors []struct {
			Key      string
			Data     *vectorData
			Metadata json.RawMessage
		}
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Vectors) < 1 || len(in.Vectors) > 500 {
		return nil, unmet("vectors", "have length between 1 and 500, inclusive")
	}
	records := make([]*record, len(in.Vectors))
	for i, v := range in.Vectors {
		if records[i], err = found.record(v.Key, v.Data, v.Metadata); err != nil {
			return nil, at(i, v.Key, err)
		}
		records[i].place(f.Options.Seed)
	}
	for _, v := range records {
		found.records[v.key] = v
	}
	found.order = nil
	return map[string]any{}, nil
}

// at says which vector of a request err is about, as the service does.
func at(i int, key string, err error) error {
	var member *recordFailure
	if !errors.As(err, &member) {
		return err
	}
	return &recordFailure{fmt.Sprintf("vectors[%d].%s", i, member.path), fmt.Sprintf("Invalid record for key '%s': %s", key, member.message)}
}

func (r *record) place(seed uint64) {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, seed), r.key...))
	r.position, r.hash = hex.EncodeToString(sum[:16]), binary.BigEndian.Uint64(sum[16:])
}

func (x *vectorIndex) record(key string, data *vectorData, text json.RawMessage) (*record, error) {
	if n := utf8.RuneCountInString(key); n < 1 || n > vectors.MaxKey {
		return nil, unmet("vectors", "have keys with length between 1 and 1024, inclusive")
	}
	if data == nil {
		return nil, &recordFailure{"data", "vector data must not be null"}
	}
	if err := x.checkData(data.Float32); err != nil {
		return nil, err
	}
	r := &record{key: key, data: data.Float32, text: text, metadata: vectors.Metadata{}}
	if len(text) == 0 {
		r.text = json.RawMessage("{}")
		return r, nil
	}
	if err := json.Unmarshal(text, &r.metadata); err != nil || r.metadata == nil {
		return nil, &recordFailure{"metadata", "Metadata must be an object"}
	}
	return r, x.checkMetadata(r.metadata)
}

func (x *vectorIndex) checkData(data []float32) error {
	if len(data) != x.description.Dimension {
		return &recordFailure{"data", fmt.Sprintf("vector must have length %d, but has length %d", x.description.Dimension, len(data))}
	}
	var norm float32
	for _, component := range data {
		norm += component * component
	}
	if norm == 0 && x.description.DistanceMetric == "cosine" {
		return &recordFailure{"data", "zero vectors are not allowed with the cosine distance metric"}
	}
	return nil
}

func (x *vectorIndex) checkMetadata(m vectors.Metadata) error {
	if len(m) > vectors.MaxMetadataKeys {
		return &recordFailure{"metadata", fmt.Sprintf("Metadata object must have at most %d keys", vectors.MaxMetadataKeys)}
	}
	for key, value := range m {
		if !storable(value) {
			return &recordFailure{"metadata", fmt.Sprintf("Metadata value of key '%s' must be a string, number, boolean or list of these", key)}
		}
	}
	filterable := maps.Clone(m)
	maps.DeleteFunc(filterable, func(key string, _ any) bool { return slices.Contains(x.schema.NonFilterable, key) })
	if len(filterable.AppendJSON(nil)) > vectors.MaxFilterableBytes {
		return &recordFailure{"metadata", fmt.Sprintf("Filterable metadata must have at most %d bytes", vectors.MaxFilterableBytes)}
	}
	if len(m.AppendJSON(nil)) > vectors.MaxMetadataBytes {
		return &recordFailure{"metadata", fmt.Sprintf("Metadata must have at most %d bytes", vectors.MaxMetadataBytes)}
	}
	return nil
}

func storable(value any) bool {
	switch value := value.(type) {
	case string, float64, bool:
		return true
	case []any:
		return !slices.ContainsFunc(value, func(element any) bool {
			_, list := element.([]any)
			return list || !storable(element)
		})
	}
	return false
}

// member returns what a read answers about r.
func (r *record) member(data, metadata bool) vectorMember {
	m := vectorMember{Key: r.key}
	if data {
		m.Data = &vectorData{r.data}
	}
	if metadata {
		m.Metadata = bytes.Clone(r.text)
	}
	return m
}

func (f *Vectors) get(r *http.Request) (any, error) {
	var in struct {
		address
		Keys                       []string
		ReturnData, ReturnMetadata bool
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Keys) < 1 || len(in.Keys) > 100 {
		return nil, unmet("keys", "have length between 1 and 100, inclusive")
	}
	picked := map[string]*record{}
	for _, key := range in.Keys {
		if v, ok := found.records[key]; ok {
			picked[key] = v
		} else if f.Options.NamesAbsent {
			picked[key] = &record{key: key, data: []float32{}, text: json.RawMessage("{}")}
		}
	}
	answer := []vectorMember{}
	for _, v := range slices.SortedFunc(maps.Values(picked), byPosition) { // not in the order of the request
		answer = append(answer, v.member(in.ReturnData, in.ReturnMetadata))
	}
	return map[string]any{"vectors": answer}, nil
}

func (f *Vectors) remove(r *http.Request) (any, error) {
	var in struct {
		address
		Keys []string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Keys) < 1 || len(in.Keys) > 500 {
		return nil, unmet("keys", "have length between 1 and 500, inclusive")
	}
	for _, key := range in.Keys {
		delete(found.records, key)
	}
	found.order = nil
	return map[string]any{}, nil
}
