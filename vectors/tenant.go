package vectors

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// TenantKey is the metadata key under which [Tenant] keeps the tenant.
const TenantKey = "_tenant"

// MaxTenant is the most bytes the name of a tenant may have. Letters, digits and
// ._- take one character of a key each, other bytes three.
const MaxTenant = 256

// Tenanted is an [Index] of one tenant in an index that tenants share, made by
// [Tenant].
type Tenanted struct {
	index  Index
	tenant string
	prefix string // of the keys in index
}

var _ Index = (*Tenanted)(nil)

// Tenant returns the part of index that belongs to tenant, as an index of its
// own: it neither shows nor changes what belongs to others, who may use the same
// keys. Every vector is stored under a key that begins with the tenant, and with
// the tenant as metadata, which every query, list and delete asks for; callers
// neither see the two nor can they name [TenantKey] in metadata or filters:
// that is [ErrInvalid].
//
// A tenant is UTF-8 without control characters, of at most [MaxTenant] bytes; the
// empty tenant is one like any other. What it needs of the limits is in
// Schema.Reserved. The shared index must be written to through Tenant alone, and
// must not have TenantKey among its non-filterable keys. Tenants do not nest.
//
// For few tenants, or large ones, an index each is the better choice: queries
// then cost what the tenant's vectors cost, and lists need not pass over those
// of others.
func Tenant(index Index, tenant string) (*Tenanted, error) {
	if len(tenant) > MaxTenant || !utf8.ValidString(tenant) || strings.ContainsFunc(tenant, unicode.IsControl) {
		return nil, fmt.Errorf("%w: tenant %.80q: at most %d bytes of UTF-8 without control characters", ErrInvalid, tenant, MaxTenant)
	}
	return &Tenanted{index, tenant, escapeTenant(tenant) + "/"}, nil
}

// escapeTenant writes tenant without a slash, so that none is the beginning of
// another with its slash.
func escapeTenant(tenant string) string {
	var b strings.Builder
	for i := range len(tenant) {
		if c := tenant[i]; c == '.' || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Describe implements [Index]. It tells what Tenant needs of the limits.
func (t *Tenanted) Describe(ctx context.Context) (Schema, error) {
	s, err := t.index.Describe(ctx)
	if err != nil {
		return Schema{}, err
	}
	if slices.Contains(s.NonFilterable, TenantKey) {
		return Schema{}, fmt.Errorf("%w: the shared index cannot filter on %q, which keeps tenants apart", ErrInvalid, TenantKey)
	}
	size, err := Metadata{TenantKey: t.tenant}.Size()
	if err != nil {
		return Schema{}, err
	}
	s.Reserved.KeyCharacters += len(t.prefix)
	s.Reserved.MetadataKeys++
	s.Reserved.MetadataBytes += size - len("{}") + len(",")
	s.Reserved.FilterDepth++
	return s, nil
}

// rules returns the schema that judges the caller's arguments: of those that
// the index allows, TenantKey is one no filter may name.
func (t *Tenanted) rules(ctx context.Context) (Schema, error) {
	s, err := t.Describe(ctx)
	s.NonFilterable = append(slices.Clip(s.NonFilterable), TenantKey)
	return s, err
}

// Put implements [Index].
func (t *Tenanted) Put(ctx context.Context, vectors iter.Seq2[Vector, error], opts *PutOptions) (Report, error) {
	rules, err := t.rules(ctx)
	o := opts.WithDefaults()
	if err == nil && o.SkipEqual == TenantKey {
		err = fmt.Errorf("%w: SkipEqual %q: the key is reserved", ErrInvalid, TenantKey)
	}
	if err != nil || vectors == nil {
		return Report{}, wrapped("put", err)
	}
	p := tenantPut{Tenanted: t, rules: rules}
	if progress := o.Progress; progress != nil {
		o.Progress = func(r Report) { progress(p.report(r)) }
	}
	inner, err := t.index.Put(ctx, p.sequence(ctx, vectors), &o)
	report := p.report(inner)
	if err == nil {
		return report, wrapped("put", report.Err())
	}
	if own := p.report(Report{}).Err(); own != nil {
		err = fmt.Errorf("%w; %w", err, own)
	}
	return report, err
}

// A tenantPut is one call of Put. The index may take the sequence and report
// progress from different goroutines.
type tenantPut struct {
	*Tenanted
	rules    Schema
	mu       sync.Mutex
	rejected []Rejection
}

// sequence looks at the context itself: the index sees none of a run of bad
// vectors.
func (p *tenantPut) sequence(ctx context.Context, vectors iter.Seq2[Vector, error]) iter.Seq2[Vector, error] {
	return func(yield func(Vector, error) bool) {
		for v, err := range vectors {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				yield(Vector{}, err)
				return
			}
			stored, err := p.stored(v)
			if err != nil {
				p.mu.Lock()
				p.rejected = append(p.rejected, Rejection{v.Key, err})
				p.mu.Unlock()
				continue
			}
			if !yield(stored, nil) {
				return
			}
		}
	}
}

// stored returns v as the shared index has it.
func (p *tenantPut) stored(v Vector) (Vector, error) {
	if _, ok := v.Metadata[TenantKey]; ok {
		return Vector{}, fmt.Errorf("%w: metadata %q: the key is reserved", ErrInvalid, TenantKey)
	}
	normal, err := p.rules.Normal(v)
	if err != nil {
		return Vector{}, err
	}
	normal.Key = p.prefix + normal.Key
	normal.Metadata[TenantKey] = p.tenant
	return normal, nil
}

// report returns the index's report as the tenant should see it.
func (p *tenantPut) report(r Report) Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	rejected := slices.Clone(p.rejected)
	for _, inner := range r.Rejected {
		key, _ := strings.CutPrefix(inner.Key, p.prefix)
		rejected = append(rejected, Rejection{key, inner.Err})
	}
	r.Rejected = rejected
	return r
}

