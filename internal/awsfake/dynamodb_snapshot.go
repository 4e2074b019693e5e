package awsfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Snapshot returns a function that puts back the items of all tables as they are now,
// as often as it is called. Tables stay.
func (f *DynamoDB) Snapshot() (restore func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := map[string]map[string]item{}
	for name, t := range f.tables {
		kept[name] = maps.Clone(t.items) // an item is never changed, only replaced
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for name, t := range f.tables {
			t.items = maps.Clone(kept[name])
			if t.items == nil {
				t.items = map[string]item{}
			}
		}
	}
}

// Items returns the items of a table in DynamoDB's JSON, in an order that is always
// the same: for tests that compare tables. It is no request, and no interceptor sees it.
func (f *DynamoDB) Items(table string) ([]json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.table(table)
	if err != nil {
		return nil, err
	}
	var out []json.RawMessage
	for _, key := range slices.Sorted(maps.Keys(t.items)) {
		data, err := json.Marshal(t.items[key])
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", key, err)
		}
		out = append(out, data)
	}
	return out, nil
}
