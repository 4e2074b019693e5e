package vectors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

// newTenanted returns a tenant's index in one that holds those of others, with
// the same keys and more, whose tenants look like ours.
func newTenanted(t *testing.T, schema vectors.Schema) *vectors.Tenanted {
	t.Helper()
	shared := newInMemory(t, schema)
	for _, name := range []string{"", "a", "acme/eu", "acm", "acme ", "ACME", "acme%2F"} {
		other, err := vectors.Tenant(shared, name)
		require.NoError(t, err)
		data := make([]float32, schema.Dimension)
		data[0] = 1
		var vs []vectors.Vector
		for _, key := range []string{"a", "b", "k", "0001", "a0", "b1"} {
			vs = append(vs, vectors.Vector{Key: key, Data: data, Metadata: vectors.Metadata{"k": "a", "n": 1, "even": true}})
		}
		_, err = other.Put(t.Context(), vectors.Of(vs...), nil)
		require.NoError(t, err)
	}
	index, err := vectors.Tenant(shared, "acme")
	require.NoError(t, err)
	return index
}

func TestTenant(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index { return newTenanted(t, schema) })
}

func FuzzTenant(f *testing.F) {
	vectorstest.Fuzz(f, func(t *testing.T, schema vectors.Schema) vectors.Index { return newTenanted(t, schema) })
}

// pair returns two tenants of one index, in which both have a vector under k and
// each one under its own name.
func pair(t *testing.T, one, two string) (a, b *vectors.Tenanted) {
	t.Helper()
	shared := newInMemory(t, vectors.Schema{Dimension: 2})
	a, err := vectors.Tenant(shared, one)
	require.NoError(t, err)
	b, err = vectors.Tenant(shared, two)
	require.NoError(t, err)
	for _, index := range []*vectors.Tenanted{a, b} {
		name := map[*vectors.Tenanted]string{a: one, b: two}[index]
		_, err := index.Put(t.Context(), vectors.Of(
			vectors.Vector{Key: "k", Data: []float32{1, 0}, Metadata: vectors.Metadata{"of": name}},
			vectors.Vector{Key: "only " + name, Data: []float32{1, 1}},
		), nil)
		require.NoError(t, err)
	}
	return a, b
}

func listed(t *testing.T, index vectors.Index, opts *vectors.ListOptions) []string {
	t.Helper()
	keys := []string{}
	for v, err := range index.List(t.Context(), opts) {
		require.NoError(t, err)
		require.NotContains(t, v.Metadata, vectors.TenantKey)
		keys = append(keys, v.Key)
	}
	slices.Sort(keys)
	return keys
}

func TestTenantsDoNotMeet(t *testing.T) {
	names := [][2]string{{"acme", "globex"}, {"a", "a/b"}, {"a/", "a"}, {"", "x"}, {"a%2F", "a/"}, {"é", "É"}, {"a", "A"}, {"a b", "a+b"}, {"..", "."}}
	for _, n := range names {
		t.Run(fmt.Sprintf("%q and %q", n[0], n[1]), func(t *testing.T) {
			a, b := pair(t, n[0], n[1])
			require.Equal(t, []string{"k", "only " + n[0]}, listed(t, a, nil))
			require.Equal(t, []string{"k", "only " + n[1]}, listed(t, b, nil))

			// Reading.
			got, err := a.Get(t.Context(), []string{"k", "only " + n[1], n[1] + "/k", "../" + n[1] + "/k"}, nil)
			require.NoError(t, err)
			require.Equal(t, []vectors.Vector{{Key: "k", Metadata: vectors.Metadata{"of": n[0]}}}, got)
			for m, err := range a.Query(t.Context(), vectors.Query{Vector: []float32{1, 1}, TopK: 100}) {
				require.NoError(t, err)
				require.Contains(t, []string{"k", "only " + n[0]}, m.Key)
				require.NotContains(t, m.Metadata, vectors.TenantKey)
			}
			require.Empty(t, listed(t, a, &vectors.ListOptions{Filter: vectors.Equal("of", n[1])}))
			all := vectors.Or(vectors.Equal("of", n[1]), vectors.Missing("of"), vectors.Exists("of"))
			require.Len(t, listed(t, a, &vectors.ListOptions{Filter: all}), 2)

			// Writing.
			_, err = a.Put(t.Context(), vectors.Of(vectors.Vector{Key: "only " + n[1], Data: []float32{0, 1}}), nil)
			require.NoError(t, err)
			_, err = a.Delete(t.Context(), vectors.Selection{Filter: all}, nil)
			require.NoError(t, err)
			_, err = a.Delete(t.Context(), vectors.Selection{Keys: []string{"k", "only " + n[1], n[1] + "/k"}}, nil)
			require.NoError(t, err)
			report, err := a.Delete(t.Context(), vectors.Selection{All: true}, nil)
			require.NoError(t, err)
			require.Zero(t, report.Done, "nothing was left to delete")
			require.Empty(t, listed(t, a, nil))
			require.Equal(t, []string{"k", "only " + n[1]}, listed(t, b, nil))
			got, err = b.Get(t.Context(), []string{"k"}, &vectors.GetOptions{Fields: vectors.Everything})
			require.NoError(t, err)
			require.Equal(t, []vectors.Vector{{Key: "k", Data: []float32{1, 0}, Metadata: vectors.Metadata{"of": n[1]}}}, got)
		})
	}
}