// Get implements [Index].
func (t *Tenanted) Get(ctx context.Context, keys []string, opts *GetOptions) ([]Vector, error) {
	stored, err := t.keys(ctx, keys)
	if err != nil || len(keys) == 0 {
		return nil, wrapped("get", cmp.Or(err, opts.WithDefaults().Fields.Validate()))
	}
	found, err := t.index.Get(ctx, stored, opts)
	for i, v := range found {
		found[i], _ = t.own(v)
	}
	return found, err
}

func (t *Tenanted) keys(ctx context.Context, keys []string) ([]string, error) {
	rules, err := t.rules(ctx)
	if err != nil {
		return nil, err
	}
	stored := make([]string, len(keys))
	for i, key := range keys {
		if err := rules.ValidateKey(key); err != nil {
			return nil, err
		}
		stored[i] = t.prefix + key
	}
	return stored, nil
}

// own returns v as its tenant knows it, and whether the key is the tenant's.
func (t *Tenanted) own(v Vector) (Vector, bool) {
	key, ok := strings.CutPrefix(v.Key, t.prefix)
	v.Key = key
	maps.DeleteFunc(v.Metadata, func(key string, _ any) bool { return key == TenantKey })
	return v, ok
}

// within returns filter as the shared index is to be asked.
func (t *Tenanted) within(filter Filter) Filter {
	return And(Equal(TenantKey, t.tenant), filter)
}

// Query implements [Index].
func (t *Tenanted) Query(ctx context.Context, query Query) iter.Seq2[Match, error] {
	query = query.clone()
	return func(yield func(Match, error) bool) {
		rules, err := t.rules(ctx)
		if err = cmp.Or(err, query.Validate(rules)); err != nil {
			yield(Match{}, wrapped("query", err))
			return
		}
		inner := query
		inner.Filter = t.within(query.Filter)
		for match, err := range t.index.Query(ctx, inner) {
			var own bool
			if match.Vector, own = t.own(match.Vector); !own && err == nil {
				continue
			}
			if !yield(match, err) {
				return
			}
		}
	}
}

// List implements [Index].
func (t *Tenanted) List(ctx context.Context, opts *ListOptions) iter.Seq2[Vector, error] {
	o := opts.WithDefaults()
	o.Filter = o.Filter.clone()
	return func(yield func(Vector, error) bool) {
		rules, err := t.rules(ctx)
		if err = cmp.Or(err, o.Validate(rules)); err != nil {
			yield(Vector{}, wrapped("list", err))
			return
		}
		inner := ListOptions{Prefix: t.prefix + o.Prefix, Filter: t.within(o.Filter), Fields: o.Fields}
		for v, err := range t.index.List(ctx, &inner) {
			v, _ = t.own(v)
			if !yield(v, err) {
				return
			}
		}
	}
}

// Delete implements [Index]. Selection{All: true} is all of the tenant.
func (t *Tenanted) Delete(ctx context.Context, selection Selection, opts *DeleteOptions) (Report, error) {
	rules, err := t.rules(ctx)
	if err = cmp.Or(err, selection.Validate(rules)); err != nil {
		return Report{}, wrapped("delete", err)
	}
	if len(selection.Keys) > 0 {
		stored, err := t.keys(ctx, selection.Keys)
		if err != nil {
			return Report{}, wrapped("delete", err)
		}
		return t.index.Delete(ctx, Selection{Keys: stored}, opts)
	}
	return t.index.Delete(ctx, Selection{Prefix: t.prefix + selection.Prefix, Filter: t.within(selection.Filter)}, opts)
}

// wrapped says in which operation err happened, and is nil if err is.
func wrapped(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}
