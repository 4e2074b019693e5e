package awsfake

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/vectors"
)

// queryPage is the most matches in an answer.
const queryPage = 100

type queryRequest struct {
	address
	QueryVector                    *vectorData
	TopK                           *int
	Filter                         json.RawMessage
	QueryMode, NextToken           string
	ReturnDistance, ReturnMetadata bool
}

// matchPages is what is left of the matches of a query.
type matchPages struct {
	request [32]byte
	expires time.Time
	matches []vectorMember
}

func (f *Vectors) query(r *http.Request) (any, error) {
	var in queryRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if err := found.checkQuery(in); err != nil {
		return nil, err
	}
	request, err := in.digest()
	if err != nil {
		return nil, err
	}
	pages := &matchPages{request: request, expires: time.Now().Add(cmp.Or(f.Options.TokenLife, 5*time.Minute))}
	if in.NextToken == "" {
		pages.matches, err = f.search(found, in)
	} else {
		pages.matches, err = f.resume(in.NextToken, request)
	}
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"distanceMetric": found.description.DistanceMetric, "vectors": pages.matches}
	if len(pages.matches) > queryPage {
		answer["vectors"] = pages.matches[:queryPage]
		pages.matches = pages.matches[queryPage:]
		f.serial++
		next := fmt.Sprintf("q%x", mix(f.Options.Seed^f.serial))
		f.tokens[next] = pages
		answer["nextToken"] = next
	}
	return answer, nil
}

// digest is the same for the requests of all pages.
func (q queryRequest) digest() ([32]byte, error) {
	q.NextToken = ""
	text, err := json.Marshal(q)
	return sha256.Sum256(text), err
}

func (f *Vectors) resume(token string, request [32]byte) ([]vectorMember, error) {
	pages, ok := f.tokens[token]
	if !ok || pages.request != request {
		return nil, invalid("Invalid nextToken")
	}
	if time.Now().After(pages.expires) {
		return nil, invalid("The nextToken has expired")
	}
	return pages.matches, nil
}

func (x *vectorIndex) checkQuery(in queryRequest) error {
	if in.TopK == nil {
		return unmet("topK", "not be null")
	}
	if in.QueryVector == nil {
		return unmet("queryVector", "not be null")
	}
	if err := checkRange("topK", in.TopK, 1, vectors.MaxTopK); err != nil {
		return err
	}
	if err := x.checkData(in.QueryVector.Float32); err != nil {
		return invalid("Invalid query vector: %s", err)
	}
	if in.QueryMode == "" {
		return nil
	}
	if err := checkEnum("queryMode", in.QueryMode, classicMode, enhancedMode); err != nil {
		return err
	}
	if in.QueryMode == classicMode && x.description.IndexMode == enhancedMode {
		return invalid("queryMode cannot be CLASSIC when indexMode is ENHANCED")
	}
	return nil
}

func (f *Vectors) search(x *vectorIndex, in queryRequest) ([]vectorMember, error) {
	selects, err := f.selector(x, in)
	if err != nil {
		return nil, err
	}
	matches := []vectorMember{}
	for _, v := range x.sorted() {
		if !selects(v) {
			continue
		}
		m := v.member(false, in.ReturnMetadata)
		m.Distance = new(float32(distance(x.schema.Metric, in.QueryVector.Float32, v.data)))
		matches = append(matches, m)
	}
	slices.SortStableFunc(matches, func(a, b vectorMember) int {
		return cmp.Or(cmp.Compare(*a.Distance, *b.Distance), strings.Compare(a.Key, b.Key))
	})
	matches = matches[:min(len(matches), *in.TopK)]
	if !in.ReturnDistance {
		for i := range matches {
			matches[i].Distance = nil
		}
	}
	return matches, nil
}

// selector returns what the filter of a query selects, less what the weather
// makes it miss.
func (f *Vectors) selector(x *vectorIndex, in queryRequest) (func(*record) bool, error) {
	if len(in.Filter) == 0 {
		return func(*record) bool { return true }, nil
	}
	document, err := vectors.ParseDocument(in.Filter)
	if err == nil {
		err = document.Validate(x.schema)
	}
	if err != nil {
		return nil, invalid("Invalid filter: %s", err)
	}
	enhanced := cmp.Or(in.QueryMode, x.description.IndexMode) == enhancedMode
	switch {
	case enhanced && document.Constraints() > vectors.MaxConstraints:
		return nil, invalid("Invalid filter: at most %d constraints, not %d", vectors.MaxConstraints, document.Constraints())
	case !enhanced && document.Uses(vectors.OpStartsWith):
		return nil, invalid("Invalid filter: $startsWith is not supported in CLASSIC mode")
	}
	filter := document.Filter()
	return func(v *record) bool {
		if f.Options.Ambiguous != nil {
			if open := document.Ambiguities(v.metadata); len(open) > 0 {
				f.Options.Ambiguous(string(in.Filter), v.key, open)
			}
		}
		return filter.Match(v.metadata) && (f.Options.Shortfall == 0 || !f.chance(f.Options.Shortfall))
	}, nil
}

// distance is the definition of the metrics.
func distance(metric vectors.Metric, a, b []float32) float64 {
	var dot, aa, bb, squares float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb, squares = dot+x*y, aa+x*x, bb+y*y, squares+(x-y)*(x-y)
	}
	if metric == vectors.Euclidean {
		return math.Sqrt(squares)
	}
	return 1 - dot/math.Sqrt(aa)/math.Sqrt(bb)
}
