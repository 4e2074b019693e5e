package dynamomemory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/meter"
)

// unsure is how young a record may be that its reader has not seen, and be asked for: a
// cache remembers that it is not there, for longer than that is so.
const unsure = time.Second

// cached is a read of the newest records by way of the cache. It returns nil where the
// table has to be asked: without a bookmark, or where what the cache has is older, not
// whole, or not enough. A cache that fails is one that has nothing.
func (s *Store) cached(ctx context.Context, p place, opts memory.WindowOptions) *view {
	if s.cache == nil || opts.AtLeast == "" || opts.Notes || opts.Scopes == memory.AllStates || opts.Last >= mostTail {
		return nil
	}
	want := max(0, opts.Last) + 1
	found := s.fromCache(ctx, []name{{p.pk, skTail}})
	t := decodeTail(found[name{p.pk, skTail}])
	if t == nil || t.cold() || t.last < idIn(opts.AtLeast) {
		return nil
	}
	ids, whole := t.newest(want, idIn(opts.AtLeast))
	if !whole && len(ids) < want {
		return nil
	}
	names := []name{{p.pk, skHead}}
	if t.state != "" {
		names = append(names, name{p.pk, skState})
	}
	if t.gist != "" {
		names = append(names, name{p.pk, skGist})
	}
	for _, id := range ids {
		names = append(names, name{p.pk, skRecord + id})
	}
	found = s.fromCache(ctx, names)
	if !t.matches(found, p) {
		return nil
	}
	v := s.assemble(ctx, p, opts, found)
	if v == nil || len(v.records) != len(ids) || !whole && v.needsState(opts.Scopes) { // some are removed, or too old
		return nil
	}
	return v
}

// newest returns the last ids, oldest first, and whether there are no others.
func (t *tail) newest(want int, seen string) (ids []string, whole bool) {
	young := time.Now().Add(-unsure)
	for _, id := range t.ids {
		if id <= seen || timeOf(id).Before(young) {
			ids = append(ids, id)
		}
	}
	whole = t.from == ""
	if len(ids) > want {
		ids, whole = ids[len(ids)-want:], false
	}
	return ids, whole
}

// matches says whether head, state and gist are those that the tail is of.
func (t *tail) matches(found map[name]item, p place) bool {
	state, gist := found[name{p.pk, skState}], found[name{p.pk, skGist}]
	return getString(found[name{p.pk, skHead}], attrMoved) == t.head && getString(found[name{p.pk, skHead}], attrEpoch) == t.epoch &&
		getString(state, attrMoved) >= t.state && getString(state, attrUpTo) <= t.last && gistMark(gist) == t.gist
}

// assemble is the view of what was found, nil where it cannot be read.
func (s *Store) assemble(ctx context.Context, p place, opts memory.WindowOptions, found map[name]item) *view {
	v := &view{Store: s, place: p, now: time.Now(), want: max(0, opts.Last) + 1, scopes: opts.Scopes}
	items := slices.SortedFunc(maps.Values(found), func(a, b item) int { return cmp.Compare(s.skOf(b), s.skOf(a)) })
	records, err := v.begin(ctx, items)
	if err == nil {
		err = v.take(ctx, records)
	}
	if err != nil {
		return nil
	}
	return v
}

// fromCache reads items by key, eventually. Those that are not there are not in the
// result, and none is where the cache fails.
func (s *Store) fromCache(ctx context.Context, names []name) map[name]item {
	keys := make([]item, len(names))
	for i, n := range names {
		keys[i] = s.key(n.pk, n.sk)
	}
	found := map[name]item{}
	add := func(it item) {
		if len(it) > 0 && checkSchema(it) == nil {
			found[name{s.pkOf(it), s.skOf(it)}] = it
		}
	}
	if len(keys) == 1 {
		out, err := s.cache.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keys[0], ReturnConsumedCapacity: total})
		if err == nil {
			s.account(ctx, middleware.Metadata{}, reads(used(out.ConsumedCapacity)), nil)
			add(out.Item)
		}
		return found
	}
	out, err := s.cache.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{s.table: {Keys: keys}}, ReturnConsumedCapacity: total,
	})
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return nil
	}
	s.account(ctx, middleware.Metadata{}, reads(out.ConsumedCapacity...), nil)
	for _, it := range out.Responses[s.table] {
		add(it)
	}
	return found
}
