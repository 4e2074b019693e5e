package vectorstest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/vectors"
)

// Fuzz runs random programs of Put, Get, Query, List and Delete against
// newIndex's Index and against a plain map with a search of all, and reports the
// first difference. Query may be approximate where it has a filter.
func Fuzz(f *testing.F, newIndex func(t *testing.T, schema vectors.Schema) vectors.Index) {
	f.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 { // which a plain go test runs
		program := make([]byte, 100+r.IntN(300))
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		metric := vectors.Cosine
		if len(program)%2 == 1 {
			metric = vectors.Euclidean
		}
		schema := vectors.Schema{Dimension: 2, Metric: metric, NonFilterable: []string{"text"}}
		p := &machine{fixture: newFixture(t, newIndex(t, schema)), program: program, model: make(map[string]vectors.Vector)}
		for range 40 {
			if len(p.program) == 0 || t.Failed() {
				break
			}
			p.step()
		}
		p.list()
	})
}

// A machine runs one program on an index and on a model of it.
type machine struct {
	*fixture
	program []byte
	model   map[string]vectors.Vector
}

// next takes a choice of n from the program.
func (p *machine) next(n int) int {
	if len(p.program) == 0 {
		return 0
	}
	b := p.program[0]
	p.program = p.program[1:]
	return int(b) % n
}

func (p *machine) step() {
	switch p.next(8) {
	case 0, 1, 2:
		p.put()
	case 3:
		p.get()
	case 4:
		p.list()
	case 5:
		p.query()
	case 6:
		p.query()
	case 7:
		p.remove()
	}
}

func (p *machine) key() string { return string("abcd"[p.next(4)]) + fmt.Sprint(p.next(3)) }

func (p *machine) value() any {
	values := []any{"a", "ab", "b", "", 1.0, 2.0, -1.5, true, false, []any{}, []any{"a", 1.0}, []any{"ab", true, "ab"}}
	return values[p.next(len(values))]
}

func (p *machine) vector() vectors.Vector {
	m := md{}
	for _, key := range []string{"k", "n", "text"} {
		if p.next(3) > 0 {
			m[key] = p.value()
		}
	}
	return vectors.Vector{Key: p.key(), Data: []float32{float32(p.next(9) - 4), float32(p.next(7)) + 0.5}, Metadata: m}
}

func (p *machine) put() {
	var batch []vectors.Vector
	var opts vectors.PutOptions
	if p.next(4) == 0 {
		opts.SkipEqual = "n"
	}
	done, rejected, used := 0, 0, map[string]bool{}
	for range p.next(6) + 1 {
		v := p.vector()
		if used[v.Key] {
			continue // what SkipEqual compares with is the index's affair within a call
		}
		used[v.Key] = true
		switch p.next(10) {
		case 0:
			v.Data = []float32{1}
			rejected++
		default:
			value, ok := v.Metadata[opts.SkipEqual]
			old, stored := p.model[v.Key].Metadata[opts.SkipEqual]
			if !ok || !stored || fmt.Sprintf("%T%v", value, value) != fmt.Sprintf("%T%v", old, old) {
				p.model[v.Key] = v
				done++
			}
		}
		batch = append(batch, v)
	}
	report, err := p.index.Put(p.Context(), vectors.Of(batch...), &opts)
	if (err != nil) != (rejected > 0) || report.Done != done || len(report.Rejected) != rejected || report.Skipped != len(batch)-done-rejected {
		p.Fatalf("Put(%+v) = %+v, %v, want %d done and %d rejected of %d", batch, report, err, done, rejected, len(batch))
	}
}

func (p *machine) get() {
	keys := []string{p.key(), p.key(), p.key()}
	var want []vectors.Vector
	for i, key := range keys {
		if v, ok := p.model[key]; ok && !slices.Contains(keys[:i], key) {
			want = append(want, v)
		}
	}
	if got := p.fixture.get(keys...); len(got)+len(want) > 0 {
		p.equal(fmt.Sprintf("Get(%q)", keys), got, want)
	}
}