func TestATenantCannotBeForgedOrNamed(t *testing.T) {
	a, b := pair(t, "a", "b")
	report, err := a.Put(t.Context(), vectors.Of(
		vectors.Vector{Key: "forged", Data: []float32{1, 0}, Metadata: vectors.Metadata{vectors.TenantKey: "b"}},
		vectors.Vector{Key: "good", Data: []float32{1, 0}},
	), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, 1, report.Done)
	require.Equal(t, "forged", report.Rejected[0].Key)
	_, err = a.Put(t.Context(), vectors.Of(), &vectors.PutOptions{SkipEqual: vectors.TenantKey})
	require.ErrorIs(t, err, vectors.ErrInvalid)

	for _, f := range []vectors.Filter{
		vectors.Equal(vectors.TenantKey, "b"), vectors.Missing(vectors.TenantKey), vectors.Exists(vectors.TenantKey),
		vectors.Or(vectors.Exists("of"), vectors.NotEqual(vectors.TenantKey, "a")),
	} {
		for _, err := range a.List(t.Context(), &vectors.ListOptions{Filter: f}) {
			require.ErrorIs(t, err, vectors.ErrInvalid)
		}
		for _, err := range a.Query(t.Context(), vectors.Query{Vector: []float32{1, 0}, Filter: f}) {
			require.ErrorIs(t, err, vectors.ErrInvalid)
		}
		_, err := a.Delete(t.Context(), vectors.Selection{Filter: f}, nil)
		require.ErrorIs(t, err, vectors.ErrInvalid)
	}
	require.Len(t, listed(t, a, nil), 3)
	require.Len(t, listed(t, b, nil), 2)
}

func TestTenantRejectionsNameTheCallersKeys(t *testing.T) {
	a, _ := pair(t, "a b", "c")
	report, err := a.Put(t.Context(), vectors.Of(
		vectors.Vector{Key: "short", Data: []float32{1}}, vectors.Vector{Key: "", Data: []float32{1, 0}}, vectors.Vector{Key: "good", Data: []float32{1, 0}},
	), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.NotContains(t, err.Error(), "a%20b")
	require.Len(t, report.Rejected, 2)
	require.Equal(t, "short", report.Rejected[0].Key)
}

func TestTenantNames(t *testing.T) {
	shared := newInMemory(t, vectors.Schema{Dimension: 2})
	for _, bad := range []string{"\xff", "a\nb", "\x00", strings.Repeat("a", vectors.MaxTenant+1)} {
		_, err := vectors.Tenant(shared, bad)
		require.ErrorIs(t, err, vectors.ErrInvalid, "%q", bad)
	}
	for _, good := range []string{"", strings.Repeat("a", vectors.MaxTenant), strings.Repeat("é", vectors.MaxTenant/2)} {
		index, err := vectors.Tenant(shared, good)
		require.NoError(t, err)
		schema, err := index.Describe(t.Context())
		require.NoError(t, err)
		longest := strings.Repeat("k", vectors.MaxKey-schema.Reserved.KeyCharacters)
		_, err = index.Put(t.Context(), vectors.Of(vectors.Vector{Key: longest, Data: []float32{1, 0}}), nil)
		require.NoError(t, err)
		require.Equal(t, []string{longest}, listed(t, index, nil))
	}
}

func TestTenantRefusesAnIndexThatCannotFilterOnIt(t *testing.T) {
	index, err := vectors.Tenant(newInMemory(t, vectors.Schema{Dimension: 2, NonFilterable: []string{vectors.TenantKey}}), "a")
	require.NoError(t, err)
	_, err = index.Describe(t.Context())
	require.ErrorIs(t, err, vectors.ErrInvalid)
	_, err = index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 0}}), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
}

func TestTenantsShareAZeroIndex(t *testing.T) {
	var shared vectors.InMemory
	a, err := vectors.Tenant(&shared, "a")
	require.NoError(t, err)
	b, err := vectors.Tenant(&shared, "b")
	require.NoError(t, err)
	for _, err := range a.Query(t.Context(), vectors.Query{Vector: []float32{1, 2}}) {
		require.NoError(t, err)
	}
	_, err = a.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 2}}), nil)
	require.NoError(t, err)
	_, err = b.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 2, 3}}), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
}

// Names and keys of the same few pieces: if one could be taken for another, two
// of these would share a place.
func TestEveryTenantAndKeyHasAPlaceOfItsOwn(t *testing.T) {
	pieces := []string{"", "a", "/", "a/", "/a", "a/a", "%2F", "a%2F", "%2Fa", "//", "%", "%25", ".", "..", "../a", "é", "%C3%A9", "_", "A"}
	shared := newInMemory(t, vectors.Schema{Dimension: 1})
	n := 0
	for _, tenant := range pieces {
		index, err := vectors.Tenant(shared, tenant)
		require.NoError(t, err)
		for _, key := range pieces[1:] {
			_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: key, Data: []float32{1}, Metadata: vectors.Metadata{"of": tenant}}), nil)
			require.NoError(t, err)
			n++
		}
	}
	require.Len(t, everything(t, shared), n)
	for _, tenant := range pieces {
		index, err := vectors.Tenant(shared, tenant)
		require.NoError(t, err)
		require.ElementsMatch(t, pieces[1:], listed(t, index, nil))
		for _, key := range pieces[1:] {
			found, err := index.Get(t.Context(), []string{key}, nil)
			require.NoError(t, err)
			require.Equal(t, []vectors.Vector{{Key: key, Metadata: vectors.Metadata{"of": tenant}}}, found)
		}
	}
}