func (p *machine) filter(depth int) vectors.Filter {
	key := []string{"k", "n", "absent"}[p.next(3)]
	scalar := func() any {
		v := p.value()
		if list, ok := v.([]any); ok {
			return fmt.Sprint(len(list))
		}
		return v
	}
	switch op := p.next(15); {
	case op >= 12 && depth < 4:
		of := []vectors.Filter{p.filter(depth + 1), p.filter(depth + 1)}
		if op == 12 {
			return vectors.And(of...)
		}
		return vectors.Or(of...)
	case op == 11:
		return vectors.OrMissing(vectors.Filter{Op: vectors.OpNotIn, Key: key, Values: []any{scalar(), scalar()}})
	case op == 10:
		return vectors.Filter{}
	case op > 10: // too deep to nest
		return vectors.Equal(key, "a")
	case op >= 6:
		return []vectors.Filter{
			vectors.Less(key, 1), vectors.AtMost(key, 1), vectors.More(key, 1), vectors.AtLeast(key, -1.5),
		}[op-6]
	default:
		return []vectors.Filter{
			{Op: vectors.OpEqual, Key: key, Values: []any{scalar()}},
			{Op: vectors.OpNotEqual, Key: key, Values: []any{scalar()}},
			{Op: vectors.OpIn, Key: key, Values: []any{scalar(), scalar()}},
			vectors.Exists(key), vectors.Missing(key), vectors.StartsWith(key, "a"),
		}[op]
	}
}

func (p *machine) selected(prefix string, f vectors.Filter) []string {
	keys := []string{}
	for key, v := range p.model {
		if strings.HasPrefix(key, prefix) && f.Match(v.Metadata) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (p *machine) list() {
	o := vectors.ListOptions{Prefix: []string{"", "a", "b1"}[p.next(3)], Filter: p.filter(0)}
	p.same(fmt.Sprintf("List(%+v)", o), p.fixture.list(&o), p.selected(o.Prefix, o.Filter))
}

func (p *machine) query() {
	q := vectors.Query{Vector: []float32{float32(p.next(9) - 4), float32(p.next(7)) - 3.5}, TopK: p.next(12), Filter: p.filter(0), Fields: vectors.Everything}
	found := p.fixture.query(q)
	keys := p.selected("", q.Filter)
	want := make([]float64, len(keys))
	for i, key := range keys {
		want[i] = distance(p.schema.Metric, q.Vector, p.model[key].Data)
	}
	slices.Sort(want)
	want = want[:min(len(want), q.WithDefaults().TopK)]
	if len(found) > len(want) || q.Filter.IsZero() && len(found) < len(want) {
		p.Fatalf("Query(%+v) yields %d, want %d", q, len(found), len(want))
	}
	for i, m := range found {
		if q.Filter.IsZero() && math.Abs(m.Distance-want[i]) > 0.01 {
			p.Errorf("Query(%+v) yields distances %v, want %v", q, distances(found), want)
		}
		stored := p.model[m.Key]
		if !slices.Contains(keys, m.Key) || slices.Contains(keysOf(found[:i]), m.Key) {
			p.Errorf("Query(%+v) yields %s, want each of %q at most once", q, m.Key, keys)
		}
		if d := distance(p.schema.Metric, q.Vector, stored.Data); math.Abs(d-m.Distance) > 0.01 {
			p.Errorf("Query(%+v): distance of %s = %v, want %v", q, m.Key, m.Distance, d)
		}
		p.equal("the vector of a match", m.Vector, stored)
	}
}

func (p *machine) remove() {
	sel := vectors.Selection{}
	var keys []string
	switch p.next(6) {
	case 0, 1, 2:
		sel.Keys = []string{p.key(), p.key()}
		keys = sel.Keys
	case 3, 4:
		sel.Prefix, sel.Filter = []string{"", "a", "b1"}[p.next(3)], p.filter(0)
		keys = p.selected(sel.Prefix, sel.Filter)
		sel.All = sel.Prefix == "" && sel.Filter.IsZero()
	case 5:
		sel.All = true
		keys = slices.Collect(maps.Keys(p.model))
	}
	report := p.fixture.remove(sel)
	if sel.Prefix != "" || !sel.Filter.IsZero() {
		p.equal(fmt.Sprintf("Delete(%+v)", sel), report.Done, len(keys))
	}
	for _, key := range keys {
		delete(p.model, key)
	}
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
	return 1 - dot/math.Sqrt(aa*bb)
}
